/* SPDX-License-Identifier: Apache-2.0 */
/* K-center, the greedy choice: again and again the row that lies farthest (l2) from all centres, those chosen
 * before among them. */
#ifndef DF_STRATEGY_K_CENTER_H
#define DF_STRATEGY_K_CENTER_H

#include "strategy/strategy.h"
#include "strategy/view.h"

struct df_k_center {
    struct dfal_context *context;
    uint64_t seed;              /* of ties */
    const int64_t *rows;        /* [h.count] of the pool, which order ties */
    struct df_features h;       /* of those among which is chosen */
    struct df_features centres; /* those that are there before, perhaps none */
};
/* Choose q of h's rows; choices->list has room for min(q, h.count). A choice's candidate is its place in h,
 * its score the distance to the nearest centre, infinite where there is none. A row of h that is not finite
 * is never chosen, and counted; such a centre is nobody's.
 * Order    the list of a larger q begins with that of a smaller; the same on any number of threads
 * Ties   by df_random_bits(seed, DF_STREAM_TIES, row), then the first
 * Memory   8 bytes a row. Errors   E_STOPPED */
dfal_status df_k_center_greedy(const struct df_k_center *ask, int64_t q, struct df_choices *choices);

#endif
