/* SPDX-License-Identifier: Apache-2.0 */
/* The backward of a small network through its pools: of a pooled value's window only the pixel with the
 * maximum has a gradient, and which one that is all cotangents of a sample share.
 *
 * Math     dx[c, i, j] = sum over (o, ky, kx) of dy[o, i + pad - ky, j + pad - kx] weight[o, c, ky, kx];
 *          dy is zero but for one pixel of each 2x2 window, at (2 py + ry, 2 px + rx)
 * Work     a thread carries CELLS blocks of 2x2 pixels, CHANNELS deep or as many of one channel below each
 *          other, for COTANGENTS cotangents of one sample. A window reaches (kernel + 1) / 2 blocks along an
 *          axis, wherever in it the maximum is: the four weights between a window and a block are one load,
 *          from a copy of the kernel shifted by (ry, rx) with zeros around it, and serve all cotangents.
 *          LeNet5 needs a fifth of the multiplications of fused.cu, which goes over the zeros of the windows
 * Order    that of conv.h: (o, ky, kx) ascending. ky ascends where the row 2 py + ry descends, so windows go
 *          from the last row to the first, and in a row those whose maximum is below come first; among them
 *          kx ascends from the last window to the first. Zeros that are added on the way change no sum. A
 *          gradient that is not finite may make more pixels of its row not finite than layers do
 * Shared   weights; of each sample gradients [window][COTANGENTS] of one convolution at a time and codes of
 *          all windows. A window whose ReLU is off has a gradient of zeros, which lie behind the last one */
#include "cuda_launch.h"
#include "fused.h"

enum {
    COTANGENTS = DF_POOLED_COTANGENTS,
    CELLS = 3,
    QUAD = 4, /* pixels of a block */
    OFF = 255 /* in kept: the ReLU is off */
};

/* A window's code: which maximum comes first has the larger code. */
enum {
    CODE_BELOW = 1 << 15,       /* the maximum is in the window's second row */
    CODE_PLACE = 13,            /* bits: windows of a row that reach a block, counted from the left */
    CODE_ON = 1 << 12,          /* the ReLU is on */
    CODE_WEIGHTS = CODE_ON - 1, /* the shifted copy of the kernel, in quads of floats */
};

/* ---- A thread's blocks -------------------------------------------------------------------------------- */

static __device__ inline void larger_first(int32_t &a, int32_t &b)
{
    const int32_t larger = a > b ? a : b;
    b = a > b ? b : a;
    a = larger;
}

/* Codes of the REACH windows of a row that reach a block, in the order in which their sums are taken. */
template <int REACH> static __device__ inline void read_codes(int32_t (&code)[REACH], const uint16_t *line)
{
#pragma unroll
    for (int k = 0; k < REACH; k++)
        code[k] = line[k] + (k << CODE_PLACE) + REACH - 1 - k;
#pragma unroll
    for (int pass = 1; pass < REACH; pass++)
#pragma unroll
        for (int k = 0; k + pass < REACH; k++)
            larger_first(code[k], code[k + 1]);
}

/* sum[channel][block below the other][pixel][cotangent] of the blocks from row `down` on, in column
 * `across`. */
template <int K, int CHANNELS, int BELOW>
static __device__ inline void gather(float (&sum)[CHANNELS][BELOW][QUAD][COTANGENTS],
                                     const struct df_fused_conv &conv, const float *gradient,
                                     const float *zeros, const uint16_t *codes, const float *weights,
                                     int32_t down, int32_t across)
{
    constexpr int REACH = (K + 1) / 2, COPIES = 4 * REACH * REACH * QUAD;
    const int32_t height = conv.out[1], width = conv.out[2];
    for (int32_t o = 0; o < conv.out[0]; o++, weights += CHANNELS * COPIES) {
#pragma unroll
        for (int j = 0; j < BELOW + REACH - 1; j++) {
            const int32_t row = down + BELOW - 1 - j;
            if (row < 0 || row >= height)
                continue;
            const int32_t line = o * height + row;
            int32_t code[REACH];
            read_codes<REACH>(code, codes + line * conv.pooled_line + across);
#pragma unroll
            for (int k = 0; k < REACH; k++) {
                const int32_t column = across - (REACH - 1) + (code[k] >> CODE_PLACE) % 4;
                const float *from =
                    (code[k] & CODE_ON) != 0 ? gradient + (line * width + column) * COTANGENTS : zeros;
                const float *copy = weights + (code[k] & CODE_WEIGHTS) * QUAD;
                float g[COTANGENTS];
#pragma unroll
                for (int n = 0; n < COTANGENTS; n++)
                    g[n] = from[n];
#pragma unroll
                for (int c = 0; c < CHANNELS; c++)
#pragma unroll
                    for (int b = 0; b < BELOW; b++) {
                        const int away = b - (BELOW - 1) + j; /* rows of blocks below the window's first */
                        if (away < 0 || away >= REACH)
                            continue;
                        const float4 w =
                            *reinterpret_cast<const float4 *>(copy + c * COPIES + away * REACH * QUAD);
#pragma unroll
                        for (int n = 0; n < COTANGENTS; n++) {
                            sum[c][b][0][n] = fmaf(g[n], w.x, sum[c][b][0][n]);
                            sum[c][b][1][n] = fmaf(g[n], w.y, sum[c][b][1][n]);
                            sum[c][b][2][n] = fmaf(g[n], w.z, sum[c][b][2][n]);
                            sum[c][b][3][n] = fmaf(g[n], w.w, sum[c][b][3][n]);
                        }
                    }
            }
        }
    }
}

