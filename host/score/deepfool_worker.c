/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's memory, and the calls of an iteration. Every number is computed by kernels/deepfool.h and
 * residency.h. */
#include "score/deepfool_worker.h"

#include <string.h>

#include "base/memory.h"
#include "deepfool.h"
#include "residency.h"

_Static_assert((int)DF_FINAL_OK == (int)DFAL_SCORE_OK && (int)DF_FINAL_TIE == (int)DFAL_SCORE_TIE &&
                   (int)DF_FINAL_MAX_ITER == (int)DFAL_SCORE_MAX_ITER &&
                   (int)DF_FINAL_ZERO_GRAD == (int)DFAL_SCORE_ZERO_GRAD &&
                   (int)DF_FINAL_NONFINITE == (int)DFAL_SCORE_NONFINITE,
               "kernels and dfal.h number the results alike");

/* ---- Memory --------------------------------------------------------------------------------- */

/* A chunk's row on the device. */
static int64_t chunk_row_bytes(const struct df_pool *pool)
{
    return pool->raw == DF_RAW_U8 ? (int64_t)df_pool_row_bytes(pool)
                                  : df_shape_size(pool->shape) * (int64_t)sizeof(float);
}

int64_t df_deepfool_worker_slot_bytes(const struct df_pool *pool, const struct df_deepfool_params *params)
{
    const int64_t input = df_shape_size(pool->shape) * (int64_t)sizeof(float);
    /* nearest and crossed_list */
    const int64_t rounds = params->rounds > 0 ? input + (int64_t)sizeof(int32_t) : 0;
    /* x0, r, best_g; state, number, cand */
    const int64_t arrays = rounds + 3 * input + DF_SLOT_INTS * (int64_t)sizeof(int32_t) +
                           DF_SLOT_NUMBERS * (int64_t)sizeof(double) +
                           params->candidates * (int64_t)sizeof(int32_t);
    /* on the device record, index, three lists and pairs; on the host record, index, taken and the free
     * list */
    const int64_t lists = 2 * (DF_RECORD_NUMBERS + 1) * (int64_t)sizeof(double) +
                          5 * (int64_t)sizeof(int32_t) + (int64_t)sizeof(int64_t) + (int64_t)sizeof(int32_t);
    const int64_t host = (int64_t)df_pool_row_bytes(pool) + (pool->raw == DF_RAW_U8 ? 0 : input);
    return arrays + lists + chunk_row_bytes(pool) + host + (int64_t)sizeof(double); /* and counts of groups */
}

int64_t df_deepfool_worker_bytes(const struct df_pool *pool)
{
    const int64_t input = df_shape_size(pool->shape) * (int64_t)sizeof(float);
    const int64_t row = chunk_row_bytes(pool) + (int64_t)df_pool_row_bytes(pool) + input;
    return input + row + 4 * (DF_TOTALS + 2 * DF_COUNTS) * (int64_t)sizeof(int32_t);
}

static dfal_status create_chunks(struct df_deepfool_worker *worker)
{
    const struct df_deepfool_engine *engine = worker->engine;
    const struct df_device *device = engine->device;
    const enum df_type type = engine->pool->raw == DF_RAW_U8 ? DF_TYPE_U8 : DF_TYPE_REAL;
    worker->chunk_count = device->wide ? DF_DEEPFOOL_CHUNKS : 1;
    worker->chunk_rows = (engine->slots + worker->chunk_count - 1) / worker->chunk_count;
    worker->upload = device->wide && device->queue_count > 1 ? 1 : worker->queue;
    for (int32_t c = 0; c < worker->chunk_count; c++) {
        struct df_deepfool_chunk *chunk = &worker->chunk[c];
        if (!engine->whole.buffer)
            DF_TRY(
                df_buffer_new(engine->device, &chunk->raw, type, worker->chunk_rows * engine->params.size));
        DF_TRY(df_buffer_new(engine->device, &chunk->index, DF_TYPE_F64, worker->chunk_rows));
    }
    DF_TRY(df_alloc(&worker->taken, worker->chunk_rows, sizeof *worker->taken));
    DF_TRY(df_alloc(&worker->index_host, worker->chunk_rows, sizeof *worker->index_host));
    if (!engine->whole.buffer)
        DF_TRY(df_alloc(&worker->raw_host, worker->chunk_rows, df_pool_row_bytes(engine->pool)));
    return df_alloc(&worker->decoded_host,
                    (type == DF_TYPE_U8 ? 1 : worker->chunk_rows) * engine->params.size,
                    sizeof *worker->decoded_host);
}

