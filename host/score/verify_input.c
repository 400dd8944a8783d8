/* SPDX-License-Identifier: Apache-2.0 */
#include "score/verify_input.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/number.h"

/* Sums for the line theirs = slope * ours + shift of a pair of channels. */
enum { N, X, Y, XX, XY, YY, SUMS };
enum { CHANNEL_LIMIT = 16 }; /* beyond, channels are only held against themselves */

static double *sums_of(const struct df_input_check *check, int64_t ours, int64_t theirs)
{
    return check->sums + (ours * check->shape.c + theirs) * SUMS;
}

static bool pairs(const struct df_input_check *check)
{
    return check->shape.c <= CHANNEL_LIMIT;
}

dfal_status df_input_check_open(struct df_input_check *check, struct df_shape shape)
{
    *check = (struct df_input_check){.shape = shape};
    return pairs(check) ? df_alloc(&check->sums, shape.c * shape.c * SUMS, sizeof *check->sums) : DFAL_OK;
}

void df_input_check_close(struct df_input_check *check)
{
    df_free(check->sums);
    check->sums = NULL;
}

static void add_line(double *sums, const float *x, const float *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const double a = (double)x[i], b = (double)y[i];
        sums[X] += a;
        sums[Y] += b;
        sums[XX] += a * a;
        sums[XY] += a * b;
        sums[YY] += b * b;
    }
    sums[N] += (double)count;
}

void df_largest_difference_add(struct df_largest_difference *d, const float *ours, const double *wide,
                               const float *narrow, int64_t begin, int64_t rows, int64_t size)
{
    for (int64_t i = 0; i < rows * size; i++) {
        const double expected = df_reference_value(wide, narrow, i);
        double difference = fabs((double)ours[i] - expected);
        if (isnan(difference))
            difference = INFINITY;
        if (fabs(expected) > d->magnitude)
            d->magnitude = fabs(expected);
        if (difference > d->largest) {
            d->largest = difference;
            d->sample = begin + i / size;
            d->element = i % size;
            d->ours = (double)ours[i];
            d->theirs = expected;
        }
    }
}

double df_largest_difference_relative(const struct df_largest_difference *d)
{
    if (d->largest == 0)
        return 0;
    return d->magnitude > 0 ? d->largest / d->magnitude : (double)INFINITY;
}

void df_input_check_add(struct df_input_check *check, const float *ours, const float *theirs, int64_t begin,
                        int64_t rows)
{
    const int64_t plane = check->shape.h * check->shape.w, size = df_shape_size(check->shape);
    check->samples += rows;
    df_largest_difference_add(&check->of, ours, NULL, theirs, begin, rows, size);
    for (int64_t row = 0; pairs(check) && row < rows; row++)
        for (int64_t a = 0; a < check->shape.c; a++)
            for (int64_t b = 0; b < check->shape.c; b++)
                add_line(sums_of(check, a, b), ours + row * size + a * plane, theirs + row * size + b * plane,
                         plane);
}

struct line {
    double slope, shift, unexplained; /* the last as a share of the variance */
};

static struct line fit(const double *s)
{
    const double xx = s[XX] - s[X] * s[X] / s[N], yy = s[YY] - s[Y] * s[Y] / s[N],
                 xy = s[XY] - s[X] * s[Y] / s[N];
    if (!(xx > 0 && yy > 0))
        return (struct line){1, 0, 1};
    const double slope = xy / xx;
    return (struct line){slope, (s[Y] - slope * s[X]) / s[N], 1 - xy * xy / (xx * yy)};
}

static const double explained = 1e-4; /* a line with less variance left is the normalisation */

/* Does the line move values of this size by more than the tolerance? */
static bool moves(const struct df_input_check *check, const struct line *line, double tolerance)
{
    const double moved = fabs(line->slope - 1) * check->of.magnitude + fabs(line->shift);
    return moved > tolerance * check->of.magnitude;
}

/* Why: another normalisation, single values, channels in another order, or none of these. */
static void explain(const struct df_input_check *check, char *text, size_t size, double tolerance)
{
    const int64_t channels = check->shape.c, at = check->of.element / (check->shape.h * check->shape.w);
    text[0] = 0;
    if (!pairs(check))
        return;
    const struct line own = fit(sums_of(check, at, at));
    if (own.unexplained < explained && !moves(check, &own, tolerance)) {
        snprintf(text, size, "; single values differ: scale and offset are that framework's");
        return;
    }
    if (own.unexplained < explained) {
        df_print(text, size,
                 "; in channel %" PRId64
                 " theirs = %.6g * ours %+.6g: scale and offset of the pool are not the "
                 "normalisation of that framework",
                 at, own.slope, own.shift);
        return;
    }
    for (int64_t other = 0; other < channels; other++)
        if (other != at && fit(sums_of(check, at, other)).unexplained < explained) {
            snprintf(text, size,
                     "; channel %" PRId64 " here is channel %" PRId64
                     " there: the channels are in another order",
                     at, other);
            return;
        }
    snprintf(text, size, "; the samples are others, or resized in another way");
}

dfal_status df_input_check_fail(const struct df_input_check *check, const char *pool, const char *reference,
                                double tolerance)
{
    char why[256];
    const int64_t plane = check->shape.h * check->shape.w;
    explain(check, why, sizeof why, tolerance);
    DF_FAIL(DFAL_E_DATA,
            "%s: the network's inputs differ from those of %s by up to %.3g (tolerance %g of their largest "
            "magnitude), "
            "at sample %" PRId64 ", channel %" PRId64 ", row %" PRId64 ", column %" PRId64
            ": %.6g here, %.6g there%s",
            pool, reference, check->of.largest, tolerance, check->of.sample, check->of.element / plane,
            check->of.element % plane / check->shape.w, check->of.element % check->shape.w, check->of.ours,
            check->of.theirs, why);
}
