/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a pool from scratch. */
#include <string.h>

#include "base/memory.h"
#include "store/classes.h"
#include "store/pool_file.h"

enum { CHUNK_BYTES = 1 << 19 };

struct df_pool_writer {
    struct df_h5 h5;
    struct df_h5_data samples, labels;
    int64_t count, written;
    enum df_raw_type raw;
    int32_t class_count;
};

static dfal_status check_spec(const char *path, const struct df_pool_spec *spec)
{
    if (spec->count < 1)
        DF_FAIL(DFAL_E_DATA, "%s: a pool of %lld samples, expected at least one", path,
                (long long)spec->count);
    bool unknown = spec->class_count == 0 && !spec->has_labels && !spec->classes;
    if (!unknown && (spec->class_count < 2 || spec->class_count > DF_CLASS_LIMIT))
        DF_FAIL(DFAL_E_DATA, "%s: a pool of %d class%s, expected 2 to %d", path, spec->class_count,
                spec->class_count == 1 ? "" : "es", DF_CLASS_LIMIT);
    if (spec->scale && spec->affine_count != 1 && spec->affine_count != spec->shape.c)
        DF_FAIL(DFAL_E_INTERNAL, "%s: %d scales for %lld channels", path, spec->affine_count,
                (long long)spec->shape.c);
    return DFAL_OK;
}

static dfal_status write_attributes(struct df_pool_writer *writer, const struct df_pool_spec *spec)
{
    struct df_h5 *h5 = &writer->h5;
    const double scale = spec->raw == DF_RAW_U8 ? 1.0 / 255.0 : 1.0, offset = 0.0;
    int32_t count = spec->scale ? spec->affine_count : 1;
    int64_t classes = spec->class_count;
    DF_TRY(df_h5_stamp(h5, "dfal-pool"));
    DF_TRY(df_h5_put_reals(h5, h5->file, "scale", spec->scale ? spec->scale : &scale, count));
    DF_TRY(df_h5_put_reals(h5, h5->file, "offset", spec->scale && spec->offset ? spec->offset : &offset,
                           spec->scale && spec->offset ? count : 1));
    return classes ? df_h5_put_ints(h5, h5->file, "class_count", &classes, 1, true) : DFAL_OK;
}

/* Whole rows of about half a MiB: one read of a stream's block touches few of them. */
static int64_t chunk_rows(const struct df_pool_spec *spec)
{
    int64_t row = df_shape_size(spec->shape) * (spec->raw == DF_RAW_U8 ? 1 : (int64_t)sizeof(float));
    int64_t rows = CHUNK_BYTES / row > 1 ? CHUNK_BYTES / row : 1;
    return rows < spec->count ? rows : spec->count;
}

static dfal_status begin(struct df_pool_writer *writer, const char *path, const struct df_pool_spec *spec,
                         bool force)
{
    struct df_h5 *h5 = &writer->h5;
    int64_t dims[4] = {spec->count, spec->shape.c, spec->shape.h, spec->shape.w};
    const int32_t unknown = -1;
    DF_TRY(df_h5_create(h5, path, force));
    DF_TRY(write_attributes(writer, spec));
    DF_TRY(df_h5_data_create(h5, "samples", spec->raw == DF_RAW_U8 ? H5T_STD_U8LE : H5T_IEEE_F32LE, 4, dims,
                             chunk_rows(spec), NULL, &writer->samples));
    if (spec->has_labels)
        DF_TRY(df_h5_data_create(h5, "labels", H5T_STD_I32LE, 1, dims, 0, &unknown, &writer->labels));
    DF_TRY(df_h5_texts_put(h5, "ids", spec->count, spec->ids));
    return df_h5_texts_put(h5, "classes", spec->class_count, spec->classes);
}

dfal_status df_pool_create(struct df_pool_writer **out, const char *path, const struct df_pool_spec *spec,
                           bool force)
{
    struct df_pool_writer *writer;
    *out = NULL;
    DF_TRY(check_spec(path, spec));
    DF_TRY(df_alloc(&writer, 1, sizeof *writer));
    writer->h5 = DF_H5_NONE;
    writer->samples = writer->labels = DF_H5_NO_DATA;
    writer->count = spec->count;
    writer->raw = spec->raw;
    writer->class_count = spec->class_count;
    df_h5_lock();
    dfal_status status = begin(writer, path, spec, force);
    df_h5_unlock();
    if (status == DFAL_OK)
        *out = writer;
    else
        df_pool_abandon(writer);
    return status;
}

dfal_status df_pool_append(struct df_pool_writer *writer, const void *raw, const int32_t *labels,
                           int64_t rows)
{
    if (rows < 0 || writer->written + rows > writer->count)
        DF_FAIL(DFAL_E_INTERNAL, "%s: %lld rows given to a pool of %lld", writer->h5.path,
                (long long)(writer->written + rows), (long long)writer->count);
    for (int64_t i = 0; writer->labels.id >= 0 && i < rows; i++)
        if (labels[i] < -1 || labels[i] >= writer->class_count)
            DF_FAIL(DFAL_E_DATA, "%s: label %d in row %lld, expected -1 (unknown) to %d", writer->h5.path,
                    labels[i], (long long)(writer->written + i), writer->class_count - 1);
    df_h5_lock();
    dfal_status status = df_h5_data_write(&writer->h5, &writer->samples,
                                          writer->raw == DF_RAW_U8 ? H5T_NATIVE_UINT8 : H5T_NATIVE_FLOAT,
                                          writer->written, rows, raw);
    if (status == DFAL_OK && writer->labels.id >= 0)
        status =
            df_h5_data_write(&writer->h5, &writer->labels, H5T_NATIVE_INT32, writer->written, rows, labels);
    df_h5_unlock();
    if (status == DFAL_OK)
        writer->written += rows;
    return status;
}

dfal_status df_pool_finish(struct df_pool_writer *writer)
{
    dfal_status status = DFAL_OK;
    df_h5_lock();
    if (writer->written != writer->count)
        status = df_fail(DFAL_E_INTERNAL, "%s: %lld of %lld rows were given", writer->h5.path,
                         (long long)writer->written, (long long)writer->count);
    DF_KEEP_FIRST(status, df_h5_data_close(&writer->h5, &writer->samples));
    DF_KEEP_FIRST(status, df_h5_data_close(&writer->h5, &writer->labels));
    if (status == DFAL_OK)
        status = df_h5_publish(&writer->h5);
    df_h5_unlock();
    df_pool_abandon(writer);
    return status;
}

void df_pool_abandon(struct df_pool_writer *writer)
{
    if (!writer)
        return;
    df_h5_lock();
    df_h5_data_close(&writer->h5, &writer->samples);
    df_h5_data_close(&writer->h5, &writer->labels);
    df_h5_close(&writer->h5);
    df_h5_unlock();
    df_free(writer);
}
