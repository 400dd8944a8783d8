/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of a wide layer's inputs, pixel by pixel: the live units that reach a pixel become one list,
 * whose every entry is a row of weights, all channels of one tap of a filter. Where a layer has few channels
 * the other way round is faster (cpu_stack_backward.h): there a unit adds to all pixels that it was made of.
 *
 * Order    of an input's gradient: the taps that reach it, line by line, of each the live channels, ascending
 * Work     a slice of the channels after the other, so that what is read of the weights stays in the
 *          second-level cache for all pixels; a pixel's sums of some cotangents stay in registers along its
 *          list. The cotangents of a live unit lie side by side */
#ifndef DF_BACKEND_CPU_STACK_GATHER_H
#define DF_BACKEND_CPU_STACK_GATHER_H

#include "backend/cpu_stack_vector.h"
#include "backend/cpu_stack_wide.h"

/* Cotangents in registers together. */
enum { GATHER_ROWS = LANES == 16 ? 6 : 3 };

/* ---- lists --------------------------------------------------------------------------------------------- */

/* Live units by the place of the convolution where they stand. Codes and gradients as list_units has them. */
static void list_places(const struct df_stack_layer *l, struct df_stack_gather *g, const uint8_t *codes,
                        int32_t given, int32_t given_line)
{
    const int32_t step = l->pool ? 2 : 1, across = df_stack_places_across(l), outputs = l->outputs,
                  taps = l->kernel_h * l->kernel_w, nowhere = df_stack_places(l) - 1;
    int32_t all = 0;
    memset(g->count, 0, (size_t)df_stack_places(l) * sizeof *g->count);
    for (int32_t y = 0; y < l->out_h; y++)
        for (int32_t x = 0; x < l->out_w; x++) {
            /* The dead are written to the last place, which nobody reads, so that there is no branch. */
            const int32_t place = step * (y * across + x), from = given + y * given_line + x * outputs,
                          corner[DF_STACK_DEAD + 1] = {place, place + 1, place + across, place + across + 1,
                                                       nowhere};
            int32_t live[DF_STACK_DEAD + 1] = {0};
            for (int32_t o = 0; o < outputs; o++) {
                const int32_t code = codes ? codes[o] : 0;
                g->unit[(int64_t)corner[code] * outputs + live[code]++] =
                    (struct df_stack_unit){o * taps, all * DF_STACK_PASS};
                g->source[all] = from + o;
                all += code < DF_STACK_DEAD;
            }
            for (int code = 0; code < (l->pool ? DF_STACK_DEAD : 1); code++)
                g->count[corner[code]] = live[code];
            codes = codes ? codes + l->window_row : NULL;
        }
    g->live = all;
}

/* The units of one place, seen through one tap; what is behind the last one is written over. */
INLINE void copy_units(struct df_stack_unit *to, const struct df_stack_unit *from, int32_t count, int32_t tap)
{
    enum { TOGETHER = sizeof(__m256i) / sizeof *to };
    const __m256i shift = _mm256_set1_epi64x(tap);
    for (int32_t i = 0; i < count; i += TOGETHER)
        _mm256_storeu_si256((__m256i *)(to + i),
                            _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)(from + i)), shift));
}

/* What reaches pixel (y, x) of the padded inputs. */
static int32_t list_pixel(const struct df_stack_layer *l, const struct df_stack_gather *g,
                          struct df_stack_unit *to, int32_t y, int32_t x)
{
    const int32_t across = df_stack_places_across(l), down = l->height - l->kernel_h + 1;
    int32_t count = 0, tap = 0;
    for (int32_t ky = 0; ky < l->kernel_h; ky++)
        for (int32_t kx = 0; kx < l->kernel_w; kx++, tap++) {
            const int32_t place = (y - ky) * across + x - kx;
            if (y < ky || x < kx || y - ky >= down || x - kx >= across)
                continue;
            copy_units(to + count, g->unit + (int64_t)place * l->outputs, g->count[place], tap);
            count += g->count[place];
        }
    return count;
}

/* Some lines of pixels from `first` on, one behind the other. */
static void list_band(const struct df_stack_layer *l, const struct df_stack_gather *g, int32_t first,
                      int32_t lines)
{
    int32_t *begin = g->begin;
    *begin = 0;
    for (int32_t y = first; y < first + lines; y++)
        for (int32_t x = 0; x < l->in_w; x++, begin++)
            begin[1] = begin[0] + list_pixel(l, g, g->pixel + begin[0], l->pad_top + y, l->pad_left + x);
}

/* ---- sums ---------------------------------------------------------------------------------------------- */

/* Rows of gradients, `stride` apart. */
struct gather_rows {
    float *to;
    const float *given;
    int64_t to_stride, given_stride;
};

/* A pixel's list: to[ROWS][stride] += the sum over it of value[unit][row] * weight[filter][column]. */
typedef void gather_fn(float *to, int64_t stride, const struct df_stack_unit *unit, int32_t count,
                       const float *weight, const float *value);

