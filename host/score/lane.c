/* SPDX-License-Identifier: Apache-2.0 */
/* A lane's memory, and the calls of an iteration. Every number is computed by kernels/deepfool.h and
 * residency.h. */
#include "score/lane.h"

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

int64_t df_lane_slot_bytes(const struct df_pool *pool, int32_t candidates)
{
    const int64_t input = df_shape_size(pool->shape) * (int64_t)sizeof(float);
    /* x0, r, best_g; state, number, cand */
    const int64_t arrays = 3 * input + DF_SLOT_INTS * (int64_t)sizeof(int32_t) +
                           DF_SLOT_NUMBERS * (int64_t)sizeof(double) + candidates * (int64_t)sizeof(int32_t);
    /* on the device record, index, three lists and pairs; on the host record, index, taken and the free
     * list */
    const int64_t lists = 2 * (DF_RECORD_NUMBERS + 1) * (int64_t)sizeof(double) +
                          5 * (int64_t)sizeof(int32_t) + (int64_t)sizeof(int64_t) + (int64_t)sizeof(int32_t);
    const int64_t host = (int64_t)df_pool_row_bytes(pool) + (pool->raw == DF_RAW_U8 ? 0 : input);
    return arrays + lists + chunk_row_bytes(pool) + host + (int64_t)sizeof(double); /* and counts of groups */
}

int64_t df_lane_bytes(const struct df_pool *pool)
{
    const int64_t input = df_shape_size(pool->shape) * (int64_t)sizeof(float);
    const int64_t row = chunk_row_bytes(pool) + (int64_t)df_pool_row_bytes(pool) + input;
    return input + row + 4 * (DF_TOTALS + 2 * DF_COUNTS) * (int64_t)sizeof(int32_t);
}

static dfal_status create_chunks(struct df_lane *lane)
{
    const struct df_deepfool_engine *engine = lane->engine;
    const struct df_device *device = engine->device;
    const enum df_type type = engine->pool->raw == DF_RAW_U8 ? DF_TYPE_U8 : DF_TYPE_REAL;
    lane->chunk_count = device->wide ? DF_LANE_CHUNKS : 1;
    lane->chunk_rows = (engine->slots + lane->chunk_count - 1) / lane->chunk_count;
    lane->upload = device->wide && device->queue_count > 1 ? 1 : lane->queue;
    for (int32_t c = 0; c < lane->chunk_count; c++) {
        struct df_lane_chunk *chunk = &lane->chunk[c];
        DF_TRY(df_buffer_new(engine->device, &chunk->raw, type, lane->chunk_rows * engine->params.size));
        DF_TRY(df_buffer_new(engine->device, &chunk->index, DF_TYPE_F64, lane->chunk_rows));
    }
    DF_TRY(df_alloc(&lane->taken, lane->chunk_rows, sizeof *lane->taken));
    DF_TRY(df_alloc(&lane->index_host, lane->chunk_rows, sizeof *lane->index_host));
    DF_TRY(df_alloc(&lane->raw_host, lane->chunk_rows, df_pool_row_bytes(engine->pool)));
    return df_alloc(&lane->decoded_host, (type == DF_TYPE_U8 ? 1 : lane->chunk_rows) * engine->params.size,
                    sizeof *lane->decoded_host);
}

