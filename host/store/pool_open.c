/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a pool: everything is checked here, so that later reads only fail with the medium. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/sized.h"
#include "base/word.h"
#include "store/classes.h"
#include "store/labels.h"
#include "store/pool_file.h"

enum { LABEL_BLOCK = 65536, AFFINE_LIMIT = 65536, SIGNATURE_ROWS = 1024 };
static const int64_t row_limit = (int64_t)1 << 28; /* elements a sample */

static herr_t list_dataset(hid_t group, const char *name, const H5L_info_t *info, void *text)
{
    (void)group;
    size_t used = strlen(text);
    if (used + strlen(name) + 3 >= 256)
        return 1;
    if (info->type == H5L_TYPE_HARD)
        snprintf((char *)text + used, 256 - used, "%s%s", used ? ", " : "", name);
    return 0;
}

/* dfal's own pool, or a foreign file: refuse what is plainly something else. */
static dfal_status check_kind(struct df_pool *pool, bool *own)
{
    char format[32];
    const struct df_h5 *h5 = &pool->file->h5;
    DF_TRY(df_h5_format(h5, format));
    *own = strcmp(format, "dfal-pool") == 0;
    if (strncmp(format, "dfal-", 5) == 0)
        return df_h5_expect(h5, "dfal-pool");
    return DFAL_OK;
}

/* Dims as stored to a shape, and the row's layout. */
static dfal_status read_shape(struct df_pool *pool, const struct df_h5_data *samples, const char *layout)
{
    char text[DF_H5_SHAPE_TEXT];
    const int64_t *d = samples->dims;
    pool->file->nhwc = false;
    switch (samples->rank) {
    case 2:
        pool->shape = (struct df_shape){d[1], 1, 1};
        break;
    case 3:
        pool->shape = (struct df_shape){1, d[1], d[2]};
        break;
    case 4:
        pool->file->nhwc = strcmp(layout, "NHWC") == 0 && d[3] != 1;
        pool->shape = strcmp(layout, "NHWC") == 0 ? (struct df_shape){d[3], d[1], d[2]}
                                                  : (struct df_shape){d[1], d[2], d[3]};
        break;
    default:
        DF_FAIL(DFAL_E_SHAPE, "%s: dataset '%s' is %s, expected [N, C, H, W], [N, H, W] or [N, D]",
                pool->path, samples->name, df_h5_shape(text, d, samples->rank));
    }
    int64_t size, dims[3] = {pool->shape.c, pool->shape.h, pool->shape.w};
    pool->count = d[0];
    if (pool->count == 0)
        DF_FAIL(DFAL_E_DATA, "%s: dataset '%s' is %s, expected at least one sample", pool->path,
                samples->name, df_h5_shape(text, d, samples->rank));
    DF_TRY(df_checked_product(&size, dims, 3));
    if (size < 1 || size > row_limit)
        DF_FAIL(DFAL_E_SHAPE, "%s: dataset '%s' is %s, expected 1 to 2^28 values a sample", pool->path,
                samples->name, df_h5_shape(text, d, samples->rank));
    return DFAL_OK;
}

static dfal_status open_samples(struct df_pool *pool, const char *name, const char *layout)
{
    struct df_pool_file *file = pool->file;
    bool found;
    DF_TRY(df_h5_data_open(&file->h5, name, &file->samples, &found));
    if (!found) {
        char names[256] = "";
        H5Literate(file->h5.file, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, list_dataset, names);
        const char *foreign = df_h5_foreign(&file->h5);
        DF_FAIL(DFAL_E_DATA, "%s has no dataset '%s' (it holds: %s), expected samples; %s", pool->path, name,
                names[0] ? names : "nothing", foreign ? foreign : "`samples_name` names them");
    }
    if (file->samples.kind != DF_H5_INTEGER && file->samples.kind != DF_H5_REAL)
        DF_FAIL(DFAL_E_DATA, "%s: dataset '%s' holds neither integers nor reals, expected u8 or f32",
                pool->path, name);
    DF_TRY(read_shape(pool, &file->samples, layout));
    pool->raw =
        file->samples.kind == DF_H5_INTEGER && file->samples.is_unsigned && file->samples.type_size == 1
            ? DF_RAW_U8
            : DF_RAW_F32;
    return DFAL_OK;
}

