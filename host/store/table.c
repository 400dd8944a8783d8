/* SPDX-License-Identifier: Apache-2.0 */
#include "store/table.h"

#include <string.h>

#include "base/memory.h"
#include "store/column.h"
#include "store/hdf5_file.h"

static dfal_status begin(struct df_h5 *h5, const char *path, const char *format, const char *configuration,
                         bool force)
{
    DF_TRY(df_h5_create(h5, path, force));
    DF_TRY(df_h5_stamp(h5, format));
    return df_h5_put_document(h5, "configuration", configuration ? configuration : "");
}

static dfal_status put_column(struct df_h5 *h5, const struct df_column *column)
{
    if (column->type != DF_COLUMN_TEXT)
        return df_h5_data_put(h5, column->name, df_column_file_type(column->type),
                              df_column_memory_type(column->type), column->rank, column->dims, column->data);
    return df_h5_texts_put(h5, column->name, column->dims[0], column->data);
}

dfal_status df_table_write(const char *path, const char *format, const char *configuration,
                           const struct df_column *columns, int32_t count, bool force)
{
    struct df_h5 h5 = DF_H5_NONE;
    df_h5_lock();
    dfal_status status = begin(&h5, path, format, configuration, force);
    for (int32_t i = 0; i < count && status == DFAL_OK; i++)
        status = put_column(&h5, &columns[i]);
    if (status == DFAL_OK)
        status = df_h5_publish(&h5);
    df_h5_close(&h5);
    df_h5_unlock();
    return status;
}

/* A column of integers is not read as reals nor the other way round. */
static dfal_status read_column(struct df_h5 *h5, struct df_column *column)
{
    struct df_h5_data data;
    int64_t count;
    char text[DF_H5_SHAPE_TEXT];
    if (column->type == DF_COLUMN_TEXT)
        DF_FAIL(DFAL_E_INTERNAL, "%s: texts of a table are not read", column->name);
    DF_TRY(df_h5_data_open(h5, column->name, &data, NULL));
    dfal_status status = DFAL_OK;
    const bool real = df_column_is_real(column->type);
    if (data.kind != (real ? DF_H5_REAL : DF_H5_INTEGER) || data.type_size != df_column_bytes(column->type))
        status =
            df_fail(DFAL_E_DATA, "%s: dataset '%s' is of another type, expected %s of %lld bytes", h5->path,
                    column->name, real ? "reals" : "integers", (long long)df_column_bytes(column->type));
    else if (data.rank != column->rank)
        status = df_fail(DFAL_E_SHAPE, "%s: dataset '%s' is %s, expected rank %d", h5->path, column->name,
                         df_h5_shape(text, data.dims, data.rank), column->rank);
    if (status == DFAL_OK)
        status = df_checked_product(&count, data.dims, data.rank);
    if (status == DFAL_OK)
        status = df_alloc(&column->data, count, df_column_bytes(column->type));
    if (status == DFAL_OK) {
        memcpy(column->dims, data.dims, (size_t)data.rank * sizeof *data.dims);
        if (count)
            status = df_h5_data_read(h5, &data, df_column_memory_type(column->type), 0,
                                     data.rank ? data.dims[0] : 1, column->data);
    }
    df_h5_data_close(h5, &data);
    return status;
}

dfal_status df_table_read(const char *path, const char *format, char **configuration,
                          struct df_column *columns, int32_t count)
{
    struct df_h5 h5;
    if (configuration)
        *configuration = NULL;
    for (int32_t i = 0; i < count; i++)
        columns[i].data = NULL;
    df_h5_lock();
    dfal_status status = df_h5_open(&h5, path, false);
    if (status == DFAL_OK)
        status = df_h5_expect(&h5, format);
    if (status == DFAL_OK && configuration)
        status = df_h5_get_document(&h5, "configuration", configuration);
    for (int32_t i = 0; i < count && status == DFAL_OK; i++)
        status = read_column(&h5, &columns[i]);
    status = df_h5_read_end(&h5, status);
    df_h5_unlock();
    if (status != DFAL_OK) {
        if (configuration) {
            df_free(*configuration);
            *configuration = NULL;
        }
        for (int32_t i = 0; i < count; i++) {
            df_free(columns[i].data);
            columns[i].data = NULL;
        }
    }
    return status;
}

dfal_status df_file_format(char format[32], const char *path)
{
    struct df_h5 h5;
    format[0] = '\0';
    df_h5_lock();
    dfal_status status = df_h5_open(&h5, path, false);
    if (status == DFAL_OK) {
        status = df_h5_format(&h5, format);
        df_h5_close(&h5);
    }
    df_h5_unlock();
    return status;
}
