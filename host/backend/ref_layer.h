/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution and product of the reference: plain loops over rows, double sums, one rounding at the end.
 *
 * Math    y[o, oh, ow] = bias[o] + sum_{c, kh, kw} w[o, c, kh, kw] x[c, oh s - pad + kh d, ow s - pad + kw d]
 * Order   every row by itself, so that a row's bits do not depend on the batch; forward sums in ascending (c,
 *         kh, kw), backward in ascending (o, kh, kw); weight gradients rows first.
 * Loops   the innermost runs along a row of the plane, its bounds computed once a (kh, kw): no test per
 *         element. */
#ifndef DF_BACKEND_REF_LAYER_H
#define DF_BACKEND_REF_LAYER_H

#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "half.h"
#include "split.h"

struct ref_layer {
    const struct df_layer_desc *desc;
    const double *weight, *bias;
    int32_t weight_shift; /* by whose power of two weight is scaled, where it is rounded or in parts */
    double *scratch;      /* ref_scratch_count elements */
};

static inline int64_t ref_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Doubles a layer's run needs: one output plane, one input sample, or all weights and biases; with
 * half_backward a rounded output sample besides; with split three samples, inputs or outputs. */
static inline int64_t ref_scratch_count(const struct df_layer_desc *desc)
{
    const int64_t weights = df_layer_weight_count(desc) + df_layer_bias_count(desc);
    const int64_t planes = ref_max(df_shape_size(desc->in), df_shape_size(desc->out));
    const int64_t rounded = desc->split ? 3 * planes : desc->half_backward ? df_shape_size(desc->out) : 0;
    return ref_max(planes, desc->weight_gradient ? weights : 0) + rounded;
}

/* Outputs [*begin, *end) along one axis whose input position o * stride + shift lies in [0, size). */
static inline void ref_range(int64_t *begin, int64_t *end, int64_t shift, int64_t stride, int64_t size,
                             int64_t out)
{
    *begin = shift < 0 ? (-shift + stride - 1) / stride : 0;
    *end = shift < size ? (size - 1 - shift) / stride + 1 : 0;
    if (*end > out)
        *end = out;
    if (*begin > *end)
        *begin = *end;
}

/* Where one tap (kh, kw) of a window meets the input plane. */
struct ref_tap {
    int64_t h0, h1, w0, w1;   /* outputs */
    int64_t shift_h, shift_w; /* input = output * stride + shift */
};

static inline struct ref_tap ref_tap(const struct df_layer_desc *d, int64_t kh, int64_t kw)
{
    struct ref_tap t;
    t.shift_h = kh * d->window.dilation[0] - d->window.pad[0];
    t.shift_w = kw * d->window.dilation[1] - d->window.pad[1];
    ref_range(&t.h0, &t.h1, t.shift_h, d->window.stride[0], d->in.h, d->out.h);
    ref_range(&t.w0, &t.w1, t.shift_w, d->window.stride[1], d->in.w, d->out.w);
    return t;
}

static inline void ref_round(df_real *to, const double *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = (df_real)from[i];
}

static void ref_conv_fwd(const struct ref_layer *l, df_real *y, const df_real *x, int64_t rows)
{
    const struct df_layer_desc *d = l->desc;
    const int64_t in_plane = d->in.h * d->in.w, out_plane = d->out.h * d->out.w,
                  kernel_w = d->window.kernel[1];
    const int64_t taps = d->window.kernel[0] * kernel_w, stride_h = d->window.stride[0],
                  stride_w = d->window.stride[1];
    const int64_t group_in = d->in.c / d->group, group_out = d->out.c / d->group;
    double *sum = l->scratch;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t o = 0; o < d->out.c; o++) {
            const df_real *planes = x + (row * d->in.c + o / group_out * group_in) * in_plane;
            for (int64_t j = 0; j < out_plane; j++)
                sum[j] = l->bias[o];
            for (int64_t k = 0; k < group_in * taps; k++) {
                const double w = l->weight[o * group_in * taps + k];
                const df_real *plane = planes + k / taps * in_plane;
                const struct ref_tap t = ref_tap(d, k % taps / kernel_w, k % kernel_w);
                for (int64_t h = t.h0; h < t.h1; h++) {
                    const df_real *from = plane + (h * stride_h + t.shift_h) * d->in.w + t.shift_w;
                    double *to = sum + h * d->out.w;
                    for (int64_t v = t.w0; v < t.w1; v++)
                        to[v] += w * (double)from[v * stride_w];
                }
            }
            ref_round(y + (row * d->out.c + o) * out_plane, sum, out_plane);
        }
}

