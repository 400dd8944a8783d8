/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/spans.h"

#include "backend/op_call.h"
#include "base/memory.h"

static dfal_status check(struct df_span span, int64_t count, const char *what)
{
    if (span.buffer != NULL && span.buffer->type != DF_TYPE_REAL)
        DF_FAIL(DFAL_E_INTERNAL, "%s was called on a buffer that is not of REAL", what);
    return df_span_check(span, count, what);
}

/* Everybody's reals, on the host: [size * count], to be freed. */
static dfal_status gather(float **all, struct df_comm *comm, struct df_device *device, int32_t queue,
                          struct df_span in, int64_t count)
{
    float *own = NULL;
    dfal_status status;
    *all = NULL;
    DF_TRY_TO(done, status, df_alloc(&own, count, sizeof *own));
    DF_TRY_TO(done, status, df_alloc(all, comm->size * count, sizeof **all));
    DF_TRY_TO(done, status, df_read(device, queue, own, in, count));
    status = df_comm_allgather(comm, *all, own, count * (int64_t)sizeof *own);
done:
    df_free(own);
    if (status != DFAL_OK) {
        df_free(*all);
        *all = NULL;
    }
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
