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
    for (int64_t i = 0; i < closest->spec.count; i++)
        if (is_finished(shards, closest->spec.begin + i))
            rows[n++] = closest->spec.begin + i;
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
    for (int64_t i = 0; i < closest->spec.count; i++) {
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

dfal_status df_closest_run(struct df_closest *closest, struct df_deepfool_engine *engine,
                           struct df_row_stream *stream, struct df_shard_sink *shards,
                           struct df_progress *progress)
{
    DF_TRY(df_closest_look(closest, stream));
    DF_TRY(look_at_finished(closest, shards->shards));
    DF_TRY(df_closest_score(closest, engine));
    return store_all(closest, shards, progress);
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
