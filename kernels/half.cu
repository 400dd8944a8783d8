/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions to binary16 and back (half.h).
 *
 * Work     shifts, rounding, rescaling: a block a row, thread t takes the values t, t + 256, ...; of few long
 *          rows several blocks a row, whose largest magnitudes meet in an atomic maximum: whole numbers, so
 *          the order is no matter. Packing and unpacking turn planes: a block a tile of 32 channels x 32
 *          positions, read and written along what runs fastest, turned in shared memory. With one channel or
 *          one position nothing is turned, and a block takes a row.
 * Traffic  shifts 4 bytes a value; packing 4 read and 2 written, unpacking 2 and 4: bound by memory.
 * Traps    a tile's row of shared memory has one value more than needed: a column would lie in one bank. */
#include "cuda_launch.h"
#include "half.h"

enum { THREADS = 256, TILE = 32, TILE_LINES = THREADS / TILE };

/* ENOUGH: blocks that fill any GPU. A block of a row of its own has at least PIECE values. */
enum { ENOUGH = 2048, PIECE = 4096 };

static unsigned pieces_of(int64_t rows, int64_t size)
{
    const int64_t wanted = ENOUGH / rows, most = size / PIECE, pieces = wanted < most ? wanted : most;
    return (unsigned)(pieces > 1 ? pieces : 1);
}

static __device__ int64_t first_of_row()
{
    return (int64_t)blockIdx.y * THREADS + threadIdx.x;
}

static __device__ int64_t step_of_row()
{
    return (int64_t)gridDim.y * THREADS;
}

/* The largest magnitude of this block's part of a row, in every thread. */
static __device__ uint32_t block_largest(const float *row, int64_t size)
{
    __shared__ uint32_t largest[THREADS];
    uint32_t own = 0;
    for (int64_t i = first_of_row(); i < size; i += step_of_row()) {
        const uint32_t magnitude = df_half_magnitude(row[i]);
        own = magnitude > own ? magnitude : own;
    }
    largest[threadIdx.x] = own;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half && largest[threadIdx.x + half] > largest[threadIdx.x])
            largest[threadIdx.x] = largest[threadIdx.x + half];
    }
    __syncthreads();
    return largest[0];
}

__global__ void find_shifts(int32_t *shift, const float *x, int64_t size, int32_t place)
{
    const uint32_t largest = block_largest(x + blockIdx.x * size, size);
    if (threadIdx.x == 0)
        shift[blockIdx.x] = df_half_shift(largest, place);
}

/* The same in three kernels where a row has several blocks: shift holds magnitudes meanwhile. */
__global__ void clear_largest(int32_t *shift, int64_t rows)
{
    for (int64_t i = first_of_row(); i < rows; i += step_of_row())
        shift[i] = 0;
}

__global__ void find_largest(int32_t *shift, const float *x, int64_t size)
{
    const uint32_t largest = block_largest(x + blockIdx.x * size, size);
    if (threadIdx.x == 0)
        atomicMax((unsigned *)&shift[blockIdx.x], largest);
}

__global__ void make_shifts(int32_t *shift, int64_t rows, int32_t place)
{
    for (int64_t i = first_of_row(); i < rows; i += step_of_row())
        shift[i] = df_half_shift((uint32_t)shift[i], place);
}

__global__ void round_rows(float *rounded, const float *x, const int32_t *shift, int64_t step, int64_t size)
{
    const int64_t row = blockIdx.x;
    for (int64_t i = first_of_row(); i < size; i += step_of_row())
        rounded[row * size + i] = df_half_value(df_half_scaled(x[row * size + i], shift[row * step]));
}

__global__ void rescale_rows(float *dx, const int32_t *shift, const int32_t *weight_shift, int64_t size)
{
    const int64_t row = blockIdx.x;
    for (int64_t i = first_of_row(); i < size; i += step_of_row())
        dx[row * size + i] = df_half_unscaled(dx[row * size + i], shift[row], weight_shift[0]);
}

__global__ void pack_rows(uint16_t *half, const float *x, const int32_t *shift, int64_t step, int64_t size)
{
    const int64_t row = blockIdx.x;
    for (int64_t i = first_of_row(); i < size; i += step_of_row())
        half[row * size + i] = df_half_scaled(x[row * size + i], shift[row * step]);
}

__global__ void unpack_rows(float *dx, const uint16_t *half, const int32_t *shift,
                            const int32_t *weight_shift, int64_t size)
{
    const int64_t row = blockIdx.x;
    for (int64_t i = first_of_row(); i < size; i += step_of_row())
        dx[row * size + i] =
            df_half_unscaled(df_half_value(half[row * size + i]), shift[row], weight_shift[0]);
}

/* A block's tile of a matrix with `down` rows and `across` columns a row of the batch: where it begins. */
struct tile {
    int64_t row, down, across;
};

static int64_t tiles_of(int64_t size)
{
    return (size + TILE - 1) / TILE;
}

static __device__ struct tile tile_of(int64_t block, int64_t down_tiles, int64_t across_tiles)
{
    struct tile tile;
    tile.across = block % across_tiles * TILE;
    tile.down = block / across_tiles % down_tiles * TILE;
    tile.row = block / across_tiles / down_tiles;
    return tile;
}

