/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions of few channels, and the input gradients of first layers: tiles of the planes in shared
 * memory.
 *
 * Math, order   conv_walk.h: (c, ty, tx) ascending, one fmaf a term
 * Shapes        one group, neighbouring taps one pixel apart in what is read, at most K x K of them. A phase
 *               with fewer taps is filled up with weights of zero, which change no sum of finite values.
 * Work          A block has tx x ty pixel tiles of `samples` samples and `sets` sets of output channels; its
 *               threads lie in the order (tx, ty, sample, set), so that a warp mostly shares its weights. A
 *               thread keeps PY x PX pixels of O channels in registers. Input channels pass through shared
 *               memory `chunk` at a time, zeros around them. blockIdx.x is (samples, tile, sets), sets
 *               fastest; blockIdx.z the phase.
 * Traffic       A value from shared memory serves up to K O products, a weight PX PY. From memory: the input
 *               once for each (tile with halo, sets of a block), the output once.
 * Banks         Eight threads read eight quads at a time. `skew` behind every PY lines and a tile's size let
 *               the quads of neighbouring threads lie in neighbouring banks also where a line of threads
 *               ends.
 * Traps         A tile's lines are read in quads and reach past what is used: `pitch` covers that. */
#include "conv_walk.h"
#include "cuda_launch.h"

enum {
    MOST_THREADS = 256,
    POOL = 20480,     /* floats of shared memory of as many threads: 80 KiB, two blocks a multiprocessor */
    MOST_ACROSS = 16, /* threads along a line */
    MOST_PLANE = 128, /* threads of a sample's tile */
    MOST_SETS = 4,
    FEW_BLOCKS = 512, /* below that samples are spread over more blocks */
};
/* What a large GPU runs at a time. */
static const double MANY_THREADS = 65536;

struct narrow_plan {
    int32_t tx, ty, samples, sets;       /* of a block */
    int32_t tiles_x, tiles_y, set_tiles; /* of the grid */
    int32_t chunk;                       /* input channels at a time */
    int32_t lines, pitch, skew;          /* lines of a tile, floats of a line, and behind every PY lines */
    int32_t tile, filter; /* floats of a sample's tile and of the block's weights, of one channel */
    int32_t lane_bits;    /* log2 of the threads that fill a line */
    int32_t quads;        /* cells are stored four at a time */
};

/* PX, PY of O channels: as many sums as registers hold beside the operands. */
enum { PX = 4 };
static __host__ __device__ constexpr int cells_down(int outputs)
{
    return outputs == 1 ? 4 : 2;
}

template <int N> static __device__ inline void load_line(float (&to)[N], const float *from)
{
#pragma unroll
    for (int i = 0; i + 4 <= N; i += 4) {
        const float4 quad = *reinterpret_cast<const float4 *>(from + i);
        to[i] = quad.x, to[i + 1] = quad.y, to[i + 2] = quad.z, to[i + 3] = quad.w;
    }
}

/* A line of a tile. */
template <int PY> static __device__ inline int32_t line_at(const struct narrow_plan &plan, int32_t line)
{
    return line * plan.pitch + line / PY * plan.skew;
}

/* Floats of the weights of K taps beside one another: O for each, made up to quads. */
static __host__ __device__ constexpr int taps_size(int k, int o)
{
    return (k * o + 3) / 4 * 4;
}

/* Copy `count` input channels from c0 on, `in` at the block's first sample: zeros outside the planes and the
 * rows. */
