/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/softmax.h"

#include <math.h>

#include "score/row_values.h"

bool df_softmax(struct df_softmax *out, const float *logits, int32_t class_count)
{
    const int64_t best = df_row_largest(logits, class_count);
    double second = -INFINITY, rest = 0, mean = 0;
    if (!df_row_is_finite(logits, class_count))
        return false;
    /* With g = f - f_(1) every exponential is at most 1, and H = log sum e^g - sum p g has two terms that are
     * not negative: nothing overflows, and a class of probability 0 adds exactly 0. */
    for (int32_t k = 0; k < class_count; k++) {
        if (k == best)
            continue;
        double g = (double)logits[k] - (double)logits[best], e = exp(g);
        second = fmax(second, g);
        rest += e;
        mean += e * g;
    }
    *out = (struct df_softmax){.gap = 0 - second, .rest = rest, .entropy = log1p(rest) - mean / (1 + rest)};
    return true;
}

bool df_softmax_probabilities(double *values, int32_t class_count)
{
    double top = -INFINITY, sum = 0;
    bool finite = true;
    for (int32_t k = 0; k < class_count; k++) {
        finite = finite && isfinite(values[k]);
        top = fmax(top, values[k]);
    }
    for (int32_t k = 0; k < class_count; k++)
        sum += values[k] = exp(values[k] - top);
    for (int32_t k = 0; k < class_count; k++)
        values[k] /= sum;
    return finite;
}

bool df_softmax_of_logits(double *p, const float *logits, int32_t class_count)
{
    for (int32_t k = 0; k < class_count; k++)
        p[k] = (double)logits[k];
    return df_softmax_probabilities(p, class_count);
}

/* Without the cancellation. */
double df_softmax_margin(const float *logits, int64_t class_count)
{
    struct df_softmax softmax;
    if (!df_softmax(&softmax, logits, (int32_t)class_count))
        return NAN;
    return -expm1(-softmax.gap) / (1 + softmax.rest);
}

double df_softmax_entropy(const float *logits, int64_t class_count)
{
    struct df_softmax softmax;
    return df_softmax(&softmax, logits, (int32_t)class_count) ? softmax.entropy : (double)NAN;
}

double df_softmax_predicted(const float *logits, int64_t class_count)
{
    return df_row_is_finite(logits, class_count) ? (double)df_row_largest(logits, class_count) : (double)NAN;
}
