/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows of a pool a file was made from: a sum of their hashes for every 16,384 rows of the pool, so that
 * a later use finds other rows whatever times and names say, and names the first that differ. Labels are no
 * part of a row. */
#ifndef DF_STORE_ROW_HASH_H
#define DF_STORE_ROW_HASH_H

#include "base/context.h"
#include "base/row_sum.h"
#include "store/pool.h"

enum { DF_SHARD_ROWS = 16384 };

/* Rows of one shard of the pool, [first, first + count). While rows come in any order: as many as have
 * come. */
struct df_row_piece {
    int64_t first, count;
    struct df_row_sum sum;
};
/* Pieces of rows [begin, end) of a pool, cut at multiples of `cut`: DF_SHARD_ROWS in a file. */
struct df_row_hashes {
    int64_t begin, end, cut, count;
    struct df_row_piece *pieces;
};
#define DF_ROW_HASHES_NONE ((struct df_row_hashes){0})

dfal_status df_row_hashes_open(struct df_row_hashes *hashes, int64_t begin, int64_t end, int64_t cut);
void df_row_hashes_close(struct df_row_hashes *hashes);
/* The piece that a row belongs to, and how many rows of begin..end lie in it. */
int64_t df_row_hashes_find(const struct df_row_hashes *hashes, int64_t row);
int64_t df_row_hashes_rows(const struct df_row_hashes *hashes, int64_t piece);
/* Raw rows as the pool gives them; index: their numbers, within [begin, end). The lock is taken where the
 * list is added to, and not while rows are hashed; NULL: nobody else adds. */
struct df_lock;
void df_row_hashes_add(struct df_row_hashes *hashes, struct df_lock *lock, const void *raw, size_t row_bytes,
                       const int64_t *index, int64_t count);
/* A piece of another list over rows of this one that have not come yet. */
void df_row_hashes_join(struct df_row_hashes *hashes, const struct df_row_piece *piece);
/* All pieces of a list whose cut divides this one's. */
void df_row_hashes_join_all(struct df_row_hashes *hashes, const struct df_row_hashes *others);
/* A list of one piece, which stays the list's own: not to be closed. */
struct df_row_hashes df_row_hashes_part(const struct df_row_hashes *hashes, int64_t piece);
/* Rows of complete pieces. */
int64_t df_row_hashes_known(const struct df_row_hashes *hashes);

/* The sum of all rows of a pool, which are read for that. Errors   those of reading; E_STOPPED */
dfal_status df_row_hashes_pool(struct df_row_sum *sum, const struct dfal_context *context,
                               struct df_pool *pool);
/* Say, if there are any, that a file has rows which cannot be compared. */
void df_row_hashes_say(struct dfal_context *context, int64_t unknown, const char *path);

/* Read the rows of a list's complete pieces and compare: *first..*last the first that differ, *first -1: none
 * does.
 * Errors   those of reading; E_STOPPED */
dfal_status df_row_hashes_compare(const struct dfal_context *context, struct df_pool *pool,
                                  const struct df_row_hashes *hashes, int64_t *first, int64_t *last);
/* The same for a file that was made from rows: with this status, other rows are an error that names file,
 * pool and rows. */
dfal_status df_row_hashes_check(const struct dfal_context *context, struct df_pool *pool,
                                const struct df_row_hashes *hashes, const char *path, dfal_status status);

#endif