template <int PY>
static __device__ void fill_tiles(float *tiles, const struct df_conv_walk &walk,
                                  const struct narrow_plan &plan, const float *in, int64_t rows_left,
                                  int32_t c0, int32_t count, int32_t y0, int32_t x0)
{
    const int32_t lanes = 1 << plan.lane_bits, plane = walk.in_h * walk.in_w;
    const int32_t step = (int32_t)blockDim.x >> plan.lane_bits, channel = plan.samples * plan.tile;
    for (int32_t sample = 0, line = (int32_t)threadIdx.x >> plan.lane_bits;; line += step) {
        for (; line >= plan.lines; line -= plan.lines)
            sample++;
        if (sample >= plan.samples)
            break;
        const int32_t y = y0 + line;
        const bool there = sample < rows_left && y >= 0 && y < walk.in_h;
        for (int32_t col = (int32_t)threadIdx.x & (lanes - 1); col < plan.pitch; col += lanes) {
            const int32_t x = x0 + col;
            const bool inside = there && x >= 0 && x < walk.in_w;
            const int64_t at = ((int64_t)sample * walk.in_c + c0) * plane + y * walk.in_w + x;
            const float *from = in + (inside ? at : 0);
            float *to = tiles + sample * plan.tile + line_at<PY>(plan, line) + col;
#pragma unroll 2
            for (int32_t c = 0; c < count; c++)
                to[c * channel] = inside ? from[(int64_t)c * plane] : 0.0F;
        }
    }
}

/* Weights [channel][set][ty][tx, output, made up to quads]; taps and outputs that are not there are zero. */
template <int K, int O>
static __device__ void fill_weights(float *to, const struct df_conv_walk &walk,
                                    const struct narrow_plan &plan, const struct df_conv_axis &y,
                                    const struct df_conv_axis &x, const float *weight, int32_t n0, int32_t c0,
                                    int32_t count)
{
    for (int32_t c = 0; c < count; c++)
        for (int32_t i = (int32_t)threadIdx.x; i < plan.sets * O * K * K; i += (int32_t)blockDim.x) {
            const int32_t n = i / (K * K), ty = i % (K * K) / K, tx = i % K;
            const bool there = ty < y.taps && tx < x.taps && n0 + n < walk.out_c;
            const int64_t at = (int64_t)(n0 + n) * walk.weight_out + (int64_t)(c0 + c) * walk.weight_in +
                               (y.first + ty * y.skip) * walk.window.kernel[1] + x.first + tx * x.skip;
            to[c * plan.filter + (n / O * K + ty) * taps_size(K, O) + tx * O + n % O] =
                there ? weight[at] : 0.0F;
        }
}

/* What one input channel adds. */
template <int K, int O, int PY, bool DOWN>
static __device__ inline void add_channel(float (&sum)[O][PY][PX], const struct narrow_plan &plan,
                                          const float *tile, const float *weights)
{
    enum { LINE = (PX + K - 1 + 3) / 4 * 4, UNROLLED = O <= 3 ? K : 1 };
#pragma unroll UNROLLED
    for (int ty = 0; ty < K; ty++) {
        float v[PY][LINE], w[taps_size(K, O)];
        load_line(w, weights + ty * taps_size(K, O));
#pragma unroll
        for (int p = 0; p < PY; p++)
            load_line(v[p], tile + line_at<PY>(plan, p + (DOWN ? K - 1 - ty : ty)));
#pragma unroll
        for (int tx = 0; tx < K; tx++)
#pragma unroll
            for (int o = 0; o < O; o++)
#pragma unroll
                for (int p = 0; p < PY; p++)
#pragma unroll
                    for (int q = 0; q < PX; q++)
                        sum[o][p][q] = fmaf(v[p][q + (DOWN ? K - 1 - tx : tx)], w[tx * O + o], sum[o][p][q]);
    }
}

