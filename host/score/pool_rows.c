/* SPDX-License-Identifier: Apache-2.0 */
#include "score/pool_rows.h"

#include "base/memory.h"
#include "score/row_values.h"

enum { BLOCK_BYTES = 1 << 24 };

static int64_t block_rows(int64_t count, size_t row_bytes)
{
    const int64_t rows = BLOCK_BYTES / (int64_t)row_bytes;
    return rows < 1 ? 1 : rows < count ? rows : count;
}

dfal_status df_pool_rows_read(float *x, struct df_row_sum *sum, struct df_pool *pool, const int64_t *rows,
                              int64_t count)
{
    const size_t bytes = df_pool_row_bytes(pool);
    const int64_t block = block_rows(count, bytes), size = df_shape_size(pool->shape);
    char *raw;
    dfal_status status;
    DF_TRY(df_alloc(&raw, block, bytes));
    for (int64_t begin = 0; begin < count; begin += block) {
        const int64_t n = count - begin < block ? count - begin : block;
        DF_TRY_TO(done, status, df_pool_gather(pool, raw, rows + begin, n));
        for (int64_t i = 0; sum && i < n; i++)
            df_row_sum_take(sum, raw + (size_t)i * bytes, bytes, rows[begin + i]);
        df_pool_decode(pool, x + begin * size, raw, n);
    }
    status = DFAL_OK;
done:
    df_free(raw);
    return status;
}

dfal_status df_pool_rows_are_finite(bool *finite, struct df_pool *pool, const int64_t *rows, int64_t count)
{
    const int64_t size = df_shape_size(pool->shape), block = block_rows(count, (size_t)size * sizeof(float));
    float *x = NULL;
    dfal_status status = DFAL_OK;
    if (pool->raw != DF_RAW_U8)
        DF_TRY(df_alloc(&x, block * size, sizeof *x));
    for (int64_t begin = 0; begin < count; begin += block) {
        const int64_t n = count - begin < block ? count - begin : block;
        if (x)
            DF_TRY_TO(done, status, df_pool_rows_read(x, NULL, pool, rows + begin, n));
        for (int64_t i = 0; i < n; i++)
            finite[begin + i] = !x || df_row_is_finite(x + i * size, size);
    }
done:
    df_free(x);
    return status;
}
