/* SPDX-License-Identifier: Apache-2.0 */
/* What DeepFool finds for a sample, and who takes it. */
#ifndef DF_SCORE_MARGIN_H
#define DF_SCORE_MARGIN_H

#include <math.h>
#include <string.h>

#include "store/scores.h"

/* One sample's result. */
struct df_margin {
    int64_t index; /* row in the pool */
    float margin, first_margin, logit_gap;
    uint8_t status;
    int32_t label, adversarial_class;
    uint16_t iterations;
};
/* Make it entry `at` of columns of results. */
static inline void df_margin_store(const struct df_scores *scores, int64_t at, const struct df_margin *margin)
{
    scores->index[at] = margin->index;
    scores->margin[at] = margin->margin;
    scores->first_margin[at] = margin->first_margin;
    scores->logit_gap[at] = margin->logit_gap;
    scores->status[at] = margin->status;
    scores->label[at] = margin->label;
    scores->adversarial_class[at] = margin->adversarial_class;
    scores->iterations[at] = margin->iterations;
}
/* And entry `at` as one sample's result. */
static inline struct df_margin df_margin_load(const struct df_scores *scores, int64_t at)
{
    return (struct df_margin){
        .index = scores->index[at],
        .margin = scores->margin[at],
        .first_margin = scores->first_margin[at],
        .logit_gap = scores->logit_gap[at],
        .status = scores->status[at],
        .label = scores->label[at],
        .adversarial_class = scores->adversarial_class[at],
        .iterations = scores->iterations[at],
    };
}
/* How far what is computed again lies from what is stored, of the larger of |again| and 1e-3; INFINITY where
 * only one is finite. */
static inline double df_margin_error(float stored, float again)
{
    if (stored == again)
        return 0;
    if (!isfinite(stored) || !isfinite(again))
        return (double)INFINITY;
    return fabs((double)stored - (double)again) / fmax(fabs((double)again), 1e-3);
}
/* Up to there another arithmetic agrees about the margins of a file (docs/NUMERICS.md, "Precision"). */
#define DF_MARGIN_TOLERANCE 1e-3
static inline double df_margin_tolerance(const struct df_rows_head *head)
{
    const bool fast = strcmp(head->precision, "fast") == 0 || strstr(head->mixed, "precision: ") != NULL;
    return fast ? 5e-2 : DF_MARGIN_TOLERANCE;
}
/* Shard sink: where results go, in completion order (which means nothing); called under a lock.
 * adversarial [D] is x0 + (1 + overshoot) r of an OK or TIE sample when wanted, else NULL. */
struct df_margin_sink {
    dfal_status (*put)(struct df_margin_sink *self, const struct df_margin *margin, const float *adversarial);
    bool wants_adversarial;
};

#endif
