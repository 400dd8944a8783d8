/* SPDX-License-Identifier: Apache-2.0 */
/* Small networks before their first product: one kernel a direction, activations in shared memory. */
#include "cuda_launch.h"
#include "fused.h"
#include "team.h"

enum {
    THREADS = 256,
    MOST_ROWS = 4,      /* of a block at a time */
    SHARED = 96 * 1024, /* bytes of a block: two blocks on an H100, one on an A100; LeNet-Caffe still fits */
    SHARED_UNASKED = 49152, /* more has to be asked for */
    BLOCKS = 2048,
    OFF = 255, /* in kept: the ReLU is off */
};

static int32_t round_up(int32_t value, int32_t to)
{
    return (value + to - 1) / to * to;
}

/* Channels that a thread carries: what divides them, and leaves room for a patch in registers. */
static int32_t group_of(int32_t channels)
{
    return channels == 1 ? 1 : channels % 6 == 0 ? 6 : 4;
}

static int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* ---- The plan, on the host ----------------------------------------------------------------------------- */

static void plan_conv(struct df_fused_conv *conv, int32_t *packed)
{
    const int32_t k = conv->kernel, filter = k * k;
    conv->forward_group = group_of(conv->out[0]);
    conv->backward_group = group_of(conv->in[0]);
    conv->patch = conv->backward_group == 1 ? 4 : 2;
    conv->forward_line = round_up(2 * conv->out[2] + k - 1, 4);
    conv->forward_plane = (2 * conv->out[1] + k - 1) * conv->forward_line;
    conv->backward_line = round_up(round_up(conv->in[2], conv->patch) + k - 1, 4);
    conv->backward_plane = (round_up(conv->in[1], conv->patch) + k - 1) * conv->backward_line;
    conv->packed_bias_at = *packed;
    conv->forward_at = *packed + round_up(conv->out[0], 4);
    *packed =
        conv->forward_at + round_up(round_up(conv->out[0], conv->forward_group) * conv->in[0] * filter, 4);
}

int32_t df_fused_plan(struct df_fused_shape *shape)
{
    shape->packed = shape->backward_planes = 0;
    for (int i = 0; i < 2; i++)
        shape->forward_buffer[i] = shape->backward_buffer[i] = 0;
    if (shape->count < 1 || shape->count > DF_FUSED_CONVS)
        return 0;
    for (int32_t s = 0; s < shape->count; s++) {
        struct df_fused_conv *conv = &shape->conv[s];
        const int32_t through = conv->in[1] + 2 * conv->pad - conv->kernel + 1;
        const int32_t across = conv->in[2] + 2 * conv->pad - conv->kernel + 1;
        if ((conv->kernel != 3 && conv->kernel != 5) || conv->pad < 0 || conv->pad >= conv->kernel ||
            conv->out[1] < 1 || conv->out[1] != through / 2 || conv->out[2] < 1 || conv->out[2] != across / 2)
            return 0;
        plan_conv(conv, &shape->packed);
        int32_t *buffer = &shape->forward_buffer[s % 2];
        *buffer = larger(*buffer, conv->in[0] * conv->forward_plane);
        shape->backward_planes = larger(shape->backward_planes, conv->out[0] * conv->backward_plane);
        /* The gradient of what leaves convolution s lies in buffer s % 2. */
        buffer = &shape->backward_buffer[s % 2];
        *buffer = larger(*buffer, round_up(conv->out[0] * conv->out[1] * conv->out[2], 4));
    }
    for (int32_t s = 0; s < shape->count; s++) {
        struct df_fused_conv *conv = &shape->conv[s];
        conv->backward_at = shape->packed;
        shape->packed += round_up(
            round_up(conv->in[0], conv->backward_group) * conv->out[0] * conv->kernel * conv->kernel, 4);
    }
    const struct df_fused_conv *last = &shape->conv[shape->count - 1];
    shape->input = shape->conv[0].in[0] * shape->conv[0].in[1] * shape->conv[0].in[2];
    shape->features = last->out[0] * last->out[1] * last->out[2];
    const int64_t forward = (int64_t)shape->forward_buffer[0] + shape->forward_buffer[1];
    const int64_t backward =
        (int64_t)shape->backward_planes + shape->backward_buffer[0] + shape->backward_buffer[1];
    if ((forward > backward ? forward : backward) * (int64_t)sizeof(float) > SHARED)
        return 0;
    df_fused_pooled_plan(shape);
    return 1;
}

