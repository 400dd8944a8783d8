/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_score: a scores file out of a network and a pool. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/claim.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/sized.h"
#include "base/word.h"
#include "job/job.h"
#include "score/adversarial.h"
#include "score/closest_job.h"
#include "score/pool_network.h"
#include "score/score.h"
#include "score/summary.h"
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
    if (options->closest < 0)
        DF_FAIL(DFAL_E_USAGE, "%" PRId64 " closest rows asked for, expected a number of at least 0",
                options->closest);
    return DFAL_OK;
}

struct df_job_range df_score_range(const struct dfal_score_options *options)
{
    return (struct df_job_range){options->range_begin, options->range_end, options->shard,
                                 options->shard_count};
}

struct score {
    struct dfal_context *context;
    const struct dfal_score_options *options;
    struct df_deepfool deepfool;
    struct df_pool *pool;
    struct df_network *network;
    struct df_device *device;
    struct df_deepfool_engine *engine;
    struct df_closest closest;
    bool some; /* DeepFool runs on the rows alone that may be among the closest */
    struct df_summary summary;
    struct df_job job;
    double begun; /* df_clock */
};

/* The closest are those of a whole pool: what a part proves says nothing of the others. */
static dfal_status check_closest(const struct score *score)
{
    const struct dfal_score_options *options = score->options;
    if (options->cascade && options->closest == 0)
        DF_FAIL(DFAL_E_USAGE, "a cascade looks for the closest rows, expected `closest` with their number");
    if (options->closest == 0)
        return DFAL_OK;
    if (options->shard_count > 0 || options->range_begin != 0 || options->range_end != -1)
        DF_FAIL(DFAL_E_USAGE, "`closest` finds rows of a whole pool, expected no range and no shard");
    if (strcmp(options->precision, "split") == 0)
        DF_FAIL(DFAL_E_USAGE,
                "`closest` proves by what float32 sums may round, expected `precision` strict or fast");
    if (options->adversarial > options->closest)
        DF_FAIL(DFAL_E_USAGE,
                "%" PRId64 " adversarial images asked for, expected at most the %" PRId64 " closest rows",
                options->adversarial, options->closest);
    return df_closest_check(&score->deepfool, options->unconverged);
}

int df_score_how(const struct dfal_score_options *options)
{
    return DF_DEEPFOOL_FOLD | (strcmp(options->engine, "layers") != 0 ? DF_DEEPFOOL_FUSED : 0) |
           df_deepfool_precision(options->precision);
}

dfal_status df_score_engine(struct df_deepfool_engine **out, struct dfal_context *context,
                            struct df_device *device, const struct df_network *network, struct df_pool *pool,
                            const struct df_deepfool *deepfool, const struct dfal_score_options *options)
{
    DF_TRY(df_deepfool_create(out, context, device, network, pool, deepfool, options->batch,
                              df_score_how(options)));
    if (!df_deepfool_is_fused(*out) && strcmp(options->engine, "fused") == 0)
        DF_FAIL(DFAL_E_UNAVAILABLE, "back end '%s' has no fused engine for this network: use `engine` auto",
                device->info.backend);
    return DFAL_OK;
}

/* Of a network without bound every row is scored, which proves as much. */
static dfal_status open_closest(struct score *score)
{
    const struct dfal_score_options *options = score->options;
    if (options->closest == 0)
        return DFAL_OK;
    DF_TRY(df_closest_open(&score->closest,
                           &(struct df_closest_spec){
                               .context = score->context,
                               .device = score->device,
                               .network = score->network,
                               .pool = score->pool,
                               .deepfool = &score->deepfool,
                               .comm = score->context->comm,
                               .total = score->pool->count,
                               .room = df_closest_room(score->context->comm, score->pool->count),
                               .q = options->closest,
                               .cascade = options->cascade,
                               .layers = strcmp(options->engine, "layers") == 0,
                           },
                           &score->some));
    if (!score->some && options->cascade)
        return df_closest_refuse(&score->closest);
    if (!score->some)
        df_say(score->context, DFAL_WARNING, "closest.unbounded",
               DF_FIELDS(DF_TEXT("reason", df_closest_why(&score->closest))),
               "the network has no lower bound (%s): DeepFool runs on every sample",
               df_closest_why(&score->closest));
    return DFAL_OK;
}

