/* SPDX-License-Identifier: Apache-2.0 */
/* Order    squared distances in double, in the order of df_square_distance; nothing of another row enters
 * Memory   8 bytes a row: never a distance for each pair
 * Threads  each has rows of its own; the farthest of each are compared as if one thread had looked at all
 * Traps    who is chosen has distance 0 to itself and stands for no distance any more; equal rows may follow
 *          it, with score 0 */
#include "strategy/k_center.h"

#include <math.h>

#include "base/memory.h"
#include "base/rng.h"
#include "score/row_values.h"
#include "strategy/row_distance.h"
#include "strategy/row_loop.h"

struct greedy {
    const struct df_k_center *ask;
    struct df_features h;
    struct df_features centres; /* those that are new */
    double *nearest;   /* [n] squared distance to the nearest centre; below 0: not to be chosen (any more) */
    int64_t *farthest; /* [jobs] of the rows of each; -1: nobody is left */
    struct df_row_loop loop;
};

enum { GONE = -1, ROWS = 512 }; /* rows of a job */

static int64_t jobs_of(const struct greedy *greedy)
{
    return (greedy->h.count + ROWS - 1) / ROWS;
}

static void add_centre(struct greedy *greedy, const float *centre, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        if (greedy->nearest[i] < 0)
            continue;
        const double distance =
            df_square_distance(greedy->h.values + i * greedy->h.size, centre, greedy->h.size);
        if (distance < greedy->nearest[i])
            greedy->nearest[i] = distance;
    }
}

static uint64_t tie_of(const struct greedy *greedy, int64_t i)
{
    return df_random_bits(greedy->ask->seed, DF_STREAM_TIES, (uint64_t)greedy->ask->rows[i]);
}

/* The farther one of a row and the best before it, -1: none yet. */
static int64_t farther(const struct greedy *greedy, int64_t best, int64_t i)
{
    if (i < 0 || greedy->nearest[i] < 0)
        return best;
    if (best < 0 || greedy->nearest[i] > greedy->nearest[best])
        return i;
    const bool tie = greedy->nearest[i] == greedy->nearest[best];
    return tie && tie_of(greedy, i) < tie_of(greedy, best) ? i : best;
}

/* The rows of a job meet the new centres. */
static int64_t meet(void *user, int64_t job)
{
    struct greedy *greedy = user;
    const struct df_features *centres = &greedy->centres;
    const int64_t begin = job * ROWS, left = greedy->h.count - begin,
                  end = begin + (left < ROWS ? left : ROWS);
    int64_t best = -1;
    for (int64_t j = 0; j < centres->count; j++) {
        const float *centre = centres->values + j * centres->size;
        if (df_row_is_finite(centre, centres->size))
            add_centre(greedy, centre, begin, end);
    }
    for (int64_t i = begin; i < end; i++)
        best = farther(greedy, best, i);
    greedy->farthest[job] = best;
    return (end - begin) * centres->count;
}

/* The farthest of all rows with these centres besides, -1: nobody is left. */
static dfal_status find_farthest(struct greedy *greedy, const struct df_features *centres, int64_t *best)
{
    greedy->centres = *centres;
    DF_TRY(df_row_loop_run(&greedy->loop, meet, greedy, jobs_of(greedy)));
    *best = -1;
    for (int64_t job = 0; job < jobs_of(greedy); job++)
        *best = farther(greedy, *best, greedy->farthest[job]);
    return DFAL_OK;
}

static dfal_status begin(struct greedy *greedy, int64_t q, struct df_choices *choices, int64_t *best)
{
    const struct df_k_center *ask = greedy->ask;
    DF_TRY(df_alloc(&greedy->nearest, greedy->h.count, sizeof *greedy->nearest));
    DF_TRY(df_alloc(&greedy->farthest, jobs_of(greedy), sizeof *greedy->farthest));
    for (int64_t i = 0; i < greedy->h.count; i++) {
        const bool finite = df_row_is_finite(greedy->h.values + i * greedy->h.size, greedy->h.size);
        greedy->nearest[i] = finite ? INFINITY : GONE;
        choices->nonfinite += !finite;
    }
    DF_TRY(df_row_loop_begin(&greedy->loop, ask->context, greedy->h.count * (ask->centres.count + q)));
    return find_farthest(greedy, &ask->centres, best);
}

dfal_status df_k_center_greedy(const struct df_k_center *ask, int64_t q, struct df_choices *choices)
{
    struct greedy greedy = {.ask = ask, .h = ask->h};
    int64_t best;
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, begin(&greedy, q, choices, &best));
    while (choices->count < q && best >= 0) {
        const struct df_features chosen = {
            .count = 1, .size = greedy.h.size, .values = greedy.h.values + best * greedy.h.size};
        choices->list[choices->count++] =
            (struct df_choice){.candidate = best, .score = sqrt(greedy.nearest[best])};
        greedy.nearest[best] = GONE;
        DF_TRY_TO(done, status, find_farthest(&greedy, &chosen, &best));
    }
done:
    df_row_loop_end(&greedy.loop);
    df_free(greedy.nearest);
    df_free(greedy.farthest);
    return status;
}
