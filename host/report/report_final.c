/* SPDX-License-Identifier: Apache-2.0 */
/* What each strategy has come to after its last round, and by the whole of its curve. */
#include <math.h>

#include "report/report_tables.h"

const char *df_report_not_tested(const struct dfal_run_row *row)
{
    if (row->trials < 2)
        return "one trial";
    return df_report_untested(isnan(row->difference_stderr) ? 1 : row->trials);
}

const char *df_report_untested(int32_t compared)
{
    return compared < 2 ? "fewer than two trials of both" : "all trials differ by the same";
}

void df_report_test(struct df_table *table, double p, double corrected, const char *reason)
{
    if (isnan(p))
        df_table_cell(table, "not tested: %s", reason);
    else
        df_table_cell(table, "%s (p = %.2g, corrected %.2g)", corrected < 0.05 ? "yes" : "no", p, corrected);
}

/* Nothing for random itself, and where there is no random. */
static void put_test(struct df_table *table, const struct dfal_run_row *row, double difference, double p,
                     double corrected)
{
    if (isnan(difference))
        df_table_cell(table, "%s", "");
    else
        df_report_test(table, p, corrected, df_report_not_tested(row));
}

static void put_last(struct df_table *table, const struct dfal_run_row *row)
{
    df_table_cell(table, "%lld", (long long)row->annotations);
    df_table_cell(table, "%lld", (long long)row->labelled);
    df_table_cell(table, "%d", row->trials);
    df_table_percent(table, row->accuracy_mean, row->accuracy_stderr);
    df_table_percent(table, row->best_mean, NAN);
    if (isfinite(row->steps_mean))
        df_table_cell(table, "%.0f", row->steps_mean);
    else
        df_table_cell(table, "%s", "");
    df_table_difference(table, row->difference, row->difference_stderr);
    put_test(table, row, row->difference, row->p_value, row->p_corrected);
}

static void put_area(struct df_table *table, const struct dfal_run_row *row)
{
    df_table_percent(table, row->area_mean, row->area_stderr);
    df_table_difference(table, row->area_difference, row->area_difference_stderr);
    put_test(table, row, row->area_difference, row->area_p_value, row->area_p_corrected);
}

/* The last column has words. */
static dfal_status fill(struct df_table *table, const struct df_report_run *run, const char *const *headings,
                        size_t count, void (*put)(struct df_table *table, const struct dfal_run_row *row))
{
    for (size_t c = 0; c < count; c++)
        df_table_heading(table, "%s", headings[c]);
    table->words = 1U << (count - 1);
    table->narrow = true;
    for (int32_t s = 0; s < run->config.strategy_count; s++) {
        if (!run->summary[s].trials) /* not even its first trial has a round */
            continue;
        df_table_row(table, df_report_number(&run->config, s), run->summary[s].strategy);
        put(table, &run->summary[s]);
    }
    return DFAL_OK;
}

static bool is_finished(const struct df_report_run *run)
{
    bool finished = true;
    for (int32_t s = 0; s < run->config.strategy_count; s++)
        finished = finished && run->summary[s].trials == run->config.trials;
    return finished;
}

dfal_status df_report_final(struct df_table *table, const struct df_report_run *run)
{
    static const char *const headings[] = {"strategy", "annotations",    "labelled rows",
                                           "trials",   "accuracy",       "best so far",
                                           "steps",    "against random", DF_SIGNIFICANT};
    df_table_caption(table, "After the last round: mean and standard error over trials, in percent%s",
                     is_finished(run)
                         ? ""
                         : "; the run is not finished: trials that are not as far as others are left out");
    return fill(table, run, headings, sizeof headings / sizeof headings[0], put_last);
}

dfal_status df_report_area(struct df_table *table, const struct df_report_run *run)
{
    static const char *const headings[] = {"strategy", "area under the curve", "area against random",
                                           DF_SIGNIFICANT};
    df_table_caption(table,
                     "The mean accuracy on the way, which is the area under the curve: mean and standard "
                     "error over trials, in percent");
    return fill(table, run, headings, sizeof headings / sizeof headings[0], put_area);
}
