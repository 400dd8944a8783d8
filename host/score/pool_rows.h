/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a pool by their numbers, in any order, as a network sees them. They are read block by block, so
 * that the raw ones take little memory beside what is asked for. */
#ifndef DF_SCORE_POOL_ROWS_H
#define DF_SCORE_POOL_ROWS_H

#include "base/row_sum.h"
#include "store/pool.h"

/* Read and decode.
 *   x    out [count, C, H, W]
 *   sum  the rows' raw bytes are added to it; NULL: it is not wanted
 * Errors   those of reading; E_MEMORY */
dfal_status df_pool_rows_read(float *x, struct df_row_sum *sum, struct df_pool *pool, const int64_t *rows,
                              int64_t count);
/* Whether all values of each row are finite: [count]. Rows of bytes always are, and are not read. */
dfal_status df_pool_rows_are_finite(bool *finite, struct df_pool *pool, const int64_t *rows, int64_t count);

#endif
