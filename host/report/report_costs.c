/* SPDX-License-Identifier: Apache-2.0 */
/* What the rounds of each strategy took, whether choosing slows down as labels are added, and how DeepFool
 * ended. */
#include <math.h>
#include <string.h>

#include "report/paper.h"
#include "report/report_tables.h"

struct mean {
    double sum;
    int64_t count;
};

static void add(struct mean *mean, double value)
{
    if (!isfinite(value))
        return;
    mean->sum += value;
    mean->count++;
}

static void put_seconds(struct df_table *table, const struct mean *mean)
{
    if (mean->count)
        df_table_cell(table, mean->sum < 100 * (double)mean->count ? "%.3g" : "%.0f",
                      mean->sum / (double)mean->count);
    else
        df_table_cell(table, "%s", "");
}

static int32_t last_round(const struct df_report_run *run, const char *strategy)
{
    int32_t last = 0;
    for (int64_t i = 0; i < run->curve.count; i++)
        if (!strcmp(run->curve.rows[i].strategy, strategy) && run->curve.rows[i].round > last)
            last = run->curve.rows[i].round;
    return last;
}

/* Round 0 chooses nothing. */
static void put_row(struct df_table *table, const struct df_report_run *run, int32_t s)
{
    const char *strategy = run->summary[s].strategy;
    const int32_t last = last_round(run, strategy), quarter = (last + 3) / 4;
    struct mean choose = {0}, early = {0}, late = {0}, train = {0}, whole = {0};
    for (int64_t i = 0; i < run->curve.count; i++) {
        const struct df_curve_row *row = &run->curve.rows[i];
        if (row->round < 1 || strcmp(row->strategy, strategy))
            continue;
        add(&choose, row->select_seconds);
        add(&train, row->train_seconds);
        add(&whole, row->round_seconds);
        if (row->round <= quarter)
            add(&early, row->select_seconds);
        if (row->round > last - quarter)
            add(&late, row->select_seconds);
    }
    if (!choose.count)
        return;
    df_table_row(table, df_report_number(&run->config, s), strategy);
    put_seconds(table, &choose);
    put_seconds(table, &early);
    put_seconds(table, &late);
    put_seconds(table, &train);
    put_seconds(table, &whole);
}

/* ---- how DeepFool ended -------------------------------------------------------------------------------- */

static int64_t count_statuses(int64_t counts[DFAL_SCORE_STATUS_ROOM], const struct df_report_run *run,
                              const char *strategy)
{
    int64_t total = 0;
    for (int64_t i = 0; i < run->curve.count; i++)
        if (!strategy || !strcmp(run->curve.rows[i].strategy, strategy))
            df_curve_count_statuses(counts, run->curve.rows[i].statuses);
    for (int s = 0; s < DFAL_SCORE_STATUS_ROOM; s++)
        total += counts[s];
    return total;
}

dfal_status df_report_statuses(struct df_table *table, const struct df_report_run *run)
{
    int64_t all[DFAL_SCORE_STATUS_ROOM] = {0};
    if (!count_statuses(all, run, NULL))
        return DFAL_OK;
    df_table_caption(table,
                     "How DeepFool ended, %% of its runs in all rounds and trials: of the candidates whose "
                     "margins were asked for, else of the queries that were to get twins");
    df_table_heading(table, "strategy");
    df_table_heading(table, "runs");
#define X(name, value, group)                                                                                \
    if (all[value])                                                                                          \
        df_table_heading(table, "%s", #name);
    DFAL_SCORE_STATUS_LIST(X)
#undef X
    for (int32_t i = 0; i < run->config.strategy_count; i++) {
        int64_t counts[DFAL_SCORE_STATUS_ROOM] = {0};
        const int64_t total = count_statuses(counts, run, run->summary[i].strategy);
        if (!total)
            continue;
        df_table_row(table, df_report_number(&run->config, i), run->summary[i].strategy);
        df_table_cell(table, "%lld", (long long)total);
#define X(name, value, group)                                                                                \
    if (all[value])                                                                                          \
        df_table_percent(table, (double)counts[value] / (double)total, NAN);
        DFAL_SCORE_STATUS_LIST(X)
#undef X
    }
    return DFAL_OK;
}

/* ---- seconds ------------------------------------------------------------------------------------------- */

dfal_status df_report_seconds(struct df_table *table, const struct df_report_run *run)
{
    static const char *const headings[] = {"strategy",     "choosing", "first quarter of rounds",
                                           "last quarter", "training", "whole round"};
    const struct df_paper *paper = df_paper_find(&run->config);
    df_table_caption(table,
                     "Seconds a round, mean over rounds and trials; choosing also in the first and the last "
                     "quarter of the rounds");
    if (paper && !strcmp(paper->data, "mnist") && !strcmp(paper->network, "lenet5"))
        df_table_caption(table,
                         ". The paper's table 3, ten queries of 800 candidates with 100 labels: DFAL 126.54, "
                         "CORE-SET 784.99 without and 891.78 with robustness");
    for (size_t c = 0; c < sizeof headings / sizeof headings[0]; c++)
        df_table_heading(table, "%s", headings[c]);
    for (int32_t s = 0; s < run->config.strategy_count; s++)
        put_row(table, run, s);
    return DFAL_OK;
}