/* What a thread works on. */
struct pooled_item {
    bool active;
    int32_t thread; /* of the sample's */
    int32_t here;   /* cotangents there are */
    float *gradient;
    const uint16_t *codes;
    const float *zeros;
    float *dx; /* the first cotangent's row */
};

/* The gradient of a convolution's input: over the gradients in shared memory, or of the first convolution to
 * dx. */
template <int K, int CHANNELS, int BELOW>
static __device__ void backward_conv(const struct df_fused_shape &shape, const struct df_fused_conv &conv,
                                     const struct pooled_item &item, const float *weights, bool last)
{
    constexpr int REACH = (K + 1) / 2;
    const int32_t channels = conv.in[0], height = conv.in[1], width = conv.in[2];
    const int32_t column = item.thread % conv.pooled_across, rest = item.thread / conv.pooled_across;
    const int32_t down = conv.pad / 2 + rest % conv.pooled_down * BELOW, across = conv.pad / 2 + column;
    const int32_t group = rest / conv.pooled_down;
    const bool works = item.active && group < conv.pooled_groups;
    float sum[CHANNELS][BELOW][QUAD][COTANGENTS] = {};
    if (works)
        gather<K, CHANNELS, BELOW>(sum, conv, item.gradient, item.zeros, item.codes + conv.pooled_codes_at,
                                   weights + conv.pooled_at +
                                       group * conv.out[0] * CHANNELS * 4 * REACH * REACH * QUAD,
                                   down, across);
    __syncthreads(); /* all have read the gradients */
#pragma unroll
    for (int c = 0; c < CHANNELS; c++)
#pragma unroll
        for (int b = 0; b < BELOW; b++)
#pragma unroll
            for (int q = 0; q < QUAD; q++) {
                const int32_t h = 2 * (down + b) + q / 2 - conv.pad, w = 2 * across + q % 2 - conv.pad;
                const int32_t channel = group * CHANNELS + c;
                if (!works || channel >= channels || h < 0 || h >= height || w < 0 || w >= width)
                    continue;
                const int32_t at = (channel * height + h) * width + w;
#pragma unroll
                for (int n = 0; n < COTANGENTS; n++)
                    if (!last)
                        item.gradient[at * COTANGENTS + n] = sum[c][b][q][n];
                    else if (n < item.here)
                        item.dx[(int64_t)n * shape.input + at] = sum[c][b][q][n];
            }
    if (!last)
        __syncthreads();
}

static __device__ void backward_any(const struct df_fused_shape &shape, int32_t s,
                                    const struct pooled_item &item, const float *weights)
{
    const struct df_fused_conv &conv = shape.conv[s];
    if (conv.kernel == 5 && conv.pooled_channels == 1)
        backward_conv<5, 1, CELLS>(shape, conv, item, weights, s == 0);
    else if (conv.kernel == 5)
        backward_conv<5, CELLS, 1>(shape, conv, item, weights, s == 0);
    else if (conv.pooled_channels == 1)
        backward_conv<3, 1, CELLS>(shape, conv, item, weights, s == 0);
    else
        backward_conv<3, CELLS, 1>(shape, conv, item, weights, s == 0);
}

/* ---- The kernel --------------------------------------------------------------------------------------- */

/* Codes of a sample's windows, with windows that are off before and behind each row. */
static __device__ void write_codes(const struct df_fused_conv &conv, uint16_t *codes, const uint8_t *kept,
                                   int32_t thread, int32_t threads)
{
    const int32_t reach = (conv.kernel + 1) / 2, width = conv.out[2];
    for (int32_t i = thread; i < conv.out[0] * conv.out[1] * conv.pooled_line; i += threads) {
        const int32_t line = i / conv.pooled_line, column = i % conv.pooled_line - (reach - 1);
        const int32_t at = column >= 0 && column < width ? kept[line * width + column] : (int32_t)OFF;
        codes[i] =
            (uint16_t)(at == OFF ? 0 : (at >= 2 ? (int)CODE_BELOW : 0) | (int)CODE_ON | at * reach * reach);
    }
}