/* A forward, a backward for each candidate class, and a handful of iterations. */
static double operations_of(const struct score *score)
{
    const int32_t asked = score->deepfool.classes, all = score->network->class_count;
    const int32_t classes = asked > 0 && asked < all ? asked : all;
    return 4.0 * (1.0 + classes) * (double)df_network_multiply_adds(score->network);
}

static dfal_status find_finished(struct score *score, const char *network_path)
{
    char *configuration = NULL;
    DF_TRY(df_score_configuration(&configuration, &score->deepfool, score->options));
    const dfal_status status =
        df_job_find(&score->job, &(struct df_job_maker){
                                     .network = score->network,
                                     .device = score->device,
                                     .network_path = network_path,
                                     .engine = df_deepfool_is_fused(score->engine) ? "fused" : "layers",
                                     .precision = score->options->precision,
                                     .units = score->deepfool.units_raw ? "raw" : "network",
                                     .configuration = configuration,
                                     .operations = operations_of(score),
                                     .dealt = score->some,
                                 });
    df_free(configuration);
    return status;
}

/* ---- What a score does with rows -------------------------------------------------------------- */

struct margin_sink {
    struct df_margin_sink sink;
    struct df_shard_sink *shards;
};

static dfal_status store_margin(struct df_margin_sink *self, const struct df_margin *margin,
                                const float *adversarial)
{
    struct df_shard_sink *shards = ((struct margin_sink *)self)->shards;
    struct df_rows *rows;
    int64_t at;
    (void)adversarial;
    DF_TRY(df_shard_sink_row(shards, margin->index, &rows, &at));
    const struct df_scores scores = df_scores_of(rows);
    df_margin_store(&scores, at, margin);
    df_shard_sink_stored(shards);
    return DFAL_OK;
}

static dfal_status run_engine(void *user, struct df_row_stream *stream, struct df_shard_sink *shards,
                              struct df_progress *progress)
{
    struct score *score = user;
    struct margin_sink sink = {.sink.put = store_margin, .shards = shards};
    if (score->some)
        return df_closest_run(&score->closest, score->engine, stream, shards, progress);
    return df_deepfool_run(score->engine, stream, &sink.sink, progress);
}

static void sum_up(void *user, const struct df_rows *rows)
{
    struct score *score = user;
    const struct df_scores scores = df_scores_of(rows);
    df_summary_add(&score->summary, &scores, score->pool);
}

static dfal_status complete(void *user, struct df_rows_writer *writer)
{
    struct score *score = user;
    DF_TRY(df_summary_finish(&score->summary, writer));
    DF_TRY(df_scores_put_asked(writer, score->options->adversarial));
    if (score->some)
        DF_TRY(df_closest_record(&score->closest, writer));
    return score->options->adversarial > 0
               ? df_adversarial_write(score->engine, writer, score->pool, &score->summary, &score->job.head)
               : DFAL_OK;
}

static const struct df_job_client client = {
    .resume_event = "score.resume",
    .progress_event = "score.progress",
    .run = run_engine,
    .placed = sum_up,
    .complete = complete,
};

dfal_status df_score_check_images(const struct dfal_context *context, const struct df_pool *pool,
                                  const struct dfal_score_options *options, int64_t rows)
{
    const int64_t images = options->adversarial < rows ? options->adversarial : rows;
    const double bytes = (double)images * (double)df_shape_size(pool->shape) * sizeof(float);
    char what[64];
    snprintf(what, sizeof what, "%" PRId64 " adversarial images", images);
    return df_context_check_memory(context, bytes, what, "ask for fewer");
}

static dfal_status open_job(struct score *score, const char *out_path)
{
    const struct df_job_range range = df_score_range(score->options);
    int64_t begin, end;
    DF_TRY(df_job_rows(&begin, &end, &range, score->pool->count));
    DF_TRY(df_score_check_images(score->context, score->pool, score->options, end - begin));
    DF_TRY(df_summary_open(&score->summary, end - begin, score->options->adversarial,
                           df_summary_kept_limit(score->context)));
    return df_job_open(&score->job, score->context, score->pool, &df_scores_kind, &client, score, out_path,
                       &range);
}

