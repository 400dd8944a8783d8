/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and parameters of calls, from a network's nodes. */
#include "net/tape.h"

/* Share of a batch's statistics in the running ones, as PyTorch counts it. */
static const double norm_momentum = 0.1;

static struct df_shape shape_of(const struct df_network *network, int32_t node)
{
    return node == DF_INPUT ? network->input : network->nodes[node].out;
}

void df_tape_set_pool(struct df_call *call, const struct df_network *network, int32_t index, int64_t rows,
                      bool forward)
{
    const struct df_node *node = &network->nodes[index];
    struct df_shape in = shape_of(network, node->inputs[0]);
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

void df_tape_set_norm(struct df_call *call, const struct df_node *node, int64_t rows)
{
    call->rows = node->out.c;
    call->cols = rows;
    call->p.bn.channels = (int32_t)node->out.c;
    call->p.bn.plane = node->out.h * node->out.w;
    call->p.bn.epsilon = node->epsilon;
    call->p.bn.momentum = norm_momentum;
}

void df_tape_set_affine(struct df_call *call, const struct df_node *node, int64_t rows)
{
    call->rows = rows * node->out.c;
    call->cols = node->out.h * node->out.w;
    call->p.channel.channels = (int32_t)node->out.c;
}

void df_tape_set_dropout(struct df_call *call, const struct df_tape *tape, int32_t index)
{
    call->op = DF_OP_dropout;
    call->in[1] = tape->dropout.clock;
    call->p.dropout.seed = tape->dropout.seed;
    call->p.dropout.step = tape->dropout.step;
    call->p.dropout.first_row = tape->dropout.first_row;
    call->p.dropout.shared = tape->dropout.shared;
    call->p.dropout.node = index;
    call->p.dropout.rate = tape->plan->network->nodes[index].ratio;
}

void df_tape_set_pad(struct df_call *call, const struct df_network *network, int32_t index, int64_t rows)
{
    const struct df_node *node = &network->nodes[index];
    struct df_shape in = shape_of(network, node->inputs[0]);
    call->rows = rows * in.c;
    call->p.pad.channels = (int32_t)in.c;
    call->p.pad.in_h = (int32_t)in.h;
    call->p.pad.in_w = (int32_t)in.w;
    for (int d = 0; d < 4; d++)
        call->p.pad.pad[d] = node->window.pad[d];
    call->p.pad.value = node->value;
}

void df_tape_set_slope(struct df_call *call, const struct df_node *node)
{
    if (node->op == DF_NODE_CLIP) {
        call->p.clip.low = node->min;
        call->p.clip.high = node->max;
    } else {
        call->p.slope.alpha = node->alpha;
        call->p.slope.beta = node->beta;
    }
}

/* C-order strides of an operand, 0 along what it has only one of; its values a row. */
static int64_t strides(int64_t stride[3], struct df_shape shape)
{
    stride[0] = shape.c > 1 ? shape.h * shape.w : 0;
    stride[1] = shape.h > 1 ? shape.w : 0;
    stride[2] = shape.w > 1;
    return df_shape_size(shape);
}

void df_tape_set_join(struct df_call *call, const struct df_network *network, int32_t index, int64_t rows,
                      int32_t towards)
{
    const struct df_node *node = &network->nodes[index];
    struct df_shape a = shape_of(network, node->inputs[0]), b = shape_of(network, node->inputs[1]);
    struct df_join_params *p = &call->p.join;
    call->op = towards < 0 ? DF_OP_join_fwd : DF_OP_join_bwd;
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