__global__ void pack_tile(uint16_t *half, const float *x, const int32_t *shift, int64_t step,
                          int64_t channels, int64_t plane, int64_t channel_tiles, int64_t plane_tiles)
{
    __shared__ uint16_t turned[TILE][TILE + 1];
    const struct tile tile = tile_of(blockIdx.x, channel_tiles, plane_tiles);
    const int64_t base = tile.row * channels * plane;
    const int32_t own_shift = shift[tile.row * step];
    const int column = (int)threadIdx.x % TILE, line = (int)threadIdx.x / TILE;
    for (int i = line; i < TILE; i += TILE_LINES) {
        const int64_t channel = tile.down + i, at = tile.across + column;
        if (channel < channels && at < plane)
            turned[i][column] = df_half_scaled(x[base + channel * plane + at], own_shift);
    }
    __syncthreads();
    for (int i = line; i < TILE; i += TILE_LINES) {
        const int64_t channel = tile.down + column, at = tile.across + i;
        if (channel < channels && at < plane)
            half[base + at * channels + channel] = turned[column][i];
    }
}

__global__ void unpack_tile(float *dx, const uint16_t *half, const int32_t *shift,
                            const int32_t *weight_shift, int64_t channels, int64_t plane,
                            int64_t channel_tiles, int64_t plane_tiles)
{
    __shared__ uint16_t turned[TILE][TILE + 1];
    const struct tile tile = tile_of(blockIdx.x, channel_tiles, plane_tiles);
    const int64_t base = tile.row * channels * plane;
    const int32_t own_shift = shift[tile.row], common_shift = weight_shift[0];
    const int column = (int)threadIdx.x % TILE, line = (int)threadIdx.x / TILE;
    for (int i = line; i < TILE; i += TILE_LINES) {
        const int64_t channel = tile.down + column, at = tile.across + i;
        if (channel < channels && at < plane)
            turned[column][i] = half[base + at * channels + channel];
    }
    __syncthreads();
    for (int i = line; i < TILE; i += TILE_LINES) {
        const int64_t channel = tile.down + i, at = tile.across + column;
        if (channel < channels && at < plane)
            dx[base + channel * plane + at] =
                df_half_unscaled(df_half_value(turned[i][column]), own_shift, common_shift);
    }
}

extern "C" int df_half_shifts(int32_t *shift, const float *x, int64_t rows, int64_t size, int32_t place,
                              void *stream)
{
    const unsigned pieces = rows > 0 ? pieces_of(rows, size) : 0;
    if (pieces == 1)
        DF_LAUNCH(find_shifts, (unsigned)rows, THREADS, 0, stream, shift, x, size, place);
    if (pieces > 1) {
        DF_LAUNCH(clear_largest, 1, THREADS, 0, stream, shift, rows);
        DF_LAUNCH(find_largest, dim3((unsigned)rows, pieces), THREADS, 0, stream, shift, x, size);
        DF_LAUNCH(make_shifts, 1, THREADS, 0, stream, shift, rows, place);
    }
    return df_launched();
}

extern "C" int df_half_round(float *rounded, const float *x, const int32_t *shift, int64_t step, int64_t rows,
                             int64_t size, void *stream)
{
    if (rows > 0)
        DF_LAUNCH(round_rows, dim3((unsigned)rows, pieces_of(rows, size)), THREADS, 0, stream, rounded, x,
                  shift, step, size);
    return df_launched();
}

extern "C" int df_half_rescale(float *dx, const int32_t *shift, const int32_t *weight_shift, int64_t rows,
                               int64_t size, void *stream)
{
    if (rows > 0)
        DF_LAUNCH(rescale_rows, dim3((unsigned)rows, pieces_of(rows, size)), THREADS, 0, stream, dx, shift,
                  weight_shift, size);
    return df_launched();
}

extern "C" int df_half_pack(uint16_t *half, const float *x, const int32_t *shift, int64_t step, int64_t rows,
                            int64_t channels, int64_t plane, void *stream)
{
    const int64_t down = tiles_of(channels), across = tiles_of(plane);
    if (rows > 0 && (channels == 1 || plane == 1))
        DF_LAUNCH(pack_rows, dim3((unsigned)rows, pieces_of(rows, channels * plane)), THREADS, 0, stream,
                  half, x, shift, step, channels * plane);
    else if (rows > 0)
        DF_LAUNCH(pack_tile, (unsigned)(rows * down * across), THREADS, 0, stream, half, x, shift, step,
                  channels, plane, down, across);
    return df_launched();
}

extern "C" int df_half_unpack(float *dx, const uint16_t *half, const int32_t *shift,
                              const int32_t *weight_shift, int64_t rows, int64_t channels, int64_t plane,
                              void *stream)
{
    const int64_t down = tiles_of(channels), across = tiles_of(plane);
    if (rows > 0 && (channels == 1 || plane == 1))
        DF_LAUNCH(unpack_rows, dim3((unsigned)rows, pieces_of(rows, channels * plane)), THREADS, 0, stream,
                  dx, half, shift, weight_shift, channels * plane);
    else if (rows > 0)
        DF_LAUNCH(unpack_tile, (unsigned)(rows * down * across), THREADS, 0, stream, dx, half, shift,
                  weight_shift, channels, plane, down, across);
    return df_launched();
}