INLINE void gather(float *to, int64_t stride, const struct df_stack_unit *unit, int32_t count,
                   const float *weight, const float *value, const int ROWS, const int COLUMNS,
                   const int FETCH)
{
    vec sum[GATHER_ROWS][DF_STACK_COLUMNS];
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int c = 0; c < COLUMNS; c++)
            sum[r][c] = vec_zero();
    for (int32_t i = 0; i < count; i++) {
        const float *w = weight + (int64_t)unit[i].filter * (COLUMNS * LANES), *v = value + unit[i].gradient;
        vec factor[GATHER_ROWS];
        if (FETCH) {
            const float *ahead = weight + (int64_t)unit[i + DF_STACK_AHEAD].filter * (COLUMNS * LANES);
#pragma GCC unroll 4
            for (int c = 0; c < COLUMNS * LANES; c += 16)
                _mm_prefetch((const char *)(ahead + c), _MM_HINT_T0);
        }
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++)
            factor[r] = vec_all(v[r]);
#pragma GCC unroll 4
        for (int c = 0; c < COLUMNS; c++) {
            const vec own = vec_load(w + c * LANES);
#pragma GCC unroll 6
            for (int r = 0; r < ROWS; r++)
                sum[r][c] = vec_fma(factor[r], own, sum[r][c]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int c = 0; c < COLUMNS; c++) {
            float *at = to + r * stride + c * LANES;
            vec_store(at, vec_add(vec_load(at), sum[r][c]));
        }
}

#define COLUMNS_OF(X, rows) X(rows, 1) X(rows, 2) X(rows, 3) X(rows, 4)
#ifdef __AVX512F__
#define MORE_ROWS(X) COLUMNS_OF(X, 4) COLUMNS_OF(X, 5) COLUMNS_OF(X, 6)
#else
#define MORE_ROWS(X)
#endif
#define GATHERS(X) COLUMNS_OF(X, 1) COLUMNS_OF(X, 2) COLUMNS_OF(X, 3) MORE_ROWS(X)
#define GATHER(rows, columns)                                                                                \
    static void gather_##rows##_##columns(float *to, int64_t stride, const struct df_stack_unit *unit,       \
                                          int32_t count, const float *weight, const float *value)            \
    {                                                                                                        \
        gather(to, stride, unit, count, weight, value, rows, columns, 0);                                    \
    }                                                                                                        \
    static void gather_##rows##_##columns##_fetch(float *to, int64_t stride,                                 \
                                                  const struct df_stack_unit *unit, int32_t count,           \
                                                  const float *weight, const float *value)                   \
    {                                                                                                        \
        gather(to, stride, unit, count, weight, value, rows, columns, 1);                                    \
    }
GATHERS(GATHER)
#undef GATHER
static gather_fn *const gathers[GATHER_ROWS + 1][DF_STACK_COLUMNS + 1][2] = {
#define ENTRY(rows, columns) [rows][columns] = {gather_##rows##_##columns, gather_##rows##_##columns##_fetch},
    GATHERS(ENTRY)
#undef ENTRY
};
#undef GATHERS
#undef MORE_ROWS
#undef COLUMNS_OF

/* One slice of the channels, of the pixels of a band whose first stands at `to`. */
static void gather_slice(const struct df_stack_layer *l, const struct df_stack_gather *g, float *to,
                         int64_t stride, const float *weight, int32_t lines, int64_t rows, int32_t columns)
{
    const int32_t *begin = g->begin;
    for (int32_t y = 0; y < lines; y++)
        for (int32_t x = 0; x < l->in_w; x++, begin++) {
            float *at = to + (int64_t)y * l->line + (int64_t)x * l->channels;
            for (int64_t r = 0, group; r < rows; r += group) {
                group = rows - r < GATHER_ROWS ? rows - r : GATHER_ROWS;
                gathers[group][columns][r == 0](at + r * stride, stride, g->pixel + begin[0],
                                                begin[1] - begin[0], weight, g->value + r);
            }
        }
}

/* `count` gradients (at most DF_STACK_PASS) of the layer's inputs, which are zeros before. weight: packed by
 * df_stack_pack_slices. */
static void back_gather(const struct df_stack_layer *l, const struct df_stack_gather *g, const float *weight,
                        const struct gather_rows *rows, int64_t count)
{
    const int32_t vectors = (l->channels + LANES - 1) / LANES;
    const int64_t filters = (int64_t)l->outputs * l->kernel_h * l->kernel_w;
    for (int32_t i = 0; i < g->live; i++)
        for (int64_t r = 0; r < count; r++)
            g->value[(int64_t)i * DF_STACK_PASS + r] = rows->given[r * rows->given_stride + g->source[i]];
    for (int32_t y = 0, lines; y < l->in_h; y += lines) {
        float *to = rows->to + (int64_t)(l->pad_top + y) * l->line + (int64_t)l->pad_left * l->channels;
        lines = l->in_h - y < l->band ? l->in_h - y : l->band;
        list_band(l, g, y, lines);
        for (int32_t v = 0, columns; v < vectors; v += columns) {
            columns = vectors - v < DF_STACK_COLUMNS ? vectors - v : DF_STACK_COLUMNS;
            gather_slice(l, g, to + v * LANES, rows->to_stride, weight + filters * v * LANES, lines, count,
                         columns);
        }
    }
}

#endif
