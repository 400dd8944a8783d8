/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the ONNX reader: values by name, constants, and what the lowering of an op needs. Only onnx*.c
 * include it. */
#ifndef DF_GRAPH_ONNX_MODEL_H
#define DF_GRAPH_ONNX_MODEL_H

#include <onnx.pb-c.h>

#include "graph/onnx.h"

enum { DF_ONNX_RANK = 8, DF_ONNX_MAX_NODES = 100000 };
enum { DF_ONNX_ALLOWANCE = 4 }; /* computed constants take at most this multiple of the file and 256 MiB */
/* An extent that is the number of samples in a batch, whatever that will be. */
#define DF_ONNX_BATCH (INT64_MIN + 12345)
/* TensorProto.DataType */
enum {
    DF_ONNX_FLOAT = 1,
    DF_ONNX_INT32 = 6,
    DF_ONNX_INT64 = 7,
    DF_ONNX_BOOL = 9,
    DF_ONNX_FLOAT16 = 10,
    DF_ONNX_DOUBLE = 11,
    DF_ONNX_BFLOAT16 = 16
};

/* A constant: count elements, little-endian, row by row. Shape arithmetic is done before the number of
 * samples in a batch is known: element i is what its bytes say and samples[i] times that number, in any type
 * and through any cast. */
struct df_onnx_tensor {
    int32_t type, rank;
    int64_t dims[DF_ONNX_RANK], count;
    const uint8_t *bytes; /* the file's or own */
    const double
        *samples; /* NULL: none grows with the batch; NAN: grows in another way, so nobody may ask for it */
    void *own;
};

/* One element, as a real and as a whole number, and how many times the number of samples is added. */
struct df_onnx_number {
    double real;
    int64_t whole;
    double samples;
};

/* Axes of one stored order: element i of the value, counted along `extent` row by row, is stored at the sum
 * of index times stride. */
struct df_onnx_factor {
    int64_t extent, stride;
};

enum df_onnx_kind { DF_ONNX_UNKNOWN, DF_ONNX_CONSTANT, DF_ONNX_ACTIVATION };

/* A value of the file. An activation has the logical shape [batch, dims[1], ...]; its elements are those of a
 * node, in the order that the factors say (none: a single element; one of stride 1: the node's own order). So
 * reshapes and transposes cost nothing until somebody needs the elements in order. */
struct df_onnx_value {
    const char *name;
    enum df_onnx_kind kind;
    struct df_onnx_tensor constant;
    const Onnx__TensorProto *initializer; /* read when first used */
    int32_t producer;                     /* the file's node, -1: none */
    int32_t uses;                         /* inputs of needed nodes, and the output */
    int32_t node, shaped; /* of the network, or DF_INPUT; shaped: the same in another shape, -2: none */
    int32_t rank, factor_count;
    int64_t dims[DF_ONNX_RANK]; /* dims[0] is DF_ONNX_BATCH */
    struct df_onnx_factor factors[DF_ONNX_RANK];
    bool softmax; /* to be cut: only the output may be this */
    bool shared;  /* other values have the same node */
};

/* Files that hold data of the model, each once. */
struct df_onnx_files {
    char **path;
    int32_t count;
};

struct df_onnx {
    const char *path;
    Onnx__ModelProto *model;
    Onnx__GraphProto *graph;
    Onnx__NodeProto **nodes; /* the graph's */
    int32_t node_count;
    int64_t opset, batch;         /* batch: the file's fixed number of samples, -2: any */
    struct df_onnx_value *values; /* sorted by name */
    int32_t value_count;
    struct df_onnx_value *input, *output;
    int32_t *order, order_count; /* needed nodes of the file, each behind what it reads */
    struct df_network *network;
    int32_t doubled; /* the next number for a name that many nodes have */
    /* bytes that constants computed from constants may still take: a small file may not ask for much */
    int64_t *allowance;
    struct df_onnx_files *files; /* external data that was read */
};

/* A whole sentence about a node: "M.onnx: node 'x' (Conv) ...". */
#define DF_ONNX_FAIL(onnx, proto, status, ...)                                                               \
    do {                                                                                                     \
        (void)df_fail((status), __VA_ARGS__);                                                                \
        (void)df_onnx_blame((onnx), (proto), (status));                                                      \
        return (status);                                                                                     \
    } while (0)
dfal_status df_onnx_blame(const struct df_onnx *onnx, const Onnx__NodeProto *proto, dfal_status status);

/* ---- onnx_tensor.c: constants -------------------------------------------------------------- */

/* Take a tensor of the file, its data checked against its dims; what it says of itself is blamed on it by
 * name. */
dfal_status df_onnx_tensor_read(const struct df_onnx *onnx, struct df_onnx_tensor *out,
                                const Onnx__TensorProto *proto);
/* A tensor of zeros, with or without room for samples. Errors   E_DATA more than there is room for */
dfal_status df_onnx_tensor_create(const struct df_onnx *onnx, struct df_onnx_tensor *out, int32_t type,
                                  int32_t rank, const int64_t *dims, bool samples);
