/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-labels (CEAL: Wang, Zhang, Li, Zhang, Lin 2017, arXiv:1701.03551): of some candidates the network is
 * so certain that its own answer is taken for their label, for one training. They cost no annotation, and
 * some are wrong. */
#ifndef DF_STRATEGY_PSEUDO_LABELS_H
#define DF_STRATEGY_PSEUDO_LABELS_H

#include "strategy/strategy.h"

struct df_selection;

/* The options of strategies that do so; their candidates are ranked by a score. */
extern const struct df_strategy_option df_pseudo_label_options[];
/* Mark the candidates whose entropy is below threshold - decay round: certain [n]. A df_certain_fn. */
dfal_status df_certain_by_entropy(struct df_view *view, bool *certain);
/* Label what the strategy is certain of and has not chosen: selection->pseudo_*. Nothing where it has no such
 * function, or nobody wants it. A row whose input is not finite gets no label, nor does one of a class that
 * the pool does not have. */
dfal_status df_pseudo_labels_find(struct df_view *view, struct df_selection *selection);

#endif
