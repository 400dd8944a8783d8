/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a worker. The device keeps the slots (kernels/residency.h). An iteration queues, and waits
 * where it reads:
 *
 *   refill    free slots take the next rows of the stream; holes that stay are closed, which happens when it
 *             is dry
 *   look      iterate, forward, observe; count, offsets, settle: lists of slots, records of finished samples.
 *             Recorded where the device can, and run as one call while every slot is occupied
 *   read      how many slots go on, how many wait for a step; the records, on the queue of copies while the
 *             device steps
 *   step      one DeepFool step of the active slots: the long part; sdf: a projection of the crossed ones
 *   deliver   records to the sink
 *
 * Where many rows a call pay (a GPU) there is one worker, and two chunks of half its slots each are read
 * ahead. The host delivers, and loads the chunk that the refill has used up, while the device steps; not
 * where the sink wants images, which would wait for the step. A device of two queues copies on its second one
 * while the first computes; with one queue a copy waits for the step before it. Elsewhere workers share the
 * stream, and none takes rows before it has slots for them: a worker that read ahead would keep them from one
 * that has run out. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "residency.h"
#include "score/deepfool_checks.h"
#include "score/deepfool_worker.h"

/* ---- Chunks --------------------------------------------------------------------------------- */

/* Up to `most` rows of the stream, to raw_host and taken; fewer: the stream is dry. */
static dfal_status take(struct df_deepfool_worker *worker, int64_t most, int64_t *count)
{
    struct df_deepfool_engine *engine = worker->engine;
    const size_t row_bytes = df_pool_row_bytes(engine->pool);
    *count = 0;
    while (*count < most && !worker->dry) {
        int64_t got = 0;
        DF_TRY(df_stream_take(engine->shared->stream, most - *count,
                              worker->raw_host ? worker->raw_host + (size_t)*count * row_bytes : NULL,
                              worker->taken + *count, &got));
        worker->dry = got == 0;
        *count += got;
    }
    return df_deepfool_check_rows(engine, worker->raw_host, worker->taken, *count);
}

/* Fill a chunk whose rows are all taken, and of which no queued call reads any more. */
static dfal_status load(struct df_deepfool_worker *worker, struct df_deepfool_chunk *chunk, int64_t most)
{
    struct df_deepfool_engine *engine = worker->engine;
    int64_t count;
    chunk->rows = chunk->taken = 0;
    DF_TRY(take(worker, most, &count));
    if (count == 0)
        return DFAL_OK;
    for (int64_t i = 0; i < count; i++)
        worker->index_host[i] = (double)worker->taken[i];
    const void *raw = worker->raw_host;
    if (engine->pool->raw != DF_RAW_U8) {
        df_pool_decode(engine->pool, worker->decoded_host, raw, count);
        raw = worker->decoded_host;
    }
    if (raw)
        DF_TRY(df_write(engine->device, worker->upload, chunk->raw, raw, count * engine->params.size));
    DF_TRY(df_write(engine->device, worker->upload, chunk->index, worker->index_host, count));
    chunk->rows = count;
    chunk->copying = worker->upload != worker->queue;
    return DFAL_OK;
}

/* Another queue finds a copy once its own queue was waited for. */
static dfal_status wait_for_copy(const struct df_deepfool_worker *worker, struct df_deepfool_chunk *chunk)
{
    struct df_device *device = worker->engine->device;
    if (chunk->copying)
        DF_TRY(device->backend->synchronize(device, worker->upload));
    chunk->copying = false;
    return DFAL_OK;
}

/* Rows that an empty worker starts with: one block, and of a small pool its share, so that all workers are
 * fed. */
static int64_t first_rows(const struct df_deepfool_engine *engine)
{
    const int32_t workers = engine->shared->worker_count;
    const int64_t share = (engine->pool->count + workers - 1) / workers;
    const int64_t rows = share < engine->block ? share : engine->block;
    return rows < engine->slots ? rows : engine->slots;
}

/* Rows of the next chunk while slots are still empty: a few, then twice as many each time, so that the device
 * soon has something to do while the next ones are read. */
static int64_t growing_rows(struct df_deepfool_worker *worker)
{
    const int64_t least = (worker->chunk_rows + 3) / 4, twice = 2 * worker->grown;
    worker->grown = twice < least ? least : twice < worker->chunk_rows ? twice : worker->chunk_rows;
    return worker->grown;
}

/* Load what is used up: as much as slots want, or ahead. What is ahead is loaded only once all slots are
 * occupied: before, the device would wait for rows that it has no use for yet. */
static dfal_status load_chunks(struct df_deepfool_worker *worker)
{
    const int64_t wanted = worker->engine->slots - worker->kept;
    if (worker->chunk_count == 1)
        return load(worker, &worker->chunk[0], worker->kept == 0 ? first_rows(worker->engine) : wanted);
    const bool full = worker->occupied == worker->engine->slots;
    for (int32_t c = 0; c < (full ? worker->chunk_count : 1); c++) {
        struct df_deepfool_chunk *chunk = &worker->chunk[(worker->next + c) % worker->chunk_count];
        if (chunk->taken == chunk->rows)
            DF_TRY(load(worker, chunk, full ? worker->chunk_rows : growing_rows(worker)));
    }
    return DFAL_OK;
}

