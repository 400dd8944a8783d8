/* SPDX-License-Identifier: Apache-2.0 */
/* A convolution of plain rows by minimal filtering (cpu_winograd.h), for AVX2, and for AVX-512 by
 * cpu_winograd_conv_avx512.c. An input gradient is the same with the kernel turned by 180 degrees and pads of
 * kernel - 1 - pad.
 *
 * Work     LANES rows of a band of lines are transposed to [channel][y][x][lane], and the result back */
#include "backend/cpu.h"
#include "backend/cpu_winograd_tiles.h"

#ifndef DF_CPU_WINOGRAD
#define DF_CPU_WINOGRAD         df_cpu_winograd_avx2
#define DF_CPU_WINOGRAD_SCRATCH df_cpu_winograd_scratch_avx2
#endif

/* Floats of a band's inputs and outputs: 2 MiB, unless one line of tiles has more. */
enum { BAND_FLOATS = 1 << 19 };
/* Vectors of rows go together where their planes have few tiles: weights are read for at least so many. */
enum { TILES_TOGETHER = 12 };

/* Some lines of tiles of some vectors of rows, and the lines of inputs that they read. */
struct band {
    int32_t first, lines;
    int32_t in_first, in_lines;
    int32_t vectors;
    int64_t in_part,
        out_part; /* floats of a vector's planes: [in_c][in_lines][in_w], [out_c][2 lines][out_w] */
};

static int32_t tiles_down(const struct df_lanes_conv *c)
{
    return (c->out_h + 1) / 2;
}

static int32_t tiles_across(const struct df_lanes_conv *c)
{
    return (c->out_w + 1) / 2;
}

static int64_t line_floats(const struct df_lanes_conv *c)
{
    return 2 * LANES * ((int64_t)c->in_c * c->in_w + (int64_t)c->out_c * c->out_w);
}

static int32_t band_lines(const struct df_lanes_conv *c)
{
    const int64_t fit = BAND_FLOATS / line_floats(c);
    return (int32_t)(fit < 1 ? 1 : fit < tiles_down(c) ? fit : tiles_down(c));
}

static int32_t most_vectors(const struct df_lanes_conv *c)
{
    const int32_t tiles = tiles_down(c) * tiles_across(c);
    return tiles < TILES_TOGETHER ? (TILES_TOGETHER + tiles - 1) / tiles : 1;
}

static struct band band_of(const struct df_lanes_conv *c, int32_t first, int32_t vectors)
{
    const int32_t left = tiles_down(c) - first, most = band_lines(c), lines = left < most ? left : most;
    int32_t begin = 2 * first - c->pad_top, end = begin + 2 * lines + 2;
    begin = begin < 0 ? 0 : begin < c->in_h ? begin : c->in_h;
    end = end < begin ? begin : end < c->in_h ? end : c->in_h;
    return (struct band){.first = first,
                         .lines = lines,
                         .in_first = begin,
                         .in_lines = end - begin,
                         .vectors = vectors,
                         .in_part = (int64_t)c->in_c * (end - begin) * c->in_w * LANES,
                         .out_part = (int64_t)c->out_c * 2 * lines * c->out_w * LANES};
}

/* Two lines of inputs more than of outputs. */
static int64_t band_floats(const struct df_lanes_conv *c)
{
    return most_vectors(c) * (band_lines(c) + 1) * line_floats(c);
}

int64_t DF_CPU_WINOGRAD_SCRATCH(const struct df_lanes_conv *c)
{
    const struct df_winograd w = df_winograd_make(c->in_c, c->out_c, LANES);
    return band_floats(c) + df_winograd_space(&w, LANES);
}

/* A tile of a band: of which vector of rows, and its first output. */
struct tile {
    int32_t vector, y, x;
};

static struct tile tile_of(const struct df_lanes_conv *c, const struct band *band, int32_t number)
{
    const int32_t across = tiles_across(c), each = band->lines * across, own = number % each;
    return (struct tile){number / each, 2 * (own / across), 2 * (own % across)};
}

static void tile_inputs(const struct df_lanes_conv *c, const struct band *band, const float *from[16],
                        const float *in, struct tile tile)
{
    const int32_t y = tile.y + 2 * band->first - c->pad_top - band->in_first, x = tile.x - c->pad_left;
    for (int q = 0; q < 16; q++) {
        const int32_t line = y + q / 4, at = x + q % 4;
        const bool inside = line >= 0 && line < band->in_lines && at >= 0 && at < c->in_w;
        from[q] = inside ? in + tile.vector * band->in_part + ((int64_t)line * c->in_w + at) * LANES : NULL;
    }
}

