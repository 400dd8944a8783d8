/* SPDX-License-Identifier: Apache-2.0 */
/* What every op is called, and how many elements of each operand a call touches. */
#include "backend/backend.h"
#include "batch.h"
#include "deepfool.h"
#include "join.h"
#include "pad.h"
#include "residency.h"

#define LETTER(x) #x[0]
const struct df_op_info df_op_info[DF_OP_COUNT] = {
#define DF_OP(name, walk, class_, outs, ins) {#name, outs, ins, DF_WALK_##walk, LETTER(class_)},
#include "ops.def"
};

int64_t df_layer_weight_count(const struct df_layer_desc *layer)
{
    if (layer->is_gemm)
        return df_shape_size(layer->in) * df_shape_size(layer->out);
    return layer->out.c * (layer->in.c / layer->group) * layer->window.kernel[0] * layer->window.kernel[1];
}

int64_t df_layer_bias_count(const struct df_layer_desc *layer)
{
    return layer->is_gemm ? df_shape_size(layer->out) : layer->out.c;
}

bool df_layer_is_narrow(const struct df_layer_desc *layer)
{
    enum { NARROW = 32 };
    if (layer->is_gemm)
        return layer->in.c <= NARROW || layer->out.c <= NARROW;
    return layer->in.c / (layer->group > 1 ? layer->group : 1) <= NARROW;
}

int64_t df_layer_backward_terms(const struct df_layer_desc *layer)
{
    if (layer->is_gemm)
        return df_shape_size(layer->out);
    return layer->out.c / layer->group * layer->window.kernel[0] * layer->window.kernel[1];
}

static int64_t pool_in(const struct df_call *call)
{
    return call->rows * call->p.pool.in_h * call->p.pool.in_w;
}

static int64_t pool_out(const struct df_call *call)
{
    return call->rows * call->p.pool.out_h * call->p.pool.out_w;
}

/* A *_bwd's saved values, behind the owner in[owner]: any sample's row may be read. */
static int64_t saved_count(const struct df_call *call, int owner, int64_t own)
{
    return call->in[owner].buffer != NULL ? DF_COUNT_TO_END : own;
}

static int64_t join_bwd_count(const struct df_call *call, bool is_out, int k)
{
    const struct df_join_params *p = &call->p.join;
    const int64_t rows = call->rows / df_join_items(p, p->towards);
    if (is_out)
        return rows * (p->towards == 0 ? p->a_size : p->b_size);
    return k == 0   ? rows * p->extent[0] * p->extent[1] * p->extent[2]
           : k == 3 ? rows
                    : saved_count(call, 3, rows * (k == 1 ? p->a_size : p->b_size));
}

static int64_t pad_count(const struct df_call *call, bool padded)
{
    return call->rows * (padded ? df_padded_h(&call->p) * df_padded_w(&call->p)
                                : (int64_t)call->p.pad.in_h * call->p.pad.in_w);
}

/* Elements up to the last one of a block of columns. */
static int64_t block_end(const struct df_call *call, int64_t stride, int64_t begin)
{
    return call->rows > 0 && call->cols > 0 ? (call->rows - 1) * stride + begin + call->cols : 0;
}

static int64_t layer_count(const struct df_call *call, const struct df_layer_desc *layer, bool is_out, int k)
{
    const int64_t x = call->rows * df_shape_size(layer->in), y = call->rows * df_shape_size(layer->out);
    switch (call->op) {
    case DF_OP_conv_fwd:
    case DF_OP_gemm_fwd:
        return is_out ? y : x;
    case DF_OP_conv_bwd:
    case DF_OP_gemm_bwd:
        return is_out ? x : y;
    default:
        if (is_out)
            return k == 0 ? df_layer_weight_count(layer) : df_layer_bias_count(layer);
        return k == 0 ? x : y;
    }
}