dfal_status df_deepfool_worker_create(struct df_deepfool_worker *worker, struct df_deepfool_engine *engine,
                                      int32_t queue)
{
    struct df_device *device = engine->device;
    const int64_t slots = engine->slots, size = engine->params.size,
                  counts = df_slot_groups(&engine->params) * DF_COUNTS,
                  of_rounds = engine->params.rounds > 0 ? slots : 0;
    worker->engine = engine;
    worker->queue = queue;
    DF_TRY(df_tape_create(&worker->tape, engine->plan, queue, slots, engine->block));
    struct {
        struct df_span *span;
        enum df_type type;
        int64_t count;
    } buffers[] = {
        {&worker->x0, DF_TYPE_REAL, slots * size},
        {&worker->r, DF_TYPE_REAL, slots * size},
        {&worker->best_g, DF_TYPE_REAL, slots * size},
        {&worker->state, DF_TYPE_I32, slots * DF_SLOT_INTS},
        {&worker->number, DF_TYPE_F64, slots * DF_SLOT_NUMBERS},
        {&worker->cand, DF_TYPE_I32, slots * engine->params.candidates},
        {&worker->counts, DF_TYPE_I32, counts},
        {&worker->offsets, DF_TYPE_I32, counts},
        {&worker->totals, DF_TYPE_I32, DF_TOTALS},
        {&worker->active_list, DF_TYPE_I32, slots},
        {&worker->kept_list, DF_TYPE_I32, slots},
        {&worker->free_list, DF_TYPE_I32, slots},
        {&worker->nearest, DF_TYPE_REAL, of_rounds * size},
        {&worker->crossed_list, DF_TYPE_I32, of_rounds},
        {&worker->pairs, DF_TYPE_I32, 2 * slots},
        {&worker->record, DF_TYPE_F64, slots * DF_RECORD_NUMBERS},
    };
    for (size_t b = 0; b < sizeof buffers / sizeof *buffers; b++)
        if (buffers[b].count > 0)
            DF_TRY(df_buffer_new(device, buffers[b].span, buffers[b].type, buffers[b].count));
    DF_TRY(df_alloc(&worker->record_host, slots * DF_RECORD_NUMBERS, sizeof *worker->record_host));
    DF_TRY(df_alloc(&worker->free_host, slots, sizeof *worker->free_host));
    return create_chunks(worker);
}

