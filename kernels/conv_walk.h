/* SPDX-License-Identifier: Apache-2.0 */
/* What a convolution's forward and backward have in common, and the paths that compute either.
 *
 * Math    out[row, n, o] = bias[n] + sum over (c, ty, tx) of in[row, c, i] weight[n, c, k], for each axis of
 *         the plane
 *             o = phase + j stride,   i = j move + base + t step,   k = first + t skip,   0 <= t < taps
 *         Forward: one phase, move is the window's stride, step its dilation. Backward: the cells of dx fall
 *         into stride[0] x stride[1] phases, each reached by other taps; in a phase it is a plain convolution
 *         of dy whose taps go down where they go up in the kernel. So no path multiplies by the zeros between
 *         strides.
 * Order   (c, ty, tx) ascending, one fmaf a term, in every path. */
#ifndef DF_KERNELS_CONV_WALK_H
#define DF_KERNELS_CONV_WALK_H

#include "conv.h"

struct df_conv_walk {
    int32_t in_c, in_h, in_w;    /* read; channels of one group */
    int32_t out_c, out_h, out_w; /* written */
    int32_t group;
    int32_t backward;
    struct df_window window;
    int32_t weight_out, weight_in; /* weights from a written channel, a read channel to the next */
};

struct df_conv_axis {
    int32_t phase, stride, cells; /* cells of the phase */
    int32_t move, base, step;
    int32_t taps, first, skip;
};

DF_FN int32_t df_conv_divisor(int32_t a, int32_t b)
{
    while (b != 0) {
        const int32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* axis 0: height, 1: width. */
DF_FN struct df_conv_axis df_conv_axis_at(const struct df_conv_walk *walk, int32_t axis, int32_t phase)
{
    const struct df_window *w = &walk->window;
    const int32_t out = axis == 0 ? walk->out_h : walk->out_w;
    struct df_conv_axis a = {0, 1, out, w->stride[axis], -w->pad[axis], w->dilation[axis], w->kernel[axis],
                             0, 1};
    if (!walk->backward)
        return a;
    /* Cell phase + j stride gets tap k from y (phase + j stride + pad - k dilation) / stride, where that is
     * whole. */
    const int32_t common = df_conv_divisor(w->stride[axis], w->dilation[axis]);
    a.phase = phase;
    a.stride = w->stride[axis];
    a.cells = phase < out ? (out - phase - 1) / a.stride + 1 : 0;
    a.move = 1;
    a.step = -(w->dilation[axis] / common);
    a.skip = a.stride / common;
    while (a.first < a.skip && (phase + w->pad[axis] - a.first * w->dilation[axis]) % a.stride != 0)
        a.first++;
    a.taps = a.first < a.skip && a.first < w->kernel[axis] ? (w->kernel[axis] - a.first - 1) / a.skip + 1 : 0;
    a.base = a.taps > 0 ? (phase + w->pad[axis] - a.first * w->dilation[axis]) / a.stride : 0;
    return a;
}

DF_FN int32_t df_conv_phases(const struct df_conv_walk *walk)
{
    return walk->backward ? walk->window.stride[0] * walk->window.stride[1] : 1;
}

/* The arrays of one call. */
struct df_conv_data {
    float *out;
    const float *in, *weight, *bias; /* bias NULL: zeros */
    int64_t rows;                    /* at least 1 */
};

#ifdef __cplusplus
extern "C" {
#endif

struct df_conv_walk df_conv_walk_of(const struct df_conv_shape *shape, int32_t backward);

/* The paths. Each answers whether it can do a walk (narrow: and is worth it), and queues the work. */
int df_conv_cells(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream);
int32_t df_conv_suits_depthwise(const struct df_conv_walk *walk);
int df_conv_depthwise(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream);
int32_t df_conv_suits_narrow(const struct df_conv_walk *walk);
int df_conv_narrow(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream);
/* With the tiles that it takes for so many rows. */
int df_conv_narrow_as(const struct df_conv_walk *walk, const struct df_conv_data *data, int64_t rows,
                      void *stream);
int32_t df_conv_suits_wide(const struct df_conv_walk *walk);
int df_conv_wide(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream);

/* The two ways of a weight gradient, whose bits differ: which it is follows from the shape. */
struct df_conv_gradient {
    float *dw, *db; /* of part p: dw + p * stride, db + p * stride; db NULL: not wanted */
    int64_t stride;
    const float *x, *dy;
    int64_t rows; /* of all parts, DF_GRADIENT_ROWS each, the last one what is left */
};
int df_conv_gradient_lanes(const struct df_conv_shape *shape, const struct df_conv_gradient *g, void *stream);
int df_conv_gradient_wide(const struct df_conv_shape *shape, const struct df_conv_gradient *g, void *stream);
int32_t df_conv_gradient_is_wide(const struct df_conv_shape *shape);

#ifdef __cplusplus
}
#endif

#endif
