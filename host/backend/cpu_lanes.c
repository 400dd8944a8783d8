/* SPDX-License-Identifier: Apache-2.0 */
/* Own convolutions for few channels, where oneDNN pads most of a vector away: one row of the batch (a sample,
 * or a cotangent of the Jacobian) a lane. Compiled for AVX2, and for AVX-512 by cpu_lanes_avx512.c.
 *
 * Math     out[a][y][x] = bias[a] + sum over b, ky, kx of weight[a][b][ky][kx] in[b][y + ky - top][x + kx -
 *          left]; an input gradient is the same with the kernel turned by 180 degrees and pads of kernel - 1
 *          - pad.
 * Order    b, ky, kx ascend, one fused multiply-add a term, terms outside the plane left out: no sum crosses
 *          lanes, so a row's bits depend neither on the other rows nor on the vector's width.
 * Work     LANES rows are transposed to [channel][y][x][lane]; a tile of WIDTH pixels of one output row stays
 *          in registers, a loaded input vector serves all kx; the result is transposed back.
 * Traps    Kernel widths 3, 5 and 7 have code; cpu_layer.c asks for no other. */
#include <string.h>

#include "backend/cpu.h"
#include "backend/cpu_vector.h"

#ifndef DF_CPU_KERNELS
#define DF_CPU_KERNELS          df_cpu_kernels_avx2
#define DF_CPU_HALF             NULL
#define DF_CPU_PRODUCT          df_cpu_product_avx2
#define DF_CPU_STRIP            df_cpu_strip_avx2
#define DF_CPU_WINOGRAD         df_cpu_winograd_avx2
#define DF_CPU_WINOGRAD_SCRATCH df_cpu_winograd_scratch_avx2
#endif

/* Pixels [x0, x0 + count) of row y of output channel a; count <= WIDTH. inside: no tap leaves the row and
 * count is WIDTH, so nothing has to be asked. */
static inline __attribute__((always_inline)) void tile(const struct df_lanes_conv *c, float *out,
                                                       const float *in, const float *weight, float bias,
                                                       int32_t y, int32_t x0, int32_t count, const int inside,
                                                       const int KERNEL, const int WIDTH)
{
    vec sum[16];
#pragma GCC unroll 16
    for (int p = 0; p < WIDTH; p++)
        sum[p] = vec_all(bias);
    const int32_t left = x0 - c->pad_left, in_w = c->in_w;
    const int32_t ky_begin = c->pad_top > y ? c->pad_top - y : 0;
    const int32_t ky_left = c->in_h + c->pad_top - y;
    const int32_t ky_end = ky_left < c->kernel_h ? ky_left : c->kernel_h;
    for (int32_t b = 0; b < c->in_c; b++) {
        const float *plane = in + (int64_t)b * c->in_h * in_w * LANES;
        for (int32_t ky = ky_begin; ky < ky_end; ky++) {
            const float *row = plane + ((int64_t)(y + ky - c->pad_top) * in_w + left) * LANES;
            const float *w = weight + (b * c->kernel_h + ky) * KERNEL;
#pragma GCC unroll 32
            for (int j = 0; j < WIDTH + KERNEL - 1; j++) {
                if (!inside && (uint32_t)(left + j) >= (uint32_t)in_w)
                    continue;
                const vec v = vec_load(row + j * LANES);
#pragma GCC unroll 16
                for (int p = 0; p < WIDTH; p++)
                    if (j - p >= 0 && j - p < KERNEL)
                        sum[p] = vec_fma(vec_all(w[j - p]), v, sum[p]);
            }
        }
    }
#pragma GCC unroll 16
    for (int p = 0; p < WIDTH; p++)
        if (inside || p < count)
            vec_store(out + p * LANES, sum[p]);
}

typedef void tile_fn(const struct df_lanes_conv *c, float *out, const float *in, const float *weight,
                     float bias, int32_t y, int32_t x0, int32_t count);

#define TILE(kernel, width)                                                                                  \
    static void tile_##kernel##_##width(const struct df_lanes_conv *c, float *out, const float *in,          \
                                        const float *weight, float bias, int32_t y, int32_t x0,              \
                                        int32_t count)                                                       \
    {                                                                                                        \
        const int32_t left = x0 - c->pad_left;                                                               \
        if (left >= 0 && left + width + kernel - 1 <= c->in_w && count == width)                             \
            tile(c, out, in, weight, bias, y, x0, count, 1, kernel, width);                                  \
        else                                                                                                 \
            tile(c, out, in, weight, bias, y, x0, count, 0, kernel, width);                                  \
    }
#ifdef __AVX512F__
#define WIDTHS(X, kernel) X(kernel, 4) X(kernel, 8) X(kernel, 12) X(kernel, 14) X(kernel, 16)
#else
#define WIDTHS(X, kernel) X(kernel, 4) X(kernel, 7) X(kernel, 8) X(kernel, 12)
#endif
WIDTHS(TILE, 3)
WIDTHS(TILE, 5)
WIDTHS(TILE, 7)

static const struct {
    int32_t kernel, width;
    tile_fn *fn;
} tiles[] = {
#define ENTRY(kernel_, width_) {kernel_, width_, tile_##kernel_##_##width_},
    WIDTHS(ENTRY, 3) WIDTHS(ENTRY, 5) WIDTHS(ENTRY, 7)};

