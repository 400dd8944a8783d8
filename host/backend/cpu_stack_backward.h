/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of inputs, a sample at a time: kernel columns and channels in lanes, and only units that are
 * alive have a gradient, a few of a hundred behind max-pools and ReLUs.
 *
 * Order    of an input's gradient: groups of windows line by line, in each the sum over its windows' live
 *          channels, ascending
 * Work     a tile of lines and columns stays in registers while one unit after the other adds to it.
 *          Gradients of the same sample share its lists and what is loaded of the filters */
#ifndef DF_BACKEND_CPU_STACK_BACKWARD_H
#define DF_BACKEND_CPU_STACK_BACKWARD_H

#include "backend/cpu_stack_vector.h"

/* ---- lists of units ------------------------------------------------------------------------------------ */

/* The numbers of codes that are alive, eight codes at a time; count a multiple of eight. */
INLINE int32_t live_units(const df_stack_squeeze squeeze, uint16_t *live, const uint8_t *code, int32_t count)
{
    const __m128i numbers = _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7);
    int32_t found = 0;
    for (int32_t i = 0; i < count; i += 8) {
        const __m128i codes = _mm_loadl_epi64((const __m128i *)(code + i));
        const unsigned mask =
            (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(codes, _mm_set1_epi8(DF_STACK_DEAD))) & 255U;
        const __m128i order = _mm_loadu_si128((const __m128i *)squeeze[mask]);
        _mm_storeu_si128((__m128i *)(live + found),
                         _mm_shuffle_epi8(_mm_add_epi16(numbers, _mm_set1_epi16((short)i)), order));
        found += __builtin_popcount(mask);
    }
    return found;
}

/* Units of one window, `corner` by code, without a branch: which ones are alive is anybody's guess. codes
 * NULL: all of them, and none has a pool. */
INLINE int32_t list_window(const struct df_stack_layer *l, struct df_stack_unit *unit, const uint8_t *code,
                           const int32_t corner[DF_STACK_DEAD + 1], int32_t given)
{
    const int32_t turned_filter = l->turned_filter, outputs = l->outputs;
    int32_t live = 0;
    for (int32_t o = 0, filter = 0; o < outputs; o++, filter += turned_filter) {
        const int32_t own = code ? code[o] : 0;
        unit[live] = (struct df_stack_unit){filter + corner[own], given + o};
        live += own < DF_STACK_DEAD;
    }
    return live;
}

/* codes [windows][window_row], or NULL: every unit is alive. The gradient of window (y, x)
 * stands at given + y given_line + x outputs. */
static void list_units(const struct df_stack_layer *l, const struct df_stack_list *list, const uint8_t *codes,
                       int32_t given, int32_t given_line)
{
    const int32_t step = (l->pool ? 2 : 1) * l->channels, down = l->above * l->turned_row;
    int32_t *begin = list->begin, live = 0;
    for (int32_t y = 0; y < l->out_h; y++)
        for (int32_t x = 0, place = 0; x < l->out_w; x++) {
            if (place == 0)
                *begin++ = live;
            const int32_t upper = l->front - place * step + down, lower = upper - l->turned_row,
                          corner[DF_STACK_DEAD + 1] = {upper, upper - l->channels, lower, lower - l->channels,
                                                       0};
            live += list_window(l, list->unit + live, codes, corner, given + y * given_line + x * l->outputs);
            codes = codes ? codes + l->window_row : NULL;
            place = place + 1 == l->across ? 0 : place + 1;
        }
    *begin = live;
}

/* What of one gradient of a dense layer's outputs is not 0. */
static inline void list_values(const struct df_stack_layer *l, const struct df_stack_list *list,
                               const float *given)
{
    struct df_stack_unit *unit = list->unit;
    int32_t live = 0;
    for (int32_t o = 0; o < l->outputs; o++) {
        unit[live] = (struct df_stack_unit){o * l->turned_filter, o};
        live += given[o] != 0;
    }
    list->begin[0] = 0;
    list->begin[1] = live;
}

/* ---- tiles --------------------------------------------------------------------------------------------- */

