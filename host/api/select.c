/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_select: the next queries of a pool into QUERIES.csv. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "run/select.h"
#include "score/pass.h"
#include "store/labels.h"
#include "store/table.h"

void dfal_select_options_init(struct dfal_select_options *options)
{
    *options = (struct dfal_select_options){0};
    dfal_score_options_init(&options->score);
}

struct job {
    struct dfal_context *context;
    const struct dfal_select_options *options;
    const struct df_strategy *strategy;
    struct df_pool *pool;
    int32_t *truth; /* [N] the pool's own labels, where they are the oracle's; else NULL */
    struct df_network *network;
    struct df_device *device;
    struct df_deepfool deepfool;
    struct df_scores_head head;
    struct df_scores scores;
    int64_t *candidates, count;
    struct df_selection selection;
    char **ids; /* [selection.count] */
};

static void job_clear(struct job *job)
{
    for (int64_t i = 0; job->ids && i < job->selection.count; i++)
        df_free(job->ids[i]);
    df_free(job->ids);
    df_selection_clear(&job->selection);
    df_free(job->candidates);
    df_scores_clear(&job->scores);
    df_scores_head_clear(&job->head);
    df_network_destroy(job->network);
    df_free(job->truth);
    df_pool_close(job->pool);
}

static bool all_labelled(const struct df_pool *pool)
{
    for (int64_t i = 0; i < pool->count; i++)
        if (!pool->labels || pool->labels[i] < 0)
            return false;
    return true;
}

/* Where the pool itself knows every label there is nothing left to ask: then its labels are the oracle's, and the rows
 * that count as labelled are those of the label files. */
static dfal_status open_pool(struct job *job, const char *path)
{
    const struct dfal_pool_options *options = &job->options->score.pool;
    struct dfal_pool_options without = *options;
    without.label_files = NULL;
    without.label_file_count = 0;
    DF_TRY(df_pool_open(&job->pool, path, &without));
    if (!all_labelled(job->pool)) {
        if (!options->label_file_count)
            return DFAL_OK;
        df_pool_close(job->pool);
        job->pool = NULL;
        return df_pool_open(&job->pool, path, options);
    }
    DF_TRY(df_alloc(&job->truth, job->pool->count, sizeof *job->truth));
    for (int64_t i = 0; i < job->pool->count; i++) {
        job->truth[i] = job->pool->labels[i];
        job->pool->labels[i] = -1;
    }
    for (int32_t i = 0; i < options->label_file_count; i++)
        DF_TRY(df_labels_overlay(job->pool, options->label_files[i]));
    df_say(
        job->context, DFAL_INFO, "select.simulated", DF_FIELDS(DF_TEXT("pool", path)),
        "%s knows the label of every row: they are taken for the oracle's, rows of label files are left out",
        path);
    return DFAL_OK;
}

static dfal_status find_candidates(struct job *job)
{
    const struct df_pool *pool = job->pool;
    DF_TRY(df_alloc(&job->candidates, pool->count, sizeof *job->candidates));
    for (int64_t i = 0; i < pool->count; i++)
        if (!(pool->labels && pool->labels[i] >= 0) && !(pool->skipped && pool->skipped[i]))
            job->candidates[job->count++] = i;
    if (!job->count)
        DF_FAIL(DFAL_E_DATA,
                "%s: every one of its %lld rows is labelled or skipped, expected some to choose from",
                pool->path, (long long)pool->count);
    return DFAL_OK;
}

/* What --deepfool and its kin ask for must be what the file holds, unless nothing was asked for. */
static dfal_status compare_deepfool(const struct job *job, const struct df_deepfool *asked)
{
    char *ours = NULL, *default_json = NULL;
    struct dfal_score_options defaults;
    struct df_deepfool deepfool;
    const char *unconverged = job->options->score.unconverged;
    dfal_status status;
    dfal_score_options_init(&defaults);
    DF_TRY_TO(done, status, df_deepfool_from_options(&deepfool, &defaults));
    DF_TRY_TO(done, status, df_deepfool_to_json(&default_json, &deepfool, unconverged));
    DF_TRY_TO(done, status, df_deepfool_to_json(&ours, asked, unconverged));
    char *theirs = NULL;
    DF_TRY_TO(done, status, df_deepfool_from_json(&deepfool, job->head.configuration));
    DF_TRY_TO(done, status, df_deepfool_to_json(&theirs, &deepfool, unconverged));
    if (strcmp(ours, default_json) && strcmp(ours, theirs))
        status = df_fail(DFAL_E_CONFIG, "%s was made with %s, expected what was asked for, %s",
                         job->options->scores_path, theirs, ours);
    df_free(theirs);
done:
    df_free(ours);
    df_free(default_json);
    return status;
}

