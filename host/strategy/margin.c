/* SPDX-License-Identifier: Apache-2.0 */
/* p_(1) - p_(2) of the softmax, the smallest is queried: (1 - exp(-gap)) / (1 + rest), without the cancellation. Not
 * the DeepFool margin. */
#include <math.h>

#include "strategy/softmax.h"
#include "strategy/strategy.h"

static double row_score(const float *logits, int32_t class_count)
{
    struct df_softmax softmax;
    return df_softmax(&softmax, logits, class_count) ? -expm1(-softmax.gap) / (1 + softmax.rest)
                                                     : (double)NAN;
}

const struct df_strategy df_strategy_margin = {
    .name = "margin",
    .summary = "smallest difference of the two largest probabilities",
    .needs = DF_NEED_ROW_SCORES,
    .row_score = row_score,
    .rank = df_rank_smallest,
};
