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

/* What the rows of a curve come to. */
static void look_at_curve(struct df_run_look *look, struct df_run_pace *pace, const struct df_run_set *set,
                          const struct df_curve *curve)
{
    if (curve->count) {
        const struct df_curve_row *row = &curve->rows[curve->count - 1];
        memcpy(look->strategy, row->strategy, sizeof look->strategy);
        look->trial = row->trial;
        look->round = row->round;
        look->annotations_last = row->annotations;
        look->accuracy = row->accuracy;
    }
    for (int64_t m = 0; m < set->count; m++) {
        const struct df_run_member *member = &set->members[m];
        int64_t annotations = 0;
        for (int64_t i = 0; i < curve->count; i++)
            if (curve->rows[i].trial == member->trial &&
                !strcmp(curve->rows[i].strategy, look->config.strategy[member->strategy].name))
                annotations = curve->rows[i].annotations;
        look->annotations += annotations;
        look->trials_done += annotations >= pace->most || look->finished;
    }
    for (int64_t i = 0; i < curve->count; i++)
        df_run_pace_add(pace, &curve->rows[i]);
    look->elapsed = df_run_pace_spent(pace);
    const int32_t left = look->trials_total - look->trials_done;
    if (left < pace->beside)
        pace->beside = left > 0 ? left : 1;
    look->eta = look->finished ? 0 : df_run_pace_left(pace);
}

dfal_status df_run_look(struct df_run_look *look, const char *dir)
{
    struct df_curve curve = {0};
    struct df_run_set set = {0};
    struct df_run_pace pace;
    dfal_status status;
    *look = (struct df_run_look){.accuracy = NAN};
    DF_TRY_TO(done, status, df_run_directory_config(&look->config, dir));
    DF_TRY_TO(done, status, df_run_part_read(&look->part, dir));
    DF_TRY_TO(done, status, df_run_set_of_part(&set, &look->config, look->part));
    look->finished = df_run_directory_is_finished(dir);
    look->trials_total = (int32_t)set.count;
    df_run_pace_begin(&pace, &look->config, &set, look->finished ? 0 : rows_to_label(&look->config));
    pace.beside = df_run_beside(dir);
    look->annotations_each = pace.most;
    look->annotations_total = pace.most * look->trials_total;
    look->eta = look->finished ? 0 : NAN;
    status = df_curve_read(&curve, dir);
    if (status == DFAL_OK)
        look_at_curve(look, &pace, &set, &curve);
    else if (status == DFAL_E_NOINPUT) /* begun a moment ago: config.yaml comes first */
        status = DFAL_OK;
done:
    df_run_set_clear(&set);
    df_curve_clear(&curve);
    return status;
}
