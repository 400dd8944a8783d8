/* SPDX-License-Identifier: Apache-2.0 */
/* Windows, pools and means over axes. */
#include <string.h>

#include "base/memory.h"
#include "graph/onnx_window.h"

enum { MOST = 65535 }; /* an extent in a network file */

static dfal_status read_pair(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const char *name,
                             int32_t expected, int64_t low, int32_t *into)
{
    int64_t values[DF_ONNX_RANK * 2];
    int32_t count;
    DF_TRY(df_onnx_ints(onnx, proto, name, 0, values, &count));
    if (count < 0)
        return DFAL_OK;
    if (count != expected)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has %d %s, expected %d: height and width", count, name,
                     expected);
    for (int32_t i = 0; i < count; i++) {
        if (values[i] < low || values[i] > MOST)
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has %lld among its %s, expected %lld to %d",
                         (long long)values[i], name, (long long)low, MOST);
        into[i] = (int32_t)values[i];
    }
    return DFAL_OK;
}

/* Pads so that the output has ceil(in / stride) positions; the odd one goes to the end (upper) or the begin
 * (lower). */
static void pad_same(struct df_window *w, struct df_shape in, bool upper)
{
    const int64_t extent[2] = {in.h, in.w};
    for (int d = 0; d < 2; d++) {
        const int64_t span = (int64_t)w->dilation[d] * (w->kernel[d] - 1) + 1;
        const int64_t out = (extent[d] + w->stride[d] - 1) / w->stride[d];
        int64_t total = (out - 1) * w->stride[d] + span - extent[d];
        total = total < 0 ? 0 : total;
        w->pad[d] = (int32_t)(upper ? total / 2 : total - total / 2);
        w->pad[d + 2] = (int32_t)(total - w->pad[d]);
    }
}

dfal_status df_onnx_window(const struct df_onnx *onnx, const Onnx__NodeProto *proto, struct df_shape in,
                           const int64_t *kernel, struct df_window *out)
{
    const Onnx__AttributeProto *automatic = df_onnx_attribute(proto, "auto_pad");
    char how[16] = "NOTSET";
    *out = (struct df_window){.stride = {1, 1}, .dilation = {1, 1}};
    for (int d = 0; d < 2; d++) {
        if (kernel[d] < 1 || kernel[d] > MOST)
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has a kernel extent of %lld, expected 1 to %d",
                         (long long)kernel[d], MOST);
        out->kernel[d] = (int32_t)kernel[d];
    }
    DF_TRY(read_pair(onnx, proto, "strides", 2, 1, out->stride));
    DF_TRY(read_pair(onnx, proto, "dilations", 2, 1, out->dilation));
    if (automatic && automatic->s.len > 0 && automatic->s.len < sizeof how) {
        memcpy(how, automatic->s.data, automatic->s.len);
        how[automatic->s.len] = 0;
    } else if (automatic && automatic->s.len > 0) {
        strcpy(how, "(too long)");
    }
    if (strcmp(how, "NOTSET") == 0)
        return read_pair(onnx, proto, "pads", 4, 0, out->pad);
    if (strcmp(how, "SAME_UPPER") == 0 || strcmp(how, "SAME_LOWER") == 0)
        pad_same(out, in, how[5] == 'U');
    else if (strcmp(how, "VALID") != 0)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "has auto_pad '%s', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER", how);
    return DFAL_OK;
}

/* An activation of images, and the node that holds it. */
static dfal_status images(struct df_onnx *onnx, const Onnx__NodeProto *proto, struct df_onnx_value **x,
                          int32_t *source)
{
    char dims[128];
    DF_TRY(df_onnx_activation(onnx, proto, 0, x));
    if ((*x)->rank != 4)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "reads '%.80s' of shape %s, expected 4 dimensions", (*x)->name,
                     df_onnx_dims_text(dims, (*x)->rank, (*x)->dims));
    return df_onnx_materialise(onnx, proto, *x, df_onnx_planes(*x), source);
}

static dfal_status finish(struct df_onnx *onnx, struct df_onnx_value *y, int32_t node)
{
    DF_TRY(df_onnx_settle(onnx, node));
    const struct df_shape out = df_onnx_shape(onnx, node);
    df_onnx_whole(y, node, 4, (int64_t[]){DF_ONNX_BATCH, out.c, out.h, out.w});
    return DFAL_OK;
}

/* A dilated average of full windows is a convolution of each channel by itself. */
static dfal_status dilated_average(struct df_onnx *onnx, const Onnx__NodeProto *proto,
                                   const struct df_window *window, int32_t source, struct df_onnx_value *y)
{
    const struct df_shape in = df_onnx_shape(onnx, source);
    const bool padded = window->pad[0] | window->pad[1] | window->pad[2] | window->pad[3];
    const int64_t dims[4] = {in.c, 1, window->kernel[0], window->kernel[1]};
    int32_t node;
    struct df_node *made;
    if (df_onnx_attribute_int(proto, "ceil_mode", 0) != 0 ||
        (padded && df_onnx_attribute_int(proto, "count_include_pad", 0) == 0))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "has dilations of %d and %d over windows that may be incomplete, which is not supported",
                     window->dilation[0], window->dilation[1]);
    if ((double)in.c * (double)(dims[2] * dims[3]) > MOST * 1024.0)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has dilations over %lld channels, which is too large",
                     (long long)in.c);
    DF_TRY(df_onnx_emit(onnx, y->name, "", DF_NODE_CONV, &source, 1, &node, &made));
    made->window = *window;
    made->group = (int32_t)in.c;
    DF_TRY(df_onnx_parameter(made, DF_WEIGHT, 4, dims));
    struct df_parameter *weight = &made->parameter[DF_WEIGHT];
    for (int64_t i = 0; i < weight->count; i++)
        weight->data[i] = (float)(1.0 / (double)(dims[2] * dims[3]));
    return finish(onnx, y, node);
}

