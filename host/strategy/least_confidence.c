/* SPDX-License-Identifier: Apache-2.0 */
/* 1 - max p, the largest is queried. Computed as rest / (1 + rest), so that confident samples, whose max p rounds to 1,
 * still differ. */
#include <math.h>

#include "strategy/softmax.h"
#include "strategy/strategy.h"

static double row_score(const float *logits, int32_t class_count)
{
    struct df_softmax softmax;
    return df_softmax(&softmax, logits, class_count) ? softmax.rest / (1 + softmax.rest) : (double)NAN;
}

const struct df_strategy df_strategy_least_confidence = {
    .name = "least-confidence",
    .summary = "smallest largest probability",
    .needs = DF_NEED_ROW_SCORES,
    .largest = true,
    .row_score = row_score,
    .rank = df_rank_largest,
};
