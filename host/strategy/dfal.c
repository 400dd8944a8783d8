/* SPDX-License-Identifier: Apache-2.0 */
/* DFAL (Ducoffe, Precioso 2018, arXiv:1802.09841): the smallest DeepFool margins among the candidates; each
 * query brings its adversarial twin, labelled like its source, at the price of one annotation. */
#include "strategy/rank.h"
#include "strategy/view.h"

static const struct df_strategy_option options[] = {DF_OPTION_POWER, {0}};

const struct df_strategy df_strategy_dfal = {
    .name = "dfal",
    .summary = "smallest DeepFool margin, each query with its adversarial twin",
    .asks = DF_ASKS_MARGINS,
    .twins = true,
    .options = options,
    .select = df_rank_by_margin,
};
