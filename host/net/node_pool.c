/* SPDX-License-Identifier: Apache-2.0 */
/* Pools. A max-pool keeps where its maxima stood. */
#include "base/memory.h"
#include "net/node_rules.h"
#include "net/tape.h"

static void set_pool(struct df_call *call, const struct df_network *network, int32_t index, int64_t rows,
                     bool forward)
{
    const struct df_node *node = &network->nodes[index];
    const struct df_shape in = df_value_shape(network, node->inputs[0]);
    struct df_window window = node->window;
    if (node->op == DF_NODE_GLOBAL_AVERAGE_POOL) {
        window = (struct df_window){.stride = {1, 1}, .dilation = {1, 1}};
        window.kernel[0] = (int32_t)in.h;
        window.kernel[1] = (int32_t)in.w;
    }
    call->rows = rows * in.c;
    call->cols = forward ? node->out.h * node->out.w : in.h * in.w;
    call->p.pool.window = window;
    call->p.pool.channels = (int32_t)in.c;
    call->p.pool.in_h = (int32_t)in.h;
    call->p.pool.in_w = (int32_t)in.w;
    call->p.pool.out_h = (int32_t)node->out.h;
    call->p.pool.out_w = (int32_t)node->out.w;
    call->p.pool.count_pad = node->count_include_pad;
}

static dfal_status average_forward(const struct df_pass *pass, int32_t index, struct df_call *call)
{
    set_pool(call, pass->tape->plan->network, index, pass->rows, true);
    return df_tape_run(pass->tape, call);
}

static dfal_status average_vjp(const struct df_pass *pass, const struct df_instruction *instruction,
                               struct df_call *call)
{
    set_pool(call, pass->tape->plan->network, instruction->node, pass->rows, false);
    return df_tape_run(pass->tape, call);
}

static dfal_status max_forward(const struct df_pass *pass, int32_t index, struct df_call *call)
{
    const struct df_tape *tape = pass->tape;
    const int32_t arg = tape->plan->nodes[index].arg;
    DF_OUT(call, maxpool_fwd, arg) =
        arg < 0 ? tape->unused_arg : df_at(tape->args[arg], pass->first * tape->plan->arg_size[arg]);
    return average_forward(pass, index, call);
}

static dfal_status max_vjp(const struct df_pass *pass, const struct df_instruction *instruction,
                           struct df_call *call)
{
    DF_IN(call, maxpool_bwd, arg) = pass->tape->args[pass->tape->plan->nodes[instruction->node].arg];
    DF_IN(call, maxpool_bwd, owner) = pass->owners;
    return average_vjp(pass, instruction, call);
}

static dfal_status reserve_positions(struct df_plan *plan, int32_t index)
{
    const int64_t size = df_value_size(plan->network, index);
    if (!df_plan_has_gradients(plan)) {
        plan->largest_arg = size > plan->largest_arg ? size : plan->largest_arg;
        return DFAL_OK;
    }
    const int32_t arg = plan->arg_count;
    DF_TRY(df_resize(&plan->arg_size, arg, (int64_t)arg + 1, sizeof *plan->arg_size));
    plan->arg_size[arg] = size;
    plan->arg_count++;
    plan->nodes[index].arg = arg;
    return DFAL_OK;
}

const struct df_node_rules df_rules_max_pool = {
    .forward_op = DF_OP_maxpool_fwd,
    .backward_op = DF_OP_maxpool_bwd,
    .forward = max_forward,
    .vjp = max_vjp,
    .reserve = reserve_positions,
};

const struct df_node_rules df_rules_average_pool = {
    .forward_op = DF_OP_avgpool_fwd,
    .backward_op = DF_OP_avgpool_bwd,
    .forward = average_forward,
    .vjp = average_vjp,
};
