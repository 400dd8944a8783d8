/* SPDX-License-Identifier: Apache-2.0 */
/* The loop on a wide device. An iteration queues, and waits once, where it reads the totals:
 *
 *   refill    free slots take the next rows of the resident chunks; holes that stay are closed, which happens when the
 *             stream is dry
 *   look      iterate, forward, observe; count, offsets, settle: lists of slots, records of finished samples. Recorded where
 *             the device can, and run as one call while every slot is occupied
 *   read      how many slots go on, how many wait for a step; the records
 *   step      one DeepFool step of the active slots: the long part, during which the host hands the records to the sink and
 *             loads the chunks that the refill has used up
 *
 * Two chunks of half the slots each suffice for any refill once both are loaded. A device of two queues copies on its
 * second one while the first computes; with one queue a copy waits for the step before it. */
#include "score/resident.h"

#include <string.h>

#include "base/memory.h"
#include "residency.h"

enum { CHUNKS = 2 };

/* Rows of the stream on the device: raw bytes, or network inputs of a f32 pool, and their rows in the pool. */
struct chunk {
    struct df_span raw, index;
    int64_t rows, taken;
    bool copying; /* nobody has waited for the upload yet */
};

struct df_resident {
    struct df_lane *lane;
    int32_t upload;     /* queue of copies to chunks */
    int64_t chunk_rows; /* room in a chunk */
    struct chunk chunk[CHUNKS];
    int32_t next; /* chunk to take from */
    bool begun;   /* both chunks are kept loaded from the second iteration on */
    int64_t kept, active;
    bool looked;                    /* with every slot occupied, in this run: what that needs is there */
    bool tried;                     /* to record such a look */
    struct df_recording *recording; /* of such a look; NULL: none yet */
    struct df_span counts, offsets, totals, active_list, kept_list, free_list, record;
    double *index_host, *record_host;
};

int64_t df_resident_slot_bytes(const struct df_pool *pool)
{
    const int64_t row = pool->raw == DF_RAW_U8 ? (int64_t)df_pool_row_bytes(pool)
                                               : df_shape_size(pool->shape) * (int64_t)sizeof(float);
    return row + (1 + DF_RECORD_NUMBERS) * (int64_t)sizeof(double) + 4 * (int64_t)sizeof(int32_t);
}

dfal_status df_resident_create(struct df_resident **out, struct df_lane *lane)
{
    const struct df_deepfool_engine *engine = lane->engine;
    const int64_t slots = engine->slots, size = engine->params.size,
                  counts = df_slot_groups(&engine->params) * DF_COUNTS;
    struct df_resident *resident;
    *out = NULL;
    DF_TRY(df_alloc(&resident, 1, sizeof *resident));
    resident->lane = lane;
    resident->upload = engine->device->queue_count > 1 ? 1 : 0;
    resident->chunk_rows = (slots + CHUNKS - 1) / CHUNKS;
    struct {
        struct df_span *span;
        enum df_type type;
        int64_t count;
    } buffers[] = {
        {&resident->counts, DF_TYPE_I32, counts},
        {&resident->offsets, DF_TYPE_I32, counts},
        {&resident->totals, DF_TYPE_I32, DF_TOTALS},
        {&resident->active_list, DF_TYPE_I32, slots},
        {&resident->kept_list, DF_TYPE_I32, slots},
        {&resident->free_list, DF_TYPE_I32, slots},
        {&resident->record, DF_TYPE_F64, slots * DF_RECORD_NUMBERS},
    };
    dfal_status status = DFAL_OK;
    for (size_t b = 0; b < sizeof buffers / sizeof *buffers; b++)
        DF_TRY_TO(done, status,
                  df_buffer_new(engine->device, buffers[b].span, buffers[b].type, buffers[b].count));
    const enum df_type type = engine->pool->raw == DF_RAW_U8 ? DF_TYPE_U8 : DF_TYPE_REAL;
    for (int c = 0; c < CHUNKS; c++) {
        struct chunk *chunk = &resident->chunk[c];
        DF_TRY_TO(done, status,
                  df_buffer_new(engine->device, &chunk->raw, type, resident->chunk_rows * size));
        DF_TRY_TO(done, status,
                  df_buffer_new(engine->device, &chunk->index, DF_TYPE_F64, resident->chunk_rows));
    }
    DF_TRY_TO(done, status,
              df_alloc(&resident->index_host, resident->chunk_rows, sizeof *resident->index_host));
    DF_TRY_TO(done, status,
              df_alloc(&resident->record_host, slots * DF_RECORD_NUMBERS, sizeof *resident->record_host));
    *out = resident;
    return DFAL_OK;
done:
    df_resident_destroy(resident);
    return status;
}

