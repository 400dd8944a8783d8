/* SPDX-License-Identifier: Apache-2.0 */
#include "job/job.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/memory.h"
#include "graph/network.h"

/* ---- Which rows ------------------------------------------------------------------------------- */

dfal_status df_job_rows(int64_t *begin, int64_t *end, const struct df_job_range *range, int64_t count)
{
    *begin = range->begin;
    *end = range->end == -1 ? count : range->end;
    if (*begin < 0 || *end > count || *begin >= *end)
        DF_FAIL(DFAL_E_USAGE,
                "the range %" PRId64 ":%" PRId64 " is not within the pool's rows 0:%" PRId64 " or empty",
                *begin, *end, count);
    if (range->shard_count == 0)
        return DFAL_OK;
    const int64_t parts = range->shard_count, part = range->shard, rows = *end - *begin;
    if (parts < 0 || part < 0 || part >= parts)
        DF_FAIL(DFAL_E_USAGE, "shard %" PRId64 " of %" PRId64 " does not exist", part + 1, parts);
    if (parts > rows)
        DF_FAIL(DFAL_E_USAGE, "%" PRId64 " rows cannot be cut into %" PRId64 " shards", rows, parts);
    const int64_t first = *begin / DF_SHARD_ROWS, chunks = (*end + DF_SHARD_ROWS - 1) / DF_SHARD_ROWS - first;
    int64_t cut[2];
    for (int i = 0; i < 2; i++) {
        if (chunks >= parts) {
            cut[i] = (first + chunks * (part + i) / parts) * DF_SHARD_ROWS;
            cut[i] = cut[i] < *begin ? *begin : cut[i] > *end ? *end : cut[i];
        } else {
            cut[i] = *begin + rows / parts * (part + i) + (rows % parts) * (part + i) / parts;
        }
    }
    *begin = cut[0];
    *end = cut[1];
    return DFAL_OK;
}

/* ---- Beginning -------------------------------------------------------------------------------- */

dfal_status df_job_claim(struct dfal_context *context, struct df_claim *claim, const char *out_path,
                         const char *network, const char *pool_path, const struct dfal_pool_options *options)
{
    struct df_comm *comm;
    DF_TRY(df_context_comm(context, &comm));
    DF_TRY(df_claim_files(claim, out_path, network, pool_path, options));
    return comm->rank == 0 ? df_claim_take(claim, out_path, context->options.force) : DFAL_OK;
}

/* Nothing was begun: this rank ends as the one that could not go on, if one is why it stops. */
static dfal_status cause_of(struct dfal_context *context)
{
    char text[DF_STOP_TEXT];
    const dfal_status cause = df_context_stop_cause(context, text);
    if (cause == DFAL_OK)
        return DFAL_E_STOPPED;
    DF_FAIL(cause, "%s", text);
}

dfal_status df_job_ended(struct dfal_context *context, dfal_status status)
{
    char sentence[DF_MESSAGE_SIZE];
    if (status == DFAL_OK || context->comm == NULL)
        return status;
    df_message_get(sentence);
    context->comm->give_up(context->comm, status, sentence);
    df_message_set(sentence);
    return status == DFAL_E_STOPPED && !context->kept_work ? cause_of(context) : status;
}

dfal_status df_job_open(struct df_job *job, struct dfal_context *context, struct df_pool *pool,
                        const struct df_rows_kind *kind, const struct df_job_client *client, void *user,
                        const char *out_path, const struct df_job_range *range)
{
    *job = (struct df_job){
        .context = context, .pool = pool, .kind = kind, .client = client, .user = user, .out_path = out_path};
    DF_TRY(df_job_rows(&job->cut.begin, &job->cut.end, range, pool->count));
    job->head.range_begin = job->cut.begin;
    job->head.range_end = job->cut.end;
    job->head.shard = (int32_t)range->shard;
    job->head.shard_count = (int32_t)range->shard_count;
    DF_TRY(df_context_comm(context, &job->comm));
    return df_output_open(&job->output, &(struct df_output_spec){
                                            .context = context,
                                            .pool = pool,
                                            .kind = kind,
                                            .path = job->comm->rank == 0 ? out_path : NULL,
                                            .begin = job->cut.begin,
                                            .end = job->cut.end,
                                            .placed = client->placed,
                                            .user = user,
                                        });
}

