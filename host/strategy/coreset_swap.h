/* SPDX-License-Identifier: Apache-2.0 */
/* Centres of k-center made better one by one: as long as another candidate in the place of a centre makes the
 * radius smaller, it takes it. No radius is proven by that. */
#ifndef DF_STRATEGY_CORESET_SWAP_H
#define DF_STRATEGY_CORESET_SWAP_H

#include "strategy/coreset_cover.h"

/* Ties     the first candidate that makes it smaller, in the place of the first centre that lets it
 * Memory   48 bytes a candidate. Errors   E_STOPPED */
dfal_status df_cover_swap(const struct df_cover *cover, int64_t *chosen, int64_t count, double *square,
                          int64_t *swaps);

#endif
