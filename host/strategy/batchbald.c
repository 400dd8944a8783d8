/* SPDX-License-Identifier: Apache-2.0 */
/* BatchBALD (Kirsch, van Amersfoort, Gal 2019, arXiv:1906.08158): the batch whose labels together tell most
 * about the network's parameters, chosen greedily.
 *
 * Math     I(y_1..y_b; w), w the T passes, which draw the same masks for every candidate. A configuration is
 *          one answer to each chosen row; it makes pass t as likely as v_t, its posterior. A candidate adds
 *          sum over configurations of share (H(sum_t v_t p^t) - sum_t v_t H(p^t)), I(y; w | y_1..y_b)
 * Exact    while there are no more configurations than the option allows. Behind that each one goes on with
 *          a few answers of its own that are drawn, spread evenly over their distribution
 * Order    in double; posteriors as logarithms, each over logsumexp. Sums over passes, classes and
 *          configurations in ascending index
 * Ties     the seeded order
 * Work     what a candidate adds never grows with the batch, so one is looked at again only while what it
 *          added last could still be the most. Where answers are drawn, that is so but for their spread
 * Memory   8 T (K + 1) bytes a candidate: that is the limit of its size
 * Traps    H(p^t) is that of the logits; a mean of 0 adds 0. An answer that no pass gives has no
 *          configuration, nor do answers that leave one pass alone. Rounding below 0 counts as 0 */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/rng.h"
#include "score/row_values.h"
#include "strategy/rank.h"
#include "strategy/row_loop.h"
#include "strategy/softmax.h"
#include "strategy/strategy.h"
#include "strategy/view.h"

/* One answer to each chosen row. */
struct configuration {
    double share;       /* its probability */
    double *posterior;  /* [T] of the passes, given the answers */
    double *likelihood; /* [T] the same as logarithms */
};
struct configurations {
    int64_t count;
    struct configuration *list; /* [most] */
    double *values;             /* what posteriors and likelihoods lie in */
};
struct batch {
    struct df_view *view;
    int64_t n, passes, most; /* most: configurations */
    int32_t classes;
    double *p;       /* [n, classes, passes] */
    double *entropy; /* [n, passes] */
    double *gain;    /* [n] what it added when it was looked at last; NAN: not finite */
    int64_t *order;  /* [left] candidates */
    int64_t left;    /* that may be chosen */
    struct configurations now, next;
    int64_t begin, end; /* of order, at hand */
    struct df_row_loop loop;
};

enum { CHUNK = 256, ROWS = 8 }; /* candidates of a run, and of a job */

static const double *p_of(const struct batch *b, int64_t candidate, int32_t answer)
{
    return b->p + (candidate * b->classes + answer) * b->passes;
}

/* ---- the passes ---------------------------------------------------------------------------------------- */

static dfal_status put(void *user, int64_t candidate, const float *logits)
{
    struct batch *b = user;
    b->gain[candidate] = INFINITY;
    for (int64_t t = 0; t < b->passes; t++) {
        const float *f = logits + t * b->classes;
        struct df_softmax softmax;
        if (!df_softmax(&softmax, f, b->classes)) {
            b->gain[candidate] = NAN;
            return DFAL_OK;
        }
        const double top = (double)f[df_row_largest(f, b->classes)];
        for (int32_t k = 0; k < b->classes; k++)
            b->p[(candidate * b->classes + k) * b->passes + t] = exp((double)f[k] - top) / (1 + softmax.rest);
        b->entropy[candidate * b->passes + t] = softmax.entropy;
    }
    return DFAL_OK;
}

static dfal_status configurations_open(struct configurations *c, int64_t most, int64_t passes)
{
    DF_TRY(df_alloc(&c->list, most, sizeof *c->list));
    DF_TRY(df_alloc(&c->values, 2 * most * passes, sizeof *c->values));
    for (int64_t i = 0; i < most; i++) {
        c->list[i].posterior = c->values + 2 * i * passes;
        c->list[i].likelihood = c->list[i].posterior + passes;
    }
    return DFAL_OK;
}

/* Nothing is chosen: one configuration, all passes alike. One pass alone has nothing to tell. */
static void begin_configurations(struct batch *b)
{
    b->now.count = b->passes > 1;
    b->now.list[0].share = 1;
    for (int64_t t = 0; t < b->passes; t++) {
        b->now.list[0].posterior[t] = 1 / (double)b->passes;
        b->now.list[0].likelihood[t] = -log((double)b->passes);
    }
}

