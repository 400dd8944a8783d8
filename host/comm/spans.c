/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/spans.h"

#include "base/memory.h"
#include "comm/device_link.h"

dfal_status df_comm_span_broadcast(struct df_comm *comm, struct df_device *device, int32_t queue,
                                   struct df_span data, int64_t count, int32_t root)
{
    char *host;
    dfal_status status;
    DF_TRY(df_span_check(data, count, "broadcast"));
    if (comm->size == 1)
        return DFAL_OK;
    if (comm->link)
        return df_comm_link_broadcast(comm, queue, data, count, root);
    const int64_t bytes = count * (int64_t)df_type_size(data.buffer->type);
    DF_TRY(df_alloc(&host, bytes, 1));
    if (comm->rank == root)
        DF_TRY_TO(done, status, df_read(device, queue, host, data, count));
    DF_TRY_TO(done, status, comm->broadcast(comm, host, bytes, root));
    status = comm->rank == root ? DFAL_OK : df_write(device, queue, data, host, count);
done:
    df_free(host);
    return status;
}
