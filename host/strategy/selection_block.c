/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/selection_block.h"

#include "base/memory.h"
#include "score/row_values.h"
#include "strategy/view_inside.h"

enum { READ_BYTES = 1 << 24 };

dfal_status df_selection_block_open(struct df_selection_block *block, const struct df_view *view, int64_t q)
{
    int64_t size = df_shape_size(view->pool->shape), rows = READ_BYTES / ((int64_t)sizeof(float) * size);
    block->capacity = q < DF_BLOCK_ROWS ? q : DF_BLOCK_ROWS;
    block->read_rows = rows < 1 ? 1 : rows > block->capacity ? block->capacity : rows;
    DF_TRY(df_alloc(&block->rows, block->capacity, sizeof *block->rows));
    DF_TRY(df_alloc(&block->finite, block->capacity, sizeof *block->finite));
    DF_TRY(df_alloc(&block->raw, block->read_rows, df_pool_row_bytes(view->pool)));
    DF_TRY(df_alloc(&block->x, block->read_rows * size, sizeof *block->x));
    return df_alloc(&block->logits, block->capacity * view->network->class_count, sizeof *block->logits);
}

void df_selection_block_close(struct df_selection_block *block)
{
    df_free(block->rows);
    df_free(block->finite);
    df_free(block->raw);
    df_free(block->x);
    df_free(block->logits);
}

/* A NaN in the input may vanish on the way to the logits, so the input itself is looked at. Bytes are always
 * finite. */
static dfal_status look_at_inputs(const struct df_view *view, struct df_selection_block *block, int64_t m)
{
    int64_t size = df_shape_size(view->pool->shape);
    for (int64_t begin = 0; begin < m; begin += block->read_rows) {
        int64_t n = m - begin < block->read_rows ? m - begin : block->read_rows;
        if (view->pool->raw != DF_RAW_U8) {
            DF_TRY(df_pool_gather(view->pool, block->raw, block->rows + begin, n));
            df_pool_decode(view->pool, block->x, block->raw, n);
        }
        for (int64_t i = 0; i < n; i++)
            block->finite[begin + i] =
                view->pool->raw == DF_RAW_U8 || df_row_is_finite(block->x + i * size, size);
    }
    return DFAL_OK;
}

dfal_status df_selection_block_look(struct df_selection_block *block, const struct df_view *view, int64_t m)
{
    const int64_t k = view->network->class_count;
    DF_TRY(look_at_inputs(view, block, m));
    DF_TRY(df_view_logits_of(view, block->rows, m, block->logits));
    for (int64_t i = 0; i < m; i++)
        block->finite[i] = block->finite[i] && df_row_is_finite(block->logits + i * k, k);
    return DFAL_OK;
}
