/* SPDX-License-Identifier: Apache-2.0 */
/* A confusion matrix as a table of the pairs that occurred. */
#ifndef DF_SCORE_CONFUSION_H
#define DF_SCORE_CONFUSION_H

#include "base/text.h"

struct df_class_pair {
    int32_t label, prediction;
};
/* CSV with the header label,prediction,count and, where there are names, label_name,prediction_name; a line a
 * pair, by label and then by prediction. The pairs are sorted. */
void df_confusion_text(struct df_text *text, struct df_class_pair *pairs, int64_t count, char *const *names);

#endif
