/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/bid.h"

#include "base/memory.h"
#include "comm/comm.h"
#include "strategy/rank.h"

static bool is_higher(const struct df_bid *a, const struct df_bid *b, uint64_t seed)
{
    if (a->row < 0 || b->row < 0)
        return b->row < 0 && a->row >= 0;
    if (a->priority != b->priority)
        return a->priority > b->priority;
    const uint64_t tie_a = df_tie(seed, a->row), tie_b = df_tie(seed, b->row);
    return tie_a != tie_b ? tie_a < tie_b : a->row < b->row;
}

dfal_status df_bid_highest(struct df_comm *comm, uint64_t seed, struct df_bid *bid, int32_t *owner)
{
    struct df_bid *bids;
    *owner = 0;
    if (!comm)
        return DFAL_OK;
    DF_TRY(df_alloc(&bids, comm->size, sizeof *bids));
    const dfal_status status = df_comm_allgather(comm, bids, bid, sizeof *bid);
    for (int32_t r = 1; r < comm->size && status == DFAL_OK; r++)
        if (is_higher(&bids[r], &bids[*owner], seed))
            *owner = r;
    if (status == DFAL_OK)
        *bid = bids[*owner];
    df_free(bids);
    return status;
}

dfal_status df_bid_rounds(struct df_comm *comm, const struct df_bidder *bidder, int64_t q,
                          struct df_choices *choices)
{
    char *row;
    dfal_status status = DFAL_OK;
    DF_TRY(df_alloc(&row, bidder->bytes, 1));
    for (int64_t step = choices->count = 0; step < q; step++) {
        struct df_bid bid;
        int32_t owner;
        DF_TRY_TO(done, status, bidder->bid(bidder->user, step, &bid));
        DF_TRY_TO(done, status, df_bid_highest(comm, bidder->seed, &bid, &owner));
        if (bid.row < 0)
            break;
        const bool own = !comm || comm->rank == owner;
        choices->list[choices->count++] = (struct df_choice){.candidate = bid.row, .score = bid.priority};
        if (own)
            DF_TRY_TO(done, status, bidder->give(bidder->user, row));
        if (comm)
            DF_TRY_TO(done, status, comm->broadcast(comm, row, bidder->bytes, owner));
        DF_TRY_TO(done, status, bidder->meet(bidder->user, step, row, own));
    }
done:
    df_free(row);
    return status;
}
