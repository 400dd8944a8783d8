/* SPDX-License-Identifier: Apache-2.0 */
#include "store/row_hash.h"

#include <string.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/row_hash_file.h"

enum { BLOCK_BYTES = 1 << 20 };
static const char dataset[] = "row_hash", algorithm[] = "hash";
enum { FIRST, COUNT, HIGH, LOW, COLUMNS };

dfal_status df_row_hashes_open(struct df_row_hashes *hashes, int64_t begin, int64_t end, int64_t cut)
{
    *hashes = (struct df_row_hashes){.begin = begin, .end = end, .cut = cut};
    if (end <= begin)
        return DFAL_OK;
    hashes->count = (end - 1) / cut - begin / cut + 1;
    DF_TRY(df_alloc(&hashes->pieces, hashes->count, sizeof *hashes->pieces));
    for (int64_t i = 0; i < hashes->count; i++)
        hashes->pieces[i].first = i ? (begin / cut + i) * cut : begin;
    return DFAL_OK;
}

void df_row_hashes_close(struct df_row_hashes *hashes)
{
    df_free(hashes->pieces);
    *hashes = DF_ROW_HASHES_NONE;
}

int64_t df_row_hashes_find(const struct df_row_hashes *hashes, int64_t row)
{
    return row / hashes->cut - hashes->begin / hashes->cut;
}

int64_t df_row_hashes_rows(const struct df_row_hashes *hashes, int64_t piece)
{
    const int64_t end = piece + 1 < hashes->count ? hashes->pieces[piece + 1].first : hashes->end;
    return end - hashes->pieces[piece].first;
}

void df_row_hashes_join(struct df_row_hashes *hashes, const struct df_row_piece *piece)
{
    struct df_row_piece *ours = &hashes->pieces[df_row_hashes_find(hashes, piece->first)];
    df_row_sum_add(&ours->sum, piece->sum);
    ours->count += piece->count;
}

/* Rows of one piece are summed up before the list is touched. */
void df_row_hashes_add(struct df_row_hashes *hashes, struct df_lock *lock, const void *raw, size_t row_bytes,
                       const int64_t *index, int64_t count)
{
    for (int64_t i = 0; i < count;) {
        const int64_t number = df_row_hashes_find(hashes, index[i]);
        struct df_row_piece piece = {.first = index[i]};
        for (; i < count && df_row_hashes_find(hashes, index[i]) == number; i++, piece.count++)
            df_row_sum_take(&piece.sum, (const char *)raw + (size_t)i * row_bytes, row_bytes, index[i]);
        if (lock)
            df_lock_take(lock);
        df_row_hashes_join(hashes, &piece);
        if (lock)
            df_lock_release(lock);
    }
}

void df_row_hashes_join_all(struct df_row_hashes *hashes, const struct df_row_hashes *others)
{
    for (int64_t i = 0; i < others->count; i++)
        df_row_hashes_join(hashes, &others->pieces[i]);
}

struct df_row_hashes df_row_hashes_part(const struct df_row_hashes *hashes, int64_t piece)
{
    const int64_t begin = hashes->pieces[piece].first;
    return (struct df_row_hashes){.begin = begin,
                                  .end = begin + df_row_hashes_rows(hashes, piece),
                                  .cut = hashes->cut,
                                  .count = 1,
                                  .pieces = &hashes->pieces[piece]};
}

static bool is_complete(const struct df_row_hashes *hashes, int64_t piece)
{
    return hashes->pieces[piece].count == df_row_hashes_rows(hashes, piece);
}

int64_t df_row_hashes_known(const struct df_row_hashes *hashes)
{
    int64_t rows = 0;
    for (int64_t i = 0; i < hashes->count; i++)
        if (is_complete(hashes, i))
            rows += hashes->pieces[i].count;
    return rows;
}

void df_row_hashes_say(struct dfal_context *context, int64_t unknown, const char *path)
{
    if (unknown > 0)
        df_say(context, DFAL_INFO, "rows.unknown", DF_FIELDS(DF_INT("rows", unknown), DF_TEXT("file", path)),
               "%s does not tell what %lld of its rows were when they were read: they are not compared with "
               "the pool",
               path, (long long)unknown);
}