static dfal_status take_rows(struct df_deepfool_worker *worker, struct df_deepfool_chunk *chunk,
                             int64_t filled, int64_t count)
{
    const struct df_deepfool_engine *engine = worker->engine;
    struct df_call call =
        DF_CALL(deepfool_refill, .rows = count, .cols = engine->pool->shape.h * engine->pool->shape.w,
                .x0 = worker->x0, .r = worker->r, .state = worker->state, .number = worker->number,
                .raw = df_at(chunk->raw, chunk->taken * engine->params.size),
                .index = df_at(chunk->index, chunk->taken), .slots = df_at(worker->free_list, filled),
                .table = engine->table, .p.deepfool = engine->params);
    if (engine->whole.buffer) {
        DF_IN(&call, deepfool_refill, raw) = engine->whole;
        call.p.deepfool.whole = 1;
    }
    DF_TRY(wait_for_copy(worker, chunk));
    DF_TRY(df_call_run(engine->device, worker->queue, &call));
    chunk->taken += count;
    return DFAL_OK;
}

/* Free slots take rows of the chunks: `filled` of them. */
static dfal_status refill(struct df_deepfool_worker *worker, int64_t *filled)
{
    const int64_t slots = worker->engine->slots - worker->kept;
    *filled = 0;
    for (int32_t c = 0; c < worker->chunk_count && *filled < slots; c++) {
        struct df_deepfool_chunk *chunk = &worker->chunk[worker->next];
        const int64_t left = chunk->rows - chunk->taken,
                      count = left < slots - *filled ? left : slots - *filled;
        if (count > 0)
            DF_TRY(take_rows(worker, chunk, *filled, count));
        *filled += count;
        if (chunk->taken == chunk->rows)
            worker->next = (worker->next + 1) % worker->chunk_count;
    }
    return DFAL_OK;
}

/* The first `occupied` slots are to hold all samples: move the last ones into `holes` free slots from `first`
 * of the list on. */
static dfal_status close_holes(struct df_deepfool_worker *worker, int64_t occupied, int64_t first,
                               int64_t holes)
{
    struct df_deepfool_params params = worker->engine->params;
    if (holes <= 0 || occupied == 0)
        return DFAL_OK;
    params.occupied = (int32_t)occupied;
    params.kept = (int32_t)worker->kept;
    const struct df_call pair =
        DF_CALL(deepfool_pair, .rows = 1, .cols = holes, .pairs = worker->pairs,
                .free = df_at(worker->free_list, first), .kept = worker->kept_list, .p.deepfool = params);
    DF_TRY(df_call_run(worker->engine->device, worker->queue, &pair));
    return df_deepfool_worker_move(worker, worker->pairs, holes);
}

/* ---- Slots ---------------------------------------------------------------------------------- */

static dfal_status look_afresh(struct df_deepfool_worker *worker)
{
    DF_TRY(df_deepfool_worker_iterate(worker, 0, worker->occupied, false));
    DF_TRY(df_tape_forward(worker->tape, worker->occupied));
    DF_TRY(df_deepfool_worker_observe(worker));
    return df_deepfool_worker_settle(worker);
}

static dfal_status recorded_calls(void *arg)
{
    return look_afresh(arg);
}

static dfal_status record(struct df_deepfool_worker *worker)
{
    const struct df_deepfool_engine *engine = worker->engine;
    worker->tried = true;
    return df_record(engine->context, engine->device, worker->queue, &worker->recording, recorded_calls,
                     worker);
}

/* The look is the same calls as long as every slot is occupied, which is nearly always in a large pool. The
 * first one of a run is never a recording: it takes what memory it needs, and tells the tape how many rows it
 * holds. */
static dfal_status look(struct df_deepfool_worker *worker)
{
    struct df_device *device = worker->engine->device;
    const bool full = worker->occupied == worker->engine->slots;
    if (full && worker->looked && !worker->tried)
        DF_TRY(record(worker));
    if (full && worker->looked && worker->recording != NULL)
        return device->backend->record_run(device, worker->queue, worker->recording);
    worker->looked = full;
    return look_afresh(worker);
}

/* What a look has found. */
static dfal_status read_totals(struct df_deepfool_worker *worker)
{
    int32_t totals[DF_COUNTS];
    DF_TRY(df_read(worker->engine->device, worker->queue, totals, worker->totals, DF_COUNTS));
    worker->active = totals[DF_COUNT_ACTIVE];
    worker->crossed = totals[DF_COUNT_CROSSED];
    worker->kept = worker->engine->slots - totals[DF_COUNT_FREE];
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
    return engine->shared->sink->wants_adversarial && margin->status <= DFAL_SCORE_TIE;
}

