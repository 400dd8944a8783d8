/* SPDX-License-Identifier: Apache-2.0 */
/* Activations: rules for each row of activations.def. */
#include "net/node_rules.h"
#include "net/tape.h"

static void set_numbers(struct df_call *call, const struct df_node *node)
{
    call->p.slope.alpha = node->alpha;
    call->p.slope.beta = node->beta;
}

static dfal_status forward(const struct df_pass *pass, int32_t index, struct df_call *call)
{
    set_numbers(call, df_pass_node(pass, index));
    return df_tape_run(pass->tape, call);
}

/* in: dy, the value that the gradient reads, of the samples that cotangents belong to, and who they are. */
static dfal_status vjp(const struct df_pass *pass, const struct df_instruction *instruction,
                       struct df_call *call)
{
    const struct df_node *node = df_pass_node(pass, instruction->node);
    const bool output = df_node_reads(node, false) == DF_READS_OUTPUT;
    DF_IN(call, activation_bwd, saved) =
        df_tape_value_at(pass->tape, output ? instruction->node : node->inputs[0], 0);
    DF_IN(call, activation_bwd, owner) = pass->owners;
    set_numbers(call, node);
    return df_tape_run(pass->tape, call);
}

/* Where either would do the output is kept: the activation may then be computed in its input's memory. */
#define READS_INPUT  DF_READS_INPUTS
#define READS_OUTPUT DF_READS_OUTPUT
#define READS_EITHER DF_READS_OUTPUT
#define DF_ACTIVATION(stem, NODE, name, saved, onnx, numbers)                                                \
    const struct df_node_rules df_rules_##stem = {                                                           \
        .value = DF_VALUE_POINTWISE,                                                                         \
        .input_gradient = READS_##saved,                                                                     \
        .training = READS_##saved,                                                                           \
        .forward_op = DF_OP_##stem##_fwd,                                                                    \
        .backward_op = DF_OP_##stem##_bwd,                                                                   \
        .forward = forward,                                                                                  \
        .vjp = vjp,                                                                                          \
    };
#include "activations.def"
