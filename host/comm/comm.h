/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks. The simplest member is one process; MPI and NCCL members come with their own shared objects. */
#ifndef DF_COMM_COMM_H
#define DF_COMM_COMM_H

#include "base/status.h"

struct df_comm {
    const char *name;
    int32_t rank, size;
    /* out [size * bytes]: everybody's bytes in rank order. Collective */
    dfal_status (*allgather)(struct df_comm *comm, void *out, const void *in, int64_t bytes);
    dfal_status (*barrier)(struct df_comm *comm);
    void (*close)(struct df_comm *comm);
};
dfal_status df_comm_open_self(struct df_comm **out);

#endif
