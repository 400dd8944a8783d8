/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of one lane. Host code moves lists of slots; every number is computed by kernels/deepfool.h. A wide device
 * keeps the lists itself: resident.c, which takes its steps here. */
#include "score/lane.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "kernels/deepfool.h" /* by its folder: this room has a deepfool.h, too */

_Static_assert((int)DF_FINAL_OK == (int)DFAL_SCORE_OK && (int)DF_FINAL_TIE == (int)DFAL_SCORE_TIE &&
                   (int)DF_FINAL_MAX_ITER == (int)DFAL_SCORE_MAX_ITER &&
                   (int)DF_FINAL_ZERO_GRAD == (int)DFAL_SCORE_ZERO_GRAD &&
                   (int)DF_FINAL_NONFINITE == (int)DFAL_SCORE_NONFINITE,
               "kernels and dfal.h number the results alike");

dfal_status df_lane_create(struct df_lane *lane, struct df_deepfool_engine *engine, int32_t queue)
{
    struct df_device *device = engine->device;
    const int64_t slots = engine->slots, size = engine->params.size;
    const bool u8 = engine->pool->raw == DF_RAW_U8;
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
        {&lane->decoded, DF_TYPE_REAL, slots * size},
        {&lane->raw, DF_TYPE_U8, u8 ? slots * size : 1},
        {&lane->state, DF_TYPE_I32, slots * DF_SLOT_INTS},
        {&lane->number, DF_TYPE_F64, slots * DF_SLOT_NUMBERS},
        {&lane->cand, DF_TYPE_I32, slots * engine->params.candidates},
        {&lane->list, DF_TYPE_I32, slots},
        {&lane->pairs, DF_TYPE_I32, 2 * slots},
    };
    for (size_t b = 0; b < sizeof buffers / sizeof *buffers; b++)
        DF_TRY(df_buffer_new(device, buffers[b].span, buffers[b].type, buffers[b].count));
    DF_TRY(df_alloc(&lane->index, slots, sizeof *lane->index));
    DF_TRY(df_alloc(&lane->state_host, slots * DF_SLOT_INTS, sizeof *lane->state_host));
    DF_TRY(df_alloc(&lane->number_host, slots * DF_SLOT_NUMBERS, sizeof *lane->number_host));
    DF_TRY(df_alloc(&lane->list_host, slots, sizeof *lane->list_host));
    DF_TRY(df_alloc(&lane->pairs_host, 2 * slots, sizeof *lane->pairs_host));
    DF_TRY(df_alloc(&lane->taken, slots, sizeof *lane->taken));
    DF_TRY(df_alloc(&lane->finished, slots, sizeof *lane->finished));
    DF_TRY(df_alloc(&lane->raw_host, slots, df_pool_row_bytes(engine->pool)));
    return df_alloc(&lane->decoded_host, u8 ? size : slots * size, sizeof *lane->decoded_host);
}

void df_lane_destroy(struct df_lane *lane)
{
    if (!lane->engine)
        return;
    struct df_span *spans[] = {&lane->x0,    &lane->r,      &lane->best_g, &lane->decoded, &lane->raw,
                               &lane->state, &lane->number, &lane->cand,   &lane->list,    &lane->pairs};
    for (size_t s = 0; s < sizeof spans / sizeof *spans; s++)
        df_buffer_drop(lane->engine->device, spans[s]);
    df_tape_destroy(lane->tape);
    df_free(lane->index);
    df_free(lane->state_host);
    df_free(lane->number_host);
    df_free(lane->list_host);
    df_free(lane->pairs_host);
    df_free(lane->taken);
    df_free(lane->finished);
    df_free(lane->raw_host);
    df_free(lane->decoded_host);
    memset(lane, 0, sizeof *lane);
}

static dfal_status run(struct df_lane *lane, const struct df_call *call)
{
    return df_run(lane->engine->device, lane->queue, call);
}

/* Raw rows on the host to network inputs in `to`. */
static dfal_status decode(struct df_lane *lane, struct df_span to, const void *raw, int64_t rows)
{
    struct df_deepfool_engine *engine = lane->engine;
    const struct df_pool *pool = engine->pool;
    const int64_t size = engine->params.size;
    if (pool->raw != DF_RAW_U8) {
        df_pool_decode(pool, lane->decoded_host, raw, rows);
        return df_write(engine->device, lane->queue, to, lane->decoded_host, rows * size);
    }
    DF_TRY(df_write(engine->device, lane->queue, lane->raw, raw, rows * size));
    const struct df_call call =
        DF_CALL(decode_u8, .rows = rows * pool->shape.c, .cols = pool->shape.h * pool->shape.w, .x = to,
                .raw = lane->raw, .table = engine->table, .p.channel = {(int32_t)pool->shape.c});
    return run(lane, &call);
}

