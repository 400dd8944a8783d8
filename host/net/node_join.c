/* SPDX-License-Identifier: Apache-2.0 */
/* Sums, differences, products and quotients of two values, broadcast where their shapes differ. */
#include "net/node_rules.h"
#include "net/tape.h"

/* C-order strides of an operand, 0 along what it has only one of; its values a row. */
static int64_t strides(int64_t stride[3], struct df_shape shape)
{
    stride[0] = shape.c > 1 ? shape.h * shape.w : 0;
    stride[1] = shape.h > 1 ? shape.w : 0;
    stride[2] = shape.w > 1;
    return df_shape_size(shape);
}

/* towards: the operand whose gradient it is, -1: forwards. */
static void set_join(struct df_call *call, const struct df_network *network, int32_t index, int64_t rows,
                     int32_t towards)
{
    const struct df_node *node = &network->nodes[index];
    const struct df_shape a = df_value_shape(network, node->inputs[0]),
                          b = df_value_shape(network, node->inputs[1]);
    struct df_join_params *p = &call->p.join;
    p->kind = node->op == DF_NODE_ADD   ? DF_JOIN_ADD
              : node->op == DF_NODE_SUB ? DF_JOIN_SUB
              : node->op == DF_NODE_MUL ? DF_JOIN_MUL
                                        : DF_JOIN_DIV;
    p->towards = towards > 0;
    p->extent[0] = node->out.c;
    p->extent[1] = node->out.h;
    p->extent[2] = node->out.w;
    p->a_size = strides(p->a_stride, a);
    p->b_size = strides(p->b_stride, b);
    call->rows = rows * (towards < 0 ? node->out.c : towards == 0 ? a.c : b.c);
}

static dfal_status forward(const struct df_pass *pass, int32_t index, struct df_call *call)
{
    DF_IN(call, join_fwd, b) =
        df_tape_value_at(pass->tape, df_pass_node(pass, index)->inputs[1], pass->first);
    set_join(call, pass->tape->plan->network, index, pass->rows, -1);
    return df_tape_run(pass->tape, call);
}

/* Same shapes go side by side; anything else is broadcast. */
static dfal_status add_forward(const struct df_pass *pass, int32_t index, struct df_call *call)
{
    const struct df_network *network = pass->tape->plan->network;
    const struct df_node *node = df_pass_node(pass, index);
    if (df_value_size(network, node->inputs[0]) != call->cols ||
        df_value_size(network, node->inputs[1]) != call->cols)
        return forward(pass, index, call);
    call->op = DF_OP_add_fwd;
    DF_IN(call, add_fwd, b) = df_tape_value_at(pass->tape, node->inputs[1], pass->first);
    return df_tape_run(pass->tape, call);
}

/* The operands are given only where the product or quotient reads them. */
static dfal_status vjp(const struct df_pass *pass, const struct df_instruction *instruction,
                       struct df_call *call)
{
    const struct df_tape *tape = pass->tape;
    const struct df_node *node = df_pass_node(pass, instruction->node);
    set_join(call, tape->plan->network, instruction->node, pass->rows, instruction->input);
    if (df_node_reads(node, false) == DF_READS_INPUTS) {
        DF_IN(call, join_bwd, a) = df_tape_value_at(tape, node->inputs[0], 0);
        DF_IN(call, join_bwd, b) = df_tape_value_at(tape, node->inputs[1], 0);
    }
    DF_IN(call, join_bwd, owner) = pass->owners;
    return df_tape_run(tape, call);
}

static bool add_passes(const struct df_network *network, const struct df_node *node, int32_t input)
{
    return df_value_size(network, node->inputs[input]) == df_shape_size(node->out);
}

static bool sub_passes(const struct df_network *network, const struct df_node *node, int32_t input)
{
    return input == 0 && add_passes(network, node, input);
}

const struct df_node_rules df_rules_add = {
    .forward_op = DF_OP_join_fwd,
    .backward_op = DF_OP_join_bwd,
    .forward = add_forward,
    .vjp = vjp,
    .passes = add_passes,
};

const struct df_node_rules df_rules_sub = {
    .forward_op = DF_OP_join_fwd,
    .backward_op = DF_OP_join_bwd,
    .forward = forward,
    .vjp = vjp,
    .passes = sub_passes,
};

const struct df_node_rules df_rules_product = {
    .input_gradient = DF_READS_INPUTS,
    .training = DF_READS_INPUTS,
    .forward_op = DF_OP_join_fwd,
    .backward_op = DF_OP_join_bwd,
    .forward = forward,
    .vjp = vjp,
};
