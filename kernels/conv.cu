/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions: which path runs a shape, and the two simple ones.
 *
 * Math, order   conv_walk.h; every path has the same bits
 * Work          cells: a thread an output cell, any geometry. depthwise: a thread STRIP cells below one
 *               another, so that neighbouring lanes read neighbouring pixels, and what is read serves several
 *               taps.
 * Traffic       depthwise: x and y once from memory, (STRIP - 1 + K) K / STRIP loads a cell from the L1
 *               cache */
#include "conv_walk.h"
#include "cuda_launch.h"

enum { THREADS = 128, STRIP = 4 };

struct df_conv_walk df_conv_walk_of(const struct df_conv_shape *shape, int32_t backward)
{
    const int32_t *from = backward ? shape->out : shape->in, *to = backward ? shape->in : shape->out;
    const int32_t taps = shape->window.kernel[0] * shape->window.kernel[1];
    const int32_t filter = shape->in[0] / shape->group * taps;
    struct df_conv_walk walk;
    walk.in_c = from[0] / shape->group;
    walk.in_h = from[1];
    walk.in_w = from[2];
    walk.out_c = to[0] / shape->group;
    walk.out_h = to[1];
    walk.out_w = to[2];
    walk.group = shape->group;
    walk.backward = backward;
    walk.window = shape->window;
    walk.weight_out = backward ? taps : filter;
    walk.weight_in = backward ? filter : taps;
    return walk;
}

static unsigned block_count(int64_t threads)
{
    const int64_t most = INT64_C(1) << 30, blocks = (threads + THREADS - 1) / THREADS;
    return (unsigned)(blocks < most ? blocks : most);
}

/* ---- Any geometry -------------------------------------------------------------------------------------- */

static __device__ float sum_cell(const struct df_conv_walk &walk, const struct df_conv_axis &y,
                                 const struct df_conv_axis &x, const float *in, const float *weight,
                                 int32_t first_y, int32_t first_x, float sum)
{
    for (int32_t c = 0; c < walk.in_c; c++, in += (int64_t)walk.in_h * walk.in_w, weight += walk.weight_in)
        for (int32_t ty = 0; ty < y.taps; ty++) {
            const int32_t iy = first_y + ty * y.step;
            if (iy < 0 || iy >= walk.in_h)
                continue;
            const float *line = in + (int64_t)iy * walk.in_w;
            const float *taps = weight + (y.first + ty * y.skip) * walk.window.kernel[1] + x.first;
            for (int32_t tx = 0; tx < x.taps; tx++) {
                const int32_t ix = first_x + tx * x.step;
                if (ix >= 0 && ix < walk.in_w)
                    sum = fmaf(line[ix], taps[tx * x.skip], sum);
            }
        }
    return sum;
}

__global__ void conv_cells(const struct df_conv_walk walk, const struct df_conv_data data)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    const int32_t plane = walk.out_h * walk.out_w, channels = walk.group * walk.out_c;
    const int64_t count = data.rows * channels * plane;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const int32_t cell = (int32_t)(i % plane), h = cell / walk.out_w, w = cell % walk.out_w;
        const int64_t row = i / plane / channels;
        const int32_t n = (int32_t)(i / plane - row * channels), group = n / walk.out_c;
        const int32_t stride_h = walk.backward ? walk.window.stride[0] : 1;
        const int32_t stride_w = walk.backward ? walk.window.stride[1] : 1;
        const struct df_conv_axis y = df_conv_axis_at(&walk, 0, h % stride_h);
        const struct df_conv_axis x = df_conv_axis_at(&walk, 1, w % stride_w);
        const float *in = data.in + (row * walk.group + group) * walk.in_c * walk.in_h * walk.in_w;
        const float *weight =
            data.weight +
            (int64_t)group * walk.in_c * walk.out_c * walk.window.kernel[0] * walk.window.kernel[1] +
            (int64_t)(n - group * walk.out_c) * walk.weight_out;
        const float first = data.bias != NULL ? data.bias[n] : 0.0F;
        data.out[i] = sum_cell(walk, y, x, in, weight, h / stride_h * y.move + y.base,
                               w / stride_w * x.move + x.base, first);
    }
}

int df_conv_cells(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream)
{
    const int64_t count = data->rows * walk->group * walk->out_c * walk->out_h * walk->out_w;
    DF_LAUNCH(conv_cells, block_count(count), THREADS, 0, stream, *walk, *data);
    return df_launched();
}

/* ---- One channel in, one out --------------------------------------------------------------------------- */

