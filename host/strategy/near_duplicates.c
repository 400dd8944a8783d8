/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the chosen samples are nearly the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/compare.h"
#include "base/memory.h"
#include "strategy/row_distance.h"
#include "strategy/row_loop.h"
#include "strategy/selection.h"

enum { COMPARED = 2000 };
/* Of the median distance: what a JPEG copy stays under and another picture does not. */
#define NEARLY        0.1
#define COMPARED_WORK 8e9 /* differences: a few seconds */

int64_t df_near_duplicates_limit(int64_t size)
{
    double n = sqrt(2 * COMPARED_WORK / (double)(size > 0 ? size : 1));
    return n < COMPARED ? (int64_t)n : COMPARED;
}

/* Of pair (i, j), i < j, the place in a list of all pairs. */
static int64_t pair_place(int64_t i, int64_t j)
{
    return j * (j - 1) / 2 + i;
}

struct samples {
    const float *x;
    int64_t size;
    double *distance; /* [pairs] */
};

/* Distances of a sample to all before it. */
static int64_t meet_earlier(void *user, int64_t j)
{
    const struct samples *samples = user;
    const float *x = samples->x;
    const int64_t size = samples->size;
    for (int64_t i = 0; i < j; i++)
        samples->distance[pair_place(i, j)] = sqrt(df_square_distance(x + i * size, x + j * size, size));
    return j;
}

/* The first sample that the later one is nearly the same as, -1: none. */
static int64_t first_near(const double *distance, int64_t later, double limit)
{
    for (int64_t i = 0; i < later; i++) {
        const double d = distance[pair_place(i, later)];
        if (d < limit || d == 0)
            return i;
    }
    return -1;
}

dfal_status df_near_duplicates(struct dfal_context *context, const float *x, int64_t count, int64_t size,
                               int64_t *pairs, int64_t *pair_count)
{
    const int64_t most = df_near_duplicates_limit(size), n = count < most ? count : most,
                  total = n * (n - 1) / 2;
    struct samples samples = {.x = x, .size = size};
    struct df_row_loop loop = {0};
    double *sorted = NULL;
    dfal_status status;
    *pair_count = 0;
    if (n < 2)
        return DFAL_OK;
    DF_TRY_TO(done, status, df_alloc(&samples.distance, total, sizeof *samples.distance));
    DF_TRY_TO(done, status, df_alloc(&sorted, total, sizeof *sorted));
    DF_TRY_TO(done, status, df_row_loop_begin(&loop, context, total));
    DF_TRY_TO(done, status, df_row_loop_run(&loop, meet_earlier, &samples, n));
    memcpy(sorted, samples.distance, (size_t)total * sizeof *sorted);
    qsort(sorted, (size_t)total, sizeof *sorted, df_compare_reals);
    const double limit = NEARLY * sorted[total / 2];
    for (int64_t later = 1; later < n; later++) {
        const int64_t first = first_near(samples.distance, later, limit);
        if (first >= 0) {
            pairs[2 * *pair_count] = first;
            pairs[2 * *pair_count + 1] = later;
            ++*pair_count;
        }
    }
done:
    df_row_loop_end(&loop);
    df_free(samples.distance);
    df_free(sorted);
    return status;
}
