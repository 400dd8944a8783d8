/* SPDX-License-Identifier: Apache-2.0 */
/* The curve at some numbers of annotations, beside what the paper reports there: its tables 1, 2 and 4. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "report/paper.h"
#include "report/report_tables.h"
#include "run/statistics.h"

#define NEAR_FULL_SET 0.005 /* table 2 counts what comes within half a point of the full set */
enum { MOST_MARKS = 12, STEPS = 5 };

struct marks {
    int64_t at[MOST_MARKS]; /* annotations, ascending */
    int32_t count;
};

/* Accuracies of one strategy, [marks, trials]; NAN: the trial has no such round. */
struct reached {
    double *accuracy;
    int32_t trials;
};

/* ---- marks --------------------------------------------------------------------------------------------- */

static void add_mark(struct marks *marks, int64_t annotations)
{
    int32_t at = marks->count;
    for (int32_t m = 0; m < marks->count; m++)
        if (marks->at[m] == annotations)
            return;
    if (marks->count == MOST_MARKS)
        return;
    for (; at > 0 && marks->at[at - 1] > annotations; at--)
        marks->at[at] = marks->at[at - 1];
    marks->at[at] = annotations;
    marks->count++;
}

/* The number of annotations of any round that is nearest to the wanted one. */
static int64_t nearest_round(const struct df_curve *curve, double wanted)
{
    int64_t nearest = curve->rows[0].annotations;
    for (int64_t i = 1; i < curve->count; i++) {
        const int64_t annotations = curve->rows[i].annotations;
        const double gain = fabs((double)nearest - wanted) - fabs((double)annotations - wanted);
        if (gain > 0 || (gain == 0 && annotations < nearest))
            nearest = annotations;
    }
    return nearest;
}

/* Round numbers over the whole curve, its end, and the marks of the paper that it reaches. */
static struct marks find_marks(const struct df_run_config *config, const struct df_curve *curve)
{
    const bool paper = df_paper_find(config) != NULL;
    struct marks marks = {.count = 0};
    int64_t last = 0;
    for (int64_t i = 0; i < curve->count; i++)
        last = curve->rows[i].annotations > last ? curve->rows[i].annotations : last;
    const double step = fmax(1, df_nice_step((double)last, STEPS));
    for (int m = 0; paper && m < DF_PAPER_MARKS; m++)
        if (df_paper_marks[m] <= last)
            add_mark(&marks, nearest_round(curve, (double)df_paper_marks[m]));
    for (double wanted = step; curve->count && wanted < (double)last; wanted += step)
        add_mark(&marks, nearest_round(curve, wanted));
    add_mark(&marks, last);
    return marks;
}

/* The place of the paper's table 1 for a number of annotations; -1: it has none. */
static int paper_mark(int64_t annotations)
{
    for (int m = 0; m < DF_PAPER_MARKS; m++)
        if (df_paper_marks[m] == annotations)
            return m;
    return -1;
}

static dfal_status reach(struct reached *out, const struct df_curve *curve, int32_t trial_count,
                         const struct marks *marks, const char *strategy)
{
    const int64_t trials = trial_count;
    out->trials = trial_count;
    DF_TRY(df_alloc(&out->accuracy, marks->count * trials, sizeof *out->accuracy));
    for (int64_t i = 0; i < marks->count * trials; i++)
        out->accuracy[i] = NAN;
    for (int64_t i = 0; i < curve->count; i++) {
        const struct df_curve_row *row = &curve->rows[i];
        for (int32_t m = 0; m < marks->count; m++)
            if (row->annotations == marks->at[m] && row->trial <= trials && !strcmp(row->strategy, strategy))
                out->accuracy[m * trials + row->trial - 1] = row->accuracy;
    }
    return DFAL_OK;
}

/* ---- accuracy, and its difference to random ------------------------------------------------------------ */

static void head(struct df_table *table, const struct marks *marks)
{
    df_table_heading(table, "strategy");
    for (int32_t m = 0; m < marks->count; m++)
        df_table_heading(table, "%lld", (long long)marks->at[m]);
}

