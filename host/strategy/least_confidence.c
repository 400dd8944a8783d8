/* SPDX-License-Identifier: Apache-2.0 */
/* 1 - max p, the largest is queried. Computed as rest / (1 + rest), so that confident samples, whose max p
 * rounds to 1, still differ. */
#include <math.h>

#include "strategy/rank.h"
#include "strategy/softmax.h"
#include "strategy/view.h"

static double score_of(const float *logits, int64_t class_count)
{
    struct df_softmax softmax;
    if (!df_softmax(&softmax, logits, (int32_t)class_count))
        return NAN;
    return softmax.rest / (1 + softmax.rest);
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    const double *scores;
    DF_TRY(df_view_row_scores(view, score_of, &scores));
    return df_rank_by_score(view, scores, DF_LARGEST_FIRST, q, choices);
}

static const struct df_strategy_option options[] = {DF_OPTION_POWER, {0}};

const struct df_strategy df_strategy_least_confidence = {
    .name = "least-confidence",
    .summary = "smallest largest probability",
    .asks = DF_ASKS_LOGITS,
    .options = options,
    .select = choose,
};
