/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of the seconds with more labelled rows, and with more candidates: does a case slow down, and
 * at which size does it cross DFAL? */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench_table.h"

enum { SIZES = 8 };
struct series {
    const struct bench_case *of;
    bool labelled; /* else the candidates grow */
    const struct bench_row *rows[SIZES];
    int32_t count;
};

static int64_t size_of(const struct series *series, const struct bench_row *row)
{
    return series->labelled ? row->result.labelled : row->result.candidates;
}

/* Measured rows of the case, the other number being that of the base size; the sizes ascend. */
static void collect(struct series *series, const struct bench_table *table)
{
    const struct bench_row *base = &table->rows[0];
    series->count = 0;
    for (int32_t i = 0; i < table->row_count && series->count < SIZES; i++) {
        const struct bench_row *row = &table->rows[i];
        const bool same = series->labelled ? row->result.candidates == base->result.candidates
                                           : row->result.labelled == base->result.labelled;
        if (row->of != series->of || row->refusal != NULL || !same)
            continue;
        int32_t at = series->count++;
        for (; at > 0 && size_of(series, series->rows[at - 1]) > size_of(series, row); at--)
            series->rows[at] = series->rows[at - 1];
        series->rows[at] = row;
    }
}

/* Of two sizes the passes of one are all slower than those of the other, or they are not. */
static const char *verdict(const struct bench_row *from, const struct bench_row *to)
{
    if (bench_row_cut(from) || bench_row_cut(to))
        return "unknown";
    return to->result.fastest > from->result.slowest   ? "slower"
           : to->result.slowest < from->result.fastest ? "faster"
                                                       : "same";
}

/* ---- crossing ------------------------------------------------------------------------------------------ */

enum who { UNKNOWN, DFAL_FIRST, OTHER_FIRST };

/* A search that its limit ended takes at least as long as it took. */
static enum who who_is_first(const struct bench_table *table, const struct bench_row *row)
{
    const struct bench_row *dfal =
        bench_table_find(table, "dfal", row->result.labelled, row->result.candidates);
    if (dfal == NULL)
        return UNKNOWN;
    if (dfal->result.seconds < row->result.seconds)
        return DFAL_FIRST;
    return bench_row_cut(row) ? UNKNOWN : OTHER_FIRST;
}

struct crossing {
    enum who first;         /* at the smallest size */
    int64_t before, behind; /* the sizes between which it changes; behind 0: it does not */
};

static struct crossing find_crossing(const struct bench_table *table, const struct series *series)
{
    struct crossing crossing = {.first = who_is_first(table, series->rows[0])};
    for (int32_t i = 1; i < series->count && crossing.behind == 0; i++) {
        const enum who here = who_is_first(table, series->rows[i]);
        if (here != crossing.first && here != UNKNOWN && crossing.first != UNKNOWN) {
            crossing.before = size_of(series, series->rows[i - 1]);
            crossing.behind = size_of(series, series->rows[i]);
        }
    }
    return crossing;
}

/* ---- what is told -------------------------------------------------------------------------------------- */

static const char *grown(const struct series *series)
{
    return series->labelled ? "labelled" : "candidates";
}

static void print_series(const struct bench_table *table, const struct series *series)
{
    const struct bench_row *from = series->rows[0], *to = series->rows[series->count - 1];
    const struct crossing crossing = find_crossing(table, series);
    const char *word = verdict(from, to);
    printf("%-18s %.4f s with %" PRId64 " %s, %.4f s with %" PRId64 ": ", series->of->name,
           from->result.seconds, size_of(series, from), grown(series), to->result.seconds,
           size_of(series, to));
    if (strcmp(word, "unknown") == 0)
        printf("the limit ended its search, so it is not known whether it slows down");
    else if (strcmp(word, "same") == 0)
        printf("it does not slow down, the spreads overlap");
    else
        printf("it is %s, %.3g times", word, to->result.seconds / from->result.seconds);
    if (strcmp(series->of->name, "dfal") == 0 || crossing.first == UNKNOWN)
        printf("\n");
    else if (crossing.behind == 0)
        printf("; %s than dfal at every size\n", crossing.first == DFAL_FIRST ? "slower" : "faster");
    else
        printf("; %s than dfal up to %" PRId64 ", %s from %" PRId64 " on\n",
               crossing.first == DFAL_FIRST ? "slower" : "faster", crossing.before,
               crossing.first == DFAL_FIRST ? "faster" : "slower", crossing.behind);
}

static json_t *series_json(const struct bench_table *table, const struct series *series)
{
    const struct bench_row *from = series->rows[0], *to = series->rows[series->count - 1];
    const struct crossing crossing = find_crossing(table, series);
    json_t *between = crossing.behind > 0
                          ? json_pack("[I, I]", (json_int_t)crossing.before, (json_int_t)crossing.behind)
                          : json_null();
    json_t *first = crossing.first == UNKNOWN ? json_null() : JSON(crossing.first == DFAL_FIRST);
    return OBJECT("case", JSON(series->of->name), "more", JSON(grown(series)), "from",
                  JSON(size_of(series, from)), "to", JSON(size_of(series, to)), "times",
                  JSON(to->result.seconds / from->result.seconds), "becomes", JSON(verdict(from, to)),
                  "dfal_is_faster", first, "changes_between", between);
}

/* Each of two growths of each case that was measured at two sizes or more. */
static void visit(const struct bench_table *table, json_t *lines)
{
    for (int32_t k = 0; k < 2; k++)
        for (int32_t i = 0; i < table->case_count; i++) {
            struct series series = {.of = &table->cases[i], .labelled = k == 0};
            collect(&series, table);
            if (series.count < 2)
                continue;
            if (lines != NULL)
                json_array_append_new(lines, series_json(table, &series));
            else
                print_series(table, &series);
        }
}

void bench_growth_print(const struct bench_table *table)
{
    visit(table, NULL);
}

void bench_growth_json(const struct bench_table *table, json_t *object)
{
    json_t *lines = json_array();
    visit(table, lines);
    json_object_set_new(object, "growth", lines);
}
