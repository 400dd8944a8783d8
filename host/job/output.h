/* SPDX-License-Identifier: Apache-2.0 */
/* Writing beside computing: one thread a job takes complete shards, puts them into the output's temporary
 * file and shows them to whoever sums them up, and about once a second writes those that are new as files to
 * resume from. Ids do not depend on values: they are written whenever there is nothing else to do, from the
 * moment on when the pool is open. */
#ifndef DF_JOB_OUTPUT_H
#define DF_JOB_OUTPUT_H

#include "job/shards.h"

struct df_output;
struct df_output_spec {
    struct dfal_context *context;
    struct df_pool *pool;
    const struct df_rows_kind *kind;
    const char *path;   /* NULL: another rank writes the file, this one only its shards */
    int64_t begin, end; /* rows of the job */
    /* Called by the thread with the rows of each shard that has come into the file, in any order; NULL:
     * nobody asks. */
    void (*placed)(void *user, const struct df_rows *rows);
    void *user;
};

/* Results of a shard. */
struct df_shard_rows {
    int64_t shard, filled;
    struct df_rows rows;
    struct df_shard_rows *next;
};

/* Memory that results of so many rows take at most, bytes. */
int64_t df_output_bytes(const struct dfal_context *context, const struct df_rows_kind *kind, int64_t rows);

/* Begin the file, and its ids. */
dfal_status df_output_open(struct df_output **out, const struct df_output_spec *spec);
/* Computing begins: shards that are finished are read, new ones are files of this folder. Borrowed until
 * close. */
dfal_status df_output_begin(struct df_output *output, struct df_shards *shards);
/* Room for a shard's results. Waits while too many shards are in memory.
 * Errors   that of the thread, once it has failed; E_MEMORY */
dfal_status df_output_take(struct df_output *output, struct df_shard_rows **rows);
/* Hand over a complete shard; of an incomplete one the memory goes. */
void df_output_give(struct df_output *output, struct df_shard_rows *rows);
void df_output_drop(struct df_output *output, struct df_shard_rows *rows);
/* What stopped the thread, DFAL_OK: nothing. Cheap. */
dfal_status df_output_error(struct df_output *output);
/* No more shards will come: wait until those that came are in the file.
 * Errors   that of the thread; E_STOPPED */
dfal_status df_output_end(struct df_output *output);
/* After df_output_end, or after an error (which ends the thread at once): write every shard in memory as a
 * file. */
dfal_status df_output_keep(struct df_output *output);
/* After df_output_end, once all shards are in the file or the folder: take those of other ranks. */
dfal_status df_output_complete(struct df_output *output);
struct df_rows_writer *df_output_writer(struct df_output *output);
/* Publish the file. */
dfal_status df_output_finish(struct df_output *output);
/* End the thread and remove the unpublished file. */
void df_output_abandon(struct df_output *output);
void df_output_close(struct df_output *output);

#endif
