/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/coreset_cover.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/compare.h"
#include "base/memory.h"
#include "base/number.h"
#include "strategy/row_distance.h"

void df_cover_clear(struct df_cover *cover)
{
    df_row_loop_end(&cover->loop);
    df_free(cover->row);
    df_free(cover->begin);
    df_free(cover->near);
    df_free(cover->value);
    *cover = (struct df_cover){0};
}

static const float *features_of(const struct df_cover *cover, int64_t candidate)
{
    return cover->h.values + candidate * cover->h.size;
}

/* ---- pairs --------------------------------------------------------------------------------------------- */

/* Find the rows; room for their counts, which begin[k + 1] gets first. */
static dfal_status find_rows(struct df_cover *cover)
{
    const int64_t n = cover->h.count;
    DF_TRY(df_alloc(&cover->row, n, sizeof *cover->row));
    for (int64_t i = 0; i < n; i++)
        if (cover->far[i] > cover->low)
            cover->row[cover->row_count++] = i;
    return df_alloc(&cover->begin, cover->row_count + 1, sizeof *cover->begin);
}

/* Not within: also what is no number, the distance of a candidate that is not finite. */
static bool within(const struct df_cover *cover, int64_t row, int64_t candidate, double *square)
{
    *square =
        df_square_distance(features_of(cover, cover->row[row]), features_of(cover, candidate), cover->h.size);
    return cover->far[candidate] >= 0 && *square <= cover->high;
}

static int64_t count_near(void *user, int64_t row)
{
    struct df_cover *cover = user;
    double square;
    int64_t count = 0;
    for (int64_t j = 0; j < cover->h.count; j++)
        count += within(cover, row, j, &square);
    cover->begin[row + 1] = count;
    return cover->h.count;
}

static int compare_near(const void *a_, const void *b_)
{
    const struct df_near *a = a_, *b = b_;
    if (a->square != b->square)
        return a->square < b->square ? -1 : 1;
    return (a->candidate > b->candidate) - (a->candidate < b->candidate);
}

static int64_t keep_near(void *user, int64_t row)
{
    struct df_cover *cover = user;
    struct df_near *first = cover->near + cover->begin[row], *at = first;
    double square;
    for (int64_t j = 0; j < cover->h.count; j++)
        if (within(cover, row, j, &square))
            *at++ = (struct df_near){square, j};
    qsort(first, (size_t)(at - first), sizeof *first, compare_near);
    return cover->h.count;
}

static dfal_status check_memory(const struct df_cover *cover, double pairs, const char *about)
{
    /* Beside the pair: its distance as a possible radius, twice its place in a stage, and its line of the
     * model, which is a file in memory. */
    enum { PAIR_BYTES = sizeof(struct df_near) + sizeof(double) + 2 * sizeof(int64_t) + 32 };
    char what[96];
    df_print(what, sizeof what, "%s %.0f pairs of candidates of coreset's integer program", about, pairs);
    return df_view_check_memory(cover->view, pairs * PAIR_BYTES, what);
}

enum { DRAWN = 512 }; /* rows that tell how many pairs all will have */

/* One of each stretch of as many rows, somewhere in it: a pool may repeat itself. */
static int64_t drawn_row(const struct df_cover *cover, int64_t job)
{
    const int64_t stretch = cover->row_count / DRAWN;
    const uint64_t mixed = (uint64_t)job * 0x9e3779b97f4a7c15U >> 32; /* Fibonacci hashing */
    return job * stretch + (int64_t)(mixed % (uint64_t)stretch);
}

static int64_t count_drawn(void *user, int64_t job)
{
    return count_near(user, drawn_row(user, job));
}

/* Too many pairs by far are refused before all of them are looked at, which may take minutes. */
static dfal_status check_drawn(struct df_cover *cover)
{
    double pairs = 0;
    DF_TRY(df_row_loop_run(&cover->loop, count_drawn, cover, DRAWN));
    for (int64_t job = 0; job < DRAWN; job++)
        pairs += (double)cover->begin[drawn_row(cover, job) + 1];
    return check_memory(cover, pairs / DRAWN * (double)cover->row_count / 2, "at least about");
}

static dfal_status find_pairs(struct df_cover *cover)
{
    const int64_t all = cover->row_count * cover->h.count;
    const bool large = cover->row_count > 8 * DRAWN;
    DF_TRY(df_row_loop_begin(&cover->loop, df_view_context(cover->view),
                             2 * all + (large ? DRAWN * cover->h.count : 0)));
    if (large)
        DF_TRY(check_drawn(cover));
    DF_TRY(df_row_loop_run(&cover->loop, count_near, cover, cover->row_count));
    for (int64_t k = 0; k < cover->row_count; k++)
        cover->begin[k + 1] += cover->begin[k];
    const int64_t pairs = cover->begin[cover->row_count];
    DF_TRY(check_memory(cover, (double)pairs, "the"));
    DF_TRY(df_alloc(&cover->near, pairs, sizeof *cover->near));
    return df_row_loop_run(&cover->loop, keep_near, cover, cover->row_count);
}

/* ---- radii --------------------------------------------------------------------------------------------- */

static void offer(struct df_cover *cover, double square)
{
    if (square >= cover->low && square <= cover->high)
        cover->value[cover->value_count++] = square;
}

/* The smallest radius is a distance of two of them, or a bound. */
static dfal_status find_values(struct df_cover *cover)
{
    const int64_t pairs = cover->begin[cover->row_count];
    int64_t distinct = 0;
    DF_TRY(df_alloc(&cover->value, pairs + cover->row_count + 2, sizeof *cover->value));
    offer(cover, cover->low);
    offer(cover, cover->high);
    for (int64_t k = 0; k < cover->row_count; k++)
        offer(cover, cover->far[cover->row[k]]);
    for (int64_t p = 0; p < pairs; p++)
        offer(cover, cover->near[p].square);
    qsort(cover->value, (size_t)cover->value_count, sizeof *cover->value, df_compare_reals);
    for (int64_t i = 0; i < cover->value_count; i++)
        if (i == 0 || cover->value[i] != cover->value[i - 1])
            cover->value[distinct++] = cover->value[i];
    cover->value_count = distinct;
    return DFAL_OK;
}

dfal_status df_cover_make(struct df_cover *cover)
{
    DF_TRY(find_rows(cover));
    DF_TRY(find_pairs(cover));
    return find_values(cover);
}

double df_cover_largest(double *squares, int64_t n, int64_t outliers)
{
    if (n <= outliers)
        return 0;
    qsort(squares, (size_t)n, sizeof *squares, df_compare_reals);
    return fmax(squares[n - 1 - outliers], 0);
}

dfal_status df_cover_radius(const struct df_cover *cover, const int64_t *chosen, int64_t count,
                            double *square)
{
    const int64_t n = cover->h.count;
    double *nearest;
    DF_TRY(df_alloc(&nearest, n, sizeof *nearest));
    memcpy(nearest, cover->far, (size_t)n * sizeof *nearest);
    for (int64_t k = 0; k < count; k++)
        for (int64_t i = 0; i < n; i++)
            if (nearest[i] > 0)
                nearest[i] =
                    fmin(nearest[i], df_square_distance(features_of(cover, i), features_of(cover, chosen[k]),
                                                        cover->h.size));
    *square = df_cover_largest(nearest, n, cover->outliers);
    df_free(nearest);
    return DFAL_OK;
}