dfal_status df_lane_create(struct df_lane *lane, struct df_deepfool_engine *engine, int32_t queue)
{
    struct df_device *device = engine->device;
    const int64_t slots = engine->slots, size = engine->params.size,
                  counts = df_slot_groups(&engine->params) * DF_COUNTS;
    lane->engine = engine;
    lane->queue = queue;
    DF_TRY(df_tape_create(&lane->tape, engine->plan, queue, slots, engine->block));
    struct {
        struct df_span *span;
        enum df_type type;
        int64_t count;
    } buffers[] = {
        {&lane->x0, DF_TYPE_REAL, slots * size},
        {&lane->r, DF_TYPE_REAL, slots * size},
        {&lane->best_g, DF_TYPE_REAL, slots * size},
        {&lane->state, DF_TYPE_I32, slots * DF_SLOT_INTS},
        {&lane->number, DF_TYPE_F64, slots * DF_SLOT_NUMBERS},
        {&lane->cand, DF_TYPE_I32, slots * engine->params.candidates},
        {&lane->counts, DF_TYPE_I32, counts},
        {&lane->offsets, DF_TYPE_I32, counts},
        {&lane->totals, DF_TYPE_I32, DF_TOTALS},
        {&lane->active_list, DF_TYPE_I32, slots},
        {&lane->kept_list, DF_TYPE_I32, slots},
        {&lane->free_list, DF_TYPE_I32, slots},
        {&lane->pairs, DF_TYPE_I32, 2 * slots},
        {&lane->record, DF_TYPE_F64, slots * DF_RECORD_NUMBERS},
    };
    for (size_t b = 0; b < sizeof buffers / sizeof *buffers; b++)
        DF_TRY(df_buffer_new(device, buffers[b].span, buffers[b].type, buffers[b].count));
    DF_TRY(df_alloc(&lane->record_host, slots * DF_RECORD_NUMBERS, sizeof *lane->record_host));
    DF_TRY(df_alloc(&lane->free_host, slots, sizeof *lane->free_host));
    return create_chunks(lane);
}