/* The records, and where somebody wants images the slots that they are of: the first of the free list. Both
 * were complete when the totals had been read, so any queue finds them. */
static dfal_status read_results(struct df_deepfool_worker *worker, int32_t queue, int64_t count)
{
    struct df_device *device = worker->engine->device;
    DF_TRY(df_read(device, queue, worker->record_host, worker->record, count * DF_RECORD_NUMBERS));
    return worker->engine->shared->sink->wants_adversarial
               ? df_read(device, queue, worker->free_host, worker->free_list, count)
               : DFAL_OK;
}

/* x0 + (1 + overshoot) r of a finished slot. After a bisection the tape holds the last midpoint, not the end
 * that was kept: it is computed again. */
static dfal_status read_image(struct df_deepfool_worker *worker, int64_t slot)
{
    const int64_t size = worker->engine->params.size;
    DF_TRY(df_deepfool_worker_iterate(worker, slot, 1, false));
    return df_read(worker->engine->device, worker->queue, worker->decoded_host,
                   df_at(df_tape_input(worker->tape), slot * size), size);
}

/* Hand a result to the sink and count it. Under the engines' lock. */
static dfal_status put(struct df_deepfool_worker *worker, int64_t record)
{
    struct df_deepfool_shared *shared = worker->engine->shared;
    const struct df_margin margin = margin_of(worker->record_host + record * DF_RECORD_NUMBERS);
    const bool image = wants_image(worker->engine, &margin);
    if (image)
        DF_TRY(read_image(worker, worker->free_host[record]));
    DF_TRY(shared->sink->put(shared->sink, &margin, image ? worker->decoded_host : NULL));
    shared->done++;
    shared->iterations += margin.iterations;
    shared->status[margin.status]++;
    return DFAL_OK;
}

/* What a progress line says of the results so far. Under the engines' lock. */
static void progress_text(char text[96], const struct df_deepfool_shared *shared)
{
    const double done = (double)shared->done;
    int length =
        df_print(text, 96, "%.1f it  OK %.2f %%", (double)shared->iterations / done,
                 100 * (double)(shared->status[DFAL_SCORE_OK] + shared->status[DFAL_SCORE_TIE]) / done);
    if (shared->status[DFAL_SCORE_MAX_ITER] > 0 && length > 0 && length < 96)
        snprintf(text + length, (size_t)(96 - length), "  MAX_ITER %lld",
                 (long long)shared->status[DFAL_SCORE_MAX_ITER]);
}

static dfal_status deliver(struct df_deepfool_worker *worker, int64_t count)
{
    struct df_deepfool_shared *shared = worker->engine->shared;
    char text[96];
    dfal_status status = DFAL_OK;
    if (count == 0)
        return DFAL_OK;
    df_lock_take(&shared->lock);
    for (int64_t i = 0; i < count && status == DFAL_OK; i++)
        status = put(worker, i);
    progress_text(text, shared);
    df_lock_release(&shared->lock);
    DF_TRY(status);
    if (shared->progress)
        df_progress_add(shared->progress, count, text);
    return DFAL_OK;
}

/* ---- The loop ------------------------------------------------------------------------------- */

static dfal_status begin(struct df_deepfool_worker *worker)
{
    worker->dry = worker->looked = false;
    worker->occupied = worker->grown = worker->next = 0;
    for (int32_t c = 0; c < worker->chunk_count; c++)
        worker->chunk[c].rows = worker->chunk[c].taken = 0;
    DF_TRY(df_deepfool_worker_settle(worker)); /* of none: all slots are free */
    return read_totals(worker);
}

dfal_status df_deepfool_worker_run(struct df_deepfool_worker *worker)
{
    struct df_deepfool_engine *engine = worker->engine;
    const bool beside = worker->chunk_count > 1 && !engine->shared->sink->wants_adversarial;
    const bool later = beside && worker->upload != worker->queue;
    DF_TRY(begin(worker));
    for (;;) {
        int64_t filled;
        DF_TRY(df_context_check_stop(engine->context));
        if (atomic_load(&engine->shared->failed))
            return DFAL_OK;
        DF_TRY(load_chunks(worker));
        DF_TRY(refill(worker, &filled));
        const int64_t finished = worker->occupied - worker->kept, occupied = worker->kept + filled;
        DF_TRY(close_holes(worker, occupied, filled, finished - filled));
        worker->occupied = occupied;
        if (occupied == 0)
            return DFAL_OK;
        DF_TRY(look(worker));
        DF_TRY(read_totals(worker));
        const int64_t records = occupied - worker->kept;
        if (!later)
            DF_TRY(read_results(worker, worker->queue, records));
        if (!beside)
            DF_TRY(deliver(worker, records));
        DF_TRY(df_deepfool_worker_step(worker, worker->active_list, worker->active));
        DF_TRY(df_deepfool_worker_project(worker));
        if (later)
            DF_TRY(read_results(worker, worker->upload, records));
        if (beside)
            DF_TRY(deliver(worker, records));
    }
}
