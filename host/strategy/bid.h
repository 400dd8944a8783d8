/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing one row after the other where each rank has a part of them: everybody bids the best of its own
 * rows, and the highest bid is the choice of all. */
#ifndef DF_STRATEGY_BID_H
#define DF_STRATEGY_BID_H

#include "base/status.h"

struct df_comm;

struct df_bid {
    double priority;
    int64_t row; /* of the pool; -1: nobody is left */
};
/* Collective. The highest bid of all ranks, and whose it is; comm NULL: this process is alone.
 * Order    none: as if one rank had looked at all rows
 * Ties     by df_tie(seed, row), then the first row
 * Traffic  16 bytes of each rank */
dfal_status df_bid_highest(struct df_comm *comm, uint64_t seed, struct df_bid *bid, int32_t *owner);

#endif
