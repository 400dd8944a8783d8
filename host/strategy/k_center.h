/* SPDX-License-Identifier: Apache-2.0 */
/* k-center, the greedy choice (Sener, Savarese 2018, arXiv:1708.00489, algorithm 1): again and again the row
 * that lies farthest (l2) from all centres, those that were there before among them.
 *
 * Math     u = argmax_i min_j ||h_i - h_j||, j over the centres
 * Order    squared distances in double, in the order of df_square_distance; nothing of another row enters
 * Ties     by df_tie, then the first. Without a centre every distance is
 *          infinite, so the first is a tie of all
 * Memory   the features and 8 bytes a row: never a distance for each pair
 * Threads  each has rows of its own; the farthest of each are compared as if one thread had looked at all
 * Finite   a row that is not finite is never chosen, and counted; such a centre is nobody's */
#ifndef DF_STRATEGY_K_CENTER_H
#define DF_STRATEGY_K_CENTER_H

#include "strategy/row_loop.h"
#include "strategy/strategy.h"
#include "strategy/view.h"

/* What is chosen from. */
struct df_k_center_among {
    struct df_feature_rows from;
    struct df_features before; /* centres that are there before, perhaps none */
};
/* All candidates, and the labelled rows before them, by features of a node. */
dfal_status df_k_center_of_view(struct df_k_center_among *among, struct df_view *view, const char *node);

struct df_k_center {
    struct df_k_center_among among;
    double *nearest;   /* [n] squared distance to the nearest centre; below 0: not to be chosen (any more) */
    int64_t next;      /* the farthest row; -1: nobody is left */
    int64_t nonfinite; /* rows that are not to be chosen, because they are not finite */
    struct df_features added; /* the centres that the rows meet */
    int64_t *farthest;        /* [jobs] of the rows of each; -1: nobody is left */
    struct df_row_loop loop;
};
/* How far each row is from the centres before. picks: how many will be asked for, for the progress. One that
 * was not begun may be ended. Errors   E_STOPPED */
dfal_status df_k_center_begin(struct df_k_center *center, const struct df_k_center_among *among,
                              int64_t picks);
void df_k_center_end(struct df_k_center *center);
/* Begin again with these distances [n]: of those below 0 none is chosen. */
dfal_status df_k_center_restart(struct df_k_center *center, const double *nearest);
/* All rows meet a centre that is none of them. */
dfal_status df_k_center_meet(struct df_k_center *center, const float *centre);
/* Make the next row, which there is, a centre. */
dfal_status df_k_center_pick(struct df_k_center *center);
/* Choose q rows at once; choices->list has room for min(q, n). A choice's candidate is its place in from, its
 * score the distance to the nearest centre, infinite where there is none. The list of a larger q begins with
 * that of a smaller. */
dfal_status df_k_center_greedy(const struct df_k_center_among *among, int64_t q, struct df_choices *choices);

#endif