/* The trials of a mark, those of `theirs` taken off where there are any. room [trials] */
static void put_trials(struct df_table *table, const struct reached *ours, const struct reached *theirs,
                       int32_t mark, double *room)
{
    const int64_t begin = (int64_t)mark * ours->trials;
    double mean, error;
    int32_t n = 0;
    for (int32_t t = 0; t < ours->trials; t++) {
        const double value = ours->accuracy[begin + t] - (theirs ? theirs->accuracy[begin + t] : 0);
        if (isfinite(value))
            room[n++] = value;
    }
    df_mean(room, n, &mean, &error);
    (theirs ? df_table_difference : df_table_percent)(table, mean, df_half_interval(error, n));
}

static bool has_rounds(const struct df_curve *curve, const char *strategy)
{
    for (int64_t i = 0; i < curve->count; i++)
        if (!strcmp(curve->rows[i].strategy, strategy))
            return true;
    return false;
}

/* A row a strategy of what its trials have at the marks; against   NULL, or the strategy that is taken off */
static dfal_status put_strategies(struct df_table *table, const struct df_report_run *run,
                                  const struct df_curve *curve, const char *against)
{
    const struct marks marks = find_marks(&run->config, curve);
    struct reached ours = {0}, theirs = {0};
    double *room = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&room, run->config.trials, sizeof *room));
    if (against)
        DF_TRY_TO(done, status, reach(&theirs, curve, run->config.trials, &marks, against));
    head(table, &marks);
    for (int32_t s = 0; s < run->config.strategy_count; s++) {
        const char *strategy = run->summary[s].strategy;
        if (!has_rounds(curve, strategy) || (against && !strcmp(strategy, against)))
            continue;
        df_free(ours.accuracy);
        DF_TRY_TO(done, status, reach(&ours, curve, run->config.trials, &marks, strategy));
        df_table_row(table, df_report_number(&run->config, s), strategy);
        for (int32_t m = 0; m < marks.count; m++)
            put_trials(table, &ours, against ? &theirs : NULL, m, room);
    }
done:
    df_free(room);
    df_free(ours.accuracy);
    df_free(theirs.accuracy);
    return status;
}

dfal_status df_report_accuracy(struct df_table *table, const struct df_report_run *run)
{
    df_table_caption(table,
                     "Test accuracy with so many annotations, %%: mean over trials and half of its 95 %% "
                     "interval");
    return put_strategies(table, run, &run->curve, NULL);
}

dfal_status df_report_against_random(struct df_table *table, const struct df_report_run *run)
{
    df_table_caption(table,
                     "Difference to random with as many annotations, points: mean over trials and half of "
                     "its 95 %% interval");
    return has_rounds(&run->curve, "random") ? put_strategies(table, run, &run->curve, "random") : DFAL_OK;
}

/* What the paper's table 4 has, where the two networks are its own. */
static void tell_transferred(struct df_table *table, const struct df_run_config *config)
{
    const struct df_paper *paper = df_paper_find(config);
    const char *begin = "; the paper's table 4, at 1000:";
    const bool other = !strcmp(config->transfer, "lenet5") || !strcmp(config->transfer, "vgg8");
    if (!other || !strcmp(config->transfer, config->network))
        return;
    for (int32_t s = 0; paper && s < config->strategy_count; s++) {
        const struct df_paper_method *method = df_paper_method(paper, config->strategy[s].name);
        if (!method || !(method->transferred > 0))
            continue;
        df_table_caption(table, "%s %s %.2f", begin, method->strategy, method->transferred);
        begin = ",";
    }
}

dfal_status df_report_transfer(struct df_table *table, const struct df_report_run *run)
{
    struct df_curve curve;
    if (!run->config.transfer[0] || df_transfer_read(&curve, run->dir) != DFAL_OK)
        return DFAL_OK; /* a table that is lost costs its own */
    df_table_caption(
        table,
        "Test accuracy of %s on the rows that were chosen with %s, %%: mean over trials and half of its "
        "95 %% interval",
        run->config.transfer, run->config.network);
    tell_transferred(table, &run->config);
    const dfal_status status = curve.count ? put_strategies(table, run, &curve, NULL) : DFAL_OK;
    df_curve_clear(&curve);
    return status;
}

/* ---- what the paper's tables 1 and 2 have -------------------------------------------------------------- */

