/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/memory.h"
#include "net/tape.h"

static dfal_status create_buffers(struct df_tape *tape, struct df_span **spans, const int64_t *sizes,
                                  int32_t count, enum df_type type, int64_t rows)
{
    DF_TRY(df_alloc(spans, count, sizeof **spans));
    for (int32_t i = 0; i < count; i++)
        DF_TRY(df_buffer_new(tape->plan->device, &(*spans)[i], type, rows * sizes[i]));
    return DFAL_OK;
}

static dfal_status create_all(struct df_tape *tape)
{
    const struct df_plan *plan = tape->plan;
    struct df_device *device = plan->device;
    int64_t size = df_plan_input_size(plan);
    DF_TRY(df_buffer_new(device, &tape->input, DF_TYPE_REAL, tape->rows * size));
    DF_TRY(create_buffers(tape, &tape->kept, plan->kept_size, plan->kept_count, DF_TYPE_REAL, tape->rows));
    DF_TRY(create_buffers(tape, &tape->slots, plan->slot_size, plan->slot_count, DF_TYPE_REAL, tape->chunk));
    DF_TRY(create_buffers(tape, &tape->args, plan->arg_size, plan->arg_count, DF_TYPE_I32, tape->rows));
    DF_TRY(create_buffers(tape, &tape->mean, plan->norm_size, plan->norm_count, DF_TYPE_REAL, 1));
    DF_TRY(create_buffers(tape, &tape->rstd, plan->norm_size, plan->norm_count, DF_TYPE_REAL, 1));
    if (plan->largest_arg > 0)
        DF_TRY(df_buffer_new(device, &tape->unused_arg, DF_TYPE_I32, tape->chunk * plan->largest_arg));
    if (plan->stack) {
        DF_TRY(df_buffer_new(device, &tape->logits, DF_TYPE_REAL, tape->rows * plan->network->class_count));
        DF_TRY(df_buffer_new(device, &tape->kept_bytes, DF_TYPE_U8, tape->rows * plan->kept_bytes));
    }
    if (tape->cotangent_rows > 0) {
        DF_TRY(df_buffer_new(device, &tape->cotangents, DF_TYPE_REAL,
                             tape->cotangent_rows * plan->network->class_count));
        DF_TRY(df_buffer_new(device, &tape->owners, DF_TYPE_I32, tape->cotangent_rows));
        DF_TRY(df_buffer_new(device, &tape->dinput, DF_TYPE_REAL, tape->cotangent_rows * size));
    }
    return DFAL_OK;
}

dfal_status df_tape_create(struct df_tape **out, struct df_plan *plan, int32_t queue, int64_t rows,
                           int64_t cotangent_rows)
{
    struct df_tape *tape;
    *out = NULL;
    if (cotangent_rows > 0 && !(plan->uses & DF_PLAN_INPUT_GRADIENT))
        DF_FAIL(DFAL_E_INTERNAL, "A tape for %lld cotangents belongs to a plan without input gradients",
                (long long)cotangent_rows);
    DF_TRY(df_alloc(&tape, 1, sizeof *tape));
    tape->plan = plan;
    tape->queue = queue;
    tape->rows = rows;
    tape->cotangent_rows = cotangent_rows;
    tape->chunk = rows > cotangent_rows ? rows : cotangent_rows;
    if (!plan->whole && tape->chunk > plan->block_rows)
        tape->chunk = plan->block_rows;
    dfal_status status = create_all(tape);
    if (status != DFAL_OK) {
        df_tape_destroy(tape);
        return status;
    }
    *out = tape;
    return DFAL_OK;
}

static void drop_buffers(struct df_tape *tape, struct df_span *spans, int32_t count)
{
    for (int32_t i = 0; spans && i < count; i++)
        df_buffer_drop(tape->plan->device, &spans[i]);
    df_free(spans);
}

void df_tape_destroy(struct df_tape *tape)
{
    if (!tape)
        return;
    const struct df_plan *plan = tape->plan;
    struct df_span *single[] = {&tape->input,      &tape->cotangents, &tape->owners,    &tape->dinput,
                                &tape->unused_arg, &tape->logits,     &tape->kept_bytes};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        df_buffer_drop(plan->device, single[i]);
    drop_buffers(tape, tape->kept, plan->kept_count);
    drop_buffers(tape, tape->slots, plan->slot_count);
    drop_buffers(tape, tape->args, plan->arg_count);
    drop_buffers(tape, tape->mean, plan->norm_count);
    drop_buffers(tape, tape->rstd, plan->norm_count);
    df_free(tape);
}

struct df_span df_tape_input(struct df_tape *tape)
{
    return tape->input;
}

