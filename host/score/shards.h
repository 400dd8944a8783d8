/* SPDX-License-Identifier: Apache-2.0 */
/* Finished shards of an unfinished scores file: OUT.parts/000000.h5, ... A shard is the part of the job's rows that
 * lies in pool rows [number * DF_SHARD_ROWS, (number + 1) * DF_SHARD_ROWS): independent of batch and ranks. */
#ifndef DF_SCORE_SHARDS_H
#define DF_SCORE_SHARDS_H

#include "base/parts.h"
#include "score/deepfool.h"

struct df_shards {
    struct df_parts parts;       /* OUT.parts */
    int64_t begin, end;          /* rows of the job */
    int64_t first, count;        /* shard numbers */
    int32_t rank, size;          /* shard i of the job belongs to rank i % size */
    bool *finished;              /* [count] when the job began */
    int64_t finished_rows;       /* in files now */
    struct df_scores_head *head; /* borrowed: written into every shard; told what it is mixed with */
    struct df_row_hashes rows;   /* a piece a shard: its rows as they were read for scoring, or found again */
};
/* Hold OUT.parts and look at what is there. A shard of another configuration, arithmetic or range is E_CONFIG naming the first
 * difference; with force it is removed together with the others. Stale temporaries are removed. */
dfal_status df_shards_open(struct df_shards *shards, const char *out_path, struct df_scores_head *head,
                           int64_t begin, int64_t end, bool allow_mixed, bool force);
void df_shards_close(struct df_shards *shards);
/* Remove the shards when none is finished, or in any case. */
void df_shards_remove(struct df_shards *shards, bool finished_ones_too);
void df_shards_rows(const struct df_shards *shards, int64_t i, int64_t *begin, int64_t *end);
dfal_status df_shards_read(const struct df_shards *shards, int64_t i, struct df_scores *scores);
/* Whether a shard that was finished when the job began is of the rows that the pool holds now: they are read again. A
 * shard of an older version does not tell: *unknown. Errors   E_CONFIG it is of others; those of reading; E_STOPPED */
dfal_status df_shards_compare(struct df_shards *shards, int64_t i, const struct df_scores *scores,
                              const struct dfal_context *context, struct df_pool *pool, bool *unknown);
/* Write at most DF_SHARD_FILES of them. */
dfal_status df_shards_write(struct df_shards *shards, const int64_t *numbers,
                            const struct df_scores *const *scores, int32_t count);

/* Chunk source over the rows of this rank's missing shards, in order. */
struct df_missing_source {
    struct df_chunk_source source;
    const struct df_shards *shards;
    int64_t shard, row;
};
/* The rows' hashes go into the shards' pieces. */
void df_missing_source_init(struct df_missing_source *missing, struct df_shards *shards);

#endif
