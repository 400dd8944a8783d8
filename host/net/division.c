/* SPDX-License-Identifier: Apache-2.0 */
#include "net/division.h"

#include <math.h>

#include "base/memory.h"
#include "base/rng.h"
#include "net/training.h"

static int64_t count_kept(int64_t units, double fraction)
{
    int64_t kept = (int64_t)floor(fraction * (double)units);
    if (fraction > 0.0 && units > 1 && kept < 1)
        kept = 1;
    return kept < units ? kept : units - 1;
}

static int64_t unit_of(const struct df_training_set *set, int64_t row)
{
    return set->unit ? set->unit[row] : row;
}

static dfal_status count_units(int64_t *units, const struct df_training_set *set)
{
    *units = 0;
    for (int64_t i = 0; i < set->count; i++) {
        const int64_t unit = unit_of(set, i);
        if (unit < 0 || unit > *units)
            DF_FAIL(DFAL_E_INTERNAL, "training row %lld is of unit %lld, expected at most %lld", (long long)i,
                    (long long)unit, (long long)*units);
        *units += unit == *units;
    }
    return DFAL_OK;
}

dfal_status df_division_create(struct df_division *division, const struct df_training_set *set,
                               double fraction)
{
    *division = (struct df_division){.rows = set->count};
    DF_TRY(count_units(&division->units, set));
    division->kept = count_kept(division->units, fraction);
    DF_TRY(df_alloc(&division->begin, division->units + 1, sizeof *division->begin));
    DF_TRY(df_alloc(&division->members, division->rows, sizeof *division->members));
    int64_t *begin = division->begin;
    for (int64_t i = 0; i < set->count; i++)
        begin[unit_of(set, i) + 1]++;
    for (int64_t u = 0; u < division->units; u++)
        begin[u + 1] += begin[u];
    for (int64_t i = 0; i < set->count;
         i++) /* begin moves to each unit's end, which is the next one's begin */
        division->members[begin[unit_of(set, i)]++] = i;
    for (int64_t u = division->units; u > 0; u--)
        begin[u] = begin[u - 1];
    begin[0] = 0;
    return DFAL_OK;
}

void df_division_clear(struct df_division *division)
{
    df_free(division->begin);
    df_free(division->members);
    *division = (struct df_division){0};
}

dfal_status df_division_draw(const struct df_division *division, uint64_t seed, int64_t *rows,
                             int64_t *trained, int64_t *order)
{
    int64_t at = 0;
    *trained = 0;
    DF_TRY(df_random_permutation(order, division->units, seed, DF_STREAM_SPLIT, 0));
    for (int64_t p = 0; p < division->units; p++) {
        const int64_t unit = order[p];
        if (p == division->units - division->kept)
            *trained = at;
        for (int64_t m = division->begin[unit]; m < division->begin[unit + 1]; m++)
            rows[at++] = division->members[m];
    }
    if (division->kept == 0)
        *trained = at;
    return DFAL_OK;
}
