/* SPDX-License-Identifier: Apache-2.0 */
/* Entropy of the softmax, from the logits: H = logsumexp(f) - sum p f, in nats; the largest is queried. From
 * stored probabilities p log p would be NaN where p rounds to 0, and a descending sort queries NaN first. */
#include "strategy/rank.h"
#include "strategy/softmax.h"
#include "strategy/view.h"

dfal_status df_rank_by_entropy(struct df_view *view, int64_t q, struct df_choices *choices)
{
    const double *scores;
    DF_TRY(df_view_row_scores(view, df_softmax_entropy, &scores));
    return df_rank_by_score(view, scores, DF_LARGEST_FIRST, q, choices);
}

static const struct df_strategy_option options[] = {DF_OPTION_POWER, {0}};

const struct df_strategy df_strategy_entropy = {
    .name = "entropy",
    .summary = "largest entropy of the softmax",
    .asks = DF_ASKS_LOGITS,
    .options = options,
    .select = df_rank_by_entropy,
};
