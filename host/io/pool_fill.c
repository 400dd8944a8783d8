/* SPDX-License-Identifier: Apache-2.0 */
#include "io/pool_fill.h"

#include "base/memory.h"

enum { BLOCK_BYTES = 1 << 20 };

dfal_status df_pool_fill(struct df_pool_writer *writer, dfal_context *context, struct df_progress *progress,
                         const struct df_fill *fill)
{
    void *block;
    dfal_status status = DFAL_OK;
    int64_t count = fill->end - fill->begin, rows = BLOCK_BYTES / (int64_t)fill->row_bytes;
    rows = rows < 1 ? 1 : rows > count ? count : rows;
    DF_TRY(df_alloc(&block, rows, fill->row_bytes));
    for (int64_t done = 0; done < count; done += rows) {
        int64_t n = count - done < rows ? count - done : rows;
        const int32_t *labels = fill->labels ? fill->labels + done : NULL;
        DF_TRY_TO(done, status, df_context_check_stop(context));
        DF_TRY_TO(done, status, fill->read(fill->user, block, fill->begin + done, n));
        DF_TRY_TO(done, status, df_pool_append(writer, block, labels, n));
        df_progress_add(progress, n, "");
    }
done:
    df_free(block);
    return status;
}
