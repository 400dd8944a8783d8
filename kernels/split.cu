/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions and products of split operands on tensor cores (split.h), of any geometry without groups.
 *
 * Math, order   split.h
 * Work     conv_walk.h's walk as a product [output channels] x [cells of a phase of all rows], over units of
 *          16 channels of a tap. A block has a tile of BM channels x BN cells, channels fastest over the
 *          grid, so that blocks that run side by side read the same cells; blockIdx.z is the phase. A warp
 *          has a part of BM/2 x BN/4.
 * Memory   A line of shared memory has, of one output channel or one cell, the parts of UNITS units: 128
 *          bytes, all 32 banks. Its eight chunks of 16 bytes stand in an order that differs from line to
 *          line (place), so that the eight lines that an instruction reads lie in different banks. While
 *          a stage is multiplied, the next STAGES - 1 are on their way. A GPU of sm_86 or sm_89 has 99 KiB
 *          for a block, which three stages just fit.
 * Traffic  x is read twice before, for scales and for packing, which writes 4 bytes a value; then a unit of a
 *          cell is 64 neighbouring bytes, read once a tap and tile of channels, from a cache. Bound by the
 *          tensor cores: three products for one, at the rate of mma.sync, which on an H100 is less than two
 *          thirds of what its wgmma reaches.
 * Traps    Needs sm_80. Packed arrays begin at multiples of 16 bytes. */
#include "conv_walk.h"
#include "mma.h"
#include "split.h"

enum {
    THREADS = 256,
    UNITS = 2,                            /* of a stage */
    STAGES = 3,                           /* in shared memory */
    LINE = UNITS * 2 * DF_SPLIT_UNIT * 2, /* bytes */
    CHUNKS = LINE / 16,
    SHARE_LINES = THREADS / CHUNKS, /* lines that the block's threads fill at a time */
    CELLS = 128,                    /* BN */
    UNIT_NUMBERS = 2 * DF_SPLIT_UNIT,
};

/* ---- Packing ------------------------------------------------------------------------------------------- */

/* x[outer outer_step + position position_step + channel channel_step]; shift[outer shift_step]. */
struct split_source {
    const float *x;
    const int32_t *shift;
    int64_t positions, channels, outer_step, position_step, channel_step, shift_step;
};

struct alignas(16) split_quad {
    uint32_t word[4];
};

/* A thread a unit: neighbours read neighbouring positions. */
__global__ void split_pack(struct split_quad *packed, const struct split_source s, int64_t units,
                           int64_t count)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= count)
        return;
    const int64_t position = i % s.positions, unit = i / s.positions % units, outer = i / s.positions / units;
    const float *x = s.x + outer * s.outer_step + position * s.position_step;
    const int32_t shift = s.shift[outer * s.shift_step];
    struct split_quad parts[2][2];
#pragma unroll
    for (int pair = 0; pair < DF_SPLIT_UNIT / 2; pair++) {
        uint32_t word[2] = {0, 0};
#pragma unroll
        for (int k = 0; k < 2; k++) {
            const int64_t channel = unit * DF_SPLIT_UNIT + 2 * pair + k;
            uint16_t high = 0, low = 0;
            if (channel < s.channels)
                df_split(x[channel * s.channel_step], shift, &high, &low);
            word[0] |= (uint32_t)high << 16 * k;
            word[1] |= (uint32_t)low << 16 * k;
        }
        parts[0][pair / 4].word[pair % 4] = word[0];
        parts[1][pair / 4].word[pair % 4] = word[1];
    }
    struct split_quad *to = packed + ((outer * s.positions + position) * units + unit) * 4;
#pragma unroll
    for (int quad = 0; quad < 4; quad++)
        to[quad] = parts[quad / 2][quad % 2];
}

