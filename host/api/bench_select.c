/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_bench_select: one selection, again and again. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/select_job.h"
#include "backend/backend.h"
#include "base/clock.h"
#include "base/compare.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/sized.h"
#include "score/pool_network.h"
#include "score/score.h"

enum { REPEAT = 3, MOST_PASSES = 10000 };

struct bench {
    struct dfal_bench_select_options options;
    struct dfal_select_options select;
    struct df_score_options score;
    struct df_select_job job;
    struct dfal_bench_select_result result;
    double *seconds, *cpu_seconds; /* [options.repeat] */
};

void(dfal_bench_select_options_init)(struct dfal_bench_select_options *options, size_t size)
{
    const struct dfal_bench_select_options defaults = {
        .labelled = 100, .candidates = 800, .repeat = REPEAT, .seconds = 60};
    df_sized_init(options, size, &defaults, sizeof defaults);
}

static dfal_status take_options(struct bench *bench, const struct dfal_bench_select_options *given)
{
    struct dfal_bench_select_options *options = &bench->options;
    dfal_bench_select_options_init(options);
    dfal_select_options_init(&bench->select);
    DF_TRY(df_sized_take(options, sizeof *options, given, "dfal_bench_select_options"));
    DF_TRY(df_sized_take(&bench->select, sizeof bench->select, options->select, "dfal_select_options"));
    DF_TRY(df_score_options_take(&bench->score, bench->select.score));
    bench->select.score = &bench->score.score;
    bench->job.options = &bench->select;
    if (options->labelled < 0 || options->candidates < 0 || options->repeat < 1 ||
        options->repeat > MOST_PASSES || !(options->seconds >= 0))
        DF_FAIL(DFAL_E_USAGE,
                "labelled %lld, candidates %lld, repeat %d, seconds %g: expected at least 0, 0, 1 (at most "
                "%d), 0",
                (long long)options->labelled, (long long)options->candidates, options->repeat,
                options->seconds, MOST_PASSES);
    const struct dfal_select_options *select = &bench->select;
    if (select->scores_path || select->logits_path || select->twins_path || select->sheet_path ||
        select->pseudo_labels_path)
        DF_FAIL(DFAL_E_USAGE, "a selection that is timed was given a file of scores, logits, twins, pictures "
                              "or labels, expected none: it computes everything and writes nothing");
    DF_TRY(df_select_take_options(&bench->job));
    DF_TRY(df_alloc(&bench->seconds, options->repeat, sizeof *bench->seconds));
    return df_alloc(&bench->cpu_seconds, options->repeat, sizeof *bench->cpu_seconds);
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

enum mark { NOBODY, LABELLED, CANDIDATE };

/* The rows with a mark, ascending. */
static dfal_status take_rows(int64_t **rows, const uint8_t *marks, int64_t n, enum mark mark, int64_t count)
{
    DF_TRY(df_alloc(rows, count, sizeof **rows));
    for (int64_t row = 0, at = 0; row < n; row++)
        if (marks[row] == mark)
            (*rows)[at++] = row;
    return DFAL_OK;
}

/* Strategies that train ask for their labels. */
static dfal_status take_labels(struct df_select_job *job)
{
    const struct df_pool *pool = job->pool;
    DF_TRY(df_alloc(&job->labelled_labels, job->labelled_row_count, sizeof *job->labelled_labels));
    for (int64_t i = 0; i < job->labelled_row_count; i++) {
        const int64_t row = job->labelled_rows[i];
        if (!pool->labels || pool->labels[row] < 0)
            DF_FAIL(DFAL_E_DATA,
                    "%s: row %lld is drawn for a labelled one and has no label, expected a pool whose rows "
                    "all have one",
                    job->pool_path, (long long)row);
        job->labelled_labels[i] = pool->labels[row];
    }
    return DFAL_OK;
}

/* Labelled rows from the beginning of an order, candidates from its end. */
static dfal_status draw_rows(struct bench *bench)
{
    struct df_select_job *job = &bench->job;
    const int64_t n = job->pool->count, labelled = bench->options.labelled, asked = bench->options.candidates;
    int64_t *order = NULL;
    uint8_t *marks = NULL;
    dfal_status status;
    if (n < labelled + 1)
        DF_FAIL(DFAL_E_DATA, "%s has %lld rows, expected at least %lld labelled ones and a candidate",
                job->pool_path, (long long)n, (long long)labelled);
    job->count = asked && asked < n - labelled ? asked : n - labelled;
    job->labelled_row_count = labelled;
    DF_TRY_TO(done, status, df_alloc(&order, n, sizeof *order));
    DF_TRY_TO(done, status, df_alloc(&marks, n, sizeof *marks));
    DF_TRY_TO(done, status, df_random_permutation(order, n, job->context->options.seed, DF_STREAM_SUBSET, 0));
    for (int64_t i = 0; i < n; i++)
        marks[order[i]] = i < labelled ? LABELLED : i >= n - job->count ? CANDIDATE : NOBODY;
    DF_TRY_TO(done, status, take_rows(&job->labelled_rows, marks, n, LABELLED, labelled));
    DF_TRY_TO(done, status, take_rows(&job->candidates, marks, n, CANDIDATE, job->count));
    status = take_labels(job);
done:
    df_free(marks);
    df_free(order);
    return status;
}

/* ---- passes -------------------------------------------------------------------------------------------- */

static dfal_status run_pass(struct bench *bench, const struct df_selection_options *options)
{
    struct df_select_job *job = &bench->job;
    const int64_t pass = bench->result.passes;
    df_say(job->context, DFAL_PROGRESS, "bench.pass",
           DF_FIELDS(DF_TEXT("strategy", job->strategy->name), DF_INT("pass", pass + 1),
                     DF_INT("passes", bench->options.repeat), DF_INT("labelled", job->labelled_row_count),
                     DF_INT("candidates", job->count)),
           "%s: pass %lld of %d, %lld candidates beside %lld labelled rows", job->strategy->name,
           (long long)(pass + 1), bench->options.repeat, (long long)job->count,
           (long long)job->labelled_row_count);
    df_selection_clear(&job->selection);
    const double begin = df_clock(), cpu_begin = df_cpu_clock();
    DF_TRY(df_select(job->context, job->device, job->network, job->pool, job->candidates, job->count, options,
                     &job->selection));
    bench->seconds[pass] = df_clock() - begin;
    bench->cpu_seconds[pass] = df_cpu_clock() - cpu_begin;
    bench->result.passes++;
    return DFAL_OK;
}

/* Puts the values in order. */
static double median(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof *values, df_compare_reals);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

static void sum_up(struct bench *bench)
{
    const struct df_device_info *info = &bench->job.device->info;
    struct dfal_bench_select_result *result = &bench->result;
    snprintf(result->backend, sizeof result->backend, "%s", info->backend);
    snprintf(result->isa, sizeof result->isa, "%s", info->isa);
    snprintf(result->device, sizeof result->device, "%s", info->device);
    result->labelled = bench->job.labelled_row_count;
    result->candidates = bench->job.count;
    result->queries = bench->job.selection.count;
    result->seconds = median(bench->seconds, result->passes);
    result->fastest = bench->seconds[0];
    result->slowest = bench->seconds[result->passes - 1];
    result->cpu_seconds = median(bench->cpu_seconds, result->passes);
}

/* "program=sener, seconds=120" */
static void given_options(char *text, size_t size, const struct dfal_select_options *select)
{
    text[0] = 0;
    for (size_t i = 0, at = 0; i < select->strategy_option_count && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", at ? ", " : "", select->strategy_options[i]);
}

static dfal_status run_passes(struct bench *bench)
{
    char given[256];
    struct df_select_job *job = &bench->job;
    struct df_selection_options options = df_select_selection(job);
    const double begin = df_clock();
    given_options(given, sizeof given, &bench->select);
    options.twins = job->strategy->twins;
    options.twins_limit = 0;
    while (bench->result.passes < bench->options.repeat &&
           (bench->result.passes == 0 || df_clock() - begin < bench->options.seconds))
        DF_TRY(run_pass(bench, &options));
    sum_up(bench);
    DF_TRY(df_selection_radius(job->context, job->device, job->network, job->pool, job->candidates,
                               job->count, &options, &job->selection, &bench->result.radius));
    df_say(job->context, DFAL_INFO, "bench.case",
           DF_FIELDS(DF_TEXT("strategy", job->strategy->name), DF_TEXT("options", given),
                     DF_INT("labelled", bench->result.labelled),
                     DF_INT("candidates", bench->result.candidates), DF_INT("passes", bench->result.passes),
                     DF_REAL("seconds", bench->result.seconds), DF_REAL("radius", bench->result.radius)),
           "%s%s%s: %.4g s, the median of %lld, for %lld of %lld candidates", job->strategy->name,
           given[0] ? " " : "", given, bench->result.seconds, (long long)bench->result.passes,
           (long long)bench->result.queries, (long long)bench->result.candidates);
    return DFAL_OK;
}

static dfal_status open_all(struct bench *bench)
{
    struct df_select_job *job = &bench->job;
    DF_TRY(df_pool_open(&job->pool, job->context, job->pool_path, bench->select.score->pool));
    DF_TRY(df_network_for_pool(&job->network, job->context, job->network_name, job->pool));
    DF_TRY(df_strategy_check_network(job->strategy, &job->values, job->network));
    DF_TRY(draw_rows(bench));
    return df_context_device(job->context, &job->device);
}

dfal_status dfal_bench_select(dfal_context *context, struct dfal_bench_select_result *told,
                              const char *network, const char *pool_path,
                              const struct dfal_bench_select_options *given, dfal_fact_fn *fact, void *user)
{
    struct bench bench = {.job = {.context = context, .network_name = network, .pool_path = pool_path}};
    const struct df_fields *facts = &bench.job.selection.facts;
    dfal_status status;
    DF_TRY(df_sized_check(told, "dfal_bench_select_result"));
    dfal_bench_select_result_init(&bench.result);
    context->kept_work = false;
    DF_TRY_TO(done, status, take_options(&bench, given));
    DF_TRY_TO(done, status, open_all(&bench));
    DF_TRY_TO(done, status, run_passes(&bench));
    for (int32_t i = 0; i < facts->count && fact; i++)
        fact(user, &facts->field[i]);
    df_sized_give(told, &bench.result, sizeof bench.result);
done:
    df_free(bench.seconds);
    df_free(bench.cpu_seconds);
    df_select_close(&bench.job);
    return status;
}
