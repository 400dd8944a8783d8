/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a pool in the order of a chunk source, read ahead by a thread in native type. */
#ifndef DF_STORE_STREAM_H
#define DF_STORE_STREAM_H

#include "store/pool.h"

/* Chunk source: hands out what to process next, as runs of rows. The simplest member is a range; later ones
 * claim by rank or follow a bound's order. next sets *begin == *end when there is no more. Called under a
 * lock. */
struct df_row_hashes;
struct df_chunk_source {
    dfal_status (*next)(struct df_chunk_source *self, int64_t *begin, int64_t *end);
    /* The next run is asked for when rows of this one are all that is read ahead: others want runs, too. */
    bool late;
    bool numbers; /* of rows are all that takers want: no row is read, and raw is left alone */
    struct df_row_hashes
        *hashes; /* of the rows handed out, added to before a taker has them; NULL: nobody asks */
};
struct df_range_source {
    struct df_chunk_source source;
    int64_t next, end, chunk;
};
void df_range_source_init(struct df_range_source *range, int64_t begin, int64_t end, int64_t chunk);
/* Rows of a list in its order. */
struct df_list_source {
    struct df_chunk_source source;
    const int64_t *rows;
    int64_t next, count;
};
void df_list_source_init(struct df_list_source *list, const int64_t *rows, int64_t count);
/* Position of a row in ascending rows [n], -1: none. */
int64_t df_row_position(const int64_t *rows, int64_t n, int64_t row);

struct df_row_stream;
dfal_status df_stream_open(struct df_row_stream **out, struct df_pool *pool, struct df_chunk_source *source);
/* Take up to max rows: raw bytes (caller's buffer; NULL: they are not wanted) and their pool indices. *count
 * 0: the stream is dry.
 * Thread-safe; blocks while the reader is behind. */
dfal_status df_stream_take(struct df_row_stream *stream, int64_t max, void *raw, int64_t *index,
                           int64_t *count);
/* Bytes that a stream of the pool takes. */
int64_t df_stream_bytes(const struct df_pool *pool);
void df_stream_close(struct df_row_stream *stream);

#endif