struct df_span df_tape_cotangents(struct df_tape *tape)
{
    return tape->cotangents;
}

struct df_span df_tape_owners(struct df_tape *tape)
{
    return tape->owners;
}

struct df_span df_tape_value_at(const struct df_tape *tape, int32_t node, int64_t first)
{
    const struct df_plan *plan = tape->plan;
    node = df_plan_root(plan, node, tape->dropping);
    int64_t size = df_value_size(plan->network, node);
    if (node == DF_INPUT)
        return df_at(tape->input, first * size);
    struct df_place place = plan->nodes[node].value;
    return place.kind == DF_PLACE_KEPT ? df_at(tape->kept[place.index], first * size)
                                       : tape->slots[place.index];
}

struct df_span df_tape_logits(struct df_tape *tape)
{
    if (tape->plan->stack)
        return tape->logits;
    return df_tape_value_at(tape, tape->plan->network->output, 0);
}

dfal_status df_tape_node(struct df_tape *tape, const char *name, struct df_span *out, struct df_shape *shape)
{
    const struct df_plan *plan = tape->plan;
    int32_t node = df_network_find(plan->network, name);
    if (node < DF_INPUT)
        DF_FAIL(DFAL_E_USAGE, "The network has no node '%s'", name);
    int32_t root = df_plan_root(plan, node, tape->dropping);
    if (root != DF_INPUT &&
        (plan->stack || plan->nodes[root].value.kind != DF_PLACE_KEPT || plan->nodes[root].overwritten))
        DF_FAIL(DFAL_E_USAGE,
                "The values of node '%s' are not kept where gradients or a folded network are computed",
                name);
    *out = df_tape_value_at(tape, node, 0);
    *shape = node == DF_INPUT ? plan->network->input : plan->network->nodes[node].out;
    return DFAL_OK;
}

/* ---- Forward ------------------------------------------------------------------------------- */

dfal_status df_tape_run(const struct df_tape *tape, const struct df_call *call)
{
    return df_run(tape->plan->device, tape->queue, call);
}

static dfal_status forward_norm(struct df_tape *tape, int32_t index, struct df_call *call, int64_t rows)
{
    const struct df_plan *plan = tape->plan;
    const struct df_node *node = &plan->network->nodes[index];
    const struct df_plan_node *own = &plan->nodes[index];
    if (!tape->training || df_node_is_fixed(node)) {
        call->op = DF_OP_affine_fwd;
        df_tape_set_affine(call, node, rows);
        call->in[1] = own->scale;
        call->in[2] = own->shift;
        return df_tape_run(tape, call);
    }
    call->op = DF_OP_bn_train_fwd;
    df_tape_set_norm(call, node, rows);
    call->out[1] = tape->mean[own->norm];
    call->out[2] = tape->rstd[own->norm];
    call->out[3] = df_at(plan->statistics, own->statistics_at);
    call->out[4] = df_at(plan->statistics, own->statistics_at + node->out.c);
    call->in[1] = df_at(plan->parameters, own->parameter_at);
    call->in[2] = df_at(plan->parameters, own->parameter_at + node->out.c);
    return df_tape_run(tape, call);
}

static dfal_status forward_concat(struct df_tape *tape, int32_t index, int64_t first, int64_t rows)
{
    const struct df_network *network = tape->plan->network;
    const struct df_node *node = &network->nodes[index];
    int64_t begin = 0, width = df_value_size(network, index);
    for (int32_t j = 0; j < node->input_count; j++) {
        int64_t size = df_value_size(network, node->inputs[j]);
        struct df_call call = {.op = DF_OP_copy_cols, .rows = rows, .cols = size};
        call.out[0] = df_tape_value_at(tape, index, first);
        call.in[0] = df_tape_value_at(tape, node->inputs[j], first);
        call.p.cols.y_stride = width;
        call.p.cols.y_begin = begin;
        call.p.cols.x_stride = size;
        DF_TRY(df_tape_run(tape, &call));
        begin += size;
    }
    return DFAL_OK;
}

/* Same shapes go side by side; anything else is broadcast. */
static dfal_status forward_join(struct df_tape *tape, int32_t index, struct df_call *call, int64_t first,
                                int64_t rows)
{
    const struct df_network *network = tape->plan->network;
    const struct df_node *node = &network->nodes[index];
    bool same = df_value_size(network, node->inputs[0]) == call->cols &&
                df_value_size(network, node->inputs[1]) == call->cols;
    call->in[1] = df_tape_value_at(tape, node->inputs[1], first);
    if (node->op == DF_NODE_ADD && same)
        call->op = DF_OP_add_fwd;
    else
        df_tape_set_join(call, network, index, rows, -1);
    return df_tape_run(tape, call);
}

