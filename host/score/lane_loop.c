/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a lane. The device keeps the slots (kernels/residency.h). An iteration queues, and waits where
 * it reads:
 *
 *   refill    free slots take the next rows of the stream; holes that stay are closed, which happens when it
 *             is dry
 *   look      iterate, forward, observe; count, offsets, settle: lists of slots, records of finished samples.
 *             Recorded where the device can, and run as one call while every slot is occupied
 *   read      how many slots go on, how many wait for a step; the records
 *   step      one DeepFool step of the active slots: the long part
 *   deliver   records to the sink
 *
 * Where many rows a call pay (a GPU) there is one lane, and two chunks of half its slots each are read ahead.
 * The host delivers, and loads the chunk that the refill has used up, while the device steps; not where the
 * sink wants images, which would wait for the step. A device of two queues copies on its second one while the
 * first computes; with one queue a copy waits for the step before it. Elsewhere lanes share the stream, and
 * none takes rows before it has slots for them: a lane that read ahead would keep them from one that has run
 * out. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "residency.h"
#include "score/deepfool_checks.h"
#include "score/lane.h"

/* ---- Chunks --------------------------------------------------------------------------------- */

/* Up to `most` rows of the stream, to raw_host and taken; fewer: the stream is dry. */
static dfal_status take(struct df_lane *lane, int64_t most, int64_t *count)
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

/* Fill a chunk whose rows are all taken, and of which no queued call reads any more. */
static dfal_status load(struct df_lane *lane, struct df_lane_chunk *chunk, int64_t most)
{
    struct df_deepfool_engine *engine = lane->engine;
    int64_t count;
    chunk->rows = chunk->taken = 0;
    DF_TRY(take(lane, most, &count));
    if (count == 0)
        return DFAL_OK;
    for (int64_t i = 0; i < count; i++)
        lane->index_host[i] = (double)lane->taken[i];
    const void *raw = lane->raw_host;
    if (engine->pool->raw != DF_RAW_U8) {
        df_pool_decode(engine->pool, lane->decoded_host, raw, count);
        raw = lane->decoded_host;
    }
    DF_TRY(df_write(engine->device, lane->upload, chunk->raw, raw, count * engine->params.size));
    DF_TRY(df_write(engine->device, lane->upload, chunk->index, lane->index_host, count));
    chunk->rows = count;
    chunk->copying = lane->upload != lane->queue;
    return DFAL_OK;
}

/* Another queue finds a copy once its own queue was waited for. */
static dfal_status wait_for_copy(const struct df_lane *lane, struct df_lane_chunk *chunk)
{
    struct df_device *device = lane->engine->device;
    if (chunk->copying)
        DF_TRY(device->backend->synchronize(device, lane->upload));
    chunk->copying = false;
    return DFAL_OK;
}

/* Rows that an empty lane starts with: one block, and of a small pool its share, so that all lanes are
 * fed. */
static int64_t first_rows(const struct df_deepfool_engine *engine)
{
    const int64_t share = (engine->pool->count + engine->lane_count - 1) / engine->lane_count;
    const int64_t rows = share < engine->block ? share : engine->block;
    return rows < engine->slots ? rows : engine->slots;
}

/* Rows of the next chunk while slots are still empty: a few, then twice as many each time, so that the device
 * soon has something to do while the next ones are read. */
static int64_t growing_rows(const struct df_lane *lane)
{
    const int64_t least = (lane->chunk_rows + 3) / 4, rows = lane->occupied > least ? lane->occupied : least;
    return rows < lane->chunk_rows ? rows : lane->chunk_rows;
}

/* Load what is used up: as much as slots want, or ahead. What is ahead is loaded only once all slots are
 * occupied: before, the device would wait for rows that it has no use for yet. */
static dfal_status load_chunks(struct df_lane *lane)
{
    const int64_t wanted = lane->engine->slots - lane->kept;
    if (lane->chunk_count == 1)
        return load(lane, &lane->chunk[0], lane->kept == 0 ? first_rows(lane->engine) : wanted);
    const bool full = lane->occupied == lane->engine->slots;
    for (int32_t c = 0; c < (full ? lane->chunk_count : 1); c++) {
        struct df_lane_chunk *chunk = &lane->chunk[(lane->next + c) % lane->chunk_count];
        if (chunk->taken == chunk->rows)
            DF_TRY(load(lane, chunk, full ? lane->chunk_rows : growing_rows(lane)));
    }
    return DFAL_OK;
}