#define COPY_TEXT(field, from) snprintf(field, sizeof(field), "%s", from)

static dfal_status fill_head(struct df_job *job, const struct df_job_maker *maker)
{
    struct df_rows_head *head = &job->head;
    const struct df_device_info *info = &maker->device->info;
    const char *line = job->context->options.command_line;
    char devices[DF_GROUP_TEXT];
    df_network_digest(head->network_sha256, maker->network);
    COPY_TEXT(head->pool_fingerprint, job->pool->fingerprint);
    COPY_TEXT(head->version, DFAL_VERSION);
    COPY_TEXT(head->backend, info->backend);
    COPY_TEXT(head->engine, maker->engine);
    df_device_isa(head->isa, maker->device);
    COPY_TEXT(head->precision, maker->precision);
    COPY_TEXT(head->library, info->library);
    df_group_text(devices, maker->device);
    COPY_TEXT(head->device, devices);
    if (df_group_is_mixed(maker->device))
        (void)snprintf(head->mixed, sizeof head->mixed, "isa: %s", head->isa);
    COPY_TEXT(head->units, maker->units);
    head->seed = job->context->options.seed;
    head->pool_count = job->pool->count;
    DF_TRY(df_strdup(&head->configuration, maker->configuration));
    DF_TRY(df_strdup(&head->command_line, line ? line : ""));
    DF_TRY(df_strdup(&head->network_path, maker->network_path));
    return df_strdup(&head->pool_path, job->pool->path);
}

/* A minute of two slow cores, or ten seconds of a slow GPU; with several ranks as many shards as let them end
 * at about the same time, but none that is all overhead. */
static int64_t most_rows(const struct df_job *job, const struct df_job_maker *maker)
{
    enum { SHARDS_EACH = 8, LEAST = 256 };
    const double operations = maker->device->wide ? 3e14 : 3e12, rows = operations / (maker->operations + 1);
    int64_t most = rows > DF_SHARD_ROWS ? DF_SHARD_ROWS : rows < 1 ? 1 : (int64_t)rows;
    if (job->comm->size > 1) {
        const int64_t share = (job->cut.end - job->cut.begin) / (SHARDS_EACH * (int64_t)job->comm->size);
        most = share < LEAST && most > LEAST ? LEAST : share < most ? share : most;
    }
    return most < 1 ? 1 : most;
}

/* Do all ranks make the same? The shards of a job may be of several kinds of GPU only where that is asked
 * for. */
static dfal_status agree(const struct df_job *job, const struct df_job_maker *maker)
{
    const struct df_rows_head *head = &job->head;
    const bool allow_mixed = job->context->options.allow_mixed;
    struct df_identity identity = {0};
    struct df_identity device = {0};
    dfal_status status;
    DF_TRY_TO(done, status, df_rows_head_identity(&identity, head, job->out_path));
    df_identity_add(&identity, "allow_mixed", "%s", allow_mixed ? "true" : "false");
    df_identity_add(&identity, "rows", "%" PRId64 ":%" PRId64, head->range_begin, head->range_end);
    DF_TRY_TO(done, status, df_comm_same(job->comm, &identity, allow_mixed));
    if (!allow_mixed) {
        df_identity_add(&device, "device", "%s", maker->device->own_memory ? head->device : "host");
        status = df_comm_same(job->comm, &device, false);
    }
    if (status == DFAL_E_CONFIG && device.count > 0) {
        char sentence[DF_MESSAGE_SIZE];
        df_message_get(sentence);
        status = df_fail(DFAL_E_UNAVAILABLE, "%.900s (`allow_mixed` takes it all the same)", sentence);
    }
done:
    df_identity_clear(&identity);
    df_identity_clear(&device);
    return status;
}

dfal_status df_job_find(struct df_job *job, const struct df_job_maker *maker)
{
    const struct dfal_context_options *options = &job->context->options;
    DF_TRY(fill_head(job, maker));
    DF_TRY(agree(job, maker));
    job->dealt = maker->dealt;
    job->cut.shard_rows = df_shard_rows(job->kind, df_shard_bytes(job->context), most_rows(job, maker));
    if (job->comm->rank == 0)
        DF_TRY(df_shards_open(&job->shards, job->out_path, job->kind, job->cut, &job->head,
                              options->allow_mixed, options->force));
    DF_TRY(df_shards_share(&job->shards, job->comm, job->out_path, job->kind, job->cut, &job->head));
    job->cut = job->shards.cut;
    job->context->kept_work = job->shards.finished_rows > 0;
    return DFAL_OK;
}

