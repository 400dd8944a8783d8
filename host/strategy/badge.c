/* SPDX-License-Identifier: Apache-2.0 */
/* BADGE (Ash et al. 2020, arXiv:1906.03671): k-means++ on the gradients of the last layer, so that the
 * chosen are uncertain, which makes a gradient long, and differ from each other.
 *
 * Math     g = a h^T with a = p - e_y, y the predicted class and h what the last Gemm reads. First the
 *          longest g; then candidate i with a chance proportional to D_i^2 = min_j ||g_i - g_j||^2, j over
 *          the chosen ones. No g is ever formed:
 *          ||g_i - g_j||^2 = ||a_i||^2 ||h_i||^2 + ||a_j||^2 ||h_j||^2 - 2 (a_i . a_j) (h_i . h_j)
 * Draws    a race: candidate i arrives after -log(1 - u) / D_i^2, u uniform by (seed, choice, row), and the
 *          first is chosen (kernels/race.h). That chance is the same as of a draw from the sum of all D^2,
 *          but neither the order of a sum nor another candidate enters
 * Order    factors in float32 of numbers in double; products and their sums in double, in the order of
 *          df_dot_product
 * Ties     the seeded order
 * Memory   logits, a and h: 4 (2 K + d) bytes a candidate, and 24 more
 * Threads  each has rows of its own; the first of each are compared as if one thread had looked at all. A
 *          wide device does the same (badge_device.c), and so do ranks (bid.h), which get the chosen factors
 * Traps    D^2 may round below 0: it is 0 then. Of equal rows it is exactly 0, because a square is made of
 *          the same products. Where every D is 0 the chance is the same for all */
#include <math.h>

#include "base/memory.h"
#include "comm/comm.h"
#include "race.h" /* kernels */
#include "score/row_values.h"
#include "strategy/badge_device.h"
#include "strategy/badge_race.h"
#include "strategy/bid.h"
#include "strategy/rank.h"
#include "strategy/row_distance.h"
#include "strategy/softmax.h"
#include "strategy/strategy.h"

enum { ROWS = 512 }; /* rows of a job */

static int64_t jobs_of(const struct badge *badge)
{
    return df_row_blocks(badge->h.count, ROWS);
}

static const float *h_of(const struct badge *badge, int64_t i)
{
    return badge->h.values + i * badge->h.size;
}

static float *a_of(const struct badge *badge, int64_t i)
{
    return badge->a + i * badge->class_count;
}

/* (a_i . a) (h_i . h) */
static double product(const struct badge *badge, int64_t i, const float *a, const float *h)
{
    return df_dot_product(a_of(badge, i), a, badge->class_count) *
           df_dot_product(h_of(badge, i), h, badge->h.size);
}

/* p - e_y. False: a logit is not finite. */
static bool subtract(float *a, const float *logits, int64_t class_count)
{
    struct df_softmax softmax;
    if (!df_softmax(&softmax, logits, (int32_t)class_count))
        return false;
    const int64_t best = df_row_largest(logits, class_count);
    for (int64_t k = 0; k < class_count; k++)
        a[k] = (float)(exp((double)logits[k] - (double)logits[best]) / (1 + softmax.rest));
    a[best] = (float)(-softmax.rest / (1 + softmax.rest)); /* not 1 - p, which would lose it */
    return true;
}

static int64_t factorise(void *user, int64_t job)
{
    struct badge *badge = user;
    const struct df_row_block block = df_row_block(badge->h.count, ROWS, job);
    for (int64_t i = block.begin; i < block.end; i++) {
        const bool finite =
            df_row_is_finite(h_of(badge, i), badge->h.size) &&
            subtract(a_of(badge, i), badge->logits + i * badge->class_count, badge->class_count);
        badge->nearest[i] = INFINITY;
        badge->square[i] = finite ? product(badge, i, a_of(badge, i), h_of(badge, i)) : 0;
        badge->priority[i] = finite ? badge->square[i] : -INFINITY; /* first the longest */
    }
    return 0;
}

static uint64_t tie_of(const struct badge *badge, int64_t i)
{
    return df_tie(df_view_seed(badge->view), df_view_rows(badge->view)[i]);
}

/* The one that arrives earlier; -1: nobody. */
static int64_t earlier(const struct badge *badge, int64_t a, int64_t b)
{
    const double *priority = badge->priority;
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    if (priority[a] != priority[b])
        return priority[a] > priority[b] ? a : b;
    return tie_of(badge, b) < tie_of(badge, a) ? b : a;
}

/* The rows of a job meet the one that was chosen last, and race. */
static int64_t meet(void *user, int64_t job)
{
    struct badge *badge = user;
    const struct badge_chosen *chosen = &badge->chosen;
    const int64_t *row = df_view_rows(badge->view);
    const struct df_row_block block = df_row_block(badge->h.count, ROWS, job);
    int64_t first = -1;
    for (int64_t i = block.begin; i < block.end; i++) {
        if (badge->priority[i] == -INFINITY)
            continue;
        if (chosen->a) {
            badge->nearest[i] =
                fmin(badge->nearest[i], df_badge_distance(badge->square[i], chosen->square,
                                                          product(badge, i, chosen->a, chosen->h)));
            badge->priority[i] = df_badge_priority(badge->nearest[i], badge->draw, (uint64_t)row[i]);
        }
        first = earlier(badge, first, i);
    }
    badge->first[job] = first;
    return block.end - block.begin;
}

