/* SPDX-License-Identifier: Apache-2.0 */
/* classes.csv of a run directory: how well each class is known after a round, and how many of it the round
 * asked for. */
#ifndef DF_RUN_CLASS_TABLE_H
#define DF_RUN_CLASS_TABLE_H

#include "base/text.h"
#include "graph/network.h"
#include "store/classes.h"

#define DF_CLASS_COLUMNS "strategy,trial,round,class,accuracy,samples,queried,class_name"
struct df_class_round {
    const char *strategy;
    int32_t trial, round;
    const struct df_network *network;    /* whose evaluation it is */
    const struct dfal_eval_result *eval; /* as the network counts classes */
    const struct df_classes *names;      /* as the pool counts them */
    const int64_t *queried; /* [class_count] labels that the round asked for, as the pool counts */
    int32_t class_count;    /* of the pool */
};
/* A line a class. Nothing where the evaluation has no confusion: there are too many classes. */
void df_class_lines(struct df_text *text, const struct df_class_round *round);

#endif
