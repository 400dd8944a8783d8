/* SPDX-License-Identifier: Apache-2.0 */
/* QBDC (Ducoffe, Precioso 2015, arXiv:1511.06412; 2017): query by dropout committee. The members are partial
 * networks: each draws one mask for all samples, which removes units of dense layers and whole filters of
 * convolutions. What they disagree about most is queried.
 *
 * Math     B: the members are the network itself and `members` partial ones; y = argmax of the mean of their
 *          p_m; score = mean_m( max_c p_m(c) - p_m(y) ), largest
 *          A: the last layer of each partial network is refitted on the labelled rows until it errs no more
 *          than the network itself (refit.h); score = how many of them say another class than most do, plus
 *          the score of B over the network and the refitted members, which is below 1 and so breaks ties
 * Order    in double; sums over the members, the network first, then the masks in their order
 * Ties     of classes: the lowest
 * Memory   A: what the last layer reads of each labelled row, a member at a time */
#include <math.h>
#include <string.h>

#include "base/context.h"
#include "base/memory.h"
#include "base/rng.h"
#include "score/row_values.h"
#include "strategy/rank.h"
#include "strategy/refit.h"
#include "strategy/softmax.h"
#include "strategy/view.h"

struct qbdc {
    struct df_view *view;
    int64_t members; /* partial ones */
    int32_t class_count;
    const float *logits; /* [n, class_count] of the network itself */
    double *p;           /* [1 + members, class_count] of the candidate at hand */
    double *scores;      /* [n], the view's */
    /* of A */
    struct df_last_layer last;
    double *weight; /* [members, class_count, last.size + 1] refitted, the bias behind each row */
    int32_t *said;  /* [members] class of the candidate at hand */
};

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

/* The score of B, of the members' probabilities. */
static double disagreement(const struct qbdc *qbdc)
{
    const int32_t y = class_of_all(qbdc);
    double sum = 0;
    for (int64_t m = 0; m <= qbdc->members; m++) {
        const double *p = qbdc->p + m * qbdc->class_count;
        double most = p[0];
        for (int32_t k = 1; k < qbdc->class_count; k++)
            most = fmax(most, p[k]);
        sum += most - p[y];
    }
    return sum / (double)(qbdc->members + 1);
}

static dfal_status put(void *user, int64_t candidate, const float *logits)
{
    struct qbdc *qbdc = user;
    const int32_t classes = qbdc->class_count;
    qbdc->scores[candidate] = NAN;
    if (!df_softmax_of_logits(qbdc->p, qbdc->logits + candidate * classes, classes))
        return DFAL_OK;
    for (int64_t m = 0; m < qbdc->members; m++)
        if (!df_softmax_of_logits(qbdc->p + (m + 1) * classes, logits + m * classes, classes))
            return DFAL_OK;
    qbdc->scores[candidate] = disagreement(qbdc);
    return DFAL_OK;
}

/* ---- variant A ----------------------------------------------------------------------------------------- */

/* The labelled rows whose class the network knows and that are finite in every member. */
struct lesson {
    struct qbdc *qbdc;
    int64_t rows;
    int32_t *label; /* [rows] -1: left out */
    float *h;       /* [members, rows, size] */
    int64_t *order; /* [kept rows] those to train on, then those to validate by */
    int64_t *place; /* [rows] */
    int64_t count;  /* of order */
};

static dfal_status put_labelled(void *user, int64_t row, const float *values)
{
    struct lesson *lesson = user;
    const int64_t size = lesson->qbdc->last.size;
    for (int64_t m = 0; m < lesson->qbdc->members; m++)
        memcpy(lesson->h + (m * lesson->rows + row) * size, values + m * size, (size_t)size * sizeof *values);
    if (!df_row_is_finite(values, lesson->qbdc->members * size))
        lesson->label[row] = -1;
    return DFAL_OK;
}

