/* SPDX-License-Identifier: Apache-2.0 */
/* What the steps of an experiment cost here: a few rounds' work on samples, timed. Nothing is written. */
#ifndef DF_RUN_MEASURE_H
#define DF_RUN_MEASURE_H

#include "run/experiment.h"
#include "run/forecast.h"

struct df_run_measured {
    struct df_run_cost cost[DF_MAX_STRATEGIES];
    const char *missing[DF_MAX_STRATEGIES]; /* what a strategy costs besides, in words; "": nothing */
    double seconds;                         /* that the measurement took */
};
/* By as many workers at once as the experiment, which is open, will have: the mean of what they measure.
 * Errors   E_USAGE a trainer, whose time nobody knows; E_STOPPED; those of training and selection */
dfal_status df_run_measure(struct df_run_measured *measured, const struct df_experiment *experiment,
                           int32_t workers);

#endif
