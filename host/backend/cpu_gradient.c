/* SPDX-License-Identifier: Apache-2.0 */
/* Own weight gradients of convolutions of few channels: eight rows of the batch, one a lane. Compiled for
 * AVX2 alone, since training hands over eight rows at a time.
 *
 * Math     dw[o][c][ky][kx] = sum over rows, y, x of dy[o][y][x] x[c][y + ky - top][x + kx - left]; db[o] =
 *          sum of dy
 * Order    in a lane y, x ascend, one fused multiply-add a term; then the eight lanes pairwise; then eights
 *          of rows in order. A missing row of the last eight adds zeros.
 * Work     OUTPUTS planes of dy against all kx stay in registers: a loaded x vector serves OUTPUTS sums, a
 *          loaded dy vector KERNEL. */
#include "backend/cpu.h"
#include "backend/cpu_vector.h"

_Static_assert(LANES == 8, "a weight gradient sums rows by eights");

enum { MAX_KERNEL = 7, MAX_OUTPUTS = 4 };

static float sum_lanes(vec v)
{
    float lane[LANES];
    vec_store(lane, v);
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

/* Sums over one plane of x and OUTPUTS planes of dy, `plane` vectors apart, for one ky: sums
 * [OUTPUTS][KERNEL]. */
static inline __attribute__((always_inline)) void tile(const struct df_lanes_conv *c, float *sums,
                                                       const float *x, const float *dy, int64_t plane,
                                                       int32_t ky, const int KERNEL, const int OUTPUTS)
{
    vec sum[MAX_OUTPUTS * MAX_KERNEL];
#pragma GCC unroll 28
    for (int i = 0; i < OUTPUTS * KERNEL; i++)
        sum[i] = vec_all(0);
    /* Columns [inner, outer) of dy meet x with every kx. */
    const int32_t reach = c->in_w + c->pad_left - KERNEL + 1;
    int32_t inner = c->pad_left > 0 ? c->pad_left : 0, outer = reach < c->out_w ? reach : c->out_w;
    inner = inner < c->out_w ? inner : c->out_w;
    outer = outer < inner ? inner : outer;
    for (int32_t y = 0; y < c->out_h; y++) {
        const int32_t iy = y + ky - c->pad_top;
        if (iy < 0 || iy >= c->in_h)
            continue;
        const float *dy_row = dy + (int64_t)y * c->out_w * LANES;
        const float *x_row = x + ((int64_t)iy * c->in_w - c->pad_left) * LANES;
        for (int32_t col = 0; col < c->out_w; col++) {
            if (col == inner)
                for (; col < outer; col++) {
                    vec d[MAX_OUTPUTS];
#pragma GCC unroll 4
                    for (int o = 0; o < OUTPUTS; o++)
                        d[o] = vec_load(dy_row + (o * plane + col) * LANES);
#pragma GCC unroll 7
                    for (int k = 0; k < KERNEL; k++) {
                        const vec v = vec_load(x_row + (col + k) * LANES);
#pragma GCC unroll 4
                        for (int o = 0; o < OUTPUTS; o++)
                            sum[o * KERNEL + k] = vec_fma(d[o], v, sum[o * KERNEL + k]);
                    }
                }
            if (col >= c->out_w)
                break;
#pragma GCC unroll 7
            for (int k = 0; k < KERNEL; k++) {
                if ((uint32_t)(col + k - c->pad_left) >= (uint32_t)c->in_w)
                    continue;
                const vec v = vec_load(x_row + (col + k) * LANES);
#pragma GCC unroll 4
                for (int o = 0; o < OUTPUTS; o++)
                    sum[o * KERNEL + k] =
                        vec_fma(vec_load(dy_row + (o * plane + col) * LANES), v, sum[o * KERNEL + k]);
            }
        }
    }
#pragma GCC unroll 28
    for (int i = 0; i < OUTPUTS * KERNEL; i++)
        sums[i] = sum_lanes(sum[i]);
}

typedef void tile_fn(const struct df_lanes_conv *c, float *sums, const float *x, const float *dy,
                     int64_t plane, int32_t ky);

#define TILE(kernel, outputs)                                                                                \
    static void tile_##kernel##_##outputs(const struct df_lanes_conv *c, float *sums, const float *x,        \
                                          const float *dy, int64_t plane, int32_t ky)                        \
    {                                                                                                        \
        tile(c, sums, x, dy, plane, ky, kernel, outputs);                                                    \
    }