/* Candidates and the file's rows are both ascending. A margin that is not there is no reason to pass a row over. */
static dfal_status check_covered(const struct job *job)
{
    const struct df_scores *scores = &job->scores;
    int64_t missing = 0, first = -1;
    for (int64_t i = 0, at = 0; i < job->count; i++) {
        while (at < scores->count && scores->index[at] < job->candidates[i])
            at++;
        if (at < scores->count && scores->index[at] == job->candidates[i])
            continue;
        first = missing++ ? first : job->candidates[i];
    }
    if (missing)
        DF_FAIL(DFAL_E_DATA,
                "%s has no margin of %lld of the %lld candidates, the first is row %lld of %s, expected all "
                "of them",
                job->options->scores_path, (long long)missing, (long long)job->count, (long long)first,
                job->pool->path);
    return DFAL_OK;
}

static dfal_status take_scores(struct job *job, const char *network, const char *pool)
{
    const char *path = job->options->scores_path;
    char digest[DF_DIGEST_TEXT];
    DF_TRY(df_scores_read(path, &job->head, &job->scores));
    df_network_digest(digest, job->network);
    if (strcmp(digest, job->head.network_sha256))
        DF_FAIL(DFAL_E_DATA, "%s was made by the network with sha256 %.16s..., expected that of %s, %.16s...",
                path, job->head.network_sha256, network, digest);
    if (strcmp(job->pool->fingerprint, job->head.pool_fingerprint))
        DF_FAIL(DFAL_E_DATA,
                "%s was made from the pool with fingerprint %.16s..., expected that of %s, %.16s...", path,
                job->head.pool_fingerprint, pool, job->pool->fingerprint);
    for (int64_t i = 0; i < job->scores.count; i++)
        if (i ? job->scores.index[i] <= job->scores.index[i - 1] : job->scores.index[0] < 0)
            DF_FAIL(DFAL_E_DATA, "%s: /index[%lld] is %lld, expected ascending rows", path, (long long)i,
                    (long long)job->scores.index[i]);
    if (job->strategy->needs & DF_NEED_MARGINS)
        DF_TRY(check_covered(job));
    DF_TRY(compare_deepfool(job, &job->deepfool));
    return df_deepfool_from_json(&job->deepfool, job->head.configuration);
}

static dfal_status choose(struct job *job)
{
    const struct dfal_select_options *options = job->options;
    struct df_selection_options selection = {
        .strategy = job->strategy,
        .count = options->count,
        .subsample = options->subsample,
        .deepfool = job->deepfool,
        .unconverged = options->score.unconverged,
        .seed = job->context->options.seed,
        .batch = options->score.batch,
        .scores = options->scores_path && (job->strategy->needs & DF_NEED_MARGINS) ? &job->scores : NULL,
        .twins = options->twins_path != NULL,
    };
    DF_TRY(df_select(job->context, job->device, job->network, job->pool, job->candidates, job->count,
                     &selection, &job->selection));
    if (job->selection.nonfinite)
        df_say(job->context, DFAL_WARNING, "select.nonfinite",
               DF_FIELDS(DF_INT("rows", job->selection.nonfinite)),
               "%lld rows were passed over: an input or a logit is not finite",
               (long long)job->selection.nonfinite);
    if (!job->selection.count)
        DF_FAIL(DFAL_E_DATA, "%s: none of the %lld candidates is finite, expected some to choose from",
                job->pool->path, (long long)job->count);
    if (job->selection.count < options->count)
        df_say(job->context, DFAL_WARNING, "select.few",
               DF_FIELDS(DF_INT("count", job->selection.count), DF_INT("asked", options->count)),
               "only %lld of %lld queries could be chosen: no more candidates",
               (long long)job->selection.count, (long long)options->count);
    return DFAL_OK;
}

