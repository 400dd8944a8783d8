/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that were ranked, found by their number: results come in the order of the pool, or in any. */
#ifndef DF_STORE_ROW_RANK_H
#define DF_STORE_ROW_RANK_H

#include "base/status.h"

struct df_row_ranks {
    int64_t count;
    int64_t *rows; /* [count], ascending */
    int64_t *rank; /* [count], of each of them */
};
#define DF_ROW_RANKS_NONE ((struct df_row_ranks){0})

/* rows [count] in rank order, each once. */
dfal_status df_row_ranks_open(struct df_row_ranks *ranks, const int64_t *rows, int64_t count);
void df_row_ranks_close(struct df_row_ranks *ranks);
/* The rank of a row, -1: it has none. */
int64_t df_row_rank(const struct df_row_ranks *ranks, int64_t row);

#endif
