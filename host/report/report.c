/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include <string.h>

#include "base/claim.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "run/directory.h"

dfal_status df_report_run_read(struct df_report_run *run, const char *dir)
{
    *run = (struct df_report_run){.dir = dir};
    DF_TRY(df_run_directory_config(&run->config, dir));
    DF_TRY(df_curve_read(&run->curve, dir));
    return df_curve_summary(run->summary, &run->curve, &run->config);
}

void df_report_run_clear(struct df_report_run *run)
{
    df_curve_clear(&run->curve);
}

static void put_head(struct df_text *page, int32_t count)
{
    df_page_begin(page, "dfal: which samples to label next", "Which samples to label next");
    df_text_add(
        page,
        "%s of active learning: each strategy chooses what is labelled, a network is trained on it from "
        "scratch, and tested.</p>\n</header>\n",
        count == 1 ? "An experiment" : "Experiments");
}

dfal_status df_report_write(struct dfal_context *context, const char *path, const char *const *dirs,
                            int32_t count, bool replace)
{
    struct df_text page = {0};
    char *text = NULL;
    dfal_status status = DFAL_OK;
    put_head(&page, count);
    for (int32_t i = 0; i < count; i++) {
        struct df_report_run run;
        status = df_report_run_read(&run, dirs[i]);
        if (status == DFAL_OK && !run.curve.count)
            status = df_fail(DFAL_E_DATA, "%s: no round is finished, expected at least one", dirs[i]);
        if (status == DFAL_OK)
            df_report_section(&page, context, &run, i + 1);
        df_report_run_clear(&run);
        if (status != DFAL_OK)
            goto done;
    }
    df_page_end(&page, true);
    DF_TRY_TO(done, status, df_text_take(&page, &text));
    status = df_file_write_output(path, text, strlen(text), replace);
done:
    df_text_clear(&page);
    df_free(text);
    return status;
}

/* What the page is made of: a run's files, and the pool that its pictures come from. */
static dfal_status claim_run(const struct df_claim *claim, const char *dir)
{
    struct df_run_config config;
    DF_TRY(df_run_directory_inputs(claim, dir));
    DF_TRY(df_run_directory_config(&config, dir));
    return df_claim_input(claim, config.train);
}

dfal_status dfal_report(dfal_context *context, const char *out_path, const char *const *run_dirs,
                        int32_t run_dir_count)
{
    struct df_claim claim = DF_CLAIM_NONE;
    dfal_status status;
    if (run_dir_count < 1)
        DF_FAIL(DFAL_E_USAGE, "no run directory is named, expected at least one");
    DF_TRY_TO(done, status, df_claim_output(&claim, out_path, "page"));
    for (int32_t i = 0; i < run_dir_count; i++)
        DF_TRY_TO(done, status, claim_run(&claim, run_dirs[i]));
    DF_TRY_TO(done, status, df_claim_take(&claim, out_path, context->options.force));
    status = df_report_write(context, out_path, run_dirs, run_dir_count, context->options.force);
done:
    df_claim_end(&claim);
    return status;
}