/* ---- Weights as the kernels read them ------------------------------------------------------------------ */

/* One convolution's: [group][channel][tap][channel of the group], zeros behind the last channel. */
__global__ void fused_pack(const struct df_fused_conv conv, float *packed, const float *parameters)
{
    const int32_t taps = conv.kernel * conv.kernel, from = conv.in[0], to = conv.out[0];
    const float *weight = parameters + conv.weight_at, *bias = parameters + conv.bias_at;
    const int32_t step = (int32_t)(gridDim.x * blockDim.x),
                  begin = (int32_t)(blockIdx.x * blockDim.x + threadIdx.x);
    for (int32_t i = begin; i < to; i += step)
        packed[conv.packed_bias_at + i] = bias[i];
    const int32_t forward = conv.forward_group, backward = conv.backward_group;
    for (int32_t i = begin; i < (to + forward - 1) / forward * forward * from * taps; i += step) {
        const int32_t t = i / forward % taps, c = i / forward / taps % from;
        const int32_t o = i / forward / taps / from * forward + i % forward;
        packed[conv.forward_at + i] = o < to ? weight[(o * from + c) * taps + t] : 0.0F;
    }
    for (int32_t i = begin; i < (from + backward - 1) / backward * backward * to * taps; i += step) {
        const int32_t t = i / backward % taps, o = i / backward / taps % to;
        const int32_t c = i / backward / taps / to * backward + i % backward;
        packed[conv.backward_at + i] = c < from ? weight[(o * from + c) * taps + t] : 0.0F;
    }
}

int df_fused_pack(const struct df_fused_shape *shape, float *packed, const float *parameters, void *stream)
{
    int error = 0;
    for (int32_t s = 0; s < shape->count && error == 0; s++) {
        DF_LAUNCH(fused_pack, 32, THREADS, 0, stream, shape->conv[s], packed, parameters);
        error = df_launched();
    }
    return error != 0 ? error : df_fused_pooled_pack(shape, packed, parameters, stream);
}

/* ---- A thread's patch ---------------------------------------------------------------------------------- */

/* N values from a line, N even; from is aligned to ALIGN floats. */
template <int N, int ALIGN> static __device__ inline void load_line(float (&to)[N], const float *from)
{
    int i = 0;
#pragma unroll
    for (; ALIGN == 4 && i + 4 <= N; i += 4) {
        const float4 four = *reinterpret_cast<const float4 *>(from + i);
        to[i] = four.x, to[i + 1] = four.y, to[i + 2] = four.z, to[i + 3] = four.w;
    }
#pragma unroll
    for (; i + 2 <= N; i += 2) {
        const float2 two = *reinterpret_cast<const float2 *>(from + i);
        to[i] = two.x, to[i + 1] = two.y;
    }
}

template <int G> static __device__ inline void load_weights(float (&to)[G], const float *from)
{
    if constexpr (G == 1)
        to[0] = from[0];
    else
        load_line<G, G % 4 == 0 ? 4 : 2>(to, from);
}

/* sum[g][a][b] += over channels, taps ascending: in[channel][a + ty][b + tx] * weight[channel][tap][g]. DOWN:
 * taps go down the plane where they go up in the kernel (a convolution's gradient). */
template <int K, int P, int G, bool DOWN>
static __device__ inline void correlate(float (&sum)[G][P][P], const float *in, int32_t line, int32_t plane,
                                        int32_t channels, const float *weight)
{
    constexpr int W = P + K - 1;
    for (int32_t c = 0; c < channels; c++, in += plane, weight += K * K * G) {
        float v[W][W];
#pragma unroll
        for (int r = 0; r < W; r++)
            load_line<W, P>(v[r], in + r * line);
#pragma unroll
        for (int t = 0; t < K * K; t++) {
            const int ty = DOWN ? K - 1 - t / K : t / K, tx = DOWN ? K - 1 - t % K : t % K;
            float w[G];
            load_weights<G>(w, weight + t * G);
#pragma unroll
            for (int g = 0; g < G; g++)
#pragma unroll
                for (int a = 0; a < P; a++)
#pragma unroll
                    for (int b = 0; b < P; b++)
                        sum[g][a][b] = fmaf(v[ty + a][tx + b], w[g], sum[g][a][b]);
        }
    }
}

