/* SPDX-License-Identifier: Apache-2.0 */
/* The op table: one const struct of functions a back end, everything above calls only this.
 *
 * A device offers `queue_count` queues. A queue runs its calls in order; different queues run side by side,
 * each driven by one host thread at a time. On the cpu a queue is a worker thread with its own scratch memory
 * and every call runs on that thread alone; on a GPU it is a stream. So the bits of a result cannot depend on
 * the number of threads. No allocation happens in run() after a layer's and a queue's first use. */
#ifndef DF_BACKEND_BACKEND_H
#define DF_BACKEND_BACKEND_H

#include "base/context.h"
#include "call.h" /* kernels */
#include "tensor/tensor.h"

/* Of objects that are loaded: the layout of table, device and ops' operands in thousands, and how many ops
 * there are. A row in a list of ops moves the numbers of those behind it, so that an object built before it
 * would run others. */
enum { DF_BACKEND_ABI = 14000 + DF_OP_COUNT };

struct df_device;
struct df_fused;     /* a prepared network */
struct df_chain;     /* a network in training */
struct df_recording; /* calls of a queue, to be run again as one */
struct df_link;      /* this device joined with those of other processes (link.h) */
struct df_link_desc;
struct df_wrapper; /* wrapper.h */

/* Device memory: a buffer, or the head of a back end's own struct. */
struct df_buffer {
    enum df_type type;
    int64_t count;
    void *data;             /* for the back end alone */
    struct df_buffer *twin; /* for check alone: the other side's */
};

/* Part of a buffer, from element `offset`; buffer NULL: absent. */
struct df_span {
    struct df_buffer *buffer;
    int64_t offset;
};

struct df_call {
    enum df_op op;
    struct df_span out[DF_MAX_OUT], in[DF_MAX_IN];
    int64_t rows, cols; /* LAYER: rows of the batch; CELL: rows x cols; ITEM, BLOCK: rows items */
    union df_params p;
    struct df_layer *layer; /* LAYER ops only */
};

/* forward    y [rows, K] and kept [rows, df_fused_kept_size] U8 of x [rows, D]
 * backward   dx [rows, D] of dy [rows, K]; row i belongs to sample owner[i] (I32) of kept; rows [i each, (i +
 *            1) each) to the same one, and rows is a multiple of each */
struct df_fused_call {
    struct df_fused *fused;
    bool backward;
    int64_t rows, each;
    struct df_span y, x, kept, owner; /* backward: y holds dy, x receives dx */
    struct df_span tapped; /* forward: [rows, inputs of the stage] where the description has a tap */
};

/* The ops of a layer. */
enum df_layer_kind { DF_LAYER_FORWARD, DF_LAYER_BACKWARD, DF_LAYER_WEIGHT_GRADIENT };
enum { DF_LAYER_KINDS = 3 };
/* A 3x3 convolution of stride 1 of at least so many channels and outputs may be computed by minimal filtering
 * (cpu_winograd.h), which rounds otherwise than a sum of products does: score/bound.c. */
enum { DF_FILTERED_CHANNELS = 32 };

/* A convolution, or a product when kernel is 1x1 on a [C,1,1] input and is_gemm is set.
 * weight [O, C/group, kh, kw] (Gemm: [O, C]), bias [O]; x [rows, C, H, W]; y [rows, O, OH, OW]. */
struct df_layer_desc {
    bool is_gemm;
    struct df_shape in, out;
    struct df_window window;
    int32_t group;
    int32_t block_rows; /* rows a library call gets, padded: from the network alone (net/plan.c) */
    bool forward, backward, weight_gradient; /* which of the three ops are wanted */
    bool of_one_row; /* a weight gradient is asked for of one row at a time, never of more */
    /* The backward's operands are rounded to IEEE binary16 (kernels/half.h), its products summed in float32;
     * a library may round dx once more. Only where the device says that it has it. */
    bool half_backward;
    /* Forward's and backward's operands are sums of two binary16 each, products float32's grade
     * (kernels/split.h). Only where the device says that it has it; group is 1 then. */
    bool split;
};

/* The head of a prepared layer: primitives, packed parameters. */
enum { DF_FALLBACK_TEXT = 256 };
struct df_layer {
    struct df_layer_desc desc;
    char fallback[DF_FALLBACK_TEXT]; /* the first op that is not run by what is fastest here, and why not */
    struct df_layer *twin;           /* for check alone: the other side's */
    double largest_weight;           /* for check alone: as bound */
};

/* A small network as a whole, for back ends that run it in one go, activations never leaving the chip: stages
 * in a chain, y = pool(relu(W x + b)), max(0, .) and the 2x2 max-pool of stride 2 where they are wanted. */
