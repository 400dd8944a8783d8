/* SPDX-License-Identifier: Apache-2.0 */
/* Ops with weights: Conv, Gemm, MatMul, BatchNormalization. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "graph/onnx_window.h"

enum { TRAINING_MODE_OPSET = 14 }; /* of BatchNormalization: has an attribute for it */

static void fill(float *values, const struct df_onnx_tensor *tensor)
{
    if (tensor->type == DF_ONNX_FLOAT)
        memcpy(values, tensor->bytes, (size_t)tensor->count * sizeof *values);
    else
        for (int64_t i = 0; i < tensor->count; i++)
            values[i] = (float)df_onnx_real(tensor, i);
}

/* A vector of `count` values: its dims but the last are 1. */
static dfal_status check_vector(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const char *what,
                                const struct df_onnx_tensor *tensor, int64_t count)
{
    char dims[128];
    if (tensor->rank != 1 || tensor->count != count)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE, "has a %s of shape %s, expected [%lld]", what,
                     df_onnx_dims_text(dims, tensor->rank, tensor->dims), (long long)count);
    return DFAL_OK;
}

static dfal_status need_rank(const struct df_onnx *onnx, const Onnx__NodeProto *proto,
                             const struct df_onnx_value *x, int32_t rank)
{
    char dims[128];
    if (x->rank != rank)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "reads '%.80s' of shape %s, expected %d dimensions", x->name,
                     df_onnx_dims_text(dims, x->rank, x->dims), rank);
    return DFAL_OK;
}

dfal_status df_onnx_conv(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    const struct df_onnx_tensor *weight, *bias;
    const int64_t group = df_onnx_attribute_int(proto, "group", 1);
    int64_t kernel[DF_ONNX_RANK * 2];
    int32_t count, source, node;
    struct df_node *made;
    char dims[128];
    DF_TRY(df_onnx_activation(onnx, proto, 0, &x));
    DF_TRY(need_rank(onnx, proto, x, 4));
    DF_TRY(df_onnx_constant(onnx, proto, 1, "weight", false, &weight));
    DF_TRY(df_onnx_constant(onnx, proto, 2, "bias", true, &bias));
    DF_TRY(df_onnx_ints(onnx, proto, "kernel_shape", 0, kernel, &count));
    if (group < 1 || group > INT32_MAX || weight->rank != 4 || x->dims[1] != weight->dims[1] * group ||
        weight->dims[0] % group != 0 ||
        (count >= 0 && (count != 2 || kernel[0] != weight->dims[2] || kernel[1] != weight->dims[3])))
        DF_ONNX_FAIL(
            onnx, proto, DFAL_E_SHAPE,
            "has a weight of shape %s and %lld groups, which does not fit its input of %lld channels",
            df_onnx_dims_text(dims, weight->rank, weight->dims), (long long)group, (long long)x->dims[1]);
    if (bias)
        DF_TRY(check_vector(onnx, proto, "bias", bias, weight->dims[0]));
    struct df_window window;
    DF_TRY(
        df_onnx_window(onnx, proto, (struct df_shape){1, x->dims[2], x->dims[3]}, &weight->dims[2], &window));
    DF_TRY(df_onnx_materialise(onnx, proto, x, df_onnx_planes(x), &source));
    DF_TRY(df_onnx_emit(onnx, y->name, "", DF_NODE_CONV, &source, 1, &node, &made));
    made->window = window;
    made->group = (int32_t)group;
    DF_TRY(df_onnx_parameter(made, DF_WEIGHT, 4, weight->dims));
    fill(made->parameter[DF_WEIGHT].data, weight);
    if (bias) {
        DF_TRY(df_onnx_parameter(made, DF_BIAS, 1, bias->dims));
        fill(made->parameter[DF_BIAS].data, bias);
    }
    DF_TRY(df_onnx_settle(onnx, node));
    const struct df_shape out = df_onnx_shape(onnx, node);
    df_onnx_whole(y, node, 4, (int64_t[]){DF_ONNX_BATCH, out.c, out.h, out.w});
    return DFAL_OK;
}

/* ---- Products -------------------------------------------------------------------------------- */

/* y = factor x W: W is [C, O], or [O, C] where `rows` says so. A transposed x has the columns of its weight
 * moved instead: it is stored in another order. */
