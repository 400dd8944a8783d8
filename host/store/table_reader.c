/* SPDX-License-Identifier: Apache-2.0 */
/* Tables too large for memory, read a few rows at a time. */
#include "base/memory.h"
#include "store/row_hash_file.h"
#include "store/table.h"

struct df_table_reader {
    struct df_h5 h5;
    struct df_h5_data data;
};

static dfal_status open_column(struct df_table_reader *reader, const char *format, char **configuration,
                               const char *column, int64_t rows, int64_t size)
{
    char text[DF_H5_SHAPE_TEXT];
    DF_TRY(df_h5_expect(&reader->h5, format));
    DF_TRY(df_h5_get_document(&reader->h5, "configuration", configuration));
    DF_TRY(df_h5_data_open(&reader->h5, column, &reader->data, NULL));
    const struct df_h5_data *data = &reader->data;
    if (data->kind != DF_H5_REAL)
        DF_FAIL(DFAL_E_DATA, "%s: dataset '%s' holds no reals", reader->h5.path, column);
    if (data->rank != 2 || data->dims[0] != rows || data->dims[1] != size)
        DF_FAIL(DFAL_E_SHAPE, "%s: dataset '%s' is %s, expected [%lld, %lld]", reader->h5.path, column,
                df_h5_shape(text, data->dims, data->rank), (long long)rows, (long long)size);
    return DFAL_OK;
}

dfal_status df_table_open(struct df_table_reader **out, const char *path, const char *format,
                          char **configuration, const char *column, int64_t rows, int64_t size)
{
    struct df_table_reader *reader;
    *out = NULL;
    *configuration = NULL;
    DF_TRY(df_alloc(&reader, 1, sizeof *reader));
    reader->h5 = DF_H5_NONE;
    reader->data = DF_H5_NO_DATA;
    df_h5_lock();
    dfal_status status = df_h5_open(&reader->h5, path, false);
    if (status == DFAL_OK)
        status = open_column(reader, format, configuration, column, rows, size);
    df_h5_unlock();
    if (status == DFAL_OK) {
        *out = reader;
        return DFAL_OK;
    }
    df_free(*configuration);
    *configuration = NULL;
    df_table_close(reader);
    return status;
}

dfal_status df_table_take(struct df_table_reader *reader, int64_t begin, int64_t count, float *values)
{
    if (begin < 0 || count < 0 || count > reader->data.dims[0] - begin)
        DF_FAIL(DFAL_E_INTERNAL, "%s: rows %lld to %lld asked of a table of %lld", reader->h5.path,
                (long long)begin, (long long)(begin + count), (long long)reader->data.dims[0]);
    df_h5_lock();
    dfal_status status = df_h5_data_read(&reader->h5, &reader->data, H5T_NATIVE_FLOAT, begin, count, values);
    if (status == DFAL_OK)
        status = df_h5_unchanged(&reader->h5);
    df_h5_unlock();
    return status;
}

dfal_status df_table_take_hashes(struct df_table_reader *reader, struct df_row_hashes *rows)
{
    df_h5_lock();
    dfal_status status = df_row_hashes_read(&reader->h5, rows, 0, reader->data.dims[0]);
    df_h5_unlock();
    return status;
}

void df_table_close(struct df_table_reader *reader)
{
    if (!reader)
        return;
    df_h5_lock();
    df_h5_data_close(&reader->h5, &reader->data);
    df_h5_close(&reader->h5);
    df_h5_unlock();
    df_free(reader);
}
