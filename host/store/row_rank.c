/* SPDX-License-Identifier: Apache-2.0 */
#include "store/row_rank.h"

#include <stdlib.h>
#include <string.h>

#include "base/compare.h"
#include "base/memory.h"
#include "store/stream.h"

dfal_status df_row_ranks_open(struct df_row_ranks *ranks, const int64_t *rows, int64_t count)
{
    *ranks = (struct df_row_ranks){.count = count};
    dfal_status status = df_alloc(&ranks->rows, count, sizeof *ranks->rows);
    DF_KEEP_FIRST(status, df_alloc(&ranks->rank, count, sizeof *ranks->rank));
    if (status != DFAL_OK) {
        df_row_ranks_close(ranks);
        return status;
    }
    memcpy(ranks->rows, rows, (size_t)count * sizeof *rows);
    qsort(ranks->rows, (size_t)count, sizeof *rows, df_compare_integers);
    for (int64_t i = 0; i < count; i++)
        ranks->rank[df_row_position(ranks->rows, count, rows[i])] = i;
    return DFAL_OK;
}

void df_row_ranks_close(struct df_row_ranks *ranks)
{
    df_free(ranks->rows);
    df_free(ranks->rank);
    *ranks = DF_ROW_RANKS_NONE;
}

int64_t df_row_rank(const struct df_row_ranks *ranks, int64_t row)
{
    const int64_t at = df_row_position(ranks->rows, ranks->count, row);
    return at < 0 ? -1 : ranks->rank[at];
}
