/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of any width: integers however they are stored, strings of any kind. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "store/hdf5_file.h"
#include "store/hdf5_reference.h"
#include "tensor/tensor.h"

enum { TEXT_BLOCK = 4096 };
static const size_t text_limit = (size_t)64 << 20;

dfal_status df_h5_ints_read(const struct df_h5 *h5, const struct df_h5_data *data, int64_t begin,
                            int64_t count, int64_t *values)
{
    if (data->kind == DF_H5_INTEGER)
        return df_h5_data_read(h5, data, H5T_NATIVE_INT64, begin, count, values);
    if (data->kind != DF_H5_REAL)
        DF_FAIL(DFAL_E_DATA, "%s: dataset '%s' holds neither integers nor reals, expected integers", h5->path,
                data->name);
    double *reals;
    DF_TRY(df_alloc(&reals, count, sizeof *reals));
    dfal_status status = df_h5_data_read(h5, data, H5T_NATIVE_DOUBLE, begin, count, reals);
    for (int64_t i = 0; i < count && status == DFAL_OK; i++) {
        if (!(fabs(reals[i]) <= 9007199254740992.0) || reals[i] != floor(reals[i]))
            status = df_fail(DFAL_E_DATA, "%s: dataset '%s' has %.17g in row %lld, expected an integer",
                             h5->path, data->name, reals[i], (long long)(begin + i));
        else
            values[i] = (int64_t)reals[i];
    }
    df_free(reals);
    return status;
}

static hid_t text_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

static dfal_status read_variable(const struct df_h5 *h5, const struct df_h5_data *data, int64_t begin,
                                 int64_t count, char **texts)
{
    dfal_status status;
    hid_t type = df_h5_reference_type();
    uint8_t *references;
    DF_TRY_TO(done, status, df_alloc(&references, count, DF_H5_REFERENCE));
    DF_TRY_TO(done, status, df_h5_data_read(h5, data, type, begin, count, references));
    for (int64_t i = 0; i < count && status == DFAL_OK; i++)
        status = df_h5_follow(h5, references + i * DF_H5_REFERENCE, &texts[i], "row %lld of dataset '%s'",
                              (long long)(begin + i), data->name);
done:
    df_free(references);
    if (type >= 0)
        H5Tclose(type);
    return status;
}

/* Fixed strings end at their first zero byte; padding blanks are no part of them. */
static dfal_status read_fixed(const struct df_h5 *h5, const struct df_h5_data *data, hid_t type,
                              int64_t begin, int64_t count, char **texts)
{
    char *block;
    size_t size = data->type_size;
    bool blanks = H5Tget_strpad(type) == H5T_STR_SPACEPAD;
    DF_TRY(df_alloc(&block, count * (int64_t)size + 1, 1));
    dfal_status status = df_h5_data_read(h5, data, type, begin, count, block);
    for (int64_t i = 0; i < count && status == DFAL_OK; i++) {
        const char *text = block + (size_t)i * size;
        size_t length = strnlen(text, size);
        while (blanks && length && text[length - 1] == ' ')
            length--;
        status = df_alloc(&texts[i], (int64_t)length + 1, 1);
        if (status == DFAL_OK)
            memcpy(texts[i], text, length);
    }
    df_free(block);
    return status;
}

