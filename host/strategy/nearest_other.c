/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest sample that the network takes for something else: where that one is near, the boundary between
 * the two is nearer still, and the smallest distance is queried.
 *
 * Math     min_j ||h_i - h_j||, j over the candidates and the labelled rows whose predicted class, the argmax
 *          of the logits (the lowest index of equal ones), is not that of i; no such j: infinite
 * Order    squared distances in double, in the order of df_square_distance, which is the same from either
 *          end; a minimum has no order
 * Memory   the features, and 16 bytes a candidate; never a distance for each pair
 * Traps    a row whose logits or features are not finite has no class and is nobody's neighbour */
#include <math.h>

#include "score/row_values.h"
#include "strategy/rank.h"
#include "strategy/row_distance.h"
#include "strategy/view.h"

/* The class; NAN: not finite. */
static double predicted(const float *logits, int64_t class_count)
{
    return df_row_is_finite(logits, class_count) ? (double)df_row_largest(logits, class_count) : (double)NAN;
}

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
    struct df_features h;
    const double *classes; /* [n] */
    double *nearest;       /* [n] squared distances, in the end distances; NAN: passed over */
};

/* One more sample for candidates from first on. Returns its own squared distance to the nearest of them. */
static double meet(struct search *search, struct sample sample, int64_t first)
{
    double nearest = INFINITY;
    for (int64_t i = first; i < search->h.count; i++) {
        if (isnan(search->nearest[i]) || search->classes[i] == sample.predicted)
            continue;
        const double distance =
            df_square_distance(search->h.values + i * search->h.size, sample.features, search->h.size);
        search->nearest[i] = fmin(search->nearest[i], distance);
        nearest = fmin(nearest, distance);
    }
    return nearest;
}

static dfal_status meet_labelled(struct search *search, const char *node)
{
    struct df_features h;
    const double *classes;
    DF_TRY(df_view_labelled_row_scores(search->view, predicted, &classes));
    DF_TRY(df_view_labelled_features(search->view, node, &h));
    for (int64_t j = 0; j < h.count; j++) {
        const struct sample sample = sample_of(&h, classes, j);
        DF_TRY(df_view_check_stop(search->view));
        if (!isnan(sample.predicted))
            meet(search, sample, 0);
    }
    return DFAL_OK;
}

static dfal_status meet_each_other(struct search *search)
{
    for (int64_t i = 0; i < search->h.count; i++) {
        if (isnan(search->nearest[i]))
            continue;
        DF_TRY(df_view_check_stop(search->view));
        const double behind = meet(search, sample_of(&search->h, search->classes, i), i + 1);
        search->nearest[i] = sqrt(fmin(search->nearest[i], behind));
    }
    return DFAL_OK;
}

static dfal_status find(struct search *search, const char *node)
{
    DF_TRY(df_view_row_scores(search->view, predicted, &search->classes));
    DF_TRY(df_view_features(search->view, node, &search->h));
    for (int64_t i = 0; i < search->h.count; i++)
        search->nearest[i] = isnan(sample_of(&search->h, search->classes, i).predicted) ? NAN : INFINITY;
    DF_TRY(meet_labelled(search, node));
    return meet_each_other(search);
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

static const struct df_strategy_option options[] = {DF_OPTION_NODE, {0}};

const struct df_strategy df_strategy_nearest_other = {
    .name = "nearest-other",
    .summary = "nearest to a sample, labelled or not, of another predicted class",
    .asks = DF_ASKS_LOGITS | DF_ASKS_FEATURES,
    .options = options,
    .select = choose,
};