static int32_t label_of(const struct job *job, int64_t row)
{
    return job->truth ? job->truth[row] : -1;
}

static dfal_status read_ids(struct job *job)
{
    int64_t q = job->selection.count;
    DF_TRY(df_alloc(&job->ids, q, sizeof *job->ids));
    for (int64_t i = 0; i < q; i++)
        DF_TRY(df_pool_id(job->pool, &job->ids[i], job->selection.index[i]));
    return DFAL_OK;
}

static dfal_status write_twins(struct job *job, const char *path)
{
    struct df_selection *selection = &job->selection;
    int64_t q = selection->count, lost = 0;
    struct df_shape shape = job->pool->shape;
    int32_t *label = NULL, columns_used = 0;
    DF_TRY(df_alloc(&label, q, sizeof *label));
    for (int64_t i = 0; i < q; i++) {
        label[i] = label_of(job, selection->index[i]);
        lost += selection->status[i] != DFAL_SCORE_OK;
    }
    struct df_column columns[] = {
        {.name = "/samples",
         .type = DF_COLUMN_F32,
         .rank = 4,
         .dims = {q, shape.c, shape.h, shape.w},
         .data = selection->twin},
        {.name = "/label", .type = DF_COLUMN_I32, .rank = 1, .dims = {q}, .data = label},
        {.name = "/index", .type = DF_COLUMN_I64, .rank = 1, .dims = {q}, .data = selection->index},
        {.name = "/status", .type = DF_COLUMN_U8, .rank = 1, .dims = {q}, .data = selection->status},
        {.name = "/adversarial_class",
         .type = DF_COLUMN_I32,
         .rank = 1,
         .dims = {q},
         .data = selection->adversarial_class},
        {.name = "/id", .type = DF_COLUMN_TEXT, .rank = 1, .dims = {q}, .data = job->ids},
    };
    columns_used = (int32_t)(sizeof columns / sizeof columns[0]) - !job->pool->has_ids;
    dfal_status status =
        df_table_write(path, "dfal-twins", "", columns, columns_used, job->context->options.force);
    df_free(label);
    if (status == DFAL_OK && lost)
        df_say(job->context, DFAL_WARNING, "select.no_twin", DF_FIELDS(DF_INT("queries", lost)),
               "%lld of %lld queries have no twin (all zero in %s): DeepFool did not end with OK",
               (long long)lost, (long long)q, path);
    return status;
}

/* Top-q of a score picks what is nearly the same: say so, the person decides. */
static dfal_status report_duplicates(struct job *job)
{
    struct df_selection *selection = &job->selection;
    int64_t limit = df_near_duplicates_limit(selection->size), pair_count = 0, *pairs = NULL;
    int64_t n = selection->count < limit ? selection->count : limit;
    void *raw = NULL;
    float *x = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&raw, n, df_pool_row_bytes(job->pool)));
    DF_TRY_TO(done, status, df_alloc(&x, n * selection->size, sizeof *x));
    DF_TRY_TO(done, status, df_alloc(&pairs, 2 * n, sizeof *pairs));
    DF_TRY_TO(done, status, df_pool_gather(job->pool, raw, selection->index, n));
    df_pool_decode(job->pool, x, raw, n);
    DF_TRY_TO(done, status, df_near_duplicates(x, n, selection->size, pairs, &pair_count));
    for (int64_t i = 0; i < pair_count; i++) {
        int64_t first = pairs[2 * i], later = pairs[2 * i + 1];
        df_say(job->context, DFAL_WARNING, "select.near_duplicate",
               DF_FIELDS(DF_INT("rank", later + 1), DF_INT("index", selection->index[later]),
                         DF_INT("of_rank", first + 1), DF_INT("of_index", selection->index[first])),
               "rank %lld (row %lld) is nearly the same as rank %lld (row %lld)", (long long)later + 1,
               (long long)selection->index[later], (long long)first + 1, (long long)selection->index[first]);
    }
done:
    df_free(raw);
    df_free(x);
    df_free(pairs);
    return status;
}