/* ---- the choice ---------------------------------------------------------------------------------------- */

static dfal_status bid(void *user, int64_t step, struct df_bid *bid)
{
    struct badge *badge = user;
    badge->draw = df_badge_draw(badge, step);
    DF_TRY(df_row_loop_run(&badge->loop, meet, badge, jobs_of(badge)));
    badge->next = -1;
    for (int64_t job = 0; job < jobs_of(badge); job++)
        badge->next = earlier(badge, badge->next, badge->first[job]);
    *bid = (struct df_bid){.priority = -INFINITY, .row = -1};
    if (badge->next >= 0)
        *bid = (struct df_bid){badge->priority[badge->next], df_view_rows(badge->view)[badge->next]};
    return DFAL_OK;
}

static dfal_status give(void *user, void *row)
{
    const struct badge *badge = user;
    df_badge_pack(badge, badge->next, badge->nearest[badge->next], row);
    return DFAL_OK;
}

/* The rows meet it when they bid again. */
static dfal_status take(void *user, int64_t step, const void *row, bool own)
{
    struct badge *badge = user;
    df_badge_unpack(badge, step, row);
    if (own)
        badge->priority[badge->next] = -INFINITY;
    return DFAL_OK;
}

static dfal_status choose_on_host(struct badge *badge, int64_t q)
{
    const struct df_bidder bidder = {.seed = df_view_seed(badge->view),
                                     .bytes = df_badge_bytes(badge),
                                     .user = badge,
                                     .bid = bid,
                                     .give = give,
                                     .meet = take};
    DF_TRY(df_alloc(&badge->first, jobs_of(badge), sizeof *badge->first));
    return df_bid_rounds(df_view_comm(badge->view), &bidder, q, badge->choices);
}

/* Of all ranks. */
static dfal_status count_nonfinite(const struct badge *badge, int64_t *count)
{
    double sum = 0;
    for (int64_t i = 0; i < badge->h.count; i++)
        sum += badge->priority[i] == -INFINITY;
    if (df_view_comm(badge->view))
        DF_TRY(df_comm_sum(df_view_comm(badge->view), &sum, 1));
    *count = (int64_t)sum;
    return DFAL_OK;
}

static dfal_status begin(struct badge *badge, int64_t q, struct df_choices *choices)
{
    const int64_t n = df_view_count(badge->view), k = df_view_class_count(badge->view);
    badge->class_count = k;
    DF_TRY(df_view_expect(badge->view, false, NULL, "", NULL));
    DF_TRY(df_view_logits(badge->view, &badge->logits));
    DF_TRY(df_view_features(badge->view, "", &badge->h));
    DF_TRY(df_view_check_memory(badge->view, (double)n * (double)k * sizeof(float),
                                "the gradients by the logits of all candidates"));
    DF_TRY(df_alloc(&badge->a, n * k, sizeof *badge->a));
    DF_TRY(df_alloc(&badge->square, n, sizeof *badge->square));
    DF_TRY(df_alloc(&badge->nearest, n, sizeof *badge->nearest));
    DF_TRY(df_alloc(&badge->priority, n, sizeof *badge->priority));
    DF_TRY(df_row_loop_begin(&badge->loop, df_view_context(badge->view), n * q));
    DF_TRY(df_row_loop_run(&badge->loop, factorise, badge, jobs_of(badge)));
    return count_nonfinite(badge, &choices->nonfinite);
}

/* On the device where that is fastest and has the memory. */
static dfal_status choose_here(struct badge *badge, int64_t q)
{
    if (df_device_choice_pays(badge->view, badge->h.count)) {
        bool begun;
        df_row_loop_end(&badge->loop); /* the device tells its own progress */
        const dfal_status status = df_badge_on_device(df_view_device(badge->view), badge, q, &begun);
        if (status != DFAL_E_MEMORY || begun)
            return status;
        DF_TRY(df_row_loop_begin(&badge->loop, df_view_context(badge->view), badge->h.count * q));
    }
    return choose_on_host(badge, q);
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct badge badge = {.choices = choices};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, df_view_part(view, &badge.view));
    DF_TRY_TO(done, status, begin(&badge, q, choices));
    DF_TRY_TO(done, status, choose_here(&badge, q));
    for (int64_t i = 0; i < choices->count; i++)
        choices->list[i].candidate = df_view_candidate(view, choices->list[i].candidate);
done:
    df_row_loop_end(&badge.loop);
    df_free(badge.a);
    df_free(badge.square);
    df_free(badge.nearest);
    df_free(badge.priority);
    df_free(badge.first);
    return status;
}

const struct df_strategy df_strategy_badge = {
    .name = "badge",
    .summary = "k-means++ on the last layer's gradients: uncertain rows that differ",
    .asks = DF_ASKS_LOGITS | DF_ASKS_FEATURES | DF_ASKS_LAST_LAYER,
    .set = true,
    .spreads = true,
    .select = choose,
};
