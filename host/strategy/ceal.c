/* SPDX-License-Identifier: Apache-2.0 */
/* CEAL (Wang, Zhang, Li, Zhang, Lin 2017, arXiv:1701.03551): asks for the labels of what the network is least
 * certain of, by the entropy of the softmax, and gives what it is most certain of the predicted class. */
#include "strategy/pseudo_labels.h"
#include "strategy/rank.h"

const struct df_strategy df_strategy_ceal = {
    .name = "ceal",
    .summary = "largest entropy, and pseudo-labels for the smallest",
    .asks = DF_ASKS_LOGITS,
    .options = df_pseudo_label_options,
    .select = df_rank_by_entropy,
    .certain = df_certain_by_entropy,
};