void df_onnx_tensor_clear(struct df_onnx_tensor *tensor);
size_t df_onnx_type_size(int32_t type); /* 0: a type that is not read */
const char *df_onnx_type_name(int32_t type);
bool df_onnx_is_real(int32_t type);
/* "3x1x5", or "a scalar" */
const char *df_onnx_dims_text(char text[128], int32_t rank, const int64_t *dims);

/* ---- onnx_number.c: their elements ----------------------------------------------------------- */

/* Of a tensor that does not depend on the number of samples. */
double df_onnx_real(const struct df_onnx_tensor *tensor, int64_t i);
int64_t df_onnx_int(const struct df_onnx_tensor *tensor, int64_t i);
struct df_onnx_number df_onnx_get(const struct df_onnx_tensor *tensor, int64_t i);
/* Into a tensor that was created, and that has room for samples where the number has some. */
void df_onnx_put(struct df_onnx_tensor *tensor, int64_t i, struct df_onnx_number number);
/* to[at ...] = from[i ...], of whatever type; the same on room for samples. */
void df_onnx_move(struct df_onnx_tensor *to, int64_t at, const struct df_onnx_tensor *from, int64_t i,
                  int64_t count);
bool df_onnx_has_samples(const struct df_onnx_tensor *tensor);
/* What a cast to that type leaves of a number. */
struct df_onnx_number df_onnx_convert(struct df_onnx_number number, int32_t to);
/* y = a op b: 'A'dd, 'S'ub, 'M'ul, 'D'iv, of whole numbers or of reals.
 * Errors   E_DATA a division by zero, more than 64 bits */
dfal_status df_onnx_calculate(const struct df_onnx *onnx, const Onnx__NodeProto *proto, char op, bool reals,
                              const struct df_onnx_number *a, const struct df_onnx_number *b,
                              struct df_onnx_number *y);

/* ---- onnx_index.c: values by name ------------------------------------------------------------ */

/* The table of values; doubled names are refused. */
dfal_status df_onnx_index(struct df_onnx *onnx);
void df_onnx_index_clear(struct df_onnx *onnx);
struct df_onnx_value *df_onnx_find(const struct df_onnx *onnx, const char *name);
bool df_onnx_is_named(const char *name); /* else an input or output is left out */

/* ---- onnx_graph.c: order ---------------------------------------------------------------------- */

/* Which nodes the output needs, and in which order: cycles, missing values and ops that are not supported are
 * refused. */
dfal_status df_onnx_arrange(struct df_onnx *onnx);
/* "Conv (20), Relu (17)": the file's nodes, or of the needed ones those that are not supported (how many ops
 * in *kinds). */
dfal_status df_onnx_count_ops(const struct df_onnx *onnx, bool unsupported, char **text, int32_t *kinds);

/* ---- onnx_node.c: what ops ask of a node ---------------------------------------------------- */

/* NULL: left out. */
struct df_onnx_value *df_onnx_in(const struct df_onnx *onnx, const Onnx__NodeProto *proto, size_t i);
struct df_onnx_value *df_onnx_out(const struct df_onnx *onnx, const Onnx__NodeProto *proto, size_t i);
const Onnx__AttributeProto *df_onnx_attribute(const Onnx__NodeProto *proto, const char *name);
int64_t df_onnx_attribute_int(const Onnx__NodeProto *proto, const char *name, int64_t missing);
double df_onnx_attribute_real(const Onnx__NodeProto *proto, const char *name, double missing);
/* Input i has to be an activation that is not behind the final softmax. */
dfal_status df_onnx_activation(const struct df_onnx *onnx, const Onnx__NodeProto *proto, size_t i,
                               struct df_onnx_value **out);
/* A constant's elements, read from the file when first asked for. */
dfal_status df_onnx_load_constant(const struct df_onnx *onnx, struct df_onnx_value *value);
/* Input i has to be a constant, which may grow with the samples of a batch; *out NULL when left out and
 * optional. */
dfal_status df_onnx_arithmetic(const struct df_onnx *onnx, const Onnx__NodeProto *proto, size_t i,
                               const char *what, bool optional, const struct df_onnx_tensor **out);
/* The same, and it may not. */
dfal_status df_onnx_constant(const struct df_onnx *onnx, const Onnx__NodeProto *proto, size_t i,
                             const char *what, bool optional, const struct df_onnx_tensor **out);
/* Whole numbers from input i (i > 0) or the attribute of that name; *count -1: neither is there. */
dfal_status df_onnx_ints(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const char *name, size_t i,
                         int64_t values[DF_ONNX_RANK * 2], int32_t *count);
/* The same of extents: each may be DF_ONNX_BATCH. */
dfal_status df_onnx_extents(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const char *name,
                            size_t i, int64_t values[DF_ONNX_RANK * 2], int32_t *count);