/* Rows i each to (i + 1) each belong to one sample; they are taken by parts of COTANGENTS. */
__global__ void __launch_bounds__(DF_POOLED_THREADS, 1)
    fused_pooled_backward(const struct df_fused_shape shape, float *dx, const float *features,
                          const uint8_t *kept, const int32_t *owner, const float *packed, int64_t parts,
                          int32_t each, int32_t block_parts)
{
    DF_SHARED(float, shared);
    const int32_t threads = shape.pooled_threads, place = (int32_t)threadIdx.x / threads;
    const int32_t of_sample = (each + COTANGENTS - 1) / COTANGENTS;
    float *const gradients = shared + shape.pooled_weights;
    uint16_t *const codes =
        reinterpret_cast<uint16_t *>(gradients + block_parts * shape.pooled_values * COTANGENTS);
    struct pooled_item item = {};
    item.thread = (int32_t)threadIdx.x % threads;
    item.gradient = gradients + place * shape.pooled_values * COTANGENTS;
    item.zeros = item.gradient + (shape.pooled_values - 1) * COTANGENTS;
    item.codes = codes + place * shape.pooled_codes;
    for (int32_t i = (int32_t)threadIdx.x; i < shape.pooled_weights; i += (int32_t)blockDim.x)
        shared[i] = packed[shape.packed + i];
    for (int32_t n = item.thread; n < COTANGENTS && place < block_parts; n += threads)
        item.gradient[(shape.pooled_values - 1) * COTANGENTS + n] = 0;
    for (int64_t first = (int64_t)blockIdx.x * block_parts; first < parts;
         first += (int64_t)gridDim.x * block_parts) {
        const int64_t part = first + place;
        item.active = place < block_parts && part < parts;
        if (item.active) {
            const int32_t begin = (int32_t)(part % of_sample) * COTANGENTS;
            const int64_t row = part / of_sample * each + begin;
            const uint8_t *bytes = kept + (int64_t)owner[row] * shape.kept_size;
            item.here = each - begin < COTANGENTS ? each - begin : COTANGENTS;
            item.dx = dx + row * shape.input;
            for (int n = 0; n < COTANGENTS; n++)
                for (int32_t i = item.thread; i < shape.features; i += threads)
                    item.gradient[i * COTANGENTS + n] =
                        n < item.here ? features[(row + n) * shape.features + i] : 0.0F;
            for (int32_t s = 0; s < shape.count; s++)
                write_codes(shape.conv[s], codes + place * shape.pooled_codes + shape.conv[s].pooled_codes_at,
                            bytes + shape.conv[s].kept_at, item.thread, threads);
        }
        __syncthreads();
        for (int32_t s = shape.count - 1; s >= 0; s--)
            backward_any(shape, s, item, shared);
    }
}

/* ---- On the host -------------------------------------------------------------------------------------- */

static int32_t round_up(int32_t value, int32_t to)
{
    return (value + to - 1) / to * to;
}

static void plan_conv(struct df_fused_shape *shape, struct df_fused_conv *conv)
{
    const int32_t reach = (conv->kernel + 1) / 2, *in = conv->in, *out = conv->out;
    const int32_t below = in[0] == 1 ? (int32_t)CELLS : 1, first = conv->pad / 2;
    const int32_t blocks = (conv->pad + in[1] - 1) / 2 - first + 1;
    conv->pooled_channels = in[0] == 1 ? 1 : (int32_t)CELLS;
    conv->pooled_groups = (in[0] + conv->pooled_channels - 1) / conv->pooled_channels;
    conv->pooled_down = (blocks + below - 1) / below;
    conv->pooled_across = (conv->pad + in[2] - 1) / 2 - first + 1;
    /* Columns of windows: the block furthest right reads the one at its own place. */
    conv->pooled_line =
        reach - 1 + (out[2] > first + conv->pooled_across ? out[2] : first + conv->pooled_across);
    conv->pooled_codes_at = shape->pooled_codes;
    shape->pooled_codes += out[0] * out[1] * conv->pooled_line;
    conv->pooled_at = shape->pooled_weights;
    shape->pooled_weights +=
        conv->pooled_groups * conv->pooled_channels * out[0] * 4 * reach * reach * (int32_t)QUAD;
    const int32_t items = conv->pooled_groups * conv->pooled_down * conv->pooled_across;
    const int32_t values = out[0] * out[1] * out[2] + 1;
    shape->pooled_threads = items > shape->pooled_threads ? items : shape->pooled_threads;
    shape->pooled_values = values > shape->pooled_values ? values : shape->pooled_values;
}

