/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_score: a scores file out of a network and a pool, shard by shard, so that a kill costs little. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/claim.h"
#include "base/memory.h"
#include "base/sized.h"
#include "base/word.h"
#include "comm/comm.h"
#include "score/adversarial.h"
#include "score/output.h"
#include "score/pass.h"
#include "score/score.h"
#include "score/sink.h"
#include "store/classes.h"
#include "store/labels.h"

dfal_status df_score_check_options(const struct dfal_score_options *options)
{
    DF_TRY(df_word(NULL, "precision", options->precision, DFAL_PRECISIONS));
    DF_TRY(df_word(NULL, "engine", options->engine, DFAL_ENGINES));
    DF_TRY(df_word(NULL, "ranking of unconverged samples", options->unconverged, DFAL_UNCONVERGEDS));
    if (options->batch < 0)
        DF_FAIL(DFAL_E_USAGE, "the batch is %" PRId64 ", expected a positive number, or 0 to choose",
                options->batch);
    if (options->adversarial < 0)
        DF_FAIL(DFAL_E_USAGE, "%" PRId64 " adversarial images asked for, expected a number of at least 0",
                options->adversarial);
    return DFAL_OK;
}

dfal_status df_score_rows(int64_t *begin, int64_t *end, const struct dfal_score_options *options,
                          int64_t count)
{
    *begin = options->range_begin;
    *end = options->range_end == -1 ? count : options->range_end;
    if (*begin < 0 || *end > count || *begin >= *end)
        DF_FAIL(DFAL_E_USAGE,
                "the range %" PRId64 ":%" PRId64 " is not within the pool's rows 0:%" PRId64 " or empty",
                *begin, *end, count);
    if (options->shard_count == 0)
        return DFAL_OK;
    const int64_t parts = options->shard_count, part = options->shard, rows = *end - *begin;
    if (parts < 0 || part < 0 || part >= parts)
        DF_FAIL(DFAL_E_USAGE, "shard %" PRId64 " of %" PRId64 " does not exist", part + 1, parts);
    if (parts > rows)
        DF_FAIL(DFAL_E_USAGE, "%" PRId64 " rows cannot be cut into %" PRId64 " shards", rows, parts);
    const int64_t first = *begin / DF_SHARD_ROWS, chunks = (*end + DF_SHARD_ROWS - 1) / DF_SHARD_ROWS - first;
    int64_t cut[2];
    for (int i = 0; i < 2; i++) {
        if (chunks >= parts) {
            cut[i] = (first + chunks * (part + i) / parts) * DF_SHARD_ROWS;
            cut[i] = cut[i] < *begin ? *begin : cut[i] > *end ? *end : cut[i];
        } else {
            cut[i] = *begin + rows / parts * (part + i) + (rows % parts) * (part + i) / parts;
        }
    }
    *begin = cut[0];
    *end = cut[1];
    return DFAL_OK;
}

/* Everything a job holds. */
struct job {
    struct dfal_context *context;
    const struct dfal_score_options *options;
    struct df_deepfool deepfool;
    struct df_pool *pool;
    struct df_network *network;
    struct df_device *device;
    struct df_comm *comm;
    struct df_deepfool_engine *engine;
    struct df_scores_head head;
    struct df_shards shards;
    struct df_output *output;
    double begun, scoring, writing; /* df_clock at the start, before the first row, behind the last */
};

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}

int df_score_how(const struct dfal_score_options *options)
{
    return DF_DEEPFOOL_FOLD | (strcmp(options->engine, "layers") != 0 ? DF_DEEPFOOL_FUSED : 0) |
           (strcmp(options->precision, "fast") == 0 ? DF_DEEPFOOL_HALF : 0);
}

