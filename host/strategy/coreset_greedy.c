/* SPDX-License-Identifier: Apache-2.0 */
/* CORE-SET, the greedy choice: k_center.h. A query's score is its distance when it was chosen. */
#include "strategy/k_center_device.h"

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct df_k_center_among among;
    struct df_view *part;
    choices->count = choices->nonfinite = 0;
    DF_TRY(df_view_part(view, &part));
    DF_TRY(df_k_center_of_view(&among, part, df_view_text(view, "node")));
    DF_TRY(df_k_center_choose(part, &among, q, choices));
    for (int64_t i = 0; i < choices->count && df_view_comm(part); i++)
        choices->list[i].candidate = df_view_candidate(view, choices->list[i].candidate);
    return DFAL_OK;
}

static const struct df_strategy_option options[] = {DF_OPTION_NODE, {0}};

const struct df_strategy df_strategy_coreset_greedy = {
    .name = "coreset-greedy",
    .summary = "farthest from all labelled and chosen rows, one after the other",
    .asks = DF_ASKS_FEATURES,
    .set = true,
    .spreads = true,
    .options = options,
    .select = choose,
};
