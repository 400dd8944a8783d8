/* SPDX-License-Identifier: Apache-2.0 */
/* One run directory on the page: what came out, the curve, the table, the queries, what it was run with. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "report/report.h"
#include "report/report_tables.h"

enum { MAX_TEXT = 1 << 20, MOST_SENTENCES = 3 };

/* The result of a strategy in a sentence. */
static void put_verdict(struct df_text *page, const struct dfal_run_row *row)
{
    df_text_add(page, "<p class=\"verdict\"><b>");
    df_text_html(page, row->strategy);
    df_text_add(page,
                "</b> reaches <b>%.1f %%</b> test accuracy with %lld annotations, %.1f points %s random",
                100 * row->accuracy_mean, (long long)row->annotations, fabs(100 * row->difference),
                row->difference < 0 ? "below" : "above");
    if (isnan(row->p_value))
        df_text_add(page, "; not tested, %s: that cannot tell whether it is luck.",
                    df_report_not_tested(row));
    else
        df_text_add(page, "; %s over %d trials (paired t test with Holm's correction, 5 %%).",
                    row->significant ? "significant" : "<b>not significant</b>", row->trials);
    df_text_add(page, "</p>\n");
}

/* The result for who reads no further: a sentence a strategy, or, of many, those that random can be told from
 * and one sentence about the rest. */
static void put_verdicts(struct df_text *page, const struct df_report_run *run)
{
    int32_t compared = 0, tested = 0, rest = 0;
    for (int32_t s = 0; s < run->config.strategy_count; s++) {
        compared += !isnan(run->summary[s].difference);
        tested += !isnan(run->summary[s].p_value);
    }
    for (int32_t s = 0; s < run->config.strategy_count; s++) {
        const struct dfal_run_row *row = &run->summary[s];
        if (isnan(row->difference))
            continue;
        if (compared <= MOST_SENTENCES || row->significant)
            put_verdict(page, row);
        else
            rest++;
    }
    if (!rest)
        return;
    df_text_add(page, "<p class=\"verdict\"><b>%s</b> in test accuracy, in points above it:",
                tested ? "Not told from random" : "Beside random");
    for (int32_t s = 0; s < run->config.strategy_count; s++) {
        const struct dfal_run_row *row = &run->summary[s];
        if (isnan(row->difference) || row->significant)
            continue;
        df_text_add(page, " ");
        df_text_html(page, row->strategy);
        df_text_add(page, " %+.1f%s", 100 * row->difference, --rest ? "," : "");
    }
    df_text_add(page, "%s.</p>\n",
                tested ? " (paired t test with Holm's correction, 5 %)"
                       : "; not tested: that cannot tell whether it is luck");
}

/* What one has to know about how the strategies were trained before one compares them. */
static void put_conditions(struct df_text *page, const struct df_report_run *run)
{
    const struct df_run_config *config = &run->config;
    double least = INFINITY, most = -INFINITY;
    int32_t twins = 0;
    int64_t annotations = -1;
    bool alike = true; /* those that have a round stand at as many annotations */
    for (int32_t s = 0; s < config->strategy_count; s++) {
        twins += df_run_strategy_options(config, s).twins;
        if (isfinite(run->summary[s].steps_mean)) {
            alike = alike && (annotations < 0 || annotations == run->summary[s].annotations);
            annotations = run->summary[s].annotations;
            least = fmin(least, run->summary[s].steps_mean);
            most = fmax(most, run->summary[s].steps_mean);
        }
    }
    if (most > least && alike) {
        df_text_add(page,
                    "<p>The strategies differ in optimiser steps. In the last round, mean over trials:");
        const char *between = "";
        for (int32_t s = 0; s < config->strategy_count; s++) {
            if (!isfinite(run->summary[s].steps_mean))
                continue;
            df_text_add(page, "%s ", between);
            between = ",";
            df_text_html(page, config->strategy[s].name);
            df_text_add(page, " %.0f", run->summary[s].steps_mean);
        }
        df_text_add(page,
                    ". The keys <code>training.steps</code> and <code>training.patience: 0</code> give all "
                    "strategies as many.</p>\n");
    }
    if (twins && config->training.validation > 0 && !config->trainer.text[0])
        df_text_add(
            page, strcmp(config->split, "rows")
                      ? "<p>A query and its twin are on the same side of the validation split.</p>\n"
                      : "<p>The validation split is the paper's: each row by itself, so that a query may be "
                        "watched while its twin is trained on. That steers early stopping and the choice "
                        "among restarts for strategies with twins alone; the key <code>training.split: "
                        "grouped</code> keeps them together.</p>\n");
}

