/* SPDX-License-Identifier: Apache-2.0 */
#include "store/stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/compare.h"
#include "base/lock.h"
#include "base/memory.h"
#include "store/row_hash.h"

enum { BLOCK_BYTES = 4 << 20, BLOCK_ROWS = 64, BLOCKS = 2 };

/* ---- Chunk sources -------------------------------------------------------------------------- */

static dfal_status range_next(struct df_chunk_source *self, int64_t *begin, int64_t *end)
{
    struct df_range_source *range = (struct df_range_source *)self;
    *begin = range->next;
    *end = range->end - range->next < range->chunk ? range->end : range->next + range->chunk;
    range->next = *end;
    return DFAL_OK;
}

void df_range_source_init(struct df_range_source *range, int64_t begin, int64_t end, int64_t chunk)
{
    *range = (struct df_range_source){.source = {.next = range_next},
                                      .next = begin,
                                      .end = end > begin ? end : begin,
                                      .chunk = chunk > 0 ? chunk : 1};
}

/* Consecutive rows of the list are handed out as one run. */
static dfal_status list_next(struct df_chunk_source *self, int64_t *begin, int64_t *end)
{
    struct df_list_source *list = (struct df_list_source *)self;
    *begin = *end = 0;
    if (list->next == list->count)
        return DFAL_OK;
    *begin = list->rows[list->next++];
    *end = *begin + 1;
    while (list->next < list->count && list->rows[list->next] == *end) {
        list->next++;
        *end += 1;
    }
    return DFAL_OK;
}

void df_list_source_init(struct df_list_source *list, const int64_t *rows, int64_t count)
{
    *list = (struct df_list_source){.source = {.next = list_next}, .rows = rows, .count = count};
}

/* ---- Rows of a list ----------------------------------------------------------------------- */

int64_t df_row_position(const int64_t *rows, int64_t n, int64_t row)
{
    const int64_t *found = bsearch(&row, rows, (size_t)n, sizeof *rows, df_compare_integers);
    return found ? found - rows : -1;
}

/* ---- The stream ----------------------------------------------------------------------------- */

struct block {
    char *raw;
    int64_t *index;
    int64_t count, taken;
    bool full; /* the taker's; else the reader's */
};

struct df_row_stream {
    struct df_pool *pool;
    struct df_chunk_source *source;
    int64_t block_rows;
    size_t row_bytes;
    struct block block[BLOCKS];
    int32_t read, write;        /* next block of the taker, of the reader */
    int64_t run_begin, run_end; /* rest of a run that did not fit a block */
    bool dry, stop;
    dfal_status status;
    char message[DF_MESSAGE_SIZE];
    struct df_lock lock;
    struct df_signal changed;
    struct df_thread thread;
};

/* Collect rows until the block is full or the source dry. */
static dfal_status claim(struct df_row_stream *stream, struct block *block)
{
    block->count = block->taken = 0;
    while (block->count < stream->block_rows) {
        if (stream->run_begin == stream->run_end) {
            df_lock_take(&stream->lock);
            dfal_status status = stream->source->next(stream->source, &stream->run_begin, &stream->run_end);
            df_lock_release(&stream->lock);
            DF_TRY(status);
            if (stream->run_begin == stream->run_end)
                break;
        }
        while (stream->run_begin < stream->run_end && block->count < stream->block_rows)
            block->index[block->count++] = stream->run_begin++;
        if (stream->source->late)
            break;
    }
    return DFAL_OK;
}

static void *read_ahead(void *argument)
{
    struct df_row_stream *stream = argument;
    for (bool more = true; more;) {
        struct block *block = &stream->block[stream->write];
        df_lock_take(&stream->lock);
        while (block->full && !stream->stop)
            df_signal_wait(&stream->changed, &stream->lock);
        more = !stream->stop;
        df_lock_release(&stream->lock);
        if (!more)
            break;
        dfal_status status = claim(stream, block);
        if (status == DFAL_OK && block->count && !stream->source->numbers)
            status = df_pool_gather(stream->pool, block->raw, block->index, block->count);
        df_lock_take(&stream->lock);
        more = status == DFAL_OK && block->count > 0;
        if (status != DFAL_OK) {
            stream->status = status;
            df_message_get(stream->message);
        }
        block->full = more;
        stream->dry = !more;
        stream->write = (stream->write + 1) % BLOCKS;
        df_signal_all(&stream->changed);
        df_lock_release(&stream->lock);
    }
    return NULL;
}

