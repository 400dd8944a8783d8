/* SPDX-License-Identifier: Apache-2.0 */
/* k-center of k_center.h where several ranks have the rows. */
#ifndef DF_STRATEGY_K_CENTER_RANKS_H
#define DF_STRATEGY_K_CENTER_RANKS_H

#include "strategy/k_center.h"

struct df_bidder;
struct df_comm;

/* Collective. What df_k_center_greedy chooses of everybody's rows, on every rank, but that a choice's
 * candidate is its row of the pool. among: the rows of this rank, perhaps none, and the centres before, the
 * same on all.
 * Traffic  a step the bids (bid.h) and one row's features
 * Errors   E_STOPPED, and what stops another rank */
dfal_status df_k_center_over_ranks(struct df_comm *comm, const struct df_k_center_among *among, int64_t q,
                                   struct df_choices *choices);
/* What a candidate's row is to the other ranks: its features. */
void df_k_center_give(const struct df_k_center_among *among, int64_t candidate, void *row);
/* Collective. The choice of q rows, wherever this rank has its own: bidder says who bids, gives and meets
 * them, with squares as priorities. choices->nonfinite: of this rank's rows before, of all ranks' then. */
dfal_status df_k_center_rounds(struct df_comm *comm, const struct df_k_center_among *among,
                               struct df_bidder bidder, int64_t q, struct df_choices *choices);
/* Distances of their squares. */
void df_k_center_take_roots(struct df_choices *choices);

#endif
