/* SPDX-License-Identifier: Apache-2.0 */
/* p_(1) - p_(2) of the softmax, the smallest is queried: (1 - exp(-gap)) / (1 + rest), without the
 * cancellation. Not the DeepFool margin. */
#include <math.h>

#include "strategy/rank.h"
#include "strategy/softmax.h"
#include "strategy/view.h"

static double score_of(const float *logits, int64_t class_count)
{
    struct df_softmax softmax;
    if (!df_softmax(&softmax, logits, (int32_t)class_count))
        return NAN;
    return -expm1(-softmax.gap) / (1 + softmax.rest);
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    const double *scores;
    DF_TRY(df_view_row_scores(view, score_of, &scores));
    return df_rank_by_score(view, scores, DF_SMALLEST_FIRST, q, choices);
}

static const struct df_strategy_option options[] = {DF_OPTION_POWER, {0}};

const struct df_strategy df_strategy_margin = {
    .name = "margin",
    .summary = "smallest difference of the two largest probabilities",
    .asks = DF_ASKS_LOGITS,
    .options = options,
    .select = choose,
};
