/* SPDX-License-Identifier: Apache-2.0 */
/* CORE-SET, the greedy choice (Sener, Savarese 2018, arXiv:1708.00489, algorithm 1): again and again the
 * candidate that lies farthest from all labelled and chosen rows.
 *
 * Math     u = argmax_i min_j ||h_i - h_j||, j over the labelled rows and those chosen before; its score is
 *          that distance
 * Ties     the seeded order. Without a labelled row every distance is infinite, so the first is a tie of all
 * Memory   the features and 8 bytes a candidate */
#include "strategy/k_center.h"

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    const char *node = df_view_text(view, "node");
    struct df_k_center ask = {
        .context = df_view_context(view), .seed = df_view_seed(view), .rows = df_view_rows(view)};
    choices->count = choices->nonfinite = 0;
    DF_TRY(df_view_labelled_features(view, node, &ask.centres));
    DF_TRY(df_view_features(view, node, &ask.h));
    return df_k_center_greedy(&ask, q, choices);
}

static const struct df_strategy_option options[] = {DF_OPTION_NODE, {0}};

const struct df_strategy df_strategy_coreset_greedy = {
    .name = "coreset-greedy",
    .summary = "farthest from all labelled and chosen rows, one after the other",
    .asks = DF_ASKS_FEATURES,
    .set = true,
    .options = options,
    .select = choose,
};
