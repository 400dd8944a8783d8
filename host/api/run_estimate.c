/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_run_estimate: what a run would take, from a measurement of its steps. */
#include <math.h>

#include "backend/backend.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sized.h"
#include "run/measure.h"
#include "run/side.h"

/* Of a branch's lists and scores of all candidates, of which the measurement has few. */
enum { CANDIDATE_BYTES = 64 };

struct estimate {
    struct df_experiment experiment;
    struct df_run_set set;
    struct df_run_measured measured;
    struct df_run_forecast trial[DF_MAX_STRATEGIES];
    double *seconds, *busy; /* [set.count] of each branch; [workers] */
};

static double branch_seconds(const struct df_run_forecast *trial)
{
    return trial->train + trial->select + trial->test;
}

static dfal_status add_up(struct estimate *estimate, struct dfal_run_estimate_result *result)
{
    const struct df_experiment *e = &estimate->experiment;
    const struct df_run_set *set = &estimate->set;
    const int32_t workers = (int32_t)result->beside;
    DF_TRY(df_alloc(&estimate->seconds, set->count, sizeof *estimate->seconds));
    DF_TRY(df_alloc(&estimate->busy, workers, sizeof *estimate->busy));
    for (int32_t s = 0; s < e->config.strategy_count; s++)
        estimate->trial[s] =
            df_run_forecast_trial(&e->config, s, e->eligible_count, &estimate->measured.cost[s]);
    for (int64_t i = 0; i < set->count; i++) {
        estimate->seconds[i] = branch_seconds(&estimate->trial[set->members[i].strategy]);
        result->device_seconds += estimate->seconds[i];
    }
    if (!e->device->own_memory) /* a branch has its share of the threads */
        result->device_seconds *= (double)e->context->threads / workers;
    result->seconds = df_run_forecast_end(estimate->seconds, set->count, estimate->busy, workers);
    return DFAL_OK;
}

static void tell(const struct estimate *estimate, dfal_run_estimate_row_fn *row, void *user)
{
    const struct df_run_config *config = &estimate->experiment.config;
    for (int32_t s = 0; s < config->strategy_count; s++) {
        const struct df_run_forecast *trial = &estimate->trial[s];
        const int32_t trials = df_run_set_trials(&estimate->set, s);
        const struct dfal_run_estimate_row line = {
            .strategy = config->strategy[s].name,
            .trials = trials,
            .rounds = trial->rounds,
            .labelled = trial->labelled,
            .train_seconds = trials * trial->train,
            .select_seconds = trials * trial->select,
            .test_seconds = trials * trial->test,
            .missing = estimate->measured.missing[s],
        };
        row(user, &line);
    }
}

static dfal_status run(struct estimate *estimate, struct dfal_context *context,
                       const struct dfal_run_options *options, struct dfal_run_estimate_result *result)
{
    struct df_experiment *e = &estimate->experiment;
    DF_TRY(df_experiment_open(e, context, options, df_oracles));
    DF_TRY(df_run_set_of_part(&estimate->set, &e->config, e->part));
    DF_TRY(df_experiment_feed(e));
    result->branches = estimate->set.count;
    result->beside = df_run_side_workers(e, result->branches);
    result->upper_bound = e->config.training.patience > 0;
    const int64_t before = df_memory_peak();
    DF_TRY(df_run_measure(&estimate->measured, e, (int32_t)result->beside));
    result->timed_seconds = estimate->measured.seconds;
    const double beside = (double)result->beside, grown = (double)(df_memory_peak() - before);
    result->memory_bytes = before + (int64_t)(fmax(grown, beside * df_run_branch_bytes(e)) +
                                              beside * CANDIDATE_BYTES * (double)e->eligible_count);
    return add_up(estimate, result);
}

dfal_status dfal_run_estimate(dfal_context *context, struct dfal_run_estimate_result *told,
                              const struct dfal_run_options *options, dfal_run_estimate_row_fn *row,
                              void *user)
{
    struct dfal_run_options own;
    struct dfal_run_estimate_result result = {0};
    struct estimate *estimate = NULL;
    dfal_status status;
    dfal_run_options_init(&own);
    DF_TRY(df_sized_take(&own, sizeof own, options, "dfal_run_options"));
    DF_TRY(df_sized_check(told, "dfal_run_estimate_result"));
    context->kept_work = false;
    DF_TRY(df_alloc(&estimate, 1, sizeof *estimate));
    status = run(estimate, context, &own, &result);
    if (status == DFAL_OK && row)
        tell(estimate, row, user);
    if (status == DFAL_OK)
        df_sized_give(told, &result, sizeof result);
    df_free(estimate->seconds);
    df_free(estimate->busy);
    df_run_set_clear(&estimate->set);
    df_experiment_close(&estimate->experiment);
    df_free(estimate);
    return status;
}
