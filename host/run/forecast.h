/* SPDX-License-Identifier: Apache-2.0 */
/* How long an experiment takes, from what its steps cost. Plain arithmetic: nothing is measured here. */
#ifndef DF_RUN_FORECAST_H
#define DF_RUN_FORECAST_H

#include "run/config.h"

/* Seconds of one strategy's steps. */
struct df_run_cost {
    double train, train_row;   /* of a round's training, all restarts and epochs: these and so many a row */
    double select, select_row; /* of a choice: these and so many a candidate */
    double test;               /* of an evaluation */
};
/* A trial of it. */
struct df_run_forecast {
    int64_t rounds, labelled; /* labelled: rows that the last round trains on */
    double train, select, test;
};
/* rows: of the pool that can be labelled. Every query counts as one that gets its twin. */
struct df_run_forecast df_run_forecast_trial(const struct df_run_config *config, int32_t strategy,
                                             int64_t rows, const struct df_run_cost *cost);
/* Seconds until the last of some branches ends: workers take them in their order, each the next one when it
 * is free. busy [workers] is filled. */
double df_run_forecast_end(const double *seconds, int64_t count, double *busy, int32_t workers);

#endif
