/* SPDX-License-Identifier: Apache-2.0 */
/* How far a run directory is, for who only looks. */
#include <math.h>
#include <string.h>

#include "run/pace.h"
#include "run/run.h"

dfal_status df_run_look(struct df_run_look *look, const char *dir)
{
    struct df_curve curve = {0};
    *look = (struct df_run_look){.accuracy = NAN};
    DF_TRY(df_run_directory_config(&look->config, dir));
    look->finished = df_run_directory_is_finished(dir);
    look->trials_total = look->config.trials * look->config.strategy_count;
    look->annotations_total = look->config.annotations * look->trials_total;
    look->eta = look->finished ? 0 : NAN;
    dfal_status status = df_curve_read(&curve, dir);
    if (status == DFAL_E_NOINPUT) /* begun a moment ago: config.yaml comes first */
        return DFAL_OK;
    DF_TRY(status);
    if (curve.count) {
        const struct df_curve_row *row = &curve.rows[curve.count - 1];
        memcpy(look->strategy, row->strategy, sizeof look->strategy);
        look->trial = row->trial;
        look->round = row->round;
        look->annotations_last = row->annotations;
        look->accuracy = row->accuracy;
    }
    for (int32_t trial = 1; trial <= look->config.trials; trial++) {
        for (int32_t s = 0; s < look->config.strategy_count; s++) {
            int64_t annotations = 0;
            for (int64_t i = 0; i < curve.count; i++)
                if (curve.rows[i].trial == trial && !strcmp(curve.rows[i].strategy, look->config.strategy[s]))
                    annotations = curve.rows[i].annotations;
            look->annotations += annotations;
            look->trials_done += annotations >= look->config.annotations || look->finished;
        }
    }
    struct df_run_pace pace;
    df_run_pace_begin(&pace, &look->config, 0);
    for (int64_t i = 0; i < curve.count; i++)
        df_run_pace_add(&pace, &curve.rows[i]);
    look->elapsed = df_run_pace_spent(&pace);
    look->eta = look->finished ? 0 : df_run_pace_left(&pace);
    df_curve_clear(&curve);
    return DFAL_OK;
}