dfal_status df_h5_texts_read(const struct df_h5 *h5, const struct df_h5_data *data, int64_t begin,
                             int64_t count, char **texts)
{
    if (data->kind != DF_H5_TEXT || data->rank > 1)
        DF_FAIL(DFAL_E_DATA, "%s: dataset '%s' holds no one-dimensional list of strings", h5->path,
                data->name);
    hid_t type = H5Dget_type(data->id);
    if (type < 0)
        return df_h5_fail(DFAL_E_DATA, "%s: the type of dataset '%s' cannot be read", h5->path, data->name);
    bool variable = H5Tis_variable_str(type) > 0;
    int64_t step = variable ? TEXT_BLOCK : 1 + ((int64_t)4 << 20) / (int64_t)data->type_size, read = 0;
    dfal_status status = DFAL_OK;
    for (int64_t i = 0; i < count; i++)
        texts[i] = NULL;
    while (read < count && status == DFAL_OK) {
        int64_t n = count - read < step ? count - read : step;
        status = variable ? read_variable(h5, data, begin + read, n, texts + read)
                          : read_fixed(h5, data, type, begin + read, n, texts + read);
        read += n;
    }
    H5Tclose(type);
    for (int64_t i = 0; i < count && status != DFAL_OK; i++) {
        df_free(texts[i]);
        texts[i] = NULL;
    }
    return status;
}

dfal_status df_h5_texts_create(struct df_h5 *h5, const char *name, int64_t count, struct df_h5_data *data)
{
    hid_t type = text_type();
    *data = DF_H5_NO_DATA;
    if (type < 0)
        return df_h5_fail(DFAL_E_INTERNAL, "%s: HDF5 refuses a string type", h5->path);
    int64_t chunk = count < TEXT_BLOCK ? (count > 0 ? count : 1) : TEXT_BLOCK;
    dfal_status status = df_h5_data_create(h5, name, type, 1, &count, chunk, NULL, data);
    H5Tclose(type);
    return status;
}

dfal_status df_h5_texts_write(const struct df_h5 *h5, const struct df_h5_data *data, int64_t begin,
                              int64_t count, const char *const *texts)
{
    hid_t type = text_type();
    if (type < 0)
        return df_h5_fail(DFAL_E_INTERNAL, "%s: HDF5 refuses a string type", h5->path);
    dfal_status status = df_h5_data_write(h5, data, type, begin, count, texts);
    H5Tclose(type);
    return status;
}

dfal_status df_h5_texts_put(struct df_h5 *h5, const char *name, int64_t count, const char *const *texts)
{
    struct df_h5_data data;
    if (!texts)
        return DFAL_OK;
    DF_TRY(df_h5_texts_create(h5, name, count, &data));
    dfal_status status = df_h5_texts_write(h5, &data, 0, count, texts);
    DF_KEEP_FIRST(status, df_h5_data_close(h5, &data));
    return status;
}

dfal_status df_h5_put_document(struct df_h5 *h5, const char *name, const char *text)
{
    struct df_h5_data data;
    hid_t type = text_type();
    if (type < 0)
        return df_h5_fail(DFAL_E_INTERNAL, "%s: HDF5 refuses a string type", h5->path);
    dfal_status status = df_h5_data_create(h5, name, type, 0, NULL, 0, NULL, &data);
    if (status == DFAL_OK) {
        status = df_h5_data_write(h5, &data, type, 0, 1, &text);
        DF_KEEP_FIRST(status, df_h5_data_close(h5, &data));
    }
    H5Tclose(type);
    return status;
}

dfal_status df_h5_get_document(struct df_h5 *h5, const char *name, char **text)
{
    struct df_h5_data data;
    int64_t count = 1;
    *text = NULL;
    DF_TRY(df_h5_data_open(h5, name, &data, NULL));
    dfal_status status = DFAL_OK;
    if (data.kind != DF_H5_TEXT || df_checked_product(&count, data.dims, data.rank) != DFAL_OK || count != 1)
        status = df_fail(DFAL_E_DATA, "%s: '%s' is no single string, expected a scalar string dataset",
                         h5->path, name);
    else
        status = df_h5_texts_read(h5, &data, 0, 1, text);
    if (status == DFAL_OK && *text && strlen(*text) > text_limit) {
        status = df_fail(DFAL_E_DATA, "%s: '%s' is longer than 64 MiB", h5->path, name);
        df_free(*text);
        *text = NULL;
    }
    df_h5_data_close(h5, &data);
    return status;
}
