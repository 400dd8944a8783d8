/* SPDX-License-Identifier: Apache-2.0 */
/* The covering problem at one radius, and what can be said of it without a solver. */
#include <stdlib.h>

#include "base/memory.h"
#include "strategy/coreset_cover.h"

void df_cover_stage_clear(struct df_cover_stage *stage)
{
    df_free(stage->reach);
    df_free(stage->column);
    df_free(stage->begin);
    df_free(stage->entry);
    *stage = (struct df_cover_stage){0};
}

/* How many candidates of a row's list are within the radius. */
static int64_t reach_of(const struct df_cover *cover, int64_t row, double square)
{
    int64_t low = cover->begin[row], high = cover->begin[row + 1];
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (cover->near[middle].square <= square)
            low = middle + 1;
        else
            high = middle;
    }
    return low - cover->begin[row];
}

/* The rows that no labelled row covers; of which row of the problem each is; how often each candidate
 * covers. */
static void take_rows(struct df_cover_stage *stage, const struct df_cover *cover, int64_t *row_of,
                      int64_t *uses)
{
    for (int64_t k = 0; k < cover->row_count; k++) {
        if (!(cover->far[cover->row[k]] > stage->square))
            continue;
        const int64_t reach = reach_of(cover, k, stage->square);
        for (int64_t p = 0; p < reach; p++)
            uses[cover->near[cover->begin[k] + p].candidate]++;
        row_of[stage->row_count] = k;
        stage->reach[stage->row_count++] = reach;
    }
}

/* Candidates that cover a row become columns; place_of gets where the entries of each begin. */
static dfal_status take_columns(struct df_cover_stage *stage, const int64_t *uses, int64_t *place_of,
                                int64_t n)
{
    int64_t entries = 0;
    DF_TRY(df_alloc(&stage->column, n, sizeof *stage->column));
    DF_TRY(df_alloc(&stage->begin, n + 1, sizeof *stage->begin));
    for (int64_t j = 0; j < n; j++) {
        if (!uses[j])
            continue;
        stage->column[stage->column_count] = j;
        stage->begin[stage->column_count++] = place_of[j] = entries;
        entries += uses[j];
    }
    stage->begin[stage->column_count] = entries;
    return df_alloc(&stage->entry, entries, sizeof *stage->entry);
}

dfal_status df_cover_stage_make(struct df_cover_stage *stage, const struct df_cover *cover, double square)
{
    const int64_t n = cover->h.count;
    int64_t *row_of = NULL, *uses = NULL, *place_of = NULL;
    dfal_status status;
    *stage = (struct df_cover_stage){.square = square, .budget = cover->budget, .outliers = cover->outliers};
    DF_TRY_TO(done, status, df_alloc(&row_of, cover->row_count, sizeof *row_of));
    DF_TRY_TO(done, status, df_alloc(&uses, n, sizeof *uses));
    DF_TRY_TO(done, status, df_alloc(&place_of, n, sizeof *place_of));
    DF_TRY_TO(done, status, df_alloc(&stage->reach, cover->row_count, sizeof *stage->reach));
    take_rows(stage, cover, row_of, uses);
    DF_TRY_TO(done, status, take_columns(stage, uses, place_of, n));
    for (int64_t i = 0; i < stage->row_count; i++)
        for (int64_t p = 0; p < stage->reach[i]; p++)
            stage->entry[place_of[cover->near[cover->begin[row_of[i]] + p].candidate]++] = i;
done:
    df_free(row_of);
    df_free(uses);
    df_free(place_of);
    return status;
}

/* ---- without a solver ---------------------------------------------------------------------------------- */

/* Whoever covers most of the rows that are left, the first of equal ones, until the centres are used up.
 * True: only outliers are left. */
static bool cover_greedily(const struct df_cover_stage *stage, bool *covered, int64_t *chosen, int64_t *count)
{
    int64_t left = stage->row_count;
    *count = 0;
    while (left > stage->outliers && *count < stage->budget) {
        int64_t best = -1, most = 0;
        for (int64_t c = 0; c < stage->column_count; c++) {
            int64_t fresh = 0;
            for (int64_t e = stage->begin[c]; e < stage->begin[c + 1]; e++)
                fresh += !covered[stage->entry[e]];
            if (fresh > most) {
                most = fresh;
                best = c;
            }
        }
        for (int64_t e = stage->begin[best]; e < stage->begin[best + 1]; e++)
            covered[stage->entry[e]] = true;
        chosen[(*count)++] = stage->column[best];
        left -= most;
    }
    return left <= stage->outliers;
}