template <int K, int O, bool DOWN>
__global__ void __launch_bounds__(MOST_THREADS, 2)
    conv_narrow(const struct df_conv_walk walk, const struct narrow_plan plan, const struct df_conv_data data)
{
    DF_SHARED(float, pool);
    enum { PY = cells_down(O) };
    if (walk.backward != DOWN)
        __builtin_unreachable(); /* fewer registers: a forward has one phase */
    const int32_t stride_x = DOWN ? walk.window.stride[1] : 1;
    const struct df_conv_axis y = df_conv_axis_at(&walk, 0, (int32_t)blockIdx.z / stride_x);
    const struct df_conv_axis x = df_conv_axis_at(&walk, 1, (int32_t)blockIdx.z % stride_x);
    const int32_t set_tile = (int32_t)(blockIdx.x % (unsigned)plan.set_tiles);
    const int32_t tile = (int32_t)(blockIdx.x / (unsigned)plan.set_tiles) % (plan.tiles_x * plan.tiles_y);
    const int64_t row0 =
        (int64_t)(blockIdx.x / (unsigned)plan.set_tiles) / (plan.tiles_x * plan.tiles_y) * plan.samples;
    /* This thread's cells: sums [O][PY][PX] from cell (cy, cx) of sample `sample` on. */
    const int32_t t = (int32_t)threadIdx.x, sample = t / (plan.tx * plan.ty) % plan.samples;
    const int32_t set = t / (plan.tx * plan.ty) / plan.samples;
    const int32_t px = t % plan.tx * PX, py = t / plan.tx % plan.ty * PY;
    const int32_t tile_y = tile / plan.tiles_x * plan.ty * PY, tile_x = tile % plan.tiles_x * plan.tx * PX;
    const bool works = set < plan.sets;
    const int32_t n0 = set_tile * plan.sets * O;
    const int32_t channel = plan.samples * plan.tile;
    float *weights = pool + plan.chunk * channel;
    const float *in = data.in + row0 * walk.in_c * walk.in_h * walk.in_w;
    const int32_t edge_y = tile_y + y.base - (DOWN ? K - 1 : 0);
    const int32_t edge_x = tile_x + x.base - (DOWN ? K - 1 : 0);

    float sum[O][PY][PX];
#pragma unroll
    for (int o = 0; o < O; o++) {
        const int32_t n = n0 + set * O + o;
        const float first = data.bias != NULL && works && n < walk.out_c ? data.bias[n] : 0.0F;
#pragma unroll
        for (int p = 0; p < PY; p++)
#pragma unroll
            for (int q = 0; q < PX; q++)
                sum[o][p][q] = first;
    }
    for (int32_t c0 = 0; c0 < walk.in_c; c0 += plan.chunk) {
        const int32_t count = walk.in_c - c0 < plan.chunk ? walk.in_c - c0 : plan.chunk;
        __syncthreads(); /* the chunk before has been used */
        fill_tiles<PY>(pool, walk, plan, in, data.rows - row0, c0, count, edge_y, edge_x);
        fill_weights<K, O>(weights, walk, plan, y, x, data.weight, n0, c0, count);
        __syncthreads();
        for (int32_t c = 0; works && c < count; c++)
            add_channel<K, O, PY, DOWN>(sum, plan,
                                        pool + c * channel + sample * plan.tile + line_at<PY>(plan, py) + px,
                                        weights + c * plan.filter + set * (K * taps_size(K, O)));
    }
    if (!works || row0 + sample >= data.rows)
        return;
#pragma unroll
    for (int o = 0; o < O; o++) {
        const int32_t n = n0 + set * O + o;
#pragma unroll
        for (int p = 0; p < PY; p++) {
            const int32_t cy = tile_y + py + p, cx = tile_x + px;
            if (n >= walk.out_c || cy >= y.cells || cx >= x.cells)
                continue;
            float *to =
                data.out +
                (((row0 + sample) * walk.out_c + n) * walk.out_h + y.phase + cy * y.stride) * walk.out_w +
                x.phase + cx * x.stride;
            const float *from = sum[o][p];
            if (plan.quads) {
                *reinterpret_cast<float4 *>(to) = make_float4(from[0], from[1], from[2], from[3]);
                continue;
            }
#pragma unroll
            for (int q = 0; q < PX; q++)
                if (cx + q < x.cells)
                    to[q * x.stride] = from[q];
        }
    }
}

/* ---- Which kernel -------------------------------------------------------------------------------------- */

typedef void narrow_kernel(struct df_conv_walk, struct narrow_plan, struct df_conv_data);

struct narrow_choice {
    int32_t taps, outputs;
    narrow_kernel *kernel;
};
static const struct narrow_choice forwards[] = {
    {3, 1, conv_narrow<3, 1, false>}, {3, 6, conv_narrow<3, 6, false>}, {3, 8, conv_narrow<3, 8, false>},
    {5, 1, conv_narrow<5, 1, false>}, {5, 6, conv_narrow<5, 6, false>}, {5, 8, conv_narrow<5, 8, false>}};
