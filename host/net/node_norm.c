/* SPDX-License-Identifier: Apache-2.0 */
/* Batch-norm: with a batch's statistics where it trains, else an affine map, frozen or fixed. */
#include "base/memory.h"
#include "net/node_rules.h"
#include "net/tape.h"

/* Share of a batch's statistics in the running ones, as PyTorch counts it. */
static const double norm_momentum = 0.1;

static void set_norm(struct df_call *call, const struct df_node *node, int64_t rows)
{
    call->rows = node->out.c;
    call->cols = rows;
    call->p.bn.channels = (int32_t)node->out.c;
    call->p.bn.plane = node->out.h * node->out.w;
    call->p.bn.epsilon = node->epsilon;
    call->p.bn.momentum = norm_momentum;
}

static void set_affine(struct df_call *call, const struct df_node *node, int64_t rows)
{
    call->rows = rows * node->out.c;
    call->cols = node->out.h * node->out.w;
    call->p.channel.channels = (int32_t)node->out.c;
}

static dfal_status forward(const struct df_pass *pass, int32_t index, struct df_call *call)
{
    const struct df_tape *tape = pass->tape;
    const struct df_plan *plan = tape->plan;
    const struct df_node *node = df_pass_node(pass, index);
    const struct df_plan_node *own = &plan->nodes[index];
    if (!tape->training || df_node_is_fixed(node)) {
        set_affine(call, node, pass->rows);
        DF_IN(call, affine_fwd, scale) = own->scale;
        DF_IN(call, affine_fwd, shift) = own->shift;
        return df_tape_run(tape, call);
    }
    call->op = DF_OP_bn_train_fwd;
    set_norm(call, node, pass->rows);
    DF_OUT(call, bn_train_fwd, mean) = tape->mean[own->norm];
    DF_OUT(call, bn_train_fwd, rstd) = tape->rstd[own->norm];
    DF_OUT(call, bn_train_fwd, running_mean) = df_at(plan->statistics, own->statistics_at);
    DF_OUT(call, bn_train_fwd, running_var) = df_at(plan->statistics, own->statistics_at + node->out.c);
    DF_IN(call, bn_train_fwd, weight) = df_at(plan->parameters, own->parameter_at);
    DF_IN(call, bn_train_fwd, bias) = df_at(plan->parameters, own->parameter_at + node->out.c);
    return df_tape_run(tape, call);
}

static dfal_status vjp(const struct df_pass *pass, const struct df_instruction *instruction,
                       struct df_call *call)
{
    const struct df_tape *tape = pass->tape;
    const struct df_node *node = df_pass_node(pass, instruction->node);
    const struct df_plan_node *own = &tape->plan->nodes[instruction->node];
    if (!pass->gradient.buffer || df_node_is_fixed(node)) {
        set_affine(call, node, pass->rows);
        DF_IN(call, affine_bwd, scale) = own->scale;
        return df_tape_run(tape, call);
    }
    if (!tape->training)
        DF_FAIL(DFAL_E_INTERNAL, "Node '%s' is frozen: its parameters' gradients need a forward that trains",
                node->name);
    call->op = DF_OP_bn_train_bwd;
    set_norm(call, node, pass->rows);
    DF_OUT(call, bn_train_bwd, dweight) = df_at(pass->gradient, own->parameter_at);
    DF_OUT(call, bn_train_bwd, dbias) = df_at(pass->gradient, own->parameter_at + node->out.c);
    DF_IN(call, bn_train_bwd, x) = df_tape_value_at(tape, node->inputs[0], 0);
    DF_IN(call, bn_train_bwd, mean) = tape->mean[own->norm];
    DF_IN(call, bn_train_bwd, rstd) = tape->rstd[own->norm];
    DF_IN(call, bn_train_bwd, weight) = df_at(tape->plan->parameters, own->parameter_at);
    return df_tape_run(tape, call);
}

/* Of a fixed map: it has gradients like all others, of zeros. Of a frozen one: sum dy xhat and sum dy, which
 * are a batch's with the running statistics in place of its own; only dx is another (affine_bwd), and left
 * out. */
static dfal_status parameters(const struct df_pass *pass, const struct df_instruction *instruction)
{
    const struct df_tape *tape = pass->tape;
    const struct df_node *node = df_pass_node(pass, instruction->node);
    const struct df_plan_node *own = &tape->plan->nodes[instruction->node];
    const struct df_span dweight = df_at(pass->gradient, own->parameter_at);
    if (df_node_is_fixed(node)) {
        const struct df_call zero = DF_CALL(fill, .rows = 1, .cols = 2 * node->out.c, .y = dweight);
        return df_tape_run(tape, &zero);
    }
    struct df_call call =
        DF_CALL(bn_train_bwd, .dweight = dweight, .dbias = df_at(dweight, node->out.c),
                .dy = df_pass_cotangent(pass, instruction),
                .x = df_tape_value_at(tape, node->inputs[0], pass->sample),
                .mean = df_at(tape->plan->statistics, own->statistics_at), .rstd = own->rstd);
    set_norm(&call, node, pass->rows);
    return df_tape_run(tape, &call);
}

static dfal_status reserve(struct df_plan *plan, int32_t index)
{
    const int32_t norm = plan->norm_count;
    if (!(plan->uses & DF_PLAN_TRAIN))
        return DFAL_OK;
    DF_TRY(df_resize(&plan->norm_size, norm, (int64_t)norm + 1, sizeof *plan->norm_size));
    plan->norm_size[norm] = plan->network->nodes[index].out.c;
    plan->norm_count++;
    plan->nodes[index].norm = norm;
    return DFAL_OK;
}

static dfal_status prepare(struct df_plan *plan, int32_t index)
{
    struct df_plan_node *own = &plan->nodes[index];
    const int64_t channels = plan->network->nodes[index].out.c;
    if (plan->uses & DF_PLAN_ROW_GRADIENT)
        DF_TRY(df_buffer_new(plan->device, &own->rstd, DF_TYPE_REAL, channels));
    DF_TRY(df_buffer_new(plan->device, &own->scale, DF_TYPE_REAL, channels));
    return df_buffer_new(plan->device, &own->shift, DF_TYPE_REAL, channels);
}

const struct df_node_rules df_rules_batch_norm = {
    .value = DF_VALUE_POINTWISE,
    .training = DF_READS_INPUTS,
    .forward_op = DF_OP_affine_fwd,
    .backward_op = DF_OP_affine_bwd,
    .forward = forward,
    .vjp = vjp,
    .parameters = parameters,
    .joint = true,
    .reserve = reserve,
    .prepare = prepare,
};
