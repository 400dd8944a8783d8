/* SPDX-License-Identifier: Apache-2.0 */
/* Scores files (cli.md, "Scores") and their shards. */
#ifndef DF_STORE_SCORES_H
#define DF_STORE_SCORES_H

#include "store/network_file.h"
#include "store/row_hash.h"

/* Columns of a scores file, each [count]. */
struct df_scores {
    int64_t count;
    int64_t *index;
    float *margin, *first_margin, *logit_gap;
    uint8_t *status;
    int32_t *label, *adversarial_class;
    uint16_t *iterations;
    char **id; /* NULL: the pool has none */
    struct df_row_hashes
        rows; /* as read from a file: the pool's rows they are of; df_scores_hashes writes them */
};
/* Everything that must agree before a file is continued or merged: compared key by key, the first difference
 * is named. */
struct df_scores_head {
    char network_sha256[DF_DIGEST_TEXT], pool_fingerprint[DF_DIGEST_TEXT];
    char version[16], backend[32], engine[16], isa[128], precision[16], library[96], device[96];
    char *configuration; /* canonical JSON of what shapes the result: preset, norm, ... range is not in it */
    char *command_line;
    char *network_path, *pool_path; /* as given, not compared: where verify looks when told nothing */
    uint64_t seed;
    int64_t pool_count, range_begin, range_end;
    int32_t shard, shard_count;
    int64_t adversarial; /* Q asked for: not compared, a continued job may ask for another */
    bool units_raw;
    char mixed[160]; /* "isa: avx2, avx512": rows of several arithmetics, by --allow-mixed; "" else */
};
void df_scores_head_clear(struct df_scores_head *head);
dfal_status df_scores_alloc(struct df_scores *scores, int64_t count);
void df_scores_clear(struct df_scores *scores);
/* E_CONFIG naming the first difference; the arithmetic identity (version, backend, engine, isa, precision,
 * library) is passed over when allow_mixed, else theirs must not be mixed. */
dfal_status df_scores_head_compare(const struct df_scores_head *ours, const struct df_scores_head *theirs,
                                   bool allow_mixed, const char *path);

/* Note in ours that rows made as theirs says stand among its own. */
void df_scores_head_mix(struct df_scores_head *ours, const struct df_scores_head *theirs);

/* A finished shard: rows [begin, begin + scores->count). Written atomically. Without hashes of its rows. */
dfal_status df_shard_write(const char *path, const struct df_scores_head *head,
                           const struct df_scores *scores);
/* Several of one folder, at most DF_SHARD_FILES: cheaper, for the disk takes them together. rows [count]: the hashes of
 * each, NULL: not known. */
enum { DF_SHARD_FILES = 32 };
dfal_status df_shard_write_all(const char *const *paths, const struct df_scores_head *head,
                               const struct df_scores *const *scores, const struct df_row_hashes *rows,
                               int32_t count);
/* Read head (and the columns unless scores is NULL). Errors   E_DATA truncated, foreign or not complete */
dfal_status df_scores_read(const char *path, struct df_scores_head *head, struct df_scores *scores);
/* The same without ids, which take several times the memory of the numbers. */
dfal_status df_scores_read_columns(const char *path, struct df_scores_head *head, struct df_scores *scores);

/* A scores file read some rows at a time: what it takes does not grow with the file.
 * Errors   as df_scores_read; of rows only when they are taken */
struct df_scores_reader;
dfal_status df_scores_open(struct df_scores_reader **out, struct df_scores_head *head, const char *path);
int64_t df_scores_rows(const struct df_scores_reader *reader);
bool df_scores_have_ids(const struct df_scores_reader *reader);
/* Rows [begin, begin + count), fresh (df_scores_clear). */
dfal_status df_scores_take(struct df_scores_reader *reader, int64_t begin, int64_t count, bool with_ids,
                           struct df_scores *scores);
/* What the file knows of the pool's rows [begin, end), which are its own (df_row_hashes_close). */
dfal_status df_scores_take_hashes(struct df_scores_reader *reader, int64_t begin, int64_t end,
                                  struct df_row_hashes *hashes);
/* All rows in blocks of DF_SHARD_ROWS; the first visit that fails ends it. */
typedef dfal_status df_scores_block_fn(void *user, int64_t begin, const struct df_scores *block);
dfal_status df_scores_each(struct df_scores_reader *reader, bool with_ids, df_scores_block_fn *visit,
                           void *user);
/* Rows of the pool that have an adversarial image, in the file's order (fresh, df_free); count 0: none have. */
dfal_status df_scores_image_rows(struct df_scores_reader *reader, int64_t **rows, int64_t *count,
                                 struct df_shape *shape);
/* Some of those images, numbered from 0, each to its place [C, H, W]. Errors   E_IO the file has others now */
dfal_status df_scores_images(struct df_scores_reader *reader, struct df_shape shape, const int64_t *images,
                             float *const *places, int64_t count);
void df_scores_close(struct df_scores_reader *reader); /* NULL is fine */

/* The final file, rows in any order, each once. One thread at a time. */
struct df_scores_writer;
/* head may be NULL: df_scores_describe tells it before the end. */
dfal_status df_scores_create(struct df_scores_writer **out, const char *path,
                             const struct df_scores_head *head, int64_t count, bool has_ids, bool force);
dfal_status df_scores_describe(struct df_scores_writer *writer, const struct df_scores_head *head);
/* Columns of rows [at, at + scores->count), without their ids. */
dfal_status df_scores_put(struct df_scores_writer *writer, int64_t at, const struct df_scores *scores);
/* Ids of the file's next rows, which are pool rows [row, row + count). */
dfal_status df_scores_put_ids(struct df_scores_writer *writer, struct df_pool *pool, int64_t row,
                              int64_t count);
/* The next rows, columns and ids. */
dfal_status df_scores_append(struct df_scores_writer *writer, const struct df_scores *scores);
/* Read back what was put. */
dfal_status df_scores_reread(struct df_scores_writer *writer, int64_t at, int64_t count, float *margin,
                             uint8_t *status_of);
/* /adversarial/samples [q, C, H, W] f32 and /adversarial/index [q] i64, rows in rank order. */
dfal_status df_scores_adversarial(struct df_scores_writer *writer, const float *samples, const int64_t *index,
                                  int64_t q, struct df_shape shape);
/* /row_hash: which rows of the pool these are the scores of, as far as it is known. */
dfal_status df_scores_hashes(struct df_scores_writer *writer, const struct df_row_hashes *rows);
dfal_status df_scores_finish(struct df_scores_writer *writer); /* complete = 1, publish; frees the writer */
void df_scores_abandon(struct df_scores_writer *writer);

#endif
