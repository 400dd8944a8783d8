/* SPDX-License-Identifier: Apache-2.0 */
/* The comparisons that the experiment was made for, by the area under the curve, paired by trial. */
#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "report/report_tables.h"
#include "run/statistics.h"

/* What came out of one comparison. */
struct outcome {
    int32_t trials;
    double difference, half_interval, p, corrected;
};

static bool is_run(const struct df_report_run *run, const char *name)
{
    const int32_t at = df_run_entry_find(&run->config, name);
    return at >= 0 && run->summary[at].trials > 0;
}

/* The trials in which both have as many annotations. */
static dfal_status compare(struct outcome *out, const struct df_report_run *run,
                           const struct df_run_pair *pair)
{
    const int32_t trials = run->config.trials;
    struct df_curve_area *ours = NULL, *theirs = NULL;
    double *area = NULL, error;
    int32_t n = 0;
    dfal_status status;
    DF_TRY_TO(done, status, df_curve_areas(&ours, &run->curve, pair->ours, trials));
    DF_TRY_TO(done, status, df_curve_areas(&theirs, &run->curve, pair->theirs, trials));
    DF_TRY_TO(done, status, df_alloc(&area, 2 * (int64_t)trials, sizeof *area));
    for (int32_t t = 0; t < trials; t++)
        if (ours[t].annotations && ours[t].annotations == theirs[t].annotations) {
            area[n] = ours[t].area;
            area[trials + n++] = theirs[t].area;
        }
    *out = (struct outcome){.trials = n, .difference = NAN, .half_interval = NAN, .p = NAN};
    if (n) {
        df_paired_test(area, area + trials, n, &out->difference, &error, &out->p);
        out->half_interval = df_half_interval(error, n);
    }
done:
    df_free(ours);
    df_free(theirs);
    df_free(area);
    return status;
}

static void put_row(struct df_table *table, const struct df_report_run *run, const struct df_run_pair *pair,
                    const struct outcome *outcome)
{
    char name[2 * DF_STRATEGY_NAME + 16];
    const bool ours = is_run(run, pair->ours);
    snprintf(name, sizeof name, "%.31s against %.31s", pair->ours, pair->theirs);
    df_table_row(table, -1, name);
    df_table_cell(table, "%d", outcome->trials);
    df_table_difference(table, outcome->difference, outcome->half_interval);
    if (!ours || !is_run(run, pair->theirs))
        df_table_cell(table, "%s has no round", ours ? pair->theirs : pair->ours);
    else
        df_report_test(table, outcome->p, outcome->corrected, df_report_untested(outcome->trials));
}

dfal_status df_report_primary(struct df_table *table, const struct df_report_run *run)
{
    struct df_run_pair pairs[DF_MAX_PAIRS];
    struct outcome outcomes[DF_MAX_PAIRS];
    double p[DF_MAX_PAIRS], corrected[DF_MAX_PAIRS];
    int32_t count;
    DF_TRY(df_run_primary(&run->config, pairs, &count));
    for (int32_t i = 0; i < count; i++) {
        DF_TRY(compare(&outcomes[i], run, &pairs[i]));
        p[i] = outcomes[i].p;
    }
    df_holm(corrected, p, count);
    df_table_caption(table,
                     "What the experiment was made for: differences of the mean accuracy on the way, points, "
                     "paired by trial, and half of their 95 %% interval; corrected among these comparisons");
    df_table_heading(table, "comparison");
    df_table_heading(table, "trials");
    df_table_heading(table, "difference");
    df_table_heading(table, "%s", DF_SIGNIFICANT);
    table->words = 1U << 3;
    for (int32_t i = 0; i < count; i++) {
        outcomes[i].corrected = corrected[i];
        put_row(table, run, &pairs[i], &outcomes[i]);
    }
    return DFAL_OK;
}
