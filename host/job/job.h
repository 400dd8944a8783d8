/* SPDX-License-Identifier: Apache-2.0 */
/* A resumable, shardable job over the rows of a pool. Whoever has a value, or some, for each row gives the
 * columns of its file (struct df_rows_kind) and a function that takes rows from a stream and puts values into
 * a sink; parts, resuming, ranks, ids, hashes of rows, memory and the published file are the job's. */
#ifndef DF_JOB_JOB_H
#define DF_JOB_JOB_H

#include "backend/backend.h"
#include "base/claim.h"
#include "base/log.h"
#include "comm/comm.h"
#include "job/sink.h"

/* Rows of a pool: a range, and of it shard `shard` of `shard_count` (0: all). */
struct df_job_range {
    int64_t begin, end; /* end -1: to the pool's last row */
    int64_t shard, shard_count;
};
/* The rows [*begin, *end) that are meant, of a pool of count rows. Shard k of n is a contiguous part, cut at
 * multiples of DF_SHARD_ROWS when there are at least n of those, else at equal shares.
 * Errors   E_USAGE a range outside the pool or empty, no such shard, more shards than rows */
dfal_status df_job_rows(int64_t *begin, int64_t *end, const struct df_job_range *range, int64_t count);

/* What differs from one kind of job to another. */
struct df_job_client {
    const char *resume_event, *progress_event; /* "score.resume", "score.progress" */
    /* Take rows from the stream until it is dry; each is stored in the sink once, by one thread at a time. */
    dfal_status (*run)(void *user, struct df_row_stream *stream, struct df_shard_sink *sink,
                       struct df_progress *progress);
    /* Rows that are in the file now, in any order, in the output's thread; NULL: nobody asks. */
    void (*placed)(void *user, const struct df_rows *rows);
    /* Every row is in the file: what else it holds; NULL: nothing. Only on the rank that writes it. */
    dfal_status (*complete)(void *user, struct df_rows_writer *writer);
};
/* What makes the values, as far as the head of a file tells it. */
struct df_job_maker {
    const struct df_network *network;
    struct df_device *device;
    const char *network_path, *engine, *precision, *units; /* units "": no value is a length */
    const char *configuration;                             /* canonical JSON */
    double
        operations; /* multiply-adds of a row, about: parts are so small that a kill costs a minute or so */
    bool dealt;     /* shards are dealt to the ranks, which have to know their rows before they read them */
};
struct df_job {
    struct dfal_context *context;
    struct df_pool *pool;
    const struct df_rows_kind *kind;
    const struct df_job_client *client;
    void *user;
    const char *out_path;
    struct df_rows_head head;
    struct df_comm *comm; /* the context's */
    struct df_shards_cut cut;
    struct df_shards shards;
    bool dealt;
    struct df_output *output;
    double running, writing; /* df_clock before the first row, and behind the last */
    double cpu_seconds;      /* df_cpu_clock between them */
};
/* Name what the job writes and reads, and take its output on the rank that writes it. Collective. */
dfal_status df_job_claim(struct dfal_context *context, struct df_claim *claim, const char *out_path,
                         const char *network, const char *pool_path, const struct dfal_pool_options *options);
/* The job has ended with this status: where that is an error, tell the other ranks, which wait for this one.
 * Returns status. */
dfal_status df_job_ended(struct dfal_context *context, dfal_status status);
/* Begin the output: its ids take as long as a device takes to be opened. All is borrowed until close, also
 * after an error.
 * Collective    open, find and run. Shards are claimed by the ranks; rank 0 writes the file and alone hears
 *               `placed` and `complete`. */
dfal_status df_job_open(struct df_job *job, struct dfal_context *context, struct df_pool *pool,
                        const struct df_rows_kind *kind, const struct df_job_client *client, void *user,
                        const char *out_path, const struct df_job_range *range);
/* Fill the head, and find what is finished. Errors   E_CONFIG finished parts of another identity, or a rank
 * that would make others; E_UNAVAILABLE ranks with different GPUs; E_EXISTS; E_IO */
dfal_status df_job_find(struct df_job *job, const struct df_job_maker *maker);
/* Compute what is missing, write and publish the file. After an error finished parts are kept for the next
 * try (context->kept_work); a device that gave up is a pause then. Errors   E_STOPPED; those of client,
 * stream and files */
dfal_status df_job_run(struct df_job *job);
void df_job_close(struct df_job *job);

#endif
