/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_run: the experiment, its page, and the last rounds' table. */
#include "run/run.h"

#include "base/memory.h"
#include "report/report.h"
#include "run/curve.h"

static dfal_status give_rows(const char *dir, dfal_run_row_fn *row, void *user)
{
    struct df_run_config config;
    struct df_summary_row rows[DF_MAX_STRATEGIES];
    struct df_curve curve = {0};
    DF_TRY(df_run_directory_config(&config, dir));
    DF_TRY(df_curve_read(&curve, dir));
    dfal_status status = df_curve_summary(rows, &curve, &config);
    for (int32_t i = 0; i < config.strategy_count && status == DFAL_OK; i++)
        row(user, &rows[i].row);
    df_curve_clear(&curve);
    return status;
}

static dfal_status publish(struct dfal_context *context, const char *dir)
{
    char *page = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_format(&page, "%s/report.html", dir));
    DF_TRY_TO(done, status, df_report_write(context, page, &dir, 1, true));
    status = df_run_directory_finish(dir);
done:
    df_free(page);
    return status;
}

dfal_status dfal_run(dfal_context *context, const char *out_dir, const struct dfal_run_options *options,
                     dfal_run_row_fn *row, void *user)
{
    DF_TRY(df_run_execute(context, out_dir, options, publish));
    return row ? give_rows(out_dir, row, user) : DFAL_OK;
}