static int pack(uint16_t *packed, const struct split_source *source, int64_t outer, void *stream)
{
    const int64_t units = df_split_units(source->channels), count = outer * source->positions * units;
    if (count > 0)
        DF_LAUNCH(split_pack, (unsigned)((count + THREADS - 1) / THREADS), THREADS, 0, stream,
                  (struct split_quad *)packed, *source, units, count);
    return df_launched();
}

int df_split_pack(uint16_t *packed, const float *x, const int32_t *shift, int64_t rows, int64_t channels,
                  int64_t plane, void *stream)
{
    const struct split_source source = {x, shift, plane, channels, channels * plane, 1, plane, 1};
    return pack(packed, &source, rows, stream);
}

int df_split_pack_weights(uint16_t *packed, const float *weight, const int32_t *shift, int64_t outputs,
                          int64_t channels, int64_t taps, int32_t backward, void *stream)
{
    const int64_t filter = channels * taps;
    const struct split_source forward = {weight, shift, outputs, channels, 1, filter, taps, 0},
                              back = {weight, shift, channels, outputs, 1, taps, filter, 0};
    return pack(packed, backward ? &back : &forward, taps, stream);
}

/* ---- Products ------------------------------------------------------------------------------------------ */

struct split_data {
    float *out;
    const uint16_t *in, *weight;
    const int32_t *in_shift, *weight_shift;
    const float *bias;
    int64_t rows;
    int32_t units;
    int32_t pairs; /* two neighbouring cells of an even one on are neighbours in memory, at a multiple of 8
                    * bytes */
};

/* Where a chunk of a line stands. Lines 8 apart have the same order, so that their chunks are as far apart as
 * the lines are. */
static __device__ inline int place(int line, int chunk)
{
    return line * LINE + ((chunk ^ (line % 8)) * 16);
}

/* Where a unit lies: its tap in the plane, relative to a cell's first one, and in units behind that cell's
 * first one and behind the weights of an output channel. Behind the last unit: NOWHERE. */
struct alignas(16) split_place {
    int32_t down, right, input, weight;
};
enum { NOWHERE = -(1 << 30) }; /* a line that is in no plane */

/* What a block's threads share besides the stages. What they read of it is read anew behind a barrier, so
 * that it takes no registers meanwhile. */
struct split_shared {
    struct df_conv_axis y, x;
    int64_t n0; /* the tile's first cell */
    int32_t m0; /* and channel */
    struct split_place places[STAGES][UNITS];
};

template <int BM>
static __device__ void find_tile(struct split_shared *shared, const struct df_conv_walk &walk)
{
    const int32_t stride_x = walk.backward ? walk.window.stride[1] : 1, phase = (int32_t)blockIdx.z;
    const unsigned tiles = (unsigned)((walk.out_c + BM - 1) / BM), tile = blockIdx.x / tiles;
    shared->y = df_conv_axis_at(&walk, 0, phase / stride_x);
    shared->x = df_conv_axis_at(&walk, 1, phase % stride_x);
    shared->n0 = (int64_t)tile * CELLS;
    shared->m0 = (int32_t)(blockIdx.x - tile * tiles) * BM;
}

static __device__ void find_place(struct split_shared *shared, const struct df_conv_walk &walk,
                                  const struct split_data &data, int32_t stage, int unit)
{
    const struct df_conv_axis &y = shared->y, &x = shared->x;
    const int32_t u = stage * UNITS + unit, tap = u / data.units;
    const int32_t ty = tap / (x.taps > 0 ? x.taps : 1), tx = tap - ty * x.taps;
    struct split_place place = {NOWHERE, 0, 0, 0};
    if (tap < y.taps * x.taps) {
        const int32_t in = u - tap * data.units,
                      kernel = (y.first + ty * y.skip) * walk.window.kernel[1] + x.first + tx * x.skip;
        place.down = ty * y.step;
        place.right = tx * x.step;
        place.input = (place.down * walk.in_w + place.right) * data.units + in;
        place.weight = kernel * walk.out_c * data.units + in;
    }
    shared->places[stage % STAGES][unit] = place;
}

