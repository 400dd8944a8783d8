/* SPDX-License-Identifier: Apache-2.0 */
/* DFAL with CEAL's pseudo-labels, as the discussion of arXiv:1802.09841 proposes: both add training rows that
 * nobody is asked for, the one beside the boundary, the other far from it. */
#include "strategy/pseudo_labels.h"
#include "strategy/rank.h"

const struct df_strategy df_strategy_dfal_ceal = {
    .name = "dfal+ceal",
    .summary = "smallest DeepFool margin with twins, and ceal's pseudo-labels",
    .asks = DF_ASKS_MARGINS | DF_ASKS_LOGITS,
    .twins = true,
    .options = df_pseudo_label_options,
    .select = df_rank_by_margin,
    .certain = df_certain_by_entropy,
};