/* The deepfool ops that keep slots: kernels/residency.h. */
static int64_t residency_count(const struct df_call *call, bool is_out, int k)
{
    const struct df_deepfool_params *p = &call->p.deepfool;
    const int64_t rows = call->rows, slots = p->slots, counts = df_slot_groups(p) * DF_COUNTS;
    const int64_t state = slots * DF_SLOT_INTS, number = slots * DF_SLOT_NUMBERS;
    switch (call->op) {
    case DF_OP_deepfool_count:
        return is_out ? counts : state;
    case DF_OP_deepfool_offsets:
        return is_out && k == 1 ? DF_TOTALS : counts;
    case DF_OP_deepfool_settle:
        if (is_out)
            return k < 3 ? slots : slots * DF_RECORD_NUMBERS;
        return k == 0 ? state : k == 1 ? number : counts;
    case DF_OP_deepfool_refill:
        if (is_out)
            return k < 2 ? slots * p->size : k == 2 ? state : number;
        return k == 0 ? rows * p->size : k < 3 ? rows : p->size / call->cols * 256;
    default: /* deepfool_pair: as many slots go on as the list of free ones may name */
        return is_out ? 2 * call->cols : k == 0 ? call->cols : p->kept;
    }
}

/* The deepfool ops: kernels/deepfool.h. */
static int64_t deepfool_count(const struct df_call *call, bool is_out, int k)
{
    const struct df_deepfool_params *p = &call->p.deepfool;
    const int64_t rows = call->rows, slots = p->slots, candidates = slots * p->candidates;
    const int64_t state = slots * DF_SLOT_INTS, number = slots * DF_SLOT_NUMBERS, pixels = slots * p->size;
    switch (call->op) {
    case DF_OP_deepfool_begin:
        if (is_out)
            return k < 2 ? pixels : k == 2 ? state : number;
        return k == 0 ? rows * p->size : rows;
    case DF_OP_deepfool_move:
        if (is_out)
            return k < 2 ? pixels : k == 2 ? state : k == 3 ? number : candidates;
        return 2 * rows;
    case DF_OP_deepfool_iterate:
        if (is_out || k < 2)
            return rows * call->cols;
        return k == 2 ? rows * DF_SLOT_NUMBERS : call->cols;
    case DF_OP_deepfool_observe:
        if (is_out)
            return rows * (k == 0 ? DF_SLOT_INTS : k == 1 ? DF_SLOT_NUMBERS : p->candidates);
        return k == 0 ? rows * p->classes : k < 3 ? rows * p->size : p->size;
    case DF_OP_deepfool_cotangent:
        if (is_out)
            return k == 0 ? rows * p->classes : rows;
        return k == 0 ? (rows + p->count - 1) / p->count : k == 1 ? state : candidates;
    case DF_OP_deepfool_choose:
        if (is_out)
            return k == 0 ? state : k == 1 ? number : pixels;
        return k == 0   ? rows * p->count * p->size
               : k == 1 ? slots * p->classes
               : k == 2 ? rows
               : k == 3 ? candidates
                        : p->size;
    case DF_OP_deepfool_step:
        if (is_out)
            return k == 0 ? state : k == 1 ? number : pixels;
        return k == 0 ? rows : k == 1 ? pixels : p->size;
    default:
        return residency_count(call, is_out, k);
    }
}

