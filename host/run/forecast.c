/* SPDX-License-Identifier: Apache-2.0 */
#include "run/forecast.h"

#include <math.h>

struct df_run_forecast df_run_forecast_trial(const struct df_run_config *config, int32_t strategy,
                                             int64_t rows, const struct df_run_cost *cost)
{
    const struct df_strategy_config options = df_run_strategy_options(config, strategy);
    const int64_t most = config->annotations < rows ? config->annotations : rows;
    struct df_run_forecast forecast = {0};
    for (int64_t annotations = config->initial;; annotations += config->query) {
        if (annotations > most)
            annotations = most;
        forecast.labelled = annotations + (options.twins ? annotations - config->initial : 0);
        forecast.rounds++;
        forecast.train += cost->train + cost->train_row * (double)forecast.labelled;
        forecast.test += cost->test;
        if (annotations == most)
            return forecast;
        const int64_t left = rows - annotations;
        const int64_t candidates =
            options.subsample > 0 && options.subsample < left ? options.subsample : left;
        forecast.select += cost->select + cost->select_row * (double)candidates;
    }
}

double df_run_forecast_end(const double *seconds, int64_t count, double *busy, int32_t workers)
{
    double end = 0;
    for (int32_t w = 0; w < workers; w++)
        busy[w] = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t free = 0;
        for (int32_t w = 1; w < workers; w++)
            if (busy[w] < busy[free])
                free = w;
        busy[free] += seconds[i];
        end = fmax(end, busy[free]);
    }
    return end;
}