static void ref_conv_bwd(const struct ref_layer *l, df_real *dx, const df_real *dy, int64_t rows)
{
    const struct df_layer_desc *d = l->desc;
    const int64_t in_plane = d->in.h * d->in.w, out_plane = d->out.h * d->out.w,
                  kernel_w = d->window.kernel[1];
    const int64_t taps = d->window.kernel[0] * kernel_w, stride_h = d->window.stride[0],
                  stride_w = d->window.stride[1];
    const int64_t group_in = d->in.c / d->group, group_out = d->out.c / d->group;
    double *sum = l->scratch;
    for (int64_t row = 0; row < rows; row++) {
        memset(sum, 0, (size_t)df_shape_size(d->in) * sizeof *sum);
        for (int64_t o = 0; o < d->out.c; o++) {
            const df_real *plane = dy + (row * d->out.c + o) * out_plane;
            double *sums = sum + o / group_out * group_in * in_plane;
            for (int64_t k = 0; k < group_in * taps; k++) {
                const double w = l->weight[o * group_in * taps + k];
                const struct ref_tap t = ref_tap(d, k % taps / kernel_w, k % kernel_w);
                for (int64_t h = t.h0; h < t.h1; h++) {
                    const df_real *from = plane + h * d->out.w;
                    double *to =
                        sums + k / taps * in_plane + (h * stride_h + t.shift_h) * d->in.w + t.shift_w;
                    for (int64_t v = t.w0; v < t.w1; v++)
                        to[v * stride_w] += w * (double)from[v];
                }
            }
        }
        ref_round(dx + row * df_shape_size(d->in), sum, df_shape_size(d->in));
    }
}

static void ref_conv_wgrad(const struct ref_layer *l, df_real *dw, df_real *db, const df_real *x,
                           const df_real *dy, int64_t rows)
{
    const struct df_layer_desc *d = l->desc;
    const int64_t in_plane = d->in.h * d->in.w, out_plane = d->out.h * d->out.w,
                  kernel_w = d->window.kernel[1];
    const int64_t taps = d->window.kernel[0] * kernel_w, stride_h = d->window.stride[0],
                  stride_w = d->window.stride[1];
    const int64_t group_in = d->in.c / d->group, group_out = d->out.c / d->group, each = group_in * taps;
    double *weight_sum = l->scratch, *bias_sum = l->scratch + d->out.c * each;
    memset(l->scratch, 0, (size_t)(d->out.c * (each + 1)) * sizeof *l->scratch);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t o = 0; o < d->out.c; o++) {
            const df_real *out = dy + (row * d->out.c + o) * out_plane;
            const df_real *planes = x + (row * d->in.c + o / group_out * group_in) * in_plane;
            for (int64_t j = 0; j < out_plane; j++)
                bias_sum[o] += (double)out[j];
            for (int64_t k = 0; k < each; k++) {
                const df_real *plane = planes + k / taps * in_plane;
                const struct ref_tap t = ref_tap(d, k % taps / kernel_w, k % kernel_w);
                double sum = 0;
                for (int64_t h = t.h0; h < t.h1; h++) {
                    const df_real *a = out + h * d->out.w;
                    const df_real *b = plane + (h * stride_h + t.shift_h) * d->in.w + t.shift_w;
                    for (int64_t v = t.w0; v < t.w1; v++)
                        sum += (double)a[v] * (double)b[v * stride_w];
                }
                weight_sum[o * each + k] += sum;
            }
        }
    ref_round(dw, weight_sum, d->out.c * each);
    if (db != NULL)
        ref_round(db, bias_sum, d->out.c);
}

/* Four partial sums, then a fixed tree: a fourth of the latency of one chain, and an order that is written
 * down. */
static double ref_dot(const double *w, const df_real *x, int64_t count)
{
    double lane[4] = {0, 0, 0, 0};
    int64_t j = 0;
    for (; j + 4 <= count; j += 4)
        for (int64_t k = 0; k < 4; k++)
            lane[k] += w[j + k] * (double)x[j + k];
    for (; j < count; j++)
        lane[j % 4] += w[j] * (double)x[j];
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

static void ref_gemm_fwd(const struct ref_layer *l, df_real *y, const df_real *x, int64_t rows)
{
    const int64_t in = df_shape_size(l->desc->in), out = df_shape_size(l->desc->out);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t o = 0; o < out; o++)
            y[row * out + o] = (df_real)(l->bias[o] + ref_dot(l->weight + o * in, x + row * in, in));
}

static void ref_gemm_bwd(const struct ref_layer *l, df_real *dx, const df_real *dy, int64_t rows)
{
    const int64_t in = df_shape_size(l->desc->in), out = df_shape_size(l->desc->out);
    double *sum = l->scratch;
    for (int64_t row = 0; row < rows; row++) {
        memset(sum, 0, (size_t)in * sizeof *sum);
        for (int64_t o = 0; o < out; o++) {
            const double g = (double)dy[row * out + o];
            const double *w = l->weight + o * in;
            for (int64_t j = 0; j < in; j++)
                sum[j] += w[j] * g;
        }
        ref_round(dx + row * in, sum, in);
    }
}

