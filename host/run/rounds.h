/* SPDX-License-Identifier: Apache-2.0 */
/* A whole experiment: trials, strategies, rounds. */
#ifndef DF_RUN_ROUNDS_H
#define DF_RUN_ROUNDS_H

#include "run/experiment.h"
#include "run/part.h"

/* DIR/state/STRATEGY-TRIAL.h5 and DIR/networks/STRATEGY-TRIAL[-rROUND].h5; free with df_free. */
dfal_status df_run_state_path(char **out, const char *dir, const char *strategy, int32_t trial);
dfal_status df_run_network_path(char **out, const char *dir, const char *strategy, int32_t trial,
                                int32_t round);

/* What is left to write when all trials are there; the directory is still held. */
typedef dfal_status df_run_publish_fn(struct dfal_context *context, const char *dir);
/* Run or continue until every trial of every strategy has its annotations, and publish.
 * Errors   E_STOPPED with context->kept_work telling whether a round was finished; those of the directory */
dfal_status df_run_execute(struct dfal_context *context, const char *dir,
                           const struct dfal_run_options *options, const struct df_oracle_kind *oracles,
                           df_run_publish_fn *publish);

/* How far a run directory is, for `status` and `info`. Reads only. */
struct df_run_look {
    struct df_run_config config; /* of the whole experiment */
    struct df_run_part part;     /* of it that the directory has, and the counts below count */
    bool finished;
    int64_t annotations, annotations_total; /* over all trials and strategies */
    int64_t annotations_each;               /* at which a trial ends: an unfinished run knows its pool */
    int32_t trials_done, trials_total;      /* pairs of trial and strategy */
    char strategy[32];                      /* of the last row; "" before the first */
    int32_t trial, round;
    int64_t annotations_last; /* of that row */
    double accuracy;
    double elapsed,
        eta; /* seconds that the finished rounds took; that all others will take, NAN: not known */
};
dfal_status df_run_look(struct df_run_look *look, const char *dir);

#endif
