/* SPDX-License-Identifier: Apache-2.0 */
/* CORE-SET, the greedy choice (Sener, Savarese 2018, arXiv:1708.00489, algorithm 1): again and again the
 * candidate that lies farthest from all labelled and chosen rows.
 *
 * Math     u = argmax_i min_j ||h_i - h_j||, j over the labelled rows and those chosen before; its score is
 *          that distance
 * Order    squared distances in double, in the order of df_square_distance; nothing of another candidate
 *          enters
 * Ties     the seeded order. Without a labelled row every distance is infinite, so the first is a tie of all
 * Memory   the features and 8 bytes a candidate: never a distance for each pair
 * Traps    who is chosen has distance 0 to itself and stands for no distance any more; equal rows may follow
 *          it, with score 0 */
#include <math.h>

#include "base/memory.h"
#include "base/rng.h"
#include "score/row_values.h"
#include "strategy/row_distance.h"
#include "strategy/strategy.h"
#include "strategy/view.h"

struct greedy {
    struct df_view *view;
    struct df_features h;
    double *nearest; /* [n] squared distance to the nearest centre; below 0: no candidate (any more) */
};

enum { GONE = -1 };

static void add_centre(struct greedy *greedy, const float *centre)
{
    for (int64_t i = 0; i < greedy->h.count; i++) {
        if (greedy->nearest[i] < 0)
            continue;
        const double distance =
            df_square_distance(greedy->h.values + i * greedy->h.size, centre, greedy->h.size);
        if (distance < greedy->nearest[i])
            greedy->nearest[i] = distance;
    }
}

static dfal_status begin(struct greedy *greedy, const char *node, struct df_choices *choices)
{
    struct df_features labelled;
    DF_TRY(df_view_labelled_features(greedy->view, node, &labelled));
    DF_TRY(df_view_features(greedy->view, node, &greedy->h));
    DF_TRY(df_alloc(&greedy->nearest, greedy->h.count, sizeof *greedy->nearest));
    for (int64_t i = 0; i < greedy->h.count; i++) {
        const bool finite = df_row_is_finite(greedy->h.values + i * greedy->h.size, greedy->h.size);
        greedy->nearest[i] = finite ? INFINITY : GONE;
        choices->nonfinite += !finite;
    }
    for (int64_t j = 0; j < labelled.count; j++) {
        const float *centre = labelled.values + j * labelled.size;
        DF_TRY(df_view_check_stop(greedy->view));
        if (df_row_is_finite(centre, labelled.size))
            add_centre(greedy, centre);
    }
    return DFAL_OK;
}

/* The farthest, -1: nobody is left. */
static int64_t farthest(const struct greedy *greedy)
{
    const uint64_t seed = df_view_seed(greedy->view);
    const int64_t *rows = df_view_rows(greedy->view);
    int64_t best = -1;
    uint64_t best_tie = 0;
    for (int64_t i = 0; i < greedy->h.count; i++) {
        if (greedy->nearest[i] < 0 || (best >= 0 && greedy->nearest[i] < greedy->nearest[best]))
            continue;
        const uint64_t tie = df_random_bits(seed, DF_STREAM_TIES, (uint64_t)rows[i]);
        if (best >= 0 && greedy->nearest[i] == greedy->nearest[best] && tie >= best_tie)
            continue;
        best = i;
        best_tie = tie;
    }
    return best;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct greedy greedy = {.view = view};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, begin(&greedy, df_view_text(view, "node"), choices));
    while (choices->count < q) {
        const int64_t best = farthest(&greedy);
        if (best < 0)
            break;
        DF_TRY_TO(done, status, df_view_check_stop(view));
        choices->list[choices->count++] =
            (struct df_choice){.candidate = best, .score = sqrt(greedy.nearest[best])};
        greedy.nearest[best] = GONE;
        add_centre(&greedy, greedy.h.values + best * greedy.h.size);
    }
done:
    df_free(greedy.nearest);
    return status;
}

static const struct df_strategy_option options[] = {DF_OPTION_NODE, {0}};

const struct df_strategy df_strategy_coreset_greedy = {
    .name = "coreset-greedy",
    .summary = "farthest from all labelled and chosen rows, one after the other",
    .asks = DF_ASKS_FEATURES,
    .set = true,
    .options = options,
    .select = choose,
};