/* ---- Comparing -------------------------------------------------------------------------------- */

static int64_t rows_at_once(const struct df_pool *pool)
{
    return BLOCK_BYTES / (int64_t)df_pool_row_bytes(pool) + 1;
}

/* Read the rows of a complete piece again; raw has room for rows_at_once. */
static dfal_status sum_up(struct df_row_sum *sum, const struct dfal_context *context, struct df_pool *pool,
                          const struct df_row_piece *piece, void *raw)
{
    const size_t row_bytes = df_pool_row_bytes(pool);
    const int64_t end = piece->first + piece->count, most = rows_at_once(pool);
    *sum = (struct df_row_sum){0};
    for (int64_t row = piece->first, n; row < end; row += n) {
        n = end - row < most ? end - row : most;
        DF_TRY(df_context_check_stop(context));
        DF_TRY(df_pool_read(pool, raw, row, row + n));
        for (int64_t i = 0; i < n; i++)
            df_row_sum_take(sum, (const char *)raw + (size_t)i * row_bytes, row_bytes, row + i);
    }
    return DFAL_OK;
}

dfal_status df_row_hashes_compare(const struct dfal_context *context, struct df_pool *pool,
                                  const struct df_row_hashes *hashes, int64_t *first, int64_t *last)
{
    dfal_status status = DFAL_OK;
    void *raw;
    *first = *last = -1;
    if (hashes->end > pool->count)
        DF_FAIL(DFAL_E_DATA, "%s has %lld rows, expected at least %lld to compare", pool->path,
                (long long)pool->count, (long long)hashes->end);
    DF_TRY(df_alloc(&raw, rows_at_once(pool), df_pool_row_bytes(pool)));
    for (int64_t i = 0; i < hashes->count && *first < 0; i++) {
        const struct df_row_piece *was = &hashes->pieces[i];
        struct df_row_sum is;
        if (!is_complete(hashes, i))
            continue;
        DF_TRY_TO(done, status, sum_up(&is, context, pool, was, raw));
        if (df_row_sum_same(was->sum, is))
            continue;
        *first = was->first;
        *last = was->first + was->count - 1;
    }
done:
    df_free(raw);
    return status;
}

dfal_status df_row_hashes_pool(struct df_row_sum *sum, const struct dfal_context *context,
                               struct df_pool *pool)
{
    void *raw;
    DF_TRY(df_alloc(&raw, rows_at_once(pool), df_pool_row_bytes(pool)));
    dfal_status status = sum_up(sum, context, pool, &(struct df_row_piece){.count = pool->count}, raw);
    df_free(raw);
    return status;
}

dfal_status df_row_hashes_check(const struct dfal_context *context, struct df_pool *pool,
                                const struct df_row_hashes *hashes, const char *path, dfal_status status)
{
    int64_t first, last;
    DF_TRY(df_row_hashes_compare(context, pool, hashes, &first, &last));
    if (first >= 0)
        DF_FAIL(status,
                "%s was made from other rows than %s holds now: the first that differ are among rows %lld to "
                "%lld, "
                "expected the same",
                path, pool->path, (long long)first, (long long)last);
    return DFAL_OK;
}

/* ---- In a file -------------------------------------------------------------------------------- */

dfal_status df_row_hashes_write(struct df_h5 *h5, const struct df_row_hashes *hashes)
{
    struct df_h5_data data = DF_H5_NO_DATA;
    uint64_t(*rows)[COLUMNS];
    int64_t complete = 0;
    dfal_status status = DFAL_OK;
    DF_TRY(df_alloc(&rows, hashes->count, sizeof *rows));
    for (int64_t i = 0; i < hashes->count; i++) {
        const struct df_row_piece *piece = &hashes->pieces[i];
        if (is_complete(hashes, i))
            memcpy(rows[complete++],
                   (const uint64_t[COLUMNS]){(uint64_t)piece->first, (uint64_t)piece->count, piece->sum.high,
                                             piece->sum.low},
                   sizeof *rows);
    }
    if (complete == 0)
        goto done;
    DF_TRY_TO(done, status,
              df_h5_data_create(h5, dataset, H5T_STD_U64LE, 2, (const int64_t[]){complete, COLUMNS}, 0, NULL,
                                &data));
    DF_TRY_TO(done, status, df_h5_put_text(h5, data.id, algorithm, DF_ROW_SUM_NAME));
    status = df_h5_data_write(h5, &data, H5T_NATIVE_UINT64, 0, complete, rows);
done:
    DF_KEEP_FIRST(status, df_h5_data_close(h5, &data));
    df_free(rows);
    return status;
}

