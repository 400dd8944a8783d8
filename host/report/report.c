/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include <stdio.h>
#include <string.h>

#include "base/claim.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "report/report_tables.h"
#include "run/directory_files.h"

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
        df_report_run_rename(&runs[i], alone ? last_part(runs[i].dir) : runs[i].dir);
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
        df_text_add(page, "<li class=\"c%d\"><span class=\"key\"></span><a href=\"#s%d\">",
                    df_report_colour(1 + i), i + 1);
        df_text_html(page, runs[i].name);
        df_text_add(page, "</a>: ");
        df_text_html(page, runs[i].differs[0] ? runs[i].differs : "configured like the others");
        df_text_add(page, "</li>\n");
    }
    df_text_add(page, "</ul>\n</section>\n");
    return DFAL_OK;
}

/* Queries that cannot be read cost their tables; the pictures tell why. */
static void read_queries(struct df_report_run *run)
{
    char message[DF_MESSAGE_SIZE];
    df_message_get(message);
    if (df_query_table_read(&run->queries, run->dir) != DFAL_OK)
        df_message_set(message);
}

static dfal_status read_runs(struct df_report_run *runs, const char *const *dirs, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        DF_TRY(df_report_run_read(&runs[i], dirs[i]));
        if (runs[i].part.count)
            DF_FAIL(DFAL_E_DATA,
                    "%s is part %d of %d of an experiment, expected a whole one, as its merged parts are",
                    dirs[i], runs[i].part.number + 1, runs[i].part.count);
        if (!runs[i].curve.count)
            DF_FAIL(DFAL_E_DATA, "%s: no round is finished, expected at least one", dirs[i]);
        read_queries(&runs[i]);
    }
    return name_runs(runs, count);
}

typedef dfal_status compose_fn(struct df_text *text, struct dfal_context *context,
                               const struct df_report_run *runs, int32_t count);

static dfal_status compose_page(struct df_text *page, struct dfal_context *context,
                                const struct df_report_run *runs, int32_t count)
{
    put_head(page, count);
    if (count > 1)
        DF_TRY(put_common(page, runs, count));
    for (int32_t i = 0; i < count; i++)
        df_report_section(page, context, &runs[i], i + 1);
    df_page_end(page, true);
    return DFAL_OK;
}

static dfal_status compose_latex(struct df_text *text, struct dfal_context *context,
                                 const struct df_report_run *runs, int32_t count)
{
    (void)context;
    df_text_add(text, "%% Drawn by dfal %s. UTF-8, which LaTeX reads since 2018.\n\n", DFAL_VERSION);
    for (int32_t i = 0; i < count; i++) {
        df_text_add(text, "\\subsection*{");
        df_latex_text(text, runs[i].name);
        df_text_add(text, "}\n\n");
        DF_TRY(df_report_latex(text, &runs[i]));
    }
    return DFAL_OK;
}

static dfal_status write_as(compose_fn *compose, struct dfal_context *context, const char *path,
                            const char *const *dirs, int32_t count, bool replace)
{
    struct df_text text = {0};
    struct df_report_run *runs = NULL;
    char *bytes = NULL;
    dfal_status status = DFAL_OK;
    if (count > DF_REPORT_RUNS)
        DF_FAIL(DFAL_E_USAGE, "%d run directories are named, expected at most %d", count, DF_REPORT_RUNS);
    DF_TRY_TO(done, status, df_alloc(&runs, count, sizeof *runs));
    DF_TRY_TO(done, status, read_runs(runs, dirs, count));
    DF_TRY_TO(done, status, compose(&text, context, runs, count));
    DF_TRY_TO(done, status, df_text_take(&text, &bytes));
    status = df_file_write_output(path, bytes, strlen(bytes), replace);
done:
    for (int32_t i = 0; runs && i < count; i++)
        df_report_run_clear(&runs[i]);
    df_free(runs);
    df_text_clear(&text);
    df_free(bytes);
    return status;
}

dfal_status df_report_write(struct dfal_context *context, const char *path, const char *const *dirs,
                            int32_t count, bool replace)
{
    return write_as(compose_page, context, path, dirs, count, replace);
}

/* What the page is made of: a run's files, and the pool that its pictures come from. */
static dfal_status claim_run(const struct df_claim *claim, const char *dir)
{
    struct df_run_config config;
    DF_TRY(df_run_directory_inputs(claim, dir));
    DF_TRY(df_run_directory_config(&config, dir));
    return df_claim_input(claim, config.train);
}

static dfal_status claim_and_write(compose_fn *compose, const char *what, dfal_context *context,
                                   const char *out_path, const char *const *run_dirs, int32_t run_dir_count)
{
    struct df_claim claim = DF_CLAIM_NONE;
    dfal_status status;
    if (run_dir_count < 1)
        DF_FAIL(DFAL_E_USAGE, "no run directory is named, expected at least one");
    DF_TRY_TO(done, status, df_claim_output(&claim, out_path, what));
    for (int32_t i = 0; i < run_dir_count; i++)
        DF_TRY_TO(done, status, claim_run(&claim, run_dirs[i]));
    DF_TRY_TO(done, status, df_claim_take(&claim, out_path, context->options.force));
    status = write_as(compose, context, out_path, run_dirs, run_dir_count, context->options.force);
done:
    df_claim_end(&claim);
    return status;
}

dfal_status dfal_report(dfal_context *context, const char *out_path, const char *const *run_dirs,
                        int32_t run_dir_count)
{
    return claim_and_write(compose_page, "page", context, out_path, run_dirs, run_dir_count);
}

dfal_status dfal_report_latex(dfal_context *context, const char *out_path, const char *const *run_dirs,
                              int32_t run_dir_count)
{
    return claim_and_write(compose_latex, "tables", context, out_path, run_dirs, run_dir_count);
}
