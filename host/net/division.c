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
    return kept < units || units == 0 ? kept : units - 1;
}

static int64_t unit_of(const struct df_training_set *set, int64_t row)
{
    return set->unit ? set->unit[row] : row;
}

static dfal_status count_units(int64_t *units, int64_t *always, const struct df_training_set *set)
{
    *units = *always = 0;
    for (int64_t i = 0; i < set->count; i++) {
        const int64_t unit = unit_of(set, i);
        if (unit < DF_UNIT_NONE || unit > *units)
            DF_FAIL(DFAL_E_INTERNAL, "training row %lld is of unit %lld, expected at most %lld", (long long)i,
                    (long long)unit, (long long)*units);
        *units += unit == *units;
        *always += unit == DF_UNIT_NONE;
    }
    return DFAL_OK;
}

dfal_status df_division_create(struct df_division *division, const struct df_training_set *set,
                               double fraction)
{
    *division = (struct df_division){.rows = set->count};
    DF_TRY(count_units(&division->units, &division->always, set));
    division->kept = count_kept(division->units, fraction);
    DF_TRY(df_alloc(&division->begin, division->units + 1, sizeof *division->begin));
    DF_TRY(df_alloc(&division->members, division->rows, sizeof *division->members));
    int64_t *begin = division->begin, behind = set->count - division->always;
    for (int64_t i = 0; i < set->count; i++)
        if (unit_of(set, i) != DF_UNIT_NONE)
            begin[unit_of(set, i) + 1]++;
    for (int64_t u = 0; u < division->units; u++)
        begin[u + 1] += begin[u];
    /* begin moves to each unit's end, which is the next one's begin. */
    for (int64_t i = 0; i < set->count; i++) {
        const int64_t unit = unit_of(set, i);
        division->members[unit == DF_UNIT_NONE ? behind++ : begin[unit]++] = i;
    }
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

static void put_units(const struct df_division *division, const int64_t *units, int64_t count, int64_t *rows,
                      int64_t *at)
{
    for (int64_t u = 0; u < count; u++)
        for (int64_t m = division->begin[units[u]]; m < division->begin[units[u] + 1]; m++)
            rows[(*at)++] = division->members[m];
}

dfal_status df_division_draw(const struct df_division *division, uint64_t seed, int64_t *rows,
                             int64_t *trained, int64_t *order)
{
    const int64_t trained_units = division->units - division->kept;
    int64_t at = 0;
    DF_TRY(df_random_permutation(order, division->units, seed, DF_STREAM_SPLIT, 0));
    put_units(division, order, trained_units, rows, &at);
    for (int64_t m = division->begin[division->units]; m < division->rows; m++)
        rows[at++] = division->members[m];
    *trained = at;
    put_units(division, order + trained_units, division->kept, rows, &at);
    return DFAL_OK;
}
