/* SPDX-License-Identifier: Apache-2.0 */
/* How long a run has taken and will take, over all trials and strategies, from the rounds that are
 * finished. */
#ifndef DF_RUN_PACE_H
#define DF_RUN_PACE_H

#include "base/lock.h"
#include "base/log.h"
#include "run/curve.h"
#include "run/part.h"

/* A round's work is the rows that it trains on, or one where every round takes the same steps. Each strategy
 * has a speed of its own; one that has no finished round is taken for the mean of the others. */
struct df_run_pace {
    const struct df_run_config *config;                       /* borrowed */
    int32_t beside;                                           /* strategies and trials that run at once */
    int64_t most;                                             /* annotations at which a trial ends */
    double total[DF_MAX_STRATEGIES], done[DF_MAX_STRATEGIES]; /* work */
    double seconds[DF_MAX_STRATEGIES];                        /* of what is done */
    double spent; /* the same by the clock: seconds over how many ran at once then */
    double last;  /* df_clock of the last round's end */
};
/* set: what is run. rows: of the pool that can be labelled; 0: not known. */
void df_run_pace_begin(struct df_run_pace *pace, const struct df_run_config *config,
                       const struct df_run_set *set, int64_t rows);
/* A finished round. */
void df_run_pace_add(struct df_run_pace *pace, const struct df_curve_row *row);
/* Seconds that the finished rounds took, as many at once as beside says; seconds of those to come, NAN before
 * the first. */
double df_run_pace_spent(const struct df_run_pace *pace);
double df_run_pace_left(const struct df_run_pace *pace);

/* The same for a run that is going on: while it does, every progress event says how far the whole run is. */
struct df_run_advance {
    struct dfal_context *context;
    struct df_lock lock; /* of all below */
    struct df_run_pace pace;
    int64_t done, total; /* annotations */
};
void df_run_advance_begin(struct df_run_advance *advance, struct dfal_context *context,
                          const struct df_run_config *config, const struct df_run_set *set, int64_t rows);
void df_run_advance_end(struct df_run_advance *advance);
/* Take the rounds of earlier processes from DIR/curve.csv; so many strategies and trials will run at once,
 * which DIR/state/beside keeps for who looks. */
dfal_status df_run_advance_resume(struct df_run_advance *advance, const char *dir, int32_t beside);
/* So many strategies and trials are left. */
void df_run_advance_left(struct df_run_advance *advance, int64_t left);
/* What DIR/state/beside says; 1 where it says nothing. */
int32_t df_run_beside(const char *dir);
/* A round is finished; added: its annotations. */
void df_run_advance_add(struct df_run_advance *advance, const struct df_curve_row *row, int64_t added);

#endif