/* ---- Forward ------------------------------------------------------------------------------------------- */

/* Where one row's pooled values of a convolution go: the next one's plane, or the features. */
struct fused_target {
    float *values;
    int64_t row;                /* from a row to the next */
    int32_t plane, line, lines; /* of a channel */
    int32_t pad;
    uint8_t *kept; /* [channel][pixel] */
    int64_t kept_row;
};

template <int K, int G>
static __device__ void forward_conv(const struct df_fused_conv &conv, const float *in, int32_t in_row,
                                    const float *packed, const struct fused_target &to, int32_t rows)
{
    const int32_t width = conv.out[2], pixels = conv.out[1] * width, channels = conv.out[0];
    const int32_t groups = (channels + G - 1) / G;
    for (int32_t i = (int32_t)threadIdx.x; i < groups * rows * pixels; i += THREADS) {
        const int32_t pixel = i % pixels, row = i / pixels % rows, first = i / pixels / rows * G;
        const int32_t y = pixel / width, x = pixel % width;
        float sum[G][2][2];
#pragma unroll
        for (int g = 0; g < G; g++) {
            const float bias = first + g < channels ? packed[conv.packed_bias_at + first + g] : 0.0F;
            sum[g][0][0] = sum[g][0][1] = sum[g][1][0] = sum[g][1][1] = bias;
        }
        correlate<K, 2, G, false>(sum, in + row * in_row + 2 * y * conv.forward_line + 2 * x,
                                  conv.forward_line, conv.forward_plane, conv.in[0],
                                  packed + conv.forward_at + first * conv.in[0] * K * K);
#pragma unroll
        for (int g = 0; g < G; g++) {
            if (first + g >= channels)
                break;
            float best = sum[g][0][0];
            int at = 0;
#pragma unroll
            for (int q = 1; q < 4; q++)
                if (df_max_takes(sum[g][q / 2][q % 2], best)) {
                    best = sum[g][q / 2][q % 2];
                    at = q;
                }
            const bool on = best > 0;
            to.kept[row * to.kept_row + (first + g) * pixels + pixel] = (uint8_t)(on ? at : (int)OFF);
            if (y + to.pad < to.lines && x + to.pad < to.line)
                to.values[row * to.row + (first + g) * to.plane + (y + to.pad) * to.line + x + to.pad] =
                    on ? best : 0.0F;
        }
    }
}

static __device__ void forward_any(const struct df_fused_conv &conv, const float *in, int32_t in_row,
                                   const float *packed, const struct fused_target &to, int32_t rows)
{
    const int32_t g = conv.forward_group;
    if (conv.kernel == 5) {
        if (g == 6)
            forward_conv<5, 6>(conv, in, in_row, packed, to, rows);
        else if (g == 4)
            forward_conv<5, 4>(conv, in, in_row, packed, to, rows);
        else
            forward_conv<5, 1>(conv, in, in_row, packed, to, rows);
    } else if (g == 6) {
        forward_conv<3, 6>(conv, in, in_row, packed, to, rows);
    } else if (g == 4) {
        forward_conv<3, 4>(conv, in, in_row, packed, to, rows);
    } else {
        forward_conv<3, 1>(conv, in, in_row, packed, to, rows);
    }
}

/* The weights of one direction, packed[begin, end): in shared memory when HELD, else where they are. Indices
 * stay those of packed. A constant, so that loads know which memory they read. */
template <bool HELD>
static __device__ inline const float *hold(float *shared, const float *packed, int32_t begin, int32_t end)
{
    if constexpr (HELD) {
        for (int32_t i = begin + (int32_t)threadIdx.x; i < end; i += THREADS)
            shared[i - begin] = packed[i];
        return shared - begin;
    } else {
        return packed;
    }
}

/* A row's input into planes with the padding around it, as far as the forward reads. */
static __device__ void load_input(const struct df_fused_conv &conv, float *planes, int32_t row_size,
                                  const float *x, int32_t size, int32_t rows)
{
    const int32_t cells = conv.in[0] * conv.forward_plane;
    for (int32_t i = (int32_t)threadIdx.x; i < rows * cells; i += THREADS) {
        const int32_t row = i / cells, cell = i % cells, c = cell / conv.forward_plane;
        const int32_t at = cell % conv.forward_plane;
        const int32_t h = at / conv.forward_line - conv.pad, w = at % conv.forward_line - conv.pad;
        const bool inside = h >= 0 && h < conv.in[1] && w >= 0 && w < conv.in[2];
        planes[row * row_size + cell] =
            inside ? x[(int64_t)row * size + (c * conv.in[1] + h) * conv.in[2] + w] : 0.0F;
    }
}

