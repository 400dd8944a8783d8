/* SPDX-License-Identifier: Apache-2.0 */
/* The table of bench table3 and coreset, as text or as one JSON document. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench_table.h"

/* ---- the ratio that the paper's Table 3 is about ------------------------------------------------------- */

/* DFAL and a program of the paper's, both measured at the base size. */
struct ratio {
    const struct bench_row *dfal, *program;
};

static bool find_ratio(struct ratio *ratio, const struct bench_table *table, int32_t i)
{
    const struct bench_row *first = &table->rows[0], *row = &table->rows[i];
    *ratio = (struct ratio){first, row};
    return row != first && row->paper_seconds > 0 && first->paper_seconds > 0 && row->refusal == NULL &&
           row->result.labelled == first->result.labelled &&
           row->result.candidates == first->result.candidates;
}

static double times(const struct ratio *ratio)
{
    return ratio->program->result.seconds / ratio->dfal->result.seconds;
}

static double paper_times(const struct ratio *ratio)
{
    return ratio->program->paper_seconds / ratio->dfal->paper_seconds;
}

/* ---- JSON ---------------------------------------------------------------------------------------------- */

static json_t *row_json(const struct bench_row *row)
{
    const struct dfal_bench_select_result *result = &row->result;
    const bool measured = row->refusal == NULL;
    const double paper = row->paper_seconds;
    json_t *options = json_array(), *facts = json_null();
    for (int32_t i = 0; i < BENCH_OPTIONS && row->options[i][0] != '\0'; i++)
        json_array_append_new(options, JSON((const char *)row->options[i]));
    if (json_object_size(row->facts) > 0)
        facts = json_incref(row->facts);
    return OBJECT("case", JSON(row->of->name), "strategy", JSON(row->of->strategy), "options", options,
                  MEMBER(result, labelled), MEMBER(result, candidates), MEMBER(result, queries),
                  MEMBER(result, passes), "seconds", JSON(measured ? result->seconds : NAN), "fastest",
                  JSON(measured ? result->fastest : NAN), "slowest", JSON(measured ? result->slowest : NAN),
                  "cpu_seconds", JSON(measured ? result->cpu_seconds : NAN), "radius",
                  JSON(measured ? result->radius : NAN), "cut", JSON(bench_row_cut(row)), "facts", facts,
                  "paper_seconds", JSON(paper > 0 ? paper : NAN), "refused", JSON(row->refusal));
}

static json_t *ratios_json(const struct bench_table *table)
{
    json_t *ratios = json_array();
    struct ratio ratio;
    for (int32_t i = 0; i < table->row_count; i++)
        if (find_ratio(&ratio, table, i))
            json_array_append_new(ratios,
                                  OBJECT("case", JSON(ratio.program->of->name), "times_dfal",
                                         JSON(times(&ratio)), "at_least", JSON(bench_row_cut(ratio.program)),
                                         "paper_times_dfal", JSON(paper_times(&ratio))));
    return ratios;
}

static dfal_status print_document(const struct bench_table *table)
{
    const struct bench_table_options *options = &table->options;
    const struct dfal_bench_select_result *first = &table->rows[0].result;
    json_t *rows = json_array();
    for (int32_t i = 0; i < table->row_count; i++)
        json_array_append_new(rows, row_json(&table->rows[i]));
    json_t *document =
        OBJECT("case", JSON(table->kind), "network", JSON(table->drawn ? NULL : table->network), "pool",
               JSON(table->drawn ? NULL : table->pool), MEMBER(table, drawn), MEMBER(options, queries),
               MEMBER(options, labelled), MEMBER(options, candidates), MEMBER(options, outliers),
               MEMBER(options, repeat), "limit_seconds", JSON(options->limit), "deepfool",
               JSON(options->score->preset), "backend", JSON((const char *)first->backend), "isa",
               JSON((const char *)first->isa), "device", JSON((const char *)first->device), "threads",
               JSON(table->session->options.threads), "seed", JSON((int64_t)table->session->options.seed),
               "version", JSON(dfal_version()), "rows", rows, "ratios", ratios_json(table));
    bench_growth_json(table, document);
    return print_json(document);
}

/* ---- text ---------------------------------------------------------------------------------------------- */

static void print_head(const struct bench_table *table)
{
    const struct bench_table_options *options = &table->options;
    const struct dfal_bench_select_result *first = &table->rows[0].result;
    char network[ONE_LINE], pool[ONE_LINE];
    if (table->drawn)
        printf("%" PRId64 " queries; drawn digits, lenet5 trained on the %" PRId64 " labelled ones\n",
               options->queries, options->labelled);
    else
        printf("%" PRId64 " queries of %s, network %s\n", options->queries, one_line(pool, table->pool),
               one_line(network, table->network));
    printf("back end %s %s, %s, %d threads (CBC: 1), DeepFool %s, seed %" PRIu64
           "; a search of program sener ends after %" PRId64 " s\n",
           first->backend, first->isa, first->device, table->session->options.threads, options->score->preset,
           table->session->options.seed, options->limit);
    printf("%-18s %8s %10s %6s %10s %10s %10s %10s %9s %6s %6s %6s %6s %8s  %s\n", "case", "labelled",
           "candidates", "passes", "seconds", "fastest", "slowest", "CPU s", "radius", "proven", "checks",
           "models", "nodes", "paper s", "solver");
}

static void print_number(const struct bench_row *row, const char *key)
{
    const json_t *value = json_object_get(row->facts, key);
    if (json_is_integer(value))
        printf(" %6" PRId64, (int64_t)json_integer_value(value));
    else
        printf(" %6s", "");
}

static void print_row(const struct bench_row *row)
{
    const struct dfal_bench_select_result *result = &row->result;
    char paper[16] = "";
    printf("%-18s %8" PRId64 " %10" PRId64, row->of->name, result->labelled, result->candidates);
    if (row->refusal != NULL) {
        print_clean(stdout, "  not measured: ", row->refusal, "\n");
        return;
    }
    if (row->paper_seconds > 0)
        snprintf(paper, sizeof(paper), "%.2f", row->paper_seconds);
    printf(" %6" PRId64 " %10.4f %10.4f %10.4f %10.4f %9.5g %6s", result->passes, result->seconds,
           result->fastest, result->slowest, result->cpu_seconds, result->radius, bench_fact(row, "proven"));
    print_number(row, "checks");
    print_number(row, "models");
    print_number(row, "nodes");
    printf(" %8s  %s%s\n", paper, bench_fact(row, "solver"),
           bench_row_cut(row) ? ", ended by the limit" : "");
}

static void print_ratios(const struct bench_table *table)
{
    struct ratio ratio;
    for (int32_t i = 0; i < table->row_count; i++)
        if (find_ratio(&ratio, table, i))
            printf("%s takes %s%.4g times as long as dfal (paper: %.4g times)\n", ratio.program->of->name,
                   bench_row_cut(ratio.program) ? "at least " : "", times(&ratio), paper_times(&ratio));
}

dfal_status bench_table_print(const struct bench_table *table)
{
    if (table->session->json)
        return print_document(table);
    print_head(table);
    for (int32_t i = 0; i < table->row_count; i++)
        print_row(&table->rows[i]);
    print_ratios(table);
    bench_growth_print(table);
    return DFAL_OK;
}