/* Rows that an empty lane starts with: one block, and of a small pool its share, so that all lanes are fed. */
static int64_t first_rows(const struct df_deepfool_engine *engine)
{
    const int64_t share = (engine->pool->count + engine->lane_count - 1) / engine->lane_count;
    return share < engine->block ? share : engine->block;
}

dfal_status df_lane_take(struct df_lane *lane, int64_t most, int64_t *count)
{
    struct df_deepfool_engine *engine = lane->engine;
    const size_t row_bytes = df_pool_row_bytes(engine->pool);
    *count = 0;
    while (*count < most && !lane->dry) {
        int64_t got = 0;
        DF_TRY(df_stream_take(engine->stream, most - *count, lane->raw_host + (size_t)*count * row_bytes,
                              lane->taken + *count, &got));
        lane->dry = got == 0;
        *count += got;
    }
    return df_deepfool_check_rows(engine, lane->raw_host, lane->taken, *count);
}

/* Fill every empty slot while the stream gives rows. */
static dfal_status refill(struct df_lane *lane)
{
    struct df_deepfool_engine *engine = lane->engine;
    const int64_t slots = engine->slots;
    int64_t empty = 0, count;
    for (int64_t s = 0; s < slots; s++)
        if (lane->index[s] < 0)
            lane->list_host[empty++] = (int32_t)s;
    if (empty == slots && empty > first_rows(engine))
        empty = first_rows(engine);
    DF_TRY(df_lane_take(lane, empty, &count));
    if (count == 0)
        return DFAL_OK;
    for (int64_t i = 0; i < count; i++)
        lane->index[lane->list_host[i]] = lane->taken[i];
    DF_TRY(decode(lane, lane->decoded, lane->raw_host, count));
    DF_TRY(df_write(engine->device, lane->queue, lane->list, lane->list_host, count));
    const struct df_call call = DF_CALL(deepfool_begin, .rows = count, .x0 = lane->x0, .r = lane->r,
                                        .state = lane->state, .number = lane->number, .x = lane->decoded,
                                        .slots = lane->list, .p.deepfool = engine->params);
    return run(lane, &call);
}

dfal_status df_lane_move(struct df_lane *lane, struct df_span pairs, int64_t count)
{
    const struct df_call call = DF_CALL(deepfool_move, .rows = count, .x0 = lane->x0, .r = lane->r,
                                        .state = lane->state, .number = lane->number, .cand = lane->cand,
                                        .pairs = pairs, .p.deepfool = lane->engine->params);
    return run(lane, &call);
}

