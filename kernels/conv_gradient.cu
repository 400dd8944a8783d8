/* SPDX-License-Identifier: Apache-2.0 */
/* Weight gradients of convolutions.
 *
 * Math     dw[o, c, ky, kx] = sum over (row, oh, ow) of dy[row, o, oh, ow] x[row, c, oh s - pad + ky d, ow s
 *          - pad + kx d]; db[o] = sum of dy[row, o]
 * Order    A part is DF_GRADIENT_ROWS rows, the parts are added in ascending order. Within a part, few
 *          weights (lanes): each row has 32 sums, pixel p in sum p % 32, ascending; these are added over the
 *          rows, then halved by a fixed tree. Many weights (wide): a row's pixels in runs of RUN, each from
 *          0, added in ascending order.
 * Work     lanes: a block a part and OUTPUTS x TAPS weights of one kernel line, a warp a row. wide: a block a
 *          part and a tile of [output channels] x [channels x taps], the windows gathered.
 * Memory   More than one part: partial sums in scratch memory, MOST_PARTS of them and then added to what is
 *          there. */
#include "conv_walk.h"
#include "tile.h"

enum { ROWS = DF_GRADIENT_ROWS, RUN = 256, THREADS = 256 };
static const int64_t MOST_PARTS = 64;
/* Floats of scratch memory beyond which fewer parts are in flight: 128 MiB. */
static const int64_t MOST_SCRATCH = INT64_C(1) << 25;
/* Weights from which on tiles are faster than lanes. */
static const int64_t MANY_WEIGHTS = 32768;

static int64_t divide_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step;
}

static __host__ __device__ int32_t filter_size(const struct df_conv_shape &s)
{
    return s.in[0] / s.group * s.window.kernel[0] * s.window.kernel[1];
}

/* ---- Few weights --------------------------------------------------------------------------------------- */

template <int TAPS, int OUTPUTS>
__global__ void __launch_bounds__(THREADS)
    gradient_lanes(const struct df_conv_shape s, const struct df_conv_gradient g)
{
    enum { SUMS = OUTPUTS * (TAPS + 1) }; /* the last of each output is its bias */
    __shared__ float sums[ROWS][SUMS * 32];
    const struct df_window &w = s.window;
    const int32_t group_in = s.in[0] / s.group, group_out = s.out[0] / s.group;
    const int32_t pieces = (w.kernel[1] + TAPS - 1) / TAPS, sets = (group_out + OUTPUTS - 1) / OUTPUTS;
    int32_t tile = (int32_t)blockIdx.x;
    const int32_t kx = tile % pieces * TAPS, ky = tile / pieces % w.kernel[0];
    tile /= pieces * w.kernel[0];
    const int32_t c = tile % group_in, set = tile / group_in % sets, group = tile / group_in / sets;
    const int32_t o0 = set * OUTPUTS, lane = (int32_t)threadIdx.x % 32, warp = (int32_t)threadIdx.x / 32;
    const int64_t row = (int64_t)blockIdx.y * ROWS + warp;
    const int32_t plane = s.out[1] * s.out[2], in_plane = s.in[1] * s.in[2];
    float sum[OUTPUTS][TAPS + 1] = {};
    if (row < g.rows) {
        const float *x = g.x + (row * s.in[0] + group * group_in + c) * in_plane;
        const float *dy = g.dy + (row * s.out[0] + group * group_out + o0) * plane;
        int32_t h = lane / s.out[2], v = lane % s.out[2];
        for (int32_t p = lane; p < plane; p += 32) {
            const int32_t ih = h * w.stride[0] + ky * w.dilation[0] - w.pad[0];
            const int32_t iw = v * w.stride[1] + kx * w.dilation[1] - w.pad[1];
            float window[TAPS];
#pragma unroll
            for (int t = 0; t < TAPS; t++) {
                const int32_t at = iw + t * w.dilation[1];
                const bool inside = ih >= 0 && ih < s.in[1] && at >= 0 && at < s.in[2];
                window[t] = inside ? x[ih * s.in[2] + at] : 0.0F;
            }
#pragma unroll
            for (int o = 0; o < OUTPUTS; o++) {
                const float d = o0 + o < group_out ? dy[(int64_t)o * plane + p] : 0.0F;
#pragma unroll
                for (int t = 0; t < TAPS; t++)
                    sum[o][t] = fmaf(d, window[t], sum[o][t]);
                sum[o][TAPS] += d;
            }
            v += 32;
            while (v >= s.out[2])
                v -= s.out[2], h++;
        }
    }
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
        for (int t = 0; t <= TAPS; t++)
            sums[warp][(o * (TAPS + 1) + t) * 32 + lane] = sum[o][t];
    __syncthreads();
    for (int32_t i = warp; i < SUMS; i += THREADS / 32) {
        float total = sums[0][i * 32 + lane];
#pragma unroll
        for (int r = 1; r < ROWS; r++)
            total += sums[r][i * 32 + lane];
#pragma unroll
        for (int half = 16; half > 0; half /= 2)
            total += __shfl_xor_sync(0xffffffffU, total, half);
        const int32_t o = i / (TAPS + 1), t = i % (TAPS + 1), n = group * group_out + o0 + o;
        if (lane != 0 || o0 + o >= group_out)
            continue;
        if (t < TAPS && kx + t < w.kernel[1])
            g.dw[blockIdx.y * g.stride + ((int64_t)(n * group_in + c) * w.kernel[0] + ky) * w.kernel[1] + kx +
                 t] = total;
        if (t == TAPS && g.db != NULL && c == 0 && ky == 0 && kx == 0)
            g.db[blockIdx.y * g.stride + n] = total;
    }
}

