/* SPDX-License-Identifier: Apache-2.0 */
/* p_(1) - p_(2) of the softmax, the smallest is queried: (1 - exp(-gap)) / (1 + rest), without the
 * cancellation. Not the DeepFool margin. */
#include "strategy/rank.h"
#include "strategy/softmax.h"
#include "strategy/view.h"

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    const double *scores;
    DF_TRY(df_view_row_scores(view, df_softmax_margin, &scores));
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
