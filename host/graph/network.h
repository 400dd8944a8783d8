/* SPDX-License-Identifier: Apache-2.0 */
/* Networks as plain data: a DAG of nodes and their parameters. No device, no arithmetic but folding. */
#ifndef DF_GRAPH_NETWORK_H
#define DF_GRAPH_NETWORK_H

#include "call.h"
#include "tensor/tensor.h"

/* clang-format off */
enum df_node_op {
#define DF_NODE(NODE, name, least, most, shape, parameters, rules, ...) DF_NODE_##NODE,
#include "graph/nodes.def"
    DF_NODE_OP_COUNT
};
/* clang-format on */

enum { DF_INPUT = -1 }; /* a node's input that is the network's input */
enum { DF_MAX_NODES = 10000, DF_MAX_NODE_INPUTS = 1024 };
#define DF_MAX_VALUES INT64_C(0x7fffffff) /* of one sample's activation; indices within it are int32_t */
enum df_parameter_kind { DF_WEIGHT, DF_BIAS, DF_MEAN, DF_VARIANCE, DF_PARAMETER_KINDS };
/* "weight", "bias", "mean", "variance": the names in network files. */
const char *df_parameter_name(enum df_parameter_kind kind);

/* dims: Conv weight [O, C/group, kh, kw], Gemm weight [O, C], PRelu weight [C] or [1], others [C]. data NULL:
 * the node has none. */
struct df_parameter {
    int32_t rank;
    int64_t dims[4], count;
    float *data;
};

struct df_node {
    char *name;
    enum df_node_op op;
    int32_t *inputs; /* node indices below its own, or DF_INPUT */
    int32_t input_count;
    struct df_window window; /* Conv, pools; Pad: its pads, below 0 to cut off */
    int32_t group;           /* Conv */
    int32_t ceil_mode, count_include_pad, axis /* Concat: 1 */;
    double epsilon, ratio; /* BatchNormalization, Dropout */
    union {                /* an activation's two numbers */
        struct {
            double alpha, beta;
        };
        struct {
            double min, max; /* Clip calls them so; an open side is infinite */
        };
    };
    double value;     /* Pad */
    int32_t shape[3]; /* Reshape: C, H, W of the result */
    struct df_parameter parameter[DF_PARAMETER_KINDS];
    struct df_shape out; /* filled by df_network_infer */
};

struct df_network {
    struct df_shape input;
    int32_t class_count;
    double *scale, *offset; /* [affine_count]: 1 or C; 0: nobody said how the samples are scaled */
    int32_t affine_count;
    struct df_node *nodes; /* topologically ordered */
    int32_t node_count;
    int64_t node_capacity;
    int32_t output; /* node whose [K,1,1] values are the logits */
    char **files; /* [file_count] read for it beside the file that was named: an ONNX model's external data */
    int32_t file_count;
    char **classes; /* [class_count] what the logits stand for; NULL: nobody said. No part of the sha256 */
    /* [class_count] each: the pool's number of a class, and back; NULL: the pool at hand counts its classes
     * alike */
    int32_t *to_pool, *from_pool;
    /* Fingerprint of the pool whose rows trained it; "": nobody said. No part of the sha256. */
    char trained_on[65];
    int64_t trained_rows; /* how many; 0: nobody said. Read from a file, not kept by copies */
    bool softmax_cut;     /* the file had a softmax behind the logits; not kept by copies and network files */
};

dfal_status df_network_create(struct df_network **out, struct df_shape input, int32_t class_count);
void df_network_destroy(struct df_network *network);
dfal_status df_network_copy(struct df_network **out, const struct df_network *network);
/* The class names are copies of these [class_count] from now on, none with NULL, and the pool's order is
 * theirs. */
dfal_status df_network_name_classes(struct df_network *network, char *const *names);
/* A class of the network as a number of the pool, and back; -1, no class, stays. */
int32_t df_network_to_pool(const struct df_network *network, int32_t class);
int32_t df_network_from_pool(const struct df_network *network, int32_t class);
/* Free what a node holds, not the node. */
void df_node_clear(struct df_node *node);
/* Append a node with ONNX's default attributes (strides 1, pads 0, group 1; reals: nodes.def); inputs are
 * indices. *index may be NULL. The node's other fields are set by the caller through
 * network->nodes[*index]. */
