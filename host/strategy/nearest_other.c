/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest sample that the network takes for something else: where that one is near, the boundary between
 * the two is nearer still, and the smallest distance is queried.
 *
 * Math     min_j ||h_i - h_j||, j over the candidates and the labelled rows whose predicted class, the argmax
 *          of the logits (the lowest index of equal ones), is not that of i; no such j: infinite
 * Order    squared distances in double, in the order of df_square_distance, which is the same from either
 *          end; a minimum has no order
 * Memory   the features, and 16 bytes a candidate; never a distance for each pair
 * Threads  see meet_in_round: nothing of a thread is seen by another before both have met
 * Traps    a row whose logits or features are not finite has no class and is nobody's neighbour */
#include <math.h>

#include "score/row_values.h"
#include "strategy/rank.h"
#include "strategy/row_distance.h"
#include "strategy/row_loop.h"
#include "strategy/softmax.h"
#include "strategy/view.h"

struct sample {
    const float *features;
    double predicted; /* NAN: it is nobody's neighbour */
};

static struct sample sample_of(const struct df_features *h, const double *classes, int64_t i)
{
    const float *features = h->values + i * h->size;
    return (struct sample){features, df_row_is_finite(features, h->size) ? classes[i] : (double)NAN};
}

struct search {
    struct df_view *view;
    struct df_features h, labelled;
    const double *classes, *labelled_classes;
    double *nearest; /* [n] squared distances, in the end distances; NAN: passed over */
    int64_t blocks;  /* of neighbouring candidates */
    int64_t round;
    struct df_row_loop loop;
};

enum { ROWS = 128 }; /* of a block: two of them stay in a core's cache */

static struct df_row_block block_of(const struct search *search, int64_t block)
{
    return df_row_block(search->h.count, ROWS, block);
}

/* One more sample for a block of candidates. Returns its own squared distance to the nearest of them. */
static double meet(struct search *search, struct sample sample, struct df_row_block block)
{
    double nearest = INFINITY;
    for (int64_t i = block.begin; i < block.end; i++) {
        if (isnan(search->nearest[i]) || search->classes[i] == sample.predicted)
            continue;
        const double distance =
            df_square_distance(search->h.values + i * search->h.size, sample.features, search->h.size);
        search->nearest[i] = fmin(search->nearest[i], distance);
        nearest = fmin(nearest, distance);
    }
    return nearest;
}

/* A block meets the labelled rows. */
static int64_t meet_labelled(void *user, int64_t job)
{
    struct search *search = user;
    const struct df_row_block block = block_of(search, job);
    for (int64_t j = 0; j < search->labelled.count; j++) {
        const struct sample sample = sample_of(&search->labelled, search->labelled_classes, j);
        if (!isnan(sample.predicted))
            meet(search, sample, block);
    }
    return (block.end - block.begin) * search->labelled.count;
}

/* Two blocks meet, or one meets itself: each pair of their rows once, for both of its ends. */
static int64_t meet_blocks(struct search *search, int64_t a, int64_t b)
{
    const struct df_row_block one = block_of(search, a), other = block_of(search, b);
    int64_t distances = 0;
    for (int64_t i = one.begin; i < one.end; i++) {
        const struct df_row_block left = {a == b ? i + 1 : other.begin, other.end};
        distances += left.end - left.begin;
        if (!isnan(search->nearest[i]))
            search->nearest[i] =
                fmin(search->nearest[i], meet(search, sample_of(&search->h, search->classes, i), left));
    }
    return distances;
}

static int64_t meet_itself(void *user, int64_t block)
{
    return meet_blocks(user, block, block);
}

/* A round of a tournament in which every block meets every other one: those who meet in a round are pairs
 * without a common block, so that each thread has the rows that it writes to itself. The last seat stays and
 * the others move around a circle; where the number of blocks is odd, whoever meets the last seat rests. */
static int64_t meet_in_round(void *user, int64_t pair)
{
    struct search *search = user;
    const int64_t circle = search->blocks - 1 + search->blocks % 2;
    const int64_t a = (search->round + pair) % circle,
                  b = pair ? (search->round + circle - pair) % circle : circle;
    return b < search->blocks ? meet_blocks(search, a, b) : 0;
}

static dfal_status meet_all(struct search *search)
{
    DF_TRY(df_row_loop_run(&search->loop, meet_labelled, search, search->blocks));
    DF_TRY(df_row_loop_run(&search->loop, meet_itself, search, search->blocks));
    const int64_t pairs = (search->blocks + 1) / 2, rounds = search->blocks > 1 ? 2 * pairs - 1 : 0;
    for (search->round = 0; search->round < rounds; search->round++)
        DF_TRY(df_row_loop_run(&search->loop, meet_in_round, search, pairs));
    return DFAL_OK;
}

static dfal_status ask(struct search *search, const char *node)
{
    DF_TRY(df_view_expect(search->view, false, df_softmax_predicted, node, NULL));
    DF_TRY(df_view_row_scores(search->view, df_softmax_predicted, &search->classes));
    DF_TRY(df_view_features(search->view, node, &search->h));
    DF_TRY(df_view_expect(search->view, true, df_softmax_predicted, node, NULL));
    DF_TRY(df_view_labelled_row_scores(search->view, df_softmax_predicted, &search->labelled_classes));
    return df_view_labelled_features(search->view, node, &search->labelled);
}

static dfal_status find(struct search *search, const char *node)
{
    DF_TRY(ask(search, node));
    const int64_t n = search->h.count;
    for (int64_t i = 0; i < n; i++)
        search->nearest[i] = isnan(sample_of(&search->h, search->classes, i).predicted) ? NAN : INFINITY;
    search->blocks = df_row_blocks(n, ROWS);
    DF_TRY(df_row_loop_begin(&search->loop, df_view_context(search->view),
                             n * search->labelled.count + n * (n - 1) / 2));
    const dfal_status status = meet_all(search);
    df_row_loop_end(&search->loop);
    for (int64_t i = 0; i < n; i++)
        search->nearest[i] = sqrt(search->nearest[i]);
    return status;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct search search = {.view = view};
    bool known;
    DF_TRY(df_view_own_scores(view, &search.nearest, &known));
    if (!known)
        DF_TRY(find(&search, df_view_text(view, "node")));
    return df_rank_by_score(view, search.nearest, DF_SMALLEST_FIRST, q, choices);
}

static const struct df_strategy_option options[] = {DF_OPTION_NODE, DF_OPTION_POWER, {0}};

const struct df_strategy df_strategy_nearest_other = {
    .name = "nearest-other",
    .summary = "nearest to a sample, labelled or not, of another predicted class",
    .asks = DF_ASKS_LOGITS | DF_ASKS_FEATURES,
    .options = options,
    .select = choose,
};
