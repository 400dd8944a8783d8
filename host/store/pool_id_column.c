/* SPDX-License-Identifier: Apache-2.0 */
/* The column of ids of a file made from a pool. */
#include "base/memory.h"
#include "store/pool_file.h"

enum { BLOCK_ROWS = 4096 };

struct block {
    const char *id[BLOCK_ROWS];
    char made[BLOCK_ROWS][DF_MADE_ID];
};

static dfal_status write_block(const struct df_h5 *h5, const struct df_h5_data *column, int64_t at,
                               int64_t count, const char *const *ids)
{
    df_h5_lock();
    dfal_status status = df_h5_texts_write(h5, column, at, count, ids);
    df_h5_unlock();
    return status;
}

static dfal_status copy_block(struct df_pool *pool, struct block *block, const struct df_h5 *h5,
                              const struct df_h5_data *column, int64_t at, int64_t row, int64_t count)
{
    char **ids = (char **)block->id;
    DF_TRY(df_pool_ids(pool, ids, row, count));
    dfal_status status = df_pool_unchanged(pool);
    if (status == DFAL_OK)
        status = write_block(h5, column, at, count, block->id);
    for (int64_t i = 0; i < count; i++)
        df_free(ids[i]);
    return status;
}

dfal_status df_pool_put_ids(struct df_pool *pool, const struct df_h5 *h5, const struct df_h5_data *column,
                            int64_t at, int64_t row, int64_t count)
{
    struct block *block;
    DF_TRY(df_alloc(&block, 1, sizeof *block));
    dfal_status status = DFAL_OK;
    for (int64_t done = 0; done < count && status == DFAL_OK; done += BLOCK_ROWS) {
        const int64_t n = count - done < BLOCK_ROWS ? count - done : BLOCK_ROWS;
        if (pool->has_ids) {
            status = copy_block(pool, block, h5, column, at + done, row + done, n);
            continue;
        }
        for (int64_t i = 0; i < n; i++) {
            df_pool_make_id(pool, block->made[i], row + done + i);
            block->id[i] = block->made[i];
        }
        status = write_block(h5, column, at + done, n, block->id);
    }
    df_free(block);
    return status;
}