/* ---- Running ---------------------------------------------------------------------------------- */

static dfal_status compute_missing(struct df_job *job)
{
    struct df_shards *shards = &job->shards;
    const struct df_job_client *client = job->client;
    const int64_t rows = job->cut.end - job->cut.begin;
    struct df_missing_source source;
    struct df_shard_sink sink;
    struct df_row_stream *stream = NULL;
    struct df_progress progress;
    if (shards->finished_rows > 0)
        df_say(job->context, DFAL_INFO, client->resume_event,
               DF_FIELDS(DF_INT("rows", shards->finished_rows)),
               "%" PRId64 " of %" PRId64 " rows are finished, the rest is continued", shards->finished_rows,
               rows);
    df_missing_source_init(&source, shards, job->comm, job->dealt, &progress);
    df_shard_sink_init(&sink, shards, job->output);
    df_progress_begin(&progress, job->context, client->progress_event, "samples", rows,
                      shards->finished_rows);
    dfal_status status;
    const double cpu_begin = df_cpu_clock();
    job->running = df_clock();
    DF_TRY_TO(done, status, df_output_begin(job->output, shards));
    DF_TRY_TO(done, status, df_stream_open(&stream, job->pool, &source.source));
    status = client->run(job->user, stream, &sink, &progress);
done:
    df_stream_close(stream);
    df_progress_end(&progress);
    df_shard_sink_clear(&sink);
    job->writing = df_clock();
    job->cpu_seconds = df_cpu_clock() - cpu_begin;
    return status;
}

/* What is left to do when every row is computed. */
static dfal_status write_final(struct df_job *job)
{
    struct df_comm *comm = job->comm;
    DF_TRY(df_output_end(job->output));
    if (comm->rank > 0)
        DF_TRY(df_output_keep(job->output)); /* for the rank that writes the file */
    DF_TRY(comm->barrier(comm));
    if (comm->rank == 0) {
        DF_TRY(df_output_complete(job->output));
        if (job->client->complete)
            DF_TRY(job->client->complete(job->user, df_output_writer(job->output)));
        df_parts_publish(&job->shards.parts);
        DF_TRY(df_output_finish(job->output));
    }
    /* No rank has done before the file has its name; once it has, no other rank can take that back. */
    const dfal_status status = comm->barrier(comm);
    return comm->rank == 0 ? DFAL_OK : status;
}

/* The job has failed: keep the shards that are finished. A device that gave up, or a request to stop, is then
 * no failure but a pause. With several ranks it always is one: nobody waits to see whether any has kept
 * something. */
static dfal_status keep_work(struct df_job *job, dfal_status status)
{
    char sentence[DF_MESSAGE_SIZE];
    df_message_get(sentence);
    df_output_abandon(job->output); /* first: a full disk has room again */
    const dfal_status kept = df_output_keep(job->output);
    job->context->kept_work = job->shards.finished_rows > 0 || job->comm->size > 1;
    if (status == DFAL_E_STOPPED && kept != DFAL_OK)
        status = kept;
    else
        df_message_set(sentence);
    if (status == DFAL_E_UNAVAILABLE && job->context->kept_work)
        status = df_fail(DFAL_E_STOPPED, "%.800s: the finished shards are kept", sentence);
    if (job->comm->size > 1) /* another rank may be writing a shard at this moment */
        job->shards.parts.shared = true;
    df_shards_remove(&job->shards, false);
    return status;
}

dfal_status df_job_run(struct df_job *job)
{
    dfal_status status = compute_missing(job);
    if (status == DFAL_OK)
        status = write_final(job);
    if (status != DFAL_OK)
        return keep_work(job, status);
    df_shards_remove(&job->shards, true);
    job->context->kept_work = false;
    return DFAL_OK;
}

void df_job_close(struct df_job *job)
{
    df_output_close(job->output);
    df_shards_close(&job->shards);
    df_rows_head_clear(&job->head);
    *job = (struct df_job){0};
}