/* scale and offset as [1] or [C], both of one length. */
static dfal_status read_affine(struct df_pool *pool)
{
    const struct df_h5 *h5 = &pool->file->h5;
    dfal_status status;
    double *values;
    int32_t counts[2];
    int64_t channels = pool->shape.c;
    DF_TRY(df_alloc(&values, 2 * AFFINE_LIMIT, sizeof *values));
    DF_TRY_TO(done, status, df_h5_get_reals(h5, h5->file, "scale", values, AFFINE_LIMIT, &counts[0]));
    DF_TRY_TO(done, status,
              df_h5_get_reals(h5, h5->file, "offset", values + AFFINE_LIMIT, AFFINE_LIMIT, &counts[1]));
    if (counts[0] == 0) {
        values[0] = pool->raw == DF_RAW_U8 ? 1.0 / 255.0 : 1.0;
        counts[0] = 1;
    }
    if (counts[1] == 0)
        counts[1] = 1;
    int32_t count = counts[0] > counts[1] ? counts[0] : counts[1];
    for (int which = 0; which < 2; which++)
        if (counts[which] != 1 && counts[which] != channels) {
            status =
                df_fail(DFAL_E_DATA, "%s: attribute '%s' has %d values, expected 1 or one a channel (%lld)",
                        pool->path, which ? "offset" : "scale", counts[which], (long long)channels);
            goto done;
        }
    DF_TRY_TO(done, status, df_alloc(&pool->scale, count, sizeof(double)));
    DF_TRY_TO(done, status, df_alloc(&pool->offset, count, sizeof(double)));
    pool->affine_count = count;
    for (int32_t i = 0; i < count; i++) {
        pool->scale[i] = values[counts[0] > 1 ? i : 0];
        pool->offset[i] = values[AFFINE_LIMIT + (counts[1] > 1 ? i : 0)];
        if (!isfinite(pool->scale[i]) || pool->scale[i] == 0.0 || !isfinite(pool->offset[i])) {
            status = df_fail(DFAL_E_DATA,
                             "%s: scale %g and offset %g of channel %d, expected finite and scale not 0",
                             pool->path, pool->scale[i], pool->offset[i], i);
            goto done;
        }
    }
    if (pool->raw == DF_RAW_U8) {
        DF_TRY_TO(done, status, df_alloc(&pool->file->table, (int64_t)count * 256, sizeof(float)));
        for (int32_t i = 0; i < count; i++)
            for (int v = 0; v < 256; v++)
                pool->file->table[i * 256 + v] = (float)(v * pool->scale[i] + pool->offset[i]);
    }
done:
    df_free(values);
    return status;
}

