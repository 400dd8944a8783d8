/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include <stdio.h>
#include <string.h>

#include "base/claim.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "run/directory.h"

/* Without what a shell's completion puts behind a folder. */
static void copy_name(struct df_report_run *run, const char *name)
{
    size_t length = strlen(name);
    while (length > 1 && name[length - 1] == '/')
        length--;
    snprintf(run->name, sizeof run->name, "%.*s", (int)length, name);
}

dfal_status df_report_run_read(struct df_report_run *run, const char *dir)
{
    *run = (struct df_report_run){.dir = dir};
    copy_name(run, dir);
    DF_TRY(df_run_directory_config(&run->config, dir));
    DF_TRY(df_curve_read(&run->curve, dir));
    return df_curve_summary(run->summary, &run->curve, &run->config);
}

void df_report_run_clear(struct df_report_run *run)
{
    df_curve_clear(&run->curve);
    df_free(run->differs);
    run->differs = NULL;
}

static const char *last_part(const char *path)
{
    const char *part = path;
    for (const char *c = path; *c; c++)
        if (*c == '/' && c[1] && c[1] != '/')
            part = c + 1;
    return part;
}

/* Folders of one name are told apart by their whole paths. */
static dfal_status name_runs(struct df_report_run *runs, int32_t count)
{
    const struct df_run_config *configs[DF_REPORT_RUNS];
    for (int32_t i = 0; i < count; i++) {
        bool alone = true;
        configs[i] = &runs[i].config;
        for (int32_t k = 0; k < count; k++)
            alone = alone && (k == i || strcmp(last_part(runs[i].dir), last_part(runs[k].dir)));
        copy_name(&runs[i], alone ? last_part(runs[i].dir) : runs[i].dir);
    }
    for (int32_t i = 0; i < count && count > 1; i++) {
        struct df_text text = {0};
        df_run_config_differences(&text, configs, count, i);
        DF_TRY(df_text_take(&text, &runs[i].differs));
    }
    return DFAL_OK;
}

static void put_head(struct df_text *page, int32_t count)
{
    df_page_begin(page, "dfal: which samples to label next", "Which samples to label next");
    df_text_add(
        page,
        "%s of active learning: each strategy chooses what is labelled, a network is trained on it, and "
        "tested.</p>\n</header>\n",
        count == 1 ? "An experiment" : "Experiments");
}

/* The chart that all share, and what tells them apart. */
static dfal_status put_common(struct df_text *page, const struct df_report_run *runs, int32_t count)
{
    df_text_add(page, "<section aria-labelledby=\"s0\">\n<h2 id=\"s0\">All runs</h2>\n<figure "
                      "class=\"plot\">\n");
    DF_TRY(df_plot_runs(page, runs, count));
    df_text_add(page,
                "<figcaption>Test accuracy over annotations, mean over each run's trials. The band is one "
                "standard error. A colour is a run.</figcaption></figure>\n<ul class=\"runs\">\n");
    for (int32_t i = 0; i < count; i++) {
        df_text_add(page, "<li class=\"c%d\"><span class=\"key\"></span><a href=\"#s%d\">", 1 + i % 6, i + 1);
        df_text_html(page, runs[i].name);
        df_text_add(page, "</a>: ");
        df_text_html(page, runs[i].differs[0] ? runs[i].differs : "configured like the others");
        df_text_add(page, "</li>\n");
    }
    df_text_add(page, "</ul>\n</section>\n");
    return DFAL_OK;
}

static dfal_status read_runs(struct df_report_run *runs, const char *const *dirs, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        DF_TRY(df_report_run_read(&runs[i], dirs[i]));
        if (!runs[i].curve.count)
            DF_FAIL(DFAL_E_DATA, "%s: no round is finished, expected at least one", dirs[i]);
    }
    return name_runs(runs, count);
}

dfal_status df_report_write(struct dfal_context *context, const char *path, const char *const *dirs,
                            int32_t count, bool replace)
{
    struct df_text page = {0};
    struct df_report_run *runs = NULL;
    char *text = NULL;
    dfal_status status = DFAL_OK;
    if (count > DF_REPORT_RUNS)
        DF_FAIL(DFAL_E_USAGE, "%d run directories are named, expected at most %d", count, DF_REPORT_RUNS);
    DF_TRY_TO(done, status, df_alloc(&runs, count, sizeof *runs));
    DF_TRY_TO(done, status, read_runs(runs, dirs, count));
    put_head(&page, count);
    if (count > 1)
        DF_TRY_TO(done, status, put_common(&page, runs, count));
    for (int32_t i = 0; i < count; i++)
        df_report_section(&page, context, &runs[i], i + 1);
    df_page_end(&page, true);
    DF_TRY_TO(done, status, df_text_take(&page, &text));
    status = df_file_write_output(path, text, strlen(text), replace);
done:
    for (int32_t i = 0; runs && i < count; i++)
        df_report_run_clear(&runs[i]);
    df_free(runs);
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
