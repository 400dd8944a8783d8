/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files of rows. Every shape is compared before memory is taken. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "store/column.h"
#include "store/row_file_layout.h"
#include "store/row_hash_file.h"

static dfal_status read_head(struct df_h5 *h5, struct df_rows_head *head, const char *name)
{
#define TEXT(attribute, field) DF_TRY(df_h5_get_short(h5, #attribute, head->field, sizeof head->field));
#define LONG(attribute, field) DF_TRY(df_h5_get_text(h5, h5->file, #attribute, &head->field));
#define X(field, low, high)                                                                                  \
    DF_TRY(df_h5_get_one(h5, #field, &value, low, high));                                                    \
    head->field = value;
    int64_t value, complete = 0;
    bool there;
    DF_TRY(df_h5_has(h5, "complete", &there));
    if (!there)
        DF_FAIL(DFAL_E_DATA, "%s has no attribute 'complete', as a finished %s has", h5->path, name);
    DF_TRY(df_h5_get_one(h5, "complete", &complete, INT32_MIN, INT32_MAX));
    if (complete != 1)
        DF_FAIL(DFAL_E_DATA, "%s is not complete (attribute 'complete' is %lld), expected a finished %s",
                h5->path, (long long)complete, name);
    DF_ROWS_HEAD_TEXTS(TEXT, TEXT, LONG)
    DF_TRY(df_h5_get_seed(h5, &head->seed));
    DF_ROWS_HEAD_INTEGERS(X)
    DF_TRY(df_h5_has(h5, "shard_rows", &there));
    if (there)
        DF_TRY(df_h5_get_one(h5, "shard_rows", &head->shard_rows, 1, DF_SHARD_ROWS));
    return DFAL_OK;
}

/* [count] + dims, and the first column that is opened says what the count is. */
static bool is_shaped(const struct df_h5_data *data, const struct df_row_column *column, int64_t count)
{
    if (data->rank != 1 + column->rank || (count >= 0 && data->dims[0] != count))
        return false;
    return column->rank == 0 ||
           memcmp(data->dims + 1, column->dims, (size_t)column->rank * sizeof *column->dims) == 0;
}

static dfal_status open_column(struct df_rows_reader *reader, const struct df_row_column *column,
                               enum df_h5_kind kind, struct df_h5_data *data)
{
    struct df_h5 *h5 = &reader->h5;
    char text[DF_H5_SHAPE_TEXT], expected[DF_H5_SHAPE_TEXT];
    int64_t dims[4] = {reader->count};
    dfal_status status = DFAL_OK;
    DF_TRY(df_h5_data_open(h5, column->name, data, NULL));
    if (column->rank > 0)
        memcpy(dims + 1, column->dims, (size_t)column->rank * sizeof *dims);
    if (data->kind != kind)
        status = df_fail(DFAL_E_DATA, "%s: dataset '%s' holds values of another kind than a %s's", h5->path,
                         column->name, reader->kind ? reader->kind->name : "file of rows");
    else if (!is_shaped(data, column, reader->count))
        status =
            df_fail(DFAL_E_SHAPE, "%s: dataset '%s' is %s, expected %s", h5->path, column->name,
                    df_h5_shape(text, data->dims, data->rank), df_h5_shape(expected, dims, 1 + column->rank));
    if (status != DFAL_OK)
        df_h5_data_close(h5, data);
    else
        reader->count = data->dims[0];
    return status;
}

static enum df_h5_kind kind_of(enum df_column_type type)
{
    return type == DF_COLUMN_TEXT ? DF_H5_TEXT : df_column_is_real(type) ? DF_H5_REAL : DF_H5_INTEGER;
}

static dfal_status open_columns(struct df_rows_reader *reader)
{
    const struct df_rows_kind *kind = reader->kind;
    reader->count = -1;
    DF_TRY(open_column(reader, &(struct df_row_column){.name = "index"}, DF_H5_INTEGER, &reader->index));
    for (int32_t i = 0; kind && i < kind->column_count; i++)
        DF_TRY(open_column(reader, &kind->columns[i], kind_of(kind->columns[i].type), &reader->column[i]));
    DF_TRY(df_h5_data_open(&reader->h5, "id", &reader->id, &reader->has_ids));
    if (!reader->has_ids)
        return DFAL_OK;
    df_h5_data_close(&reader->h5, &reader->id);
    return open_column(reader, &(struct df_row_column){.name = "id"}, DF_H5_TEXT, &reader->id);
}

static dfal_status open_file(struct df_rows_reader *reader, struct df_rows_head *head, const char *path)
{
    DF_TRY(df_h5_open(&reader->h5, path, false));
    DF_TRY(df_h5_format(&reader->h5, reader->format));
    DF_TRY(df_h5_expect(&reader->h5, reader->kind ? reader->kind->format : reader->format));
    DF_TRY(read_head(&reader->h5, head, reader->kind ? reader->kind->name : "file of rows"));
    reader->pool_count = head->pool_count;
    return open_columns(reader);
}

dfal_status df_rows_open(struct df_rows_reader **out, struct df_rows_head *head, const char *path,
                         const struct df_rows_kind *kind)
{
    struct df_rows_reader *reader;
    *out = NULL;
    memset(head, 0, sizeof *head);
    DF_TRY(df_alloc(&reader, 1, sizeof *reader));
    reader->h5 = DF_H5_NONE;
    reader->kind = kind;
    reader->index = reader->id = DF_H5_NO_DATA;
    for (int i = 0; i < DF_ROWS_COLUMNS; i++)
        reader->column[i] = DF_H5_NO_DATA;
    df_h5_lock();
    const dfal_status status = open_file(reader, head, path);
    df_h5_unlock();
    if (status == DFAL_OK) {
        *out = reader;
        return DFAL_OK;
    }
    df_rows_close(reader);
    df_rows_head_clear(head);
    return status;
}

int64_t df_rows_count(const struct df_rows_reader *reader)
{
    return reader->count;
}

bool df_rows_have_ids(const struct df_rows_reader *reader)
{
    return reader->has_ids;
}

const char *df_rows_format(const struct df_rows_reader *reader)
{
    return reader->format;
}

enum { ROW_MOST = 1 << 28 }; /* values of one row */

static bool is_of_rows(const struct df_h5_data *data)
{
    int64_t size = 1;
    for (int32_t i = 1; i < data->rank; i++) {
        if (data->dims[i] < 1 || data->dims[i] > ROW_MOST / size)
            return false;
        size *= data->dims[i];
    }
    return data->rank >= 1 && data->rank <= 4;
}

dfal_status df_rows_find_column(struct df_rows_reader *reader, const char *name, struct df_row_column *column)
{
    struct df_h5 *h5 = &reader->h5;
    struct df_h5_data data;
    char text[DF_H5_SHAPE_TEXT];
    *column = (struct df_row_column){.name = name, .type = DF_COLUMN_F32, .fill = (double)NAN};
    df_h5_lock();
    dfal_status status = df_h5_data_open(h5, name, &data, NULL);
    if (status == DFAL_OK && (data.kind != DF_H5_REAL || !is_of_rows(&data)))
        status = df_fail(DFAL_E_SHAPE, "%s: dataset '%s' is %s, expected reals, 1 to %d of them a row",
                         h5->path, name, df_h5_shape(text, data.dims, data.rank), ROW_MOST);
    if (status == DFAL_OK) {
        column->rank = data.rank - 1;
        for (int32_t i = 1; i < data.rank; i++)
            column->dims[i - 1] = data.dims[i];
    }
    df_h5_data_close(h5, &data);
    df_h5_unlock();
    return status;
}

dfal_status df_rows_get_int(struct df_rows_reader *reader, const char *name, int64_t *value, int64_t absent)
{
    bool there;
    *value = absent;
    df_h5_lock();
    dfal_status status = df_h5_has(&reader->h5, name, &there);
    if (status == DFAL_OK && there)
        status = df_h5_get_one(&reader->h5, name, value, 0, INT64_MAX);
    df_h5_unlock();
    return status;
}

static dfal_status check_rows(const struct df_rows_reader *reader, int64_t begin, const struct df_rows *rows)
{
    for (int64_t i = 0; i < rows->count; i++)
        if (rows->index[i] < 0 || rows->index[i] >= reader->pool_count)
            DF_FAIL(DFAL_E_DATA, "%s: index %lld in row %lld, expected 0 to %lld", reader->h5.path,
                    (long long)rows->index[i], (long long)(begin + i), (long long)reader->pool_count - 1);
    return reader->kind->check ? reader->kind->check(reader->h5.path, begin, rows) : DFAL_OK;
}

static dfal_status read_column(struct df_rows_reader *reader, int32_t i, int64_t begin, int64_t count,
                               void *values)
{
    const enum df_column_type type = reader->kind->columns[i].type;
    return type == DF_COLUMN_TEXT ? df_h5_texts_read(&reader->h5, &reader->column[i], begin, count, values)
                                  : df_h5_data_read(&reader->h5, &reader->column[i],
                                                    df_column_memory_type(type), begin, count, values);
}

static dfal_status read_rows(struct df_rows_reader *reader, int64_t begin, bool with_ids,
                             struct df_rows *rows)
{
    const int64_t count = rows->count;
    struct df_h5 *h5 = &reader->h5;
    DF_TRY(df_h5_data_read(h5, &reader->index, H5T_NATIVE_INT64, begin, count, rows->index));
    for (int32_t i = 0; i < reader->kind->column_count; i++)
        if (rows->column[i])
            DF_TRY(read_column(reader, i, begin, count, rows->column[i]));
    if (with_ids && reader->has_ids) {
        DF_TRY(df_alloc(&rows->id, count, sizeof *rows->id));
        DF_TRY(df_h5_texts_read(h5, &reader->id, begin, count, rows->id));
    }
    DF_TRY(check_rows(reader, begin, rows));
    const bool whole = count > 0 && count == reader->count;
    if (whole && rows->index[count - 1] - rows->index[0] == count - 1)
        return df_row_hashes_read(h5, &rows->hashes, rows->index[0], rows->index[0] + count);
    return DFAL_OK;
}

dfal_status df_rows_take(struct df_rows_reader *reader, int64_t begin, int64_t count, bool with_ids,
                         struct df_rows *rows)
{
    return df_rows_take_columns(reader, begin, count, DF_ROWS_ALL, with_ids, rows);
}

dfal_status df_rows_take_columns(struct df_rows_reader *reader, int64_t begin, int64_t count,
                                 unsigned columns, bool with_ids, struct df_rows *rows)
{
    if (!reader->kind || begin < 0 || count < 0 || count > reader->count - begin)
        DF_FAIL(DFAL_E_INTERNAL, "%s: rows %lld to %lld asked of %lld", reader->h5.path, (long long)begin,
                (long long)(begin + count), (long long)reader->count);
    DF_TRY(df_rows_alloc_columns(rows, reader->kind, count, columns));
    df_h5_lock();
    dfal_status status = read_rows(reader, begin, with_ids, rows);
    if (status == DFAL_OK)
        status = df_h5_unchanged(&reader->h5);
    df_h5_unlock();
    if (status != DFAL_OK)
        df_rows_clear(rows);
    return status;
}

dfal_status df_rows_read_index(struct df_rows_reader *reader, int64_t begin, int64_t count, int64_t *index)
{
    df_h5_lock();
    const dfal_status status =
        df_h5_data_read(&reader->h5, &reader->index, H5T_NATIVE_INT64, begin, count, index);
    df_h5_unlock();
    return status;
}

dfal_status df_rows_read_column(struct df_rows_reader *reader, int32_t column, int64_t begin, int64_t count,
                                void *values)
{
    df_h5_lock();
    dfal_status status = read_column(reader, column, begin, count, values);
    if (status == DFAL_OK)
        status = df_h5_unchanged(&reader->h5);
    df_h5_unlock();
    return status;
}

dfal_status df_rows_each(struct df_rows_reader *reader, bool with_ids, df_rows_block_fn *visit, void *user)
{
    enum { BLOCK_BYTES = 4 << 20 };
    int64_t most = DF_SHARD_ROWS;
    dfal_status status = DFAL_OK;
    while (most > 1 && reader->kind && most * df_rows_bytes(reader->kind) > BLOCK_BYTES)
        most /= 2;
    for (int64_t begin = 0; begin < reader->count && status == DFAL_OK; begin += most) {
        struct df_rows block;
        const int64_t left = reader->count - begin;
        DF_TRY(df_rows_take(reader, begin, left < most ? left : most, with_ids, &block));
        status = visit(user, begin, &block);
        df_rows_clear(&block);
    }
    return status;
}

dfal_status df_rows_take_hashes(struct df_rows_reader *reader, int64_t begin, int64_t end,
                                struct df_row_hashes *hashes)
{
    df_h5_lock();
    const dfal_status status = df_row_hashes_read(&reader->h5, hashes, begin, end);
    df_h5_unlock();
    return status;
}

void df_rows_close(struct df_rows_reader *reader)
{
    if (!reader)
        return;
    df_h5_lock();
    df_h5_data_close(&reader->h5, &reader->index);
    for (int i = 0; i < DF_ROWS_COLUMNS; i++)
        df_h5_data_close(&reader->h5, &reader->column[i]);
    df_h5_data_close(&reader->h5, &reader->id);
    df_h5_close(&reader->h5);
    df_h5_unlock();
    df_free(reader);
}
