/* SPDX-License-Identifier: Apache-2.0 */
/* Finished shards of an unfinished file of rows: OUT.parts/000000.h5, ... A shard is the part of the job's
 * rows that lies in pool rows [number * shard_rows, (number + 1) * shard_rows): independent of batch and
 * ranks. */
#ifndef DF_JOB_SHARDS_H
#define DF_JOB_SHARDS_H

#include "base/parts.h"
#include "comm/comm.h"
#include "store/row_file.h"
#include "store/stream.h"

/* Which rows of a pool a job has, and how they are cut. */
struct df_shards_cut {
    int64_t begin, end; /* rows of the job */
    int64_t shard_rows; /* of a whole shard: a power of two, at most DF_SHARD_ROWS */
};
/* Bytes that a shard takes at most: less where memory is little. */
int64_t df_shard_bytes(const struct dfal_context *context);
/* Rows of a shard of at most so many bytes, and no more than `most`, where a row takes long. */
int64_t df_shard_rows(const struct df_rows_kind *kind, int64_t bytes, int64_t most);

struct df_shards {
    struct df_parts parts; /* OUT.parts */
    const struct df_rows_kind *kind;
    struct df_shards_cut cut;
    int64_t first, count;        /* shard numbers */
    bool *finished;              /* [count] when the job began, the same on every rank */
    bool shared;                 /* other ranks write shards into the folder, too */
    int64_t finished_rows;       /* in files now */
    struct df_rows_head *head;   /* borrowed: written into every shard; told what it is mixed with */
    struct df_row_hashes hashes; /* a piece a shard: its rows as they were read for the job, or found again */
};
/* Hold OUT.parts and look at what is there: shards that are cut otherwise than `cut` says are continued as
 * they are cut. One of another kind, configuration, arithmetic or range is E_CONFIG naming the first
 * difference, one that is damaged E_DATA; with force it is removed together with the others. Stale
 * temporaries are removed. */
dfal_status df_shards_open(struct df_shards *shards, const char *out_path, const struct df_rows_kind *kind,
                           struct df_shards_cut cut, struct df_rows_head *head, bool allow_mixed, bool force);
/* Collective: the ranks behind rank 0, which has opened them, join its shards, of which they know nothing
 * yet.
 * Errors   E_IO they do not see rank 0's folder */
dfal_status df_shards_share(struct df_shards *shards, struct df_comm *comm, const char *out_path,
                            const struct df_rows_kind *kind, struct df_shards_cut cut,
                            struct df_rows_head *head);
void df_shards_close(struct df_shards *shards);
/* Remove the shards when none is finished, or in any case; where the folder is shared nothing. */
void df_shards_remove(struct df_shards *shards, bool finished_ones_too);
void df_shards_rows(const struct df_shards *shards, int64_t i, int64_t *begin, int64_t *end);
/* Open a shard that holds its rows. */
dfal_status df_shards_reader(const struct df_shards *shards, int64_t i, struct df_rows_reader **reader);
dfal_status df_shards_read(const struct df_shards *shards, int64_t i, struct df_rows *rows);
/* Whether a shard that was finished when the job began is of the rows that the pool holds now: they are read
 * again. A shard of an older version does not tell: *unknown. Errors   E_CONFIG it is of others; those of
 * reading; E_STOPPED */
dfal_status df_shards_compare(struct df_shards *shards, int64_t i, const struct df_rows *rows,
                              const struct dfal_context *context, struct df_pool *pool, bool *unknown);
/* Write at most DF_PART_FILES of them. */
dfal_status df_shards_write(struct df_shards *shards, const int64_t *numbers,
                            const struct df_rows *const *rows, int32_t count);

/* Whether shard i is this rank's where shards are dealt: finished or not, and however many ranks began. */
static inline bool df_shards_is_dealt(const struct df_comm *comm, int64_t i)
{
    return i % comm->size == comm->rank;
}

/* Chunk source over the rows of missing shards, in order: each shard is claimed by the rank that takes it
 * first, so that a slow rank gets less; or they are dealt, one to each rank in turn. */
struct df_missing_source {
    struct df_chunk_source source;
    const struct df_shards *shards;
    struct df_comm *comm;
    bool dealt;
    int32_t counter;              /* of claims: the n-th missing shard */
    struct df_progress *progress; /* told of what other ranks have claimed; NULL: nobody asks */
    int64_t row, end;             /* next to be handed out, up to end */
    int64_t next, at; /* the next missing shard that nobody is known to have claimed; where to look for it */
};
/* Collective. The rows' hashes go into the shards' pieces. */
void df_missing_source_init(struct df_missing_source *missing, struct df_shards *shards, struct df_comm *comm,
                            bool dealt, struct df_progress *progress);

#endif
