/* SPDX-License-Identifier: Apache-2.0 */
/* Files with a value, or some, for each of many rows of a pool: scores, logits, and the finished parts of
 * both. What kind of file it is, and with it its columns, is data: a new kind is a struct df_rows_kind. */
#ifndef DF_STORE_ROW_FILE_H
#define DF_STORE_ROW_FILE_H

#include "base/identity.h"
#include "store/network_file.h"
#include "store/row_hash.h"
#include "store/table.h"

struct df_rows;
struct df_rows_head;
struct df_rows_writer;

/* One dataset [count, dims...] beside /index, which every kind has. */
struct df_row_column {
    const char *name;
    enum df_column_type type; /* a text's column is char *[count], of fresh strings; NULL is written as "" */
    int32_t rank;             /* of one row's values; 0: one value, as a text has */
    int64_t dims[3];
    double fill;
};
enum { DF_ROWS_COLUMNS = 8 };
struct df_rows_kind {
    const char *format; /* root attribute: "dfal-scores" */
    const char *name;   /* "scores file" */
    int32_t column_count;
    struct df_row_column columns[DF_ROWS_COLUMNS];
    /* What a file of this kind says beside its head; NULL: nothing. */
    dfal_status (*describe)(struct df_rows_writer *writer, const struct df_rows_head *head);
    /* Whether values that were read can be; NULL: all can. Errors   E_DATA naming path and row */
    dfal_status (*check)(const char *path, int64_t begin, const struct df_rows *rows);
};
/* Values a row in a column, and bytes a row in memory. */
int64_t df_row_column_size(const struct df_row_column *column);
int64_t df_rows_bytes(const struct df_rows_kind *kind);

/* Rows in memory. What lies in column i is as kind->columns[i] says: [count, dims...]. The fields are a list
 * because kinds that are part of dfal have names for their columns (struct df_scores). */
#define DF_ROWS_FIELDS                                                                                       \
    const struct df_rows_kind *kind; /* borrowed */                                                          \
    int64_t count;                                                                                           \
    int64_t *index;              /* [count] rows of the pool */                                              \
    char **id;                   /* [count]; NULL: not read */                                               \
    struct df_row_hashes hashes; /* as read from a file: the pool's rows they are of */
struct df_rows {
    DF_ROWS_FIELDS
    void *column[DF_ROWS_COLUMNS]; /* NULL: not read */
};
dfal_status df_rows_alloc(struct df_rows *rows, const struct df_rows_kind *kind, int64_t count);
/* Some of the columns: bit i of the set for column i. */
enum { DF_ROWS_ALL = (1 << DF_ROWS_COLUMNS) - 1 };
dfal_status df_rows_alloc_columns(struct df_rows *rows, const struct df_rows_kind *kind, int64_t count,
                                  unsigned columns);
void df_rows_clear(struct df_rows *rows);
/* Free the texts alone: other rows are to come. */
void df_rows_clear_texts(struct df_rows *rows);

/* What a file of rows was made from and with. */
struct df_rows_head {
    char network_sha256[DF_DIGEST_TEXT], pool_fingerprint[DF_DIGEST_TEXT];
    char version[16], backend[32], engine[16], isa[128], precision[16], library[96], device[96];
    char units[16];      /* of lengths among the values, "network" or "raw"; "": there are none */
    char *configuration; /* canonical JSON of what shapes the result: preset, norm, ... range is not in it */
    char *command_line;
    char *network_path, *pool_path; /* as given, not compared: where verify looks when told nothing */
    uint64_t seed;
    int64_t pool_count, range_begin, range_end;
    int32_t shard, shard_count;
    /* of a part: rows that the parts of its job are cut at multiples of; 0: it is none, or an older one */
    int64_t shard_rows;
    char mixed[160]; /* "isa: avx2, avx512": rows of several arithmetics, by --allow-mixed; "" else */
};
void df_rows_head_clear(struct df_rows_head *head);
/* The keys that two heads are compared by; path: what a message calls the file. */
dfal_status df_rows_head_identity(struct df_identity *identity, const struct df_rows_head *head,
                                  const char *path);
/* Whether rows made as theirs says may stand beside ours; hint: as for df_identity_check.
 * Errors   E_CONFIG naming the first difference; allow_mixed passes over the arithmetic, else theirs must not
 *          be mixed */
dfal_status df_rows_head_compare(const struct df_rows_head *ours, const struct df_rows_head *theirs,
                                 bool allow_mixed, const char *path, const char *hint);
/* Note in ours that rows made as theirs says stand among its own. */
void df_rows_head_mix(struct df_rows_head *ours, const struct df_rows_head *theirs);

/* ---- Reading: what it takes does not grow with the file ------------------------------------------------ */

struct df_rows_reader;
/* kind NULL: a file of any kind, of which only the head and the number of rows are read.
 * Errors   E_DATA foreign, truncated or not complete; of rows only when they are taken */