static int64_t part_count(int64_t rows)
{
    return divide_up(rows, ROWS);
}

int df_conv_gradient_lanes(const struct df_conv_shape *shape, const struct df_conv_gradient *g, void *stream)
{
    static const int32_t taps[] = {1, 3, 5, 7};
    static void (*const kernels[2][4])(struct df_conv_shape, struct df_conv_gradient) = {
        {gradient_lanes<1, 1>, gradient_lanes<3, 1>, gradient_lanes<5, 1>, gradient_lanes<7, 1>},
        {gradient_lanes<1, 4>, gradient_lanes<3, 4>, gradient_lanes<5, 4>, gradient_lanes<7, 4>}};
    const int32_t group_in = shape->in[0] / shape->group, group_out = shape->out[0] / shape->group;
    const int32_t width = shape->window.kernel[1], several = group_out > 1;
    int32_t k = 0;
    while (k < 3 && taps[k] < width)
        k++;
    const int64_t tiles = divide_up(group_out, several ? 4 : 1) * shape->group * group_in *
                          shape->window.kernel[0] * divide_up(width, taps[k]);
    const dim3 grid((unsigned)tiles, (unsigned)part_count(g->rows));
    DF_LAUNCH(kernels[several][k], grid, THREADS, 0, stream, *shape, *g);
    return df_launched();
}

/* ---- Many weights -------------------------------------------------------------------------------------- */

typedef df_tile<64, 64, 16, 4, 4> gradient_tile;

/* a: dy [outputs][pixels of the part's rows], b: [pixels][channels x taps] windows of x. */
struct windows {
    typedef gradient_tile T;
    static constexpr bool A_ALONG_K = true, B_ALONG_K = true;
    static constexpr int SHARE = T::B_SHARE, STEP = T::THREADS / T::BK;
    const float *dy, *x;          /* of the part and group; dy: of the tile's first output */
    int32_t plane, width, chunks; /* of dy; chunks of a row */
    int32_t in_h, in_w;
    struct df_window w;
    int64_t dy_row, x_row;
    int32_t outputs; /* of the tile */
    int32_t line[SHARE], column[SHARE],
        at[SHARE]; /* of this thread's weights: the tap's place, NOWHERE: none */

