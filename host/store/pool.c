/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of an open pool. */
#include "store/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/pool_file.h"

enum { TURN_BYTES = 1 << 22 };

int64_t df_pool_cache_bytes(const struct df_pool *pool)
{
    return pool->file->samples.cache_bytes;
}

size_t df_pool_row_bytes(const struct df_pool *pool)
{
    return (size_t)df_shape_size(pool->shape) * (pool->raw == DF_RAW_U8 ? 1 : sizeof(float));
}

void df_pool_close(struct df_pool *pool)
{
    if (!pool)
        return;
    struct df_pool_file *file = pool->file;
    if (file) {
        df_h5_lock();
        df_h5_data_close(&file->h5, &file->samples);
        df_h5_data_close(&file->h5, &file->ids);
        df_h5_close(&file->h5);
        df_h5_unlock();
        df_free(file->stored);
        df_free(file->order);
        df_free(file->table);
        df_pool_forget_index(pool);
        df_free(file);
    }
    df_strings_free(pool->classes, pool->class_count);
    df_free(pool->labels);
    df_free(pool->skipped);
    df_free(pool->label_conflict);
    df_free(pool->label_blank);
    df_free(pool->label_nothing);
    df_free(pool->scale);
    df_free(pool->offset);
    df_free(pool->path);
    df_free(pool);
}

/* ---- Rows ----------------------------------------------------------------------------------- */

dfal_status df_pool_read_locked(struct df_pool *pool, void *buffer, int64_t begin, int64_t count)
{
    struct df_pool_file *file = pool->file;
    hid_t type = pool->raw == DF_RAW_U8 ? H5T_NATIVE_UINT8 : H5T_NATIVE_FLOAT;
    if (!file->nhwc)
        return df_h5_data_read(&file->h5, &file->samples, type, begin, count, buffer);
    int64_t row = (int64_t)df_pool_row_bytes(pool), step = TURN_BYTES / row > 1 ? TURN_BYTES / row : 1;
    if (step > count)
        step = count;
    DF_TRY(df_reserve(&file->stored, &file->stored_bytes, step * row, 1));
    size_t element = pool->raw == DF_RAW_U8 ? 1 : sizeof(float);
    for (int64_t done = 0; done < count; done += step) {
        int64_t n = count - done < step ? count - done : step;
        DF_TRY(df_h5_data_read(&file->h5, &file->samples, type, begin + done, n, file->stored));
        df_turn_rows((char *)buffer + done * row, file->stored, pool->shape, element, n);
    }
    return DFAL_OK;
}

static dfal_status check_rows(const struct df_pool *pool, int64_t begin, int64_t end)
{
    if (begin < 0 || end < begin || end > pool->count)
        DF_FAIL(DFAL_E_INTERNAL, "%s: rows %lld to %lld were asked of a pool of %lld", pool->path,
                (long long)begin, (long long)end, (long long)pool->count);
    return DFAL_OK;
}

dfal_status df_pool_unchanged(struct df_pool *pool)
{
    df_h5_lock();
    dfal_status status = df_h5_unchanged(&pool->file->h5);
    df_h5_unlock();
    return status;
}

/* Rows `first` to `last` were read into memory with this result: were they those of the file that was
 * opened? */
static dfal_status read_end(const struct df_pool *pool, dfal_status status, int64_t first, int64_t last)
{
    DF_TRY(status);
    status = df_h5_unchanged(&pool->file->h5);
    if (status != DFAL_OK)
        (void)df_fail_prefix(status, "rows %lld to %lld: ", (long long)first, (long long)last);
    return status;
}

dfal_status df_pool_read(struct df_pool *pool, void *buffer, int64_t begin, int64_t end)
{
    DF_TRY(check_rows(pool, begin, end));
    df_h5_lock();
    dfal_status status =
        read_end(pool, df_pool_read_locked(pool, buffer, begin, end - begin), begin, end - 1);
    df_h5_unlock();
    return status;
}

static int by_row(const void *a, const void *b)
{
    const struct df_row_place *x = a, *y = b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Runs of consecutive rows of an ascending list are one read each. */
static dfal_status gather_ascending(struct df_pool *pool, char *buffer, const int64_t *rows, int64_t count)
{
    size_t bytes = df_pool_row_bytes(pool);
    for (int64_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && rows[i + n] == rows[i] + n; n++)
            continue;
        DF_TRY(df_pool_read_locked(pool, buffer + (size_t)i * bytes, rows[i], n));
    }
    return DFAL_OK;
}

/* Any order: read in the order of the file, so that a packed chunk is unpacked once. */
static dfal_status gather_any(struct df_pool *pool, char *buffer, const int64_t *rows, int64_t count)
{
    struct df_pool_file *file = pool->file;
    size_t bytes = df_pool_row_bytes(pool);
    DF_TRY(df_reserve(&file->order, &file->order_count, count, sizeof *file->order));
    for (int64_t i = 0; i < count; i++)
        file->order[i] = (struct df_row_place){.row = rows[i], .place = i};
    qsort(file->order, (size_t)count, sizeof *file->order, by_row);
    for (int64_t i = 0, n; i < count; i += n) {
        const struct df_row_place *at = &file->order[i];
        for (n = 1; i + n < count && at[n].row == at->row + n && at[n].place == at->place + n; n++)
            continue;
        DF_TRY(df_pool_read_locked(pool, buffer + (size_t)at->place * bytes, at->row, n));
    }
    return DFAL_OK;
}

dfal_status df_pool_gather(struct df_pool *pool, void *buffer, const int64_t *rows, int64_t count)
{
    bool ascending = true;
    int64_t first = INT64_MAX, last = -1;
    for (int64_t i = 0; i < count; i++) {
        DF_TRY(check_rows(pool, rows[i], rows[i] + 1));
        ascending = ascending && (i == 0 || rows[i] > rows[i - 1]);
        first = rows[i] < first ? rows[i] : first;
        last = rows[i] > last ? rows[i] : last;
    }
    df_h5_lock();
    dfal_status status =
        read_end(pool, (ascending ? gather_ascending : gather_any)(pool, buffer, rows, count), first, last);
    df_h5_unlock();
    return status;
}

const float *df_pool_table(const struct df_pool *pool, int64_t channel)
{
    return pool->file->table + (pool->affine_count > 1 ? channel : 0) * 256;
}

void df_pool_decode(const struct df_pool *pool, float *x, const void *raw, int64_t rows)
{
    int64_t plane = pool->shape.h * pool->shape.w, planes = rows * pool->shape.c;
    for (int64_t p = 0; p < planes; p++) {
        int64_t a = pool->affine_count > 1 ? p % pool->shape.c : 0;
        float *to = x + p * plane;
        if (pool->raw == DF_RAW_U8) {
            const uint8_t *from = (const uint8_t *)raw + p * plane;
            const float *table = df_pool_table(pool, a);
            for (int64_t i = 0; i < plane; i++)
                to[i] = table[from[i]];
        } else {
            const float *from = (const float *)raw + p * plane;
            double scale = pool->scale[a], offset = pool->offset[a];
            for (int64_t i = 0; i < plane; i++)
                to[i] = (float)((double)from[i] * scale + offset);
        }
    }
}
