/* SPDX-License-Identifier: Apache-2.0 */
/* QBDC (Ducoffe, Precioso 2015, arXiv:1511.06412; 2017): query by dropout committee. The members are partial
 * networks: each draws one mask for all samples, which removes units of dense layers and whole filters of
 * convolutions. What they disagree about most is queried. This is the variant without a refit (B).
 *
 * Math     the members are the network itself and `members` partial ones; y = argmax of the mean of their
 *          p_m; score = mean_m( max_c p_m(c) - p_m(y) ), largest
 * Order    in double; sums over the members, the network first, then the masks in their order
 * Ties     of y: the lowest class */
#include <math.h>

#include "base/memory.h"
#include "score/row_values.h"
#include "strategy/rank.h"
#include "strategy/view.h"

struct qbdc {
    int64_t members; /* partial ones */
    int32_t class_count;
    const float *logits; /* [n, class_count] of the network itself */
    double *p;           /* [1 + members, class_count] of the candidate at hand */
    double *scores;      /* [n], the view's */
};

/* False: a logit is not finite. */
static bool softmax(double *p, const float *logits, int32_t class_count)
{
    if (!df_row_is_finite(logits, class_count))
        return false;
    const double top = (double)logits[df_row_largest(logits, class_count)];
    double sum = 0;
    for (int32_t k = 0; k < class_count; k++)
        sum += p[k] = exp((double)logits[k] - top);
    for (int32_t k = 0; k < class_count; k++)
        p[k] /= sum;
    return true;
}

static int32_t class_of_all(const struct qbdc *qbdc)
{
    int32_t best = 0;
    double most = -INFINITY;
    for (int32_t k = 0; k < qbdc->class_count; k++) {
        double sum = 0;
        for (int64_t m = 0; m <= qbdc->members; m++)
            sum += qbdc->p[m * qbdc->class_count + k];
        if (sum > most) {
            most = sum;
            best = k;
        }
    }
    return best;
}

static dfal_status put(void *user, int64_t candidate, const float *logits)
{
    struct qbdc *qbdc = user;
    const int32_t classes = qbdc->class_count;
    double sum = 0;
    qbdc->scores[candidate] = NAN;
    if (!softmax(qbdc->p, qbdc->logits + candidate * classes, classes))
        return DFAL_OK;
    for (int64_t m = 0; m < qbdc->members; m++)
        if (!softmax(qbdc->p + (m + 1) * classes, logits + m * classes, classes))
            return DFAL_OK;
    const int32_t y = class_of_all(qbdc);
    for (int64_t m = 0; m <= qbdc->members; m++) {
        const double *p = qbdc->p + m * classes;
        double most = p[0];
        for (int32_t k = 1; k < classes; k++)
            most = fmax(most, p[k]);
        sum += most - p[y];
    }
    qbdc->scores[candidate] = sum / (double)(qbdc->members + 1);
    return DFAL_OK;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct qbdc qbdc = {.members = df_view_integer(view, "members"),
                        .class_count = df_view_class_count(view)};
    bool known;
    DF_TRY(df_view_logits(view, &qbdc.logits));
    DF_TRY(df_view_own_scores(view, &qbdc.scores, &known));
    if (!known) {
        DF_TRY(df_alloc(&qbdc.p, (qbdc.members + 1) * qbdc.class_count, sizeof *qbdc.p));
        const dfal_status status =
            df_view_passes(view, qbdc.members, DF_MASKS_FILTERS, df_view_real(view, "ratio"), put, &qbdc);
        df_free(qbdc.p);
        DF_TRY(status);
    }
    return df_rank_by_score(view, qbdc.scores, DF_LARGEST_FIRST, q, choices);
}

static const struct df_strategy_option options[] = {
    {.key = "members",
     .kind = DF_OPTION_NUMBER,
     .number = {.kind = DF_NUMBER_I32, .low = 1, .high = 10000},
     .standard = "5",
     .help = "partial networks of the committee, beside the network itself"},
    {.key = "ratio",
     .kind = DF_OPTION_NUMBER,
     .number = {.kind = DF_NUMBER_REAL, .low = 0, .low_open = true, .high = 1, .high_open = true},
     .standard = "0.5",
     .help = "share of the units and filters that a mask removes at each Dropout"},
    DF_OPTION_POWER,
    {0},
};

const struct df_strategy df_strategy_qbdc = {
    .name = "qbdc",
    .summary = "largest disagreement of a committee of partial networks, by dropout",
    .asks = DF_ASKS_LOGITS | DF_ASKS_PASSES,
    .options = options,
    .select = choose,
};
