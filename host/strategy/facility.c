/* SPDX-License-Identifier: Apache-2.0 */
/* Work     what a row adds shrinks as others are chosen (the sum is submodular), so what it added when it was
 *          last looked at bounds what it adds now: only rows whose bound is the largest are looked at again
 *          (Minoux 1978). Rounding does not break this: no term grows, and sums of the same order follow
 * Memory   the distance of each row to the nearest chosen one, and each row's bound */
#include "strategy/facility.h"

#include <math.h>

#include "base/memory.h"
#include "score/row_values.h"
#include "strategy/rank.h"
#include "strategy/row_distance.h"
#include "strategy/row_loop.h"

enum { GONE = -1, AGAIN = 16 };

struct bound {
    double gain;    /* what it added when it was last looked at; below 0: not to be chosen (any more) */
    int64_t choice; /* of which choice that was */
};
struct facility {
    const struct df_feature_rows *from;
    struct df_features h;
    double *nearest;      /* [n] distance to the nearest chosen one, at first the largest of all; below 0: not
                           * finite */
    struct bound *bounds; /* [n] */
    int64_t again[AGAIN]; /* rows whose bounds are looked at */
    struct df_row_loop loop;
};

static double distance_of(const struct facility *facility, int64_t i, int64_t j)
{
    const struct df_features *h = &facility->h;
    return sqrt(df_square_distance(h->values + i * h->size, h->values + j * h->size, h->size));
}

/* The largest distance of row i to one before it stands where its gain will. */
static int64_t look_back(void *user, int64_t i)
{
    struct facility *facility = user;
    for (int64_t j = 0; j < i && facility->nearest[i] >= 0; j++)
        if (facility->nearest[j] >= 0)
            facility->bounds[i].gain = fmax(facility->bounds[i].gain, distance_of(facility, i, j));
    return i;
}

static double gain_of(const struct facility *facility, int64_t i)
{
    double gain = 0;
    for (int64_t j = 0; j < facility->h.count; j++)
        if (facility->nearest[j] >= 0)
            gain += fmax(facility->nearest[j] - distance_of(facility, i, j), 0);
    return gain;
}

static int64_t look_at_all(void *user, int64_t i)
{
    struct facility *facility = user;
    const bool finite = facility->nearest[i] >= 0;
    facility->bounds[i] = (struct bound){finite ? gain_of(facility, i) : GONE, 0};
    return facility->h.count;
}

static uint64_t tie_of(const struct facility *facility, int64_t i)
{
    return df_tie(facility->from->seed, facility->from->rows[i]);
}

/* The row with the largest bound, -1: nobody is left. */
static int64_t largest_bound(const struct facility *facility)
{
    const struct bound *bounds = facility->bounds;
    int64_t best = -1;
    for (int64_t i = 0; i < facility->h.count; i++) {
        if (bounds[i].gain < 0 || (best >= 0 && bounds[i].gain < bounds[best].gain))
            continue;
        if (best < 0 || bounds[i].gain > bounds[best].gain || tie_of(facility, i) < tie_of(facility, best))
            best = i;
    }
    return best;
}

static int64_t look_again(void *user, int64_t job)
{
    struct facility *facility = user;
    const int64_t i = facility->again[job];
    facility->bounds[i].gain = gain_of(facility, i);
    return 0;
}

/* Who adds most to those chosen before, -1: nobody is left. A few of the largest bounds are looked at at
 * once, to keep all threads at work. */
static dfal_status find_next(struct facility *facility, int64_t choice, int64_t *next)
{
    for (;;) {
        int64_t count = 0, i = largest_bound(facility);
        *next = i;
        while (count < AGAIN && i >= 0 && facility->bounds[i].choice != choice) {
            facility->again[count++] = i;
            facility->bounds[i] = (struct bound){GONE, choice};
            i = largest_bound(facility);
        }
        if (!count)
            return DFAL_OK;
        DF_TRY(df_row_loop_run(&facility->loop, look_again, facility, count));
    }
}

static dfal_status begin(struct facility *facility, struct df_choices *choices)
{
    const int64_t n = facility->h.count;
    double largest = 0;
    DF_TRY(df_alloc(&facility->nearest, n, sizeof *facility->nearest));
    DF_TRY(df_alloc(&facility->bounds, n, sizeof *facility->bounds));
    for (int64_t i = 0; i < n; i++) {
        const bool finite = df_row_is_finite(facility->h.values + i * facility->h.size, facility->h.size);
        facility->nearest[i] = finite ? 0 : GONE;
        choices->nonfinite += !finite;
    }
    DF_TRY(df_row_loop_begin(&facility->loop, facility->from->context, n * (n - 1) / 2 + n * n));
    DF_TRY(df_row_loop_run(&facility->loop, look_back, facility, n));
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, facility->bounds[i].gain);
    for (int64_t i = 0; i < n; i++)
        facility->nearest[i] = facility->nearest[i] < 0 ? GONE : largest;
    return df_row_loop_run(&facility->loop, look_at_all, facility, n);
}

static void take(struct facility *facility, int64_t chosen)
{
    facility->bounds[chosen].gain = GONE;
    for (int64_t j = 0; j < facility->h.count; j++)
        if (facility->nearest[j] >= 0)
            facility->nearest[j] = fmin(facility->nearest[j], distance_of(facility, chosen, j));
}

dfal_status df_facility_greedy(const struct df_feature_rows *from, int64_t q, struct df_choices *choices)
{
    struct facility facility = {.from = from, .h = from->h};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, begin(&facility, choices));
    while (choices->count < q) {
        int64_t next;
        DF_TRY_TO(done, status, find_next(&facility, choices->count, &next));
        if (next < 0)
            break;
        choices->list[choices->count++] =
            (struct df_choice){.candidate = next, .score = facility.bounds[next].gain};
        take(&facility, next);
    }
done:
    df_row_loop_end(&facility.loop);
    df_free(facility.nearest);
    df_free(facility.bounds);
    return status;
}