template <bool HELD>
__global__ void __launch_bounds__(THREADS, 2)
    fused_forward(const struct df_fused_shape shape, float *features, uint8_t *kept, const float *x,
                  const float *packed, int64_t rows, int32_t block_rows)
{
    DF_SHARED(float, shared);
    /* Buffer s % 2 begins at s % 2 * second: an array of pointers would forget that it is shared memory. */
    const int32_t second = block_rows * shape.forward_buffer[0];
    const float *weights = hold<HELD>(shared + second + block_rows * shape.forward_buffer[1], packed, 0,
                                      shape.conv[0].backward_at);
    for (int64_t first = (int64_t)blockIdx.x * block_rows; first < rows;
         first += (int64_t)gridDim.x * block_rows) {
        const int32_t here = (int32_t)(rows - first < block_rows ? rows - first : block_rows);
        load_input(shape.conv[0], shared, shape.forward_buffer[0], x + first * shape.input, shape.input,
                   here);
        for (int32_t s = 0; s < shape.count; s++) {
            const struct df_fused_conv &conv = shape.conv[s];
            struct fused_target to = {
                .values = features + first * shape.features,
                .row = shape.features,
                .plane = conv.out[1] * conv.out[2],
                .line = conv.out[2],
                .lines = conv.out[1],
                .pad = 0,
                .kept = kept + first * shape.kept_size + conv.kept_at,
                .kept_row = shape.kept_size,
            };
            if (s + 1 < shape.count) {
                if (s > 0)
                    __syncthreads(); /* the convolution before has read the buffer */
                const struct df_fused_conv &next = shape.conv[s + 1];
                to.values = shared + (s + 1) % 2 * second;
                to.row = shape.forward_buffer[(s + 1) % 2];
                to.plane = next.forward_plane;
                to.line = next.forward_line;
                to.lines = next.forward_plane / next.forward_line;
                to.pad = next.pad;
                for (int32_t i = (int32_t)threadIdx.x; i < here * shape.forward_buffer[(s + 1) % 2];
                     i += THREADS)
                    to.values[i] = 0;
            }
            __syncthreads(); /* the input of this convolution and the zeros around the next one's */
            forward_any(conv, shared + s % 2 * second, shape.forward_buffer[s % 2], weights, to, here);
        }
        __syncthreads(); /* all have read their planes */
    }
}

/* ---- Backward ------------------------------------------------------------------------------------------ */

/* Zeros, then every pooled value's gradient where its maximum was. */
static __device__ void spread(const struct df_fused_conv &conv, float *planes, int32_t planes_row,
                              const float *gradient, int32_t gradient_row, const uint8_t *kept,
                              int32_t kept_row, const int32_t *owner, int32_t rows)
{
    const int32_t width = conv.out[2], pixels = conv.out[1] * width, values = conv.out[0] * pixels;
    const int32_t reach = conv.kernel - 1 - conv.pad;
    for (int32_t row = 0; row < rows; row++)
        for (int32_t i = 4 * (int32_t)threadIdx.x; i < conv.out[0] * conv.backward_plane; i += 4 * THREADS)
            *reinterpret_cast<float4 *>(planes + row * planes_row + i) = make_float4(0, 0, 0, 0);
    __syncthreads();
    for (int32_t i = (int32_t)threadIdx.x; i < rows * values; i += THREADS) {
        const int32_t row = i / values, value = i % values, c = value / pixels;
        const int32_t y = value % pixels / width, x = value % pixels % width;
        const int32_t at = kept[(int64_t)owner[row] * kept_row + value];
        if (at != OFF)
            planes[row * planes_row + c * conv.backward_plane +
                   (2 * y + at / 2 + reach) * conv.backward_line + 2 * x + at % 2 + reach] =
                gradient[row * gradient_row + value];
    }
    __syncthreads();
}