/* Output rows computed at a time: as many as keep both sides of the band in a second-level cache, at least 4,
 * since every band transposes kernel_h - 1 input rows anew. */
static int32_t band_height(const struct df_lanes_conv *c)
{
    const int64_t cache = 512 * 1024 / (int64_t)sizeof(float) / LANES;
    const int64_t in_row = (int64_t)c->in_c * c->in_w, out_row = (int64_t)c->out_c * c->out_w;
    int64_t height = (cache - in_row * (c->kernel_h - 1)) / (in_row + out_row);
    height = height < 4 ? 4 : height;
    return (int32_t)(height < c->out_h ? height : c->out_h);
}

static int64_t lanes_scratch(const struct df_lanes_conv *c)
{
    const int64_t height = band_height(c), reach = height + c->kernel_h - 1;
    const int64_t in_h = reach < c->in_h ? reach : c->in_h;
    return LANES * (c->in_c * in_h * c->in_w + c->out_c * height * c->out_w);
}

/* The width with the fewest pixels computed in vain, then the widest. Under 8 sums side by side the
 * multiply-adds wait for each other: a narrow tile takes as long as one of 8. */
static int choose_tile(const struct df_lanes_conv *c)
{
    int best = -1;
    int64_t best_cost = INT64_MAX;
    for (int i = 0; i < (int)(sizeof tiles / sizeof tiles[0]); i++) {
        const int64_t width = tiles[i].width;
        const int64_t cost = (c->out_w + width - 1) / width * (width < 8 ? 8 : width);
        if (tiles[i].kernel == c->kernel_w && cost <= best_cost) {
            best = i;
            best_cost = cost;
        }
    }
    return best;
}

/* One band: output rows [y0, y0 + band.out_h) of up to LANES rows of the batch. */
static void convolve_band(const struct df_lanes_conv *band, int tile_index, float *to, const float *from,
                          const float *weight, const float *bias)
{
    const int64_t weight_size = (int64_t)band->in_c * band->kernel_h * band->kernel_w;
    const int32_t width = tiles[tile_index].width;
    tile_fn *const fn = tiles[tile_index].fn;
    for (int32_t y = 0; y < band->out_h; y++)
        for (int32_t x = 0; x < band->out_w; x += width)
            for (int32_t a = 0; a < band->out_c; a++)
                fn(band, to + (((int64_t)a * band->out_h + y) * band->out_w + x) * LANES, from,
                   weight + a * weight_size, bias != NULL ? bias[a] : 0, y, x,
                   band->out_w - x < width ? band->out_w - x : width);
}

static void lanes_conv(const struct df_lanes_conv *conv, float *out, const float *in, const float *weight,
                       const float *bias, int64_t rows, float *scratch)
{
    const struct df_lanes_conv c = *conv;
    const int64_t in_plane = (int64_t)c.in_h * c.in_w, out_plane = (int64_t)c.out_h * c.out_w;
    const int64_t in_size = c.in_c * in_plane, out_size = c.out_c * out_plane;
    const int32_t height = band_height(&c);
    const int tile_index = choose_tile(&c);
    for (int64_t row = 0; row < rows; row += LANES) {
        const int64_t count = rows - row < LANES ? rows - row : LANES;
        for (int32_t y0 = 0; y0 < c.out_h; y0 += height) {
            /* The same convolution on the input rows [h0, h1) that the band reads. */
            struct df_lanes_conv band = c;
            band.out_h = c.out_h - y0 < height ? c.out_h - y0 : height;
            int32_t h0 = y0 - c.pad_top, h1 = h0 + band.out_h + c.kernel_h - 1;
            h0 = h0 < 0 ? 0 : h0 > c.in_h ? c.in_h : h0;
            h1 = h1 < h0 ? h0 : h1 > c.in_h ? c.in_h : h1;
            band.in_h = h1 - h0;
            band.pad_top = c.pad_top - y0 + h0;
            const int64_t in_part = (int64_t)band.in_h * c.in_w, out_part = (int64_t)band.out_h * c.out_w;
            float *from = scratch, *to = scratch + c.in_c * in_part * LANES;
            for (int64_t b = 0; b < c.in_c; b++)
                rows_to_lanes(from + b * in_part * LANES,
                              in + row * in_size + b * in_plane + (int64_t)h0 * c.in_w, in_size, in_part,
                              count);
            convolve_band(&band, tile_index, to, from, weight, bias);
            for (int64_t a = 0; a < c.out_c; a++)
                lanes_to_rows(out + row * out_size + a * out_plane + (int64_t)y0 * c.out_w,
                              to + a * out_part * LANES, out_size, out_part, count);
        }
    }
}

const struct df_cpu_kernels DF_CPU_KERNELS = {
    .half = DF_CPU_HALF,
    .lanes = LANES,
    .panel = 2 * LANES,
    .lanes_scratch = lanes_scratch,
    .lanes_conv = lanes_conv,
    .product = DF_CPU_PRODUCT,
    .winograd_scratch = DF_CPU_WINOGRAD_SCRATCH,
    .winograd = DF_CPU_WINOGRAD,
    .strip = DF_CPU_STRIP,
};