/* Numbers of a unit before this thread's chunk. */
static __device__ inline int quarter()
{
    return (int)threadIdx.x % 4 * 8;
}

/* One thread's view: what it copies to shared memory. It keeps to one chunk of a line, and to every
 * SHARE_LINES-th line. */
template <int BM> struct split_share {
    static constexpr int STAGE = (BM + CELLS) * LINE, ROWS = BM / SHARE_LINES, COLUMNS = CELLS / SHARE_LINES;
    const uint16_t *from;  /* its chunk of the first row's first cell */
    int32_t weight;        /* units before its first channel, at the kernel's first tap */
    int32_t channels;      /* of its lines that there are */
    int32_t unit[COLUMNS]; /* units from `from` to a cell's first tap */
    int32_t line[COLUMNS], column[COLUMNS];

    __device__ void copy(char *stage, const struct df_conv_walk &walk, const struct split_data &data,
                         const struct split_place *places) const
    {
        const int t = (int)threadIdx.x, chunk = t % CHUNKS, first = t / CHUNKS;
        const struct split_place p = places[chunk / 4];
        char *const to = stage + place(first, chunk);
        const uint16_t *const w = data.weight + quarter();
#pragma unroll
        for (int j = 0; j < ROWS; j++) {
            const int32_t at = p.weight + weight + j * SHARE_LINES * data.units;
            df_copy_begin(to + j * SHARE_LINES * LINE, w + (int64_t)at * UNIT_NUMBERS,
                          p.down != NOWHERE && j < channels);
        }
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) {
            const bool inside = ((uint32_t)(line[j] + p.down) < (uint32_t)walk.in_h) &
                                ((uint32_t)(column[j] + p.right) < (uint32_t)walk.in_w);
            const int32_t at = unit[j] + p.input;
            df_copy_begin(to + (BM + j * SHARE_LINES) * LINE, from + (int64_t)at * UNIT_NUMBERS, inside);
        }
    }
};

/* sum += the products of a stage; m, n: the warp's first channel and cell in the tile. */
template <int BM, int MI, int NI>
static __device__ inline void multiply(float (&sum)[MI][NI][4], const char *stage, int m, int n)
{
    /* Chunk 4 unit + 2 part of this lane's first lines, or the next one. An exclusive or with so many chunks
     * of 16 bytes leads to another unit and part. */
    const int lane = (int)threadIdx.x % 32;
    const int a_at = place(m + lane % 16, lane / 16),
              b_at = place(BM + n + lane / 16 * 8 + lane % 8, lane / 8 % 2);
#pragma unroll
    for (int unit = 0; unit < UNITS; unit++) {
        uint32_t b[2][NI][2]; /* parts */
#pragma unroll
        for (int part = 0; part < 2; part++)
#pragma unroll
            for (int j = 0; j < NI; j += 2) {
                uint32_t word[4];
                df_load_matrices(word, stage + (b_at ^ (4 * unit + 2 * part) * 16) + 8 * j * LINE);
                b[part][j][0] = word[0], b[part][j][1] = word[1];
                b[part][j + 1][0] = word[2], b[part][j + 1][1] = word[3];
            }
#pragma unroll
        for (int i = 0; i < MI; i++) {
            uint32_t a[2][4];
#pragma unroll
            for (int part = 0; part < 2; part++)
                df_load_matrices(a[part], stage + (a_at ^ (4 * unit + 2 * part) * 16) + 16 * i * LINE);
                /* Two at a time: more sums would not fit into a thread's registers. */
#pragma unroll
            for (int j = 0; j < NI; j += 2) {
                float own[2][4] = {};
#pragma unroll
                for (int product = 0; product < 3; product++)
#pragma unroll
                    for (int k = 0; k < 2; k++)
                        df_mma(own[k], a[product == 0], b[product == 1][j + k]);
#pragma unroll
                for (int k = 0; k < 2; k++)
#pragma unroll
                    for (int c = 0; c < 4; c++)
                        sum[i][j + k][c] += own[k][c];
            }
        }
    }
}