/* dx [rows, in] of the planes. */
template <int K, int P, int G>
static __device__ void backward_conv(const struct df_fused_conv &conv, float *dx, int64_t dx_row,
                                     const float *planes, int32_t planes_row, const float *packed,
                                     int32_t rows)
{
    const int32_t height = conv.in[1], width = conv.in[2], channels = conv.in[0];
    const int32_t across = (width + P - 1) / P, patches = (height + P - 1) / P * across;
    const int32_t groups = (channels + G - 1) / G;
    for (int32_t i = (int32_t)threadIdx.x; i < groups * rows * patches; i += THREADS) {
        const int32_t patch = i % patches, row = i / patches % rows, first = i / patches / rows * G;
        const int32_t y = patch / across * P, x = patch % across * P;
        float sum[G][P][P];
#pragma unroll
        for (int g = 0; g < G; g++)
#pragma unroll
            for (int a = 0; a < P; a++)
#pragma unroll
                for (int b = 0; b < P; b++)
                    sum[g][a][b] = 0;
        correlate<K, P, G, true>(sum, planes + row * planes_row + y * conv.backward_line + x,
                                 conv.backward_line, conv.backward_plane, conv.out[0],
                                 packed + conv.backward_at + first * conv.out[0] * K * K);
#pragma unroll
        for (int g = 0; g < G; g++)
#pragma unroll
            for (int a = 0; a < P; a++)
#pragma unroll
                for (int b = 0; b < P; b++)
                    if (first + g < channels && y + a < height && x + b < width)
                        dx[row * dx_row + ((first + g) * height + y + a) * width + x + b] = sum[g][a][b];
    }
}

static __device__ void backward_any(const struct df_fused_conv &conv, float *dx, int64_t dx_row,
                                    const float *planes, int32_t planes_row, const float *packed,
                                    int32_t rows)
{
    const int32_t g = conv.backward_group;
    if (conv.kernel == 5) {
        if (g == 6)
            backward_conv<5, 2, 6>(conv, dx, dx_row, planes, planes_row, packed, rows);
        else if (g == 4)
            backward_conv<5, 2, 4>(conv, dx, dx_row, planes, planes_row, packed, rows);
        else
            backward_conv<5, 4, 1>(conv, dx, dx_row, planes, planes_row, packed, rows);
    } else if (g == 6) {
        backward_conv<3, 2, 6>(conv, dx, dx_row, planes, planes_row, packed, rows);
    } else if (g == 4) {
        backward_conv<3, 2, 4>(conv, dx, dx_row, planes, planes_row, packed, rows);
    } else {
        backward_conv<3, 4, 1>(conv, dx, dx_row, planes, planes_row, packed, rows);
    }
}

template <bool HELD>
__global__ void __launch_bounds__(THREADS, 2)
    fused_backward(const struct df_fused_shape shape, float *dx, const float *features, const uint8_t *kept,
                   const int32_t *owner, const float *packed, int64_t rows, int32_t block_rows)
{
    DF_SHARED(float, shared);
    float *const planes = shared, *const buffers = planes + block_rows * shape.backward_planes;
    const int32_t second = block_rows * shape.backward_buffer[0];
    const float *weights = hold<HELD>(buffers + second + block_rows * shape.backward_buffer[1], packed,
                                      shape.conv[0].backward_at, shape.packed);
    for (int64_t first = (int64_t)blockIdx.x * block_rows; first < rows;
         first += (int64_t)gridDim.x * block_rows) {
        const int32_t here = (int32_t)(rows - first < block_rows ? rows - first : block_rows);
        const int32_t last = (shape.count - 1) % 2;
        for (int32_t i = (int32_t)threadIdx.x; i < here * shape.features; i += THREADS)
            buffers[last * second + i / shape.features * shape.backward_buffer[last] + i % shape.features] =
                features[first * shape.features + i];
        __syncthreads();
        for (int32_t s = shape.count - 1; s >= 0; s--) {
            const struct df_fused_conv &conv = shape.conv[s];
            spread(conv, planes, shape.backward_planes, buffers + s % 2 * second,
                   shape.backward_buffer[s % 2], kept + conv.kept_at, shape.kept_size, owner + first, here);
            if (s > 0)
                backward_any(conv, buffers + (s + 1) % 2 * second, shape.backward_buffer[(s + 1) % 2], planes,
                             shape.backward_planes, weights, here);
            else
                backward_any(conv, dx + first * shape.input, shape.input, planes, shape.backward_planes,
                             weights, here);
            __syncthreads();
        }
    }
}

