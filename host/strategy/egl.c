/* SPDX-License-Identifier: Apache-2.0 */
/* Expected gradient length (Settles, Craven, Ray 2007): the samples whose label, whichever it turns out to
 * be, would move the network's parameters most.
 *
 * Math     sum_k p_k ||g_k||, with g_k the gradient of the loss -log p_k by the parameters, whose cotangent
 *          is p - e_k. paper-compat: ||sum_k g_k / K||, the gradient of the mean of the class losses, whose
 *          cotangent is p - 1/K: what the published code of the DFAL paper computes. It is 0 where all
 *          classes are alike and largest for confident samples, so it does not do what its name says; it
 *          explains the 78.57 % in the paper's Table 1
 * Order    sums over classes in ascending index, in double; cotangents and gradients in float32
 * Traps    with p = e_k nearly, 1 - p_k would cancel: the largest class is kept apart. Where 1 - p_k passes
 *          below float32's range a sample scores 0 */
#include <math.h>
#include <string.h>

#include "score/row_values.h"
#include "strategy/rank.h"
#include "strategy/softmax.h"
#include "strategy/view.h"

/* p_k of a row with this softmax, and of its largest class 1 - p_k. */
struct chances {
    const float *logits;
    int64_t best;
    double top, others;
};

static bool find_chances(struct chances *c, const float *logits, int64_t class_count)
{
    struct df_softmax softmax;
    if (!df_softmax(&softmax, logits, (int32_t)class_count))
        return false;
    *c = (struct chances){.logits = logits,
                          .best = df_row_largest(logits, class_count),
                          .top = 1 / (1 + softmax.rest),
                          .others = softmax.rest / (1 + softmax.rest)};
    return true;
}

static double chance(const struct chances *c, int64_t k)
{
    return exp((double)c->logits[k] - (double)c->logits[c->best]) * c->top;
}

/* p - e_k for every class k; zeros where the logits are not finite. */
static void of_classes(const float *logits, int32_t class_count, float *cotangents)
{
    struct chances c;
    memset(cotangents, 0, (size_t)class_count * (size_t)class_count * sizeof *cotangents);
    if (!find_chances(&c, logits, class_count))
        return;
    for (int64_t j = 0; j < class_count; j++) {
        const double p = chance(&c, j), minus = j == c.best ? -c.others : p - 1;
        for (int64_t k = 0; k < class_count; k++)
            cotangents[k * class_count + j] = (float)(j == k ? minus : p);
    }
}

/* p - 1/K */
static void of_mean(const float *logits, int32_t class_count, float *cotangents)
{
    struct chances c;
    memset(cotangents, 0, (size_t)class_count * sizeof *cotangents);
    if (!find_chances(&c, logits, class_count))
        return;
    for (int64_t j = 0; j < class_count; j++)
        cotangents[j] = (float)(chance(&c, j) - 1.0 / class_count);
}

struct egl {
    int32_t class_count;
    bool mean;      /* one gradient, of the mean of the class losses; else one of each */
    double *scores; /* [n], the view's */
};

static dfal_status put(void *user, int64_t candidate, const struct df_gradients *gradients)
{
    const struct egl *egl = user;
    struct chances c;
    double sum = 0;
    egl->scores[candidate] = NAN;
    if (!find_chances(&c, gradients->logits, egl->class_count))
        return DFAL_OK;
    for (int64_t k = 0; k < gradients->count; k++)
        sum += egl->mean ? gradients->norms[k] : chance(&c, k) * gradients->norms[k];
    egl->scores[candidate] = sum;
    return DFAL_OK;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct egl egl = {.class_count = df_view_class_count(view),
                      .mean = !strcmp(df_view_text(view, "paper-compat"), "yes")};
    struct df_gradients_ask ask = {.layers = df_view_text(view, "layers"),
                                   .count = egl.mean ? 1 : egl.class_count,
                                   .cotangents = egl.mean ? of_mean : of_classes};
    bool known;
    DF_TRY(df_view_own_scores(view, &egl.scores, &known));
    ask.scores = egl.scores;
    if (!known)
        DF_TRY(df_view_gradients(view, &ask, put, &egl));
    return df_rank_by_score(view, egl.scores, DF_LARGEST_FIRST, q, choices);
}

static const struct df_strategy_option options[] = {
    DF_OPTION_LAYERS,
    {.key = "paper-compat",
     .kind = DF_OPTION_CHOICE,
     .choices = "no|yes",
     .standard = "no",
     .help = "the length of the mean of the class gradients, as the published code has it"},
    DF_OPTION_POWER,
    {0},
};

const struct df_strategy df_strategy_egl = {
    .name = "egl",
    .summary = "largest expected length of the gradient by all parameters",
    .asks = DF_ASKS_GRADIENTS,
    .options = options,
    .select = choose,
};