/* The curve's numbers, for who cannot see it and who wants to check it. */
static dfal_status put_numbers(struct df_text *page, const struct df_report_run *run)
{
    struct df_curve_point *points[DF_MAX_STRATEGIES] = {0};
    int64_t counts[DF_MAX_STRATEGIES] = {0}, most = 0;
    int32_t longest = 0, n = run->config.strategy_count;
    dfal_status status = DFAL_OK;
    for (int32_t s = 0; s < n; s++) {
        DF_TRY_TO(done, status,
                  df_curve_points(&points[s], &counts[s], &run->curve, run->config.strategy[s].name));
        if (counts[s] > most) {
            most = counts[s];
            longest = s;
        }
    }
    df_text_add(page,
                "<details><summary>The curve in numbers</summary>\n<div class=\"wide\"><table><thead><tr><th "
                "scope=\"col\">annotations</th>");
    for (int32_t s = 0; s < n; s++) {
        df_text_add(page, "<th scope=\"col\" class=\"n\">");
        df_text_html(page, run->config.strategy[s].name);
        df_text_add(page, "</th>");
    }
    df_text_add(page, "</tr></thead><tbody>\n");
    for (int64_t i = 0; i < most; i++) {
        df_text_add(page, "<tr><th scope=\"row\" class=\"n\">%lld</th>",
                    (long long)points[longest][i].annotations);
        for (int32_t s = 0; s < n; s++) {
            df_text_add(page, "<td class=\"n\">");
            for (int64_t k = 0; k < counts[s]; k++) {
                if (points[s][k].annotations != points[longest][i].annotations)
                    continue;
                df_text_add(page, "%.2f", 100 * points[s][k].mean);
                if (isfinite(points[s][k].standard_error))
                    df_text_add(page, " &#177; %.2f", 100 * points[s][k].standard_error);
            }
            df_text_add(page, "</td>");
        }
        df_text_add(page, "</tr>\n");
    }
    df_text_add(page, "</tbody></table></div></details>\n");
done:
    for (int32_t s = 0; s < n; s++)
        df_free(points[s]);
    return status;
}

static void put_file(struct df_text *page, const char *dir, const char *name, const char *title)
{
    char *path = NULL, *text = NULL;
    size_t size = 0;
    if (df_format(&path, "%s/%s", dir, name) == DFAL_OK &&
        df_file_read(&text, &size, path, MAX_TEXT) == DFAL_OK) {
        df_text_add(page, "<h3>%s</h3>\n<pre>", title);
        df_text_html(page, text);
        df_text_add(page, "</pre>\n");
    }
    df_free(path);
    df_free(text);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static const char *start_text(const struct df_run_config *config)
{
    if (config->trainer.text[0])
        return "What a round's training starts from is the trainer's affair.";
    if (!strcmp(config->init, "previous"))
        return "Each round trains on from the network of the round before.";
    return strcmp(config->init, "weights") ? "Each round trains from scratch."
                                           : "Each round trains from the weights of the network file.";
}

void df_report_section(struct df_text *page, struct dfal_context *context, const struct df_report_run *run,
                       int32_t number)
{
    const struct df_run_config *config = &run->config;
    df_text_add(page, "<section aria-labelledby=\"s%d\">\n<h2 id=\"s%d\">", number, number);
    if (run->differs) {
        df_text_html(page, run->name);
        df_text_add(page, ": ");
    }
    df_text_html(page, config->trainer.text[0] ? config->trainer.text : base_name(config->network));
    df_text_add(page, " on ");
    df_text_html(page, base_name(config->train));
    df_text_add(page, "</h2>\n");
    if (run->differs && run->differs[0]) {
        df_text_add(page, "<p class=\"lead\">");
        df_text_html(page, run->differs);
        df_text_add(page, "</p>\n");
    }
    put_verdicts(page, run);
    df_text_add(page, "<figure class=\"plot\">\n");
    dfal_status status = df_plot_curve(page, run, number);
    df_text_add(page,
                "<figcaption>Test accuracy over annotations, mean over %d trial%s. The band is one standard "
                "error. %s</figcaption></figure>\n",
                config->trials, config->trials == 1 ? "" : "s", start_text(config));
    if (status == DFAL_OK)
        status = df_report_table(page, run, df_report_final);
    put_conditions(page, run);
    if (status == DFAL_OK)
        status = put_numbers(page, run);
    if (status == DFAL_OK)
        status = df_report_tables(page, run);
    if (page->status == DFAL_OK)
        page->status = status;
    int64_t before = page->size;
    char message[DF_MESSAGE_SIZE];
    df_message_get(message);
    if (page->status == DFAL_OK && df_report_queries(page, run) != DFAL_OK) {
        page->size = before;
        page->bytes[before] = 0;
        df_say(context, DFAL_WARNING, "report.no_pictures", DF_FIELDS(DF_TEXT("run", run->dir)),
               "the page has no pictures of %s: %s", run->dir, dfal_last_error());
        df_text_add(page, "<h3>Queries and their twins</h3>\n<p>No pictures: ");
        df_text_html(page, dfal_last_error());
        df_text_add(page, ".</p>\n");
        df_message_set(message);
    }
    df_text_add(page, "<details class=\"setup\"><summary>Configuration and versions</summary>\n");
    put_file(page, run->dir, "config.yaml", "Configuration");
    put_file(page, run->dir, "state/identity", "Data and arithmetic");
    df_text_add(page, "</details>\n</section>\n");
}
