/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_score_estimate: what a score would cost, from a few samples spread over its rows. Nothing is
 * written. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/sized.h"
#include "score/deepfool_engine.h"
#include "score/pool_network.h"
#include "score/score.h"
#include "store/labels.h"

enum {
    TIMED_ROWS = 256,
    WIDE_ROWS = 32768,  /* timed at most on a wide device, and as many more on each of its group */
    FILE_BYTES = 12288, /* HDF5's own, attributes */
    COLUMN_BYTES = 31,  /* of a row: margins and gap 12, classes 8, iterations 2, status 1, index 8 */
};

/* Seconds that are a measurement, on a wide device, and those of which its start is a small part. */
#define ENOUGH 0.3
#define PLENTY 3.0

struct counter {
    struct df_margin_sink sink;
    int64_t count, iterations;
};

static dfal_status count_one(struct df_margin_sink *self, const struct df_margin *margin,
                             const float *adversarial)
{
    struct counter *counter = (struct counter *)self;
    (void)adversarial;
    counter->count++;
    counter->iterations += margin->iterations;
    return DFAL_OK;
}

/* Bytes of a row of a scores file: every column, and its id as HDF5 keeps texts of any length. */
static dfal_status row_bytes(double *bytes, struct df_pool *pool, const int64_t *rows, int64_t count)
{
    enum { REFERENCE = 16, HEAP_HEAD = 16, HEAP_STEP = 8 };
    double texts = 0;
    for (int64_t i = 0; i < count; i++) {
        char *id = NULL;
        DF_TRY(df_pool_id(pool, &id, rows[i]));
        const size_t padded = (strlen(id) + HEAP_STEP) / HEAP_STEP * HEAP_STEP;
        texts += (double)(REFERENCE + HEAP_HEAD + padded);
        df_free(id);
    }
    *bytes = COLUMN_BYTES + texts / (double)count;
    return DFAL_OK;
}

/* Rows of the score, evenly spread. */
static void spread(int64_t *rows, int64_t count, int64_t begin, int64_t samples)
{
    for (int64_t i = 0; i < count; i++)
        rows[i] = begin + (int64_t)((double)i * (double)samples / (double)count);
}

static dfal_status time_rows(struct dfal_estimate_result *result, dfal_context *context,
                             struct df_deepfool_engine *engine, struct df_pool *pool, const int64_t *rows)
{
    struct counter counter = {.sink.put = count_one};
    struct df_row_stream *stream = NULL;
    struct df_list_source source;
    struct df_progress progress;
    df_list_source_init(&source, rows, result->timed_samples);
    df_progress_begin(&progress, context, "estimate.progress", "samples", result->timed_samples, 0);
    const double begin = df_clock();
    dfal_status status;
    DF_TRY_TO(done, status, df_stream_open(&stream, pool, &source.source));
    status = df_deepfool_run(engine, stream, &counter.sink, &progress);
    result->timed_seconds = df_clock() - begin;
    result->iterations_per_sample = (double)counter.iterations / (double)result->timed_samples;
done:
    df_progress_end(&progress);
    df_stream_close(stream);
    return status;
}

/* A few rows leave a wide device idle, and its first calls make it ready: rows are doubled until they are a
 * measurement. */
static dfal_status time_wide(struct dfal_estimate_result *result, dfal_context *context,
                             struct df_deepfool_engine *engine, struct df_pool *pool, int64_t *rows,
                             int64_t room, int64_t begin)
{
    const int64_t most = result->samples < room ? result->samples : room;
    for (int pass = 0;; pass++) {
        spread(rows, result->timed_samples, begin, result->samples);
        DF_TRY(time_rows(result, context, engine, pool, rows));
        if (result->timed_seconds >= (pass > 0 ? ENOUGH : PLENTY) ||
            (pass > 0 && result->timed_samples == most))
            return DFAL_OK;
        result->timed_samples = 2 * result->timed_samples < most ? 2 * result->timed_samples : most;
    }
}

dfal_status dfal_score_estimate(dfal_context *context, struct dfal_estimate_result *told,
                                const char *network_path, const char *pool_path,
                                const struct dfal_score_options *given)
{
    struct df_score_options own;
    const struct dfal_score_options *options = &own.score;
    struct dfal_estimate_result filled = {0}, *result = &filled;
    struct df_pool *pool = NULL;
    struct df_network *network = NULL;
    struct df_device *device = NULL;
    struct df_deepfool_engine *engine = NULL;
    struct df_deepfool deepfool;
    int64_t begin = 0, end = 0, *rows = NULL;
    double bytes = 0;
    dfal_status status;
    DF_TRY(df_score_options_take(&own, given));
    DF_TRY(df_sized_check(told, "dfal_estimate_result"));
    const struct df_job_range range = df_score_range(options);
    context->kept_work = false;
    DF_TRY_TO(done, status, df_score_check_options(options));
    if (options->closest > 0 || options->cascade) {
        status =
            df_fail(DFAL_E_USAGE, "an estimate times the whole pass, expected no `closest` and no cascade");
        goto done;
    }
    DF_TRY_TO(done, status, df_deepfool_from_options(&deepfool, options));
    DF_TRY_TO(done, status, df_pool_open(&pool, context, pool_path, options->pool));
    df_labels_warn(context, pool);
    DF_TRY_TO(done, status, df_job_rows(&begin, &end, &range, pool->count));
    DF_TRY_TO(done, status, df_score_check_images(context, pool, options, end - begin));
    DF_TRY_TO(done, status, df_network_for_pool(&network, context, network_path, pool));
    DF_TRY_TO(done, status, df_context_device(context, &device));
    DF_TRY_TO(done, status, df_score_engine(&engine, context, device, network, pool, &deepfool, options));
    result->samples = end - begin;
    result->timed_samples = result->samples < TIMED_ROWS ? result->samples : TIMED_ROWS;
    const int64_t room = device->wide ? (int64_t)df_group_count(device) * WIDE_ROWS : TIMED_ROWS;
    DF_TRY_TO(done, status, df_alloc(&rows, room, sizeof *rows));
    spread(rows, result->timed_samples, begin, result->samples);
    DF_TRY_TO(done, status, row_bytes(&bytes, pool, rows, result->timed_samples));
    DF_TRY_TO(done, status,
              device->wide ? time_wide(result, context, engine, pool, rows, room, begin)
                           : time_rows(result, context, engine, pool, rows));
    result->samples_per_second =
        result->timed_seconds > 0 ? (double)result->timed_samples / result->timed_seconds : 0;
    result->seconds = result->timed_seconds * (double)result->samples / (double)result->timed_samples;
    const int64_t images = options->adversarial < result->samples ? options->adversarial : result->samples;
    const int64_t image_bytes = images * df_shape_size(pool->shape) * (int64_t)sizeof(float);
    result->output_bytes = FILE_BYTES + (int64_t)(bytes * (double)result->samples) + image_bytes +
                           images * (int64_t)sizeof(int64_t);
    result->batch = df_deepfool_batch(engine);
    result->memory_bytes = df_deepfool_memory(engine) + image_bytes;
    result->peak_memory_bytes = df_memory_peak();
    df_sized_give(told, result, sizeof *result);
done:
    df_free(rows);
    df_deepfool_destroy(engine);
    df_network_destroy(network);
    df_pool_close(pool);
    return status;
}
