/* SPDX-License-Identifier: Apache-2.0 */
/* f_(1) - f_(2) of the logits, the smallest is queried. It is a number of float32, as the scores file keeps it, so that
 * both roads give the same ranks. */
#include <math.h>

#include "strategy/softmax.h"
#include "strategy/strategy.h"

static double row_score(const float *logits, int32_t class_count)
{
    struct df_softmax softmax;
    return df_softmax(&softmax, logits, class_count) ? (double)(float)softmax.gap : (double)NAN;
}

/* The gap is that of the sample itself, so it does not matter how far DeepFool came: MAX_ITER, ZERO_GRAD and PRUNED
 * rows rank like any other, and so does a NONFINITE one whose first step led out of bounds. Where the sample itself is
 * not finite the file's gap is infinite. */
static double scores_row(const struct df_scores *scores, int64_t row)
{
    float gap = scores->logit_gap[row];
    return scores->status[row] == DFAL_SCORE_NONFINITE && isinf(gap) ? (double)NAN : (double)gap;
}

const struct df_strategy df_strategy_logit_gap = {
    .name = "logit-gap",
    .summary = "smallest difference of the two largest logits",
    .needs = DF_NEED_ROW_SCORES,
    .row_score = row_score,
    .scores_row = scores_row,
    .rank = df_rank_smallest,
};
