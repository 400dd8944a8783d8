/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing one row after the other where each rank has a part of them: everybody bids the best of its own
 * rows, the highest bid is the choice of all, its owner gives what the row is to the others, and all rows
 * meet it. */
#ifndef DF_STRATEGY_BID_H
#define DF_STRATEGY_BID_H

#include "strategy/strategy.h"

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

/* The rows of this rank. */
struct df_bidder {
    uint64_t seed; /* of ties */
    int64_t bytes; /* of what a row is to the others */
    void *user;
    /* The best of the rows, where `step` were chosen before. */
    dfal_status (*bid)(void *user, int64_t step, struct df_bid *bid);
    /* What that row is to the others. */
    dfal_status (*give)(void *user, void *row);
    /* All rows meet the row that was chosen; own: it is the one that this rank bid, which is not to be chosen
     * again. Else that one may be. The row stays what it is until the next is given. */
    dfal_status (*meet)(void *user, int64_t step, const void *row, bool own);
};
/* Collective. Choose q rows, fewer where they run out; comm NULL: of this process alone. A choice's candidate
 * is its row of the pool, its score the priority. Errors   those of the functions, and what stops another
 * rank */
dfal_status df_bid_rounds(struct df_comm *comm, const struct df_bidder *bidder, int64_t q,
                          struct df_choices *choices);

#endif