/* Rows that nobody covers together with a row taken before; those with the fewest coverers first. */
struct packing {
    int64_t *order; /* rows */
    int64_t *row_begin, *row_column;
    bool *taken; /* columns */
};

static dfal_status packing_open(struct packing *packing, const struct df_cover_stage *stage)
{
    const int64_t m = stage->row_count, entries = stage->begin[stage->column_count];
    int64_t *place;
    DF_TRY(df_alloc(&packing->order, m, sizeof *packing->order));
    DF_TRY(df_alloc(&packing->row_begin, m + 1, sizeof *packing->row_begin));
    DF_TRY(df_alloc(&packing->row_column, entries, sizeof *packing->row_column));
    DF_TRY(df_alloc(&packing->taken, stage->column_count, sizeof *packing->taken));
    DF_TRY(df_alloc(&place, m, sizeof *place));
    for (int64_t i = 0; i < m; i++) {
        place[i] = packing->row_begin[i];
        packing->row_begin[i + 1] = packing->row_begin[i] + stage->reach[i];
    }
    for (int64_t c = 0; c < stage->column_count; c++)
        for (int64_t e = stage->begin[c]; e < stage->begin[c + 1]; e++)
            packing->row_column[place[stage->entry[e]]++] = c;
    df_free(place);
    return DFAL_OK;
}

static void packing_close(struct packing *packing)
{
    df_free(packing->order);
    df_free(packing->row_begin);
    df_free(packing->row_column);
    df_free(packing->taken);
}

struct counted {
    int64_t reach, row;
};

static int compare_counted(const void *a_, const void *b_)
{
    const struct counted *a = a_, *b = b_;
    if (a->reach != b->reach)
        return a->reach < b->reach ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

static dfal_status put_in_order(const struct packing *packing, const struct df_cover_stage *stage)
{
    struct counted *counted;
    DF_TRY(df_alloc(&counted, stage->row_count, sizeof *counted));
    for (int64_t i = 0; i < stage->row_count; i++)
        counted[i] = (struct counted){stage->reach[i], i};
    qsort(counted, (size_t)stage->row_count, sizeof *counted, compare_counted);
    for (int64_t i = 0; i < stage->row_count; i++)
        packing->order[i] = counted[i].row;
    df_free(counted);
    return DFAL_OK;
}

static bool take(const struct packing *packing, int64_t row)
{
    const int64_t begin = packing->row_begin[row], end = packing->row_begin[row + 1];
    for (int64_t p = begin; p < end; p++)
        if (packing->taken[packing->row_column[p]])
            return false;
    for (int64_t p = begin; p < end; p++)
        packing->taken[packing->row_column[p]] = true;
    return true;
}

/* Is there a row too many that needs a centre, or an outlier, of its own? */
static dfal_status pack(const struct df_cover_stage *stage, bool *too_many)
{
    struct packing packing = {0};
    int64_t apart = 0;
    dfal_status status;
    DF_TRY_TO(done, status, packing_open(&packing, stage));
    DF_TRY_TO(done, status, put_in_order(&packing, stage));
    for (int64_t i = 0; i < stage->row_count; i++)
        apart += take(&packing, packing.order[i]);
    *too_many = apart > stage->budget + stage->outliers;
done:
    packing_close(&packing);
    return status;
}

dfal_status df_cover_guess(const struct df_cover_stage *stage, enum df_verdict *verdict, int64_t *chosen,
                           int64_t *count)
{
    bool *covered, too_many = false;
    DF_TRY(df_alloc(&covered, stage->row_count, sizeof *covered));
    const bool enough = cover_greedily(stage, covered, chosen, count);
    df_free(covered);
    if (!enough)
        DF_TRY(pack(stage, &too_many));
    *verdict = enough ? DF_FEASIBLE : too_many ? DF_INFEASIBLE : DF_UNDECIDED;
    return DFAL_OK;
}
