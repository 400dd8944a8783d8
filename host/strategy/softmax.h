/* SPDX-License-Identifier: Apache-2.0 */
/* What the softmax of one row of logits tells, in double, without ever forming a probability that could round
 * to 0 or 1; and the probabilities, where they are what is asked for. */
#ifndef DF_STRATEGY_SOFTMAX_H
#define DF_STRATEGY_SOFTMAX_H

#include <stdbool.h>
#include <stdint.h>

struct df_softmax {
    double gap;     /* f_(1) - f_(2), both the largest of their kind: 0 for a tie */
    double rest;    /* sum over all but the largest of exp(f_k - f_(1)): p_(1) = 1 / (1 + rest) */
    double entropy; /* H = logsumexp(f) - sum p f */
};
/* logits [class_count], class_count >= 2. False: one of them is not finite. */
bool df_softmax(struct df_softmax *out, const float *logits, int32_t class_count);
/* Values become the softmax of them, in place: exponentials over the largest, their sum in ascending index.
 * False: one of them was not finite, and what stands there now means nothing. */
bool df_softmax_probabilities(double *values, int32_t class_count);
/* The same of logits, which stay: p [class_count]. */
bool df_softmax_of_logits(double *p, const float *logits, int32_t class_count);
/* Numbers of a row of logits, each a df_row_score_fn; NAN: a logit is not finite.
 *   margin     p_(1) - p_(2)
 *   entropy    H
 *   predicted  the class: the lowest index of the largest */
double df_softmax_margin(const float *logits, int64_t class_count);
double df_softmax_entropy(const float *logits, int64_t class_count);
double df_softmax_predicted(const float *logits, int64_t class_count);

#endif
