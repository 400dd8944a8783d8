/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/selection_block.h"

#include "base/memory.h"
#include "score/pool_rows.h"
#include "score/row_values.h"
#include "strategy/view_inside.h"

dfal_status df_selection_block_open(struct df_selection_block *block, const struct df_view *view, int64_t q)
{
    block->capacity = q < DF_BLOCK_ROWS ? q : DF_BLOCK_ROWS;
    DF_TRY(df_alloc(&block->rows, block->capacity, sizeof *block->rows));
    DF_TRY(df_alloc(&block->finite, block->capacity, sizeof *block->finite));
    return df_alloc(&block->logits, block->capacity * view->network->class_count, sizeof *block->logits);
}

void df_selection_block_close(struct df_selection_block *block)
{
    df_free(block->rows);
    df_free(block->finite);
    df_free(block->logits);
}

/* A NaN in the input may vanish on the way to the logits, so the input itself is looked at. */
dfal_status df_selection_block_look(struct df_selection_block *block, const struct df_view *view, int64_t m)
{
    const int64_t k = view->network->class_count;
    DF_TRY(df_pool_rows_are_finite(block->finite, view->pool, block->rows, m));
    DF_TRY(df_view_logits_of(view, block->rows, m, block->logits));
    for (int64_t i = 0; i < m; i++)
        block->finite[i] = block->finite[i] && df_row_is_finite(block->logits + i * k, k);
    return DFAL_OK;
}
