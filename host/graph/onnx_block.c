/* SPDX-License-Identifier: Apache-2.0 */
/* Concat and Pad. */
#include <string.h>

#include "base/memory.h"
#include "graph/onnx_model.h"

/* Along the channels; along another axis where everything before it has extent 1, which is the same. */
static dfal_status concat_values(struct df_onnx *onnx, const Onnx__NodeProto *proto, int32_t *sources)
{
    struct df_onnx_value *first, *y = df_onnx_out(onnx, proto, 0);
    int64_t dims[DF_ONNX_RANK];
    int32_t axis, node;
    char text[2][128];
    struct df_node *made;
    DF_TRY(df_onnx_activation(onnx, proto, 0, &first));
    DF_TRY(df_onnx_axis(onnx, proto, df_onnx_attribute_int(proto, "axis", 1), first->rank, &axis));
    memcpy(dims, first->dims, sizeof dims);
    dims[axis] = 0;
    int64_t before = 1;
    for (int32_t d = 1; d < axis; d++)
        before *= dims[d];
    if (axis == 0 || before != 1)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "concatenates along axis %d of %s, expected the channels, axis 1", axis,
                     df_onnx_dims_text(text[0], first->rank, first->dims));
    for (size_t i = 0; i < proto->n_input; i++) {
        struct df_onnx_value *x;
        DF_TRY(df_onnx_activation(onnx, proto, i, &x));
        bool fits = x->rank == first->rank;
        for (int32_t d = 1; fits && d < x->rank; d++)
            fits = d == axis || x->dims[d] == first->dims[d];
        if (!fits)
            DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE, "concatenates %s and %s along axis %d",
                         df_onnx_dims_text(text[0], first->rank, first->dims),
                         df_onnx_dims_text(text[1], x->rank, x->dims), axis);
        struct df_shape shape = df_onnx_planes(x);
        if (axis > 1) {
            shape = (struct df_shape){x->dims[axis], 1, 1};
            for (int32_t d = axis + 1; d < x->rank; d++)
                shape.h *= x->dims[d];
        }
        DF_TRY(df_onnx_materialise(onnx, proto, x, shape, &sources[i]));
        dims[axis] += x->dims[axis];
    }
    DF_TRY(df_onnx_emit(onnx, y->name, "", DF_NODE_CONCAT, sources, (int32_t)proto->n_input, &node, &made));
    DF_TRY(df_onnx_settle(onnx, node));
    df_onnx_whole(y, node, first->rank, dims);
    return DFAL_OK;
}

dfal_status df_onnx_concat(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    int32_t *sources;
    if (df_onnx_all_constant(onnx, proto))
        return df_onnx_fold_concat(onnx, proto);
    if (proto->n_input == 1)
        return df_onnx_identity(onnx, proto);
    if (proto->n_input > DF_MAX_NODE_INPUTS)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has %zu inputs, expected at most %d", proto->n_input,
                     DF_MAX_NODE_INPUTS);
    DF_TRY(df_alloc(&sources, (int64_t)proto->n_input, sizeof *sources));
    dfal_status status = concat_values(onnx, proto, sources);
    df_free(sources);
    return status;
}

/* ---- Pad ------------------------------------------------------------------------------------- */