/* Make the DeepFool engine and write down which kind it is. */
static dfal_status create_engine(struct job *job)
{
    DF_TRY(df_deepfool_create(&job->engine, job->context, job->device, job->network, job->pool,
                              &job->deepfool, job->options->batch, df_score_how(job->options)));
    const bool fused = df_deepfool_is_fused(job->engine);
    if (!fused && strcmp(job->options->engine, "fused") == 0)
        DF_FAIL(DFAL_E_UNAVAILABLE, "back end '%s' has no fused engine for this network: use --engine auto",
                job->device->info.backend);
    copy_text(job->head.engine, sizeof job->head.engine, fused ? "fused" : "layers");
    return DFAL_OK;
}

static dfal_status fill_head(struct job *job, const char *network, const char *pool_path)
{
    struct df_scores_head *head = &job->head;
    const struct df_device_info *info = &job->device->info;
    df_network_digest(head->network_sha256, job->network);
    memcpy(head->pool_fingerprint, job->pool->fingerprint, sizeof head->pool_fingerprint);
    copy_text(head->version, sizeof head->version, DFAL_VERSION);
    copy_text(head->backend, sizeof head->backend, info->backend);
    df_device_isa(head->isa, job->device);
    copy_text(head->precision, sizeof head->precision, job->options->precision);
    copy_text(head->library, sizeof head->library, info->library);
    copy_text(head->device, sizeof head->device, info->device);
    head->seed = job->context->options.seed;
    head->pool_count = job->pool->count;
    head->shard = job->options->shard;
    head->shard_count = job->options->shard_count;
    head->units_raw = job->deepfool.units_raw;
    head->adversarial = job->options->adversarial;
    DF_TRY(df_deepfool_to_json(&head->configuration, &job->deepfool, job->options->unconverged));
    const char *line = job->context->options.command_line;
    DF_TRY(df_strdup(&head->command_line, line ? line : ""));
    DF_TRY(df_strdup(&head->network_path, network));
    return df_strdup(&head->pool_path, pool_path);
}

static void say_begin(const struct job *job, const char *out_path, const char *network, const char *pool_path)
{
    const struct df_scores_head *head = &job->head;
    const int64_t batch = df_deepfool_batch(job->engine), memory = df_deepfool_memory(job->engine);
    df_say(job->context, DFAL_INFO, "score.begin",
           DF_FIELDS(DF_TEXT("network", network), DF_TEXT("pool", pool_path),
                     DF_INT("samples", head->range_end - head->range_begin),
                     DF_INT("classes", job->network->class_count), DF_TEXT("preset", job->deepfool.preset),
                     DF_TEXT("backend", head->backend), DF_TEXT("engine", head->engine),
                     DF_TEXT("isa", head->isa), DF_TEXT("precision", head->precision), DF_INT("batch", batch),
                     DF_INT("memory", memory), DF_TEXT("output", out_path)),
           "network %s, pool %s (%" PRId64
           " samples), %d classes, preset %s, back end %s, engine %s, ISA %s, "
           "precision %s, batch %" PRId64 ", memory %.1f MiB, output %s",
           network, pool_path, head->range_end - head->range_begin, job->network->class_count,
           job->deepfool.preset, head->backend, head->engine, head->isa, head->precision, batch,
           (double)memory / 1048576, out_path);
}

/* Begin the output: its ids take as long as the device takes to be opened. */
static dfal_status open_output(struct job *job, const char *out_path)
{
    int64_t begin, end;
    DF_TRY(df_score_rows(&begin, &end, job->options, job->pool->count));
    job->head.range_begin = begin;
    job->head.range_end = end;
    return df_output_open(&job->output, &(struct df_output_spec){
                                            .context = job->context,
                                            .pool = job->pool,
                                            .path = job->comm->rank == 0 ? out_path : NULL,
                                            .begin = begin,
                                            .end = end,
                                            .adversarial = job->options->adversarial,
                                        });
}

