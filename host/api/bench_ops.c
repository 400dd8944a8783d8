/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_bench_ops: the real jobs, DeepFool over a pool and training steps, on a device that times every
 * call. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/timed.h"
#include "base/backend_name.h"
#include "base/claim.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/sized.h"
#include "models/models.h"
#include "net/train_step.h"
#include "net/training.h"
#include "score/deepfool_engine.h"
#include "score/pool_network.h"
#include "store/network_file.h"

enum { SAMPLES = 64, SAMPLES_WIDE = 16384, STEPS = 4, BATCH = 32, SIDE = 28, CLASSES = 10, MAX_ITER = 3 };

struct bench {
    dfal_context *context;
    struct dfal_bench_ops_options options;
    struct dfal_bench_roofs *roofs;
    dfal_op_time_fn *op;
    void *user;
    struct df_device *device;
    struct df_timed *timed;
    struct df_network *network;
    struct df_pool *pool;
    int64_t size, samples; /* values a sample */
    struct df_timed_row *best;
    int32_t best_count;
};

void(dfal_bench_ops_options_init)(struct dfal_bench_ops_options *options, size_t size)
{
    const struct dfal_bench_ops_options defaults = {.repeat = 3};
    df_sized_init(options, size, &defaults, sizeof defaults);
}

static dfal_status take_network(struct bench *bench, const char *name)
{
    if (df_file_exists(name) || !df_model_exists(name)) {
        if (!df_file_exists(name))
            DF_TRY(df_model_check(name));
        DF_TRY(df_network_load(&bench->network, name));
        df_say_softmax(bench->context, name, bench->network);
        return DFAL_OK;
    }
    DF_TRY(df_model_create(&bench->network, name, (struct df_shape){1, SIDE, SIDE}, CLASSES));
    return df_network_initialise(bench->network, bench->context->options.seed);
}

/* ---- jobs */

static dfal_status forget(struct df_margin_sink *self, const struct df_margin *margin,
                          const float *adversarial)
{
    (void)self, (void)margin, (void)adversarial;
    return DFAL_OK;
}

static dfal_status score_once(struct bench *bench, struct df_deepfool_engine *engine)
{
    struct df_margin_sink sink = {.put = forget};
    struct df_range_source range;
    struct df_row_stream *stream = NULL;
    df_range_source_init(&range, 0, bench->pool->count, bench->pool->count);
    DF_TRY(df_stream_open(&stream, bench->pool, &range.source));
    const dfal_status status = df_deepfool_run(engine, stream, &sink, NULL);
    df_stream_close(stream);
    return status;
}

/* Keep the faster of two passes, op by op; the first pass sets the order. */
static dfal_status keep_best(struct bench *bench)
{
    int32_t count;
    const struct df_timed_row *rows = df_timed_rows(bench->timed, &count);
    if (bench->best == NULL) {
        DF_TRY(df_alloc(&bench->best, count, sizeof *bench->best));
        memcpy(bench->best, rows, (size_t)count * sizeof *rows);
        bench->best_count = count;
        return DFAL_OK;
    }
    for (int32_t i = 0; i < bench->best_count; i++)
        for (int32_t k = 0; k < count; k++)
            if (rows[k].op == bench->best[i].op && strcmp(rows[k].shape, bench->best[i].shape) == 0 &&
                rows[k].seconds < bench->best[i].seconds)
                bench->best[i] = rows[k];
    return DFAL_OK;
}

static void tell(struct bench *bench, const char *job)
{
    for (int32_t i = 0; i < bench->best_count && bench->op != NULL; i++) {
        const struct df_timed_row *row = &bench->best[i];
        const struct dfal_op_time time = {
            .job = job,
            .op = df_op_info[row->op].name,
            .shape = row->shape,
            .engine = row->engine,
            .calls = row->calls,
            .rows = row->rows,
            .seconds = row->seconds,
            .bytes = row->bytes,
            .operations = row->operations,
        };
        bench->op(bench->user, &time);
    }
    df_free(bench->best);
    bench->best = NULL;
    bench->best_count = 0;
}