/* A real from input i (i > 0) or the attribute. */
dfal_status df_onnx_scalar(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const char *name,
                           size_t i, double missing, double *value, bool *found);
/* An axis from [-rank, rank) to [0, rank). */
dfal_status df_onnx_axis(const struct df_onnx *onnx, const Onnx__NodeProto *proto, int64_t given,
                         int32_t rank, int32_t *axis);
/* Axes as flags. */
dfal_status df_onnx_axes(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const int64_t *given,
                         int32_t count, int32_t rank, bool set[DF_ONNX_RANK]);

/* ---- onnx_value.c: activations -------------------------------------------------------------- */

struct df_shape df_onnx_shape(const struct df_onnx *onnx, int32_t node);
/* Values of one sample. */
int64_t df_onnx_size(const struct df_onnx_value *value);
/* dims[1], dims[2] and the product of the rest: the shape nodes work on. */
struct df_shape df_onnx_planes(const struct df_onnx_value *value);
bool df_onnx_in_order(const struct df_onnx_value *value);
/* Where element i of the value is stored. */
int64_t df_onnx_stored(const struct df_onnx_value *value, int64_t i);
/* The node that holds the value in that shape; a Reshape or Flatten is added where needed.
 * Errors   E_DATA the value is transposed */
dfal_status df_onnx_materialise(struct df_onnx *onnx, const Onnx__NodeProto *proto,
                                struct df_onnx_value *value, struct df_shape shape, int32_t *node);
/* Append a node named after `name` and `suffix` ("" for the value itself); *made is good until the next
 * one. */
dfal_status df_onnx_emit(struct df_onnx *onnx, const char *name, const char *suffix, enum df_node_op op,
                         const int32_t *inputs, int32_t input_count, int32_t *node, struct df_node **made);
/* A Flatten or Reshape of a node. */
dfal_status df_onnx_emit_shape(struct df_onnx *onnx, const char *name, const char *suffix, int32_t source,
                               struct df_shape shape, int32_t *node);
/* Infer its shape once its fields are set. */
dfal_status df_onnx_settle(struct df_onnx *onnx, int32_t node);
/* Give the node the name of another value. */
dfal_status df_onnx_rename(struct df_onnx *onnx, int32_t node, const char *name);
/* y is x under another name. */
void df_onnx_alias(struct df_onnx_value *y, const struct df_onnx_value *x);
/* y has x's elements with other dims (dims[0] is the batch). */
void df_onnx_view(struct df_onnx_value *y, const struct df_onnx_value *x, int32_t rank, const int64_t *dims);
/* y has the elements of a node in its own order. */
void df_onnx_whole(struct df_onnx_value *y, int32_t node, int32_t rank, const int64_t *dims);
/* y[..., perm] = x; perm[0] is 0. False: the axes cannot be told apart any more. */
bool df_onnx_transpose(struct df_onnx_value *y, const struct df_onnx_value *x, const int32_t *perm);
/* Give a node a parameter of zeros; the values are for the caller to fill. */
dfal_status df_onnx_parameter(struct df_node *node, enum df_parameter_kind kind, int32_t rank,
                              const int64_t *dims);

/* ---- Ops ------------------------------------------------------------------------------------ */

typedef dfal_status df_onnx_lower(struct df_onnx *onnx, const Onnx__NodeProto *proto);
struct df_onnx_op {
    const char *name;
    const char *attributes; /* " axis keepdims ": what a node may say */
    df_onnx_lower *lower;
};
/* NULL: not supported. */
const struct df_onnx_op *df_onnx_op_find(const char *domain, const char *name);

df_onnx_lower df_onnx_conv, df_onnx_gemm, df_onnx_matmul, df_onnx_batch_norm, df_onnx_prelu, df_onnx_pool,
    df_onnx_global_pool, df_onnx_unary, df_onnx_clip, df_onnx_gelu, df_onnx_dropout, df_onnx_softmax,
    df_onnx_reduce_mean, df_onnx_pad, df_onnx_join, df_onnx_concat, df_onnx_flatten, df_onnx_reshape,
    df_onnx_squeeze, df_onnx_unsqueeze, df_onnx_permute, df_onnx_identity, df_onnx_cast, df_onnx_literal,
    df_onnx_constant_of_shape, df_onnx_shape_of, df_onnx_size_of, df_onnx_gather, df_onnx_slice,
    df_onnx_reduce_prod, df_onnx_round;

/* onnx_fold.c: the same on constants, called by the ops above when all inputs are constant. */
bool df_onnx_all_constant(const struct df_onnx *onnx, const Onnx__NodeProto *proto);
df_onnx_lower df_onnx_fold_join, df_onnx_fold_concat;

/* onnx_classes.c: names of the network's classes from the model's metadata, where it has any.
 * Errors   E_DATA "dfal.classes" is no list of as many strings */
dfal_status df_onnx_take_classes(struct df_onnx *onnx);

#endif