struct df_fused_stage {
    bool is_gemm, relu, pool;
    struct df_shape in, out;    /* out: behind the pool */
    struct df_window window;    /* of a convolution; group and dilation are 1 */
    int64_t weight_at, bias_at; /* in the parameters it is bound to; laid out as in df_layer_desc */
};
enum { DF_FUSED_STAGES = 8 };
struct df_fused_desc {
    struct df_fused_stage stages[DF_FUSED_STAGES];
    int32_t count;
    /* A product, not the first stage, whose inputs a forward gives besides, in the order of its weights; 0:
     * none. An engine that keeps them to itself has no network with a tap. */
    int32_t tap;
};
/* What a fused network's backward reads of its forward: a byte for every value that leaves a ReLU or a pool,
 * stage by stage. What it says is the back end's own: that the ReLU is off, or where the maximum stands in
 * its window. */
int64_t df_fused_kept_size(const struct df_fused_desc *desc);

/* Training of such a network as a whole, for back ends that run a step in one go: behind a stage values may
 * be dropped. */
struct df_chain_drop {
    double rate;  /* 0: none */
    int32_t node; /* as of op dropout */
};
struct df_chain_desc {
    struct df_fused_desc network;
    struct df_chain_drop drop[DF_FUSED_STAGES];
    int64_t parameter_count;
    int32_t batch; /* rows of a step, at most */
    bool sgd;      /* with momentum; else Adam */
    double beta1, beta2, epsilon, momentum;
};
/* A step, or an evaluation: without dropout, and nothing is learnt. All arrays are the host's. */
struct df_chain_call {
    struct df_chain *chain;
    bool training;
    int64_t rows;
    const float *const *x; /* [rows]: each [D] */
    const int32_t *label;  /* [rows] */
    const float *weight;   /* [rows] */
    float *loss;           /* [rows], written */
    double rate;           /* of SGD, or of Adam's step (kernels/pointwise.h) */
    uint64_t seed;         /* of dropout, with */
    int64_t step;
};

struct df_device_options {
    const char *spec; /* what followed the back end's name: "0" of cuda:0, "ref:cpu" of check:ref:cpu */
    const char *isa;  /* auto, avx2, avx512 */
    int32_t queues;
};

/* Names that make up the arithmetic identity of a result. */
struct df_device_info {
    char backend[32]; /* cpu, ref, cuda, check:ref:cpu */
    char isa[16];
    char device[96];  /* CPU or GPU model */
    char library[96]; /* oneDNN 2.6.3 */
};

typedef dfal_status df_run_fn(struct df_device *device, int32_t queue, const struct df_call *call);

struct df_backend {
    int32_t abi;
    const char *name;

    /* ---- Required */
    dfal_status (*device_open)(struct df_device **out, const struct df_device_options *options);
    void (*device_close)(struct df_device *device);
    /* New memory is zero. */
    dfal_status (*buffer_create)(struct df_device *device, struct df_buffer **out, enum df_type type,
                                 int64_t count);
    void (*buffer_destroy)(struct df_device *device, struct df_buffer *buffer);
    /* Host memory of the buffer's host type: float for REAL (converted where a real is a double), int32_t,
     * uint8_t, double. `from` may be used again on return, and calls of this queue find what was written;
     * those of another queue once this one was synchronized. read blocks until the copy is done. */
    dfal_status (*write)(struct df_device *device, int32_t queue, struct df_span to, const void *from,
                         int64_t count);
    dfal_status (*read)(struct df_device *device, int32_t queue, void *to, struct df_span from,
                        int64_t count);
    /* The same for REAL buffers in double. */
    dfal_status (*read_f64)(struct df_device *device, int32_t queue, double *to, struct df_span from,
                            int64_t count);
    dfal_status (*layer_create)(struct df_device *device, struct df_layer **out,
                                const struct df_layer_desc *desc);
    void (*layer_destroy)(struct df_device *device, struct df_layer *layer);
    /* Take these parameters from now on, packed here once or read where they lie: a call of this queue.
     * Another queue must not run the layer meanwhile, and does so after this one was synchronized. Until the
     * layer is bound anew or destroyed the memory stays, and whoever writes to it binds the layer again
     * before it runs. bias.buffer may be NULL: zeros. */
    dfal_status (*layer_bind)(struct df_device *device, int32_t queue, struct df_layer *layer,
                              struct df_span weight, struct df_span bias);
    df_run_fn *run;
    dfal_status (*synchronize)(struct df_device *device, int32_t queue);

