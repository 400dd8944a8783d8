/* SPDX-License-Identifier: Apache-2.0 */
/* PRelu: its slopes are a parameter. */
#include "net/node_rules.h"
#include "net/tape.h"

static void set_prelu(struct df_call *call, const struct df_node *node)
{
    call->p.prelu.channels = (int32_t)node->out.c;
    call->p.prelu.slopes = (int32_t)node->parameter[DF_WEIGHT].count;
    call->p.prelu.plane = node->out.h * node->out.w;
}

static void set_planes(struct df_call *call, const struct df_node *node, int64_t rows)
{
    set_prelu(call, node);
    call->rows = rows * node->out.c;
    call->cols = node->out.h * node->out.w;
}

static struct df_span slopes(const struct df_plan *plan, int32_t index)
{
    return df_at(plan->parameters, plan->nodes[index].parameter_at);
}

static dfal_status forward(const struct df_pass *pass, int32_t index, struct df_call *call)
{
    set_planes(call, df_pass_node(pass, index), pass->rows);
    DF_IN(call, prelu_fwd, slope) = slopes(pass->tape->plan, index);
    return df_tape_run(pass->tape, call);
}

static dfal_status vjp(const struct df_pass *pass, const struct df_instruction *instruction,
                       struct df_call *call)
{
    const struct df_node *node = df_pass_node(pass, instruction->node);
    set_planes(call, node, pass->rows);
    DF_IN(call, prelu_bwd, x) = df_tape_value_at(pass->tape, node->inputs[0], 0);
    DF_IN(call, prelu_bwd, slope) = slopes(pass->tape->plan, instruction->node);
    DF_IN(call, prelu_bwd, owner) = pass->owners;
    return df_tape_run(pass->tape, call);
}

static dfal_status parameters(const struct df_pass *pass, const struct df_instruction *instruction)
{
    const struct df_node *node = df_pass_node(pass, instruction->node);
    struct df_call call =
        DF_CALL(prelu_wgrad, .rows = node->parameter[DF_WEIGHT].count, .cols = pass->rows,
                .dslope = df_at(pass->gradient, pass->tape->plan->nodes[instruction->node].parameter_at),
                .dy = df_pass_cotangent(pass, instruction),
                .x = df_tape_value_at(pass->tape, node->inputs[0], pass->sample));
    set_prelu(&call, node);
    return df_tape_run(pass->tape, &call);
}

const struct df_node_rules df_rules_prelu = {
    .value = DF_VALUE_POINTWISE,
    .input_gradient = DF_READS_INPUTS,
    .training = DF_READS_INPUTS,
    .forward_op = DF_OP_prelu_fwd,
    .backward_op = DF_OP_prelu_bwd,
    .forward = forward,
    .vjp = vjp,
    .parameters = parameters,
};