void df_resident_destroy(struct df_resident *resident)
{
    if (!resident)
        return;
    struct df_device *device = resident->lane->engine->device;
    if (resident->recording)
        device->backend->record_destroy(device, resident->recording);
    struct df_span *spans[] = {&resident->counts,      &resident->offsets,   &resident->totals,
                               &resident->active_list, &resident->kept_list, &resident->free_list,
                               &resident->record};
    for (size_t s = 0; s < sizeof spans / sizeof *spans; s++)
        df_buffer_drop(device, spans[s]);
    for (int c = 0; c < CHUNKS; c++) {
        df_buffer_drop(device, &resident->chunk[c].raw);
        df_buffer_drop(device, &resident->chunk[c].index);
    }
    df_free(resident->index_host);
    df_free(resident->record_host);
    df_free(resident);
}

static struct df_deepfool_params params_of(const struct df_resident *resident)
{
    struct df_deepfool_params params = resident->lane->engine->params;
    params.occupied = (int32_t)resident->lane->occupied;
    return params;
}

static dfal_status run(const struct df_resident *resident, const struct df_call *call)
{
    return df_run(resident->lane->engine->device, resident->lane->queue, call);
}

/* ---- Chunks --------------------------------------------------------------------------------- */

/* Fill a chunk whose rows are all taken, and of which no queued call reads any more. */
static dfal_status load(struct df_resident *resident, struct chunk *chunk)
{
    struct df_lane *lane = resident->lane;
    struct df_deepfool_engine *engine = lane->engine;
    int64_t count;
    chunk->rows = chunk->taken = 0;
    DF_TRY(df_lane_take(lane, resident->chunk_rows, &count));
    if (count == 0)
        return DFAL_OK;
    for (int64_t i = 0; i < count; i++)
        resident->index_host[i] = (double)lane->taken[i];
    const void *raw = lane->raw_host;
    if (engine->pool->raw != DF_RAW_U8) {
        df_pool_decode(engine->pool, lane->decoded_host, raw, count);
        raw = lane->decoded_host;
    }
    DF_TRY(df_write(engine->device, resident->upload, chunk->raw, raw, count * engine->params.size));
    DF_TRY(df_write(engine->device, resident->upload, chunk->index, resident->index_host, count));
    chunk->rows = count;
    chunk->copying = resident->upload != lane->queue;
    return DFAL_OK;
}

/* Another queue finds a copy once its own queue was waited for. */
static dfal_status wait_for_copy(const struct df_resident *resident, struct chunk *chunk)
{
    struct df_device *device = resident->lane->engine->device;
    if (chunk->copying)
        DF_TRY(device->backend->synchronize(device, resident->upload));
    chunk->copying = false;
    return DFAL_OK;
}

/* Load what is used up; at first one chunk only, so that the device has something to do while the next is read. */
static dfal_status load_chunks(struct df_resident *resident)
{
    for (int c = 0; c < CHUNKS; c++) {
        struct chunk *chunk = &resident->chunk[(resident->next + c) % CHUNKS];
        if (chunk->taken == chunk->rows && (c == 0 || resident->begun))
            DF_TRY(load(resident, chunk));
    }
    resident->begun = true;
    return DFAL_OK;
}

/* Free slots take rows of the chunks: `filled` of them. */
static dfal_status refill(struct df_resident *resident, int64_t *filled)
{
    const struct df_lane *lane = resident->lane;
    const struct df_deepfool_engine *engine = lane->engine;
    const int64_t slots = engine->slots - resident->kept, size = engine->params.size;
    *filled = 0;
    for (int c = 0; c < CHUNKS && *filled < slots; c++) {
        struct chunk *chunk = &resident->chunk[resident->next];
        const int64_t left = chunk->rows - chunk->taken,
                      count = left < slots - *filled ? left : slots - *filled;
        if (count > 0) {
            DF_TRY(wait_for_copy(resident, chunk));
            const struct df_call call = DF_CALL(
                deepfool_refill, .rows = count, .cols = engine->pool->shape.h * engine->pool->shape.w,
                .x0 = lane->x0, .r = lane->r, .state = lane->state, .number = lane->number,
                .raw = df_at(chunk->raw, chunk->taken * size), .index = df_at(chunk->index, chunk->taken),
                .slots = df_at(resident->free_list, *filled), .table = engine->table,
                .p.deepfool = params_of(resident));
            DF_TRY(run(resident, &call));
            chunk->taken += count;
            *filled += count;
        }
        if (chunk->taken == chunk->rows)
            resident->next = (resident->next + 1) % CHUNKS;
    }
    return DFAL_OK;
}

/* The first `occupied` slots are to hold all samples: move the last ones into `holes` free slots from `first` of the list on. */
static dfal_status close_holes(struct df_resident *resident, int64_t occupied, int64_t first, int64_t holes)
{
    struct df_lane *lane = resident->lane;
    struct df_deepfool_params params = params_of(resident);
    if (holes <= 0 || occupied == 0)
        return DFAL_OK;
    params.occupied = (int32_t)occupied;
    params.kept = (int32_t)resident->kept;
    const struct df_call pair =
        DF_CALL(deepfool_pair, .rows = 1, .cols = holes, .pairs = lane->pairs,
                .free = df_at(resident->free_list, first), .kept = resident->kept_list, .p.deepfool = params);
    DF_TRY(run(resident, &pair));
    return df_lane_move(lane, lane->pairs, holes);
}