    /* ---- Optional: backend_open.c has a default */
    /* Devices that this back end finds on the machine, counted from 0. 1: the default. */
    int32_t (*device_count)(struct df_device *device);
    /* Bytes of the device's own memory that nobody has taken. 0: it has none, the default. */
    int64_t (*memory_free)(struct df_device *device);
    /* What runs one of a layer's ops, for a report: an engine's name, then what it was told. "" where a
     * back end has one way only, the default. */
    void (*layer_text)(struct df_device *device, const struct df_layer *layer, enum df_layer_kind kind,
                       char *text, size_t size);
    /* Bytes of a queue's own memory that a fused network takes. Below 0: not told, the default. */
    int64_t (*fused_scratch)(struct df_device *device, const struct df_fused *fused);
    /* Bytes of a queue's own memory that runs of up to `rows` rows of one of a layer's ops use at most.
     * Below 0: not told, the default. */
    int64_t (*layer_scratch)(struct df_device *device, const struct df_layer *layer, enum df_layer_kind kind,
                             int64_t rows);

    /* ---- Optional: all of a kind NULL where a back end has none */
    /* Fused networks. fused_create decides from desc alone.
     * Errors   E_UNAVAILABLE not for this network: it is run layer by layer */
    dfal_status (*fused_create)(struct df_device *device, struct df_fused **out,
                                const struct df_fused_desc *desc);
    void (*fused_destroy)(struct df_device *device, struct df_fused *fused);
    dfal_status (*fused_bind)(struct df_device *device, int32_t queue, struct df_fused *fused,
                              struct df_span parameters);
    dfal_status (*fused_run)(struct df_device *device, int32_t queue, const struct df_fused_call *call);
    /* Chains in training, which keep their parameters and what the optimiser keeps of each. Each runs on one
     * queue at a time. chain_create decides from desc alone.
     * Errors   E_UNAVAILABLE not for this network: it is trained layer by layer */
    dfal_status (*chain_create)(struct df_device *device, struct df_chain **out,
                                const struct df_chain_desc *desc);
    void (*chain_destroy)(struct df_device *device, struct df_chain *chain);
    /* [parameter_count] each, on the host. load: m and v may be NULL, zeros then; store: not wanted. */
    dfal_status (*chain_load)(struct df_device *device, struct df_chain *chain, const float *values,
                              const float *m, const float *v);
    dfal_status (*chain_store)(struct df_device *device, struct df_chain *chain, float *values, float *m,
                               float *v);
    dfal_status (*chain_run)(struct df_device *device, int32_t queue, const struct df_chain_call *call);
    /* Recordings. Between record_begin and record_end, which must follow in the
     * same thread whatever happened, the queue's run, fused_run and binds are kept instead of run, with their
     * buffers, sizes and parameters; record_run runs them all as one call of that queue. Only what the queue
     * has run before may be recorded, and that thread does nothing else with the device meanwhile: whatever
     * takes memory, read, write and synchronize fail. record_end gives NULL, and no error of its own, after a
     * failed call. A recording is destroyed before what it uses.
     * Errors   E_UNAVAILABLE of record_begin: this device has none after all */
    dfal_status (*record_begin)(struct df_device *device, int32_t queue);
    dfal_status (*record_end)(struct df_device *device, int32_t queue, struct df_recording **out);
    dfal_status (*record_run)(struct df_device *device, int32_t queue, struct df_recording *recording);
    void (*record_destroy)(struct df_device *device, struct df_recording *recording);
    /* Links (link.h). link_text: the library that joins, "NCCL 2.28.9", into text [DF_LINK_TEXT]; link_id: a
     * new link's id [DF_LINK_ID]; link_close gives back one that was cut, too. The others are collective: of
     * open the id is the same in all members; data is of one size in all, and of any type.
     * Errors   E_UNAVAILABLE no such library here, or its own words; those of desc.check */
    dfal_status (*link_text)(struct df_device *device, char *text);
    dfal_status (*link_id)(struct df_device *device, unsigned char *id);
    dfal_status (*link_open)(struct df_device *device, struct df_link **out, const struct df_link_desc *desc);
    void (*link_close)(struct df_device *device, struct df_link *link);
    dfal_status (*link_broadcast)(struct df_device *device, int32_t queue, struct df_link *link,
                                  struct df_span data, int64_t count, int32_t root);
};

