/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions and products: a layer of the back end each. */
#include "net/node_rules.h"
#include "net/row_gradients.h"
#include "net/tape.h"

static dfal_status parameters(const struct df_pass *pass, const struct df_instruction *instruction)
{
    const struct df_plan *plan = pass->tape->plan;
    const struct df_node *node = df_pass_node(pass, instruction->node);
    const struct df_plan_node *own = &plan->nodes[instruction->node];
    const struct df_span dw = df_at(pass->gradient, own->parameter_at);
    struct df_call call = DF_CALL(conv_wgrad, .layer = own->layer, .rows = pass->rows, .dw = dw,
                                  .db = df_at(dw, node->parameter[DF_WEIGHT].count),
                                  .x = df_tape_value_at(pass->tape, node->inputs[0], pass->sample),
                                  .dy = df_pass_cotangent(pass, instruction));
    if (node->op == DF_NODE_GEMM)
        call.op = DF_OP_gemm_wgrad;
    return df_tape_run(pass->tape, &call);
}

/* dW = dy x^T and db = dy, so the length is ||dy|| sqrt(||x||^2 + 1). */
static dfal_status gemm_square(const struct df_pass *pass, const struct df_instruction *instruction,
                               float *room, double *square)
{
    const struct df_tape *tape = pass->tape;
    const struct df_network *network = tape->plan->network;
    const int32_t input = df_pass_node(pass, instruction->node)->inputs[0];
    const int64_t in = df_value_size(network, input), out = df_value_size(network, instruction->node);
    float *x = room, *dy = room + in;
    DF_TRY(df_read(tape->plan->device, tape->queue, x, df_tape_value_at(tape, input, pass->sample), in));
    DF_TRY(df_read(tape->plan->device, tape->queue, dy, df_pass_cotangent(pass, instruction), out));
    *square = df_sum_of_squares(dy, out) * (df_sum_of_squares(x, in) + 1);
    return DFAL_OK;
}

static dfal_status prepare(struct df_plan *plan, int32_t index)
{
    const struct df_node *node = &plan->network->nodes[index];
    const bool conv = node->op == DF_NODE_CONV;
    struct df_layer_desc desc = {
        .is_gemm = !conv,
        .in = df_value_shape(plan->network, node->inputs[0]),
        .out = node->out,
        .window = node->window,
        .group = conv ? node->group : 1,
        .block_rows = plan->block_rows,
        .forward = true,
        .backward = df_plan_has_gradients(plan),
        .weight_gradient = df_plan_has_parameter_gradients(plan),
        .of_one_row = (plan->uses & DF_PLAN_ROW_GRADIENT) != 0,
    };
    /* Gradients by parameters alone never ask for that of the network's input. */
    if (node->inputs[0] == DF_INPUT && !(plan->uses & DF_PLAN_INPUT_GRADIENT))
        desc.backward = false;
    desc.half_backward = desc.backward && plan->uses & DF_PLAN_HALF && !df_layer_is_narrow(&desc);
    desc.split = plan->uses & DF_PLAN_SPLIT && df_layer_can_split(&desc);
    return plan->device->backend->layer_create(plan->device, &plan->nodes[index].layer, &desc);
}

const struct df_node_rules df_rules_conv = {
    .training = DF_READS_INPUTS,
    .forward_op = DF_OP_conv_fwd,
    .backward_op = DF_OP_conv_bwd,
    .parameters = parameters,
    .prepare = prepare,
};

const struct df_node_rules df_rules_gemm = {
    .training = DF_READS_INPUTS,
    .forward_op = DF_OP_gemm_fwd,
    .backward_op = DF_OP_gemm_bwd,
    .parameters = parameters,
    .square = gemm_square,
    .prepare = prepare,
};
