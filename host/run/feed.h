/* SPDX-License-Identifier: Apache-2.0 */
/* How an experiment's training pool comes to its GPUs, where it stays over all rounds. */
#ifndef DF_RUN_FEED_H
#define DF_RUN_FEED_H

#include "score/resident_pool.h"

/* Can it be done so? how, of DFAL_FEEDS, NULL: own. pool NULL: nobody asks for its rows, and only the word
 * is checked.
 * Errors   E_USAGE another word; of `nccl` E_UNAVAILABLE a back end or a pool that has no such way */
dfal_status df_feed_check(struct df_device *device, const struct df_pool *pool, const char *how);
/* pool->resident becomes its rows on the devices of a group. how, of DFAL_FEEDS: `own`, or NULL: every rank
 * reads the rows itself, where they fit beside the work, else they stay away; `nccl`: the first rank of each
 * host reads them and sends them to the GPUs of the host's others. df_feed_check goes before. Collective.
 * Errors   of `nccl` E_UNAVAILABLE what NCCL fails with */
dfal_status df_feed(struct dfal_context *context, struct df_comm *comm, struct df_device *device,
                    struct df_pool *pool, const char *how);
/* Before the devices are closed. pool may be NULL. */
void df_feed_end(struct df_pool *pool);

#endif
