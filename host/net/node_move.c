/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that change no value: other shapes, other places, and dropout, which is nothing unless it is
 * drawn. */
#include "net/node_rules.h"
#include "net/tape.h"

const struct df_node_rules df_rules_alias = {.value = DF_VALUE_ALIAS};

/* ---- Concat --------------------------------------------------------------------------------- */

static dfal_status concat_forward(const struct df_pass *pass, int32_t index, struct df_call *call)
{
    const struct df_network *network = pass->tape->plan->network;
    const struct df_node *node = df_pass_node(pass, index);
    call->p.cols.y_stride = call->cols;
    for (int32_t j = 0; j < node->input_count; j++) {
        call->cols = call->p.cols.x_stride = df_value_size(network, node->inputs[j]);
        DF_IN(call, copy_cols, x) = df_tape_value_at(pass->tape, node->inputs[j], pass->first);
        DF_TRY(df_tape_run(pass->tape, call));
        call->p.cols.y_begin += call->cols;
    }
    return DFAL_OK;
}

static dfal_status concat_vjp(const struct df_pass *pass, const struct df_instruction *instruction,
                              struct df_call *call)
{
    const struct df_network *network = pass->tape->plan->network;
    const struct df_node *node = df_pass_node(pass, instruction->node);
    int64_t begin = 0;
    for (int32_t j = 0; j < instruction->input; j++)
        begin += df_value_size(network, node->inputs[j]);
    return df_pass_copy(pass, DF_OUT(call, copy_cols, y), DF_IN(call, copy_cols, x), call->cols, begin,
                        df_value_size(network, node->inputs[instruction->input]));
}

const struct df_node_rules df_rules_concat = {
    .forward_op = DF_OP_copy_cols,
    .backward_op = DF_OP_copy_cols,
    .forward = concat_forward,
    .vjp = concat_vjp,
};

/* ---- Pad ------------------------------------------------------------------------------------ */

static void set_pad(struct df_call *call, const struct df_network *network, int32_t index, int64_t rows)
{
    const struct df_node *node = &network->nodes[index];
    const struct df_shape in = df_value_shape(network, node->inputs[0]);
    call->rows = rows * in.c;
    call->p.pad.channels = (int32_t)in.c;
    call->p.pad.in_h = (int32_t)in.h;
    call->p.pad.in_w = (int32_t)in.w;
    for (int d = 0; d < 4; d++)
        call->p.pad.pad[d] = node->window.pad[d];
    call->p.pad.value = node->value;
}

static dfal_status pad_forward(const struct df_pass *pass, int32_t index, struct df_call *call)
{
    set_pad(call, pass->tape->plan->network, index, pass->rows);
    return df_tape_run(pass->tape, call);
}

static dfal_status pad_vjp(const struct df_pass *pass, const struct df_instruction *instruction,
                           struct df_call *call)
{
    set_pad(call, pass->tape->plan->network, instruction->node, pass->rows);
    return df_tape_run(pass->tape, call);
}

const struct df_node_rules df_rules_pad = {
    .forward_op = DF_OP_pad_fwd,
    .backward_op = DF_OP_pad_bwd,
    .forward = pad_forward,
    .vjp = pad_vjp,
};

/* ---- Dropout -------------------------------------------------------------------------------- */

static void set_dropout(struct df_call *call, const struct df_pass *pass, int32_t index)
{
    const struct df_tape *tape = pass->tape;
    const struct df_node *node = &tape->plan->network->nodes[index];
    DF_IN(call, dropout, clock) = tape->dropout.clock;
    if (tape->dropout.rows.buffer)
        DF_IN(call, dropout, mask_rows) = df_at(tape->dropout.rows, pass->first);
    call->p.dropout.seed = tape->dropout.seed;
    call->p.dropout.step = tape->dropout.step;
    call->p.dropout.first_row = tape->dropout.first_row;
    call->p.dropout.shared = tape->dropout.shared;
    call->p.dropout.node = index;
    call->p.dropout.rate = tape->dropout.ratio > 0 ? tape->dropout.ratio : node->ratio;
    call->p.dropout.plane = tape->dropout.filters ? node->out.h * node->out.w : 1;
}

static dfal_status dropout_forward(const struct df_pass *pass, int32_t index, struct df_call *call)
{
    set_dropout(call, pass, index);
    call->p.dropout.first_row += pass->first;
    return df_tape_run(pass->tape, call);
}

/* The masks are drawn again. */
static dfal_status dropout_vjp(const struct df_pass *pass, const struct df_instruction *instruction,
                               struct df_call *call)
{
    if (pass->tape->dropping) {
        set_dropout(call, pass, instruction->node);
        return df_tape_run(pass->tape, call);
    }
    if (instruction->from.kind == instruction->to.kind && instruction->from.index == instruction->to.index)
        return DFAL_OK;
    return df_pass_copy(pass, DF_OUT(call, dropout, y), DF_IN(call, dropout, x), call->cols, 0, call->cols);
}

const struct df_node_rules df_rules_dropout = {
    .value = DF_VALUE_DRAWN,
    .forward_op = DF_OP_dropout,
    .backward_op = DF_OP_dropout,
    .forward = dropout_forward,
    .vjp = dropout_vjp,
};