/* One switch for both sides, so that an op's shapes stand together. */
static int64_t operand_count(const struct df_call *call, const struct df_layer_desc *layer, bool is_out,
                             int k)
{
    const int64_t rows = call->rows, cells = rows * call->cols, classes = call->p.loss.classes;
    switch (call->op) {
    case DF_OP_conv_fwd:
    case DF_OP_conv_bwd:
    case DF_OP_conv_wgrad:
    case DF_OP_gemm_fwd:
    case DF_OP_gemm_bwd:
    case DF_OP_gemm_wgrad:
        return layer_count(call, layer, is_out, k);
#define DF_ACTIVATION(stem, NODE, name, saved, onnx, numbers) case DF_OP_##stem##_fwd:
#include "activations.def"
    case DF_OP_fill:
    case DF_OP_add_fwd:
    case DF_OP_accumulate:
    case DF_OP_sgd_step:
        return cells;
    case DF_OP_dropout:
        return is_out || k == 0 ? cells : k == 1 ? DF_CLOCK_NUMBERS : rows;
    case DF_OP_adam_step:
        return is_out || k == 0 ? cells : 1;
    case DF_OP_batch_take:
        return is_out ? (k == 0 ? cells : k == 3 ? 1 : rows) : k == 4 ? DF_CLOCK_NUMBERS : DF_COUNT_TO_END;
    case DF_OP_batch_put:
        return is_out ? (k == 0 ? DF_COUNT_TO_END : DF_CLOCK_NUMBERS) : call->cols;
    case DF_OP_decode_u8:
        return is_out || k == 0 ? cells : (int64_t)call->p.channel.channels * 256;
    case DF_OP_affine_fwd:
    case DF_OP_affine_bwd:
        return is_out || k == 0 ? cells : call->p.channel.channels;
#define DF_ACTIVATION(stem, NODE, name, saved, onnx, numbers) case DF_OP_##stem##_bwd:
#include "activations.def"
        if (is_out || k == 0)
            return cells;
        return k == 2 ? rows : saved_count(call, 2, cells);
    case DF_OP_join_fwd:
        if (is_out)
            return rows * call->p.join.extent[1] * call->p.join.extent[2];
        return rows / call->p.join.extent[0] * (k == 0 ? call->p.join.a_size : call->p.join.b_size);
    case DF_OP_join_bwd:
        return join_bwd_count(call, is_out, k);
    case DF_OP_pad_fwd:
        return pad_count(call, is_out);
    case DF_OP_pad_bwd:
        return pad_count(call, !is_out);
    case DF_OP_copy_cols:
        return is_out ? block_end(call, call->p.cols.y_stride, call->p.cols.y_begin)
                      : block_end(call, call->p.cols.x_stride, call->p.cols.x_begin);
    case DF_OP_maxpool_fwd:
    case DF_OP_avgpool_fwd:
        return is_out ? pool_out(call) : pool_in(call);
    case DF_OP_maxpool_bwd:
        if (is_out || k == 0)
            return is_out ? pool_in(call) : pool_out(call);
        return k == 2 ? rows / call->p.pool.channels : saved_count(call, 2, pool_out(call));
    case DF_OP_avgpool_bwd:
        return is_out ? pool_in(call) : pool_out(call);
    case DF_OP_bn_train_fwd:
        return k == 0 ? cells * call->p.bn.plane : rows;
    case DF_OP_bn_train_bwd:
        return k == 0 || (!is_out && k == 1) ? cells * call->p.bn.plane : rows;
    case DF_OP_prelu_fwd:
        return is_out || k == 0 ? cells : call->p.prelu.slopes;
    case DF_OP_prelu_bwd:
        if (is_out || k == 0)
            return cells;
        return k == 1   ? saved_count(call, 3, cells)
               : k == 2 ? call->p.prelu.slopes
                        : rows / call->p.prelu.channels;
    case DF_OP_prelu_wgrad:
        return is_out ? rows : call->cols * call->p.prelu.channels * call->p.prelu.plane;
    case DF_OP_softmax_loss:
        return (is_out && k == 1) || (!is_out && k == 0) ? rows * classes : rows;
    case DF_OP_predict:
        return !is_out && k == 0 ? rows * classes : rows;
    default:
        return deepfool_count(call, is_out, k);
    }
}

int64_t df_call_out_count(const struct df_call *call, const struct df_layer_desc *layer, int k)
{
    return operand_count(call, layer, true, k);
}

int64_t df_call_in_count(const struct df_call *call, const struct df_layer_desc *layer, int k)
{
    return operand_count(call, layer, false, k);
}

int64_t df_stack_kept_size(const struct df_stack_desc *desc)
{
    int64_t size = 0;
    for (int32_t i = 0; i < desc->count; i++)
        if (desc->stages[i].relu || desc->stages[i].pool)
            size += df_shape_size(desc->stages[i].out);
    return size;
}

int df_layer_op_kind(enum df_op op, bool is_gemm)
{
    static const enum df_op ops[2][3] = {{DF_OP_conv_fwd, DF_OP_conv_bwd, DF_OP_conv_wgrad},
                                         {DF_OP_gemm_fwd, DF_OP_gemm_bwd, DF_OP_gemm_wgrad}};
    for (int kind = 0; kind < 3; kind++)
        if (ops[is_gemm][kind] == op)
            return kind;
    return -1;
}
