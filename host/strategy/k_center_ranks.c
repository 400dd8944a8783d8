/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/k_center_ranks.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "comm/comm.h"
#include "strategy/bid.h"

/* The farthest row of this rank. */
static struct df_bid bid_of(const struct df_k_center *center)
{
    if (center->next < 0)
        return (struct df_bid){.priority = -INFINITY, .row = -1};
    return (struct df_bid){.priority = center->nearest[center->next],
                           .row = center->among.from.rows[center->next]};
}

/* Everybody's rows meet the row that was chosen, whose features the owner has: they go into centre [size]. */
static dfal_status pick(struct df_k_center *center, struct df_comm *comm, int32_t owner, float *centre)
{
    const struct df_features *h = &center->among.from.h;
    const size_t bytes = (size_t)h->size * sizeof *centre;
    const bool own = comm->rank == owner;
    if (own)
        memcpy(centre, h->values + center->next * h->size, bytes);
    DF_TRY(comm->broadcast(comm, centre, (int64_t)bytes, owner));
    return own ? df_k_center_pick(center) : df_k_center_meet(center, centre);
}

dfal_status df_k_center_over_ranks(struct df_comm *comm, const struct df_k_center_among *among, int64_t q,
                                   struct df_choices *choices)
{
    struct df_k_center center = {0};
    float *centre = NULL;
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, df_k_center_begin(&center, among, q));
    DF_TRY_TO(done, status, df_alloc(&centre, among->from.h.size, sizeof *centre));
    double nonfinite = (double)center.nonfinite;
    DF_TRY_TO(done, status, df_comm_sum(comm, &nonfinite, 1));
    choices->nonfinite = (int64_t)nonfinite;
    while (choices->count < q) {
        struct df_bid bid = bid_of(&center);
        int32_t owner;
        DF_TRY_TO(done, status, df_bid_highest(comm, among->from.seed, &bid, &owner));
        if (bid.row < 0)
            break;
        choices->list[choices->count++] =
            (struct df_choice){.candidate = bid.row, .score = sqrt(bid.priority)};
        DF_TRY_TO(done, status, pick(&center, comm, owner, centre));
    }
done:
    df_free(centre);
    df_k_center_end(&center);
    return status;
}