/* Two and four taps an axis: phases of strided first layers. */
static const struct narrow_choice backwards[] = {
    {2, 1, conv_narrow<2, 1, true>}, {2, 3, conv_narrow<2, 3, true>}, {3, 1, conv_narrow<3, 1, true>},
    {3, 3, conv_narrow<3, 3, true>}, {3, 6, conv_narrow<3, 6, true>}, {3, 8, conv_narrow<3, 8, true>},
    {4, 1, conv_narrow<4, 1, true>}, {4, 3, conv_narrow<4, 3, true>}, {5, 1, conv_narrow<5, 1, true>},
    {5, 3, conv_narrow<5, 3, true>}, {5, 6, conv_narrow<5, 6, true>}, {5, 8, conv_narrow<5, 8, true>}};

static int32_t divide_up(int32_t n, int32_t step)
{
    return (n + step - 1) / step;
}

/* Output channels or cells that are computed, with what is thrown away. */
static double padded(int32_t n, int32_t step)
{
    return (double)divide_up(n, step) * step;
}

/* The kernel that takes the shortest for so many rows: the least beside what is wanted, or, where there are
 * not enough threads to fill a GPU, the shortest sums a thread. NULL: taps are not neighbours, too many, or
 * under half of the least work would be of use, which does not depend on the rows. */
static const struct narrow_choice *choose(const struct df_conv_walk *walk, int64_t rows)
{
    if (walk->group != 1)
        return NULL;
    int32_t taps[2], cells[2];
    for (int32_t axis = 0; axis < 2; axis++) {
        const struct df_conv_axis a = df_conv_axis_at(walk, axis, 0);
        taps[axis] = divide_up(walk->window.kernel[axis], a.skip); /* the most of a phase */
        if (a.move != 1 || (taps[axis] > 1 && a.step != (walk->backward ? -1 : 1)))
            return NULL;
        cells[axis] = a.cells;
    }
    const int32_t kernel = taps[0] > taps[1] ? taps[0] : taps[1];
    const struct narrow_choice *list = walk->backward ? backwards : forwards, *best = NULL;
    const int count =
        (int)(walk->backward ? sizeof backwards / sizeof *backwards : sizeof forwards / sizeof *forwards);
    double least_work = 0, least_time = 0;
    for (int i = 0; i < count; i++) {
        if (list[i].taps < kernel)
            continue;
        const int32_t down = cells_down(list[i].outputs);
        const double sums =
            padded(walk->out_c, list[i].outputs) * padded(cells[1], PX) * padded(cells[0], down);
        const double work = sums * list[i].taps * list[i].taps;
        const double threads = sums / (list[i].outputs * PX * down) * (double)rows * df_conv_phases(walk);
        const double time = work / (threads < MANY_THREADS ? threads : MANY_THREADS);
        if (best == NULL || work < least_work)
            least_work = work;
        if (best == NULL || time < least_time || (time == least_time && list[i].outputs > best->outputs))
            best = &list[i], least_time = time;
    }
    const double wanted = (double)walk->out_c * cells[0] * cells[1] * taps[0] * taps[1];
    return best != NULL && wanted >= 0.5 * least_work ? best : NULL;
}

int32_t df_conv_suits_narrow(const struct df_conv_walk *walk)
{
    return choose(walk, 1) != NULL;
}

