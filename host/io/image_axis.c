/* SPDX-License-Identifier: Apache-2.0 */
#include "io/image_axis.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { GROUP = 8, HALF = 1 << (DF_WEIGHT_BITS - 1), ONE = 1 << DF_WEIGHT_BITS };

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static int64_t clip(double value, int64_t low, int64_t high)
{
    return value <= (double)low ? low : value >= (double)high ? high : (int64_t)value;
}

static dfal_status make_room(struct df_axis *axis, int64_t count, int64_t most)
{
    int64_t had = axis->count_room;
    axis->count = count;
    axis->most = most;
    axis->stride = (most + GROUP - 1) / GROUP * GROUP;
    DF_TRY(df_reserve(&axis->low, &had, count, sizeof *axis->low));
    DF_TRY(df_reserve(&axis->taps, &axis->count_room, count, sizeof *axis->taps));
    DF_TRY(df_reserve(&axis->weight, &axis->weight_room, count * axis->stride, sizeof *axis->weight));
    memset(axis->weight, 0, (size_t)(count * axis->stride) * sizeof *axis->weight);
    return df_reserve(&axis->scratch, &axis->scratch_room, most, sizeof *axis->scratch);
}

/* Let all outputs have as many taps as the widest, weight 0 among them: a loop of constant length is twice as
 * fast. */
static void level(struct df_axis *axis, int64_t in)
{
    for (int64_t i = 0; i < axis->count; i++) {
        int32_t *weight = axis->weight + i * axis->stride;
        const int64_t over = axis->low[i] + axis->most - in;
        if (over > 0) {
            memmove(weight + over, weight, (size_t)axis->taps[i] * sizeof *weight);
            memset(weight, 0, (size_t)over * sizeof *weight);
            axis->low[i] -= (int32_t)over;
        }
        axis->taps[i] = (int32_t)axis->most;
    }
}

dfal_status df_axis_build(struct df_axis *axis, int64_t in, int64_t out, int64_t first, int64_t count,
                          enum df_interpolation interpolation, bool mirrored, bool levelled)
{
    const bool same = in == out;
    const double scale = (double)in / (double)out, wide = scale < 1 ? 1 : scale;
    const double support = same ? 0 : (interpolation == DF_BICUBIC ? 2 : 1) * wide;
    const double narrow = 1 / wide;
    const int64_t most = (int64_t)fmin(ceil(support) * 2 + 1, (double)in);
    int64_t widest = 1;
    DF_TRY(make_room(axis, count, most));
    for (int64_t i = 0; i < count; i++) {
        const double center = ((double)(first + i) + 0.5) * scale;
        int64_t low = first + i, taps = 1;
        double sum = 1;
        axis->scratch[0] = 1;
        if (!same) {
            low = clip(center - support + 0.5, 0, in);
            taps = clip(center + support + 0.5, 0, in) - low;
            sum = 0;
        }
        for (int64_t t = 0; !same && t < taps; t++) {
            const double x = ((double)(t + low) - center + 0.5) * narrow;
            axis->scratch[t] = interpolation == DF_BICUBIC ? cubic(x) : triangle(x);
            sum += axis->scratch[t];
        }
        int32_t *weight = axis->weight + i * axis->stride;
        for (int64_t t = 0; t < taps; t++) {
            const double w = sum != 0 ? axis->scratch[t] / sum : axis->scratch[t];
            weight[mirrored ? taps - 1 - t : t] = (int32_t)(w * ONE + (w < 0 ? -0.5 : 0.5));
        }
        axis->low[i] = (int32_t)(mirrored ? in - low - taps : low);
        axis->taps[i] = (int32_t)taps;
        widest = taps > widest ? taps : widest;
    }
    axis->most = widest;
    if (levelled)
        level(axis, in);
    return DFAL_OK;
}

