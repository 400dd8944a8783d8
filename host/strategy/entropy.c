/* SPDX-License-Identifier: Apache-2.0 */
/* Entropy of the softmax, from the logits: H = logsumexp(f) - sum p f, in nats; the largest is queried. From stored
 * probabilities p log p would be NaN where p rounds to 0, and a descending sort queries NaN first. */
#include <math.h>

#include "strategy/softmax.h"
#include "strategy/strategy.h"

static double row_score(const float *logits, int32_t class_count)
{
    struct df_softmax softmax;
    return df_softmax(&softmax, logits, class_count) ? softmax.entropy : (double)NAN;
}

const struct df_strategy df_strategy_entropy = {
    .name = "entropy",
    .summary = "largest entropy of the softmax",
    .needs = DF_NEED_ROW_SCORES,
    .largest = true,
    .row_score = row_score,
    .rank = df_rank_largest,
};