/* ROWS gradients of LINES lines of COLUMNS vectors, of which HALF (0 or 1) is half_vec a one, the last. */
INLINE void add_units(const struct df_stack_add *a, int64_t to, int64_t from, const int ROWS, const int LINES,
                      const int COLUMNS, const int HALF)
{
    enum { MOST = 27, MOST_HALVES = 18 };
    const int VECTORS = COLUMNS - HALF, TILE = LINES * VECTORS;
    const struct df_stack_unit *unit = a->unit;
    const float *filters = a->filters + from;
    const int64_t turned_row = a->turned_row, line = a->line;
    const int32_t count = a->count;
    const float *given[DF_STACK_TOGETHER];
    vec sum[MOST];
    half_vec tail[MOST_HALVES];
#pragma GCC unroll 3
    for (int k = 0; k < ROWS; k++) {
        given[k] = a->given[k];
#pragma GCC unroll 27
        for (int i = 0; i < TILE; i++)
            sum[k * TILE + i] = vec_zero();
#pragma GCC unroll 6
        for (int r = 0; HALF && r < LINES; r++)
            tail[k * LINES + r] = half_zero();
    }
    for (int32_t i = 0; i < count; i++) {
        const float *filter = filters + unit[i].filter;
        vec factor[DF_STACK_TOGETHER];
#pragma GCC unroll 3
        for (int k = 0; k < ROWS; k++)
            factor[k] = vec_all(given[k][unit[i].gradient]);
#pragma GCC unroll 6
        for (int r = 0; r < LINES; r++) {
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; v++) {
                const vec w = vec_load(filter + r * turned_row + v * LANES);
#pragma GCC unroll 3
                for (int k = 0; k < ROWS; k++)
                    sum[k * TILE + r * VECTORS + v] = vec_fma(factor[k], w, sum[k * TILE + r * VECTORS + v]);
            }
            if (HALF) {
                const half_vec w = half_load(filter + r * turned_row + VECTORS * LANES);
#pragma GCC unroll 3
                for (int k = 0; k < ROWS; k++)
                    tail[k * LINES + r] = half_fma(half_of(factor[k]), w, tail[k * LINES + r]);
            }
        }
    }
#pragma GCC unroll 3
    for (int k = 0; k < ROWS; k++)
#pragma GCC unroll 6
        for (int r = 0; r < LINES; r++) {
            float *at = a->to[k] + to + r * line;
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; v++)
                vec_store(at + v * LANES, vec_add(vec_load(at + v * LANES), sum[k * TILE + r * VECTORS + v]));
            if (HALF)
                half_store(at + VECTORS * LANES,
                           half_add(half_load(at + VECTORS * LANES), tail[k * LINES + r]));
        }
}

/* What fits into the registers. */
#define OF_ONE(X)                                                                                            \
    X(1, 1, 1)                                                                                               \
    X(1, 1, 2)                                                                                               \
    X(1, 1, 3)                                                                                               \
    X(1, 1, 4)                                                                                               \
    X(1, 1, 8)                                                                                               \
    X(1, 2, 1)                                                                                               \
    X(1, 2, 2)                                                                                               \
    X(1, 2, 3)                                                                                               \
    X(1, 2, 4) X(1, 3, 1) X(1, 3, 2) X(1, 3, 3) X(1, 4, 1) X(1, 4, 2) X(1, 4, 3) X(1, 6, 1) X(1, 6, 2)
#define OF_THREE(X) X(3, 1, 1) X(3, 1, 2) X(3, 1, 3) X(3, 1, 4) X(3, 2, 1) X(3, 2, 2) X(3, 3, 1) X(3, 4, 1)
#ifdef __AVX512F__
#define WIDE_TILES(X) X(1, 6, 3) X(3, 1, 8) X(3, 2, 3) X(3, 2, 4) X(3, 3, 2) X(3, 3, 3) X(3, 4, 2) X(3, 6, 1)
#else
#define WIDE_TILES(X)
#endif
#define TILES(X) OF_ONE(X) OF_THREE(X) WIDE_TILES(X)

#define ADD(rows, lines, columns)                                                                            \
    static void add_##rows##_##lines##_##columns(const struct df_stack_add *a, int64_t to, int64_t from)     \
    {                                                                                                        \
        add_units(a, to, from, rows, lines, columns, 0);                                                     \
    }                                                                                                        \
    static void add_##rows##_##lines##_##columns##_half(const struct df_stack_add *a, int64_t to,            \
                                                        int64_t from)                                        \
    {                                                                                                        \
        add_units(a, to, from, rows, lines, columns, 1);                                                     \
    }
