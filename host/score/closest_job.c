/* SPDX-License-Identifier: Apache-2.0 */
#include "score/closest_job.h"

#include "base/memory.h"

static bool is_finished(const struct df_shards *shards, int64_t row)
{
    return shards->finished[row / shards->cut.shard_rows - shards->first];
}

/* The rows of shards that are finished are not in the job's stream. */
static dfal_status look_at_finished(struct df_closest *closest, const struct df_shards *shards)
{
    struct df_row_stream *stream = NULL;
    struct df_list_source source;
    int64_t *rows, n = 0;
    dfal_status status;
    if (shards->finished_rows == 0)
        return DFAL_OK;
    DF_TRY(df_alloc(&rows, shards->finished_rows, sizeof *rows));
    for (int64_t i = 0; i < closest->count; i++)
        if (is_finished(shards, df_closest_row(closest, i)))
            rows[n++] = df_closest_row(closest, i);
    df_list_source_init(&source, rows, n);
    DF_TRY_TO(done, status, df_stream_open(&stream, closest->spec.pool, &source.source));
    status = df_closest_look(closest, stream);
done:
    df_stream_close(stream);
    df_free(rows);
    return status;
}

static dfal_status store_all(const struct df_closest *closest, struct df_shard_sink *shards,
                             struct df_progress *progress)
{
    for (int64_t i = 0; i < closest->count; i++) {
        const struct df_margin margin = df_closest_margin(closest, i);
        struct df_rows *rows;
        int64_t at;
        if (is_finished(shards->shards, margin.index))
            continue;
        DF_TRY(df_context_check_stop(closest->spec.context));
        DF_TRY(df_shard_sink_row(shards, margin.index, &rows, &at));
        const struct df_scores scores = df_scores_of(rows);
        df_margin_store(&scores, at, &margin);
        df_shard_sink_stored(shards);
        df_progress_add(progress, 1, NULL);
    }
    return DFAL_OK;
}

/* One process has all rows, and needs no list of them. */
static dfal_status take_rows(struct df_closest *closest, const struct df_shards *shards, int64_t **list)
{
    const struct df_comm *comm = closest->spec.comm;
    int64_t n = 0;
    if (comm->size == 1) {
        df_closest_take(closest, NULL, shards->cut.begin, shards->cut.end - shards->cut.begin);
        return DFAL_OK;
    }
    DF_TRY(df_alloc(list, closest->spec.room, sizeof **list));
    for (int64_t i = 0; i < shards->count; i++) {
        int64_t begin, end;
        df_shards_rows(shards, i, &begin, &end);
        for (int64_t row = begin; row < end && df_shards_is_dealt(comm, i); row++)
            (*list)[n++] = row;
    }
    df_closest_take(closest, *list, 0, n);
    return DFAL_OK;
}

int64_t df_closest_room(const struct df_comm *comm, int64_t rows)
{
    const int64_t room = rows / comm->size + 2 * DF_SHARD_ROWS;
    return comm->size == 1 || room > rows ? rows : room;
}

dfal_status df_closest_run(struct df_closest *closest, struct df_deepfool_engine *engine,
                           struct df_row_stream *stream, struct df_shard_sink *shards,
                           struct df_progress *progress)
{
    int64_t *list = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, take_rows(closest, shards->shards, &list));
    DF_TRY_TO(done, status, df_closest_look(closest, stream));
    DF_TRY_TO(done, status, look_at_finished(closest, shards->shards));
    DF_TRY_TO(done, status, df_closest_score(closest, engine));
    status = store_all(closest, shards, progress);
done:
    df_free(list);
    return status;
}

dfal_status df_closest_record(const struct df_closest *closest, struct df_rows_writer *writer)
{
    const struct df_closest_told *told = &closest->told;
    DF_TRY(df_rows_put_real(writer, "closest_margin", told->radius));
    DF_TRY(df_rows_put_int(writer, "deepfool_rows", told->run));
    if (!closest->spec.cascade)
        return DFAL_OK;
    DF_TRY(df_rows_put_int(writer, "audited", told->audited));
    DF_TRY(df_rows_put_int(writer, "audit_found", told->found));
    return df_rows_put_real(writer, "recall", told->recall);
}