void df_lane_destroy(struct df_lane *lane)
{
    if (!lane->engine)
        return;
    struct df_device *device = lane->engine->device;
    struct df_span *spans[] = {&lane->x0,     &lane->r,           &lane->best_g,    &lane->state,
                               &lane->number, &lane->cand,        &lane->counts,    &lane->offsets,
                               &lane->totals, &lane->active_list, &lane->kept_list, &lane->free_list,
                               &lane->pairs,  &lane->record};
    if (lane->recording)
        device->backend->record_destroy(device, lane->recording);
    for (size_t s = 0; s < sizeof spans / sizeof *spans; s++)
        df_buffer_drop(device, spans[s]);
    for (int c = 0; c < DF_LANE_CHUNKS; c++) {
        df_buffer_drop(device, &lane->chunk[c].raw);
        df_buffer_drop(device, &lane->chunk[c].index);
    }
    df_tape_destroy(lane->tape);
    df_free(lane->taken);
    df_free(lane->raw_host);
    df_free(lane->decoded_host);
    df_free(lane->index_host);
    df_free(lane->record_host);
    df_free(lane->free_host);
    memset(lane, 0, sizeof *lane);
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static dfal_status run(struct df_lane *lane, const struct df_call *call)
{
    return df_call_run(lane->engine->device, lane->queue, call);
}

dfal_status df_lane_move(struct df_lane *lane, struct df_span pairs, int64_t count)
{
    const struct df_call call = DF_CALL(deepfool_move, .rows = count, .x0 = lane->x0, .r = lane->r,
                                        .state = lane->state, .number = lane->number, .cand = lane->cand,
                                        .pairs = pairs, .p.deepfool = lane->engine->params);
    return run(lane, &call);
}

dfal_status df_lane_iterate(struct df_lane *lane, int64_t first, int64_t rows, bool plain)
{
    const struct df_deepfool_engine *engine = lane->engine;
    const int64_t size = engine->params.size;
    struct df_call call = DF_CALL(
        deepfool_iterate, .rows = rows, .cols = size, .x = df_at(df_tape_input(lane->tape), first * size),
        .x0 = df_at(lane->x0, first * size), .r = df_at(lane->r, first * size),
        .number = df_at(lane->number, first * DF_SLOT_NUMBERS), .scale = engine->scale, .low = engine->low,
        .high = engine->high, .p.deepfool = engine->params);
    call.p.deepfool.plain = plain;
    return run(lane, &call);
}

dfal_status df_lane_observe(struct df_lane *lane)
{
    const struct df_deepfool_engine *engine = lane->engine;
    const struct df_call call =
        DF_CALL(deepfool_observe, .rows = lane->occupied, .state = lane->state, .number = lane->number,
                .cand = lane->cand, .logits = df_tape_logits(lane->tape), .x0 = lane->x0,
                .x = df_tape_input(lane->tape), .scale = engine->scale, .p.deepfool = engine->params);
    return run(lane, &call);
}

/* Gradients of candidates [first, first + count) of the group's slots, and the nearest of them. */
static dfal_status look_at(struct df_lane *lane, struct df_span group, int64_t group_slots, int32_t first,
                           int32_t count)
{
    struct df_deepfool_params params = lane->engine->params;
    params.first = first;
    params.count = count;
    const struct df_call cotangent =
        DF_CALL(deepfool_cotangent, .rows = group_slots * count, .dlogits = df_tape_cotangents(lane->tape),
                .owner = df_tape_owners(lane->tape), .slots = group, .state = lane->state, .cand = lane->cand,
                .p.deepfool = params);
    DF_TRY(run(lane, &cotangent));
    struct df_span gradient;
    DF_TRY(df_tape_input_gradient(lane->tape, cotangent.rows, count, &gradient));
    const struct df_call choose =
        DF_CALL(deepfool_choose, .rows = group_slots, .state = lane->state, .number = lane->number,
                .best_g = lane->best_g, .g = gradient, .logits = df_tape_logits(lane->tape), .slots = group,
                .cand = lane->cand, .scale = lane->engine->scale, .p.deepfool = params);
    return run(lane, &choose);
}

dfal_status df_lane_step(struct df_lane *lane, struct df_span list, int64_t count)
{
    struct df_deepfool_engine *engine = lane->engine;
    const int32_t candidates = engine->params.candidates;
    if (count == 0)
        return DFAL_OK;
    if (engine->deepfool.linearise_plain) {
        DF_TRY(df_lane_iterate(lane, 0, lane->occupied, true));
        DF_TRY(df_tape_forward(lane->tape, lane->occupied));
    }
    const int64_t group = engine->block > candidates ? engine->block / candidates : 1;
    for (int64_t begin = 0; begin < count; begin += group) {
        const int64_t slots = count - begin < group ? count - begin : group;
        for (int32_t first = 0; first < candidates; first += (int32_t)engine->block) {
            const int32_t left = candidates - first;
            DF_TRY(look_at(lane, df_at(list, begin), slots, first,
                           left < engine->block ? left : (int32_t)engine->block));
        }
    }
    const struct df_call call =
        DF_CALL(deepfool_step, .rows = count, .state = lane->state, .number = lane->number, .r = lane->r,
                .slots = list, .best_g = lane->best_g, .scale = engine->scale, .p.deepfool = engine->params);
    return run(lane, &call);
}

dfal_status df_lane_settle(struct df_lane *lane)
{
    struct df_deepfool_params params = lane->engine->params;
    params.occupied = (int32_t)lane->occupied;
    const int64_t groups = df_slot_groups(&params);
    const struct df_call calls[] = {
        DF_CALL(deepfool_count, .rows = groups, .counts = lane->counts, .state = lane->state,
                .p.deepfool = params),
        DF_CALL(deepfool_offsets, .rows = 1, .offsets = lane->offsets, .totals = lane->totals,
                .counts = lane->counts, .p.deepfool = params),
        DF_CALL(deepfool_settle, .rows = groups, .active = lane->active_list, .kept = lane->kept_list,
                .free = lane->free_list, .record = lane->record, .state = lane->state, .number = lane->number,
                .offsets = lane->offsets, .p.deepfool = params),
    };
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
        DF_TRY(run(lane, &calls[c]));
    return DFAL_OK;
}

dfal_status df_lane_logits(struct df_lane *lane, float *logits, const void *raw, int64_t rows)
{
    const struct df_deepfool_engine *engine = lane->engine;
    const int64_t size = engine->params.size, classes = engine->params.classes;
    const size_t row_bytes = df_pool_row_bytes(engine->pool);
    for (int64_t i = 0; i < rows; i++) {
        df_pool_decode(engine->pool, lane->decoded_host, (const char *)raw + (size_t)i * row_bytes, 1);
        DF_TRY(df_write(engine->device, lane->queue, df_at(df_tape_input(lane->tape), i * size),
                        lane->decoded_host, size));
    }
    DF_TRY(df_tape_forward(lane->tape, rows));
    return df_read(engine->device, lane->queue, logits, df_tape_logits(lane->tape), rows * classes);
}
