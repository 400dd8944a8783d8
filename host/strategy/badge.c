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
 *          wide device does the same (badge_device.c)
 * Traps    D^2 may round below 0: it is 0 then. Of equal rows it is exactly 0, because a square is made of
 *          the same products. Where every D is 0 the chance is the same for all */
#include <math.h>

#include "base/memory.h"
#include "race.h" /* kernels */
#include "score/row_values.h"
#include "strategy/badge_device.h"
#include "strategy/badge_race.h"
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

/* (a_i . a_j) (h_i . h_j) */
static double product(const struct badge *badge, int64_t i, int64_t j)
{
    return df_dot_product(a_of(badge, i), a_of(badge, j), badge->class_count) *
           df_dot_product(h_of(badge, i), h_of(badge, j), badge->h.size);
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
        badge->square[i] = finite ? product(badge, i, i) : 0;
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
    const int64_t chosen = badge->chosen, *row = df_view_rows(badge->view);
    const struct df_row_block block = df_row_block(badge->h.count, ROWS, job);
    int64_t first = -1;
    for (int64_t i = block.begin; i < block.end; i++) {
        if (badge->priority[i] == -INFINITY)
            continue;
        if (chosen >= 0) {
            badge->nearest[i] =
                fmin(badge->nearest[i],
                     df_badge_distance(badge->square[i], badge->square[chosen], product(badge, i, chosen)));
            badge->priority[i] = df_badge_priority(badge->nearest[i], badge->draw, (uint64_t)row[i]);
        }
        first = earlier(badge, first, i);
    }
    badge->first[job] = first;
    return block.end - block.begin;
}

/* -1: nobody is left. */
static dfal_status find_next(struct badge *badge, int64_t choice, int64_t *next)
{
    badge->draw = df_badge_draw(badge, choice);
    DF_TRY(df_row_loop_run(&badge->loop, meet, badge, jobs_of(badge)));
    *next = -1;
    for (int64_t job = 0; job < jobs_of(badge); job++)
        *next = earlier(badge, *next, badge->first[job]);
    return DFAL_OK;
}

static dfal_status choose_on_host(struct badge *badge, int64_t q, struct df_choices *choices)
{
    DF_TRY(df_alloc(&badge->first, jobs_of(badge), sizeof *badge->first));
    while (choices->count < q) {
        int64_t next;
        DF_TRY(find_next(badge, choices->count, &next));
        if (next < 0)
            break;
        choices->list[choices->count++] = (struct df_choice){.candidate = next};
        badge->priority[next] = -INFINITY;
        badge->chosen = next;
    }
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
    for (int64_t i = 0; i < n; i++)
        choices->nonfinite += badge->priority[i] == -INFINITY;
    return DFAL_OK;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct badge badge = {.view = view, .chosen = -1};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, begin(&badge, q, choices));
    bool on_host = !df_device_choice_pays(view, badge.h.count);
    if (!on_host) {
        df_row_loop_end(&badge.loop); /* the device tells its own progress */
        status = df_badge_on_device(df_view_device(view), &badge, q, choices);
        on_host = status == DFAL_E_MEMORY;
        if (on_host)
            DF_TRY_TO(done, status, df_row_loop_begin(&badge.loop, df_view_context(view), badge.h.count * q));
    }
    if (on_host)
        status = choose_on_host(&badge, q, choices);
    for (int64_t i = 0; i < choices->count; i++) { /* the last distance was that of the choice */
        const int64_t candidate = choices->list[i].candidate;
        choices->list[i].score = sqrt(i ? badge.nearest[candidate] : badge.square[candidate]);
    }
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
    .select = choose,
};