static dfal_status begin(struct batch *b, struct df_choices *choices)
{
    const double values =
        (double)b->n * (double)b->passes * (b->classes + 1.0) + 4 * (double)b->most * (double)b->passes;
    DF_TRY(df_view_check_memory(b->view, values * sizeof(double), "the probabilities of all passes"));
    DF_TRY(df_alloc(&b->p, b->n * b->classes * b->passes, sizeof *b->p));
    DF_TRY(df_alloc(&b->entropy, b->n * b->passes, sizeof *b->entropy));
    DF_TRY(df_alloc(&b->gain, b->n, sizeof *b->gain));
    DF_TRY(df_alloc(&b->order, b->n, sizeof *b->order));
    DF_TRY(configurations_open(&b->now, b->most, b->passes));
    DF_TRY(configurations_open(&b->next, b->most, b->passes));
    DF_TRY(df_view_passes(b->view, b->passes, DF_MASKS_SHARED, 0, NULL, put, b));
    for (int64_t i = 0; i < b->n; i++)
        if (!isnan(b->gain[i]))
            b->order[b->left++] = i;
    choices->nonfinite = b->n - b->left;
    begin_configurations(b);
    return df_row_loop_begin_of(&b->loop, df_view_context(b->view), "select.information", "candidates", 0);
}

static void end(struct batch *b)
{
    df_row_loop_end(&b->loop);
    df_free(b->p);
    df_free(b->entropy);
    df_free(b->gain);
    df_free(b->order);
    df_free(b->now.list);
    df_free(b->now.values);
    df_free(b->next.list);
    df_free(b->next.values);
}

/* ---- what a candidate adds ----------------------------------------------------------------------------- */

/* sum_t a_t b_t. */
static double dot(const double *x, const double *y, int64_t count)
{
    double sum = 0;
    for (int64_t t = 0; t < count; t++)
        sum += x[t] * y[t];
    return sum;
}

static double gain_of(const struct batch *b, int64_t candidate)
{
    double gain = 0;
    for (int64_t i = 0; i < b->now.count; i++) {
        const struct configuration *one = &b->now.list[i];
        double whole = 0;
        for (int32_t k = 0; k < b->classes; k++) {
            const double p = dot(one->posterior, p_of(b, candidate, k), b->passes);
            whole -= p > 0 ? p * log(p) : 0;
        }
        gain += one->share * (whole - dot(one->posterior, b->entropy + candidate * b->passes, b->passes));
    }
    return fmax(gain, 0);
}

static int64_t look(void *user, int64_t job)
{
    struct batch *b = user;
    const struct df_row_block block = df_row_block(b->end - b->begin, ROWS, job);
    for (int64_t i = b->begin + block.begin; i < b->begin + block.end; i++)
        b->gain[b->order[i]] = gain_of(b, b->order[i]);
    return block.end - block.begin;
}

/* The most first; of equal ones in the seeded order. */
static int compare(const void *a_, const void *b_, void *batch)
{
    const struct batch *b = batch;
    const int64_t i = *(const int64_t *)a_, j = *(const int64_t *)b_;
    if (b->gain[i] != b->gain[j])
        return b->gain[i] > b->gain[j] ? -1 : 1;
    const uint64_t seed = df_view_seed(b->view);
    const int64_t *rows = df_view_rows(b->view);
    const uint64_t first = df_tie(seed, rows[i]), second = df_tie(seed, rows[j]);
    if (first != second)
        return first < second ? -1 : 1;
    return (i > j) - (i < j);
}

/* The candidate that adds the most comes to the front of the order. */
static dfal_status find_best(struct batch *b)
{
    qsort_r(b->order, (size_t)b->left, sizeof *b->order, compare, b);
    int64_t best = 0;
    for (b->begin = 0; b->begin < b->left; b->begin = b->end) {
        if (b->begin && compare(&b->order[b->begin], &b->order[best], b) > 0)
            break;
        b->end = b->begin + CHUNK < b->left ? b->begin + CHUNK : b->left;
        DF_TRY(df_row_loop_run(&b->loop, look, b, df_row_blocks(b->end - b->begin, ROWS)));
        for (int64_t i = b->begin; i < b->end; i++)
            if (compare(&b->order[i], &b->order[best], b) < 0)
                best = i;
    }
    const int64_t chosen = b->order[best];
    b->order[best] = b->order[0];
    b->order[0] = chosen;
    return DFAL_OK;
}