template <int BM>
static __device__ inline struct split_share<BM> make_share(const struct split_shared *shared,
                                                           const struct df_conv_walk &walk,
                                                           const struct split_data &data) {
    const struct df_conv_axis &y = shared->y, &x = shared->x;
    const int64_t n0 = shared->n0;
    const int32_t m0 = shared->m0;
    const int first = (int)threadIdx.x / CHUNKS;
    const int32_t cells = y.cells * x.cells, plane = walk.in_h * walk.in_w;
    const int64_t row0 = n0 / cells;
    struct split_share<BM> share;
    share.weight = (m0 + first) * data.units;
    share.from = data.in + row0 * plane * data.units * UNIT_NUMBERS + quarter();
    share.channels = (walk.out_c - m0 - first + SHARE_LINES - 1) / SHARE_LINES;
#pragma unroll
    for (int j = 0; j < share.COLUMNS; j++) {
        const int32_t at = (int32_t)(n0 - row0 * cells) + first + j * SHARE_LINES, row = at / cells,
                      cell = at - row * cells;
        const int32_t line = cell / x.cells * y.move + y.base, column = cell % x.cells * x.move + x.base;
        share.unit[j] = (row * plane + line * walk.in_w + column) * data.units;
        share.line[j] = row0 + row < data.rows ? line : NOWHERE;
        share.column[j] = column;
    }
    return share;
}

/* Scale a cell's sums back, and write them. */
template <int MI, int NI>
static __device__ inline void write(const float (&sum)[MI][NI][4], const struct split_shared *shared,
                                    const struct df_conv_walk &walk, const struct split_data &data, int m,
                                    int n)
{
    const struct df_conv_axis &y = shared->y, &x = shared->x;
    const int32_t lane = (int32_t)threadIdx.x % 32, cells = y.cells * x.cells,
                  weight_shift = data.weight_shift[0];
    const int64_t plane = (int64_t)walk.out_h * walk.out_w;
#pragma unroll
    for (int j = 0; j < NI; j++) {
        float *out[2];
        int32_t shift[2];
#pragma unroll
        for (int k = 0; k < 2; k++) {
            const int64_t at = shared->n0 + n + 8 * j + lane % 4 * 2 + k, row = at / cells;
            const int32_t cell = (int32_t)(at - row * cells);
            const int32_t h = y.phase + cell / x.cells * y.stride, w = x.phase + cell % x.cells * x.stride;
            const bool there = row < data.rows;
            out[k] = there ? data.out + row * walk.out_c * plane + (int64_t)h * walk.out_w + w : NULL;
            shift[k] = there ? data.in_shift[row] : 0;
        }
#pragma unroll
        for (int i = 0; i < 2 * MI; i++) {
            const int32_t channel = shared->m0 + m + lane / 4 + 8 * i;
            if (channel >= walk.out_c)
                continue;
            const float bias = data.bias != NULL ? data.bias[channel] : 0.0F;
            float value[2];
#pragma unroll
            for (int k = 0; k < 2; k++)
                value[k] = df_half_unscaled(sum[i / 2][j][i % 2 * 2 + k], shift[k], weight_shift) + bias;
            if (data.pairs && out[1] != NULL)
                *(float2 *)(out[0] + channel * plane) = {value[0], value[1]};
            else
#pragma unroll
                for (int k = 0; k < 2; k++)
                    if (out[k] != NULL)
                        out[k][channel * plane] = value[k];
        }
    }
}