static dfal_status forward_node(struct df_tape *tape, int32_t index, int64_t first, int64_t rows)
{
    const struct df_plan *plan = tape->plan;
    const struct df_node *node = &plan->network->nodes[index];
    const struct df_plan_node *own = &plan->nodes[index];
    if (df_plan_root(plan, index, tape->dropping) != index)
        return DFAL_OK;
    struct df_call call = {.rows = rows, .cols = df_value_size(plan->network, index), .layer = own->layer};
    call.out[0] = df_tape_value_at(tape, index, first);
    call.in[0] = df_tape_value_at(tape, node->inputs[0], first);
    switch (node->op) {
    case DF_NODE_CONV:
        call.op = DF_OP_conv_fwd;
        break;
    case DF_NODE_GEMM:
        call.op = DF_OP_gemm_fwd;
        break;
    case DF_NODE_RELU:
        call.op = DF_OP_relu_fwd;
        break;
    case DF_NODE_LEAKY_RELU:
        call.op = DF_OP_leaky_relu_fwd;
        df_tape_set_slope(&call, node);
        break;
    case DF_NODE_CLIP:
        call.op = DF_OP_clip_fwd;
        df_tape_set_slope(&call, node);
        break;
    case DF_NODE_SIGMOID:
        call.op = DF_OP_sigmoid_fwd;
        break;
    case DF_NODE_HARD_SIGMOID:
        call.op = DF_OP_hard_sigmoid_fwd;
        df_tape_set_slope(&call, node);
        break;
    case DF_NODE_HARD_SWISH:
        call.op = DF_OP_hard_swish_fwd;
        break;
    case DF_NODE_MAX_POOL:
        call.op = DF_OP_maxpool_fwd;
        df_tape_set_pool(&call, plan->network, index, rows, true);
        call.out[1] =
            own->arg < 0 ? tape->unused_arg : df_at(tape->args[own->arg], first * plan->arg_size[own->arg]);
        break;
    case DF_NODE_AVERAGE_POOL:
    case DF_NODE_GLOBAL_AVERAGE_POOL:
        call.op = DF_OP_avgpool_fwd;
        df_tape_set_pool(&call, plan->network, index, rows, true);
        break;
    case DF_NODE_BATCH_NORM:
        return forward_norm(tape, index, &call, rows);
    case DF_NODE_DROPOUT:
        df_tape_set_dropout(&call, tape, index);
        call.p.dropout.first_row += first;
        break;
    case DF_NODE_ADD:
    case DF_NODE_SUB:
    case DF_NODE_MUL:
    case DF_NODE_DIV:
        return forward_join(tape, index, &call, first, rows);
    case DF_NODE_CONCAT:
        return forward_concat(tape, index, first, rows);
    case DF_NODE_PAD:
        call.op = DF_OP_pad_fwd;
        df_tape_set_pad(&call, plan->network, index, rows);
        break;
    case DF_NODE_FLATTEN:
    case DF_NODE_RESHAPE:
    case DF_NODE_OP_COUNT:
        DF_FAIL(DFAL_E_INTERNAL, "Node '%s' has no forward op", node->name);
    }
    return df_tape_run(tape, &call);
}

static dfal_status forward(struct df_tape *tape, int64_t n)
{
    if (n < 0 || n > tape->rows)
        DF_FAIL(DFAL_E_INTERNAL, "A forward of %lld rows runs on a tape of %lld", (long long)n,
                (long long)tape->rows);
    tape->forward_rows = n;
    if (tape->plan->stack) {
        const struct df_stack_call call = {.stack = tape->plan->stack,
                                           .rows = n,
                                           .y = tape->logits,
                                           .x = tape->input,
                                           .kept = tape->kept_bytes};
        return tape->plan->device->backend->stack_run(tape->plan->device, tape->queue, &call);
    }
    for (int64_t first = 0; first < n; first += tape->chunk) {
        int64_t rows = n - first < tape->chunk ? n - first : tape->chunk;
        for (int32_t i = 0; i < tape->plan->network->node_count; i++)
            DF_TRY(forward_node(tape, i, first, rows));
    }
    return DFAL_OK;
}

dfal_status df_tape_forward(struct df_tape *tape, int64_t n)
{
    tape->dropping = tape->training = false;
    return forward(tape, n);
}

dfal_status df_tape_forward_dropout(struct df_tape *tape, int64_t n, const struct df_dropout *dropout)
{
    tape->dropping = true;
    tape->training = (tape->plan->uses & DF_PLAN_TRAIN) != 0;
    tape->dropout = *dropout;
    return forward(tape, n);
}
