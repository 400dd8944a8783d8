/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions to binary16 and back (half.h).
 *
 * Work     shifts, rounding, rescaling: a block a row, thread t takes the values t, t + 256, ... Packing and unpacking turn
 *          planes: a block a tile of 32 channels x 32 positions, read and written along what runs fastest, turned in
 *          shared memory. With one channel or one position nothing is turned, and a block takes a row.
 * Traffic  shifts 4 bytes a value; packing 4 read and 2 written, unpacking 2 and 4: bound by memory.
 * Traps    a tile's row of shared memory has one value more than needed: a column would lie in one bank. */
#include "cuda.h"
#include "half.h"

enum { THREADS = 256, TILE = 32, TILE_LINES = THREADS / TILE };

__global__ void find_shifts(int32_t *shift, const float *x, int64_t size, int32_t place)
{
    __shared__ uint32_t largest[THREADS];
    const float *row = x + blockIdx.x * size;
    uint32_t own = 0;
    for (int64_t i = threadIdx.x; i < size; i += THREADS) {
        const uint32_t magnitude = df_half_magnitude(row[i]);
        own = magnitude > own ? magnitude : own;
    }
    largest[threadIdx.x] = own;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half && largest[threadIdx.x + half] > largest[threadIdx.x])
            largest[threadIdx.x] = largest[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        shift[blockIdx.x] = df_half_shift(largest[0], place);
}

__global__ void round_rows(float *rounded, const float *x, const int32_t *shift, int64_t step, int64_t size)
{
    const int64_t row = blockIdx.x;
    for (int64_t i = threadIdx.x; i < size; i += THREADS)
        rounded[row * size + i] = df_half_value(df_half_scaled(x[row * size + i], shift[row * step]));
}

__global__ void rescale_rows(float *dx, const int32_t *shift, const int32_t *weight_shift, int64_t size)
{
    const int64_t row = blockIdx.x;
    for (int64_t i = threadIdx.x; i < size; i += THREADS)
        dx[row * size + i] = df_half_unscaled(dx[row * size + i], shift[row], weight_shift[0]);
}

__global__ void pack_rows(uint16_t *half, const float *x, const int32_t *shift, int64_t step, int64_t size)
{
    const int64_t row = blockIdx.x;
    for (int64_t i = threadIdx.x; i < size; i += THREADS)
        half[row * size + i] = df_half_scaled(x[row * size + i], shift[row * step]);
}

__global__ void unpack_rows(float *dx, const uint16_t *half, const int32_t *shift,
                            const int32_t *weight_shift, int64_t size)
{
    const int64_t row = blockIdx.x;
    for (int64_t i = threadIdx.x; i < size; i += THREADS)
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
    if (rows > 0)
        DF_LAUNCH(find_shifts, (unsigned)rows, THREADS, 0, stream, shift, x, size, place);
    return df_launched();
}

extern "C" int df_half_round(float *rounded, const float *x, const int32_t *shift, int64_t step, int64_t rows,
                             int64_t size, void *stream)
{
    if (rows > 0)
        DF_LAUNCH(round_rows, (unsigned)rows, THREADS, 0, stream, rounded, x, shift, step, size);
    return df_launched();
}

extern "C" int df_half_rescale(float *dx, const int32_t *shift, const int32_t *weight_shift, int64_t rows,
                               int64_t size, void *stream)
{
    if (rows > 0)
        DF_LAUNCH(rescale_rows, (unsigned)rows, THREADS, 0, stream, dx, shift, weight_shift, size);
    return df_launched();
}

extern "C" int df_half_pack(uint16_t *half, const float *x, const int32_t *shift, int64_t step, int64_t rows,
                            int64_t channels, int64_t plane, void *stream)
{
    const int64_t down = tiles_of(channels), across = tiles_of(plane);
    if (rows > 0 && (channels == 1 || plane == 1))
        DF_LAUNCH(pack_rows, (unsigned)rows, THREADS, 0, stream, half, x, shift, step, channels * plane);
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
        DF_LAUNCH(unpack_rows, (unsigned)rows, THREADS, 0, stream, dx, half, shift, weight_shift,
                  channels * plane);
    else if (rows > 0)
        DF_LAUNCH(unpack_tile, (unsigned)(rows * down * across), THREADS, 0, stream, dx, half, shift,
                  weight_shift, channels, plane, down, across);
    return df_launched();
}