dfal_status df_network_add(struct df_network *network, int32_t *index, const char *name, enum df_node_op op,
                           const int32_t *inputs, int32_t input_count);
/* Infer every shape, allocate missing parameters (zero; batch-norm weight and variance one; slopes 0.25),
 * check what is there. Conv and Gemm take their O from their weight's dims[0], set by the caller before, and
 * Conv its kernel from the weight (window.kernel where the weight's rank is still 0). After it every node has
 * all the parameters of its op.
 * Errors   E_SHAPE names node, shapes; E_DATA a node that does not lead to the output */
dfal_status df_network_infer(struct df_network *network);
/* The same for one node, whose inputs have their shapes. */
dfal_status df_network_infer_node(const struct df_network *network, int32_t index);
int32_t df_network_find(const struct df_network *network, const char *name); /* -2: none; DF_INPUT: "input" */
/* The same where there has to be one. Errors   E_USAGE unknown, the nearest is named */
dfal_status df_network_find_node(int32_t *index, const struct df_network *network, const char *name);
/* The graph of docs/FORMATS.md as canonical JSON (sorted keys, no blanks, every attribute written): what
 * /graph holds. Free with df_free. */
dfal_status df_graph_to_json(char **json, const struct df_network *network);
/* Parse /graph: unknown ops and attributes, dangling and cyclic inputs, doubled names, more than 10,000 nodes
 * or nesting deeper than 16 are E_DATA. Nodes may stand in any order. source names the file in messages. */
dfal_status df_graph_from_json(struct df_network **out, const char *json, size_t size, struct df_shape input,
                               int32_t class_count, const char *source);
/* sha256 of the canonical graph JSON, then the parameters in graph order (weight, bias, mean, variance), f32
 * LE. */
void df_network_digest(char text[65], const struct df_network *network);
int64_t df_network_parameter_count(const struct df_network *network);
/* Of one sample's forward. */
int64_t df_network_multiply_adds(const struct df_network *network);
/* Glorot uniform weights, zero biases, batch-norm 1 0 0 1, slopes 0.25, from Philox stream WEIGHTS. */
dfal_status df_network_initialise(struct df_network *network, uint64_t seed);
/* Every value finite. Errors   E_DATA names node and element */
dfal_status df_network_check_finite(const struct df_network *network, const char *source);
/* The same function with linear chains folded once in float64: what changes nothing removed (Dropout, a
 * Reshape behind another), Clip from 0 up made a Relu, zeros that a Pad puts around a convolution's input
 * left to it, a Relu moved behind the max-pool that alone reads it, batch-norm merged into the convolution,
 * Gemm or batch-norm before it or else into the convolution or Gemm behind it, 1x1 convolution + Flatten +
 * Gemm into one Gemm, Gemm + Gemm into one, where that is no more work. Nodes with other consumers stay. A
 * batch-norm that stays may come back with mean 0, variance 1, epsilon 0. */
dfal_status df_network_fold(struct df_network **out, const struct df_network *network);
/* The network up to a node, not DF_INPUT, whose values stand for the logits then. Every node before it leads
 * to it. */
dfal_status df_network_cut(struct df_network **out, const struct df_network *network, int32_t node);
/* The node whose values are the logits, perhaps under another shape or behind a Dropout, which is nothing
 * here: it is not drawn. */
int32_t df_network_last_layer(const struct df_network *network);
bool df_network_has(const struct df_network *network, enum df_node_op op);
/* A batch-norm with epsilon 0 is a given affine map, such as the normalisation of inputs: training does not
 * touch it, and no batch's statistics enter. */
bool df_node_is_fixed(const struct df_node *node);
/* Does training change its parameters? The node is one of an inferred network. */
bool df_node_learns(const struct df_node *node);

#endif