static dfal_status emit_product(struct df_onnx *onnx, const Onnx__NodeProto *proto, struct df_onnx_value *x,
                                const struct df_onnx_tensor *w, bool rows, double factor, int32_t *node)
{
    struct df_onnx_value *y = df_onnx_out(onnx, proto, 0), flat = *x;
    const int64_t in = df_onnx_size(x), out = rows ? w->dims[0] : w->dims[1];
    int32_t source;
    struct df_node *made;
    flat.factor_count = 0;
    DF_TRY(df_onnx_materialise(onnx, proto, &flat, (struct df_shape){in, 1, 1}, &source));
    x->shaped = flat.shaped;
    DF_TRY(df_onnx_emit(onnx, y->name, "", DF_NODE_GEMM, &source, 1, node, &made));
    DF_TRY(df_onnx_parameter(made, DF_WEIGHT, 2, (int64_t[]){out, in}));
    float *weight = made->parameter[DF_WEIGHT].data;
    if (rows && factor == 1.0 && df_onnx_in_order(x)) {
        fill(weight, w);
    } else {
        for (int64_t c = 0; c < in; c++) {
            const int64_t at = df_onnx_stored(x, c);
            for (int64_t o = 0; o < out; o++)
                weight[o * in + at] = (float)(factor * df_onnx_real(w, rows ? o * in + c : c * out + o));
        }
    }
    return DFAL_OK;
}

/* The bias of a Gemm: a scalar, [1], [O] or [1, O]. */
static dfal_status fill_bias(const struct df_onnx *onnx, const Onnx__NodeProto *proto, struct df_node *made,
                             const struct df_onnx_tensor *bias, double factor)
{
    const int64_t out = made->parameter[DF_WEIGHT].dims[0];
    char dims[128];
    bool fits =
        bias->rank <= 2 && (bias->count == 1 || (bias->count == out && bias->dims[bias->rank - 1] == out));
    if (!fits)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE, "has a bias of shape %s, expected [%lld]",
                     df_onnx_dims_text(dims, bias->rank, bias->dims), (long long)out);
    DF_TRY(df_onnx_parameter(made, DF_BIAS, 1, &out));
    for (int64_t o = 0; o < out; o++)
        made->parameter[DF_BIAS].data[o] = (float)(factor * df_onnx_real(bias, bias->count == 1 ? 0 : o));
    return DFAL_OK;
}

dfal_status df_onnx_gemm(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    const struct df_onnx_tensor *w, *bias;
    const bool rows = df_onnx_attribute_int(proto, "transB", 0) != 0;
    int32_t node;
    char dims[128];
    DF_TRY(df_onnx_activation(onnx, proto, 0, &x));
    if (df_onnx_attribute_int(proto, "transA", 0) != 0)
        DF_ONNX_FAIL(
            onnx, proto, DFAL_E_DATA,
            "has transA set: it would mix the samples of a batch, and each has to be scored by itself");
    DF_TRY(need_rank(onnx, proto, x, 2));
    DF_TRY(df_onnx_constant(onnx, proto, 1, "weight", false, &w));
    DF_TRY(df_onnx_constant(onnx, proto, 2, "bias", true, &bias));
    if (w->rank != 2 || w->dims[rows ? 1 : 0] != x->dims[1])
        DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE,
                     "has a weight of shape %s%s, which does not fit its input of %lld values",
                     df_onnx_dims_text(dims, w->rank, w->dims), rows ? " (transposed)" : "",
                     (long long)x->dims[1]);
    DF_TRY(emit_product(onnx, proto, x, w, rows, df_onnx_attribute_real(proto, "alpha", 1.0), &node));
    if (bias)
        DF_TRY(fill_bias(onnx, proto, &onnx->network->nodes[node], bias,
                         df_onnx_attribute_real(proto, "beta", 1.0)));
    DF_TRY(df_onnx_settle(onnx, node));
    df_onnx_whole(y, node, 2, (int64_t[]){DF_ONNX_BATCH, w->dims[rows ? 0 : 1]});
    return DFAL_OK;
}

dfal_status df_onnx_matmul(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    const struct df_onnx_tensor *w;
    int32_t node;
    char text[2][128];
    DF_TRY(df_onnx_activation(onnx, proto, 0, &x));
    DF_TRY(df_onnx_constant(onnx, proto, 1, "weight", false, &w));
    const int32_t last = x->rank - 1;
    if (last < 1 || w->rank != 2 || w->dims[0] != x->dims[last])
        DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE, "multiplies %s by a weight of shape %s, which does not fit",
                     df_onnx_dims_text(text[0], x->rank, x->dims),
                     df_onnx_dims_text(text[1], w->rank, w->dims));
    if (df_onnx_size(x) != x->dims[last])
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "multiplies %s by a weight, expected one vector a sample: products at several positions "
                     "are not supported",
                     df_onnx_dims_text(text[0], x->rank, x->dims));
    DF_TRY(emit_product(onnx, proto, x, w, false, 1.0, &node));
    DF_TRY(df_onnx_settle(onnx, node));
    int64_t dims[DF_ONNX_RANK];
    memcpy(dims, x->dims, sizeof dims);
    dims[last] = w->dims[1];
    df_onnx_whole(y, node, x->rank, dims);
    return DFAL_OK;
}

