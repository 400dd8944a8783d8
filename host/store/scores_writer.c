/* SPDX-License-Identifier: Apache-2.0 */
/* Writing scores files and shards: columns in chunks, `complete` last. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "store/pool_file.h"
#include "store/row_hash_file.h"
#include "store/scores.h"
#include "store/scores_file.h"

enum { CHUNK_ROWS = 65536 };

struct df_scores_writer {
    struct df_h5 h5;
    struct df_h5_data column[DF_SCORES_COLUMN_COUNT], id;
    int64_t count, written, named; /* rows: of the file, with their columns, with an id */
};

static dfal_status write_head(struct df_h5 *h5, const struct df_scores_head *head)
{
    const struct {
        const char *name, *text;
    } texts[] = {
        {"network_sha256", head->network_sha256},
        {"pool_fingerprint", head->pool_fingerprint},
        {"dfal_version", head->version},
        {"backend", head->backend},
        {"engine", head->engine},
        {"isa", head->isa},
        {"precision", head->precision},
        {"library", head->library},
        {"device", head->device},
        {"units", head->units_raw ? "raw" : "network"},
        {"configuration", head->configuration},
        {"command_line", head->command_line},
        {"network", head->network_path},
        {"pool", head->pool_path},
        {"mixed", head->mixed[0] ? head->mixed : NULL},
    };
    const struct {
        const char *name;
        int64_t value;
    } integers[] = {
        {"pool_count", head->pool_count},   {"range_begin", head->range_begin},
        {"range_end", head->range_end},     {"shard", head->shard},
        {"shard_count", head->shard_count}, {"adversarial", head->adversarial},
    };
    DF_TRY(df_h5_stamp(h5, "dfal-scores"));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text)
            DF_TRY(df_h5_put_text(h5, h5->file, texts[i].name, texts[i].text));
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        DF_TRY(df_h5_put_ints(h5, h5->file, integers[i].name, &integers[i].value, 1, true));
    return df_h5_put_seed(h5, head->seed);
}

static dfal_status describe(struct df_scores_writer *writer, const struct df_scores_head *head)
{
    static const char *const names[DFAL_SCORE_STATUS_COUNT] = {
#define X(name, value, group) [value] = #name,
        DFAL_SCORE_STATUS_LIST(X)
#undef X
    };
    struct df_h5 *h5 = &writer->h5;
    DF_TRY(write_head(h5, head));
    DF_TRY(df_h5_put_text(h5, writer->column[DF_SCORES_margin].id, "meaning", "DeepFool distance"));
    DF_TRY(df_h5_put_text(h5, writer->column[DF_SCORES_margin].id, "units",
                          head->units_raw ? "raw pixel units" : "network input units"));
    return df_h5_put_texts(h5, writer->column[DF_SCORES_status].id, "names", names, DFAL_SCORE_STATUS_COUNT);
}