static dfal_status write_queries(struct job *job, const char *out_path, dfal_query_fn *query, void *user)
{
    struct df_text text = {0};
    struct dfal_query *rows = NULL;
    dfal_status status;
    int64_t q = job->selection.count;
    DF_TRY_TO(done, status, df_alloc(&rows, q, sizeof *rows));
    df_text_add(&text, "%s\n", DF_QUERY_COLUMNS);
    for (int64_t i = 0; i < q; i++) {
        rows[i] = df_selection_query(&job->selection, i, job->ids[i], job->strategy->name,
                                     label_of(job, job->selection.index[i]));
        df_query_line(&text, &rows[i]);
    }
    DF_TRY_TO(done, status, text.status);
    DF_TRY_TO(done, status, df_file_write(out_path, text.bytes, (size_t)text.size));
    for (int64_t i = 0; i < q && query; i++)
        query(user, &rows[i]);
done:
    df_free(rows);
    df_text_clear(&text);
    return status;
}

static dfal_status check_options(struct job *job, const char *out_path)
{
    const struct dfal_select_options *options = job->options;
    bool force = job->context->options.force;
    if (!options->strategy)
        DF_FAIL(DFAL_E_USAGE, "no strategy is named, expected dfal or random");
    DF_TRY(df_strategy_find(&job->strategy, options->strategy));
    if (options->count < 1)
        DF_FAIL(DFAL_E_USAGE, "count is %lld, expected at least 1", (long long)options->count);
    if (options->subsample < 0)
        DF_FAIL(DFAL_E_USAGE, "subsample is %lld, expected at least 1, or all",
                (long long)options->subsample);
    if (options->twins_path && !job->strategy->twins)
        DF_FAIL(DFAL_E_USAGE, "strategy %s has no twins, expected dfal with --twins", job->strategy->name);
    if (options->twins_path && !strcmp(options->twins_path, out_path))
        DF_FAIL(DFAL_E_USAGE, "%s is named for the queries and for the twins, expected two files", out_path);
    DF_TRY(df_deepfool_from_options(&job->deepfool, &options->score));
    DF_TRY(df_file_check_target(out_path, force));
    return options->twins_path ? df_file_check_target(options->twins_path, force) : DFAL_OK;
}

dfal_status dfal_select(dfal_context *context, const char *out_path, const char *network,
                        const char *pool_path, const struct dfal_select_options *options,
                        dfal_query_fn *query, void *user)
{
    struct job job = {.context = context, .options = options};
    bool twins_written = false;
    double begin = df_clock();
    dfal_status status;
    context->kept_work = false;
    DF_TRY_TO(done, status, check_options(&job, out_path));
    df_file_sweep(out_path);
    DF_TRY_TO(done, status, open_pool(&job, pool_path));
    DF_TRY_TO(done, status, df_network_for_pool(&job.network, context, network, job.pool));
    DF_TRY_TO(done, status, find_candidates(&job));
    if (options->scores_path)
        DF_TRY_TO(done, status, take_scores(&job, network, pool_path));
    DF_TRY_TO(done, status, df_context_device(context, &job.device));
    df_say(context, DFAL_INFO, "select.begin",
           DF_FIELDS(DF_TEXT("strategy", job.strategy->name), DF_TEXT("network", network),
                     DF_TEXT("pool", pool_path), DF_INT("candidates", job.count),
                     DF_INT("count", options->count), DF_INT("subsample", options->subsample),
                     DF_TEXT("deepfool", job.deepfool.preset), DF_TEXT("backend", job.device->info.backend),
                     DF_TEXT("output", out_path)),
           "%s: %lld of %lld candidates of %s, network %s, back end %s, into %s", job.strategy->name,
           (long long)options->count, (long long)job.count, pool_path, network, job.device->info.backend,
           out_path);
    DF_TRY_TO(done, status, choose(&job));
    DF_TRY_TO(done, status, report_duplicates(&job));
    DF_TRY_TO(done, status, read_ids(&job));
    if (options->twins_path) {
        DF_TRY_TO(done, status, write_twins(&job, options->twins_path));
        twins_written = true;
    }
    DF_TRY_TO(done, status, write_queries(&job, out_path, query, user));
    df_say(context, DFAL_INFO, "select.end",
           DF_FIELDS(DF_INT("count", job.selection.count), DF_REAL("seconds", df_clock() - begin)),
           "%lld queries in %s", (long long)job.selection.count, out_path);
done:
    if (status != DFAL_OK && twins_written)
        unlink(options->twins_path);
    job_clear(&job);
    return status;
}