dfal_status df_rows_open(struct df_rows_reader **out, struct df_rows_head *head, const char *path,
                         const struct df_rows_kind *kind);
int64_t df_rows_count(const struct df_rows_reader *reader);
bool df_rows_have_ids(const struct df_rows_reader *reader);
/* Root attribute "format" of the file. */
const char *df_rows_format(const struct df_rows_reader *reader);
/* A dataset [count, dims...] of reals as a column of f32. Its name is borrowed.
 * Errors   E_DATA missing; E_SHAPE of another form */
dfal_status df_rows_find_column(struct df_rows_reader *reader, const char *name,
                                struct df_row_column *column);
/* An integer that the file says of itself beside its head (df_rows_put_int); absent where it does not. */
dfal_status df_rows_get_int(struct df_rows_reader *reader, const char *name, int64_t *value, int64_t absent);
/* Rows [begin, begin + count), fresh (df_rows_clear); some of their columns: those that the kind checks are
 * among them. */
dfal_status df_rows_take(struct df_rows_reader *reader, int64_t begin, int64_t count, bool with_ids,
                         struct df_rows *rows);
dfal_status df_rows_take_columns(struct df_rows_reader *reader, int64_t begin, int64_t count,
                                 unsigned columns, bool with_ids, struct df_rows *rows);
/* Their rows of the pool, and one column of them, into memory that has room for it. */
dfal_status df_rows_read_index(struct df_rows_reader *reader, int64_t begin, int64_t count, int64_t *index);
dfal_status df_rows_read_column(struct df_rows_reader *reader, int32_t column, int64_t begin, int64_t count,
                                void *values);
/* What the file knows of the pool's rows [begin, end), which are its own (df_row_hashes_close). */
dfal_status df_rows_take_hashes(struct df_rows_reader *reader, int64_t begin, int64_t end,
                                struct df_row_hashes *hashes);
/* All rows in blocks of at most DF_SHARD_ROWS; the first visit that fails ends it. */
typedef dfal_status df_rows_block_fn(void *user, int64_t begin, const struct df_rows *block);
dfal_status df_rows_each(struct df_rows_reader *reader, bool with_ids, df_rows_block_fn *visit, void *user);
void df_rows_close(struct df_rows_reader *reader); /* NULL is fine */

/* ---- Writing: rows in any order, each once; one thread at a time --------------------------------------- */

/* head may be NULL: df_rows_describe tells it before the end. */
dfal_status df_rows_create(struct df_rows_writer **out, const char *path, const struct df_rows_kind *kind,
                           const struct df_rows_head *head, int64_t count, bool has_ids, bool force);
dfal_status df_rows_describe(struct df_rows_writer *writer, const struct df_rows_head *head);
/* Columns of rows [at, at + rows->count), without their ids. */
dfal_status df_rows_put(struct df_rows_writer *writer, int64_t at, const struct df_rows *rows);
/* Ids of the file's next rows, which are pool rows [row, row + count). */
dfal_status df_rows_put_ids(struct df_rows_writer *writer, struct df_pool *pool, int64_t row, int64_t count);
/* The next rows, columns and ids. */
dfal_status df_rows_append(struct df_rows_writer *writer, const struct df_rows *rows);
/* Read a column back, of rows that were put. */
dfal_status df_rows_reread(struct df_rows_writer *writer, int32_t column, int64_t at, int64_t count,
                           void *values);
/* Attributes of the file, and of a column. */
dfal_status df_rows_put_int(struct df_rows_writer *writer, const char *name, int64_t value);
dfal_status df_rows_put_real(struct df_rows_writer *writer, const char *name, double value);
dfal_status df_rows_put_text(struct df_rows_writer *writer, int32_t column, const char *name,
                             const char *text);
dfal_status df_rows_put_texts(struct df_rows_writer *writer, int32_t column, const char *name,
                              const char *const *texts, int64_t count);
/* A string dataset, and a whole dataset beside the columns. */
dfal_status df_rows_put_document(struct df_rows_writer *writer, const char *name, const char *text);
dfal_status df_rows_put_data(struct df_rows_writer *writer, const struct df_column *data);
/* /row_hash: which rows of the pool these are of, as far as it is known. */
dfal_status df_rows_put_hashes(struct df_rows_writer *writer, const struct df_row_hashes *hashes);
dfal_status df_rows_finish(struct df_rows_writer *writer); /* complete = 1, publish; frees the writer */
void df_rows_abandon(struct df_rows_writer *writer);

/* Finished parts of one folder, at most DF_PART_FILES: together they cost less, for the disk takes them at
 * once. hashes [count]: of the rows of each; NULL: not known. */
enum { DF_PART_FILES = 32 };
dfal_status df_rows_write_parts(const char *const *paths, const struct df_rows_head *head,
                                const struct df_rows *const *rows, const struct df_row_hashes *hashes,
                                int32_t count);

#endif