static dfal_status read_labels(struct df_pool *pool, const char *name, bool named)
{
    struct df_h5 *h5 = &pool->file->h5;
    struct df_h5_data data;
    dfal_status status = DFAL_OK;
    bool found;
    int64_t *block = NULL, largest = -1;
    char text[DF_H5_SHAPE_TEXT];
    DF_TRY(df_h5_data_open(h5, name, &data, named ? NULL : &found));
    if (!named && !found)
        return DFAL_OK;
    if (data.rank == 2 && data.dims[0] == pool->count && data.dims[1] > 1) {
        status =
            df_fail(DFAL_E_SHAPE,
                    "%s: dataset '%s' is %s: one-hot labels or probabilities are not read, expected class "
                    "numbers [%lld]; write numpy.argmax of them beside, `labels_name` names it",
                    pool->path, name, df_h5_shape(text, data.dims, data.rank), (long long)pool->count);
        goto done;
    }
    if (data.rank < 1 || data.rank > 2 || (data.rank == 2 && data.dims[1] != 1) ||
        data.dims[0] != pool->count) {
        status = df_fail(DFAL_E_SHAPE, "%s: dataset '%s' is %s, expected [%lld], one label a sample",
                         pool->path, name, df_h5_shape(text, data.dims, data.rank), (long long)pool->count);
        goto done;
    }
    DF_TRY_TO(done, status, df_alloc(&pool->labels, pool->count, sizeof *pool->labels));
    DF_TRY_TO(done, status, df_alloc(&block, LABEL_BLOCK, sizeof *block));
    int64_t limit = pool->class_count ? pool->class_count : DF_CLASS_LIMIT;
    for (int64_t begin = 0; begin < pool->count; begin += LABEL_BLOCK) {
        int64_t n = pool->count - begin < LABEL_BLOCK ? pool->count - begin : LABEL_BLOCK;
        DF_TRY_TO(done, status, df_h5_ints_read(h5, &data, begin, n, block));
        for (int64_t i = 0; i < n; i++) {
            if (block[i] < -1 || block[i] >= limit) {
                status = df_fail(
                    DFAL_E_DATA, "%s: label %lld in row %lld of '%s', expected -1 (unknown) to %lld",
                    pool->path, (long long)block[i], (long long)(begin + i), name, (long long)limit - 1);
                goto done;
            }
            pool->labels[begin + i] = (int32_t)block[i];
            largest = block[i] > largest ? block[i] : largest;
        }
    }
    if (pool->counted_classes)
        pool->class_count = (int32_t)largest + 1;
done:
    df_free(block);
    df_h5_data_close(h5, &data);
    return status;
}

/* class_count from its attribute, else from the class names, else (by read_labels) from the labels. */
static dfal_status read_classes(struct df_pool *pool, bool own)
{
    struct df_h5 *h5 = &pool->file->h5;
    struct df_h5_data data;
    bool found;
    int64_t count = 0;
    DF_TRY(df_h5_has(h5, "class_count", &found));
    if (found) {
        DF_TRY(df_h5_get_one(h5, "class_count", &count, INT32_MIN, INT32_MAX));
        if (count < 2 || count > DF_CLASS_LIMIT)
            DF_FAIL(DFAL_E_DATA, "%s: attribute 'class_count' is %lld, expected 2 to %d", pool->path,
                    (long long)count, DF_CLASS_LIMIT);
    }
    pool->class_count = (int32_t)count;
    pool->counted_classes = count == 0;
    DF_TRY(df_h5_data_open(h5, "classes", &data, &found));
    if (!found)
        return DFAL_OK;
    dfal_status status = DFAL_OK;
    bool fits = data.kind == DF_H5_TEXT && data.rank == 1 && data.dims[0] >= 1 &&
                data.dims[0] <= DF_CLASS_LIMIT && (count == 0 || data.dims[0] == count);
    if (!fits && own)
        status = df_fail(DFAL_E_DATA, "%s: dataset 'classes' is no list of %lld names", pool->path,
                         (long long)count);
    if (fits) {
        pool->class_count = (int32_t)data.dims[0];
        pool->counted_classes = false;
        status = df_alloc(&pool->classes, data.dims[0], sizeof *pool->classes);
        if (status == DFAL_OK)
            status = df_h5_texts_read(h5, &data, 0, data.dims[0], pool->classes);
    }
    df_h5_data_close(h5, &data);
    return status;
}

static dfal_status open_ids(struct df_pool *pool)
{
    struct df_pool_file *file = pool->file;
    char text[DF_H5_SHAPE_TEXT];
    DF_TRY(df_h5_data_open(&file->h5, "ids", &file->ids, &pool->has_ids));
    if (!pool->has_ids)
        return DFAL_OK;
    if (file->ids.kind != DF_H5_TEXT || file->ids.rank != 1 || file->ids.dims[0] != pool->count)
        DF_FAIL(DFAL_E_SHAPE, "%s: dataset 'ids' is %s, expected [%lld] strings, one a sample", pool->path,
                df_h5_shape(text, file->ids.dims, file->ids.rank), (long long)pool->count);
    return DFAL_OK;
}