/* ---- the configurations -------------------------------------------------------------------------------- */

/* A configuration with one more answer. None where no pass gives it, and none where it leaves a single pass:
 * nothing can be added to that any more. */
static void add(struct batch *b, const struct configuration *from, const double *p, double share)
{
    struct configuration *to = &b->next.list[b->next.count];
    double top = -INFINITY, sum = 0;
    for (int64_t t = 0; t < b->passes; t++) {
        to->likelihood[t] = from->likelihood[t] + log(p[t]);
        top = fmax(top, to->likelihood[t]);
    }
    if (!(top > -INFINITY) || !(share > 0))
        return;
    for (int64_t t = 0; t < b->passes; t++)
        sum += exp(to->likelihood[t] - top);
    if (sum <= 1)
        return;
    for (int64_t t = 0; t < b->passes; t++) {
        to->likelihood[t] -= top + log(sum);
        to->posterior[t] = exp(to->likelihood[t]);
    }
    to->share = share;
    b->next.count++;
}

/* A share of the answers lies below: which is the next. */
static int32_t answer_at(const struct batch *b, const struct configuration *from, int64_t candidate,
                         double below)
{
    double sum = 0;
    int32_t answer = 0;
    for (int32_t k = 0; k < b->classes; k++) {
        const double p = dot(from->posterior, p_of(b, candidate, k), b->passes);
        if (p > 0)
            answer = k;
        sum += p;
        if (sum > below)
            break;
    }
    return answer;
}

/* The chosen row is asked: every configuration goes on with every answer, or with as many drawn ones as there
 * is room for. */
static void extend(struct batch *b, int64_t candidate, int64_t query)
{
    const int64_t room = b->now.count ? b->most / b->now.count : 0;
    const uint64_t seed = df_view_seed(b->view);
    b->next.count = 0;
    for (int64_t i = 0; i < b->now.count; i++) {
        const struct configuration *from = &b->now.list[i];
        for (int32_t k = 0; k < b->classes && room >= b->classes; k++)
            add(b, from, p_of(b, candidate, k),
                from->share * dot(from->posterior, p_of(b, candidate, k), b->passes));
        const double drawn = df_random_uniform(seed, DF_STREAM_JOINT, (uint64_t)(query * b->most + i));
        for (int64_t j = 0; j < room && room < b->classes; j++) {
            const int32_t k = answer_at(b, from, candidate, ((double)j + drawn) / (double)room);
            add(b, from, p_of(b, candidate, k), from->share / (double)room);
        }
    }
    const struct configurations now = b->now;
    b->now = b->next;
    b->next = now;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct batch b = {.view = view,
                      .n = df_view_count(view),
                      .passes = df_view_integer(view, "passes"),
                      .most = df_view_integer(view, "configurations"),
                      .classes = df_view_class_count(view)};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, begin(&b, choices));
    while (choices->count < q && b.left) {
        DF_TRY_TO(done, status, find_best(&b));
        const int64_t best = b.order[0];
        extend(&b, best, choices->count);
        choices->list[choices->count++] = (struct df_choice){.candidate = best, .score = b.gain[best]};
        b.order[0] = b.order[--b.left];
    }
done:
    end(&b);
    return status;
}

static const struct df_strategy_option options[] = {
    DF_OPTION_PASSES("stochastic passes, each with the same dropout for every row"),
    {.key = "configurations",
     .kind = DF_OPTION_NUMBER,
     .number = {.kind = DF_NUMBER_I32, .low = 1, .high = 1000000},
     .standard = "1000",
     .help = "answers to all chosen rows that are looked at; where there are more, drawn ones"},
    {0},
};

const struct df_strategy df_strategy_batchbald = {
    .name = "batchbald",
    .summary = "largest joint mutual information of the labels and the parameters, "
               "over passes with dropout",
    .asks = DF_ASKS_PASSES,
    .set = true,
    .options = options,
    .select = choose,
};