/* Move the last occupied slots into the holes, so that a forward has no empty rows. */
static dfal_status compact(struct df_lane *lane)
{
    int64_t count = 0, pairs = 0;
    for (int64_t s = 0; s < lane->engine->slots; s++)
        count += lane->index[s] >= 0;
    int64_t from = lane->engine->slots;
    for (int64_t to = 0; to < count; to++) {
        if (lane->index[to] >= 0)
            continue;
        do
            from--;
        while (lane->index[from] < 0);
        lane->pairs_host[2 * pairs] = (int32_t)from;
        lane->pairs_host[2 * pairs + 1] = (int32_t)to;
        pairs++;
        lane->index[to] = lane->index[from];
        lane->index[from] = -1;
    }
    lane->occupied = count;
    if (pairs == 0)
        return DFAL_OK;
    DF_TRY(df_write(lane->engine->device, lane->queue, lane->pairs, lane->pairs_host, 2 * pairs));
    return df_lane_move(lane, lane->pairs, pairs);
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

dfal_status df_lane_put(struct df_deepfool_engine *engine, const struct df_margin *margin,
                        const float *adversarial)
{
    DF_TRY(engine->sink->put(engine->sink, margin, adversarial));
    engine->done++;
    engine->iterations += margin->iterations;
    engine->status[margin->status]++;
    return DFAL_OK;
}

/* Hand one finished slot to the sink. Called under the engine's lock. */
static dfal_status deliver(struct df_lane *lane, int64_t slot)
{
    struct df_deepfool_engine *engine = lane->engine;
    const int32_t *state = lane->state_host + slot * DF_SLOT_INTS;
    const double *number = lane->number_host + slot * DF_SLOT_NUMBERS;
    const struct df_margin margin = {
        .index = lane->index[slot],
        .margin = (float)number[DF_SLOT_MARGIN],
        .first_margin = (float)number[DF_SLOT_FIRST],
        .logit_gap = (float)number[DF_SLOT_GAP],
        .status = (uint8_t)state[DF_SLOT_STATUS],
        .label = state[DF_SLOT_LABEL],
        .adversarial_class = state[DF_SLOT_ADVERSARIAL],
        .iterations = (uint16_t)state[DF_SLOT_ITERATIONS],
    };
    const float *adversarial = NULL;
    if (engine->sink->wants_adversarial && margin.status <= DFAL_SCORE_TIE) {
        /* after a bisection the tape holds the last midpoint, not the end that was kept */
        const int64_t size = engine->params.size;
        DF_TRY(df_lane_iterate(lane, slot, 1, false));
        DF_TRY(df_read(engine->device, lane->queue, lane->decoded_host,
                       df_at(df_tape_input(lane->tape), slot * size), size));
        adversarial = lane->decoded_host;
    }
    return df_lane_put(engine, &margin, adversarial);
}

void df_lane_progress_text(char text[96], const struct df_deepfool_engine *engine)
{
    const double done = (double)engine->done;
    int length =
        df_print(text, 96, "%.1f it  OK %.2f %%", (double)engine->iterations / done,
                 100 * (double)(engine->status[DFAL_SCORE_OK] + engine->status[DFAL_SCORE_TIE]) / done);
    if (engine->status[DFAL_SCORE_MAX_ITER] > 0 && length > 0 && length < 96)
        snprintf(text + length, (size_t)(96 - length), "  MAX_ITER %lld",
                 (long long)engine->status[DFAL_SCORE_MAX_ITER]);
}

/* Empty the finished slots into the sink. */
static dfal_status collect(struct df_lane *lane)
{
    struct df_deepfool_engine *engine = lane->engine;
    int64_t count = 0;
    for (int64_t s = 0; s < lane->occupied; s++) {
        lane->finished[s] = lane->state_host[s * DF_SLOT_INTS + DF_SLOT_STATUS] < DFAL_SCORE_STATUS_COUNT;
        count += lane->finished[s];
    }
    if (count == 0)
        return DFAL_OK;
    DF_TRY(df_read(engine->device, lane->queue, lane->number_host, lane->number,
                   lane->occupied * DF_SLOT_NUMBERS));
    char text[96];
    dfal_status status = DFAL_OK;
    df_lock_take(&engine->lock);
    for (int64_t s = 0; s < lane->occupied && status == DFAL_OK; s++) {
        if (!lane->finished[s])
            continue;
        status = deliver(lane, s);
        lane->index[s] = -1;
    }
    df_lane_progress_text(text, engine);
    df_lock_release(&engine->lock);
    DF_TRY(status);
    if (engine->progress)
        df_progress_add(engine->progress, count, text);
    return DFAL_OK;
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
    DF_TRY(df_tape_input_gradient(lane->tape, cotangent.rows, &gradient));
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

/* One DeepFool step of every ACTIVE slot. */
static dfal_status step(struct df_lane *lane)
{
    int64_t count = 0;
    for (int64_t s = 0; s < lane->occupied; s++)
        if (lane->state_host[s * DF_SLOT_INTS + DF_SLOT_STATUS] == DF_SLOT_ACTIVE)
            lane->list_host[count++] = (int32_t)s;
    DF_TRY(df_write(lane->engine->device, lane->queue, lane->list, lane->list_host, count));
    return df_lane_step(lane, lane->list, count);
}

dfal_status df_lane_run(struct df_lane *lane)
{
    lane->dry = false;
    lane->occupied = 0;
    for (int64_t s = 0; s < lane->engine->slots; s++)
        lane->index[s] = -1;
    for (;;) {
        DF_TRY(df_context_check_stop(lane->engine->context));
        if (atomic_load(&lane->engine->failed))
            return DFAL_OK;
        if (!lane->dry)
            DF_TRY(refill(lane));
        DF_TRY(compact(lane));
        if (lane->occupied == 0)
            return DFAL_OK;
        DF_TRY(df_lane_iterate(lane, 0, lane->occupied, false));
        DF_TRY(df_tape_forward(lane->tape, lane->occupied));
        DF_TRY(df_lane_observe(lane));
        DF_TRY(df_read(lane->engine->device, lane->queue, lane->state_host, lane->state,
                       lane->occupied * DF_SLOT_INTS));
        DF_TRY(collect(lane));
        DF_TRY(step(lane));
    }
}

dfal_status df_lane_logits(struct df_lane *lane, float *logits, const void *raw, int64_t rows)
{
    DF_TRY(decode(lane, df_tape_input(lane->tape), raw, rows));
    DF_TRY(df_tape_forward(lane->tape, rows));
    return df_read(lane->engine->device, lane->queue, logits, df_tape_logits(lane->tape),
                   rows * lane->engine->params.classes);
}
