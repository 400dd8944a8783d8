/* SPDX-License-Identifier: Apache-2.0 */
/* Facility location, the greedy choice: rows such that each row has one of the chosen near it. */
#ifndef DF_STRATEGY_FACILITY_H
#define DF_STRATEGY_FACILITY_H

#include "strategy/strategy.h"
#include "strategy/view.h"

/* Choose q of the rows, again and again the one that adds most to the sum over all rows of the largest
 * similarity to a chosen one; a similarity is the largest distance (l2) of two rows less their distance.
 * choices->list has room for min(q, h.count). A choice's candidate is its place in from, its score what it
 * adds.
 * A row that is not finite is never chosen, and counted; nor is anybody's similarity to it.
 * Order    distances in double, in the order of df_square_distance; sums in the order of rows; the list of
 *          a larger q begins with that of a smaller; the same on any number of threads
 * Ties   by df_tie, then the first
 * Memory   24 bytes a row: never a distance for each pair. Errors   E_STOPPED */
dfal_status df_facility_greedy(const struct df_feature_rows *from, int64_t q, struct df_choices *choices);

#endif