static void ref_gemm_wgrad(const struct ref_layer *l, df_real *dw, df_real *db, const df_real *x,
                           const df_real *dy, int64_t rows)
{
    const int64_t in = df_shape_size(l->desc->in), out = df_shape_size(l->desc->out);
    double *weight_sum = l->scratch, *bias_sum = l->scratch + in * out;
    memset(l->scratch, 0, (size_t)((in + 1) * out) * sizeof *l->scratch);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t o = 0; o < out; o++) {
            const double g = (double)dy[row * out + o];
            double *sum = weight_sum + o * in;
            bias_sum[o] += g;
            for (int64_t j = 0; j < in; j++)
                sum[j] += g * (double)x[row * in + j];
        }
    ref_round(dw, weight_sum, in * out);
    if (db != NULL)
        ref_round(db, bias_sum, out);
}

/* ---- Half precision (kernels/half.h): operands rounded as a GPU does, sums in double ------------ */

/* The power of two that brings the largest of `count` values to 2^place. */
static inline int32_t ref_half_shift(const df_real *x, int64_t count, int32_t place)
{
    uint32_t largest = 0;
    for (int64_t i = 0; i < count; i++) {
        const uint32_t magnitude = df_half_magnitude((float)x[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return df_half_shift(largest, place);
}

static inline double ref_half(df_real x, int32_t shift)
{
    return (double)df_half_value(df_half_scaled((float)x, shift));
}

/* A forward or a backward. */
typedef void ref_product(const struct ref_layer *l, df_real *out, const df_real *in, int64_t rows);

static void ref_half_bwd(const struct ref_layer *l, ref_product *backward, df_real *dx, const df_real *dy,
                         int64_t rows)
{
    const int64_t in = df_shape_size(l->desc->in), out = df_shape_size(l->desc->out);
    const int32_t place = df_half_place(df_layer_backward_terms(l->desc));
    df_real *rounded = (df_real *)(l->scratch + ref_scratch_count(l->desc) - out);
    for (int64_t row = 0; row < rows; row++) {
        const int32_t shift = ref_half_shift(dy + row * out, out, place);
        for (int64_t i = 0; i < out; i++)
            rounded[i] = (df_real)ref_half(dy[row * out + i], shift);
        backward(l, dx + row * in, rounded, 1);
        for (int64_t i = 0; i < in; i++)
            dx[row * in + i] = (df_real)ldexp((double)dx[row * in + i], -(shift + l->weight_shift));
    }
}

/* ---- Split precision (kernels/split.h): parts as a GPU has them, sums in double ----------------- */

/* The low part of x times 2^shift, and the sum of both parts, which a float holds. */
static inline double ref_split_part(df_real x, int32_t shift, double *both)
{
    uint16_t high, low;
    df_split((float)x, shift, &high, &low);
    *both = (double)df_half_value(high) + (double)df_half_value(low);
    return (double)df_half_value(low);
}

/* All products of parts but low low: those of both parts, less those of low ones. both and low have no
 * biases. bias NULL: of a backward. */
static void ref_split_run(const struct ref_layer *both, const struct ref_layer *low, const double *bias,
                          ref_product *product, df_real *out, const df_real *in, int64_t rows)
{
    const struct df_layer_desc *d = both->desc;
    const int64_t x = df_shape_size(d->in), y = df_shape_size(d->out), plane = d->out.h * d->out.w;
    const int64_t in_size = bias != NULL ? x : y, out_size = bias != NULL ? y : x, room = ref_max(x, y);
    df_real *parts = (df_real *)(both->scratch + ref_scratch_count(d) - 3 * room), *low_parts = parts + room,
            *less = low_parts + room;
    for (int64_t row = 0; row < rows; row++) {
        const df_real *from = in + row * in_size;
        df_real *to = out + row * out_size;
        const int32_t shift = ref_half_shift(from, in_size, DF_SPLIT_PLACE);
        for (int64_t i = 0; i < in_size; i++) {
            double sum;
            low_parts[i] = (df_real)ref_split_part(from[i], shift, &sum);
            parts[i] = (df_real)sum;
        }
        product(both, to, parts, 1);
        product(low, less, low_parts, 1);
        for (int64_t i = 0; i < out_size; i++)
            to[i] = (df_real)(ldexp((double)to[i] - (double)less[i], -(shift + both->weight_shift)) +
                              (bias != NULL ? bias[i / plane] : 0));
    }
}

#endif
