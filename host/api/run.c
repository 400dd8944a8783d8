/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_run: the experiment, its page, and the last rounds' table. */
#include "publish.h"

#include "base/memory.h"
#include "base/sized.h"
#include "report/report.h"

dfal_status dfal_run_table(dfal_context *context, const char *dir, dfal_run_row_fn *row, void *user)
{
    struct df_report_run run = {0};
    (void)context;
    dfal_status status = df_report_run_read(&run, dir);
    if (status == DFAL_OK && !run.curve.count)
        status = df_fail(DFAL_E_NOINPUT, "%s: no round is finished, expected at least one", dir);
    for (int32_t i = 0; i < run.config.strategy_count && status == DFAL_OK; i++)
        if (run.summary[i].trials) /* its first trial has a round */
            row(user, &run.summary[i]);
    df_report_run_clear(&run);
    return status;
}

dfal_status df_run_publish(struct dfal_context *context, const char *dir)
{
    struct df_run_part part;
    char *page = NULL;
    dfal_status status;
    DF_TRY(df_run_part_read(&part, dir));
    if (part.count) /* what a page tests needs all trials */
        return df_run_directory_finish(dir);
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
    struct dfal_run_options own;
    dfal_run_options_init(&own);
    DF_TRY(df_sized_take(&own, sizeof own, options, "dfal_run_options"));
    DF_TRY(df_run_execute(context, out_dir, &own, df_oracles, df_run_publish));
    return row && context->rank == 0 ? dfal_run_table(context, out_dir, row, user) : DFAL_OK;
}
