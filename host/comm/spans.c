/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/spans.h"

#include "backend/op_call.h"
#include "base/memory.h"
#include "comm/device_link.h"

static dfal_status check(struct df_span span, int64_t count, const char *what)
{
    if (span.buffer != NULL && span.buffer->type != DF_TYPE_REAL)
        DF_FAIL(DFAL_E_INTERNAL, "%s was called on a buffer that is not of REAL", what);
    return df_span_check(span, count, what);
}

/* What is gathered on the device, on the host. */
static dfal_status gather_joined(float *all, struct df_comm *comm, struct df_device *device, int32_t queue,
                                 struct df_span in, int64_t count)
{
    struct df_span out;
    DF_TRY(df_buffer_new(device, &out, DF_TYPE_REAL, comm->size * count));
    dfal_status status = df_comm_link_allgather(comm, queue, out, in, count);
    if (status == DFAL_OK)
        status = df_read(device, queue, all, out, comm->size * count);
    df_buffer_drop(device, &out);
    return status;
}

/* The same by way of the ranks' hosts. */
static dfal_status gather_by_hosts(float *all, struct df_comm *comm, struct df_device *device, int32_t queue,
                                   struct df_span in, int64_t count)
{
    float *own;
    DF_TRY(df_alloc(&own, count, sizeof *own));
    dfal_status status = df_read(device, queue, own, in, count);
    if (status == DFAL_OK)
        status = df_comm_allgather(comm, all, own, count * (int64_t)sizeof *own);
    df_free(own);
    return status;
}

/* Everybody's reals, on the host: [size * count], to be freed. */
static dfal_status gather(float **all, struct df_comm *comm, struct df_device *device, int32_t queue,
                          struct df_span in, int64_t count)
{
    DF_TRY(df_alloc(all, comm->size * count, sizeof **all));
    const dfal_status status =
        (comm->link ? gather_joined : gather_by_hosts)(*all, comm, device, queue, in, count);
    if (status != DFAL_OK) {
        df_free(*all);
        *all = NULL;
    }
    return status;
}

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

dfal_status df_comm_span_allgather(struct df_comm *comm, struct df_device *device, int32_t queue,
                                   struct df_span out, struct df_span in, int64_t count)
{
    float *all;
    if (comm->size == 1) {
        const struct df_call copy = DF_CALL(copy_cols, .rows = 1, .cols = count, .y = out, .x = in,
                                            .p.cols = {.y_stride = count, .x_stride = count});
        DF_TRY(df_call_check(&copy));
        return df_call_run(device, queue, &copy);
    }
    DF_TRY(check(in, count, "allgather"));
    DF_TRY(check(out, comm->size * count, "allgather"));
    if (comm->link)
        return df_comm_link_allgather(comm, queue, out, in, count);
    DF_TRY(gather(&all, comm, device, queue, in, count));
    const dfal_status status = df_write(device, queue, out, all, comm->size * count);
    df_free(all);
    return status;
}

dfal_status df_comm_span_allreduce(struct df_comm *comm, struct df_device *device, int32_t queue,
                                   struct df_span sum, int64_t count)
{
    float *all;
    DF_TRY(check(sum, count, "allreduce"));
    if (comm->size == 1)
        return DFAL_OK;
    DF_TRY(gather(&all, comm, device, queue, sum, count));
    for (int32_t r = 1; r < comm->size; r++)
        for (int64_t i = 0; i < count; i++)
            all[i] += all[r * count + i];
    const dfal_status status = df_write(device, queue, sum, all, count);
    df_free(all);
    return status;
}