/* Score the shards that are missing. */
static dfal_status score_missing(struct job *job)
{
    struct df_shards *shards = &job->shards;
    struct df_missing_source source;
    struct df_shard_sink sink;
    struct df_row_stream *stream = NULL;
    struct df_progress progress;
    if (shards->finished_rows > 0)
        df_say(job->context, DFAL_INFO, "score.resume", DF_FIELDS(DF_INT("rows", shards->finished_rows)),
               "%" PRId64 " of %" PRId64 " rows are finished, the rest is continued", shards->finished_rows,
               shards->end - shards->begin);
    df_missing_source_init(&source, shards);
    df_shard_sink_init(&sink, shards, job->output);
    df_progress_begin(&progress, job->context, "score.progress", "samples", shards->end - shards->begin,
                      shards->finished_rows);
    dfal_status status;
    job->scoring = df_clock();
    DF_TRY_TO(done, status, df_output_begin(job->output, shards));
    DF_TRY_TO(done, status, df_stream_open(&stream, job->pool, &source.source));
    status = df_deepfool_run(job->engine, stream, &sink.sink, &progress);
done:
    df_stream_close(stream);
    df_progress_end(&progress);
    df_shard_sink_clear(&sink);
    job->writing = df_clock();
    return status;
}

/* What is left to do when every row is scored. */
static dfal_status write_final(struct job *job)
{
    DF_TRY(df_output_end(job->output));
    if (job->comm->size > 1)
        DF_TRY(df_output_keep(job->output)); /* for the rank that writes the file */
    DF_TRY(job->comm->barrier(job->comm));
    if (job->comm->rank > 0)
        return DFAL_OK;
    DF_TRY(df_output_complete(job->output));
    if (job->options->adversarial > 0)
        DF_TRY(df_adversarial_write(job->engine, df_output_writer(job->output), job->pool,
                                    df_output_summary(job->output)));
    df_parts_publish(&job->shards.parts);
    return df_output_finish(job->output);
}

/* The job has failed: keep the shards that are finished. A device that gave up, or a request to stop, is then no failure
 * but a pause. */
static dfal_status keep_work(struct job *job, dfal_status status)
{
    char sentence[DF_MESSAGE_SIZE];
    df_message_get(sentence);
    df_output_abandon(job->output); /* first: a full disk has room again */
    const dfal_status kept = df_output_keep(job->output);
    job->context->kept_work = job->shards.finished_rows > 0;
    if (status == DFAL_E_STOPPED && kept != DFAL_OK)
        status = kept;
    else
        df_message_set(sentence);
    if (status == DFAL_E_UNAVAILABLE && job->context->kept_work)
        status = df_fail(DFAL_E_STOPPED, "%.800s: the finished shards are kept", sentence);
    df_shards_remove(&job->shards, false);
    return status;
}

static void fill_result(struct dfal_score_result *result, const struct job *job)
{
    const struct df_summary *summary = df_output_summary(job->output);
    const double end = df_clock();
    *result = (struct dfal_score_result){
        .samples = summary->samples,
        .seconds = end - job->begun,
        .start_seconds = job->scoring - job->begun,
        .scoring_seconds = job->writing - job->scoring,
        .writing_seconds = end - job->writing,
        .iterations = summary->iterations,
        .peak_memory_bytes = df_memory_peak(),
        .accuracy = summary->labelled > 0 ? (double)summary->right / (double)summary->labelled : (double)NAN,
    };
    memcpy(result->status, summary->status, sizeof result->status);
    memcpy(result->margin_quantile, summary->quantile, sizeof result->margin_quantile);
    copy_text(result->engine, sizeof result->engine, job->head.engine);
    copy_text(result->isa, sizeof result->isa, job->device->info.isa);
    copy_text(result->backend, sizeof result->backend, job->head.backend);
}