    __device__ void prepare(int64_t) const
    {
    }
    __device__ bool folds(int64_t chunk) const
    {
        const int32_t c = (int32_t)chunk % chunks;
        return c == chunks - 1 || c % (RUN / T::BK) == RUN / T::BK - 1;
    }
    __device__ void fetch(int64_t chunk, float (&a)[T::A_SHARE], float (&b)[T::B_SHARE]) const
    {
        const int t = (int)threadIdx.x;
        const int32_t row = (int32_t)chunk / chunks, p = (int32_t)chunk % chunks * T::BK + t % T::BK;
        const int32_t h = p / width * w.stride[0], v = p % width * w.stride[1];
        const bool there = p < plane;
#pragma unroll
        for (int j = 0; j < T::A_SHARE; j++) {
            const int32_t m = t / T::BK + j * STEP;
            a[j] = there && m < outputs ? dy[row * dy_row + (int64_t)m * plane + p] : 0.0F;
        }
        const float *from = x + row * x_row + (int64_t)h * in_w + v;
#pragma unroll
        for (int j = 0; j < T::B_SHARE; j++) {
            const bool inside = there && (uint32_t)(h + line[j]) < (uint32_t)in_h &&
                                (uint32_t)(v + column[j]) < (uint32_t)in_w;
            b[j] = inside ? from[at[j]] : 0.0F;
        }
    }
};
enum { NOWHERE = -(1 << 30) };

__global__ void __launch_bounds__(gradient_tile::THREADS, gradient_tile::BLOCKS)
    gradient_wide(const struct df_conv_shape s, const struct df_conv_gradient g)
{
    typedef gradient_tile T;
    __shared__ __align__(16) float pool[2 * T::BUFFER];
    const int32_t group_in = s.in[0] / s.group, group_out = s.out[0] / s.group, filter = filter_size(s);
    const int32_t tiles = (filter + T::BN - 1) / T::BN, group = (int32_t)blockIdx.z;
    const int32_t m0 = (int32_t)blockIdx.x / tiles * T::BM, n0 = (int32_t)blockIdx.x % tiles * T::BN;
    const int32_t taps_x = s.window.kernel[1], taps = s.window.kernel[0] * taps_x;
    const int64_t row0 = (int64_t)blockIdx.y * ROWS;
    const int32_t rows = g.rows - row0 < ROWS ? (int32_t)(g.rows - row0) : (int32_t)ROWS;
    const int t = (int)threadIdx.x, tn = t % (T::BN / T::TN), tm = t / (T::BN / T::TN);
    struct windows source;
    source.plane = s.out[1] * s.out[2];
    source.width = s.out[2];
    source.chunks = (source.plane + T::BK - 1) / T::BK;
    source.in_h = s.in[1];
    source.in_w = s.in[2];
    source.w = s.window;
    source.dy_row = (int64_t)s.out[0] * source.plane;
    source.x_row = (int64_t)s.in[0] * s.in[1] * s.in[2];
    source.dy = g.dy + row0 * source.dy_row + (int64_t)(group * group_out + m0) * source.plane;
    source.x = g.x + row0 * source.x_row + (int64_t)group * group_in * s.in[1] * s.in[2];
    source.outputs = group_out - m0;
#pragma unroll
    for (int j = 0; j < windows::SHARE; j++) {
        const int32_t n = n0 + t / T::BK + j * windows::STEP;
        const int32_t y = n % taps / taps_x * s.window.dilation[0] - s.window.pad[0];
        source.line[j] = n < filter ? y : NOWHERE;
        source.column[j] = n % taps_x * s.window.dilation[1] - s.window.pad[1];
        source.at[j] = (n / taps * s.in[1] + y) * s.in[2] + source.column[j];
    }
    float sum[T::TM][T::TN] = {}, line_sum = 0;
    const bool sums_lines = g.db != NULL && n0 == 0;
    df_tile_sum<T, true>(sum, source, (int64_t)rows * source.chunks, pool, sums_lines, line_sum);
    if (sums_lines && t < T::BM && m0 + t < group_out)
        g.db[blockIdx.y * g.stride + group * group_out + m0 + t] = line_sum;
    float *dw = g.dw + blockIdx.y * g.stride + (int64_t)group * group_out * filter;
#pragma unroll
    for (int i = 0; i < T::TM; i++) {
        const int32_t m = m0 + df_tile_at<T::BM, T::TM>(tm, i);
#pragma unroll
        for (int j = 0; j < T::TN; j++) {
            const int32_t n = n0 + df_tile_at<T::BN, T::TN>(tn, j);
            if (m < group_out && n < filter)
                dw[(int64_t)m * filter + n] = sum[i][j];
        }
    }
}

