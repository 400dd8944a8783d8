/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu.h"
#include "base/memory.h"

dfal_status df_cpu_scratch(struct df_cpu_queue *queue, int64_t count)
{
    if (count <= queue->scratch_count)
        return DFAL_OK;
    df_free(queue->scratch);
    queue->scratch = NULL;
    queue->scratch_count = 0;
    DF_TRY(df_alloc(&queue->scratch, count, sizeof(float)));
    queue->scratch_count = count;
    queue->moves++;
    return DFAL_OK;
}
