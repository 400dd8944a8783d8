/* SPDX-License-Identifier: Apache-2.0 */
/* Refit a last layer on the labelled rows until it errs no more than another network (QBDC: Ducoffe, Precioso
 * 2015, arXiv:1511.06412).
 *
 * Math     softmax regression by RMSProp, v = 0.9 v + 0.1 g^2, w -= rate g / (sqrt(v) + 1e-7), g the mean
 *          gradient of the cross-entropy over a batch of 32
 * Stops    when at most `allowed` validation rows are wrong, looked at before the first epoch and after
 *          each; else the fifth epoch in a row that is no better ends a stage, as the hundredth epoch does.
 *          The stages have the rates 1e-3 and 1e-5; the best weights, the first of equals, remain
 * Order    in double; sums in ascending index; the rows of an epoch by a seeded permutation
 */
#ifndef DF_STRATEGY_REFIT_H
#define DF_STRATEGY_REFIT_H

#include "base/status.h"

struct df_refit {
    int64_t size;
    int32_t class_count;
    const float *h;       /* [rows, size] */
    const int32_t *label; /* [rows] */
    const int64_t *order; /* [rows]: those to train on, then `kept` to validate by */
    int64_t rows, kept;
    int64_t allowed; /* validation rows that may be wrong */
    uint64_t seed;
    uint32_t member; /* of the committee: another one, other orders */
};
/* The class of a row: the lowest of equal logits. weight [class_count, size + 1], the bias behind each. */
int32_t df_refit_class(const double *weight, const float *h, int64_t size, int32_t class_count,
                       double *logits);
/* Refit weight in place. */
dfal_status df_refit_run(const struct df_refit *refit, double *weight);

#endif
