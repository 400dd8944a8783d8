/* SPDX-License-Identifier: Apache-2.0 */
/* The DeepFool engine: a plan, and a worker for every queue; one for every device of a group. */
#include "score/deepfool_engine.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "job/output.h"
#include "score/budget.h"
#include "score/deepfool_checks.h"
#include "score/deepfool_worker.h"
#include "score/resident_pool.h"
#include "score/summary.h"

/* Slots of a worker unless told otherwise: enough to fill the groups of a backward, few enough that their
 * activations stay in a core's cache (docs/PERFORMANCE.md). */
enum { DEFAULT_SLOTS = 128 };
/* On a wide device: so many that launching a call is little beside its work. */
enum { WIDE_SLOTS = 32768, WIDE_COTANGENTS = 65536 };

/* Slots whose rows the host holds, too, in half of its limit, where the device has memory of its own. */
static int64_t host_slots(const struct df_deepfool_engine *engine, bool decoded)
{
    const int64_t row = (int64_t)df_pool_row_bytes(engine->pool) +
                        (decoded ? engine->params.size * (int64_t)sizeof(float) : 0);
    const int64_t slots = engine->context->memory / 2 / engine->shared->engine_count / (row + 512);
    return !engine->device->own_memory ? WIDE_SLOTS : slots > 1 ? slots : 1;
}

/* Slots that a wide device has use for: of a small pool no more than its part, rows that are read ahead
 * counted, so that no device holds rows while another one has none. */
static int64_t wide_slots(const struct df_deepfool_engine *engine, bool decoded)
{
    const int64_t devices = engine->shared->engine_count, parts = devices > 1 ? 2 * devices : 1;
    const int64_t part = (engine->pool->count + parts - 1) / parts, host = host_slots(engine, decoded);
    const int64_t slots = part < WIDE_SLOTS ? part : WIDE_SLOTS;
    return slots < host ? slots : host;
}

/* Workers, and slots of a worker: asked for, or what memory and cache allow. batch: of this device. */
static dfal_status choose_slots(struct df_deepfool_engine *engine, int64_t batch)
{
    const bool decoded = engine->pool->raw != DF_RAW_U8; /* on the host, too */
    const struct df_device *device = engine->device;
    struct df_budget budget;
    struct df_budget_need need = {
        .device = engine->device,
        .devices = engine->shared->engine_count,
        .plan = engine->plan,
        .pool = engine->pool,
        .per_slot = df_deepfool_worker_slot_bytes(engine->pool, &engine->params),
        .per_worker = df_deepfool_worker_bytes(engine->pool),
        .wanted = DEFAULT_SLOTS,
        .gradients = true,
        .most_workers = df_device_workers(device),
        .fixed = batch > 0,
        .beside = df_output_bytes(engine->context, &df_scores_kind, engine->pool->count) +
                  df_summary_bytes(engine->context, engine->pool->count),
    };
    if (device->wide)
        need.wanted = wide_slots(engine, decoded);
    if (batch > 0) {
        if (batch < need.most_workers)
            need.most_workers = (int32_t)batch;
        need.wanted = (batch + need.most_workers - 1) / need.most_workers;
    }
    if (device->wide)
        need.cotangents = need.wanted < WIDE_COTANGENTS / engine->params.candidates
                              ? need.wanted * engine->params.candidates
                              : WIDE_COTANGENTS;
    DF_TRY(df_budget_choose(&budget, engine->context, &need));
    engine->worker_count = budget.workers;
    engine->slots = budget.slots;
    engine->block = budget.chunk;
    engine->memory = budget.bytes;
    return DFAL_OK;
}

static double affine(const double *values, int32_t count, int64_t channel)
{
    return values[count == 1 ? 0 : channel];
}

enum channel_value { UNIT, BOX_LOW, BOX_HIGH };

/* Upload a [D] array that is constant in a channel: the length of one raw unit, or an end of the raw range,
 * both in network inputs. A negative scale turns the range round. */
static dfal_status upload_channels(struct df_deepfool_engine *engine, struct df_span *span,
                                   enum channel_value what)
{
    const struct df_pool *pool = engine->pool;
    const int64_t plane = pool->shape.h * pool->shape.w;
    const double top = pool->raw == DF_RAW_U8 ? 255 : 1;
    float *values = NULL;
    DF_TRY(df_alloc(&values, engine->params.size, sizeof *values));
    for (int64_t c = 0; c < pool->shape.c; c++) {
        const double scale = affine(pool->scale, pool->affine_count, c);
        const double end = what == UNIT ? fabs(scale) : (what == BOX_HIGH) == (scale > 0) ? top * scale : 0;
        const double value = what == UNIT ? end : end + affine(pool->offset, pool->affine_count, c);
        for (int64_t j = 0; j < plane; j++)
            values[c * plane + j] = (float)value;
    }
    dfal_status status = df_buffer_new(engine->device, span, DF_TYPE_REAL, engine->params.size);
    if (status == DFAL_OK)
        status = df_write(engine->device, 0, *span, values, engine->params.size);
    df_free(values);
    return status;
}