dfal_status df_pool_fingerprint(struct df_pool *pool, const dfal_context *context)
{
    struct df_digest digest;
    int64_t step = pool->count / SIGNATURE_ROWS > 1 ? pool->count / SIGNATURE_ROWS : 1;
    int64_t dims[4] = {pool->count, pool->shape.c, pool->shape.h, pool->shape.w};
    void *row;
    DF_TRY(df_alloc(&row, (int64_t)df_pool_row_bytes(pool), 1));
    df_digest_begin(&digest);
    df_digest_add_text(&digest, "dfal-pool");
    df_digest_add_text(&digest, pool->raw == DF_RAW_U8 ? "u8" : "f32");
    for (int i = 0; i < 4; i++)
        df_digest_add_i64(&digest, dims[i]);
    df_digest_add_i64(&digest, pool->affine_count);
    for (int32_t i = 0; i < pool->affine_count; i++)
        df_digest_add_f64(&digest, pool->scale[i]);
    for (int32_t i = 0; i < pool->affine_count; i++)
        df_digest_add_f64(&digest, pool->offset[i]);
    dfal_status status = DFAL_OK;
    for (int64_t at = 0; at < pool->count && status == DFAL_OK; at += step) {
        if (context) /* rows that are packed in large chunks take a while */
            DF_TRY_TO(done, status, df_context_check_stop(context));
        status = df_pool_read_locked(pool, row, at, 1);
        df_digest_add(&digest, row, df_pool_row_bytes(pool));
    }
done:
    df_digest_end(&digest, pool->fingerprint);
    df_free(row);
    return status;
}

static dfal_status open_locked(struct df_pool *pool, const dfal_context *context,
                               const struct dfal_pool_options *options)
{
    const char *samples = options->samples_name ? options->samples_name : "samples";
    const char *labels = options->labels_name ? options->labels_name : "labels";
    const char *layout = options->layout ? options->layout : "NCHW";
    bool own;
    DF_TRY(df_word(NULL, "layout", layout, DFAL_LAYOUTS));
    DF_TRY(df_h5_open(&pool->file->h5, pool->path, options->hdf5_plugins));
    DF_TRY(check_kind(pool, &own));
    DF_TRY(open_samples(pool, samples, layout));
    pool->looks_like_nhwc = !own && !options->layout && pool->file->samples.rank == 4 &&
                            df_looks_like_nhwc(pool->file->samples.dims);
    DF_TRY(read_affine(pool));
    DF_TRY(read_classes(pool, own));
    DF_TRY(read_labels(pool, labels, options->labels_name != NULL));
    DF_TRY(open_ids(pool));
    DF_TRY(df_pool_fingerprint(pool, context));
    return df_h5_unchanged(&pool->file->h5);
}

void(dfal_pool_options_init)(struct dfal_pool_options *options, size_t size)
{
    const struct dfal_pool_options defaults = {0};
    df_sized_init(options, size, &defaults, sizeof defaults);
}

dfal_status df_pool_options_take(struct dfal_pool_options *own, const struct dfal_pool_options *given)
{
    dfal_pool_options_init(own);
    return df_sized_take(own, sizeof *own, given, "dfal_pool_options");
}

dfal_status df_pool_open(struct df_pool **out, const dfal_context *context, const char *path,
                         const struct dfal_pool_options *options)
{
    struct dfal_pool_options own;
    dfal_status status;
    struct df_pool *pool;
    *out = NULL;
    DF_TRY(df_pool_options_take(&own, options));
    options = &own;
    DF_TRY(df_alloc(&pool, 1, sizeof *pool));
    DF_TRY_TO(done, status, df_strdup(&pool->path, path));
    DF_TRY_TO(done, status, df_alloc(&pool->file, 1, sizeof *pool->file));
    pool->file->h5 = DF_H5_NONE;
    pool->file->samples = pool->file->ids = DF_H5_NO_DATA;
    df_h5_lock();
    status = open_locked(pool, context, options);
    df_h5_unlock();
    if (status == DFAL_OK)
        status = df_labels_overlay(pool, options->label_files, options->label_file_count);
    if (status == DFAL_OK && pool->class_count == 1)
        status = df_fail(DFAL_E_DATA, "%s has one class (every label is 0), expected at least two", path);
done:
    if (status == DFAL_OK)
        *out = pool;
    else
        df_pool_close(pool);
    return status;
}
