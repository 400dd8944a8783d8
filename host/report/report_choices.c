/* SPDX-License-Identifier: Apache-2.0 */
/* What the strategies asked for: of which classes, and how much of it in common. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "report/report_tables.h"

enum { MOST_CLASSES = 20 }; /* that a table has columns for */

/* ---- class balance ------------------------------------------------------------------------------------- */

/* Classes of the queries: one more than the largest label; 0: none. */
static int32_t class_count(const struct df_query_table *queries)
{
    int32_t count = 0;
    for (int64_t i = 0; i < queries->count; i++)
        if (queries->rows[i].label >= count)
            count = queries->rows[i].label + 1;
    return count;
}

static const char *class_name(const struct df_query_table *queries, int32_t class)
{
    for (int64_t i = 0; i < queries->count; i++)
        if (queries->rows[i].label == class)
            return queries->rows[i].label_name;
    return "";
}

/* How even the counts are: their entropy divided by that of a uniform distribution. */
static double evenness(const int64_t *counts, int32_t classes, int64_t total)
{
    double entropy = 0;
    for (int32_t c = 0; c < classes; c++)
        if (counts[c])
            entropy -= (double)counts[c] / (double)total * log((double)counts[c] / (double)total);
    return classes > 1 ? entropy / log(classes) : 1;
}

static void put_balance(struct df_table *table, const int64_t *counts, int32_t classes, int64_t total)
{
    df_table_cell(table, "%lld", (long long)total);
    df_table_percent(table, evenness(counts, classes, total), NAN);
    for (int32_t c = 0; c < classes && classes <= MOST_CLASSES; c++)
        df_table_cell(table, "%.1f", 100 * (double)counts[c] / (double)total);
}

dfal_status df_report_balance(struct df_table *table, const struct df_report_run *run)
{
    const struct df_query_table *queries = &run->queries;
    const int32_t classes = class_count(queries);
    int64_t *counts;
    DF_TRY(df_alloc(&counts, classes, sizeof *counts));
    df_table_caption(table,
                     "Classes of the queries of all trials, %% of a strategy's queries; evenness is their "
                     "entropy, 100 for a uniform choice");
    df_table_heading(table, "strategy");
    df_table_heading(table, "queries");
    df_table_heading(table, "evenness");
    for (int32_t c = 0; c < classes && classes <= MOST_CLASSES; c++) {
        const char *name = class_name(queries, c);
        if (*name)
            df_table_heading(table, "%s", name);
        else
            df_table_heading(table, "%d", c);
    }
    for (int32_t s = 0; s < run->config.strategy_count; s++) {
        int64_t total = 0;
        memset(counts, 0, (size_t)classes * sizeof *counts);
        for (int64_t i = 0; i < queries->count; i++)
            if (queries->rows[i].label >= 0 && !strcmp(queries->rows[i].strategy, run->summary[s].strategy)) {
                counts[queries->rows[i].label]++;
                total++;
            }
        if (!total)
            continue;
        df_table_row(table, df_report_number(&run->config, s), run->summary[s].strategy);
        put_balance(table, counts, classes, total);
    }
    df_free(counts);
    return DFAL_OK;
}

/* ---- overlap ------------------------------------------------------------------------------------------- */

/* A query: who asked in which trial for what. */
struct asked {
    int32_t strategy, trial;
    int64_t index;
};

static int compare_asked(const void *a_, const void *b_)
{
    const struct asked *a = a_, *b = b_;
    if (a->strategy != b->strategy)
        return a->strategy < b->strategy ? -1 : 1;
    if (a->trial != b->trial)
        return a->trial < b->trial ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static int32_t strategy_of(const struct df_report_run *run, const char *name)
{
    for (int32_t s = 0; s < run->config.strategy_count; s++)
        if (!strcmp(run->summary[s].strategy, name))
            return s;
    return -1;
}

/* All queries in order, and where those of each strategy begin. begin [strategies + 1] */
static dfal_status sort_queries(struct asked **out, int64_t *begin, const struct df_report_run *run)
{
    const struct df_query_table *queries = &run->queries;
    const int32_t strategies = run->config.strategy_count;
    int64_t n = 0;
    DF_TRY(df_alloc(out, queries->count, sizeof **out));
    for (int64_t i = 0; i < queries->count; i++) {
        const int32_t strategy = strategy_of(run, queries->rows[i].strategy);
        if (strategy >= 0)
            (*out)[n++] = (struct asked){strategy, queries->rows[i].trial, queries->rows[i].index};
    }
    if (n)
        qsort(*out, (size_t)n, sizeof **out, compare_asked);
    int64_t at = 0;
    for (int32_t s = 0; s <= strategies; s++) {
        while (at < n && (*out)[at].strategy < s)
            at++;
        begin[s] = at;
    }
    return DFAL_OK;
}

/* The share of a's queries that b asked for in the same trial, among trials that both have begun. */
static double common_share(const struct asked *a, int64_t a_count, const struct asked *b, int64_t b_count)
{
    int64_t common = 0, k = 0;
    for (int64_t i = 0; i < a_count; i++) {
        while (k < b_count &&
               (b[k].trial < a[i].trial || (b[k].trial == a[i].trial && b[k].index < a[i].index)))
            k++;
        common += k < b_count && b[k].trial == a[i].trial && b[k].index == a[i].index;
    }
    return (double)common / (double)a_count;
}

dfal_status df_report_overlap(struct df_table *table, const struct df_report_run *run)
{
    const int32_t n = run->config.strategy_count;
    int64_t begin[DF_MAX_STRATEGIES + 1];
    int32_t askers = 0;
    struct asked *asked = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, sort_queries(&asked, begin, run));
    for (int32_t s = 0; s < n; s++)
        askers += begin[s + 1] > begin[s];
    if (askers < 2)
        goto done;
    df_table_caption(table,
                     "Queries in common, %%: of those of the row's strategy the share that the column's "
                     "asked for in the same trial");
    df_table_heading(table, "strategy");
    for (int32_t s = 0; s < n; s++)
        if (begin[s + 1] > begin[s])
            df_table_heading(table, "%s", run->summary[s].strategy);
    for (int32_t s = 0; s < n; s++) {
        if (begin[s + 1] == begin[s])
            continue;
        df_table_row(table, df_report_number(&run->config, s), run->summary[s].strategy);
        for (int32_t k = 0; k < n; k++) {
            if (begin[k + 1] == begin[k])
                continue;
            if (k == s)
                df_table_cell(table, "%s", "");
            else
                df_table_cell(table, "%.1f",
                              100 * common_share(asked + begin[s], begin[s + 1] - begin[s], asked + begin[k],
                                                 begin[k + 1] - begin[k]));
        }
    }
done:
    df_free(asked);
    return status;
}