int32_t df_conv_gradient_is_wide(const struct df_conv_shape *shape)
{
    const int32_t group_out = shape->out[0] / shape->group, filter = filter_size(*shape);
    return group_out >= 32 && filter >= 32 && (int64_t)group_out * filter >= MANY_WEIGHTS &&
           shape->group <= 65535;
}

int df_conv_gradient_wide(const struct df_conv_shape *shape, const struct df_conv_gradient *g, void *stream)
{
    typedef gradient_tile T;
    const int64_t tiles =
        divide_up(shape->out[0] / shape->group, T::BM) * divide_up(filter_size(*shape), T::BN);
    const dim3 grid((unsigned)tiles, (unsigned)part_count(g->rows), (unsigned)shape->group);
    DF_LAUNCH(gradient_wide, grid, T::THREADS, 0, stream, *shape, *g);
    return df_launched();
}

/* ---- Parts --------------------------------------------------------------------------------------------- */

/* [dw | db] = the parts in ascending order, the first of all rows from nothing. */
__global__ void gradient_add(float *dw, float *db, int64_t weights, int64_t count, const float *parts,
                             int32_t part_count, int32_t first)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        float *to = i < weights ? dw + i : db + (i - weights);
        float sum = first ? parts[i] : *to + parts[i];
        for (int32_t p = 1; p < part_count; p++)
            sum += parts[p * count + i];
        *to = sum;
    }
}

__global__ void gradient_zero(float *dw, float *db, int64_t weights, int64_t count)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step)
        *(i < weights ? dw + i : db + (i - weights)) = 0;
}

static int64_t weight_count(const struct df_conv_shape *shape)
{
    return (int64_t)shape->out[0] * filter_size(*shape);
}

static int64_t parts_in_flight(const struct df_conv_shape *shape, int64_t rows)
{
    const int64_t fit = MOST_SCRATCH / (weight_count(shape) + shape->out[0]), parts = part_count(rows);
    const int64_t most = fit < 1 ? 1 : fit > MOST_PARTS ? (int64_t)MOST_PARTS : fit;
    return parts < most ? parts : most;
}

int64_t df_conv_gradient_scratch(const struct df_conv_shape *shape, int64_t rows)
{
    if (rows <= ROWS)
        return 0;
    return parts_in_flight(shape, rows) * (weight_count(shape) + shape->out[0]);
}

int df_conv_weight_gradient(const struct df_conv_shape *shape, float *dw, float *db, const float *x,
                            const float *dy, int64_t rows, float *scratch, void *stream)
{
    const int64_t weights = weight_count(shape), count = weights + (db != NULL ? shape->out[0] : 0);
    const unsigned blocks = (unsigned)divide_up(count, THREADS);
    if (rows <= 0) {
        DF_LAUNCH(gradient_zero, blocks, THREADS, 0, stream, dw, db, weights, count);
        return df_launched();
    }
    int (*run)(const struct df_conv_shape *, const struct df_conv_gradient *, void *) =
        df_conv_gradient_is_wide(shape) ? df_conv_gradient_wide : df_conv_gradient_lanes;
    if (rows <= ROWS) {
        const struct df_conv_gradient g = {dw, db, 0, x, dy, rows};
        return run(shape, &g, stream);
    }
    const int64_t in_size = (int64_t)shape->in[0] * shape->in[1] * shape->in[2];
    const int64_t out_size = (int64_t)shape->out[0] * shape->out[1] * shape->out[2];
    const int64_t step = parts_in_flight(shape, rows) * ROWS;
    for (int64_t row = 0; row < rows; row += step) {
        const int64_t some = rows - row < step ? rows - row : step;
        const struct df_conv_gradient g = {
            scratch, db != NULL ? scratch + weights : NULL, count, x + row * in_size, dy + row * out_size,
            some};
        const int error = run(shape, &g, stream);
        if (error != 0)
            return error;
        DF_LAUNCH(gradient_add, blocks, THREADS, 0, stream, dw, db, weights, count, scratch,
                  (int32_t)part_count(some), row == 0);
    }
    return df_launched();
}