/* The first pass warms up and is not counted. */
static dfal_status bench_score(struct bench *bench)
{
    struct df_deepfool deepfool;
    struct df_deepfool_engine *engine = NULL;
    dfal_status status = DFAL_OK;
    df_timed_reset(bench->timed, false);
    DF_TRY(df_deepfool_preset(&deepfool, "lts4"));
    deepfool.max_iter = MAX_ITER; /* random weights: as many steps as a trained network needs */
    DF_TRY(df_deepfool_create(&engine, bench->context, bench->device, bench->network, bench->pool, &deepfool,
                              0, true));
    for (int32_t pass = 0; pass <= bench->options.repeat && status == DFAL_OK; pass++) {
        df_timed_reset(bench->timed, pass > 0);
        status = score_once(bench, engine);
        if (status == DFAL_OK && pass > 0)
            status = keep_best(bench);
    }
    df_deepfool_destroy(engine);
    if (status == DFAL_OK)
        tell(bench, "score");
    return status;
}

static dfal_status train_once(const struct bench *bench, struct df_trainer *trainer,
                              const struct df_training_options *training)
{
    const struct df_epoch_options options = {.training = training, .seed = bench->context->options.seed};
    int64_t order[STEPS * BATCH];
    float losses[STEPS * BATCH];
    for (int32_t i = 0; i < STEPS * BATCH; i++)
        order[i] = i;
    return df_trainer_epoch(trainer, bench->context, losses, order, STEPS * BATCH, &options);
}

static dfal_status train_passes(struct bench *bench, const struct df_training_set *set)
{
    struct df_trainer *trainer = NULL;
    struct df_resident_set resident = {0};
    struct df_training_options training;
    float *values = NULL;
    dfal_status status;
    df_training_options_init(&training);
    training.batch = BATCH;
    DF_TRY_TO(done, status, df_resident_set_create(&resident, bench->device, set, &training, 0));
    DF_TRY_TO(done, status,
              df_trainer_create(&trainer, bench->device, 0, bench->network, set, &resident, &training));
    DF_TRY_TO(done, status, df_alloc(&values, df_trainer_size(trainer), sizeof *values));
    df_plan_gather(df_trainer_plan(trainer), values, bench->network);
    DF_TRY_TO(done, status, df_trainer_load(trainer, values, NULL, NULL));
    for (int32_t pass = 0; pass <= bench->options.repeat; pass++) {
        df_timed_reset(bench->timed, pass > 0);
        DF_TRY_TO(done, status, train_once(bench, trainer, &training));
        if (pass > 0)
            DF_TRY_TO(done, status, keep_best(bench));
    }
    tell(bench, "train");
done:
    df_trainer_destroy(trainer);
    df_resident_set_clear(&resident, bench->device);
    df_free(values);
    return status;
}

static dfal_status bench_train(struct bench *bench)
{
    enum { ROWS = STEPS * BATCH };
    struct df_training_row rows[ROWS];
    float *x;
    df_timed_reset(bench->timed, false);
    DF_TRY(df_alloc(&x, ROWS * bench->size, sizeof *x));
    for (int64_t i = 0; i < ROWS * bench->size; i++)
        x[i] = (float)df_random_uniform(bench->context->options.seed, DF_STREAM_VERIFY, (uint64_t)i);
    for (int32_t i = 0; i < ROWS; i++)
        rows[i] =
            (struct df_training_row){.index = i, .label = i % bench->network->class_count, .weight = 1.0F};
    const struct df_training_set set = {.count = ROWS, .size = bench->size, .rows = rows, .x = x};
    const dfal_status status = train_passes(bench, &set);
    df_free(x);
    return status;
}

/* ---- the pool */

static dfal_status write_rows(const struct bench *bench, struct df_pool_writer *writer)
{
    uint8_t *raw;
    DF_TRY(df_alloc(&raw, bench->size, 1));
    dfal_status status = DFAL_OK;
    for (int64_t row = 0; row < bench->samples && status == DFAL_OK; row++) {
        for (int64_t i = 0; i < bench->size; i += 8) {
            const uint64_t bits = df_random_bits(bench->context->options.seed, DF_STREAM_VERIFY,
                                                 (uint64_t)(row * bench->size + i));
            memcpy(raw + i, &bits, bench->size - i < 8 ? (size_t)(bench->size - i) : sizeof bits);
        }
        status = df_pool_append(writer, raw, NULL, 1);
    }
    df_free(raw);
    return status;
}