void df_axis_clear(struct df_axis *axis)
{
    df_free(axis->low);
    df_free(axis->taps);
    df_free(axis->weight);
    df_free(axis->scratch);
    memset(axis, 0, sizeof *axis);
}

/* Eight bytes as eight numbers. Compilers of today do not find this instruction by themselves. */
static inline __m256i load8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

static inline __m256i add_product(__m256i sum, const uint8_t *p, __m256i weights)
{
    return _mm256_add_epi32(sum, _mm256_mullo_epi32(load8(p), weights));
}

/* Sums to bytes: rounded (half is in them already), cut to 0..255 by the saturation of both packs. */
static inline __m128i to_bytes(__m128i a, __m128i b)
{
    const __m128i words =
        _mm_packs_epi32(_mm_srai_epi32(a, DF_WEIGHT_BITS), _mm_srai_epi32(b, DF_WEIGHT_BITS));
    return _mm_packus_epi16(words, words);
}

static inline void store8(uint8_t *p, __m256i sum)
{
    const __m128i bytes = to_bytes(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    _mm_storel_epi64((__m128i *)(void *)p, bytes);
}

void df_axis_down(uint8_t *out, const uint8_t *const *rows, const int32_t *weight, int64_t taps, int64_t n)
{
    const __m256i half = _mm256_set1_epi32(HALF);
    for (int64_t j = 0; j < n; j += 4 * GROUP) {
        __m256i a = half, b = half, c = half, d = half;
        for (int64_t t = 0; t < taps; t++) {
            const uint8_t *p = rows[t] + j;
            const __m256i w = _mm256_set1_epi32(weight[t]);
            a = add_product(a, p, w);
            b = add_product(b, p + GROUP, w);
            c = add_product(c, p + 2 * GROUP, w);
            d = add_product(d, p + 3 * GROUP, w);
        }
        store8(out + j, a);
        store8(out + j + GROUP, b);
        store8(out + j + 2 * GROUP, c);
        store8(out + j + 3 * GROUP, d);
    }
}

/* Two pixels of four lanes a step: the lower half of the vector takes even taps, the upper odd ones. */
static void along_colour(uint8_t *out, const uint8_t *row, const struct df_axis *axis)
{
    const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    const __m256i half = _mm256_setr_epi32(HALF, HALF, HALF, HALF, 0, 0, 0, 0);
    for (int64_t i = 0; i < axis->count; i++) {
        const uint8_t *p = row + 4 * (int64_t)axis->low[i];
        const int32_t *w = axis->weight + i * axis->stride;
        __m256i sum = half;
        for (int64_t t = 0; t < axis->most; t += 2) {
            const __m128i two = _mm_loadl_epi64((const __m128i *)(const void *)(w + t));
            sum =
                add_product(sum, p + 4 * t, _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(two), spread));
        }
        const __m128i pixel = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        const int32_t bytes = _mm_cvtsi128_si32(to_bytes(pixel, pixel));
        memcpy(out + 4 * i, &bytes, sizeof bytes);
    }
}

static void along_grey(uint8_t *out, const uint8_t *row, const struct df_axis *axis)
{
    for (int64_t i = 0; i < axis->count; i++) {
        const uint8_t *p = row + axis->low[i];
        const int32_t *w = axis->weight + i * axis->stride;
        __m256i sum = _mm256_setzero_si256();
        for (int64_t t = 0; t < axis->most; t += GROUP)
            sum = add_product(sum, p + t, _mm256_loadu_si256((const __m256i *)(const void *)(w + t)));
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(1, 0, 3, 2)));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(2, 3, 0, 1)));
        four = _mm_add_epi32(four, _mm_set1_epi32(HALF));
        out[i] = (uint8_t)_mm_cvtsi128_si32(to_bytes(four, four));
    }
}

void df_axis_along(uint8_t *out, const uint8_t *row, const struct df_axis *axis, int32_t lanes)
{
    if (lanes == 4)
        along_colour(out, row, axis);
    else
        along_grey(out, row, axis);
}
