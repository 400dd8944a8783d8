/* SPDX-License-Identifier: Apache-2.0 */
/* What the strategies asked for: of which classes, and how much of it in common. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "report/report_tables.h"
#include "store/classes.h"

#define MAX_TABLE ((size_t)1 << 30)
enum { MOST_CLASSES = 20 }; /* that a table has columns for */

/* ---- class balance ------------------------------------------------------------------------------------- */

/* The fourth field of a line of classes.csv; -1: that is none. */
static int64_t class_of_line(const char *line)
{
    char *end;
    for (int field = 0; field < 3; field++) {
        line += strcspn(line, ",\n");
        if (*line++ != ',')
            return -1;
    }
    const long class = strtol(line, &end, 10);
    return end > line && *end == ',' && class >= 0 && class < DF_CLASS_LIMIT ? class : -1;
}

/* How many classes classes.csv tells of, at least as many as the queries have. */
static int32_t class_count(const struct df_report_run *run)
{
    char *path = NULL, *text = NULL;
    size_t size = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < run->queries.count; i++)
        if (run->queries.rows[i].label >= count)
            count = run->queries.rows[i].label + 1;
    if (df_format(&path, "%s/classes.csv", run->dir) == DFAL_OK &&
        df_file_read(&text, &size, path, MAX_TABLE) == DFAL_OK) {
        for (const char *line = text; line; line = strchr(line, '\n')) {
            line += *line == '\n';
            const int64_t class = class_of_line(line);
            count = class >= count ? class + 1 : count;
        }
    }
    df_free(path);
    df_free(text);
    return (int32_t)count;
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
    const int32_t classes = class_count(run);
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
    int32_t strategy, trial, round;
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

/* All queries in order, and where those of each strategy begin. begin [strategies + 1] */
static dfal_status sort_queries(struct asked **out, int64_t *begin, const struct df_report_run *run)
{
    const struct df_query_table *queries = &run->queries;
    const int32_t strategies = run->config.strategy_count;
    int64_t n = 0;
    DF_TRY(df_alloc(out, queries->count, sizeof **out));
    for (int64_t i = 0; i < queries->count; i++) {
        const int32_t strategy = df_run_entry_find(&run->config, queries->rows[i].strategy);
        if (strategy >= 0)
            (*out)[n++] = (struct asked){strategy, queries->rows[i].trial, queries->rows[i].round,
                                         queries->rows[i].index};
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

/* A run of queries of one trial. */
struct span {
    const struct asked *at, *end;
    int32_t last_round;
};

static struct span span_of(const struct asked *at, const struct asked *end)
{
    struct span span = {at, at, 0};
    while (span.end < end && span.end->trial == at->trial) {
        span.last_round = span.end->round > span.last_round ? span.end->round : span.last_round;
        span.end++;
    }
    return span;
}

/* Of the queries of a, as far as b has come in the same trial, the share that b asked for; NAN: there are
 * none. */
static double common_share(const struct asked *a, const struct asked *a_end, const struct asked *b,
                           const struct asked *b_end)
{
    int64_t common = 0, all = 0;
    while (a < a_end && b < b_end) {
        const struct span ours = span_of(a, a_end), theirs = span_of(b, b_end);
        if (ours.at->trial == theirs.at->trial) {
            const struct asked *other = theirs.at;
            for (const struct asked *own = ours.at; own < ours.end; own++) {
                if (own->round > theirs.last_round)
                    continue;
                while (other < theirs.end && other->index < own->index)
                    other++;
                common += other < theirs.end && other->index == own->index;
                all++;
            }
        }
        if (ours.at->trial <= theirs.at->trial)
            a = ours.end;
        if (theirs.at->trial <= ours.at->trial)
            b = theirs.end;
    }
    return all ? (double)common / (double)all : (double)NAN;
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
                     "asked for in the same trial, as far as that has come");
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
            const double share =
                common_share(asked + begin[s], asked + begin[s + 1], asked + begin[k], asked + begin[k + 1]);
            if (k == s || isnan(share))
                df_table_cell(table, "%s", "");
            else
                df_table_cell(table, "%.1f", 100 * share);
        }
    }
done:
    df_free(asked);
    return status;
}
