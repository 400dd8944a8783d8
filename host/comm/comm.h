/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks: processes that work on one job, each with a device of its own. The simplest member is one
 * process; MPI and NCCL members come with their own shared objects.
 *
 * Everything here is collective: every rank makes the same call. Host bytes have arrived on return; what
 * is asked of device memory is a call of the queue, in order with those before and behind it. */
#ifndef DF_COMM_COMM_H
#define DF_COMM_COMM_H

#include "backend/backend.h"

struct df_comm {
    const char *name;
    int32_t rank, size;
    dfal_status (*barrier)(struct df_comm *comm);
    /* out [size * bytes]: everybody's bytes in rank order. */
    dfal_status (*allgather)(struct df_comm *comm, void *out, const void *in, int64_t bytes);
    /* out [size, count]: everybody's `count` reals in rank order; in does not overlap it.
     * Errors   E_INTERNAL a span that is no REAL, or ends before its count */
    dfal_status (*span_allgather)(struct df_comm *comm, struct df_device *device, int32_t queue,
                                  struct df_span out, struct df_span in, int64_t count);
    /* Each of `count` reals becomes the sum of everybody's, the same bits on every rank. Errors   as above */
    dfal_status (*span_allreduce)(struct df_comm *comm, struct df_device *device, int32_t queue,
                                  struct df_span sum, int64_t count);
    void (*close)(struct df_comm *comm);
};
dfal_status df_comm_open_self(struct df_comm **out);

#endif