TILES(ADD)
#undef ADD
enum { MOST_LINES = 6, MOST_COLUMNS = 8 };
static df_stack_add_fn *const adds[DF_STACK_TOGETHER + 1][MOST_LINES + 1][MOST_COLUMNS + 1][2] = {
#define ENTRY(rows, lines, columns)                                                                          \
    [rows][lines][columns] = {add_##rows##_##lines##_##columns, add_##rows##_##lines##_##columns##_half},
    TILES(ENTRY)
#undef ENTRY
};

/* Tiles of at most so many columns; *cost gets what they take, in vectors: sums that are too few to hide the
 * latency of a multiply-add cost as much as those that do, and a tile something by itself. */
INLINE int32_t cut_tiles(const struct df_stack_layer *l, int32_t rows, int32_t most,
                         struct df_stack_tile *tiles, int32_t *cost)
{
    enum { LATENCY = 8, BY_ITSELF = 3 };
    const int32_t lines = l->kernel_h + l->above, halves = (l->reach + LANES / 2 - 1) / (LANES / 2);
    int32_t count = 0;
    *cost = 0;
    for (int32_t at = 0, width; at < halves; at += width) {
        const int32_t left = (halves - at + 1) / 2;
        int32_t columns = left < most ? left : most;
        while (!adds[rows][1][columns][0])
            columns--;
        width = 2 * columns < halves - at ? 2 * columns : halves - at;
        for (int32_t r = 0, high; r < lines; r += high) {
            for (high = lines - r < MOST_LINES ? lines - r : MOST_LINES; !adds[rows][high][columns][0];)
                high--;
            if (tiles)
                tiles[count] = (struct df_stack_tile){adds[rows][high][columns][width % 2],
                                                      (int64_t)r * l->line + at * (LANES / 2),
                                                      (int64_t)r * l->turned_row + at * (LANES / 2)};
            const int32_t sums = rows * high * columns;
            *cost += (sums > LATENCY ? sums : LATENCY) + BY_ITSELF;
            count++;
        }
    }
    return count;
}

static int32_t stack_tiles(const struct df_stack_layer *l, int32_t rows, struct df_stack_tile *tiles)
{
    int32_t best = 1, least = INT32_MAX;
    for (int32_t most = 1; most <= MOST_COLUMNS; most++) {
        int32_t cost;
        if (adds[rows][1][most][0] && (cut_tiles(l, rows, most, NULL, &cost), cost < least)) {
            best = most;
            least = cost;
        }
    }
    return cut_tiles(l, rows, best, tiles, &least);
}

/* ---- a layer ------------------------------------------------------------------------------------------- */

/* `rows` gradients of the layer's inputs, which are zeros before, given those of its outputs. */
static void back_inputs(const struct df_stack_layer *l, const struct df_stack_list *list,
                        const struct df_stack_tiles *tiles, float *const *to, const float *const *given,
                        int32_t rows)
{
    struct df_stack_add a = {
        .filters = l->conv ? l->turned : l->weight, .line = l->line, .turned_row = l->turned_row};
    const struct df_stack_tile *tile = tiles->tile;
    const struct df_stack_unit *unit = list->unit; /* what is written below is none of the fields */
    const int32_t *begin = list->begin, step = l->pool ? 2 : 1, count = tiles->count, down = step * l->line,
                  right = step * l->across * l->channels, groups = (l->out_w + l->across - 1) / l->across,
                  lines = l->out_h;
    for (int32_t k = 0; k < rows; k++) {
        a.to[k] = to[k];
        a.given[k] = given[k];
    }
    for (int32_t y = 0; y < lines; y++)
        for (int32_t g = 0; g < groups; g++, begin++) {
            const int64_t at = (int64_t)y * down + (int64_t)g * right;
            a.unit = unit + begin[0];
            a.count = begin[1] - begin[0];
            for (int32_t t = 0; a.count > 0 && t < count; t++)
                tile[t].add(&a, at + tile[t].to, tile[t].from);
        }
}

#endif