static void say_end(const struct job *job, const struct dfal_score_result *result, const char *out_path)
{
    df_say(job->context, DFAL_INFO, "score.end",
           DF_FIELDS(DF_INT("samples", result->samples), DF_REAL("seconds", result->seconds),
                     DF_REAL("start_seconds", result->start_seconds),
                     DF_REAL("scoring_seconds", result->scoring_seconds),
                     DF_REAL("writing_seconds", result->writing_seconds),
                     DF_INT("iterations", result->iterations), DF_INT("ok", result->status[DFAL_SCORE_OK]),
                     DF_INT("tie", result->status[DFAL_SCORE_TIE]),
                     DF_INT("max_iter", result->status[DFAL_SCORE_MAX_ITER]),
                     DF_INT("zero_grad", result->status[DFAL_SCORE_ZERO_GRAD]),
                     DF_INT("nonfinite", result->status[DFAL_SCORE_NONFINITE]),
                     DF_REAL("median", result->margin_quantile[2]), DF_REAL("accuracy", result->accuracy),
                     DF_INT("peak_memory_bytes", result->peak_memory_bytes), DF_TEXT("output", out_path)),
           "%" PRId64 " samples in %.1f s, %" PRId64 " steps, median margin %.4g, output %s", result->samples,
           result->seconds, result->iterations, result->margin_quantile[2], out_path);
}

static void close_job(struct job *job)
{
    df_deepfool_destroy(job->engine);
    df_output_close(job->output);
    df_shards_close(&job->shards);
    df_scores_head_clear(&job->head);
    df_network_destroy(job->network);
    df_pool_close(job->pool);
    if (job->comm)
        job->comm->close(job->comm);
}

dfal_status dfal_score(dfal_context *context, struct dfal_score_result *result, const char *out_path,
                       const char *network, const char *pool_path, const struct dfal_score_options *given)
{
    struct df_claim claim = DF_CLAIM_NONE;
    struct df_score_options own;
    struct dfal_score_result told = {0};
    const struct dfal_score_options *options = &own.score;
    struct job job = {.context = context, .options = options, .begun = df_clock()};
    dfal_status status;
    DF_TRY(df_score_options_take(&own, given));
    DF_TRY(df_sized_check(result, "dfal_score_result"));
    context->kept_work = false;
    DF_TRY_TO(done, status, df_score_check_options(options));
    DF_TRY_TO(done, status, df_deepfool_from_options(&job.deepfool, options));
    DF_TRY_TO(done, status,
              df_claim_job(&claim, out_path, network, pool_path, options->pool, context->options.force));
    DF_TRY_TO(done, status, df_comm_open_self(&job.comm));
    DF_TRY_TO(done, status, df_pool_open(&job.pool, context, pool_path, options->pool));
    df_labels_warn(context, job.pool);
    DF_TRY_TO(done, status, open_output(&job, out_path));
    DF_TRY_TO(done, status, df_network_for_pool(&job.network, context, network, job.pool));
    DF_TRY_TO(done, status,
              df_claim_inputs(&claim, (const char *const *)job.network->files, job.network->file_count));
    /* Labels only tell how many predictions are right: they count as the network does. */
    DF_TRY_TO(done, status, df_pool_reorder(job.pool, job.network->from_pool));
    DF_TRY_TO(done, status, df_context_device(context, &job.device));
    DF_TRY_TO(done, status, fill_head(&job, network, pool_path));
    DF_TRY_TO(done, status, create_engine(&job));
    DF_TRY_TO(done, status,
              df_shards_open(&job.shards, out_path, &job.head, job.head.range_begin, job.head.range_end,
                             context->options.allow_mixed, context->options.force));
    context->kept_work = job.shards.finished_rows > 0;
    job.shards.rank = job.comm->rank;
    job.shards.size = job.comm->size;
    say_begin(&job, out_path, network, pool_path);
    status = score_missing(&job);
    if (status == DFAL_OK)
        status = write_final(&job);
    if (status == DFAL_OK) {
        df_shards_remove(&job.shards, true);
        context->kept_work = false;
        fill_result(&told, &job);
        say_end(&job, &told, out_path);
        df_sized_give(result, &told, sizeof told);
    } else {
        status = keep_work(&job, status);
    }
done:
    close_job(&job);
    df_claim_end(&claim);
    return status;
}
