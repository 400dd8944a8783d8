/* SPDX-License-Identifier: Apache-2.0 */
/* k-center, the greedy choice (Sener, Savarese 2018, arXiv:1708.00489, algorithm 1): again and again the
 * candidate that lies farthest from all labelled rows and centres.
 *
 * Math     u = argmax_i min_j ||h_i - h_j||, j over the labelled rows and the centres before
 * Order    squared distances in double, in the order of df_square_distance; nothing of another candidate
 *          enters
 * Ties     the seeded order. Without a labelled row every distance is infinite, so the first is a tie of all
 * Memory   the features and 8 bytes a candidate: never a distance for each pair
 * Threads  each has rows of its own; the farthest of each are compared as if one thread had looked at all */
#ifndef DF_STRATEGY_K_CENTER_H
#define DF_STRATEGY_K_CENTER_H

#include "strategy/row_loop.h"
#include "strategy/view.h"

struct df_k_center {
    struct df_view *view;
    struct df_features h, labelled;
    double *nearest;   /* [n] squared distance to the nearest centre; below 0: no candidate (any more) */
    int64_t next;      /* the farthest candidate; -1: nobody is left */
    int64_t nonfinite; /* candidates that are none: their features are not finite */
    struct df_features added; /* the centres that the rows meet */
    int64_t *farthest;        /* [jobs] of the rows of each; -1: nobody is left */
    struct df_row_loop loop;
};
/* Features of the node, and how far each candidate is from the labelled rows. picks: how many will be asked
 * for, for the progress. One that was not begun may be ended. */
dfal_status df_k_center_begin(struct df_k_center *center, struct df_view *view, const char *node,
                              int64_t picks);
void df_k_center_end(struct df_k_center *center);
/* Begin again with these distances [n]: of those below 0 none is a candidate. */
dfal_status df_k_center_restart(struct df_k_center *center, const double *nearest);
/* Make the next candidate, which there is, a centre. */
dfal_status df_k_center_pick(struct df_k_center *center);

#endif
