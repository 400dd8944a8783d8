/* SPDX-License-Identifier: Apache-2.0 */
#include "io/image_axis.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

typedef int32_t vec8 __attribute__((vector_size(32)));
typedef int32_t vec4 __attribute__((vector_size(16)));
typedef uint8_t bytes8 __attribute__((vector_size(8)));
typedef uint8_t bytes4 __attribute__((vector_size(4)));

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

static dfal_status grow(void *pointer, int64_t *room, int64_t count, size_t size)
{
    if (count <= *room)
        return DFAL_OK;
    DF_TRY(df_resize(pointer, *room, count, size));
    *room = count;
    return DFAL_OK;
}

static dfal_status make_room(struct df_axis *axis, int64_t count, int64_t most)
{
    int64_t had = axis->count_room;
    axis->count = count;
    axis->most = most;
    axis->stride = (most + GROUP - 1) / GROUP * GROUP;
    DF_TRY(grow(&axis->low, &had, count, sizeof *axis->low));
    DF_TRY(grow(&axis->taps, &axis->count_room, count, sizeof *axis->taps));
    DF_TRY(grow(&axis->weight, &axis->weight_room, count * axis->stride, sizeof *axis->weight));
    memset(axis->weight, 0, (size_t)(count * axis->stride) * sizeof *axis->weight);
    return grow(&axis->scratch, &axis->scratch_room, most, sizeof *axis->scratch);
}

dfal_status df_axis_build(struct df_axis *axis, int64_t in, int64_t out, int64_t first, int64_t count,
                          enum df_interpolation interpolation, bool mirrored)
{
    const bool same = in == out;
    const double scale = (double)in / (double)out, wide = scale < 1 ? 1 : scale;
    const double support = same ? 0 : (interpolation == DF_BICUBIC ? 2 : 1) * wide;
    const double narrow = 1 / wide;
    const int64_t most = (int64_t)fmin(ceil(support) * 2 + 1, (double)in);
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
    }
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

static vec8 load8(const uint8_t *p)
{
    bytes8 b;
    memcpy(&b, p, sizeof b);
    return __builtin_convertvector(b, vec8);
}

/* A sum to a byte: rounded (half is in the sum already), cut to 0..255. */
static inline uint8_t to_byte(int32_t sum)
{
    sum >>= DF_WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void store8(uint8_t *p, vec8 sum)
{
    sum >>= DF_WEIGHT_BITS;
    sum &= ~(sum >> 31);
    sum = (sum | ((255 - sum) >> 31)) & 255;
    const bytes8 b = __builtin_convertvector(sum, bytes8);
    memcpy(p, &b, sizeof b);
}

void df_axis_down(uint8_t *out, const uint8_t *const *rows, const int32_t *weight, int64_t taps, int64_t n)
{
    const vec8 half = {HALF, HALF, HALF, HALF, HALF, HALF, HALF, HALF};
    for (int64_t j = 0; j < n; j += 4 * GROUP) {
        vec8 a = half, b = half, c = half, d = half;
        for (int64_t t = 0; t < taps; t++) {
            const uint8_t *p = rows[t] + j;
            const int32_t w = weight[t];
            a += load8(p) * w;
            b += load8(p + GROUP) * w;
            c += load8(p + 2 * GROUP) * w;
            d += load8(p + 3 * GROUP) * w;
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
    for (int64_t i = 0; i < axis->count; i++) {
        const uint8_t *p = row + 4 * (int64_t)axis->low[i];
        const int32_t *w = axis->weight + i * axis->stride;
        const int64_t taps = axis->taps[i];
        vec8 sum = {HALF, HALF, HALF, HALF};
        for (int64_t t = 0; t < taps; t += 2) {
            const vec8 both = {w[t], w[t], w[t], w[t], w[t + 1], w[t + 1], w[t + 1], w[t + 1]};
            sum += load8(p + 4 * t) * both;
        }
        vec4 low, high;
        memcpy(&low, &sum, sizeof low);
        memcpy(&high, (const char *)&sum + sizeof low, sizeof high);
        low += high;
        low >>= DF_WEIGHT_BITS;
        low &= ~(low >> 31);
        low = (low | ((255 - low) >> 31)) & 255;
        const bytes4 pixel = __builtin_convertvector(low, bytes4);
        memcpy(out + 4 * i, &pixel, sizeof pixel);
    }
}

static void along_grey(uint8_t *out, const uint8_t *row, const struct df_axis *axis)
{
    for (int64_t i = 0; i < axis->count; i++) {
        const uint8_t *p = row + axis->low[i];
        const int32_t *w = axis->weight + i * axis->stride;
        vec8 sum = {HALF};
        for (int64_t t = 0; t < axis->taps[i]; t += GROUP) {
            vec8 weights;
            memcpy(&weights, w + t, sizeof weights);
            sum += load8(p + t) * weights;
        }
        out[i] = to_byte(((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7])));
    }
}

void df_axis_along(uint8_t *out, const uint8_t *row, const struct df_axis *axis, int32_t lanes)
{
    if (lanes == 4)
        along_colour(out, row, axis);
    else
        along_grey(out, row, axis);
}
