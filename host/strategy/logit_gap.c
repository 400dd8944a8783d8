/* SPDX-License-Identifier: Apache-2.0 */
/* f_(1) - f_(2) of the logits, the smallest is queried. */
#include "strategy/rank.h"
#include "strategy/view.h"

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    const double *gaps;
    DF_TRY(df_view_logit_gaps(view, &gaps));
    return df_rank_by_score(view, gaps, DF_SMALLEST_FIRST, q, choices);
}

static const struct df_strategy_option options[] = {DF_OPTION_POWER, {0}};

const struct df_strategy df_strategy_logit_gap = {
    .name = "logit-gap",
    .summary = "smallest difference of the two largest logits",
    .asks = DF_ASKS_LOGIT_GAPS,
    .options = options,
    .select = choose,
};
