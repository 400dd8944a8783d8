/* SPDX-License-Identifier: Apache-2.0 */
/* BADGE (Ash et al. 2020, arXiv:1906.03671): k-means++ on the gradients of the last layer, so that the
 * chosen are uncertain, which makes a gradient long, and differ from each other.
 *
 * Math     g = a h^T with a = p - e_y, y the predicted class and h what the last Gemm reads. First the
 *          longest g; then candidate i with a chance proportional to D_i^2 = min_j ||g_i - g_j||^2, j over
 *          the chosen ones. No g is ever formed:
 *          ||g_i - g_j||^2 = ||a_i||^2 ||h_i||^2 + ||a_j||^2 ||h_j||^2 - 2 (a_i . a_j) (h_i . h_j)
 * Draws    a race: candidate i arrives after -log(1 - u) / D_i^2, u uniform by (seed, choice, row), and the
 *          first is chosen. That chance is the same as of a draw from the sum of all D^2, but neither the
 *          order of a sum nor another candidate enters
 * Order    factors in float32 of numbers in double; products and their sums in double, in the order of
 *          df_dot_product
 * Ties     the seeded order
 * Memory   logits, a and h: 4 (2 K + d) bytes a candidate, and 16 more
 * Threads  each has rows of its own; the first of each are compared as if one thread had looked at all
 * Traps    D^2 may round below 0: it is 0 then. Of equal rows it is exactly 0, because a square is made of
 *          the same products. Where every D is 0 the chance is the same for all */
#include <math.h>

#include "base/memory.h"
#include "base/rng.h"
#include "score/row_values.h"
#include "strategy/rank.h"
#include "strategy/row_distance.h"
#include "strategy/row_loop.h"
#include "strategy/softmax.h"
#include "strategy/strategy.h"
#include "strategy/view.h"

struct badge {
    struct df_view *view;
    struct df_features h;
    const float *logits; /* [n, K] */
    float *a;            /* [n, K] */
    double *square;      /* [n] ||g||^2 */
    double *nearest;     /* [n] D^2; below 0: no candidate (any more) */
    struct racer *first; /* [jobs] of the rows of each */
    int64_t class_count;
    int64_t chosen; /* the last one; -1: none yet */
    uint64_t draw;  /* the seed of this choice */
    struct df_row_loop loop;
};

/* Who arrives when: all of the first group before any of the second. */
struct racer {
    int32_t group;
    double time;
    int64_t candidate; /* -1: nobody */
};

enum { GONE = -1, ROWS = 512 }; /* rows of a job */

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
        badge->nearest[i] = finite ? INFINITY : GONE;
        badge->square[i] = finite ? product(badge, i, i) : 0;
    }
    return 0;
}

static uint64_t row_of(const struct badge *badge, int64_t i)
{
    return (uint64_t)df_view_rows(badge->view)[i];
}

static uint64_t tie_of(const struct badge *badge, int64_t i)
{
    return df_tie(df_view_seed(badge->view), df_view_rows(badge->view)[i]);
}

static struct racer racer_of(const struct badge *badge, int64_t i)
{
    if (badge->chosen < 0)
        return (struct racer){0, -badge->square[i], i};
    const double wait = -log1p(-df_random_uniform(badge->draw, DF_STREAM_BADGE, row_of(badge, i)));
    if (badge->nearest[i] > 0)
        return (struct racer){0, wait / badge->nearest[i], i};
    return (struct racer){1, wait, i};
}

static struct racer earlier(const struct badge *badge, struct racer a, struct racer b)
{
    if (a.candidate < 0 || b.candidate < 0)
        return a.candidate < 0 ? b : a;
    if (a.group != b.group)
        return a.group < b.group ? a : b;
    if (a.time != b.time)
        return a.time < b.time ? a : b;
    return tie_of(badge, b.candidate) < tie_of(badge, a.candidate) ? b : a;
}

/* The rows of a job meet the one that was chosen last, and race. */
static int64_t meet(void *user, int64_t job)
{
    struct badge *badge = user;
    const struct df_row_block block = df_row_block(badge->h.count, ROWS, job);
    const int64_t chosen = badge->chosen;
    struct racer first = {.candidate = -1};
    for (int64_t i = block.begin; i < block.end; i++) {
        if (badge->nearest[i] < 0)
            continue;
        if (chosen >= 0) {
            const double distance = badge->square[i] + badge->square[chosen] - 2 * product(badge, i, chosen);
            badge->nearest[i] = fmin(badge->nearest[i], fmax(distance, 0));
        }
        first = earlier(badge, first, racer_of(badge, i));
    }
    badge->first[job] = first;
    return block.end - block.begin;
}

/* -1: nobody is left. */
static dfal_status find_next(struct badge *badge, int64_t choice, int64_t *next)
{
    struct racer first = {.candidate = -1};
    badge->draw = df_random_child(df_view_seed(badge->view), DF_STREAM_BADGE, (uint64_t)choice);
    DF_TRY(df_row_loop_run(&badge->loop, meet, badge, jobs_of(badge)));
    for (int64_t job = 0; job < jobs_of(badge); job++)
        first = earlier(badge, first, badge->first[job]);
    *next = first.candidate;
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
    DF_TRY(df_alloc(&badge->first, jobs_of(badge), sizeof *badge->first));
    DF_TRY(df_row_loop_begin(&badge->loop, df_view_context(badge->view), n * q));
    DF_TRY(df_row_loop_run(&badge->loop, factorise, badge, jobs_of(badge)));
    for (int64_t i = 0; i < n; i++)
        choices->nonfinite += badge->nearest[i] < 0;
    return DFAL_OK;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct badge badge = {.view = view, .chosen = -1};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, begin(&badge, q, choices));
    while (choices->count < q) {
        int64_t next;
        DF_TRY_TO(done, status, find_next(&badge, choices->count, &next));
        if (next < 0)
            break;
        const double square = badge.chosen < 0 ? badge.square[next] : badge.nearest[next];
        choices->list[choices->count++] = (struct df_choice){.candidate = next, .score = sqrt(square)};
        badge.nearest[next] = GONE;
        badge.chosen = next;
    }
done:
    df_row_loop_end(&badge.loop);
    df_free(badge.a);
    df_free(badge.square);
    df_free(badge.nearest);
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