/* The outputs of tile `number` of those that went together. */
static void tile_outputs(const struct df_lanes_conv *c, const struct df_winograd *w, const struct band *band,
                         float *out, const float *sums, int32_t number, const float *bias, struct tile tile)
{
    const int64_t plane = (int64_t)2 * band->lines * c->out_w * LANES;
    out += tile.vector * band->out_part;
    for (int32_t o = 0; o < c->out_c; o++, out += plane) {
        vec value[4];
        winograd_give(w, value, sums, number, o, bias ? bias[o] : 0);
        for (int q = 0; q < 4; q++)
            if (tile.x + q % 2 < c->out_w)
                vec_store(out + ((int64_t)(tile.y + q / 2) * c->out_w + tile.x + q % 2) * LANES, value[q]);
    }
}

/* in [vectors][in_c][in_lines][in_w][LANES], out [vectors][out_c][2 lines][out_w][LANES] */
static void run_band(const struct df_lanes_conv *c, const struct df_winograd *w, const struct band *band,
                     float *out, const float *in, const float *weight, const float *bias, float *space)
{
    const int32_t tiles = band->vectors * band->lines * tiles_across(c);
    const int64_t plane = (int64_t)band->in_lines * c->in_w * LANES;
    for (int32_t first = 0, count; first < tiles; first += count) {
        count = tiles - first < w->together ? tiles - first : w->together;
        for (int32_t t = 0; t < count; t++) {
            const float *from[16];
            tile_inputs(c, band, from, in, tile_of(c, band, first + t));
            winograd_take(w, space, t, from, plane);
        }
        winograd_multiply(w, space, weight, count);
        for (int32_t t = 0; t < count; t++)
            tile_outputs(c, w, band, out, winograd_sums(w, space), t, bias, tile_of(c, band, first + t));
    }
}

static void take_rows(const struct df_lanes_conv *c, const struct band *band, float *to, const float *in,
                      int64_t rows)
{
    const int64_t plane = (int64_t)c->in_h * c->in_w, own = (int64_t)band->in_lines * c->in_w;
    for (int64_t row = 0; row < rows; row += LANES)
        for (int64_t b = 0; b < c->in_c; b++, to += own * LANES)
            rows_to_lanes(to, in + (row * c->in_c + b) * plane + (int64_t)band->in_first * c->in_w,
                          c->in_c * plane, own, rows - row < LANES ? rows - row : LANES);
}

static void give_rows(const struct df_lanes_conv *c, const struct band *band, float *out, const float *from,
                      int64_t rows)
{
    const int64_t plane = (int64_t)c->out_h * c->out_w, above = 2 * (int64_t)band->first,
                  lines = 2 * (int64_t)band->lines, left = c->out_h - above,
                  own = (left < lines ? left : lines) * c->out_w;
    for (int64_t row = 0; row < rows; row += LANES)
        for (int64_t a = 0; a < c->out_c; a++, from += lines * c->out_w * LANES)
            lanes_to_rows(out + (row * c->out_c + a) * plane + above * c->out_w, from, c->out_c * plane, own,
                          rows - row < LANES ? rows - row : LANES);
}

void DF_CPU_WINOGRAD(const struct df_lanes_conv *conv, float *out, const float *in, const float *weight,
                     const float *bias, int64_t rows, float *scratch)
{
    const struct df_lanes_conv c = *conv;
    const struct df_winograd w = df_winograd_make(c.in_c, c.out_c, LANES);
    const int64_t in_size = (int64_t)c.in_c * c.in_h * c.in_w,
                  out_size = (int64_t)c.out_c * c.out_h * c.out_w, most = (int64_t)most_vectors(&c) * LANES;
    float *space = scratch + band_floats(&c);
    for (int64_t row = 0, count; row < rows; row += count) {
        struct band band;
        count = rows - row < most ? rows - row : most;
        for (int32_t first = 0; first < tiles_down(&c); first += band.lines) {
            band = band_of(&c, first, (int32_t)((count + LANES - 1) / LANES));
            float *to = scratch + band.vectors * band.in_part;
            take_rows(&c, &band, scratch, in + row * in_size, count);
            run_band(&c, &w, &band, to, scratch, weight, bias, space);
            give_rows(&c, &band, out + row * out_size, to, count);
        }
    }
}
