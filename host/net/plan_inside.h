/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a plan: where every value lies and in which order cotangents are computed. For plan.c, program.c,
 * tape.c, row_gradients.c and train*.c only.
 *
 * Values that a gradient or a caller needs lie in `kept` buffers, [rows, size] each. All others, and every
 * cotangent, lie in `reused` ones: a few of [chunk, size], shared by all that do not live at the same time:
 * a chain lives in two. A tape carries `chunk` rows through the whole network at a time, which keeps these in
 * cache. */
#ifndef DF_NET_PLAN_INSIDE_H
#define DF_NET_PLAN_INSIDE_H

#include "backend/backend.h"
#include "graph/network.h"

enum df_place_kind {
    DF_PLACE_NONE,
    DF_PLACE_KEPT,      /* index: which kept buffer */
    DF_PLACE_REUSED,    /* index: which reused buffer */
    DF_PLACE_COTANGENT, /* the caller's cotangents of the logits: read only */
    DF_PLACE_DINPUT,    /* the gradient of the network's input */
};
struct df_place {
    enum df_place_kind kind;
    int32_t index;
};

enum df_instruction_kind {
    DF_INSTRUCTION_VJP, /* to = the node's vector-Jacobian product of from, towards input number `input` */
    DF_INSTRUCTION_PARAMETERS, /* gradients of the node's parameters, given from */
    DF_INSTRUCTION_COPY,       /* to = from */
    DF_INSTRUCTION_ADD,        /* to += from */
};
struct df_instruction {
    enum df_instruction_kind kind;
    int32_t node, input;
    int64_t size; /* COPY, ADD: values a row */
    struct df_place from, to;
};
struct df_program {
    struct df_instruction *instructions;
    int32_t count;
    int64_t capacity;
    struct df_place dinput; /* where the input's gradient is in the end */
};

/* One value's or parameter block's part of the plan, beside the network's node of the same index. */
struct df_plan_node {
    struct df_layer *layer;
    int64_t parameter_at;        /* of weight, then bias, in the parameters; -1: none */
    int64_t statistics_at;       /* of mean, then variance, in the statistics; -1: none */
    struct df_span scale, shift; /* a frozen batch-norm as an affine map */
    struct df_span rstd;   /* 1 / sqrt(variance + epsilon), for its parameters' gradients (ROW_GRADIENT) */
    struct df_place value; /* of nodes that compute one; aliases: see df_plan_root */
    int32_t arg;           /* max-pool: which argument buffer; -1: none kept */
    int32_t norm;          /* batch-norm: which pair of batch statistics; -1: none */
    bool overwritten;      /* the node behind is computed in this value's memory */
};

struct df_plan {
    struct df_device *device;
    struct df_network *network;
    int uses;
    bool named; /* every node's value is kept for df_tape_node */
    bool whole; /* all rows of a call go through the network together */
    int32_t block_rows;
    struct df_plan_node *nodes;
    int64_t parameter_size, statistics_size;
    struct df_span parameters, statistics;
    int64_t *kept_size, *reused_size, *arg_size, *norm_size; /* values a row; norm: channels */
    int32_t kept_count, reused_count, arg_count, norm_count;
    int64_t largest_arg; /* of a max-pool whose arguments nobody needs */
    struct df_program input_gradient, parameter_gradient;
    struct df_fused
        *fused;         /* the whole network in one call: no layers, places or programs then; NULL: none */
    int32_t tap;        /* the node whose values a fused forward gives besides; -2: none */
    int64_t kept_bytes; /* a row of what the fused network's backward reads */
};

/* Of a node's value, or with DF_INPUT of the network's input. */
struct df_shape df_value_shape(const struct df_network *network, int32_t node);
int64_t df_value_size(const struct df_network *network, int32_t node);
bool df_plan_has_gradients(const struct df_plan *plan);
bool df_plan_has_parameter_gradients(const struct df_plan *plan);
/* The node whose memory holds this node's value: through Flatten, Reshape, and Dropout unless it is drawn. */
int32_t df_plan_root(const struct df_plan *plan, int32_t node, bool dropping);
/* Decide places of values and compile the gradients the plan's uses ask for. */
dfal_status df_plan_place(struct df_plan *plan);
/* Leave plan->fused NULL, or make it the network in one call, where the back end has an engine for it
 * (fused.c). */
dfal_status df_plan_try_fused(struct df_plan *plan);
/* Is the network a chain as it is trained, and which? The optimiser's numbers are the caller's to set. */
bool df_plan_is_chain(const struct df_plan *plan, struct df_chain_desc *desc);
void df_program_clear(struct df_program *program);

/* Bind the layers to the parameters as they are now; not batch-norm's statistics. */
dfal_status df_plan_bind_layers(struct df_plan *plan, int32_t queue);
/* Renew the affine maps of frozen batch-norms from parameters and statistics. */
dfal_status df_plan_refresh_norms(struct df_plan *plan, int32_t queue);
/* Does batch-norm make a row's gradient depend on the batch's other rows? */
bool df_plan_couples_rows(const struct df_plan *plan);
struct df_span df_plan_statistics(const struct df_plan *plan);
int64_t df_plan_statistics_size(const struct df_plan *plan);
/* The network's parameters (trainable, then statistics) as one array, and back. */
void df_plan_gather(const struct df_plan *plan, float *values, const struct df_network *network);
void df_plan_scatter(const struct df_plan *plan, struct df_network *network, const float *values);

#endif