/* DOWN: the taps go down the plane where they go up in the kernel (backward). */
template <int K, int STRIDE, bool DOWN>
__global__ void __launch_bounds__(THREADS)
    conv_depthwise(const struct df_conv_walk walk, const struct df_conv_data data)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    const int32_t strips = (walk.out_h + STRIP - 1) / STRIP, across = strips * walk.out_w;
    const struct df_conv_axis y = df_conv_axis_at(&walk, 0, 0), x = df_conv_axis_at(&walk, 1, 0);
    const int64_t count = data.rows * walk.group * across;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const int64_t plane = i / across;
        const int32_t cell = (int32_t)(i - plane * across), channel = (int32_t)(plane % walk.group);
        const int32_t h = cell / walk.out_w * STRIP, w = cell % walk.out_w;
        const int32_t iy = h * STRIDE + y.base - (DOWN ? K - 1 : 0);
        const int32_t ix = w * STRIDE + x.base - (DOWN ? K - 1 : 0);
        const float *in = data.in + plane * walk.in_h * walk.in_w;
        const float *weight = data.weight + channel * K * K;
        enum { LINES = (STRIP - 1) * STRIDE + K };
        float v[LINES][K];
#pragma unroll
        for (int r = 0; r < LINES; r++)
#pragma unroll
            for (int k = 0; k < K; k++) {
                const bool inside = iy + r >= 0 && iy + r < walk.in_h && ix + k >= 0 && ix + k < walk.in_w;
                v[r][k] = inside ? in[(int64_t)(iy + r) * walk.in_w + ix + k] : 0.0F;
            }
        float sum[STRIP];
#pragma unroll
        for (int q = 0; q < STRIP; q++)
            sum[q] = data.bias != NULL ? data.bias[channel] : 0.0F;
#pragma unroll
        for (int k = 0; k < K * K; k++) {
            const int ty = DOWN ? K - 1 - k / K : k / K, tx = DOWN ? K - 1 - k % K : k % K;
#pragma unroll
            for (int q = 0; q < STRIP; q++)
                sum[q] = fmaf(v[q * STRIDE + ty][tx], weight[k], sum[q]);
        }
        float *out = data.out + plane * walk.out_h * walk.out_w + (int64_t)h * walk.out_w + w;
#pragma unroll
        for (int q = 0; q < STRIP; q++)
            if (h + q < walk.out_h)
                out[(int64_t)q * walk.out_w] = sum[q];
    }
}

int32_t df_conv_suits_depthwise(const struct df_conv_walk *walk)
{
    const struct df_window *w = &walk->window;
    return walk->in_c == 1 && walk->out_c == 1 && w->kernel[0] == w->kernel[1] &&
           (w->kernel[0] == 3 || w->kernel[0] == 5) && w->dilation[0] == 1 && w->dilation[1] == 1 &&
           w->stride[0] == w->stride[1] && w->stride[0] <= (walk->backward ? 1 : 2);
}

int df_conv_depthwise(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream)
{
    void (*kernel)(struct df_conv_walk, struct df_conv_data);
    if (walk->backward)
        kernel = walk->window.kernel[0] == 3 ? conv_depthwise<3, 1, true> : conv_depthwise<5, 1, true>;
    else if (walk->window.stride[0] == 1)
        kernel = walk->window.kernel[0] == 3 ? conv_depthwise<3, 1, false> : conv_depthwise<5, 1, false>;
    else
        kernel = walk->window.kernel[0] == 3 ? conv_depthwise<3, 2, false> : conv_depthwise<5, 2, false>;
    const int64_t strips = (walk->out_h + STRIP - 1) / STRIP;
    DF_LAUNCH(kernel, block_count(data->rows * walk->group * strips * walk->out_w), THREADS, 0, stream, *walk,
              *data);
    return df_launched();
}

/* ---- Launchers ----------------------------------------------------------------------------------------- */

static int run(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream)
{
    if (data->rows <= 0)
        return 0;
    if (df_conv_suits_depthwise(walk))
        return df_conv_depthwise(walk, data, stream);
    if (df_conv_suits_narrow(walk))
        return df_conv_narrow(walk, data, stream);
    if (df_conv_suits_wide(walk))
        return df_conv_wide(walk, data, stream);
    return df_conv_cells(walk, data, stream);
}

int df_conv_forward(const struct df_conv_shape *shape, float *y, const float *x, const float *weight,
                    const float *bias, int64_t rows, void *stream)
{
    const struct df_conv_walk walk = df_conv_walk_of(shape, 0);
    const struct df_conv_data data = {y, x, weight, bias, rows};
    return run(&walk, &data, stream);
}

int df_conv_backward(const struct df_conv_shape *shape, float *dx, const float *dy, const float *weight,
                     int64_t rows, void *stream)
{
    const struct df_conv_walk walk = df_conv_walk_of(shape, 1);
    const struct df_conv_data data = {dx, dy, weight, NULL, rows};
    return run(&walk, &data, stream);
}