/* The point of the highest mean up to so many annotations; NULL: the curve does not reach that far. */
static const struct df_curve_point *highest(const struct df_curve_point *points, int64_t count,
                                            int64_t annotations)
{
    const struct df_curve_point *best = NULL;
    if (!count || points[count - 1].annotations < annotations)
        return NULL;
    for (int64_t i = 0; i < count && points[i].annotations <= annotations; i++)
        if (!best || points[i].mean > best->mean || isnan(best->mean))
            best = &points[i];
    return best;
}

static void put_highest(struct df_table *table, const struct marks *marks,
                        const struct df_curve_point *points, int64_t count, const struct df_paper *paper,
                        const char *strategy)
{
    const struct df_paper_method *method = df_paper_method(paper, strategy);
    for (int32_t m = 0; m < marks->count; m++) {
        const struct df_curve_point *best = highest(points, count, marks->at[m]);
        const int mark = paper ? paper_mark(marks->at[m]) : -1;
        df_table_percent(table, best ? best->mean : (double)NAN,
                         best ? df_half_interval(best->standard_error, best->trials) : (double)NAN);
        if (mark >= 0)
            df_table_percent(table, method ? method->highest[mark] / 100 : (double)NAN, NAN);
    }
}

dfal_status df_report_highest(struct df_table *table, const struct df_report_run *run)
{
    const struct df_paper *paper = df_paper_find(&run->config);
    const struct marks marks = find_marks(&run->config, &run->curve);
    bool beside = false;
    df_table_caption(table,
                     "The highest mean test accuracy up to so many annotations, %%, and half of the 95 %% "
                     "interval of that mean");
    for (int32_t m = 0; m < marks.count; m++)
        beside = beside || (paper && paper_mark(marks.at[m]) >= 0);
    if (beside)
        df_table_caption(table, "; beside it what the paper's table 1 has (full set: %.2f %%)",
                         paper->full_set);
    df_table_heading(table, "strategy");
    for (int32_t m = 0; m < marks.count; m++) {
        df_table_heading(table, "%lld", (long long)marks.at[m]);
        if (paper && paper_mark(marks.at[m]) >= 0)
            df_table_heading(table, "paper, %lld", (long long)marks.at[m]);
    }
    for (int32_t s = 0; s < run->config.strategy_count; s++) {
        const char *strategy = run->summary[s].strategy;
        struct df_curve_point *points;
        int64_t count;
        DF_TRY(df_curve_points(&points, &count, &run->curve, strategy));
        if (count) {
            df_table_row(table, df_report_number(&run->config, s), strategy);
            put_highest(table, &marks, points, count, paper, strategy);
        }
        df_free(points);
    }
    return DFAL_OK;
}

static void put_needed(struct df_table *table, const struct df_curve_point *points, int64_t count,
                       double goal)
{
    int64_t i = 0;
    while (i < count && !(points[i].mean >= goal))
        i++;
    if (i < count)
        df_table_cell(table, "%lld", (long long)points[i].annotations);
    else
        df_table_cell(table, "more than %lld", (long long)points[count - 1].annotations);
}

dfal_status df_report_needed(struct df_table *table, const struct df_report_run *run)
{
    const struct df_paper *paper = df_paper_find(&run->config);
    const double known = run->config.full_set, full = known > 0 ? known : paper ? paper->full_set / 100 : 0;
    if (!(full > 0))
        return DFAL_OK;
    df_table_caption(table,
                     "Annotations until the mean test accuracy is within half a point of the full set's, "
                     "%.2f %%%s",
                     100 * full, known > 0 ? "" : " in the paper");
    df_table_heading(table, "strategy");
    df_table_heading(table, "annotations");
    if (paper)
        df_table_heading(table, "the paper's table 2");
    for (int32_t s = 0; s < run->config.strategy_count; s++) {
        const struct df_paper_method *method = df_paper_method(paper, run->summary[s].strategy);
        struct df_curve_point *points;
        int64_t count;
        DF_TRY(df_curve_points(&points, &count, &run->curve, run->summary[s].strategy));
        if (count) {
            df_table_row(table, df_report_number(&run->config, s), run->summary[s].strategy);
            put_needed(table, points, count, full - NEAR_FULL_SET);
        }
        if (count && paper && method && method->needed)
            df_table_cell(table, "%lld", (long long)method->needed);
        else if (count && paper)
            df_table_cell(table, "%s", "");
        df_free(points);
    }
    return DFAL_OK;
}