dfal_status df_onnx_pool(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    const bool average = strcmp(proto->op_type, "AveragePool") == 0;
    int64_t kernel[DF_ONNX_RANK * 2];
    int32_t count, source, node;
    struct df_window window;
    struct df_node *made;
    DF_TRY(df_onnx_ints(onnx, proto, "kernel_shape", 0, kernel, &count));
    if (count != 2)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "has a kernel_shape of %d numbers, expected 2: height and width", count < 0 ? 0 : count);
    DF_TRY(images(onnx, proto, &x, &source));
    DF_TRY(df_onnx_window(onnx, proto, df_onnx_shape(onnx, source), kernel, &window));
    if (average && (window.dilation[0] != 1 || window.dilation[1] != 1))
        return dilated_average(onnx, proto, &window, source, y);
    DF_TRY(df_onnx_emit(onnx, y->name, "", average ? DF_NODE_AVERAGE_POOL : DF_NODE_MAX_POOL, &source, 1,
                        &node, &made));
    made->window = window;
    made->ceil_mode = df_onnx_attribute_int(proto, "ceil_mode", 0) != 0;
    made->count_include_pad = average && df_onnx_attribute_int(proto, "count_include_pad", 0) != 0;
    return finish(onnx, y, node);
}

dfal_status df_onnx_global_pool(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    const bool average = strcmp(proto->op_type, "GlobalAveragePool") == 0;
    int32_t source, node;
    struct df_node *made;
    DF_TRY(images(onnx, proto, &x, &source));
    DF_TRY(df_onnx_emit(onnx, y->name, "", average ? DF_NODE_GLOBAL_AVERAGE_POOL : DF_NODE_MAX_POOL, &source,
                        1, &node, &made));
    if (!average) {
        made->window.kernel[0] = (int32_t)x->dims[2];
        made->window.kernel[1] = (int32_t)x->dims[3];
    }
    return finish(onnx, y, node);
}

/* ---- ReduceMean ------------------------------------------------------------------------------ */

/* The mean over one run of axes, as a pool over [before, run, behind]. */
static dfal_status mean_of_run(struct df_onnx *onnx, const Onnx__NodeProto *proto, struct df_onnx_value *x,
                               struct df_shape shape, bool last, struct df_onnx_value *y)
{
    struct df_onnx_value *named = df_onnx_out(onnx, proto, 0);
    struct df_shape held = df_onnx_shape(onnx, x->node);
    int32_t source, node;
    struct df_node *made;
    /* The planes of a node that are averaged whole need no other shape. */
    bool whole = shape.w == 1 && held.c == shape.c && held.h * held.w == shape.h;
    if (!whole && shape.w > 1 && shape.h > MOST)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "averages %lld values, expected at most %d",
                     (long long)shape.h, MOST);
    DF_TRY(df_onnx_materialise(onnx, proto, x, whole ? held : shape, &source));
    DF_TRY(df_onnx_emit(onnx, named->name, last ? "" : ".part",
                        shape.w == 1 ? DF_NODE_GLOBAL_AVERAGE_POOL : DF_NODE_AVERAGE_POOL, &source, 1, &node,
                        &made));
    if (shape.w > 1)
        made->window.kernel[0] = (int32_t)shape.h;
    DF_TRY(df_onnx_settle(onnx, node));
    y->node = node;
    return DFAL_OK;
}

dfal_status df_onnx_reduce_mean(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    const bool keep = df_onnx_attribute_int(proto, "keepdims", 1) != 0;
    int64_t given[DF_ONNX_RANK * 2], dims[DF_ONNX_RANK];
    int32_t count, rank = 0, last = 0;
    bool set[DF_ONNX_RANK];
    DF_TRY(df_onnx_activation(onnx, proto, 0, &x));
    DF_TRY(df_onnx_ints(onnx, proto, "axes", 1, given, &count));
    if (count <= 0 && df_onnx_attribute_int(proto, "noop_with_empty_axes", 0) != 0) {
        df_onnx_alias(y, x);
        return DFAL_OK;
    }
    DF_TRY(df_onnx_axes(onnx, proto, given, count, x->rank, set));
    if (count <= 0 || set[0])
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "averages over the samples of a batch (axis 0), but each has to be scored by itself");
    for (int32_t axis = 1; axis < x->rank; axis++)
        if (set[axis] && x->dims[axis] > 1)
            last = axis;
    /* Run by run; what is averaged already counts as 1. */
    struct df_onnx_value now = *x;
    for (int32_t axis = 1; axis < x->rank; axis++) {
        struct df_shape shape = {1, 1, 1};
        int32_t end = axis;
        for (; end < x->rank && set[end]; end++)
            shape.h *= now.dims[end];
        if (shape.h > 1) {
            for (int32_t d = 1; d < axis; d++)
                shape.c *= now.dims[d];
            for (int32_t d = end; d < x->rank; d++)
                shape.w *= now.dims[d];
            struct df_onnx_value part = {.name = x->name};
            DF_TRY(mean_of_run(onnx, proto, &now, shape, end > last, &part));
            for (int32_t d = axis; d < end; d++)
                now.dims[d] = 1;
            df_onnx_whole(&part, part.node, x->rank, now.dims);
            part.name = y->name;
            now = part;
        }
        axis = end > axis ? end : axis;
    }
    for (int32_t d = 0; d < x->rank; d++)
        if (keep || !set[d])
            dims[rank++] = now.dims[d];
    df_onnx_view(y, &now, rank, dims);
    return DFAL_OK;
}
