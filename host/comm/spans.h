/* SPDX-License-Identifier: Apache-2.0 */
/* The collective call on memory of a device: a call of a queue, in order with those before and behind it. It
 * goes from device to device where the ranks' devices are joined (device_link.h), else through memory of the
 * host. */
#ifndef DF_COMM_SPANS_H
#define DF_COMM_SPANS_H

#include "backend/backend.h"
#include "comm/comm.h"

/* data [count], of any type: the root's on every rank.
 * Errors   E_INTERNAL a span that ends before its count; those of df_comm */
dfal_status df_comm_span_broadcast(struct df_comm *comm, struct df_device *device, int32_t queue,
                                   struct df_span data, int64_t count, int32_t root);
#endif