enum { DF_DEVICE_NAME = 32 };
/* The head of every back end's device struct. */
struct df_device {
    const struct df_backend *backend; /* what is called: the functions below, or a wrapper's */
    struct df_backend functions;      /* the back end's own, with the defaults of those it lacks */
    struct df_wrapper *wrapper;       /* the outermost; NULL: none */
    struct df_device_info info;
    int32_t queue_count;
    int32_t real_bytes; /* of a REAL in its memory: 4, or 8 where it computes in double */
    bool own_memory;    /* it computes in memory of its own, not in the host's */
    int32_t place;      /* of the back end's GPUs: devices of one place may use each other's buffers */
    bool wide; /* many rows a call pay (a GPU); else a network is run block by block, to stay in cache */
    bool half_backward, split; /* such layers may be asked for */
    bool fallback_told;        /* that a layer is not run by what is fastest (net/plan.h) */
    /* Of devices that are opened as a group (group.c), the host's own: */
    char name[DF_DEVICE_NAME]; /* "cuda:1", for messages and to open it alone; "" where it is no member */
    struct df_device *next;    /* of the group, in the order of its list; NULL: the last */
};

/* What the bits of a result depend on besides back end, engine and libraries, as its arithmetic identity has
 * it: the instruction set; of a GPU the model, too, as "sm_90 (NVIDIA H200)". Of a group each once. */
enum { DF_ISA_TEXT = 128 };
void df_device_isa(char text[DF_ISA_TEXT], const struct df_device *device);

/* Open by name: "ref", "ref64", "cpu", "cuda[:LIST]" (dlopen of libdfal_cuda.so), "check:A:B", "auto", or
 * "dlopen:PATH" (tests); of a list the group. Errors   E_USAGE unknown name (nearest named); E_UNAVAILABLE
 * with the reason */
dfal_status df_device_open(struct df_device **out, const char *name, const char *isa, int32_t queues);
/* And those behind it in its group. */
void df_device_close(struct df_device *device);
/* Open a device of this table; *name is what messages call it. Errors   E_UNAVAILABLE the table lacks a
 * function */
dfal_status df_backend_open(struct df_device **out, const struct df_backend *table, const char *name,
                            const struct df_device_options *options);
/* Make device a the check:A:B of itself and b, which it then owns. */
dfal_status df_check_put(struct df_device *a, struct df_device *b);
/* The context's device, or the first of its group, opened on first use with as many queues as the context has
 * threads. Of several ranks on a host each takes a GPU of its own where `auto` and `cuda` name none, so its
 * ranks are known before. Errors   E_UNAVAILABLE devices of several models without allow_mixed */
dfal_status df_context_device(struct dfal_context *context, struct df_device **out);

/* ---- Groups (group.c; registry.c opens them) --------------------------------------------------------------
 * Devices that share the rows of a job: one has the others behind it. Whoever spreads rows over devices goes
 * through the group; whoever does not takes the first as any other device. Each computes a row to the same
 * bits, so no result depends on how many there are. A device that was opened alone is a group of one. */

/* Open each by its name. Errors   those of the first that does not open */
dfal_status df_group_open(struct df_device **out, const char *const *names, int32_t count, const char *isa,
                          int32_t queues);
int32_t df_group_count(const struct df_device *device);
/* Queues that a piece of work is spread over: the sum of df_device_workers. */
int32_t df_group_workers(const struct df_device *device);
/* Are there devices of other bits than the first's? */
bool df_group_is_mixed(const struct df_device *device);
/* Errors   E_UNAVAILABLE naming two models that differ, without allow_mixed */
dfal_status df_group_check(const struct df_device *device, bool allow_mixed);
/* "NVIDIA H200", "2 x NVIDIA H200", "NVIDIA H200, NVIDIA H100 NVL". */
enum { DF_GROUP_TEXT = 96 };
void df_group_text(char text[DF_GROUP_TEXT], const struct df_device *device);
/* The status of a call of this member: a device's own failure tells which one has failed. */
dfal_status df_group_blame(const struct df_device *device, dfal_status status);
/* Say that a piece of work, "training", leaves all members but the first alone. */
void df_group_say_first(struct dfal_context *context, const struct df_device *device, const char *what);

/* libdfal_cuda.so beside this library, where it was built or installed; without one the bare name, for the
 * loader to find. df_free gives it back. */
dfal_status df_cuda_find(char **path);
/* For `doctor`: that object; the NVIDIA driver; and what to do where the CUDA back end does not open for this
 * reason (NULL: it does), "" where there is nothing to add. */
struct df_cuda_report {
    char object[1024], driver[128];
    const char *advice;
};
dfal_status df_cuda_report(struct df_cuda_report *report, const char *reason);

extern const struct df_backend df_backend_ref, df_backend_ref64, df_backend_cpu;

