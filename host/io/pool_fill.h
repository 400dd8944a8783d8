/* SPDX-License-Identifier: Apache-2.0 */
/* From a reader of rows to a pool that is being written, a block at a time: memory does not grow with the
 * rows. */
#ifndef DF_IO_POOL_FILL_H
#define DF_IO_POOL_FILL_H

#include "base/log.h"
#include "store/pool.h"

/* Read rows [begin, begin + count) as the pool stores them; called in ascending order, without gaps. */
typedef dfal_status df_rows_fn(void *user, void *block, int64_t begin, int64_t count);

struct df_fill {
    df_rows_fn *read;
    void *user;
    int64_t begin, end; /* the reader's rows */
    size_t row_bytes;
    const int32_t *labels; /* [end - begin]; NULL: the pool has none */
};

/* Append the rows to the pool; progress counts them. Errors   E_STOPPED; those of read and df_pool_append */
dfal_status df_pool_fill(struct df_pool_writer *writer, dfal_context *context, struct df_progress *progress,
                         const struct df_fill *fill);

#endif
