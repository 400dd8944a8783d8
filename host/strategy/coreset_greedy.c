/* SPDX-License-Identifier: Apache-2.0 */
/* CORE-SET, the greedy choice: k_center.h. A query's score is its distance when it was chosen. */
#include <math.h>

#include "strategy/k_center.h"
#include "strategy/strategy.h"

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct df_k_center center = {0};
    dfal_status status;
    choices->count = 0;
    DF_TRY_TO(done, status, df_k_center_begin(&center, view, df_view_text(view, "node"), q));
    choices->nonfinite = center.nonfinite;
    while (choices->count < q && center.next >= 0) {
        choices->list[choices->count++] =
            (struct df_choice){.candidate = center.next, .score = sqrt(center.nearest[center.next])};
        DF_TRY_TO(done, status, df_k_center_pick(&center));
    }
done:
    df_k_center_end(&center);
    return status;
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
