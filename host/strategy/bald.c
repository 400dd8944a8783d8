/* SPDX-License-Identifier: Apache-2.0 */
/* BALD (Houlsby et al. 2011; Gal, Islam, Ghahramani 2017, arXiv:1703.02910): the largest mutual information
 * between the label and the network's parameters, of which stochastic passes are samples.
 *
 * Math     H(mean_t p^t) - mean_t H(p^t), in nats
 * Order    sums over passes, then over classes, in ascending index, in double
 * Traps    of stored p, p log p is NaN where p rounds to 0: H(p^t) is that of the logits, and a mean of 0
 *          adds 0. Where all passes agree the difference is rounding alone: below 0 it counts as 0 */
#include <math.h>

#include "base/memory.h"
#include "strategy/rank.h"
#include "strategy/softmax.h"
#include "strategy/view.h"

struct bald {
    int64_t passes;
    int32_t class_count;
    double *mean;   /* [class_count] of the candidate at hand */
    double *p;      /* [class_count] of the pass at hand; lies behind mean */
    double *scores; /* [n], the view's */
};

static dfal_status put(void *user, int64_t candidate, const float *logits)
{
    struct bald *bald = user;
    double inside = 0, whole = 0;
    bald->scores[candidate] = NAN;
    for (int32_t k = 0; k < bald->class_count; k++)
        bald->mean[k] = 0;
    for (int64_t t = 0; t < bald->passes; t++) {
        const float *pass = logits + t * bald->class_count;
        struct df_softmax softmax;
        if (!df_softmax(&softmax, pass, bald->class_count))
            return DFAL_OK;
        inside += softmax.entropy;
        df_softmax_of_logits(bald->p, pass, bald->class_count);
        for (int32_t k = 0; k < bald->class_count; k++)
            bald->mean[k] += bald->p[k];
    }
    for (int32_t k = 0; k < bald->class_count; k++) {
        const double p = bald->mean[k] / (double)bald->passes;
        whole -= p > 0 ? p * log(p) : 0;
    }
    bald->scores[candidate] = fmax(whole - inside / (double)bald->passes, 0);
    return DFAL_OK;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct bald bald = {.passes = df_view_integer(view, "passes"), .class_count = df_view_class_count(view)};
    bool known;
    DF_TRY(df_view_own_scores(view, &bald.scores, &known));
    if (!known) {
        DF_TRY(df_alloc(&bald.mean, 2 * (int64_t)bald.class_count, sizeof *bald.mean));
        bald.p = bald.mean + bald.class_count;
        const dfal_status status =
            df_view_passes(view, bald.passes, DF_MASKS_OWN, 0, bald.scores, put, &bald);
        df_free(bald.mean);
        DF_TRY(status);
    }
    return df_rank_by_score(view, bald.scores, DF_LARGEST_FIRST, q, choices);
}

static const struct df_strategy_option options[] = {
    DF_OPTION_PASSES("stochastic passes, each with dropout drawn anew for every row"),
    DF_OPTION_POWER,
    {0},
};

const struct df_strategy df_strategy_bald = {
    .name = "bald",
    .summary = "largest mutual information of label and parameters, over "
               "passes with dropout",
    .asks = DF_ASKS_PASSES,
    .options = options,
    .select = choose,
};
