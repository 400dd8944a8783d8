/* SPDX-License-Identifier: Apache-2.0 */
#include "run/pace.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"

static double work_of(const struct df_run_pace *pace, int32_t strategy, int64_t annotations)
{
    if (pace->config->training.steps > 0)
        return 1;
    const bool twins = df_run_strategy_options(pace->config, strategy).twins;
    return (double)annotations + (twins ? (double)(annotations - pace->config->initial) : 0);
}

/* Of all rounds of a trial: those of initial, initial + query, ... below most, and the last one. In closed
 * form, for a configuration may ask for more annotations than anybody has. */
static double total_of(const struct df_run_pace *pace, int32_t strategy)
{
    const int64_t first = pace->config->initial, query = pace->config->query;
    const int64_t below = pace->most > first ? (pace->most - first - 1) / query + 1 : 0;
    const double each =
        below > 0
            ? (work_of(pace, strategy, first) + work_of(pace, strategy, first + (below - 1) * query)) / 2
            : 0;
    return (double)below * each + work_of(pace, strategy, pace->most);
}

void df_run_pace_begin(struct df_run_pace *pace, const struct df_run_config *config,
                       const struct df_run_set *set, int64_t rows)
{
    *pace =
        (struct df_run_pace){.config = config, .beside = 1, .most = config->annotations, .last = df_clock()};
    if (rows > 0 && rows < pace->most)
        pace->most = rows;
    for (int32_t s = 0; s < config->strategy_count; s++)
        pace->total[s] = total_of(pace, s) * df_run_set_trials(set, s);
}

void df_run_pace_add(struct df_run_pace *pace, const struct df_curve_row *row)
{
    pace->last = df_clock();
    for (int32_t s = 0; s < pace->config->strategy_count; s++) {
        if (strcmp(pace->config->strategy[s].name, row->strategy))
            continue;
        const double seconds =
            isfinite(row->round_seconds) ? row->round_seconds : row->train_seconds + row->select_seconds;
        pace->done[s] += work_of(pace, s, row->annotations);
        pace->seconds[s] += seconds;
        pace->spent += seconds / pace->beside;
    }
}

double df_run_pace_spent(const struct df_run_pace *pace)
{
    return pace->spent;
}

double df_run_pace_left(const struct df_run_pace *pace)
{
    double done = 0, left = 0, seconds = 0;
    for (int32_t s = 0; s < pace->config->strategy_count; s++) {
        done += pace->done[s];
        seconds += pace->seconds[s];
    }
    if (!(done > 0))
        return NAN;
    for (int32_t s = 0; s < pace->config->strategy_count; s++) {
        const double speed = pace->done[s] > 0 ? pace->seconds[s] / pace->done[s] : seconds / done;
        left += speed * fmax(0, pace->total[s] - pace->done[s]);
    }
    return left / pace->beside;
}

/* ---- while it runs ------------------------------------------------------------------------------------- */

/* "run 37.5 %  ETA 4 min  after 2 min 3 s | ", in the middle of a round too. The longest times leave room for
 * the counts and the time left of what is going on in a line of 80 columns. */
static void tell_whole(void *user, char *text, int32_t size)
{
    struct df_run_advance *advance = user;
    char elapsed[32], eta[32] = "?";
    df_lock_take(&advance->lock);
    const double since = df_clock() - advance->pace.last, left = df_run_pace_left(&advance->pace);
    df_duration_text(elapsed, df_run_pace_spent(&advance->pace) + since);
    if (isfinite(left))
        df_duration_text(eta, fmax(0, left - since));
    df_print(text, (size_t)size, "run %.1f %%  ETA %s  after %s | ",
             100.0 * (double)advance->done / (double)advance->total, eta, elapsed);
    df_lock_release(&advance->lock);
}

void df_run_advance_begin(struct df_run_advance *advance, struct dfal_context *context,
                          const struct df_run_config *config, const struct df_run_set *set, int64_t rows)
{
    *advance = (struct df_run_advance){.context = context};
    df_lock_begin(&advance->lock);
    df_run_pace_begin(&advance->pace, config, set, rows);
    advance->total = advance->pace.most * set->count;
    df_log_prefix(context, tell_whole, advance);
}

void df_run_advance_end(struct df_run_advance *advance)
{
    df_log_prefix(advance->context, NULL, NULL);
    df_lock_end(&advance->lock);
}

static dfal_status beside_path(char **out, const char *dir)
{
    return df_format(out, "%s/state/beside", dir);
}

static dfal_status keep_beside(const char *dir, int32_t beside)
{
    char *path, text[16];
    DF_TRY(beside_path(&path, dir));
    const int size = snprintf(text, sizeof text, "%d\n", beside);
    const dfal_status status = df_file_write(path, text, (size_t)size);
    df_free(path);
    return status;
}

int32_t df_run_beside(const char *dir)
{
    enum { MOST = 16 };
    char *path = NULL, *text = NULL;
    int64_t beside = 0;
    size_t size = 0;
    dfal_status status = beside_path(&path, dir);
    if (status == DFAL_OK)
        status = df_file_read(&text, &size, path, MOST);
    if (status == DFAL_OK && size > 0) {
        text[size - 1] = 0; /* the line's end */
        if (!df_parse_whole(&beside, text))
            beside = 0;
    }
    df_free(path);
    df_free(text);
    return beside > 0 && beside <= INT32_MAX ? (int32_t)beside : 1;
}

dfal_status df_run_advance_resume(struct df_run_advance *advance, const char *dir, int32_t beside)
{
    struct df_curve curve;
    const int32_t before = df_run_beside(dir);
    DF_TRY(keep_beside(dir, beside));
    DF_TRY(df_curve_read(&curve, dir));
    df_lock_take(&advance->lock);
    advance->pace.beside = before;
    for (int64_t i = 0; i < curve.count; i++)
        df_run_pace_add(&advance->pace, &curve.rows[i]);
    advance->pace.beside = beside;
    df_lock_release(&advance->lock);
    df_curve_clear(&curve);
    return DFAL_OK;
}

void df_run_advance_left(struct df_run_advance *advance, int64_t left)
{
    df_lock_take(&advance->lock);
    if (left > 0 && left < advance->pace.beside)
        advance->pace.beside = (int32_t)left;
    df_lock_release(&advance->lock);
}

void df_run_advance_add(struct df_run_advance *advance, const struct df_curve_row *row, int64_t added)
{
    df_lock_take(&advance->lock);
    advance->done += added;
    df_run_pace_add(&advance->pace, row);
    const int64_t done = advance->done, total = advance->total;
    const double elapsed = df_run_pace_spent(&advance->pace), left = df_run_pace_left(&advance->pace);
    df_lock_release(&advance->lock);
    df_say(advance->context, DFAL_PROGRESS, "run.progress",
           DF_FIELDS(DF_INT("done", done), DF_INT("total", total),
                     DF_REAL("rate", elapsed > 0 ? (double)done / elapsed : NAN), DF_REAL("eta", left),
                     DF_REAL("elapsed", elapsed)),
           "%lld of %lld annotations, trial %d, %s", (long long)done, (long long)total, row->trial,
           row->strategy);
}