/* The 256 network inputs of a u8 channel. */
static dfal_status upload_table(struct df_deepfool_engine *engine)
{
    const struct df_pool *pool = engine->pool;
    float *table = NULL;
    DF_TRY(df_alloc(&table, pool->shape.c * 256, sizeof *table));
    for (int64_t c = 0; c < pool->shape.c; c++)
        memcpy(table + c * 256, df_pool_table(pool, c), 256 * sizeof *table);
    dfal_status status = df_buffer_new(engine->device, &engine->table, DF_TYPE_REAL, pool->shape.c * 256);
    if (status == DFAL_OK)
        status = df_write(engine->device, 0, engine->table, table, pool->shape.c * 256);
    df_free(table);
    return status;
}

static dfal_status upload_constants(struct df_deepfool_engine *engine)
{
    if (engine->pool->raw == DF_RAW_U8)
        DF_TRY(upload_table(engine));
    if (engine->deepfool.units_raw)
        DF_TRY(upload_channels(engine, &engine->scale, UNIT));
    if (engine->deepfool.clip) {
        DF_TRY(upload_channels(engine, &engine->low, BOX_LOW));
        DF_TRY(upload_channels(engine, &engine->high, BOX_HIGH));
    }
    return DFAL_OK;
}

int df_deepfool_precision(const char *precision)
{
    if (strcmp(precision, "fast") == 0)
        return DF_DEEPFOOL_HALF;
    return strcmp(precision, "split") == 0 ? DF_DEEPFOOL_SPLIT : 0;
}

static int plan_uses(int how)
{
    return DF_PLAN_FORWARD | DF_PLAN_INPUT_GRADIENT | (how & DF_DEEPFOOL_FUSED ? DF_PLAN_FUSED : 0) |
           (how & DF_DEEPFOOL_HALF ? DF_PLAN_HALF : 0) | (how & DF_DEEPFOOL_SPLIT ? DF_PLAN_SPLIT : 0);
}

dfal_status df_deepfool_fuses(bool *fused, struct df_device *device, const struct df_network *network)
{
    struct df_plan *plan = NULL;
    *fused = false;
    if (device->backend->fused_create == NULL)
        return DFAL_OK;
    DF_TRY(df_plan_create(&plan, device, network, plan_uses(DF_DEEPFOOL_FUSED), true));
    *fused = df_plan_is_fused(plan);
    df_plan_destroy(plan);
    return DFAL_OK;
}

/* ---- An engine of each device ------------------------------------------------------------------------- */

static struct df_deepfool_params params_of(const struct df_deepfool *deepfool,
                                           const struct df_network *network, const struct df_plan *plan)
{
    const int32_t classes = network->class_count;
    const int32_t asked = deepfool->classes == 0 || deepfool->classes > classes ? classes : deepfool->classes;
    return (struct df_deepfool_params){
        .classes = classes,
        .candidates = asked - 1,
        .max_iter = deepfool->max_iter,
        .refine = deepfool->refine       ? DF_BISECTIONS
                  : deepfool->rounds > 0 ? DF_ROUND_BISECTIONS
                                         : 0,
        .rounds = deepfool->rounds,
        .clip = deepfool->clip,
        .squared = deepfool->squared,
        .fail_inf = deepfool->fail_inf,
        .size = df_plan_input_size(plan),
        .p = deepfool->p,
        .overshoot = deepfool->overshoot,
        .floor = deepfool->floor,
    };
}

/* *at is set at once, so that what is there is destroyed whatever happened. */
static dfal_status create_one(struct df_deepfool_engine **at, const struct df_deepfool_engine *like,
                              struct df_device *device, const struct df_network *network, int how)
{
    struct df_deepfool_engine *engine;
    DF_TRY(df_alloc(at, 1, sizeof **at));
    engine = *at;
    *engine = *like;
    engine->device = device;
    engine->whole = df_resident_pool_rows(engine->pool->resident, device);
    DF_TRY(df_plan_create(&engine->plan, device, network, plan_uses(how), how & DF_DEEPFOOL_FOLD));
    df_plan_tell_fallback(engine->context, engine->plan);
    engine->params = params_of(&engine->deepfool, network, engine->plan);
    return DFAL_OK;
}

static dfal_status open_workers(struct df_deepfool_engine *engine)
{
    engine->params.slots = (int32_t)engine->slots;
    DF_TRY(upload_constants(engine));
    DF_TRY(df_alloc(&engine->workers, engine->worker_count, sizeof *engine->workers));
    for (int32_t i = 0; i < engine->worker_count; i++)
        DF_TRY(df_deepfool_worker_create(&engine->workers[i], engine, i));
    return DFAL_OK;
}