/* ---- Slots ---------------------------------------------------------------------------------- */

/* Lists of the slots as they are now, and records of the finished ones. */
static dfal_status settle(struct df_resident *resident)
{
    const struct df_lane *lane = resident->lane;
    const struct df_deepfool_params params = params_of(resident);
    const int64_t groups = df_slot_groups(&params);
    const struct df_call calls[] = {
        DF_CALL(deepfool_count, .rows = groups, .counts = resident->counts, .state = lane->state,
                .p.deepfool = params),
        DF_CALL(deepfool_offsets, .rows = 1, .offsets = resident->offsets, .totals = resident->totals,
                .counts = resident->counts, .p.deepfool = params),
        DF_CALL(deepfool_settle, .rows = groups, .active = resident->active_list, .kept = resident->kept_list,
                .free = resident->free_list, .record = resident->record, .state = lane->state,
                .number = lane->number, .offsets = resident->offsets, .p.deepfool = params),
    };
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
        DF_TRY(run(resident, &calls[c]));
    return DFAL_OK;
}

static dfal_status look_afresh(struct df_resident *resident)
{
    struct df_lane *lane = resident->lane;
    DF_TRY(df_lane_iterate(lane, 0, lane->occupied, false));
    DF_TRY(df_tape_forward(lane->tape, lane->occupied));
    DF_TRY(df_lane_observe(lane));
    return settle(resident);
}

static dfal_status recorded_calls(void *arg)
{
    return look_afresh(arg);
}

static dfal_status record(struct df_resident *resident)
{
    const struct df_deepfool_engine *engine = resident->lane->engine;
    resident->tried = true;
    return df_record(engine->context, engine->device, resident->lane->queue, &resident->recording,
                     recorded_calls, resident);
}

/* The look is the same calls as long as every slot is occupied, which is nearly always in a large pool. The first one of
 * a run is never a recording: it takes what memory it needs, and tells the tape how many rows it holds. */
static dfal_status look(struct df_resident *resident)
{
    const struct df_lane *lane = resident->lane;
    struct df_device *device = lane->engine->device;
    const bool full = lane->occupied == lane->engine->slots;
    if (full && resident->looked && !resident->tried)
        DF_TRY(record(resident));
    if (full && resident->looked && resident->recording != NULL)
        return device->backend->record_run(device, lane->queue, resident->recording);
    resident->looked = full;
    return look_afresh(resident);
}

/* What a look has found. */
static dfal_status read_totals(struct df_resident *resident)
{
    const struct df_lane *lane = resident->lane;
    int32_t totals[DF_COUNTS];
    DF_TRY(df_read(lane->engine->device, lane->queue, totals, resident->totals, DF_COUNTS));
    resident->active = totals[DF_COUNT_ACTIVE];
    resident->kept = lane->engine->slots - totals[DF_COUNT_FREE];
    return DFAL_OK;
}

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

static dfal_status deliver(struct df_resident *resident, int64_t count)
{
    struct df_deepfool_engine *engine = resident->lane->engine;
    char text[96];
    dfal_status status = DFAL_OK;
    if (count == 0)
        return DFAL_OK;
    df_lock_take(&engine->lock);
    for (int64_t i = 0; i < count && status == DFAL_OK; i++) {
        const struct df_margin margin = margin_of(resident->record_host + i * DF_RECORD_NUMBERS);
        status = df_lane_put(engine, &margin, NULL);
    }
    df_lane_progress_text(text, engine);
    df_lock_release(&engine->lock);
    DF_TRY(status);
    if (engine->progress)
        df_progress_add(engine->progress, count, text);
    return DFAL_OK;
}

dfal_status df_resident_run(struct df_resident *resident)
{
    struct df_lane *lane = resident->lane;
    struct df_deepfool_engine *engine = lane->engine;
    lane->dry = resident->begun = resident->looked = false;
    lane->occupied = resident->next = 0;
    for (int c = 0; c < CHUNKS; c++)
        resident->chunk[c].rows = resident->chunk[c].taken = 0;
    DF_TRY(settle(resident)); /* of none: all slots are free */
    DF_TRY(read_totals(resident));
    for (;;) {
        int64_t filled;
        DF_TRY(df_context_check_stop(engine->context));
        DF_TRY(load_chunks(resident));
        DF_TRY(refill(resident, &filled));
        const int64_t finished = lane->occupied - resident->kept, occupied = resident->kept + filled;
        DF_TRY(close_holes(resident, occupied, filled, finished - filled));
        lane->occupied = occupied;
        if (occupied == 0)
            return DFAL_OK;
        DF_TRY(look(resident));
        DF_TRY(read_totals(resident));
        const int64_t records = occupied - resident->kept;
        DF_TRY(df_read(engine->device, lane->queue, resident->record_host, resident->record,
                       records * DF_RECORD_NUMBERS));
        DF_TRY(df_lane_step(lane, resident->active_list, resident->active));
        DF_TRY(deliver(resident, records));
    }
}