static int64_t block_rows(const struct df_pool *pool)
{
    const int64_t within = BLOCK_BYTES / (int64_t)df_pool_row_bytes(pool);
    const int64_t rows = within > BLOCK_ROWS ? within : BLOCK_ROWS;
    return rows > pool->count ? pool->count : rows;
}

int64_t df_stream_bytes(const struct df_pool *pool)
{
    return BLOCKS * block_rows(pool) * (int64_t)(df_pool_row_bytes(pool) + sizeof(int64_t));
}

dfal_status df_stream_open(struct df_row_stream **out, struct df_pool *pool, struct df_chunk_source *source)
{
    dfal_status status;
    struct df_row_stream *stream;
    *out = NULL;
    DF_TRY(df_alloc(&stream, 1, sizeof *stream));
    df_lock_begin(&stream->lock);
    df_signal_begin(&stream->changed);
    stream->pool = pool;
    stream->source = source;
    stream->row_bytes = df_pool_row_bytes(pool);
    stream->block_rows = block_rows(pool);
    for (int i = 0; i < BLOCKS; i++) {
        DF_TRY_TO(done, status, df_alloc(&stream->block[i].raw, stream->block_rows, stream->row_bytes));
        DF_TRY_TO(done, status, df_alloc(&stream->block[i].index, stream->block_rows, sizeof(int64_t)));
    }
    status = df_thread_start(&stream->thread, read_ahead, stream);
done:
    if (status == DFAL_OK)
        *out = stream;
    else
        df_stream_close(stream);
    return status;
}

dfal_status df_stream_take(struct df_row_stream *stream, int64_t max, void *raw, int64_t *index,
                           int64_t *count)
{
    dfal_status status = DFAL_OK;
    *count = 0;
    df_lock_take(&stream->lock);
    while (*count < max) {
        while (!stream->block[stream->read].full && !stream->dry)
            df_signal_wait(&stream->changed, &stream->lock);
        struct block *block =
            &stream->block[stream->read]; /* another taker may have moved on while this one waited */
        if (!block->full) {
            /* Rows read before the error are handed out first: the error comes with the next call. */
            status = *count ? DFAL_OK : stream->status;
            if (status != DFAL_OK)
                df_message_set(stream->message);
            break;
        }
        int64_t n = block->count - block->taken;
        n = n > max - *count ? max - *count : n;
        if (raw && !stream->source->numbers)
            memcpy((char *)raw + (size_t)*count * stream->row_bytes,
                   block->raw + (size_t)block->taken * stream->row_bytes, (size_t)n * stream->row_bytes);
        memcpy(index + *count, block->index + block->taken, (size_t)n * sizeof *index);
        *count += n;
        block->taken += n;
        if (block->taken == block->count) {
            block->full = false;
            stream->read = (stream->read + 1) % BLOCKS;
            df_signal_all(&stream->changed);
        }
    }
    df_lock_release(&stream->lock);
    /* By whoever has taken them: one thread reads, and all takers wait for it. */
    if (stream->source->hashes && raw)
        df_row_hashes_add(stream->source->hashes, &stream->lock, raw, stream->row_bytes, index, *count);
    return status;
}

void df_stream_close(struct df_row_stream *stream)
{
    if (!stream)
        return;
    if (stream->thread.started) {
        df_lock_take(&stream->lock);
        stream->stop = true;
        df_signal_all(&stream->changed);
        df_lock_release(&stream->lock);
        df_thread_join(&stream->thread);
    }
    for (int i = 0; i < BLOCKS; i++) {
        df_free(stream->block[i].raw);
        df_free(stream->block[i].index);
    }
    df_signal_end(&stream->changed);
    df_lock_end(&stream->lock);
    df_free(stream);
}