/* ---- What is said ----------------------------------------------------------------------------- */

static void say_begin(const struct score *score, const char *out_path, const char *network,
                      const char *pool_path)
{
    const struct df_rows_head *head = &score->job.head;
    const int64_t batch = df_deepfool_batch(score->engine), memory = df_deepfool_memory(score->engine);
    const int32_t devices = df_group_count(score->device);
    df_say(score->context, DFAL_INFO, "score.begin",
           DF_FIELDS(DF_TEXT("network", network), DF_TEXT("pool", pool_path),
                     DF_INT("samples", head->range_end - head->range_begin),
                     DF_INT("classes", score->network->class_count),
                     DF_TEXT("preset", score->deepfool.preset), DF_TEXT("backend", head->backend),
                     DF_INT("devices", devices), DF_TEXT("engine", head->engine), DF_TEXT("isa", head->isa),
                     DF_TEXT("precision", head->precision), DF_INT("batch", batch), DF_INT("memory", memory),
                     DF_TEXT("output", out_path)),
           "network %s, pool %s (%" PRId64
           " samples), %d classes, preset %s, back end %s%s%s, engine %s, ISA %s, "
           "precision %s, batch %" PRId64 ", memory %.1f MiB, output %s",
           network, pool_path, head->range_end - head->range_begin, score->network->class_count,
           score->deepfool.preset, head->backend, devices > 1 ? " on " : "", devices > 1 ? head->device : "",
           head->engine, head->isa, head->precision, batch, (double)memory / 1048576, out_path);
}

static void fill_result(struct dfal_score_result *result, const struct score *score)
{
    const struct df_summary *summary = &score->summary;
    const struct df_job *job = &score->job;
    const double end = df_clock();
    *result = (struct dfal_score_result){
        .samples = summary->samples,
        .seconds = end - score->begun,
        .start_seconds = job->running - score->begun,
        .scoring_seconds = job->writing - job->running,
        .scoring_cpu_seconds = job->cpu_seconds,
        .writing_seconds = end - job->writing,
        .iterations = summary->iterations,
        .peak_memory_bytes = df_memory_peak(),
        .accuracy = summary->labelled > 0 ? (double)summary->right / (double)summary->labelled : (double)NAN,
    };
    result->deepfool_samples = score->some ? score->closest.told.run : summary->samples;
    result->closest_margin = score->some ? score->closest.told.radius : (double)NAN;
    result->audited = score->closest.told.audited;
    result->audit_found = score->closest.told.found;
    result->recall = score->some && score->options->cascade ? score->closest.told.recall : (double)NAN;
    memcpy(result->status, summary->status, sizeof result->status);
    memcpy(result->margin_quantile, summary->quantile, sizeof result->margin_quantile);
    snprintf(result->engine, sizeof result->engine, "%s", job->head.engine);
    snprintf(result->isa, sizeof result->isa, "%s", score->device->info.isa);
    snprintf(result->backend, sizeof result->backend, "%s", job->head.backend);
}

/* Nobody can choose by such scores. */
static void warn_no_margin(const struct score *score, const struct dfal_score_result *result)
{
    const int64_t unconverged = result->status[DFAL_SCORE_MAX_ITER];
    if (score->summary.margins.count > 0 || result->samples == 0)
        return;
    df_say(score->context, DFAL_WARNING, "score.no_margin",
           DF_FIELDS(DF_INT("samples", result->samples), DF_INT("max_iter", unconverged)),
           "none of the %" PRId64 " samples has a margin, %" PRId64 " of them ended with MAX_ITER%s",
           result->samples, unconverged,
           unconverged ? ": does the pool scale its samples as those that trained the network? Else try a "
                         "larger `max_iter`"
                       : "");
}

