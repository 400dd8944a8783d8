/* SPDX-License-Identifier: Apache-2.0 */
/* Writing files of rows and their parts: columns in chunks, `complete` last. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "store/column.h"
#include "store/pool_file.h"
#include "store/row_file_layout.h"
#include "store/row_hash_file.h"

enum { CHUNK_ROWS = 65536, CHUNK_BYTES = 1 << 19 };

struct df_rows_writer {
    struct df_h5 h5;
    const struct df_rows_kind *kind;
    struct df_h5_data index, column[DF_ROWS_COLUMNS], id;
    int64_t count, written, named; /* rows: of the file, with their columns, with an id */
};

/* ---- Head ------------------------------------------------------------------------------------- */

static dfal_status write_head(struct df_h5 *h5, const char *format, const struct df_rows_head *head)
{
#define PUT(attribute, field)   df_h5_put_text(h5, h5->file, #attribute, head->field)
#define TEXT(attribute, field)  DF_TRY(PUT(attribute, field));
#define GIVEN(attribute, field) DF_TRY(head->field[0] ? PUT(attribute, field) : DFAL_OK);
#define LONG(attribute, field)  DF_TRY(head->field ? PUT(attribute, field) : DFAL_OK);
#define X(field, low, high)     DF_TRY(df_h5_put_ints(h5, h5->file, #field, &(int64_t){head->field}, 1, true));
    DF_TRY(df_h5_stamp(h5, format));
    DF_ROWS_HEAD_TEXTS(TEXT, GIVEN, LONG)
    DF_ROWS_HEAD_INTEGERS(X)
    if (head->shard_rows > 0)
        DF_TRY(df_h5_put_ints(h5, h5->file, "shard_rows", &head->shard_rows, 1, true));
    return df_h5_put_seed(h5, head->seed);
}

dfal_status df_rows_describe(struct df_rows_writer *writer, const struct df_rows_head *head)
{
    df_h5_lock();
    dfal_status status = write_head(&writer->h5, writer->kind->format, head);
    df_h5_unlock();
    if (status == DFAL_OK && writer->kind->describe)
        status = writer->kind->describe(writer, head);
    return status;
}

dfal_status df_rows_put_int(struct df_rows_writer *writer, const char *name, int64_t value)
{
    df_h5_lock();
    const dfal_status status = df_h5_put_ints(&writer->h5, writer->h5.file, name, &value, 1, true);
    df_h5_unlock();
    return status;
}

dfal_status df_rows_put_real(struct df_rows_writer *writer, const char *name, double value)
{
    df_h5_lock();
    const dfal_status status = df_h5_put_reals(&writer->h5, writer->h5.file, name, &value, 1);
    df_h5_unlock();
    return status;
}

dfal_status df_rows_put_text(struct df_rows_writer *writer, int32_t column, const char *name,
                             const char *text)
{
    df_h5_lock();
    const dfal_status status = df_h5_put_text(&writer->h5, writer->column[column].id, name, text);
    df_h5_unlock();
    return status;
}

dfal_status df_rows_put_texts(struct df_rows_writer *writer, int32_t column, const char *name,
                              const char *const *texts, int64_t count)
{
    df_h5_lock();
    const dfal_status status = df_h5_put_texts(&writer->h5, writer->column[column].id, name, texts, count);
    df_h5_unlock();
    return status;
}

dfal_status df_rows_put_document(struct df_rows_writer *writer, const char *name, const char *text)
{
    df_h5_lock();
    const dfal_status status = df_h5_put_document(&writer->h5, name, text);
    df_h5_unlock();
    return status;
}

dfal_status df_rows_put_data(struct df_rows_writer *writer, const struct df_column *data)
{
    df_h5_lock();
    const dfal_status status =
        df_h5_data_put(&writer->h5, data->name, df_column_file_type(data->type),
                       df_column_memory_type(data->type), data->rank, data->dims, data->data);
    df_h5_unlock();
    return status;
}

dfal_status df_rows_put_hashes(struct df_rows_writer *writer, const struct df_row_hashes *hashes)
{
    df_h5_lock();
    const dfal_status status = df_row_hashes_write(&writer->h5, hashes);
    df_h5_unlock();
    return status;
}

/* ---- Columns ---------------------------------------------------------------------------------- */

/* The fill value as a column of this type has it in memory. */
union value {
    float f32;
    double f64;
    int32_t i32;
    int64_t i64;
    uint8_t u8;
    uint16_t u16;
};