TILE(3, 1)
TILE(3, 4)
TILE(5, 1)
TILE(5, 2)
TILE(7, 1)

/* Tiles of one output, and of as many as registers hold. */
static const struct {
    int32_t kernel, outputs;
    tile_fn *one, *several;
} tiles[] = {{3, 4, tile_3_1, tile_3_4}, {5, 2, tile_5_1, tile_5_2}, {7, 1, tile_7_1, tile_7_1}};

int64_t df_lanes_gradient_scratch(const struct df_lanes_conv *c)
{
    return LANES * ((int64_t)c->in_c * c->in_h * c->in_w + (int64_t)MAX_OUTPUTS * c->out_h * c->out_w);
}

static void store(float *to, float value, bool first)
{
    *to = first ? value : *to + value;
}

/* All that `outputs` planes of dy, already in lanes, contribute. dw begins at the first of them. */
static void add_outputs(const struct df_lanes_conv *c, float *dw, const float *x, const float *dy,
                        int64_t plane, int32_t outputs, tile_fn *fn, bool first)
{
    const int64_t taps = (int64_t)c->kernel_h * c->kernel_w, x_plane = (int64_t)c->in_h * c->in_w;
    for (int64_t b = 0; b < c->in_c; b++)
        for (int32_t ky = 0; ky < c->kernel_h; ky++) {
            float sums[MAX_OUTPUTS * MAX_KERNEL];
            fn(c, sums, x + b * x_plane * LANES, dy, plane, ky);
            for (int32_t o = 0; o < outputs; o++)
                for (int32_t kx = 0; kx < c->kernel_w; kx++)
                    store(dw + (o * c->in_c + b) * taps + ky * c->kernel_w + kx, sums[o * c->kernel_w + kx],
                          first);
        }
}

static float sum_plane(const float *dy, int64_t plane)
{
    vec sum = vec_all(0);
    for (int64_t i = 0; i < plane; i++)
        sum = _mm256_add_ps(sum, vec_load(dy + i * LANES));
    return sum_lanes(sum);
}

void df_lanes_gradient(const struct df_lanes_conv *conv, float *dw, float *db, const float *x,
                       const float *dy, int64_t rows, float *scratch)
{
    const struct df_lanes_conv c = *conv;
    const int64_t x_size = (int64_t)c.in_c * c.in_h * c.in_w, plane = (int64_t)c.out_h * c.out_w;
    const int64_t dy_size = c.out_c * plane, filter = (int64_t)c.in_c * c.kernel_h * c.kernel_w;
    float *x_lanes = scratch, *dy_lanes = scratch + x_size * LANES;
    const int index = c.kernel_w == 3 ? 0 : c.kernel_w == 5 ? 1 : 2;
    if (rows <= 0) {
        if (dw != NULL)
            memset(dw, 0, (size_t)(c.out_c * filter) * sizeof(float));
        if (db != NULL)
            memset(db, 0, (size_t)c.out_c * sizeof(float));
    }
    for (int64_t row = 0; row < rows; row += LANES) {
        const int64_t count = rows - row < LANES ? rows - row : LANES;
        rows_to_lanes(x_lanes, x + row * x_size, x_size, x_size, count);
        for (int32_t o = 0; o < c.out_c;) {
            const bool several = c.out_c - o >= tiles[index].outputs;
            const int32_t outputs = several ? tiles[index].outputs : 1;
            rows_to_lanes(dy_lanes, dy + row * dy_size + o * plane, dy_size, outputs * plane, count);
            if (dw != NULL)
                add_outputs(&c, dw + o * filter, x_lanes, dy_lanes, plane, outputs,
                            several ? tiles[index].several : tiles[index].one, row == 0);
            for (int32_t k = 0; db != NULL && k < outputs; k++)
                store(db + o + k, sum_plane(dy_lanes + k * plane * LANES, plane), row == 0);
            o += outputs;
        }
    }
}
