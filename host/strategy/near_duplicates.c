/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the chosen samples are nearly the same. */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "strategy/row_distance.h"
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

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

dfal_status df_near_duplicates(const float *x, int64_t count, int64_t size, int64_t *pairs,
                               int64_t *pair_count)
{
    int64_t limit_n = df_near_duplicates_limit(size), n = count < limit_n ? count : limit_n,
            total = n * (n - 1) / 2, at = 0;
    double *all = NULL, *sorted = NULL;
    dfal_status status;
    *pair_count = 0;
    if (n < 2)
        return DFAL_OK;
    DF_TRY_TO(done, status, df_alloc(&all, total, sizeof *all));
    DF_TRY_TO(done, status, df_alloc(&sorted, total, sizeof *sorted));
    for (int64_t j = 1; j < n; j++)
        for (int64_t i = 0; i < j; i++, at++)
            sorted[at] = all[at] = sqrt(df_square_distance(x + i * size, x + j * size, size));
    qsort(sorted, (size_t)total, sizeof *sorted, compare);
    double limit = NEARLY * sorted[total / 2];
    at = 0;
    for (int64_t j = 1; j < n; j++) {
        int64_t first = -1;
        for (int64_t i = 0; i < j; i++, at++)
            if (first < 0 && (all[at] < limit || all[at] == 0))
                first = i;
        if (first >= 0) {
            pairs[2 * *pair_count] = first;
            pairs[2 * *pair_count + 1] = j;
            ++*pair_count;
        }
    }
done:
    df_free(all);
    df_free(sorted);
    return status;
}
