/* SPDX-License-Identifier: Apache-2.0 */
/* What a selection computes, or takes from files, for its strategy. Internal to host/strategy. */
#ifndef DF_STRATEGY_SELECTION_NEEDS_H
#define DF_STRATEGY_SELECTION_NEEDS_H

#include "strategy/selection.h"

/* Everything one selection works with; the caller's are borrowed. */
struct df_select_work {
    struct dfal_context *context;
    struct df_device *device;
    const struct df_network *network;
    struct df_pool *pool;
    const struct df_selection_options *options;
    const int64_t *rows; /* [n] ascending: the candidates of this selection */
    int64_t n;
    int64_t *own_rows;        /* where rows is not the caller's array */
    struct df_scores margins; /* computed */
    const struct df_scores *known_margins;
    float *logits;     /* [n, K] */
    double *row_score; /* [n] */
};

/* Position of row in ascending rows, -1: none. */
int64_t df_row_position(const int64_t *rows, int64_t n, int64_t row);
int df_compare_rows(const void *a, const void *b);

/* What options->strategy needs of work->rows. */
dfal_status df_select_needs(struct df_select_work *work);
void df_select_needs_clear(struct df_select_work *work);
/* logits [n, K] of ascending rows: from the file where there is one. */
dfal_status df_select_logits(const struct df_select_work *work, const int64_t *rows, int64_t n,
                             float *logits);
/* Twins of the first selection->twin_count chosen: their rows run again, so memory does not grow with the pool. */
dfal_status df_select_twins(const struct df_select_work *work, struct df_selection *selection);

#endif
