/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"

static const double shortest_pause = 0.1; /* seconds between two events */

/* 1234567 as 1,234,567. */
static void group_digits(char text[32], int64_t value)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRId64, value), at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && digits[i - 1] != '-' && (length - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = 0;
}

void df_duration_text(char text[32], double seconds)
{
    int64_t s = (int64_t)ceil(seconds);
    if (s < 60)
        snprintf(text, 32, "%" PRId64 " s", s);
    else if (s < 600)
        snprintf(text, 32, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
    else if (s < 3600)
        snprintf(text, 32, "%" PRId64 " min", s / 60);
    else if (s < 86400)
        snprintf(text, 32, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
    else
        snprintf(text, 32, "%" PRId64 " d %" PRId64 " h", s / 86400, s / 3600 % 24);
}

static void rate_text(char text[32], double rate)
{
    if (rate >= 10 && rate < 1e15)
        group_digits(text, (int64_t)(rate + 0.5));
    else
        df_print(text, 32, "%.3g", rate);
}

/* What matters most stands first: a terminal cuts the line, which in a run has the whole run's in front of
 * it. */
static void emit(struct df_progress *p, double now, const char *extra)
{
    double spent = now - p->begin;
    double rate = spent > 0 ? (double)(p->done - p->done_at_start) / spent : 0;
    double eta = rate > 0 && p->total >= p->done ? (double)(p->total - p->done) / rate : NAN;
    char done[32], total[32], speed[32], left[32] = "", share[32] = "";
    group_digits(done, p->done);
    group_digits(total, p->total);
    rate_text(speed, rate);
    if (isfinite(eta) && eta < 1e9)
        df_duration_text(left, eta);
    if (p->total > 0)
        df_print(share, sizeof share, "%.1f %%  ", 100.0 * (double)p->done / (double)p->total);
    df_say(p->context, DFAL_PROGRESS, p->name,
           DF_FIELDS(DF_INT("done", p->done), DF_INT("total", p->total), DF_REAL("rate", rate),
                     DF_REAL("eta", eta)),
           "%s%s%s%s%s  %s%s %s/s%s%s", done, p->total > 0 ? "/" : " ", p->total > 0 ? total : p->unit,
           *left ? "  ETA " : "", left, share, speed, p->unit, extra && *extra ? "  " : "",
           extra ? extra : "");
    p->last = now;
}

void df_progress_begin(struct df_progress *progress, struct dfal_context *context, const char *name,
                       const char *unit, int64_t total, int64_t done)
{
    *progress = (struct df_progress){
        .context = context,
        .name = name,
        .unit = unit,
        .total = total,
        .done = done,
        .done_at_start = done,
    };
    progress->begin = progress->last = df_clock();
    pthread_mutex_init(&progress->lock, NULL);
}

void df_progress_add(struct df_progress *progress, int64_t done, const char *text)
{
    pthread_mutex_lock(&progress->lock);
    progress->done += done;
    double now = df_clock();
    if (now - progress->last >= shortest_pause)
        emit(progress, now, text);
    pthread_mutex_unlock(&progress->lock);
}

void df_progress_end(struct df_progress *progress)
{
    pthread_mutex_lock(&progress->lock);
    emit(progress, df_clock(), NULL);
    pthread_mutex_unlock(&progress->lock);
    pthread_mutex_destroy(&progress->lock);
}
