/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of ranks, joined by a library of their maker (backend/link.h): spans of theirs (spans.h) then
 * meet without passing through the host. */
#ifndef DF_COMM_DEVICE_LINK_H
#define DF_COMM_DEVICE_LINK_H

#include "backend/backend.h"
#include "comm/comm.h"

/* Collective. Join these devices, one of each rank, until df_comm_unlink; of one rank nothing is joined. text
 * [DF_LINK_TEXT]: the library, "NCCL 2.28.9". A rank waits for the others as long as the job goes on, at most
 * `patience` seconds a call.
 * Errors   E_UNAVAILABLE no rank is joined, of the first that has no such library and why; on this rank alone
 *          the library's own: the others wait until it gives up */
dfal_status df_comm_link(struct df_comm *comm, struct dfal_context *context, struct df_device *device,
                         double patience, char *text);
/* Before the device is closed. */
void df_comm_unlink(struct df_comm *comm);

/* For spans.c, where the comm's ranks are joined. */
dfal_status df_comm_link_broadcast(struct df_comm *comm, int32_t queue, struct df_span data, int64_t count,
                                   int32_t root);

#endif