/* What an op is: for checks, logs and benchmarks. */
enum df_walk { DF_WALK_LAYER, DF_WALK_CELL, DF_WALK_ITEM, DF_WALK_BLOCK };
/* Members of union df_params. */
enum df_params_member {
    DF_PARAMS_none,
    DF_PARAMS_value,
    DF_PARAMS_channel,
    DF_PARAMS_cols,
    DF_PARAMS_dropout,
    DF_PARAMS_sgd,
    DF_PARAMS_adam,
    DF_PARAMS_pool,
    DF_PARAMS_join,
    DF_PARAMS_pad,
    DF_PARAMS_slope,
    DF_PARAMS_bn,
    DF_PARAMS_prelu,
    DF_PARAMS_loss,
    DF_PARAMS_choice,
    DF_PARAMS_centre,
    DF_PARAMS_badge,
    DF_PARAMS_deepfool
};
struct df_operand {
    const char *name; /* NULL: the op has no more */
    int type;         /* enum df_type, or: */
    bool read, written, optional;
};
enum { DF_OPERAND_RAW = 100 /* U8 or REAL */ };
struct df_op_info {
    const char *name;
    enum df_walk walk;
    char op_class; /* 'E' 'U' 'L' 'S' */
    enum df_params_member params;
    struct df_operand out[DF_MAX_OUT], in[DF_MAX_IN];
};
extern const struct df_op_info df_op_info[DF_OP_COUNT];

/* Elements of an operand, from its span on: those that a call may touch, what `check` copies and compares
 * (DF_SIZE_TO_END: an index decides, anything up to the buffer's end); and as many as it reads or writes. */
enum { DF_SIZE_TO_END = -1 };
struct df_operand_size {
    int64_t extent, moved;
};
struct df_call_sizes {
    struct df_operand_size out[DF_MAX_OUT], in[DF_MAX_IN]; /* also of operands that are absent */
};
void df_call_sizes(struct df_call_sizes *sizes, const struct df_call *call);
/* Does a call give every operand that its op needs, in a buffer of its type that holds what will be touched?
 * ref, ref64 and check ask before every op; cpu and cuda do not.   Errors   E_INTERNAL it does not */
dfal_status df_call_check(const struct df_call *call);
/* An extent as a number of elements. */
int64_t df_span_count(struct df_span span, int64_t extent);
/* Errors   E_INTERNAL count elements of the span do not lie in its buffer */
dfal_status df_span_check(struct df_span span, int64_t count, const char *what);
/* Which of a layer's ops this one is, an enum df_layer_kind; -1: none of such a layer. */
int df_layer_op_kind(enum df_op op, bool is_gemm);
int64_t df_layer_weight_count(const struct df_layer_desc *layer);
int64_t df_layer_bias_count(const struct df_layer_desc *layer);
/* So few channels that a library's tiles, and tensor cores, would mostly be padding. */
bool df_layer_is_narrow(const struct df_layer_desc *layer);
/* May it be split? Without groups, and wide on both sides: forward and backward each pad one of them. */
bool df_layer_can_split(const struct df_layer_desc *layer);
/* Products that a value of dx is the sum of, at most. */
int64_t df_layer_backward_terms(const struct df_layer_desc *layer);

/* Queues that one piece of work is spread over: all of them, or one where one fills the device. */
static inline int32_t df_device_workers(const struct df_device *device)
{
    return device->wide ? 1 : device->queue_count;
}
/* Ask a queue to record. *on false: it has no recordings, calls run as ever. */
dfal_status df_record_begin(struct df_device *device, int32_t queue, bool *on);
/* Record what `calls` asks of the queue. *out NULL: the device has no recordings, or could not make this one,
 * which is said as an event: the calls are to be made as ever, and not to be recorded again. */
dfal_status df_record(struct dfal_context *context, struct df_device *device, int32_t queue,
                      struct df_recording **out, dfal_status (*calls)(void *arg), void *arg);

/* Shorthands. */
dfal_status df_buffer_new(struct df_device *device, struct df_span *out, enum df_type type, int64_t count);
void df_buffer_drop(struct df_device *device, struct df_span *span);
static inline struct df_span df_at(struct df_span span, int64_t offset)
{
    return (struct df_span){span.buffer, span.offset + offset};
}
static inline dfal_status df_call_run(struct df_device *device, int32_t queue, const struct df_call *call)
{
    return device->backend->run(device, queue, call);
}
static inline dfal_status df_write(struct df_device *device, int32_t queue, struct df_span to,
                                   const void *from, int64_t count)
{
    return device->backend->write(device, queue, to, from, count);
}
static inline dfal_status df_read(struct df_device *device, int32_t queue, void *to, struct df_span from,
                                  int64_t count)
{
    return device->backend->read(device, queue, to, from, count);
}

#endif