static union value fill_of(enum df_column_type type, double fill)
{
    switch (type) {
    case DF_COLUMN_F32:
        return (union value){.f32 = (float)fill};
    case DF_COLUMN_F64:
        return (union value){.f64 = fill};
    case DF_COLUMN_I32:
        return (union value){.i32 = (int32_t)fill};
    case DF_COLUMN_I64:
        return (union value){.i64 = (int64_t)fill};
    case DF_COLUMN_U16:
        return (union value){.u16 = (uint16_t)fill};
    default:
        return (union value){.u8 = (uint8_t)fill};
    }
}

static dfal_status create_column(struct df_rows_writer *writer, const struct df_row_column *column,
                                 struct df_h5_data *data)
{
    if (column->type == DF_COLUMN_TEXT)
        return df_h5_texts_create(&writer->h5, column->name, writer->count, data);
    const union value fill = fill_of(column->type, column->fill);
    const int64_t row = df_row_column_size(column) * (int64_t)df_column_bytes(column->type);
    int64_t chunk = row > 0 ? CHUNK_BYTES / row : CHUNK_ROWS, dims[4] = {writer->count};
    chunk = chunk < CHUNK_ROWS ? chunk : CHUNK_ROWS;
    chunk = chunk < writer->count ? chunk : writer->count;
    if (column->rank > 0)
        memcpy(dims + 1, column->dims, (size_t)column->rank * sizeof *dims);
    return df_h5_data_create(&writer->h5, column->name, df_column_file_type(column->type), 1 + column->rank,
                             dims, chunk > 1 ? chunk : 1, &fill, data);
}

static dfal_status begin(struct df_rows_writer *writer, const char *path, bool has_ids, bool force)
{
    const struct df_rows_kind *kind = writer->kind;
    const struct df_row_column index = {.name = "index", .type = DF_COLUMN_I64, .fill = -1};
    DF_TRY(df_h5_create(&writer->h5, path, force));
    DF_TRY(create_column(writer, &index, &writer->index));
    for (int32_t i = 0; i < kind->column_count; i++)
        DF_TRY(create_column(writer, &kind->columns[i], &writer->column[i]));
    return has_ids ? df_h5_texts_create(&writer->h5, "id", writer->count, &writer->id) : DFAL_OK;
}

dfal_status df_rows_create(struct df_rows_writer **out, const char *path, const struct df_rows_kind *kind,
                           const struct df_rows_head *head, int64_t count, bool has_ids, bool force)
{
    struct df_rows_writer *writer;
    *out = NULL;
    DF_TRY(df_alloc(&writer, 1, sizeof *writer));
    *writer = (struct df_rows_writer){.h5 = DF_H5_NONE, .kind = kind, .count = count};
    writer->index = writer->id = DF_H5_NO_DATA;
    for (int i = 0; i < DF_ROWS_COLUMNS; i++)
        writer->column[i] = DF_H5_NO_DATA;
    df_h5_lock();
    dfal_status status = begin(writer, path, has_ids, force);
    df_h5_unlock();
    if (status == DFAL_OK && head)
        status = df_rows_describe(writer, head);
    if (status == DFAL_OK)
        *out = writer;
    else
        df_rows_abandon(writer);
    return status;
}

static dfal_status check_rows(const struct df_rows_writer *writer, int64_t at, int64_t count, bool named)
{
    if (at < 0 || count < 0 || count > writer->count - at || (writer->id.id >= 0 && count && !named))
        DF_FAIL(DFAL_E_INTERNAL, "%s: rows %lld to %lld given to a %s of %lld rows%s", writer->h5.path,
                (long long)at, (long long)(at + count), writer->kind->name, (long long)writer->count,
                writer->id.id >= 0 ? " with ids" : "");
    return DFAL_OK;
}

static dfal_status put_texts(struct df_rows_writer *writer, const struct df_h5_data *data, int64_t at,
                             const struct df_rows *rows, char *const *column)
{
    const char **texts;
    DF_TRY(df_alloc(&texts, rows->count, sizeof *texts));
    for (int64_t i = 0; i < rows->count; i++)
        texts[i] = column[i] ? column[i] : "";
    const dfal_status status = df_h5_texts_write(&writer->h5, data, at, rows->count, texts);
    df_free(texts);
    return status;
}

static dfal_status put_column(struct df_rows_writer *writer, int32_t i, int64_t at,
                              const struct df_rows *rows)
{
    const enum df_column_type type = writer->kind->columns[i].type;
    return type == DF_COLUMN_TEXT
               ? put_texts(writer, &writer->column[i], at, rows, rows->column[i])
               : df_h5_data_write(&writer->h5, &writer->column[i], df_column_memory_type(type), at,
                                  rows->count, rows->column[i]);
}

static dfal_status put(struct df_rows_writer *writer, int64_t at, const struct df_rows *rows)
{
    DF_TRY(df_h5_data_write(&writer->h5, &writer->index, H5T_NATIVE_INT64, at, rows->count, rows->index));
    for (int32_t i = 0; i < writer->kind->column_count; i++)
        DF_TRY(put_column(writer, i, at, rows));
    return DFAL_OK;
}

