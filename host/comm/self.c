/* SPDX-License-Identifier: Apache-2.0 */
/* The simplest member: one process that is everybody. */
#include <string.h>

#include "base/memory.h"
#include "comm/comm.h"

static dfal_status self_allgather(struct df_comm *comm, void *out, const void *in, int64_t bytes)
{
    (void)comm;
    if (bytes > 0 && out != in)
        memmove(out, in, (size_t)bytes);
    return DFAL_OK;
}

static dfal_status self_barrier(struct df_comm *comm)
{
    (void)comm;
    return DFAL_OK;
}

static void self_close(struct df_comm *comm)
{
    df_free(comm);
}

dfal_status df_comm_open_self(struct df_comm **out)
{
    *out = NULL;
    struct df_comm *comm;
    DF_TRY(df_alloc(&comm, 1, sizeof *comm));
    *comm = (struct df_comm){
        .name = "self",
        .rank = 0,
        .size = 1,
        .allgather = self_allgather,
        .barrier = self_barrier,
        .close = self_close,
    };
    *out = comm;
    return DFAL_OK;
}
