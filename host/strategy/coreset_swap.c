/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a swap helps is a count: with candidate v for centre c, how many candidates stay as far as the
 * radius? At most the outliers: it is smaller then. For one v the counts of all c come from one walk over the
 * candidates, each of which knows its nearest centre and how far the nearest of all others is. */
#include "strategy/coreset_swap.h"

#include "base/memory.h"
#include "strategy/row_distance.h"

struct reach {
    double first, second; /* squared distance to the nearest centre, and to the nearest of the others */
    int64_t owner;        /* which centre is nearest; -1: a labelled row, which stays */
};

/* What became of a candidate. */
struct trial {
    int64_t place; /* the first centre that it may replace; -1: none */
    dfal_status status;
};

struct swap {
    const struct df_cover *cover;
    int64_t *chosen;
    int64_t count;
    double square;
    struct reach *reach; /* [n] */
    struct trial *trial; /* [n] */
    int64_t *worst;      /* [worst_count] candidates as far as the radius, of [n] */
    int64_t worst_count;
    struct df_row_loop loop;
};

static double distance(const struct df_cover *cover, int64_t a, int64_t b)
{
    return df_square_distance(cover->h.values + a * cover->h.size, cover->h.values + b * cover->h.size,
                              cover->h.size);
}

static void find_reach(struct swap *swap)
{
    swap->worst_count = 0;
    for (int64_t i = 0; i < swap->cover->h.count; i++) {
        struct reach *reach = &swap->reach[i];
        *reach = (struct reach){swap->cover->far[i], swap->cover->far[i], -1};
        for (int64_t c = 0; c < swap->count && reach->second > 0; c++) {
            const double square = distance(swap->cover, i, swap->chosen[c]);
            if (square < reach->first) {
                reach->second = reach->first;
                reach->first = square;
                reach->owner = c;
            } else if (square < reach->second) {
                reach->second = square;
            }
        }
        if (reach->first >= swap->square)
            swap->worst[swap->worst_count++] = i;
    }
}

/* How many of the worst stay as far with candidate v: mostly one look tells that it does not help. */
static int64_t count_worst(const struct swap *swap, int64_t v)
{
    int64_t far = 0;
    for (int64_t k = 0; k < swap->worst_count && far <= swap->cover->outliers; k++)
        far += distance(swap->cover, swap->worst[k], v) >= swap->square;
    return far;
}

/* extra [count] zeros: how many more stay far where each centre goes. */
static int64_t find_place(const struct swap *swap, int64_t v, int64_t far, int64_t *extra)
{
    for (int64_t i = 0; i < swap->cover->h.count; i++) {
        const struct reach *reach = &swap->reach[i];
        if (reach->first < swap->square && reach->second >= swap->square &&
            distance(swap->cover, i, v) >= swap->square)
            extra[reach->owner]++;
    }
    for (int64_t c = 0; c < swap->count; c++)
        if (far + extra[c] <= swap->cover->outliers)
            return c;
    return -1;
}

static int64_t try_candidate(void *user, int64_t v)
{
    struct swap *swap = user;
    struct trial *trial = &swap->trial[v];
    int64_t *extra;
    *trial = (struct trial){.place = -1};
    if (swap->cover->far[v] < 0)
        return 0;
    const int64_t far = count_worst(swap, v);
    if (far > swap->cover->outliers)
        return 0;
    trial->status = df_alloc(&extra, swap->count, sizeof *extra);
    if (trial->status != DFAL_OK)
        return 0;
    trial->place = find_place(swap, v, far, extra);
    df_free(extra);
    return swap->cover->h.count;
}

/* The first candidate that helps takes its place; *found: there is one. */
static dfal_status step(struct swap *swap, bool *found)
{
    const int64_t n = swap->cover->h.count;
    *found = false;
    find_reach(swap);
    DF_TRY(df_row_loop_run(&swap->loop, try_candidate, swap, n));
    for (int64_t v = 0; v < n && !*found; v++) {
        DF_TRY(swap->trial[v].status);
        *found = swap->trial[v].place >= 0;
        if (*found)
            swap->chosen[swap->trial[v].place] = v;
    }
    return *found ? df_cover_radius(swap->cover, swap->chosen, swap->count, &swap->square) : DFAL_OK;
}

dfal_status df_cover_swap(const struct df_cover *cover, int64_t *chosen, int64_t count, double *square,
                          int64_t *swaps)
{
    const int64_t n = cover->h.count;
    struct swap swap = {.cover = cover, .chosen = chosen, .count = count, .square = *square};
    dfal_status status;
    *swaps = 0;
    DF_TRY_TO(done, status, df_alloc(&swap.reach, n, sizeof *swap.reach));
    DF_TRY_TO(done, status, df_alloc(&swap.trial, n, sizeof *swap.trial));
    DF_TRY_TO(done, status, df_alloc(&swap.worst, n, sizeof *swap.worst));
    DF_TRY_TO(done, status, df_row_loop_begin(&swap.loop, df_view_context(cover->view), n * n));
    for (bool found = true; found && swap.square > 0;) {
        DF_TRY_TO(done, status, step(&swap, &found));
        *swaps += found;
    }
    *square = swap.square;
done:
    df_row_loop_end(&swap.loop);
    df_free(swap.reach);
    df_free(swap.trial);
    df_free(swap.worst);
    return status;
}
