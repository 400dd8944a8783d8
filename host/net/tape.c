/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/memory.h"
#include "net/node_rules.h"
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
    DF_TRY(create_buffers(tape, &tape->reused, plan->reused_size, plan->reused_count, DF_TYPE_REAL,
                          tape->chunk));
    DF_TRY(create_buffers(tape, &tape->args, plan->arg_size, plan->arg_count, DF_TYPE_I32, tape->rows));
    DF_TRY(create_buffers(tape, &tape->mean, plan->norm_size, plan->norm_count, DF_TYPE_REAL, 1));
    DF_TRY(create_buffers(tape, &tape->rstd, plan->norm_size, plan->norm_count, DF_TYPE_REAL, 1));
    if (plan->largest_arg > 0)
        DF_TRY(df_buffer_new(device, &tape->unused_arg, DF_TYPE_I32, tape->chunk * plan->largest_arg));
    if (plan->fused) {
        DF_TRY(df_buffer_new(device, &tape->logits, DF_TYPE_REAL, tape->rows * plan->network->class_count));
        DF_TRY(df_buffer_new(device, &tape->kept_bytes, DF_TYPE_U8, tape->rows * plan->kept_bytes));
        if (plan->tap >= 0)
            DF_TRY(df_buffer_new(device, &tape->tapped, DF_TYPE_REAL,
                                 tape->rows * df_value_size(plan->network, plan->tap)));
    }
    if (tape->cotangent_rows > 0) {
        DF_TRY(df_buffer_new(device, &tape->cotangents, DF_TYPE_REAL,
                             tape->cotangent_rows * plan->network->class_count));
        DF_TRY(df_buffer_new(device, &tape->owners, DF_TYPE_I32, tape->cotangent_rows));
    }
    if (plan->uses & DF_PLAN_INPUT_GRADIENT && tape->cotangent_rows > 0)
        DF_TRY(df_buffer_new(device, &tape->dinput, DF_TYPE_REAL, tape->cotangent_rows * size));
    return DFAL_OK;
}

dfal_status df_tape_create(struct df_tape **out, struct df_plan *plan, int32_t queue, int64_t rows,
                           int64_t cotangent_rows)
{
    struct df_tape *tape;
    *out = NULL;
    if (cotangent_rows > 0 && !(plan->uses & (DF_PLAN_INPUT_GRADIENT | DF_PLAN_ROW_GRADIENT)))
        DF_FAIL(DFAL_E_INTERNAL, "A tape for %lld cotangents belongs to a plan without gradients of rows",
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
    struct df_span *single[] = {&tape->input,      &tape->cotangents, &tape->owners,     &tape->dinput,
                                &tape->unused_arg, &tape->logits,     &tape->kept_bytes, &tape->tapped};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        df_buffer_drop(plan->device, single[i]);
    drop_buffers(tape, tape->kept, plan->kept_count);
    drop_buffers(tape, tape->reused, plan->reused_count);
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
                                       : tape->reused[place.index];
}

struct df_span df_tape_logits(struct df_tape *tape)
{
    if (tape->plan->fused)
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
    if (plan->fused && plan->tap == node) {
        *out = tape->tapped;
        *shape = plan->network->nodes[node].out;
        return DFAL_OK;
    }
    if (root != DF_INPUT &&
        (plan->fused || plan->nodes[root].value.kind != DF_PLACE_KEPT || plan->nodes[root].overwritten))
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
    return df_call_run(tape->plan->device, tape->queue, call);
}

const struct df_node *df_pass_node(const struct df_pass *pass, int32_t index)
{
    return &pass->tape->plan->network->nodes[index];
}

static dfal_status forward_node(const struct df_pass *pass, int32_t index)
{
    const struct df_tape *tape = pass->tape;
    const struct df_plan *plan = tape->plan;
    const struct df_node *node = df_pass_node(pass, index);
    const struct df_node_rules *rules = df_node_rules(node->op);
    if (df_plan_root(plan, index, tape->dropping) != index)
        return DFAL_OK;
    struct df_call call = {.op = rules->forward_op,
                           .out = {df_tape_value_at(tape, index, pass->first)},
                           .in = {df_tape_value_at(tape, node->inputs[0], pass->first)},
                           .rows = pass->rows,
                           .cols = df_value_size(plan->network, index),
                           .layer = plan->nodes[index].layer};
    return rules->forward ? rules->forward(pass, index, &call) : df_tape_run(tape, &call);
}

static dfal_status forward(struct df_tape *tape, int64_t n)
{
    if (n < 0 || n > tape->rows)
        DF_FAIL(DFAL_E_INTERNAL, "A forward of %lld rows runs on a tape of %lld", (long long)n,
                (long long)tape->rows);
    tape->forward_rows = n;
    if (tape->plan->fused) {
        const struct df_fused_call call = {.fused = tape->plan->fused,
                                           .rows = n,
                                           .y = tape->logits,
                                           .x = tape->input,
                                           .kept = tape->kept_bytes,
                                           .tapped = tape->tapped};
        return tape->plan->device->backend->fused_run(tape->plan->device, tape->queue, &call);
    }
    for (int64_t first = 0; first < n; first += tape->chunk) {
        const struct df_pass pass = {
            .tape = tape, .first = first, .rows = n - first < tape->chunk ? n - first : tape->chunk};
        for (int32_t i = 0; i < tape->plan->network->node_count; i++)
            DF_TRY(forward_node(&pass, i));
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
