/* SPDX-License-Identifier: Apache-2.0 */
/* Expected gradient length (Settles, Craven, Ray 2007), of the last layer alone: the largest is queried.
 *
 * Math     sum_k p_k ||g_k||, with g_k the gradient of the loss -log p_k by the last Gemm's weight and bias.
 *          As that is (p - e_k) h^T and p - e_k, its length is ||p - e_k|| sqrt(||h||^2 + 1): exact, and no
 *          gradient is computed
 * Order    sums over classes and over h in ascending index, in double
 * Traps    with p = e_k nearly, 1 - p_k and ||p||^2 - p_k^2 would cancel: the largest class is kept apart */
#include <math.h>

#include "base/memory.h"
#include "score/row_values.h"
#include "strategy/rank.h"
#include "strategy/softmax.h"
#include "strategy/view.h"

/* sum_k p_k ||p - e_k|| */
static double of_logits(const float *logits, int64_t class_count)
{
    struct df_softmax softmax;
    double squares = 0, sum = 0;
    if (!df_softmax(&softmax, logits, (int32_t)class_count))
        return NAN;
    const int64_t best = df_row_largest(logits, class_count);
    const double top = 1 / (1 + softmax.rest), others = softmax.rest / (1 + softmax.rest);
    for (int64_t k = 0; k < class_count; k++) {
        const double p = exp((double)logits[k] - (double)logits[best]) * top;
        squares += k == best ? 0 : p * p;
    }
    for (int64_t k = 0; k < class_count; k++) {
        const double p = exp((double)logits[k] - (double)logits[best]) * top;
        if (k == best)
            sum += p * sqrt(others * others + squares);
        else
            sum += p * sqrt((1 - p) * (1 - p) + top * top + fmax(squares - p * p, 0));
    }
    return sum;
}

/* sqrt(||h||^2 + 1) */
static double of_features(const float *h, int64_t size)
{
    double sum = 1;
    for (int64_t i = 0; i < size; i++)
        sum += (double)h[i] * (double)h[i];
    return sqrt(sum);
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    const double *length, *expected;
    double *scores = NULL;
    const int64_t n = df_view_count(view);
    DF_TRY(df_view_expect(view, false, of_logits, "", of_features));
    DF_TRY(df_view_row_scores(view, of_logits, &expected));
    DF_TRY(df_view_feature_scores(view, "", of_features, &length));
    DF_TRY(df_alloc(&scores, n, sizeof *scores));
    for (int64_t i = 0; i < n; i++)
        scores[i] = isfinite(length[i]) ? expected[i] * length[i] : (double)NAN;
    const dfal_status status = df_rank_by_score(view, scores, DF_LARGEST_FIRST, q, choices);
    df_free(scores);
    return status;
}

static const struct df_strategy_option options[] = {DF_OPTION_POWER, {0}};

const struct df_strategy df_strategy_egl_last = {
    .name = "egl-last",
    .summary = "largest expected length of the last layer's gradient",
    .asks = DF_ASKS_LOGITS | DF_ASKS_FEATURES | DF_ASKS_LAST_LAYER,
    .options = options,
    .select = choose,
};