dfal_status df_rows_put(struct df_rows_writer *writer, int64_t at, const struct df_rows *rows)
{
    DF_TRY(check_rows(writer, at, rows->count, true));
    df_h5_lock();
    dfal_status status = put(writer, at, rows);
    df_h5_unlock();
    if (status == DFAL_OK)
        writer->written += rows->count;
    return status;
}

dfal_status df_rows_put_ids(struct df_rows_writer *writer, struct df_pool *pool, int64_t row, int64_t count)
{
    DF_TRY(check_rows(writer, writer->named, count, true));
    DF_TRY(df_pool_put_ids(pool, &writer->h5, &writer->id, writer->named, row, count));
    writer->named += count;
    return DFAL_OK;
}

dfal_status df_rows_append(struct df_rows_writer *writer, const struct df_rows *rows)
{
    DF_TRY(check_rows(writer, writer->written, rows->count, rows->id != NULL));
    dfal_status status = DFAL_OK;
    df_h5_lock();
    if (writer->id.id >= 0)
        status = df_h5_texts_write(&writer->h5, &writer->id, writer->written, rows->count,
                                   (const char *const *)rows->id);
    df_h5_unlock();
    DF_TRY(status);
    writer->named += rows->count;
    return df_rows_put(writer, writer->written, rows);
}

dfal_status df_rows_reread(struct df_rows_writer *writer, int32_t column, int64_t at, int64_t count,
                           void *values)
{
    df_h5_lock();
    const dfal_status status =
        df_h5_data_read(&writer->h5, &writer->column[column],
                        df_column_memory_type(writer->kind->columns[column].type), at, count, values);
    df_h5_unlock();
    return status;
}

/* ---- The end ---------------------------------------------------------------------------------- */

static dfal_status close_columns(struct df_rows_writer *writer)
{
    dfal_status status = df_h5_data_close(&writer->h5, &writer->index);
    for (int i = 0; i < DF_ROWS_COLUMNS; i++)
        DF_KEEP_FIRST(status, df_h5_data_close(&writer->h5, &writer->column[i]));
    DF_KEEP_FIRST(status, df_h5_data_close(&writer->h5, &writer->id));
    return status;
}

/* Every row is there: close the columns and say so. Under the lock. */
static dfal_status end_rows(struct df_rows_writer *writer)
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

dfal_status df_rows_finish(struct df_rows_writer *writer)
{
    df_h5_lock();
    dfal_status status = end_rows(writer);
    if (status == DFAL_OK)
        status = df_h5_publish(&writer->h5);
    df_h5_unlock();
    df_rows_abandon(writer);
    return status;
}

void df_rows_abandon(struct df_rows_writer *writer)
{
    if (!writer)
        return;
    df_h5_lock();
    close_columns(writer);
    df_h5_close(&writer->h5);
    df_h5_unlock();
    df_free(writer);
}

/* A part up to where only the disk is missing. */
static dfal_status write_sealed(struct df_rows_writer **out, const char *path,
                                const struct df_rows_head *head, const struct df_rows *rows,
                                const struct df_row_hashes *hashes)
{
    DF_TRY(df_rows_create(out, path, rows->kind, head, rows->count, rows->id != NULL, true));
    DF_TRY(df_rows_append(*out, rows));
    if (hashes)
        DF_TRY(df_rows_put_hashes(*out, hashes));
    df_h5_lock();
    dfal_status status = end_rows(*out);
    if (status == DFAL_OK)
        status = df_h5_seal(&(*out)->h5);
    df_h5_unlock();
    return status;
}

dfal_status df_rows_write_parts(const char *const *paths, const struct df_rows_head *head,
                                const struct df_rows *const *rows, const struct df_row_hashes *hashes,
                                int32_t count)
{
    struct df_rows_writer *writers[DF_PART_FILES] = {NULL};
    const char *temporaries[DF_PART_FILES] = {NULL};
    dfal_status status = DFAL_OK;
    if (count > DF_PART_FILES)
        DF_FAIL(DFAL_E_INTERNAL, "%d parts to write at once, expected at most %d", count, DF_PART_FILES);
    for (int32_t i = 0; i < count && status == DFAL_OK; i++) {
        status = write_sealed(&writers[i], paths[i], head, rows[i], hashes ? &hashes[i] : NULL);
        if (status == DFAL_OK)
            temporaries[i] = writers[i]->h5.temporary;
    }
    if (status == DFAL_OK)
        status = df_file_publish_all(temporaries, paths, count);
    for (int32_t i = 0; i < count; i++)
        df_rows_abandon(writers[i]); /* its temporary is gone */
    return status;
}