/* Samples of a block; 0: this way is not worth it. */
static int32_t parts_of_block(const struct df_fused_shape *shape)
{
    enum { LEAST_THREADS = 128 };
    const int32_t part = shape->pooled_values * (int32_t)(COTANGENTS * sizeof(float)) +
                         shape->pooled_codes * (int32_t)sizeof(uint16_t);
    const int32_t left = shape->shared_most - shape->pooled_weights * (int32_t)sizeof(float);
    const int32_t by_threads = (int32_t)DF_POOLED_THREADS / shape->pooled_threads;
    const int32_t parts = left > 0 && left / part < by_threads ? left / part : left > 0 ? by_threads : 0;
    return parts * shape->pooled_threads < LEAST_THREADS ? 0 : parts;
}

void df_fused_pooled_plan(struct df_fused_shape *shape)
{
    enum { MOST_VALUES = 1 << 22 }; /* sizes are int32 */
    shape->pooled_threads = shape->pooled_values = shape->pooled_codes = shape->pooled_weights = 0;
    for (int32_t s = 0; s < shape->count; s++) {
        plan_conv(shape, &shape->conv[s]);
        if (shape->pooled_weights > MOST_VALUES)
            break;
    }
    shape->pooled_codes = round_up(shape->pooled_codes, 2);
    shape->pooled_parts = shape->pooled_weights > MOST_VALUES ? 0 : parts_of_block(shape);
}

/* [group][o][channel of the group][place of the maximum][block row][block column][pixel]: of a kernel shifted
 * by the maximum's place, zeros around it. */
__global__ void fused_pooled_pack(const struct df_fused_conv conv, float *packed, const float *weight)
{
    const int32_t k = conv.kernel, reach = (k + 1) / 2, from = conv.in[0], to = conv.out[0];
    const int32_t deep = conv.pooled_channels,
                  count = conv.pooled_groups * deep * to * 4 * reach * reach * QUAD;
    for (int32_t i = (int32_t)(blockIdx.x * blockDim.x + threadIdx.x); i < count;
         i += (int32_t)(gridDim.x * blockDim.x)) {
        const int32_t q = i % QUAD, column = i / QUAD % reach, row = i / QUAD / reach % reach;
        const int32_t at = i / QUAD / reach / reach % 4, rest = i / QUAD / reach / reach / 4;
        const int32_t o = rest / deep % to, c = rest / deep / to * deep + rest % deep;
        const int32_t ky = 2 * row + q / 2 - at / 2, kx = 2 * column + q % 2 - at % 2;
        const bool inside = c < from && ky >= 0 && ky < k && kx >= 0 && kx < k;
        packed[i] = inside ? weight[((o * from + c) * k + ky) * k + kx] : 0.0F;
    }
}

int df_fused_pooled_pack(const struct df_fused_shape *shape, float *packed, const float *parameters,
                         void *stream)
{
    int error = 0;
    for (int32_t s = 0; s < shape->count && error == 0 && shape->pooled_parts > 0; s++) {
        const struct df_fused_conv *conv = &shape->conv[s];
        DF_LAUNCH(fused_pooled_pack, 32, 256, 0, stream, *conv, packed + shape->packed + conv->pooled_at,
                  parameters + conv->weight_at);
        error = df_launched();
    }
    return error;
}

int df_fused_pooled_backward(const struct df_fused_shape *shape, float *dx, const float *features,
                             const uint8_t *kept, const int32_t *owner, const float *packed, int64_t rows,
                             int32_t each, void *stream)
{
    const int32_t parts_each = (each + COTANGENTS - 1) / COTANGENTS;
    const int64_t parts = rows / each * parts_each;
    const int32_t block_parts = shape->pooled_parts;
    const size_t bytes = (size_t)shape->pooled_weights * sizeof(float) +
                         (size_t)(block_parts * shape->pooled_values * (int32_t)COTANGENTS) * sizeof(float) +
                         (size_t)(block_parts * shape->pooled_codes) * sizeof(uint16_t);
    const int64_t blocks = (parts + block_parts - 1) / block_parts;
    const int32_t threads = round_up(block_parts * shape->pooled_threads, 32);
    if (rows == 0)
        return 0;
    const cudaError_t error = cudaFuncSetAttribute(
        (const void *)fused_pooled_backward, cudaFuncAttributeMaxDynamicSharedMemorySize, shape->shared_most);
    if (error != cudaSuccess)
        return (int)error;
    DF_LAUNCH(fused_pooled_backward,
              (unsigned)(blocks < shape->multiprocessors ? blocks : (int64_t)shape->multiprocessors), threads,
              bytes, stream, *shape, dx, features, kept, owner, packed, parts, each, block_parts);
    return df_launched();
}