template <int BM>
__global__ void __launch_bounds__(THREADS, 2)
    split_conv(const struct df_conv_walk walk, const struct split_data data)
{
    enum { STAGE = split_share<BM>::STAGE, MI = BM / 32, NI = CELLS / 32 };
    __shared__ struct split_shared shared;
    DF_SHARED(float4, memory);
    char *const stages = (char *)memory;
    const int t = (int)threadIdx.x, warp = t / 32, m = warp % 2 * (BM / 2), n = warp / 2 * (CELLS / 4);
    if (t == 0)
        find_tile<BM>(&shared, walk);
    __syncthreads();
    if (shared.n0 >= data.rows * shared.y.cells * shared.x.cells)
        return; /* the grid is as large as the largest phase wants it */
    if (t < STAGES * UNITS)
        find_place(&shared, walk, data, t / UNITS, t % UNITS);
    const struct split_share<BM> share = make_share<BM>(&shared, walk, data);
    const int32_t steps = (shared.y.taps * shared.x.taps * data.units + UNITS - 1) / UNITS;
    /* A warp behind the last channel or cell only copies. */
    const bool busy =
        shared.m0 + m < walk.out_c && shared.n0 + n < data.rows * shared.y.cells * shared.x.cells;
    float sum[MI][NI][4] = {};
    __syncthreads();
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        share.copy(stages + s * STAGE, walk, data, shared.places[s]);
        df_copy_group();
    }
#pragma unroll 1
    for (int32_t s = 0; s < steps; s++) {
        const int32_t last = s + STAGES - 1; /* behind the last step: zeros, which nobody reads */
        df_copy_wait<STAGES - 2>();
        __syncthreads();
        share.copy(stages + last % STAGES * STAGE, walk, data, shared.places[last % STAGES]);
        df_copy_group();
        if (t < UNITS) /* read behind the next barrier */
            find_place(&shared, walk, data, last + 1, t);
        __syncwarp();
        if (busy)
            multiply<BM>(sum, stages + s % STAGES * STAGE, m, n);
    }
    df_copy_wait<0>();
    write(sum, &shared, walk, data, m, n);
}

template <int BM>
static int launch(const struct df_conv_walk *walk, const struct split_data *data, int64_t cells, void *stream)
{
    void (*kernel)(struct df_conv_walk, struct split_data) = split_conv<BM>;
    constexpr size_t bytes = (size_t)STAGES * split_share<BM>::STAGE;
    static_assert(bytes + sizeof(struct split_shared) <= 99 * 1024, "what a block of sm_86 may have");
    const int64_t blocks = (cells + CELLS - 1) / CELLS * ((walk->out_c + BM - 1) / BM);
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    if (error != cudaSuccess)
        return (int)error;
    const dim3 grid((unsigned)blocks, 1, (unsigned)df_conv_phases(walk));
    DF_LAUNCH(kernel, grid, THREADS, bytes, stream, *walk, *data);
    return df_launched();
}

int df_split_conv(const struct df_conv_shape *shape, int32_t backward, float *out, const uint16_t *in,
                  const int32_t *in_shift, const uint16_t *weight, const int32_t *weight_shift,
                  const float *bias, int64_t rows, void *stream)
{
    const struct df_conv_walk walk = df_conv_walk_of(shape, backward);
    const struct df_conv_axis y = df_conv_axis_at(&walk, 0, 0), x = df_conv_axis_at(&walk, 1, 0);
    const int64_t cells = rows * y.cells * x.cells;
    const int32_t whole = df_conv_phases(&walk) == 1 && walk.out_h * walk.out_w % 2 == 0;
    const struct split_data data = {out,
                                    in,
                                    weight,
                                    in_shift,
                                    weight_shift,
                                    bias,
                                    rows,
                                    (int32_t)df_split_units(walk.in_c),
                                    whole && (uintptr_t)out % 8 == 0};
    if (rows <= 0)
        return 0;
    return walk.out_c <= 64 ? launch<64>(&walk, &data, cells, stream)
                            : launch<128>(&walk, &data, cells, stream);
}