static dfal_status begin(struct df_scores_writer *writer, const char *path, const struct df_scores_head *head,
                         bool has_ids, bool force)
{
    struct df_h5 *h5 = &writer->h5;
    int64_t chunk = writer->count < 1 ? 1 : writer->count < CHUNK_ROWS ? writer->count : CHUNK_ROWS;
    DF_TRY(df_h5_create(h5, path, force));
#define X(field, type, file, memory, fill)                                                                   \
    DF_TRY(df_h5_data_create(h5, #field, file, 1, &writer->count, chunk, &(const type){fill},                \
                             &writer->column[DF_SCORES_##field]));
    DF_SCORES_COLUMN_LIST(X)
#undef X
    if (head)
        DF_TRY(describe(writer, head));
    return has_ids ? df_h5_texts_create(h5, "id", writer->count, &writer->id) : DFAL_OK;
}

dfal_status df_scores_create(struct df_scores_writer **out, const char *path,
                             const struct df_scores_head *head, int64_t count, bool has_ids, bool force)
{
    struct df_scores_writer *writer;
    *out = NULL;
    DF_TRY(df_alloc(&writer, 1, sizeof *writer));
    writer->h5 = DF_H5_NONE;
    writer->id = DF_H5_NO_DATA;
    for (int i = 0; i < DF_SCORES_COLUMN_COUNT; i++)
        writer->column[i] = DF_H5_NO_DATA;
    writer->count = count;
    df_h5_lock();
    dfal_status status = begin(writer, path, head, has_ids, force);
    df_h5_unlock();
    if (status == DFAL_OK)
        *out = writer;
    else
        df_scores_abandon(writer);
    return status;
}

dfal_status df_scores_describe(struct df_scores_writer *writer, const struct df_scores_head *head)
{
    df_h5_lock();
    dfal_status status = describe(writer, head);
    df_h5_unlock();
    return status;
}

static dfal_status check_rows(const struct df_scores_writer *writer, int64_t at, int64_t count, bool named)
{
    if (at < 0 || count < 0 || count > writer->count - at || (writer->id.id >= 0 && count && !named))
        DF_FAIL(DFAL_E_INTERNAL, "%s: rows %lld to %lld given to a scores file of %lld rows%s",
                writer->h5.path, (long long)at, (long long)(at + count), (long long)writer->count,
                writer->id.id >= 0 ? " with ids" : "");
    return DFAL_OK;
}

static dfal_status put(struct df_scores_writer *writer, int64_t at, const struct df_scores *scores)
{
#define X(field, type, file, memory, fill)                                                                   \
    DF_TRY(df_h5_data_write(&writer->h5, &writer->column[DF_SCORES_##field], memory, at, scores->count,      \
                            scores->field));
    DF_SCORES_COLUMN_LIST(X)
#undef X
    return DFAL_OK;
}

dfal_status df_scores_put(struct df_scores_writer *writer, int64_t at, const struct df_scores *scores)
{
    DF_TRY(check_rows(writer, at, scores->count, true));
    df_h5_lock();
    dfal_status status = put(writer, at, scores);
    df_h5_unlock();
    if (status == DFAL_OK)
        writer->written += scores->count;
    return status;
}

dfal_status df_scores_put_ids(struct df_scores_writer *writer, struct df_pool *pool, int64_t row,
                              int64_t count)
{
    DF_TRY(check_rows(writer, writer->named, count, true));
    DF_TRY(df_pool_put_ids(pool, &writer->h5, &writer->id, writer->named, row, count));
    writer->named += count;
    return DFAL_OK;
}

dfal_status df_scores_append(struct df_scores_writer *writer, const struct df_scores *scores)
{
    DF_TRY(check_rows(writer, writer->written, scores->count, scores->id != NULL));
    dfal_status status = DFAL_OK;
    df_h5_lock();
    if (writer->id.id >= 0)
        status = df_h5_texts_write(&writer->h5, &writer->id, writer->written, scores->count,
                                   (const char *const *)scores->id);
    df_h5_unlock();
    DF_TRY(status);
    writer->named += scores->count;
    return df_scores_put(writer, writer->written, scores);
}

dfal_status df_scores_reread(struct df_scores_writer *writer, int64_t at, int64_t count, float *margin,
                             uint8_t *status_of)
{
    df_h5_lock();
    dfal_status status =
        df_h5_data_read(&writer->h5, &writer->column[DF_SCORES_margin], H5T_NATIVE_FLOAT, at, count, margin);
    if (status == DFAL_OK)
        status = df_h5_data_read(&writer->h5, &writer->column[DF_SCORES_status], H5T_NATIVE_UINT8, at, count,
                                 status_of);
    df_h5_unlock();
    return status;
}

dfal_status df_scores_adversarial(struct df_scores_writer *writer, const float *samples, const int64_t *index,
                                  int64_t q, struct df_shape shape)
{
    int64_t dims[4] = {q, shape.c, shape.h, shape.w};
    df_h5_lock();
    dfal_status status = df_h5_data_put(&writer->h5, "adversarial/samples", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT,
                                        4, dims, samples);
    if (status == DFAL_OK)
        status =
            df_h5_data_put(&writer->h5, "adversarial/index", H5T_STD_I64LE, H5T_NATIVE_INT64, 1, dims, index);
    df_h5_unlock();
    return status;
}

dfal_status df_scores_hashes(struct df_scores_writer *writer, const struct df_row_hashes *rows)
{
    df_h5_lock();
    dfal_status status = df_row_hashes_write(&writer->h5, rows);
    df_h5_unlock();
    return status;
}

static dfal_status close_columns(struct df_scores_writer *writer)
{
    dfal_status status = DFAL_OK;
    for (int i = 0; i < DF_SCORES_COLUMN_COUNT; i++)
        DF_KEEP_FIRST(status, df_h5_data_close(&writer->h5, &writer->column[i]));
    DF_KEEP_FIRST(status, df_h5_data_close(&writer->h5, &writer->id));
    return status;
}

/* Every row is there: close the columns and say so. Under the lock. */
static dfal_status end_rows(struct df_scores_writer *writer)
{
    const int64_t complete = 1;
    dfal_status status = DFAL_OK;
    if (writer->written != writer->count)
        status = df_fail(DFAL_E_INTERNAL, "%s: %lld of %lld rows were given", writer->h5.path,
                         (long long)writer->written, (long long)writer->count);
    else if (writer->id.id >= 0 && writer->named != writer->count)
        status = df_fail(DFAL_E_INTERNAL, "%s: %lld of %lld ids were given", writer->h5.path,
                         (long long)writer->named, (long long)writer->count);
    DF_KEEP_FIRST(status, close_columns(writer));
    if (status == DFAL_OK)
        status = df_h5_put_ints(&writer->h5, writer->h5.file, "complete", &complete, 1, true);
    return status;
}

dfal_status df_scores_finish(struct df_scores_writer *writer)
{
    df_h5_lock();
    dfal_status status = end_rows(writer);
    if (status == DFAL_OK)
        status = df_h5_publish(&writer->h5);
    df_h5_unlock();
    df_scores_abandon(writer);
    return status;
}

void df_scores_abandon(struct df_scores_writer *writer)
{
    if (!writer)
        return;
    df_h5_lock();
    close_columns(writer);
    df_h5_close(&writer->h5);
    df_h5_unlock();
    df_free(writer);
}

/* A shard up to where only the disk is missing. */
static dfal_status write_sealed(struct df_scores_writer **out, const char *path,
                                const struct df_scores_head *head, const struct df_scores *scores,
                                const struct df_row_hashes *rows)
{
    DF_TRY(df_scores_create(out, path, head, scores->count, scores->id != NULL, true));
    DF_TRY(df_scores_append(*out, scores));
    if (rows)
        DF_TRY(df_scores_hashes(*out, rows));
    df_h5_lock();
    dfal_status status = end_rows(*out);
    if (status == DFAL_OK)
        status = df_h5_seal(&(*out)->h5);
    df_h5_unlock();
    return status;
}

dfal_status df_shard_write_all(const char *const *paths, const struct df_scores_head *head,
                               const struct df_scores *const *scores, const struct df_row_hashes *rows,
                               int32_t count)
{
    struct df_scores_writer *writers[DF_SHARD_FILES] = {NULL};
    const char *temporaries[DF_SHARD_FILES] = {NULL};
    dfal_status status = DFAL_OK;
    if (count > DF_SHARD_FILES)
        DF_FAIL(DFAL_E_INTERNAL, "%d shards to write at once, expected at most %d", count, DF_SHARD_FILES);
    for (int32_t i = 0; i < count && status == DFAL_OK; i++) {
        status = write_sealed(&writers[i], paths[i], head, scores[i], rows ? &rows[i] : NULL);
        if (status == DFAL_OK)
            temporaries[i] = writers[i]->h5.temporary;
    }
    if (status == DFAL_OK)
        status = df_file_publish_all(temporaries, paths, count);
    for (int32_t i = 0; i < count; i++)
        df_scores_abandon(writers[i]); /* its temporary is gone */
    return status;
}

dfal_status df_shard_write(const char *path, const struct df_scores_head *head,
                           const struct df_scores *scores)
{
    return df_shard_write_all(&path, head, &scores, NULL, 1);
}