static dfal_status make_pool(struct bench *bench, const char *path, bool *made)
{
    struct df_pool_writer *writer;
    const struct df_pool_spec spec = {.count = bench->samples,
                                      .shape = bench->network->input,
                                      .raw = DF_RAW_U8,
                                      .class_count = bench->network->class_count};
    DF_TRY(df_pool_create(&writer, path, &spec, false));
    const dfal_status status = write_rows(bench, writer);
    if (status != DFAL_OK) {
        df_pool_abandon(writer);
        return status;
    }
    DF_TRY(df_pool_finish(writer));
    *made = true;
    return df_pool_open(&bench->pool, bench->context, path, NULL);
}

static dfal_status measure_roofs(struct bench *bench)
{
    const struct df_device_info *info = &bench->device->info;
    struct dfal_bench_roofs *roofs = bench->roofs;
    struct df_timed_roofs measured;
    DF_TRY(df_timed_roofs(&measured, bench->timed));
    snprintf(roofs->backend, sizeof roofs->backend, "%s", info->backend);
    snprintf(roofs->isa, sizeof roofs->isa, "%s", info->isa);
    snprintf(roofs->device, sizeof roofs->device, "%s", info->device);
    snprintf(roofs->library, sizeof roofs->library, "%s", info->library);
    roofs->copy_bytes_per_second = measured.copy;
    roofs->product_operations_per_second = measured.product;
    roofs->call_seconds = measured.call;
    return DFAL_OK;
}

/* The devices of a group would work on the same rows, and one of them would be timed. */
static dfal_status check_one(const char *backend)
{
    struct df_backend_name name;
    DF_TRY(df_backend_name_read(&name, backend));
    if (df_backend_name_is_group(&name))
        DF_FAIL(DFAL_E_USAGE, "back end '%s' names several devices: expected one, whose ops are timed",
                backend);
    return DFAL_OK;
}

dfal_status dfal_bench_ops(dfal_context *context, struct dfal_bench_roofs *told, const char *network,
                           const char *folder, const struct dfal_bench_ops_options *given,
                           dfal_op_time_fn *op, void *user)
{
    struct dfal_bench_roofs roofs = {0};
    struct bench bench = {.context = context, .roofs = &roofs, .op = op, .user = user};
    const struct dfal_bench_ops_options *options = &bench.options;
    struct df_claim claim = DF_CLAIM_NONE;
    char *path = NULL;
    bool made = false;
    dfal_status status;
    dfal_bench_ops_options_init(&bench.options);
    DF_TRY(df_sized_take(&bench.options, sizeof bench.options, given, "dfal_bench_ops_options"));
    DF_TRY(df_sized_check(told, "dfal_bench_roofs"));
    context->kept_work = false;
    if (options->repeat < 1 || options->samples < 0)
        DF_FAIL(DFAL_E_USAGE, "%d passes over %lld samples, expected at least one pass", options->repeat,
                (long long)options->samples);
    const char *backend = context->options.backend != NULL ? context->options.backend : "auto";
    DF_TRY(check_one(backend));
    DF_TRY_TO(done, status, df_format(&path, "%s/ops.h5", folder));
    DF_TRY_TO(done, status, df_claim_job(&claim, path, network, NULL, NULL, false));
    DF_TRY_TO(done, status, df_device_open(&bench.device, backend, context->options.isa, 1));
    DF_TRY_TO(done, status, df_timed_open(&bench.timed, bench.device));
    DF_TRY_TO(done, status, take_network(&bench, network));
    bench.size = df_shape_size(bench.network->input);
    bench.samples = options->samples > 0 ? options->samples : bench.device->wide ? SAMPLES_WIDE : SAMPLES;
    DF_TRY_TO(done, status, make_pool(&bench, path, &made));
    DF_TRY_TO(done, status, measure_roofs(&bench));
    DF_TRY_TO(done, status, bench_score(&bench));
    DF_TRY_TO(done, status, bench_train(&bench));
done:
    df_sized_give(told, &roofs, sizeof roofs);
    df_pool_close(bench.pool);
    if (made)
        unlink(path);
    df_claim_end(&claim);
    df_network_destroy(bench.network);
    df_timed_close(bench.timed);
    df_device_close(bench.device);
    df_free(bench.best);
    df_free(path);
    return status;
}