/* Ascending pieces within the rows that the file is of, none of them beyond a shard of the pool. */
static dfal_status take_pieces(const struct df_h5 *h5, struct df_row_hashes *hashes,
                               const uint64_t (*rows)[COLUMNS], int64_t count)
{
    int64_t next = hashes->begin;
    for (int64_t i = 0; i < count; i++) {
        const int64_t first = (int64_t)rows[i][FIRST];
        const int64_t piece = first < next || first >= hashes->end ? -1 : df_row_hashes_find(hashes, first);
        if (piece < 0 || hashes->pieces[piece].first != first ||
            rows[i][COUNT] != (uint64_t)df_row_hashes_rows(hashes, piece))
            DF_FAIL(DFAL_E_DATA,
                    "%s: row %lld of dataset '%s' tells of %llu rows from row %llu on, expected the part of "
                    "a shard "
                    "of %d rows that lies within %lld:%lld, in ascending order",
                    h5->path, (long long)i, dataset, (unsigned long long)rows[i][COUNT],
                    (unsigned long long)rows[i][FIRST], DF_SHARD_ROWS, (long long)hashes->begin,
                    (long long)hashes->end);
        hashes->pieces[piece].count = (int64_t)rows[i][COUNT];
        hashes->pieces[piece].sum = (struct df_row_sum){.high = rows[i][HIGH], .low = rows[i][LOW]};
        next = first + 1;
    }
    return DFAL_OK;
}

static dfal_status read_pieces(const struct df_h5 *h5, const struct df_h5_data *data,
                               struct df_row_hashes *hashes)
{
    char text[DF_H5_SHAPE_TEXT], *name = NULL;
    uint64_t(*rows)[COLUMNS] = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_h5_get_text(h5, data->id, algorithm, &name));
    if (!name || strcmp(name, DF_ROW_SUM_NAME) != 0)
        goto done; /* of a hash that this version does not know: nothing is known of the rows */
    if (data->kind != DF_H5_INTEGER || data->rank != 2 || data->dims[1] != COLUMNS ||
        data->dims[0] > hashes->count) {
        status =
            df_fail(DFAL_E_SHAPE, "%s: dataset '%s' is %s, expected at most [%lld, %d] integers", h5->path,
                    dataset, df_h5_shape(text, data->dims, data->rank), (long long)hashes->count, COLUMNS);
        goto done;
    }
    DF_TRY_TO(done, status, df_alloc(&rows, data->dims[0], sizeof *rows));
    DF_TRY_TO(done, status, df_h5_data_read(h5, data, H5T_NATIVE_UINT64, 0, data->dims[0], rows));
    status = take_pieces(h5, hashes, (const uint64_t(*)[COLUMNS])rows, data->dims[0]);
done:
    df_free(rows);
    df_free(name);
    return status;
}

dfal_status df_row_hashes_read(struct df_h5 *h5, struct df_row_hashes *hashes, int64_t begin, int64_t end)
{
    struct df_h5_data data;
    bool found;
    *hashes = DF_ROW_HASHES_NONE;
    DF_TRY(df_h5_data_open(h5, dataset, &data, &found));
    dfal_status status = df_row_hashes_open(hashes, begin, end, DF_SHARD_ROWS);
    if (status == DFAL_OK && found)
        status = read_pieces(h5, &data, hashes);
    df_h5_data_close(h5, &data);
    if (status != DFAL_OK)
        df_row_hashes_close(hashes);
    return status;
}