static void say_end(const struct score *score, const struct dfal_score_result *result, const char *out_path)
{
    char median[48] = "no margin";
    if (isfinite(result->margin_quantile[2]))
        df_print(median, sizeof median, "median margin %.4g", result->margin_quantile[2]);
    warn_no_margin(score, result);
    df_say(score->context, DFAL_INFO, "score.end",
           DF_FIELDS(DF_INT("samples", result->samples), DF_REAL("seconds", result->seconds),
                     DF_REAL("start_seconds", result->start_seconds),
                     DF_REAL("scoring_seconds", result->scoring_seconds),
                     DF_REAL("writing_seconds", result->writing_seconds),
                     DF_INT("iterations", result->iterations), DF_INT("ok", result->status[DFAL_SCORE_OK]),
                     DF_INT("tie", result->status[DFAL_SCORE_TIE]),
                     DF_INT("max_iter", result->status[DFAL_SCORE_MAX_ITER]),
                     DF_INT("zero_grad", result->status[DFAL_SCORE_ZERO_GRAD]),
                     DF_INT("nonfinite", result->status[DFAL_SCORE_NONFINITE]),
                     DF_INT("pruned", result->status[DFAL_SCORE_PRUNED]),
                     DF_INT("unscored", result->status[DFAL_SCORE_UNSCORED]),
                     DF_REAL("median", result->margin_quantile[2]), DF_REAL("accuracy", result->accuracy),
                     DF_INT("peak_memory_bytes", result->peak_memory_bytes), DF_TEXT("output", out_path)),
           "%" PRId64 " samples in %.1f s, %" PRId64 " steps, %s, output %s", result->samples,
           result->seconds, result->iterations, median, out_path);
}

static void close_score(struct score *score)
{
    df_job_close(&score->job); /* its thread sums up, and reads the pool */
    df_deepfool_destroy(score->engine);
    df_closest_close(&score->closest);
    df_summary_close(&score->summary);
    df_network_destroy(score->network);
    df_pool_close(score->pool);
}

dfal_status dfal_score(dfal_context *context, struct dfal_score_result *result, const char *out_path,
                       const char *network, const char *pool_path, const struct dfal_score_options *given)
{
    struct df_claim claim = DF_CLAIM_NONE;
    struct df_score_options own;
    struct dfal_score_result told = {0};
    const struct dfal_score_options *options = &own.score;
    struct score score = {.context = context, .options = options, .begun = df_clock()};
    dfal_status status;
    DF_TRY(df_score_options_take(&own, given));
    DF_TRY(df_sized_check(result, "dfal_score_result"));
    context->kept_work = false;
    DF_TRY_TO(done, status, df_score_check_options(options));
    DF_TRY_TO(done, status, df_deepfool_from_options(&score.deepfool, options));
    DF_TRY_TO(done, status, check_closest(&score));
    DF_TRY_TO(done, status, df_job_claim(context, &claim, out_path, network, pool_path, options->pool));
    DF_TRY_TO(done, status, df_pool_open(&score.pool, context, pool_path, options->pool));
    df_labels_warn(context, score.pool);
    DF_TRY_TO(done, status, open_job(&score, out_path));
    DF_TRY_TO(done, status, df_network_for_pool(&score.network, context, network, score.pool));
    DF_TRY_TO(done, status,
              df_claim_inputs(&claim, (const char *const *)score.network->files, score.network->file_count));
    /* Labels only tell how many predictions are right: they count as the network does. */
    DF_TRY_TO(done, status, df_pool_reorder(score.pool, score.network->from_pool));
    DF_TRY_TO(done, status, df_context_device(context, &score.device));
    DF_TRY_TO(done, status, open_closest(&score));
    DF_TRY_TO(done, status,
              df_score_engine(&score.engine, context, score.device, score.network, score.pool,
                              &score.deepfool, options));
    DF_TRY_TO(done, status, find_finished(&score, network));
    say_begin(&score, out_path, network, pool_path);
    DF_TRY_TO(done, status, df_job_run(&score.job));
    fill_result(&told, &score);
    say_end(&score, &told, out_path);
    df_sized_give(result, &told, sizeof told);
done:
    status = df_job_ended(context, status);
    df_parts_tell_kept(context, status, out_path);
    close_score(&score);
    df_claim_end(&claim);
    return status;
}