static dfal_status take_rows(struct df_lane *lane, struct df_lane_chunk *chunk, int64_t filled, int64_t count)
{
    const struct df_deepfool_engine *engine = lane->engine;
    const struct df_call call =
        DF_CALL(deepfool_refill, .rows = count, .cols = engine->pool->shape.h * engine->pool->shape.w,
                .x0 = lane->x0, .r = lane->r, .state = lane->state, .number = lane->number,
                .raw = df_at(chunk->raw, chunk->taken * engine->params.size),
                .index = df_at(chunk->index, chunk->taken), .slots = df_at(lane->free_list, filled),
                .table = engine->table, .p.deepfool = engine->params);
    DF_TRY(wait_for_copy(lane, chunk));
    DF_TRY(df_call_run(engine->device, lane->queue, &call));
    chunk->taken += count;
    return DFAL_OK;
}

/* Free slots take rows of the chunks: `filled` of them. */
static dfal_status refill(struct df_lane *lane, int64_t *filled)
{
    const int64_t slots = lane->engine->slots - lane->kept;
    *filled = 0;
    for (int32_t c = 0; c < lane->chunk_count && *filled < slots; c++) {
        struct df_lane_chunk *chunk = &lane->chunk[lane->next];
        const int64_t left = chunk->rows - chunk->taken,
                      count = left < slots - *filled ? left : slots - *filled;
        if (count > 0)
            DF_TRY(take_rows(lane, chunk, *filled, count));
        *filled += count;
        if (chunk->taken == chunk->rows)
            lane->next = (lane->next + 1) % lane->chunk_count;
    }
    return DFAL_OK;
}

/* The first `occupied` slots are to hold all samples: move the last ones into `holes` free slots from `first`
 * of the list on. */
static dfal_status close_holes(struct df_lane *lane, int64_t occupied, int64_t first, int64_t holes)
{
    struct df_deepfool_params params = lane->engine->params;
    if (holes <= 0 || occupied == 0)
        return DFAL_OK;
    params.occupied = (int32_t)occupied;
    params.kept = (int32_t)lane->kept;
    const struct df_call pair =
        DF_CALL(deepfool_pair, .rows = 1, .cols = holes, .pairs = lane->pairs,
                .free = df_at(lane->free_list, first), .kept = lane->kept_list, .p.deepfool = params);
    DF_TRY(df_call_run(lane->engine->device, lane->queue, &pair));
    return df_lane_move(lane, lane->pairs, holes);
}

/* ---- Slots ---------------------------------------------------------------------------------- */

static dfal_status look_afresh(struct df_lane *lane)
{
    DF_TRY(df_lane_iterate(lane, 0, lane->occupied, false));
    DF_TRY(df_tape_forward(lane->tape, lane->occupied));
    DF_TRY(df_lane_observe(lane));
    return df_lane_settle(lane);
}

static dfal_status recorded_calls(void *arg)
{
    return look_afresh(arg);
}

static dfal_status record(struct df_lane *lane)
{
    const struct df_deepfool_engine *engine = lane->engine;
    lane->tried = true;
    return df_record(engine->context, engine->device, lane->queue, &lane->recording, recorded_calls, lane);
}

/* The look is the same calls as long as every slot is occupied, which is nearly always in a large pool. The
 * first one of a run is never a recording: it takes what memory it needs, and tells the tape how many rows it
 * holds. */
static dfal_status look(struct df_lane *lane)
{
    struct df_device *device = lane->engine->device;
    const bool full = lane->occupied == lane->engine->slots;
    if (full && lane->looked && !lane->tried)
        DF_TRY(record(lane));
    if (full && lane->looked && lane->recording != NULL)
        return device->backend->record_run(device, lane->queue, lane->recording);
    lane->looked = full;
    return look_afresh(lane);
}

/* What a look has found. */
static dfal_status read_totals(struct df_lane *lane)
{
    int32_t totals[DF_COUNTS];
    DF_TRY(df_read(lane->engine->device, lane->queue, totals, lane->totals, DF_COUNTS));
    lane->active = totals[DF_COUNT_ACTIVE];
    lane->kept = lane->engine->slots - totals[DF_COUNT_FREE];
    return DFAL_OK;
}

/* ---- Results -------------------------------------------------------------------------------- */

static struct df_margin margin_of(const double *record)
{
    return (struct df_margin){
        .index = (int64_t)record[DF_RECORD_ROW],
        .margin = (float)record[DF_RECORD_MARGIN],
        .first_margin = (float)record[DF_RECORD_FIRST],
        .logit_gap = (float)record[DF_RECORD_GAP],
        .status = (uint8_t)record[DF_RECORD_STATUS],
        .label = (int32_t)record[DF_RECORD_LABEL],
        .adversarial_class = (int32_t)record[DF_RECORD_ADVERSARIAL],
        .iterations = (uint16_t)record[DF_RECORD_ITERATIONS],
    };
}