static dfal_status take_lesson(struct lesson *lesson)
{
    struct qbdc *qbdc = lesson->qbdc;
    struct df_view *view = qbdc->view;
    lesson->rows = df_view_labelled_count(view);
    DF_TRY(df_view_check_memory(
        view, (double)qbdc->members * (double)lesson->rows * (double)qbdc->last.size * sizeof *lesson->h,
        "the features of the labelled rows"));
    DF_TRY(df_alloc(&lesson->label, lesson->rows, sizeof *lesson->label));
    DF_TRY(df_alloc(&lesson->h, qbdc->members * lesson->rows * qbdc->last.size, sizeof *lesson->h));
    DF_TRY(df_alloc(&lesson->order, lesson->rows, sizeof *lesson->order));
    DF_TRY(df_alloc(&lesson->place, lesson->rows, sizeof *lesson->place));
    df_view_labelled_classes(view, lesson->label);
    return df_view_last_layer_passes(view, qbdc->members, DF_MASKS_FILTERS, df_view_real(view, "ratio"), true,
                                     NULL, put_labelled, lesson);
}

/* Which rows validate, and how many of them the network itself gets wrong. */
static dfal_status divide(struct lesson *lesson, int64_t *kept, int64_t *wrong)
{
    const double *predicted;
    struct df_view *view = lesson->qbdc->view;
    int64_t n = 0;
    DF_TRY(df_view_labelled_row_scores(view, df_softmax_predicted, &predicted));
    for (int64_t i = 0; i < lesson->rows; i++)
        if (lesson->label[i] >= 0 && !isnan(predicted[i]))
            lesson->place[n++] = i;
    DF_TRY(df_random_permutation(lesson->order, n, df_view_seed(view), DF_STREAM_REFIT, 0));
    for (int64_t i = 0; i < n; i++)
        lesson->order[i] = lesson->place[lesson->order[i]];
    lesson->count = n;
    *kept = n / 5 > 0 ? n / 5 : n > 1;
    *wrong = 0;
    for (int64_t i = n - *kept; i < n; i++)
        *wrong += (int32_t)predicted[lesson->order[i]] != lesson->label[lesson->order[i]];
    return DFAL_OK;
}

static dfal_status refit(struct qbdc *qbdc)
{
    struct lesson lesson = {.qbdc = qbdc};
    const int64_t size = qbdc->last.size, count = qbdc->class_count * (size + 1);
    int64_t kept = 0, wrong = 0;
    dfal_status status;
    for (int64_t m = 0; m < qbdc->members; m++)
        for (int32_t k = 0; k < qbdc->class_count; k++) {
            double *row = qbdc->weight + m * count + k * (size + 1);
            for (int64_t i = 0; i < size; i++)
                row[i] = (double)qbdc->last.weight[k * size + i];
            row[size] = qbdc->last.bias ? (double)qbdc->last.bias[k] : 0;
        }
    DF_TRY_TO(done, status, take_lesson(&lesson));
    DF_TRY_TO(done, status, divide(&lesson, &kept, &wrong));
    for (int64_t m = 0; m < qbdc->members && lesson.count > 1; m++) {
        const struct df_refit refit = {.size = size,
                                       .class_count = qbdc->class_count,
                                       .h = lesson.h + m * lesson.rows * size,
                                       .label = lesson.label,
                                       .order = lesson.order,
                                       .rows = lesson.count,
                                       .kept = kept,
                                       .allowed = wrong,
                                       .seed = df_view_seed(qbdc->view),
                                       .member = (uint32_t)m};
        DF_TRY_TO(done, status, df_context_check_stop(df_view_context(qbdc->view)));
        DF_TRY_TO(done, status, df_refit_run(&refit, qbdc->weight + m * count));
    }
done:
    df_free(lesson.label);
    df_free(lesson.h);
    df_free(lesson.order);
    df_free(lesson.place);
    return status;
}

/* How many say another class than most do; of equally many the lowest class counts as most. */
static int64_t dissent(const struct qbdc *qbdc, const int32_t *said)
{
    int64_t most = 0;
    for (int32_t k = 0; k < qbdc->class_count; k++) {
        int64_t votes = 0;
        for (int64_t m = 0; m < qbdc->members; m++)
            votes += said[m] == k;
        most = votes > most ? votes : most;
    }
    return qbdc->members - most;
}