void df_deepfool_worker_destroy(struct df_deepfool_worker *worker)
{
    if (!worker->engine)
        return;
    struct df_device *device = worker->engine->device;
    struct df_span *spans[] = {
        &worker->x0,     &worker->r,           &worker->best_g,    &worker->state,
        &worker->number, &worker->cand,        &worker->counts,    &worker->offsets,
        &worker->totals, &worker->active_list, &worker->kept_list, &worker->free_list,
        &worker->pairs,  &worker->record,      &worker->nearest,   &worker->crossed_list};
    if (worker->recording)
        device->backend->record_destroy(device, worker->recording);
    for (size_t s = 0; s < sizeof spans / sizeof *spans; s++)
        df_buffer_drop(device, spans[s]);
    for (int c = 0; c < DF_DEEPFOOL_CHUNKS; c++) {
        df_buffer_drop(device, &worker->chunk[c].raw);
        df_buffer_drop(device, &worker->chunk[c].index);
    }
    df_tape_destroy(worker->tape);
    df_free(worker->taken);
    df_free(worker->raw_host);
    df_free(worker->decoded_host);
    df_free(worker->index_host);
    df_free(worker->record_host);
    df_free(worker->free_host);
    memset(worker, 0, sizeof *worker);
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static dfal_status run(struct df_deepfool_worker *worker, const struct df_call *call)
{
    return df_call_run(worker->engine->device, worker->queue, call);
}

dfal_status df_deepfool_worker_move(struct df_deepfool_worker *worker, struct df_span pairs, int64_t count)
{
    const struct df_call call =
        DF_CALL(deepfool_move, .rows = count, .x0 = worker->x0, .r = worker->r, .state = worker->state,
                .number = worker->number, .cand = worker->cand, .nearest = worker->nearest, .pairs = pairs,
                .p.deepfool = worker->engine->params);
    return run(worker, &call);
}

dfal_status df_deepfool_worker_iterate(struct df_deepfool_worker *worker, int64_t first, int64_t rows,
                                       bool plain)
{
    const struct df_deepfool_engine *engine = worker->engine;
    const int64_t size = engine->params.size;
    struct df_call call = DF_CALL(
        deepfool_iterate, .rows = rows, .cols = size, .x = df_at(df_tape_input(worker->tape), first * size),
        .x0 = df_at(worker->x0, first * size), .r = df_at(worker->r, first * size),
        .number = df_at(worker->number, first * DF_SLOT_NUMBERS), .scale = engine->scale, .low = engine->low,
        .high = engine->high, .p.deepfool = engine->params);
    call.p.deepfool.plain = plain;
    return run(worker, &call);
}

dfal_status df_deepfool_worker_observe(struct df_deepfool_worker *worker)
{
    const struct df_deepfool_engine *engine = worker->engine;
    struct df_call call =
        DF_CALL(deepfool_observe, .rows = worker->occupied, .state = worker->state, .number = worker->number,
                .cand = worker->cand, .logits = df_tape_logits(worker->tape), .x0 = worker->x0,
                .x = df_tape_input(worker->tape), .scale = engine->scale, .p.deepfool = engine->params);
    if (engine->params.rounds > 0) {
        DF_OUT(&call, deepfool_observe, r) = worker->r;
        DF_OUT(&call, deepfool_observe, nearest) = worker->nearest;
    }
    return run(worker, &call);
}

/* Gradients of the logits that params says, `count` a slot of a group. */
static dfal_status group_gradient(struct df_deepfool_worker *worker, const struct df_deepfool_params *params,
                                  struct df_span group, int64_t group_slots, struct df_span *gradient)
{
    const struct df_call call =
        DF_CALL(deepfool_cotangent, .rows = group_slots * params->count,
                .dlogits = df_tape_cotangents(worker->tape), .owner = df_tape_owners(worker->tape),
                .slots = group, .state = worker->state, .cand = worker->cand, .p.deepfool = *params);
    DF_TRY(run(worker, &call));
    return df_tape_input_gradient(worker->tape, call.rows, params->count, gradient);
}

/* Gradients of candidates [first, first + count) of the group's slots, and the nearest of them. */
static dfal_status look_at(struct df_deepfool_worker *worker, struct df_span group, int64_t group_slots,
                           int32_t first, int32_t count)
{
    struct df_deepfool_params params = worker->engine->params;
    params.first = first;
    params.count = count;
    struct df_span gradient;
    DF_TRY(group_gradient(worker, &params, group, group_slots, &gradient));
    const struct df_call choose =
        DF_CALL(deepfool_choose, .rows = group_slots, .state = worker->state, .number = worker->number,
                .best_g = worker->best_g, .g = gradient, .logits = df_tape_logits(worker->tape),
                .slots = group, .cand = worker->cand, .scale = worker->engine->scale, .p.deepfool = params);
    return run(worker, &choose);
}

dfal_status df_deepfool_worker_step(struct df_deepfool_worker *worker, struct df_span list, int64_t count)
{
    struct df_deepfool_engine *engine = worker->engine;
    const int32_t candidates = engine->params.candidates;
    if (count == 0)
        return DFAL_OK;
    if (engine->deepfool.linearise_plain) {
        DF_TRY(df_deepfool_worker_iterate(worker, 0, worker->occupied, true));
        DF_TRY(df_tape_forward(worker->tape, worker->occupied));
    }
    const int64_t group = engine->block > candidates ? engine->block / candidates : 1;
    for (int64_t begin = 0; begin < count; begin += group) {
        const int64_t slots = count - begin < group ? count - begin : group;
        for (int32_t first = 0; first < candidates; first += (int32_t)engine->block) {
            const int32_t left = candidates - first;
            DF_TRY(look_at(worker, df_at(list, begin), slots, first,
                           left < engine->block ? left : (int32_t)engine->block));
        }
    }
    const struct df_call call = DF_CALL(
        deepfool_step, .rows = count, .state = worker->state, .number = worker->number, .r = worker->r,
        .slots = list, .best_g = worker->best_g, .scale = engine->scale, .p.deepfool = engine->params);
    return run(worker, &call);
}

dfal_status df_deepfool_worker_project(struct df_deepfool_worker *worker)
{
    const struct df_deepfool_engine *engine = worker->engine;
    struct df_deepfool_params params = engine->params;
    params.first = -1; /* the class that x has */
    params.count = 1;
    for (int64_t begin = 0; begin < worker->crossed; begin += engine->block) {
        const int64_t left = worker->crossed - begin, slots = left < engine->block ? left : engine->block;
        const struct df_span group = df_at(worker->crossed_list, begin);
        struct df_span gradient;
        DF_TRY(group_gradient(worker, &params, group, slots, &gradient));
        const struct df_call call = DF_CALL(deepfool_project, .rows = slots, .state = worker->state,
                                            .number = worker->number, .r = worker->r, .slots = group,
                                            .g = gradient, .scale = engine->scale, .p.deepfool = params);
        DF_TRY(run(worker, &call));
    }
    return DFAL_OK;
}

dfal_status df_deepfool_worker_settle(struct df_deepfool_worker *worker)
{
    struct df_deepfool_params params = worker->engine->params;
    params.occupied = (int32_t)worker->occupied;
    const int64_t groups = df_slot_groups(&params);
    const struct df_call calls[] = {
        DF_CALL(deepfool_count, .rows = groups, .counts = worker->counts, .state = worker->state,
                .p.deepfool = params),
        DF_CALL(deepfool_offsets, .rows = 1, .offsets = worker->offsets, .totals = worker->totals,
                .counts = worker->counts, .p.deepfool = params),
        DF_CALL(deepfool_settle, .rows = groups, .active = worker->active_list, .kept = worker->kept_list,
                .free = worker->free_list, .record = worker->record, .crossed = worker->crossed_list,
                .state = worker->state, .number = worker->number, .offsets = worker->offsets,
                .p.deepfool = params),
    };
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
        DF_TRY(run(worker, &calls[c]));
    return DFAL_OK;
}

dfal_status df_deepfool_worker_logits(struct df_deepfool_worker *worker, float *logits, const void *raw,
                                      int64_t rows)
{
    const struct df_deepfool_engine *engine = worker->engine;
    const int64_t size = engine->params.size, classes = engine->params.classes;
    const size_t row_bytes = df_pool_row_bytes(engine->pool);
    for (int64_t i = 0; i < rows; i++) {
        df_pool_decode(engine->pool, worker->decoded_host, (const char *)raw + (size_t)i * row_bytes, 1);
        DF_TRY(df_write(engine->device, worker->queue, df_at(df_tape_input(worker->tape), i * size),
                        worker->decoded_host, size));
    }
    DF_TRY(df_tape_forward(worker->tape, rows));
    return df_read(engine->device, worker->queue, logits, df_tape_logits(worker->tape), rows * classes);
}