/* ---- BatchNormalization ---------------------------------------------------------------------- */

/* Mean and variance of the batch instead of those that were learnt. Before opset 14 it is the number of
 * outputs that says so, whether anybody reads them or not. */
static dfal_status refuse_training(const struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    size_t outputs = 0;
    for (size_t i = 0; i < proto->n_output; i++)
        outputs += proto->output[i] && *proto->output[i];
    if (df_onnx_attribute_int(proto, "training_mode", 0) != 0)
        DF_ONNX_FAIL(
            onnx, proto, DFAL_E_DATA,
            "has training_mode=1, which takes mean and variance from the batch: export after model.eval()");
    if (onnx->opset < TRAINING_MODE_OPSET && outputs > 1)
        DF_ONNX_FAIL(
            onnx, proto, DFAL_E_DATA,
            "has %zu outputs, which in opset %lld means training: mean and variance are taken from the "
            "batch; export after model.eval()",
            outputs, (long long)onnx->opset);
    return DFAL_OK;
}

dfal_status df_onnx_batch_norm(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    static const char *const what[DF_PARAMETER_KINDS] = {"scale", "bias", "mean", "variance"};
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    const struct df_onnx_tensor *parameter[DF_PARAMETER_KINDS];
    int32_t source, node;
    struct df_node *made;
    DF_TRY(df_onnx_activation(onnx, proto, 0, &x));
    if (x->rank < 2)
        return need_rank(onnx, proto, x, 4);
    if (df_onnx_attribute_int(proto, "spatial", 1) != 1)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has spatial=0, expected one mean and variance a channel");
    DF_TRY(refuse_training(onnx, proto));
    for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
        DF_TRY(df_onnx_constant(onnx, proto, (size_t)k + 1, what[k], false, &parameter[k]));
        DF_TRY(check_vector(onnx, proto, what[k], parameter[k], x->dims[1]));
    }
    DF_TRY(df_onnx_materialise(onnx, proto, x, df_onnx_planes(x), &source));
    DF_TRY(df_onnx_emit(onnx, y->name, "", DF_NODE_BATCH_NORM, &source, 1, &node, &made));
    made->epsilon = df_onnx_attribute_real(proto, "epsilon", made->epsilon);
    if (!(made->epsilon >= 0.0 && isfinite(made->epsilon)))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has an epsilon of %g, expected at least 0", made->epsilon);
    for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
        DF_TRY(df_onnx_parameter(made, (enum df_parameter_kind)k, 1, &x->dims[1]));
        fill(made->parameter[k].data, parameter[k]);
    }
    DF_TRY(df_onnx_settle(onnx, node));
    df_onnx_whole(y, node, x->rank, x->dims);
    return DFAL_OK;
}

/* ---- PRelu ----------------------------------------------------------------------------------- */

/* Aligned at the last axis, the slope's only extent above 1 is that of the channels. */
static bool is_a_channel(const struct df_onnx_tensor *slope, const struct df_onnx_value *x)
{
    const int32_t axis = slope->rank - x->rank + 1;
    return x->rank >= 2 && axis >= 0 && slope->count == x->dims[1] && slope->dims[axis] == x->dims[1];
}

dfal_status df_onnx_prelu(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    const struct df_onnx_tensor *slope;
    int32_t source, node;
    struct df_node *made;
    char dims[128];
    DF_TRY(df_onnx_activation(onnx, proto, 0, &x));
    DF_TRY(df_onnx_constant(onnx, proto, 1, "slope", false, &slope));
    if (slope->count != 1 && !is_a_channel(slope, x))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE, "has a slope of shape %s, expected one, or one a channel",
                     df_onnx_dims_text(dims, slope->rank, slope->dims));
    DF_TRY(df_onnx_materialise(onnx, proto, x, df_onnx_planes(x), &source));
    DF_TRY(df_onnx_emit(onnx, y->name, "", DF_NODE_PRELU, &source, 1, &node, &made));
    DF_TRY(df_onnx_parameter(made, DF_WEIGHT, 1, &slope->count));
    fill(made->parameter[DF_WEIGHT].data, slope);
    DF_TRY(df_onnx_settle(onnx, node));
    df_onnx_whole(y, node, x->rank, x->dims);
    return DFAL_OK;
}