static dfal_status put_votes(void *user, int64_t candidate, const float *h)
{
    struct qbdc *qbdc = user;
    const int32_t classes = qbdc->class_count;
    const int64_t size = qbdc->last.size, count = classes * (size + 1);
    qbdc->scores[candidate] = NAN;
    if (!df_softmax_of_logits(qbdc->p, qbdc->logits + candidate * classes, classes))
        return DFAL_OK;
    for (int64_t m = 0; m < qbdc->members; m++) {
        double *p = qbdc->p + (m + 1) * classes;
        qbdc->said[m] = df_refit_class(qbdc->weight + m * count, h + m * size, size, classes, p);
        if (!df_softmax_probabilities(p, classes))
            return DFAL_OK;
    }
    qbdc->scores[candidate] = (double)dissent(qbdc, qbdc->said) + disagreement(qbdc); /* the latter below 1 */
    return DFAL_OK;
}

static dfal_status vote(struct qbdc *qbdc)
{
    const int64_t count = qbdc->class_count * (qbdc->last.size + 1);
    DF_TRY(df_alloc(&qbdc->weight, qbdc->members * count, sizeof *qbdc->weight));
    DF_TRY(df_alloc(&qbdc->said, qbdc->members, sizeof *qbdc->said));
    DF_TRY(refit(qbdc));
    return df_view_last_layer_passes(qbdc->view, qbdc->members, DF_MASKS_FILTERS,
                                     df_view_real(qbdc->view, "ratio"), false, qbdc->scores, put_votes, qbdc);
}

/* ---- the choice ---------------------------------------------------------------------------------------- */

static dfal_status compute(struct qbdc *qbdc, bool votes)
{
    DF_TRY(df_alloc(&qbdc->p, (qbdc->members + 1) * qbdc->class_count, sizeof *qbdc->p));
    return votes ? vote(qbdc)
                 : df_view_passes(qbdc->view, qbdc->members, DF_MASKS_FILTERS,
                                  df_view_real(qbdc->view, "ratio"), qbdc->scores, put, qbdc);
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    const bool votes = !strcmp(df_view_text(view, "variant"), "A");
    struct qbdc qbdc = {.view = view,
                        .members = df_view_text(view, "members")[0] ? df_view_integer(view, "members")
                                   : votes                          ? 3
                                                                    : 5,
                        .class_count = df_view_class_count(view)};
    bool known;
    DF_TRY(df_view_logits(view, &qbdc.logits));
    DF_TRY(df_view_own_scores(view, &qbdc.scores, &known));
    if (votes)
        qbdc.last = df_view_last_layer(view);
    const dfal_status status = known ? DFAL_OK : compute(&qbdc, votes);
    df_free(qbdc.p);
    df_free(qbdc.weight);
    df_free(qbdc.said);
    DF_TRY(status);
    return df_rank_by_score(view, qbdc.scores, DF_LARGEST_FIRST, q, choices);
}

static const struct df_strategy_option options[] = {
    {.key = "variant",
     .kind = DF_OPTION_CHOICE,
     .choices = "A|B",
     .standard = "B",
     .help = "A: the members' last layers are refitted on the labelled rows, and vote; B: they are not"},
    {.key = "members",
     .kind = DF_OPTION_NUMBER,
     .number = {.kind = DF_NUMBER_I32, .low = 1, .high = 10000},
     .standard = "",
     .help = "partial networks of the committee; not given: 3 of variant A, 5 of variant B"},
    {.key = "ratio",
     .kind = DF_OPTION_NUMBER,
     .number = {.kind = DF_NUMBER_REAL, .low = 0, .low_open = true, .high = 1, .high_open = true},
     .standard = "0.5",
     .help = "share of the units and filters that a mask removes at each Dropout"},
    DF_OPTION_POWER,
    {0},
};

static int asks_of_variant(const struct df_option_values *values)
{
    return strcmp(df_option_text(values, options, "variant"), "A") ? 0 : DF_ASKS_LAST_LAYER;
}

const struct df_strategy df_strategy_qbdc = {
    .name = "qbdc",
    .summary = "largest disagreement of a committee of partial networks, by dropout",
    .asks = DF_ASKS_LOGITS | DF_ASKS_PASSES,
    .options = options,
    .select = choose,
    .asks_besides = asks_of_variant,
};