static bool wants_image(const struct df_deepfool_engine *engine, const struct df_margin *margin)
{
    return engine->sink->wants_adversarial && margin->status <= DFAL_SCORE_TIE;
}

/* The records, and where somebody wants images the slots that they are of: the first of the free list. */
static dfal_status read_results(struct df_lane *lane, int64_t count)
{
    struct df_device *device = lane->engine->device;
    DF_TRY(df_read(device, lane->queue, lane->record_host, lane->record, count * DF_RECORD_NUMBERS));
    return lane->engine->sink->wants_adversarial
               ? df_read(device, lane->queue, lane->free_host, lane->free_list, count)
               : DFAL_OK;
}

/* x0 + (1 + overshoot) r of a finished slot. After a bisection the tape holds the last midpoint, not the end
 * that was kept: it is computed again. */
static dfal_status read_image(struct df_lane *lane, int64_t slot)
{
    const int64_t size = lane->engine->params.size;
    DF_TRY(df_lane_iterate(lane, slot, 1, false));
    return df_read(lane->engine->device, lane->queue, lane->decoded_host,
                   df_at(df_tape_input(lane->tape), slot * size), size);
}

/* Hand a result to the sink and count it. Under the engine's lock. */
static dfal_status put(struct df_lane *lane, int64_t record)
{
    struct df_deepfool_engine *engine = lane->engine;
    const struct df_margin margin = margin_of(lane->record_host + record * DF_RECORD_NUMBERS);
    const bool image = wants_image(engine, &margin);
    if (image)
        DF_TRY(read_image(lane, lane->free_host[record]));
    DF_TRY(engine->sink->put(engine->sink, &margin, image ? lane->decoded_host : NULL));
    engine->done++;
    engine->iterations += margin.iterations;
    engine->status[margin.status]++;
    return DFAL_OK;
}

/* What a progress line says of the results so far. Under the engine's lock. */
static void progress_text(char text[96], const struct df_deepfool_engine *engine)
{
    const double done = (double)engine->done;
    int length =
        df_print(text, 96, "%.1f it  OK %.2f %%", (double)engine->iterations / done,
                 100 * (double)(engine->status[DFAL_SCORE_OK] + engine->status[DFAL_SCORE_TIE]) / done);
    if (engine->status[DFAL_SCORE_MAX_ITER] > 0 && length > 0 && length < 96)
        snprintf(text + length, (size_t)(96 - length), "  MAX_ITER %lld",
                 (long long)engine->status[DFAL_SCORE_MAX_ITER]);
}

static dfal_status deliver(struct df_lane *lane, int64_t count)
{
    struct df_deepfool_engine *engine = lane->engine;
    char text[96];
    dfal_status status = DFAL_OK;
    if (count == 0)
        return DFAL_OK;
    df_lock_take(&engine->lock);
    for (int64_t i = 0; i < count && status == DFAL_OK; i++)
        status = put(lane, i);
    progress_text(text, engine);
    df_lock_release(&engine->lock);
    DF_TRY(status);
    if (engine->progress)
        df_progress_add(engine->progress, count, text);
    return DFAL_OK;
}

/* ---- The loop ------------------------------------------------------------------------------- */

static dfal_status begin(struct df_lane *lane)
{
    lane->dry = lane->looked = false;
    lane->occupied = lane->next = 0;
    for (int32_t c = 0; c < lane->chunk_count; c++)
        lane->chunk[c].rows = lane->chunk[c].taken = 0;
    DF_TRY(df_lane_settle(lane)); /* of none: all slots are free */
    return read_totals(lane);
}

dfal_status df_lane_run(struct df_lane *lane)
{
    struct df_deepfool_engine *engine = lane->engine;
    const bool beside = lane->chunk_count > 1 && !engine->sink->wants_adversarial;
    DF_TRY(begin(lane));
    for (;;) {
        int64_t filled;
        DF_TRY(df_context_check_stop(engine->context));
        if (atomic_load(&engine->failed))
            return DFAL_OK;
        DF_TRY(load_chunks(lane));
        DF_TRY(refill(lane, &filled));
        const int64_t finished = lane->occupied - lane->kept, occupied = lane->kept + filled;
        DF_TRY(close_holes(lane, occupied, filled, finished - filled));
        lane->occupied = occupied;
        if (occupied == 0)
            return DFAL_OK;
        DF_TRY(look(lane));
        DF_TRY(read_totals(lane));
        const int64_t records = occupied - lane->kept;
        DF_TRY(read_results(lane, records));
        if (!beside)
            DF_TRY(deliver(lane, records));
        DF_TRY(df_lane_step(lane, lane->active_list, lane->active));
        if (beside)
            DF_TRY(deliver(lane, records));
    }
}
