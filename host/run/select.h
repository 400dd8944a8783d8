/* SPDX-License-Identifier: Apache-2.0 */
/* One selection: compute what a strategy needs for its candidates, rank, and find the twins. Used by `select` and by
 * every round of `run`. */
#ifndef DF_RUN_SELECT_H
#define DF_RUN_SELECT_H

#include "strategy/strategy.h"

struct df_selection_options {
    const struct df_strategy *strategy;
    int64_t count;
    int64_t subsample; /* 0: all */
    struct df_deepfool deepfool;
    const char *unconverged;
    uint64_t seed;
    int64_t batch;
    const struct df_scores *scores; /* NULL: compute margins; else those of a scores file, rows by index */
    bool twins;
};
struct df_selection {
    int64_t count;
    int64_t *index; /* rows of the pool, in rank order */
    double *score;
    int32_t *predicted, *adversarial_class;
    double *confidence;
    uint8_t *status;  /* DFAL_SCORE_*; OK for strategies without margins */
    int64_t size;     /* D */
    float *twin;      /* [count, D], network input; NULL without twins; rows whose status is not OK are zero */
    double seconds;
};
void df_selection_clear(struct df_selection *selection);
/* candidates [n]: unlabelled rows of the pool, any order. */
dfal_status df_select(struct dfal_context *context, struct df_device *device, const struct df_network *network,
                      struct df_pool *pool, const int64_t *candidates, int64_t n,
                      const struct df_selection_options *options, struct df_selection *selection);

#endif