/* All plans stand before the first asks for memory, so that each finds as much as the others. */
static dfal_status create_all(struct df_deepfool_engine **first, const struct df_deepfool_engine *like,
                              struct df_device *device, const struct df_network *network, int64_t batch,
                              int how)
{
    struct df_deepfool_shared *shared = like->shared;
    const int64_t part = (batch + shared->engine_count - 1) / shared->engine_count;
    for (struct df_deepfool_engine **at = first; device != NULL; device = device->next, at = &(*at)->next)
        DF_TRY(df_group_blame(device, create_one(at, like, device, network, how)));
    for (struct df_deepfool_engine *engine = *first; engine != NULL; engine = engine->next) {
        DF_TRY(df_group_blame(engine->device, choose_slots(engine, part)));
        shared->worker_count += engine->worker_count;
    }
    for (struct df_deepfool_engine *engine = *first; engine != NULL; engine = engine->next)
        DF_TRY(df_group_blame(engine->device, open_workers(engine)));
    DF_TRY(df_thread_pool_create(&shared->threads, shared->worker_count));
    return df_deepfool_check_outputs(*first);
}

static void destroy_one(struct df_deepfool_engine *engine)
{
    for (int32_t i = 0; engine->workers && i < engine->worker_count; i++)
        df_deepfool_worker_destroy(&engine->workers[i]);
    df_free(engine->workers);
    struct df_span *spans[] = {&engine->table, &engine->scale, &engine->low, &engine->high};
    for (size_t s = 0; s < sizeof spans / sizeof *spans; s++)
        df_buffer_drop(engine->device, spans[s]);
    df_plan_destroy(engine->plan);
    df_free(engine);
}

static void destroy_all(struct df_deepfool_engine *engine, struct df_deepfool_shared *shared)
{
    while (engine) {
        struct df_deepfool_engine *next = engine->next;
        destroy_one(engine);
        engine = next;
    }
    df_thread_pool_destroy(shared->threads);
    df_lock_end(&shared->lock);
    df_free(shared);
}

dfal_status df_deepfool_create(struct df_deepfool_engine **out, struct dfal_context *context,
                               struct df_device *device, const struct df_network *network,
                               struct df_pool *pool, const struct df_deepfool *deepfool, int64_t batch,
                               int how)
{
    struct df_deepfool_engine *first = NULL, like = {.context = context, .pool = pool, .deepfool = *deepfool};
    *out = NULL;
    DF_TRY(df_deepfool_check_shapes(network, pool));
    DF_TRY(df_budget_for_plan(context, device, network, true));
    DF_TRY(df_alloc(&like.shared, 1, sizeof *like.shared));
    like.shared->engine_count = df_group_count(device);
    df_lock_begin(&like.shared->lock);
    const dfal_status status = create_all(&first, &like, device, network, batch, how);
    if (status == DFAL_OK)
        *out = first;
    else
        destroy_all(first, like.shared);
    return status;
}

/* Workers are counted through all engines. */
static dfal_status run_worker(void *arg, int64_t job, int32_t thread)
{
    (void)thread;
    struct df_deepfool_engine *engine = arg;
    for (; job >= engine->worker_count; engine = engine->next)
        job -= engine->worker_count;
    const dfal_status status = df_deepfool_worker_run(&engine->workers[job]);
    if (status != DFAL_OK)
        atomic_store(&engine->shared->failed, true);
    return df_group_blame(engine->device, status);
}

dfal_status df_deepfool_run(struct df_deepfool_engine *engine, struct df_row_stream *stream,
                            struct df_margin_sink *sink, struct df_progress *progress)
{
    struct df_deepfool_shared *shared = engine->shared;
    shared->stream = stream;
    shared->sink = sink;
    shared->progress = progress;
    atomic_store(&shared->failed, false);
    return df_thread_pool_run(shared->threads, run_worker, engine, shared->worker_count);
}

void df_deepfool_destroy(struct df_deepfool_engine *engine)
{
    if (engine)
        destroy_all(engine, engine->shared);
}

int64_t df_deepfool_batch(const struct df_deepfool_engine *engine)
{
    int64_t batch = 0;
    for (; engine; engine = engine->next)
        batch += engine->worker_count * engine->slots;
    return batch;
}

/* What the host's memory holds was counted for all with the first. */
int64_t df_deepfool_memory(const struct df_deepfool_engine *engine)
{
    int64_t memory = engine->memory;
    for (engine = engine->next; engine; engine = engine->next)
        memory += engine->device->own_memory ? engine->memory : 0;
    return memory;
}

bool df_deepfool_wants_rows(const struct df_deepfool_engine *engine)
{
    while (engine && engine->whole.buffer)
        engine = engine->next;
    return engine != NULL;
}

bool df_deepfool_is_fused(const struct df_deepfool_engine *engine)
{
    while (engine && df_plan_is_fused(engine->plan))
        engine = engine->next;
    return engine == NULL;
}
