/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/k_center_ranks.h"

#include <math.h>
#include <string.h>

#include "comm/comm.h"
#include "strategy/bid.h"

void df_k_center_give(const struct df_k_center_among *among, int64_t candidate, void *row)
{
    const struct df_features *h = &among->from.h;
    memcpy(row, h->values + candidate * h->size, (size_t)h->size * sizeof *h->values);
}

/* The farthest row of this rank. */
static dfal_status bid(void *user, int64_t step, struct df_bid *bid)
{
    const struct df_k_center *center = user;
    (void)step;
    *bid = (struct df_bid){.priority = -INFINITY, .row = -1};
    if (center->next >= 0)
        *bid = (struct df_bid){center->nearest[center->next], center->among.from.rows[center->next]};
    return DFAL_OK;
}

static dfal_status give(void *user, void *row)
{
    const struct df_k_center *center = user;
    df_k_center_give(&center->among, center->next, row);
    return DFAL_OK;
}

static dfal_status meet(void *user, int64_t step, const void *row, bool own)
{
    (void)step;
    return own ? df_k_center_pick(user) : df_k_center_meet(user, row);
}

void df_k_center_take_roots(struct df_choices *choices)
{
    for (int64_t i = 0; i < choices->count; i++)
        choices->list[i].score = sqrt(choices->list[i].score);
}

dfal_status df_k_center_rounds(struct df_comm *comm, const struct df_k_center_among *among,
                               struct df_bidder bidder, int64_t q, struct df_choices *choices)
{
    double nonfinite = (double)choices->nonfinite;
    DF_TRY(df_comm_sum(comm, &nonfinite, 1));
    choices->nonfinite = (int64_t)nonfinite;
    bidder.seed = among->from.seed;
    bidder.bytes = among->from.h.size * (int64_t)sizeof(float);
    DF_TRY(df_bid_rounds(comm, &bidder, q, choices));
    df_k_center_take_roots(choices);
    return DFAL_OK;
}

dfal_status df_k_center_over_ranks(struct df_comm *comm, const struct df_k_center_among *among, int64_t q,
                                   struct df_choices *choices)
{
    struct df_k_center center = {0};
    const struct df_bidder bidder = {.user = &center, .bid = bid, .give = give, .meet = meet};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, df_k_center_begin(&center, among, q));
    choices->nonfinite = center.nonfinite;
    status = df_k_center_rounds(comm, among, bidder, q, choices);
done:
    df_k_center_end(&center);
    return status;
}
