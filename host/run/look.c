/* SPDX-License-Identifier: Apache-2.0 */
/* How far a run directory is, for who only looks. */
#include <math.h>
#include <string.h>

#include "run/pace.h"
#include "run/rounds.h"
#include "store/pool.h"

/* Rows that the oracle can answer for, 0: the pool is not to be had any more. */
static int64_t rows_to_label(const struct df_run_config *config)
{
    struct df_pool *pool;
    int64_t rows = 0;
    if (df_pool_open(&pool, NULL, config->train, NULL) != DFAL_OK)
        return 0;
    for (int64_t i = 0; pool->labels && i < pool->count; i++)
        rows += pool->labels[i] >= 0 && !(pool->skipped && pool->skipped[i]);
    df_pool_close(pool);
    return rows;
}

dfal_status df_run_look(struct df_run_look *look, const char *dir)
{
    struct df_curve curve = {0};
    *look = (struct df_run_look){.accuracy = NAN};
    DF_TRY(df_run_directory_config(&look->config, dir));
    look->finished = df_run_directory_is_finished(dir);
    look->trials_total = look->config.trials * look->config.strategy_count;
    struct df_run_pace pace;
    df_run_pace_begin(&pace, &look->config, look->finished ? 0 : rows_to_label(&look->config));
    pace.beside = df_run_beside(dir);
    look->annotations_each = pace.most;
    look->annotations_total = pace.most * look->trials_total;
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
                if (curve.rows[i].trial == trial &&
                    !strcmp(curve.rows[i].strategy, look->config.strategy[s].name))
                    annotations = curve.rows[i].annotations;
            look->annotations += annotations;
            look->trials_done += annotations >= pace.most || look->finished;
        }
    }
    for (int64_t i = 0; i < curve.count; i++)
        df_run_pace_add(&pace, &curve.rows[i]);
    look->elapsed = df_run_pace_spent(&pace);
    const int32_t left = look->trials_total - look->trials_done;
    if (left < pace.beside)
        pace.beside = left > 0 ? left : 1;
    look->eta = look->finished ? 0 : df_run_pace_left(&pace);
    df_curve_clear(&curve);
    return DFAL_OK;
}
