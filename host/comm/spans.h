/* SPDX-License-Identifier: Apache-2.0 */
/* Collective calls on memory of a device: calls of a queue, in order with those before and behind them. They
 * go from device to device where the ranks' devices are joined (device_link.h), else through memory of the
 * host. */
#ifndef DF_COMM_SPANS_H
#define DF_COMM_SPANS_H

#include "backend/backend.h"
#include "comm/comm.h"

/* data [count], of any type: the root's on every rank.
 * Errors   E_INTERNAL a span that ends before its count; those of df_comm */
dfal_status df_comm_span_broadcast(struct df_comm *comm, struct df_device *device, int32_t queue,
                                   struct df_span data, int64_t count, int32_t root);
/* out [size, count]: everybody's `count` reals in rank order; in does not overlap it.
 * Errors   E_INTERNAL a span that is no REAL, or ends before its count; those of df_comm */
dfal_status df_comm_span_allgather(struct df_comm *comm, struct df_device *device, int32_t queue,
                                   struct df_span out, struct df_span in, int64_t count);
/* Each of `count` reals becomes the sum of everybody's, in float32 and in rank order: the same bits on every
 * rank. Errors   as above */
dfal_status df_comm_span_allreduce(struct df_comm *comm, struct df_device *device, int32_t queue,
                                   struct df_span sum, int64_t count);

#endif
