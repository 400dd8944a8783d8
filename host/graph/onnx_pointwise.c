/* SPDX-License-Identifier: Apache-2.0 */
/* Ops on each value by itself, and those that are nothing when a network is used. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "graph/node_type.h"
#include "graph/onnx_model.h"

/* An op on every value: the order they are stored in does not matter. */
static dfal_status emit(struct df_onnx *onnx, const Onnx__NodeProto *proto, const struct df_onnx_value *x,
                        enum df_node_op op, struct df_node **made)
{
    struct df_onnx_value *y = df_onnx_out(onnx, proto, 0);
    int32_t node;
    DF_TRY(df_onnx_emit(onnx, y->name, "", op, &x->node, 1, &node, made));
    DF_TRY(df_onnx_settle(onnx, node));
    df_onnx_view(y, x, x->rank, x->dims);
    y->node = node;
    y->shared = false;
    return DFAL_OK;
}

/* An activation whose attributes are the numbers of activations.def. */
dfal_status df_onnx_unary(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x;
    struct df_node *made;
    enum df_node_op op;
    DF_TRY(df_onnx_activation(onnx, proto, 0, &x));
    if (!df_node_op_find(&op, proto->op_type))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_INTERNAL, "is no activation");
    DF_TRY(emit(onnx, proto, x, op, &made));
    for (const struct df_attribute *number = df_node_type(op)->attributes; number->name; number++) {
        double *value = df_attribute_real(made, number);
        *value = df_onnx_attribute_real(proto, number->name,
                                        (double)(float)number->missing); /* ONNX's are floats */
        if (!isfinite(*value))
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has %s %g, expected a finite number", number->name,
                         *value);
    }
    return DFAL_OK;
}

/* The normal distribution or its approximation by tanh: two types of node. */
dfal_status df_onnx_gelu(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    const Onnx__AttributeProto *approximate = df_onnx_attribute(proto, "approximate");
    struct df_onnx_value *x;
    struct df_node *made;
    DF_TRY(df_onnx_activation(onnx, proto, 0, &x));
    if (!approximate || (approximate->s.len == 4 && memcmp(approximate->s.data, "none", 4) == 0))
        return emit(onnx, proto, x, DF_NODE_GELU, &made);
    if (approximate->s.len == 4 && memcmp(approximate->s.data, "tanh", 4) == 0)
        return emit(onnx, proto, x, DF_NODE_GELU_TANH, &made);
    DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "approximates by '%.*s', expected none or tanh",
                 (int)(approximate->s.len < 20 ? approximate->s.len : 20),
                 approximate->s.data ? (const char *)approximate->s.data : "");
}

dfal_status df_onnx_clip(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x;
    struct df_node *made;
    double low, high;
    DF_TRY(df_onnx_activation(onnx, proto, 0, &x));
    DF_TRY(df_onnx_scalar(onnx, proto, "min", 1, -INFINITY, &low, NULL));
    DF_TRY(df_onnx_scalar(onnx, proto, "max", 2, INFINITY, &high, NULL));
    if (low > high) /* legal: every value becomes max */
        low = high;
    if (isnan(low) || isnan(high) || low == INFINITY || high == -INFINITY)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "clips to [%g, %g], expected a min below infinity and a max above -infinity", low, high);
    /* The defaults of opset 6 are the largest floats. */
    low = low <= -(double)FLT_MAX ? -INFINITY : low;
    high = high >= (double)FLT_MAX ? INFINITY : high;
    if (isinf(low) && isinf(high)) {
        df_onnx_alias(df_onnx_out(onnx, proto, 0), x);
        return DFAL_OK;
    }
    const bool relu = low == 0.0 && isinf(high);
    DF_TRY(emit(onnx, proto, x, relu ? DF_NODE_RELU : DF_NODE_CLIP, &made));
    if (!relu) {
        made->min = low;
        made->max = high;
    }
    return DFAL_OK;
}

dfal_status df_onnx_dropout(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x;
    const struct df_onnx_tensor *training;
    struct df_node *made;
    double ratio;
    DF_TRY(df_onnx_activation(onnx, proto, 0, &x));
    DF_TRY(df_onnx_scalar(onnx, proto, "ratio", 1, 0.5, &ratio, NULL));
    DF_TRY(df_onnx_constant(onnx, proto, 2, "training_mode", true, &training));
    if (training && (training->count != 1 || df_onnx_real(training, 0) != 0.0))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "has training_mode set, which draws at random: export after model.eval(), or with a "
                     "training_mode of false for strategies that draw it themselves");
    if (!(ratio >= 0.0 && ratio < 1.0))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has a ratio of %g, expected 0 or more and less than 1",
                     ratio);
    if (ratio == 0.0) {
        df_onnx_alias(df_onnx_out(onnx, proto, 0), x);
        return DFAL_OK;
    }
    DF_TRY(emit(onnx, proto, x, DF_NODE_DROPOUT, &made));
    made->ratio = ratio;
    return DFAL_OK;
}

/* Softmax or LogSoftmax over the classes: marked, and cut when it turns out to be the output. */
dfal_status df_onnx_softmax(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    int32_t axis;
    char dims[128];
    DF_TRY(df_onnx_activation(onnx, proto, 0, &x));
    DF_TRY(df_onnx_axis(onnx, proto, df_onnx_attribute_int(proto, "axis", onnx->opset < 13 ? 1 : -1), x->rank,
                        &axis));
    /* Before opset 13 everything from the axis on is one vector. */
    const bool all = onnx->opset < 13 ? axis == 1 : axis > 0 && x->dims[axis] == df_onnx_size(x);
    if (!all)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "is a softmax along axis %d of %s, expected one over the classes, at the output", axis,
                     df_onnx_dims_text(dims, x->rank, x->dims));
    df_onnx_alias(y, x);
    y->softmax = true;
    return DFAL_OK;
}