static dfal_status read_pads(struct df_onnx *onnx, const Onnx__NodeProto *proto,
                             const struct df_onnx_value *x, int64_t begin[DF_ONNX_RANK],
                             int64_t end[DF_ONNX_RANK])
{
    const Onnx__AttributeProto *mode = df_onnx_attribute(proto, "mode");
    int64_t pads[DF_ONNX_RANK * 2], axes[DF_ONNX_RANK * 2];
    int32_t count, axis_count;
    if (mode && (mode->s.len != 8 || memcmp(mode->s.data, "constant", 8) != 0))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "pads in mode '%.*s', expected constant",
                     (int)(mode->s.len < 20 ? mode->s.len : 20),
                     mode->s.data ? (const char *)mode->s.data : "");
    DF_TRY(df_onnx_ints(onnx, proto, "pads", 1, pads, &count));
    DF_TRY(df_onnx_ints(onnx, proto, "axes", 3, axes, &axis_count));
    for (int32_t d = 0; d < x->rank && axis_count < 0; d++)
        axes[d] = d;
    axis_count = axis_count < 0 ? x->rank : axis_count;
    if (count != 2 * axis_count || axis_count > DF_ONNX_RANK)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has %d pads for %d axes, expected two for each",
                     count < 0 ? 0 : count, axis_count);
    memset(begin, 0, DF_ONNX_RANK * sizeof *begin);
    memset(end, 0, DF_ONNX_RANK * sizeof *end);
    for (int32_t i = 0; i < axis_count; i++) {
        int32_t axis;
        DF_TRY(df_onnx_axis(onnx, proto, axes[i], x->rank, &axis));
        begin[axis] = pads[i];
        end[axis] = pads[i + axis_count];
        const bool fits =
            begin[axis] >= -65535 && begin[axis] <= 65535 && end[axis] >= -65535 && end[axis] <= 65535;
        if (!fits || (axis == 0 && (begin[0] != 0 || end[0] != 0)))
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has pads %lld and %lld on axis %d, expected %s",
                         (long long)begin[axis], (long long)end[axis], axis,
                         axis == 0 ? "none on the batch" : "at most 65535");
    }
    return DFAL_OK;
}

/* Pads of top, left, bottom, right on what `source` holds. */
static dfal_status emit_pad(struct df_onnx *onnx, const char *name, const char *suffix, int32_t source,
                            double value, const int64_t pads[4], int32_t *node)
{
    struct df_node *made;
    DF_TRY(df_onnx_emit(onnx, name, suffix, DF_NODE_PAD, &source, 1, node, &made));
    for (int i = 0; i < 4; i++)
        made->window.pad[i] = (int32_t)pads[i];
    made->value = value;
    return df_onnx_settle(onnx, *node);
}

dfal_status df_onnx_pad(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    int64_t begin[DF_ONNX_RANK], end[DF_ONNX_RANK], dims[DF_ONNX_RANK];
    int32_t node;
    double value;
    char text[128];
    DF_TRY(df_onnx_activation(onnx, proto, 0, &x));
    if (x->rank > 4)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "pads %s, expected at most 4 dimensions",
                     df_onnx_dims_text(text, x->rank, x->dims));
    DF_TRY(read_pads(onnx, proto, x, begin, end));
    DF_TRY(df_onnx_scalar(onnx, proto, "value", 2, 0.0, &value, NULL));
    if (!(value - value == 0.0))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "pads with %g, expected a finite number", value);
    bool any = false;
    for (int32_t d = 0; d < x->rank; d++) {
        dims[d] = d == 0 ? DF_ONNX_BATCH : x->dims[d] + begin[d] + end[d];
        any = any || begin[d] != 0 || end[d] != 0;
        if (d > 0 && dims[d] < 1)
            DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE, "leaves an extent of %lld on axis %d", (long long)dims[d],
                         d);
    }
    if (!any) {
        df_onnx_alias(y, x);
        return DFAL_OK;
    }
    const bool spatial = begin[2] || end[2] || begin[3] || end[3], channels = begin[1] || end[1];
    DF_TRY(df_onnx_materialise(onnx, proto, x, df_onnx_planes(x), &node));
    if (spatial)
        DF_TRY(emit_pad(onnx, y->name, channels ? ".planes" : "", node, value,
                        (int64_t[]){begin[2], begin[3], end[2], end[3]}, &node));
    if (channels) {
        /* The channels as the rows of one plane. */
        const struct df_shape held = df_onnx_shape(onnx, node);
        const int64_t more = held.c + begin[1] + end[1];
        DF_TRY(df_onnx_emit_shape(onnx, y->name, ".rows", node, (struct df_shape){1, held.c, held.h * held.w},
                                  &node));
        DF_TRY(emit_pad(onnx, y->name, ".padded", node, value, (int64_t[]){begin[1], 0, end[1], 0}, &node));
        DF_TRY(df_onnx_emit_shape(onnx, y->name, "", node, (struct df_shape){more, held.h, held.w}, &node));
    }
    df_onnx_whole(y, node, x->rank, dims);
    return DFAL_OK;
}