static int32_t at_most(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* Parts of at most `most` things each, as even as can be: things of a part. */
static int32_t even_part(int32_t things, int32_t most)
{
    return divide_up(things, divide_up(things, most));
}

static struct narrow_plan make_plan(const struct df_conv_walk *walk, const struct narrow_choice *choice,
                                    const struct df_conv_data *data, int64_t rows)
{
    const struct df_conv_axis y = df_conv_axis_at(walk, 0, 0), x = df_conv_axis_at(walk, 1, 0);
    const int32_t k = choice->taps, down = cells_down(choice->outputs);
    const int32_t across = divide_up(x.cells, PX), along = divide_up(y.cells, down);
    const int32_t sets = divide_up(walk->out_c, choice->outputs);
    struct narrow_plan p;
    p.tx = even_part(across, MOST_ACROSS);
    p.ty = even_part(along, MOST_PLANE / p.tx);
    p.sets = even_part(sets, MOST_SETS);
    p.tiles_x = divide_up(across, p.tx);
    p.tiles_y = divide_up(along, p.ty);
    while (p.sets > 1 && p.sets * p.tx * p.ty > MOST_THREADS)
        p.sets--;
    p.set_tiles = divide_up(sets, p.sets);
    p.lines = p.ty * down + k - 1;
    p.pitch = (p.tx - 1) * PX + divide_up(PX + k - 1, 4) * 4;
    p.lane_bits = p.pitch <= 8 ? 3 : p.pitch <= 16 ? 4 : 5;
    /* The next line of threads goes on where this one ends, tx quads further on modulo the eight of all
     * banks; so does the next sample. */
    p.skew = ((p.tx - down * p.pitch / 4) & 7) * 4;
    p.tile = p.lines * p.pitch + (p.lines - 1) / down * p.skew;
    p.tile += ((p.tx * p.ty - p.tile / 4) & 7) * 4;
    p.filter = k * taps_size(k, choice->outputs) * p.sets;
    /* As many samples as fill the warps best, fewer where that would leave multiprocessors without a
     * block. */
    const int32_t threads = p.tx * p.ty * p.sets;
    int32_t most = at_most(MOST_THREADS / threads, (POOL - p.filter) / p.tile);
    const int64_t blocks = (int64_t)p.tiles_x * p.tiles_y * p.set_tiles * df_conv_phases(walk);
    if (rows * blocks < (int64_t)most * FEW_BLOCKS)
        most = (int32_t)(rows * blocks / FEW_BLOCKS);
    p.samples = 1;
    for (int32_t n = 2; n <= most; n++)
        if ((double)n / padded(n * threads, 32) >= (double)p.samples / padded(p.samples * threads, 32))
            p.samples = n;
    /* Shared memory as threads have their share of a multiprocessor. */
    const int32_t channel = p.samples * p.tile + p.filter;
    const int32_t share = (int32_t)((int64_t)POOL * p.samples * threads / MOST_THREADS);
    p.chunk = at_most(walk->in_c, share > channel ? share / channel : 1);
    p.chunk = even_part(walk->in_c, p.chunk);
    p.quads = x.stride == 1 && walk->out_w % PX == 0 && (uintptr_t)data->out % 16 == 0;
    return p;
}

int df_conv_narrow_as(const struct df_conv_walk *walk, const struct df_conv_data *data, int64_t rows,
                      void *stream)
{
    const struct narrow_choice *choice = choose(walk, rows);
    const struct narrow_plan plan = make_plan(walk, choice, data, rows);
    const int32_t threads = divide_up(plan.tx * plan.ty * plan.samples * plan.sets, 32) * 32;
    const int64_t blocks =
        (data->rows + plan.samples - 1) / plan.samples * plan.tiles_x * plan.tiles_y * plan.set_tiles;
    const dim3 grid((unsigned)blocks, 1, (unsigned)df_conv_phases(walk));
    const int32_t shared = plan.chunk * (plan.samples * plan.tile + plan.filter) * (int32_t)sizeof(float);
    if (shared >
        48 * 1024) { /* more than any kernel may have unasked; the same for all that launch it side by side */
        const cudaError_t error = cudaFuncSetAttribute(
            choice->kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)POOL * (int)sizeof(float));
        if (error != cudaSuccess)
            return (int)error;
    }
    DF_LAUNCH(choice->kernel, grid, (unsigned)threads, (size_t)shared, stream, *walk, plan, *data);
    return df_launched();
}

int df_conv_narrow(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream)
{
    return df_conv_narrow_as(walk, data, data->rows, stream);
}