/* ---- Launches ------------------------------------------------------------------------------------------ */

/* As many rows a block as shared memory takes, and the weights beside them where they fit beside one. */
struct fused_room {
    int32_t rows;
    size_t bytes;
    bool held;
};

static struct fused_room room_for(int32_t row, int32_t weights)
{
    const int32_t floats = SHARED / (int32_t)sizeof(float);
    struct fused_room room;
    room.held = row + weights <= floats;
    const int32_t left = floats - (room.held ? weights : 0);
    room.rows = left / row < MOST_ROWS ? left / row : MOST_ROWS;
    room.bytes = (size_t)(room.rows * row + (room.held ? weights : 0)) * sizeof(float);
    return room;
}

static unsigned block_count(int64_t rows, int32_t of_a_block)
{
    const int64_t blocks = (rows + of_a_block - 1) / of_a_block;
    return (unsigned)(blocks < BLOCKS ? blocks : (int64_t)BLOCKS);
}

/* The most for any network: host threads that launch the kernel side by side must not take it from each
 * other. */
template <typename KERNEL> static int ask_for(KERNEL kernel, size_t bytes)
{
    if (bytes <= SHARED_UNASKED)
        return 0;
    return (int)cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     SHARED);
}

int df_fused_forward(const struct df_fused_shape *shape, float *features, uint8_t *kept, const float *x,
                     const float *packed, int64_t rows, void *stream)
{
    if (rows == 0)
        return 0;
    const struct fused_room room =
        room_for(shape->forward_buffer[0] + shape->forward_buffer[1], shape->conv[0].backward_at);
    auto *kernel = room.held ? fused_forward<true> : fused_forward<false>;
    const int error = ask_for(kernel, room.bytes);
    if (error != 0)
        return error;
    DF_LAUNCH(kernel, block_count(rows, room.rows), THREADS, room.bytes, stream, *shape, features, kept, x,
              packed, rows, room.rows);
    return df_launched();
}

int df_fused_backward(const struct df_fused_shape *shape, float *dx, const float *features,
                      const uint8_t *kept, const int32_t *owner, const float *packed, int64_t rows,
                      void *stream)
{
    if (rows == 0)
        return 0;
    const struct fused_room room =
        room_for(shape->backward_planes + shape->backward_buffer[0] + shape->backward_buffer[1],
                 shape->packed - shape->conv[0].backward_at);
    auto *kernel = room.held ? fused_backward<true> : fused_backward<false>;
    const int error = ask_for(kernel, room.bytes);
    if (error != 0)
        return error;
    DF_LAUNCH(kernel, block_count(rows, room.rows), THREADS, room.bytes, stream, *shape, dx, features, kept,
              owner, packed, rows, room.rows);
    return df_launched();
}

/* ---- The ReLU of a product ----------------------------------------------------------------------------- */

__global__ void fused_relu_forward(float *y, uint8_t *kept, int32_t kept_size, int64_t rows, int32_t cols)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < rows * cols; i += step) {
        const bool on = y[i] > 0;
        kept[i / cols * kept_size + i % cols] = (uint8_t)(on ? 0 : (int)OFF);
        if (!on)
            y[i] = 0;
    }
}

__global__ void fused_relu_backward(float *dy, const uint8_t *kept, const int32_t *owner, int32_t kept_size,
                                    int64_t rows, int32_t cols)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < rows * cols; i += step)
        if (kept[(int64_t)owner[i / cols] * kept_size + i % cols] == OFF)
            dy[i] = 0;
}

int df_fused_relu_forward(float *y, uint8_t *kept, int32_t kept_size, int32_t kept_at, int64_t rows,
                          int32_t cols, void *stream)
{
    if (rows == 0)
        return 0;
    DF_LAUNCH(fused_relu_forward, block_count(rows * cols, THREADS), THREADS, 0, stream, y, kept + kept_at,
              kept_size, rows, cols);
    return df_launched();
}

int df_fused_relu_backward(float *dy, const uint8_t *kept, const int32_t *owner, int32_t kept_size,
                           int32_t kept_at, int64_t rows, int32_t cols, void *stream)
{
    if (rows == 0)
        return 0;
    DF_LAUNCH(fused_relu_backward, block_count(rows * cols, THREADS), THREADS, 0, stream, dy, kept + kept_at,
              owner, kept_size, rows, cols);
    return df_launched();
}
