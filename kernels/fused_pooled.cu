/* SPDX-License-Identifier: Apache-2.0 */
/* The backward of a small network through its pools: of a pooled value's window only the pixel with the
 * maximum has a gradient, and which one that is all cotangents of a sample share.
 *
 * Math     dx[c, i, j] = sum over (o, ky, kx) of dy[o, i + pad - ky, j + pad - kx] weight[o, c, ky, kx];
 *          dy is zero but for one pixel of each 2x2 window, at (2 py + ry, 2 px + rx)
 * Work     a thread carries BELOW blocks of 2x2 pixels below each other, of one channel, for COTANGENTS
 *          cotangents of one sample. A window reaches (kernel + 1) / 2 blocks along an axis, wherever in it
 *          the maximum is: the four weights between a window and a block are one load, from a copy of the
 *          kernel shifted by (ry, rx) with zeros around it, and serve all cotangents. The threads of a warp
 *          have the same blocks of several samples and channels, so that none waits at a border for others.
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
    BELOW = 3,
    QUAD = 4, /* pixels of a block */
    WARP = 32,
    OFF = 255 /* in kept: the ReLU is off */
};

/* A window's code: what comes first has the larger code. */
enum {
    CODE_ON = 1 << 15,    /* the ReLU is on */
    CODE_BELOW = 1 << 14, /* the maximum is in the window's second row */
    CODE_PLACE = 12,      /* bits: windows of a row that reach a block, counted from the left */
    CODE_WEIGHTS = (1 << CODE_PLACE) - 1, /* the shifted copy of the kernel, in quads of floats */
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

/* Floats of a channel's shifted kernels. Those of the next channel begin in other banks of shared memory. */
static __host__ __device__ inline int32_t kernels_of(const struct df_fused_conv &conv)
{
    const int32_t reach = (conv.kernel + 1) / 2;
    return (conv.out[0] * 4 * reach * reach + 1) * QUAD;
}

/* Where a thread's blocks lie. */
struct pooled_place {
    int32_t sample; /* of the block's */
    int32_t channel, down, across;
    bool works;
};

/* sum[block below the other][pixel][cotangent] */
template <int K>
static __device__ inline void gather(float (&sum)[BELOW][QUAD][COTANGENTS], const struct df_fused_conv &conv,
                                     const float *gradient, const float *zeros, const uint16_t *codes,
                                     const float *weights, const struct pooled_place &at)
{
    constexpr int REACH = (K + 1) / 2, COPIES = 4 * REACH * REACH * QUAD;
    const int32_t height = conv.out[1], width = conv.out[2], left = at.across - (REACH - 1);
    const int32_t reached = (at.across < width ? at.across + 1 : width) - (left > 0 ? left : 0);
    for (int32_t o = 0; o < conv.out[0]; o++, weights += COPIES) {
#pragma unroll
        for (int j = 0; j < BELOW + REACH - 1; j++) {
            const int32_t row = at.down + BELOW - 1 - j, line = o * height + row;
            if (row < 0 || row >= height)
                continue;
            int32_t code[REACH];
            read_codes<REACH>(code, codes + line * conv.pooled_line + at.across);
            const float *windows = gradient + (line * width + left) * COTANGENTS;
            /* Not unrolled: the kernel's loop has to fit into a multiprocessor's nearest instruction
             * cache. */
#pragma unroll 1
            for (int32_t k = 0; k < reached; k++) {
                const float *from =
                    (code[0] & CODE_ON) != 0 ? windows + (code[0] >> CODE_PLACE & 3) * COTANGENTS : zeros;
                const float *copy = weights + (code[0] & CODE_WEIGHTS) * QUAD;
                float g[COTANGENTS];
#pragma unroll
                for (int n = 0; n < COTANGENTS; n++)
                    g[n] = from[n];
#pragma unroll
                for (int b = 0; b < BELOW; b++) {
                    const int away = b - (BELOW - 1) + j; /* rows of blocks below the window's first */
                    if (away < 0 || away >= REACH)
                        continue;
                    const float4 w = *reinterpret_cast<const float4 *>(copy + away * 4 * REACH * QUAD);
#pragma unroll
                    for (int n = 0; n < COTANGENTS; n++) {
                        sum[b][0][n] = fmaf(g[n], w.x, sum[b][0][n]);
                        sum[b][1][n] = fmaf(g[n], w.y, sum[b][1][n]);
                        sum[b][2][n] = fmaf(g[n], w.z, sum[b][2][n]);
                        sum[b][3][n] = fmaf(g[n], w.w, sum[b][3][n]);
                    }
                }
#pragma unroll
                for (int i = 0; i + 1 < REACH; i++)
                    code[i] = code[i + 1];
            }
        }
    }
}

/* ---- Places of threads -------------------------------------------------------------------------------- */

/* Threads with the same rows of blocks are neighbours, and those with the same column where samples and
 * channels fill warps. */
struct pooled_walk {
    int32_t channels, down, across; /* groups of BELOW blocks below each other; blocks beside each other */
    bool by_column;
    int32_t group; /* threads of one row, or of one row and column */
};

static __host__ __device__ inline struct pooled_walk walk_of(const struct df_fused_conv &conv, int32_t parts)
{
    const int32_t first = conv.pad / 2, *in = conv.in;
    const int32_t blocks = (conv.pad + in[1] - 1) / 2 - first + 1;
    struct pooled_walk walk = {in[0], (blocks + BELOW - 1) / BELOW, (conv.pad + in[2] - 1) / 2 - first + 1,
                               false, 0};
    const int32_t lanes = parts * walk.channels, padded = (lanes + WARP - 1) / WARP * WARP;
    walk.by_column = 8 * (padded - lanes) <= padded;
    walk.group = walk.by_column ? padded : lanes * walk.across;
    return walk;
}

static __device__ inline struct pooled_place place_of(const struct df_fused_conv &conv, int32_t parts)
{
    const struct pooled_walk walk = walk_of(conv, parts);
    const int32_t group = (int32_t)threadIdx.x / walk.group, lane = (int32_t)threadIdx.x % walk.group;
    const int32_t first = conv.pad / 2;
    struct pooled_place at;
    if (walk.by_column) {
        at.sample = lane / walk.channels;
        at.channel = lane % walk.channels;
        at.down = first + group / walk.across * BELOW;
        at.across = first + group % walk.across;
        at.works = lane < parts * walk.channels && group < walk.down * walk.across;
    } else {
        at.sample = lane / (walk.channels * walk.across);
        at.channel = lane / walk.across % walk.channels;
        at.down = first + group * BELOW;
        at.across = first + lane % walk.across;
        at.works = group < walk.down;
    }
    return at;
}

/* What a block works on: parts of samples, each with gradients and codes of its own. */
struct pooled_block {
    float *gradients;
    const uint16_t *codes;
    const float *weights;
    float *dx;
    int64_t first, parts; /* the first part; all there are */
    int32_t each, of_sample;
};

static __device__ inline int32_t cotangents_of(const struct pooled_block &block, int64_t part)
{
    const int32_t left = block.each - (int32_t)(part % block.of_sample) * COTANGENTS;
    return left < COTANGENTS ? left : COTANGENTS;
}

static __device__ inline int64_t row_of(const struct pooled_block &block, int64_t part)
{
    return part / block.of_sample * block.each + part % block.of_sample * COTANGENTS;
}

/* The gradient of a convolution's input: over the gradients in shared memory, or of the first convolution to
 * dx. */
template <int K>
static __device__ void backward_conv(const struct df_fused_shape &shape, const struct df_fused_conv &conv,
                                     const struct pooled_block &block, bool last)
{
    const int32_t height = conv.in[1], width = conv.in[2];
    struct pooled_place at = place_of(conv, shape.pooled_parts);
    at.works = at.works && block.first + at.sample < block.parts;
    float *const gradient = block.gradients + at.sample * shape.pooled_stride;
    float sum[BELOW][QUAD][COTANGENTS] = {};
    if (at.works)
        gather<K>(sum, conv, gradient, gradient + shape.pooled_zeros,
                  block.codes + at.sample * shape.pooled_codes + conv.pooled_codes_at,
                  block.weights + conv.pooled_at + at.channel * kernels_of(conv), at);
    __syncthreads(); /* all have read the gradients */
    const int32_t here = at.works ? cotangents_of(block, block.first + at.sample) : 0;
    float *const dx = block.dx + row_of(block, block.first + at.sample) * shape.input;
    const int32_t w = 2 * at.across - conv.pad;
    /* Then planes and rows of dx are even, too. */
    const bool pairs = conv.pad % 2 == 0 && width % 2 == 0 && reinterpret_cast<uintptr_t>(block.dx) % 8 == 0;
#pragma unroll
    for (int b = 0; b < BELOW; b++)
#pragma unroll
        for (int y = 0; y < 2; y++) {
            const int32_t h = 2 * (at.down + b) + y - conv.pad;
            if (!at.works || h < 0 || h >= height)
                continue;
            const int32_t to = (at.channel * height + h) * width + w;
            const bool one = w >= 0 && w < width, two = w + 1 >= 0 && w + 1 < width;
#pragma unroll
            for (int n = 0; n < COTANGENTS; n++) {
                const float a = sum[b][2 * y][n], c = sum[b][2 * y + 1][n];
                if (!last) {
                    if (one)
                        gradient[to * COTANGENTS + n] = a;
                    if (two)
                        gradient[(to + 1) * COTANGENTS + n] = c;
                } else if (n < here && pairs) {
                    const float2 both = {a, c};
                    *reinterpret_cast<float2 *>(dx + (int64_t)n * shape.input + to) = both;
                } else if (n < here) {
                    if (one)
                        dx[(int64_t)n * shape.input + to] = a;
                    if (two)
                        dx[(int64_t)n * shape.input + to + 1] = c;
                }
            }
        }
    if (!last)
        __syncthreads();
}

/* ---- The kernel --------------------------------------------------------------------------------------- */

/* Codes of the windows of all parts, with windows that are off before and behind each row. */
static __device__ void write_codes(const struct df_fused_shape &shape, const struct df_fused_conv &conv,
                                   const struct pooled_block &block, uint16_t *codes, const uint8_t *kept,
                                   const int32_t *owner)
{
    const int32_t reach = (conv.kernel + 1) / 2, width = conv.out[2];
    const int32_t each = conv.out[0] * conv.out[1] * conv.pooled_line;
    for (int32_t sample = 0; sample < shape.pooled_parts && block.first + sample < block.parts; sample++) {
        const int64_t bytes = (int64_t)owner[row_of(block, block.first + sample)] * shape.kept_size;
        uint16_t *const to = codes + sample * shape.pooled_codes + conv.pooled_codes_at;
        for (int32_t i = (int32_t)threadIdx.x; i < each; i += (int32_t)blockDim.x) {
            const int32_t line = i / conv.pooled_line, column = i % conv.pooled_line - (reach - 1);
            int32_t at = OFF;
            if (column >= 0 && column < width)
                at = kept[bytes + conv.kept_at + line * width + column];
            to[i] = (uint16_t)(at == OFF ? 0 : (int)CODE_ON | (at >= 2 ? (int)CODE_BELOW : 0) | at * reach);
        }
    }
}

/* Gradients of the features, [feature][COTANGENTS]: a warp a cotangent. */
static __device__ void read_features(const struct df_fused_shape &shape, const struct pooled_block &block,
                                     const float *features)
{
    const int32_t warps = (int32_t)blockDim.x / WARP, lane = (int32_t)threadIdx.x % WARP;
    for (int32_t i = (int32_t)threadIdx.x / WARP; i < shape.pooled_parts * COTANGENTS; i += warps) {
        const int64_t part = block.first + i / COTANGENTS;
        const int32_t n = i % COTANGENTS;
        if (part >= block.parts)
            continue;
        const bool there = n < cotangents_of(block, part);
        const float *from = features + (row_of(block, part) + n) * shape.features;
        float *to = block.gradients + i / COTANGENTS * shape.pooled_stride + n;
        for (int32_t f = lane; f < shape.features; f += WARP)
            to[f * COTANGENTS] = there ? from[f] : 0.0F;
    }
}

/* Rows i each to (i + 1) each belong to one sample; they are taken by parts of COTANGENTS. */
__global__ void __launch_bounds__(DF_POOLED_THREADS, 1)
    fused_pooled_backward(const struct df_fused_shape shape, float *dx, const float *features,
                          const uint8_t *kept, const int32_t *owner, const float *packed, int64_t parts,
                          int32_t each)
{
    DF_SHARED(float, shared);
    float *const gradients = shared + shape.pooled_weights;
    uint16_t *const codes =
        reinterpret_cast<uint16_t *>(gradients + shape.pooled_parts * shape.pooled_stride);
    struct pooled_block block = {gradients, codes, shared, dx,
                                 0,         parts, each,   (each + COTANGENTS - 1) / COTANGENTS};
    for (int32_t i = (int32_t)threadIdx.x; i < shape.pooled_weights; i += (int32_t)blockDim.x)
        shared[i] = packed[shape.packed + i];
    for (int32_t i = (int32_t)threadIdx.x; i < shape.pooled_parts * COTANGENTS; i += (int32_t)blockDim.x)
        gradients[i / COTANGENTS * shape.pooled_stride + shape.pooled_zeros + i % COTANGENTS] = 0;
    for (block.first = (int64_t)blockIdx.x * shape.pooled_parts; block.first < parts;
         block.first += (int64_t)gridDim.x * shape.pooled_parts) {
        read_features(shape, block, features);
        for (int32_t s = 0; s < shape.count; s++)
            write_codes(shape, shape.conv[s], block, codes, kept, owner);
        __syncthreads();
        for (int32_t s = shape.count - 1; s >= 0; s--)
            if (shape.conv[s].kernel == 5)
                backward_conv<5>(shape, shape.conv[s], block, s == 0);
            else
                backward_conv<3>(shape, shape.conv[s], block, s == 0);
    }
}

/* ---- On the host -------------------------------------------------------------------------------------- */

static void plan_conv(struct df_fused_shape *shape, struct df_fused_conv *conv)
{
    const int32_t reach = (conv->kernel + 1) / 2, *out = conv->out;
    const int32_t columns = conv->pad / 2 + walk_of(*conv, 1).across, values = out[0] * out[1] * out[2];
    /* Columns of windows: the block furthest right reads the one at its own place. */
    conv->pooled_line = reach - 1 + (out[2] > columns ? out[2] : columns);
    conv->pooled_codes_at = shape->pooled_codes;
    shape->pooled_codes += out[0] * out[1] * conv->pooled_line;
    conv->pooled_at = shape->pooled_weights;
    shape->pooled_weights += conv->in[0] * kernels_of(*conv);
    if (shape->pooled_zeros < values * (int32_t)COTANGENTS)
        shape->pooled_zeros = values * (int32_t)COTANGENTS;
}

/* Floats from a sample's gradients to the next one's: the banks of shared memory go on where those of the
 * first convolution's columns end. */
static int32_t stride_of(const struct df_fused_shape *shape)
{
    int32_t stride = shape->pooled_zeros + (int32_t)COTANGENTS;
    while (stride % WARP != (int32_t)COTANGENTS * walk_of(shape->conv[0], 1).across % WARP)
        stride++;
    return stride;
}

static int32_t threads_for(const struct df_fused_shape *shape, int32_t parts)
{
    int32_t threads = 0;
    for (int32_t s = 0; s < shape->count; s++) {
        const struct pooled_walk walk = walk_of(shape->conv[s], parts);
        const int32_t needed = walk.group * walk.down * (walk.by_column ? walk.across : 1);
        threads = needed > threads ? needed : threads;
    }
    return (threads + WARP - 1) / WARP * WARP;
}

static int64_t bytes_for(const struct df_fused_shape *shape, int32_t parts)
{
    return shape->pooled_weights * (int64_t)sizeof(float) +
           parts * (shape->pooled_stride * (int64_t)sizeof(float) +
                    shape->pooled_codes * (int64_t)sizeof(uint16_t));
}

void df_fused_pooled_plan(struct df_fused_shape *shape)
{
    enum { MOST_WEIGHTS = 1 << 16, MOST_PARTS = 16, LEAST_THREADS = 128 };
    shape->pooled_zeros = shape->pooled_codes = shape->pooled_weights = shape->pooled_parts = 0;
    for (int32_t s = 0; s < shape->count && shape->pooled_weights <= MOST_WEIGHTS; s++)
        plan_conv(shape, &shape->conv[s]);
    shape->pooled_codes += shape->pooled_codes % 2;
    shape->pooled_stride = stride_of(shape);
    for (int32_t parts = 1; parts <= MOST_PARTS && shape->pooled_weights <= MOST_WEIGHTS; parts++)
        if (threads_for(shape, parts) <= (int32_t)DF_POOLED_THREADS &&
            bytes_for(shape, parts) <= shape->shared_most && threads_for(shape, parts) >= LEAST_THREADS)
            shape->pooled_parts = parts;
    if (shape->pooled_parts == 0)
        shape->pooled_weights = 0;
}

/* [channel][o][block row][place of the maximum][block column][pixel]: of a kernel shifted by the maximum's
 * place, zeros around it and behind a channel's. */
__global__ void fused_pooled_pack(const struct df_fused_conv conv, float *packed, const float *weight)
{
    const int32_t k = conv.kernel, reach = (k + 1) / 2, from = conv.in[0], to = conv.out[0];
    const int32_t each = kernels_of(conv);
    for (int32_t i = (int32_t)(blockIdx.x * blockDim.x + threadIdx.x); i < from * each;
         i += (int32_t)(gridDim.x * blockDim.x)) {
        const int32_t q = i % each % QUAD, column = i % each / QUAD % reach, rest = i % each / QUAD / reach;
        const int32_t at = rest % 4, row = rest / 4 % reach, o = rest / 4 / reach;
        const int32_t ky = 2 * row + q / 2 - at / 2, kx = 2 * column + q % 2 - at % 2;
        const bool inside = o < to && ky >= 0 && ky < k && kx >= 0 && kx < k;
        packed[i] = inside ? weight[((o * from + i / each) * k + ky) * k + kx] : 0.0F;
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
    const int64_t parts = rows / each * ((each + COTANGENTS - 1) / COTANGENTS);
    const int64_t blocks = (parts + shape->pooled_parts - 1) / shape->pooled_parts;
    if (rows == 0)
        return 0;
    const cudaError_t error = cudaFuncSetAttribute(
        (const void *)fused_pooled_backward, cudaFuncAttributeMaxDynamicSharedMemorySize, shape->shared_most);
    if (error != cudaSuccess)
        return (int)error;
    DF_LAUNCH(fused_pooled_backward,
              (unsigned)(blocks < shape->multiprocessors ? blocks : (int64_t)shape->multiprocessors),
              threads_for(shape, shape->pooled_parts), (size_t)bytes_for(shape, shape->pooled_parts), stream,
              *shape, dx, features, kept, owner, packed, parts, each);
    return df_launched();
}
