/* SPDX-License-Identifier: Apache-2.0 */
/* Cluster-Margin (Citovsky et al. 2021, arXiv:2107.14263), clustered anew in each selection: candidates of
 * small margin, each from another cluster.
 *
 * Math     the 10 q candidates of smallest softmax margin, at most 5,000; average linkage of their features
 *          until there are q clusters. In turn, from the smallest cluster to the largest, each gives its row
 *          of smallest margin
 * Ties     of margins the seeded order, which is the order of the rows in all that follows; of clusters of
 *          one size the one whose first row comes first
 * Memory   the features, 8 bytes a candidate, and 100 MB for the distances of 5,000
 * Traps    equal rows stay in one cluster, so that there may be fewer than q: then one gives several */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "score/row_values.h"
#include "strategy/linkage.h"
#include "strategy/rank.h"
#include "strategy/softmax.h"
#include "strategy/view.h"

enum { A_QUERY = 10, MOST = 5000 }; /* candidates that are clustered */

struct margins {
    const double *of_logits; /* [n] */
    const struct df_features *h;
};

/* NAN where features are not finite, too. */
static bool smallest(const void *user, int64_t i, struct df_rank_key *key)
{
    const struct margins *margins = user;
    const bool finite = df_row_is_finite(margins->h->values + i * margins->h->size, margins->h->size);
    key->score = finite ? margins->of_logits[i] : (double)NAN;
    return true;
}

/* A row that is clustered. */
struct member {
    int64_t cluster; /* its first row */
    int64_t size;    /* of the cluster */
    int64_t turn;    /* rows of the cluster before it */
    struct df_choice choice;
};

/* By turn, then the smallest cluster, then the first. */
static int compare(const void *a_, const void *b_)
{
    const struct member *a = a_, *b = b_;
    if (a->turn != b->turn)
        return a->turn < b->turn ? -1 : 1;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return (a->cluster > b->cluster) - (a->cluster < b->cluster);
}

static dfal_status order_by_turns(struct member *members, const int64_t *labels,
                                  const struct df_choices *ranked)
{
    int64_t *sizes;
    DF_TRY(df_alloc(&sizes, ranked->count, sizeof *sizes));
    for (int64_t i = 0; i < ranked->count; i++)
        members[i] =
            (struct member){.cluster = labels[i], .turn = sizes[labels[i]]++, .choice = ranked->list[i]};
    for (int64_t i = 0; i < ranked->count; i++)
        members[i].size = sizes[labels[i]];
    df_free(sizes);
    qsort(members, (size_t)ranked->count, sizeof *members, compare);
    return DFAL_OK;
}

/* The rows of smallest margin, in the order in which their clusters give them. */
static dfal_status cluster(struct df_view *view, const struct df_features *h, struct member *members,
                           const struct df_choices *ranked, int64_t q)
{
    const int64_t n = ranked->count;
    const float **rows = NULL;
    int64_t *labels = NULL;
    dfal_status status;
    DF_TRY(
        df_view_check_memory(view, df_linkage_bytes(n), "the distances of the candidates of small margin"));
    DF_TRY_TO(done, status, df_alloc(&rows, n, sizeof *rows));
    DF_TRY_TO(done, status, df_alloc(&labels, n, sizeof *labels));
    for (int64_t i = 0; i < n; i++)
        rows[i] = h->values + ranked->list[i].candidate * h->size;
    DF_TRY_TO(done, status, df_average_linkage(labels, df_view_context(view), rows, n, h->size, q));
    status = order_by_turns(members, labels, ranked);
done:
    df_free(rows);
    df_free(labels);
    return status;
}

static dfal_status ask(struct df_view *view, struct margins *margins, struct df_features *h)
{
    const char *node = df_view_text(view, "node");
    DF_TRY(df_view_expect(view, false, df_softmax_margin, node, NULL));
    DF_TRY(df_view_row_scores(view, df_softmax_margin, &margins->of_logits));
    margins->h = h;
    return df_view_features(view, node, h);
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    const int64_t some = q <= MOST / A_QUERY ? A_QUERY * q : MOST;
    struct df_features h;
    struct margins margins;
    struct df_choices ranked = {0};
    struct member *members = NULL;
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    if (q > MOST)
        DF_FAIL(DFAL_E_USAGE,
                "strategy cluster-margin chooses among %d candidates, %lld are asked for: expected "
                "at most %d",
                MOST, (long long)q, MOST);
    DF_TRY(ask(view, &margins, &h));
    DF_TRY_TO(done, status, df_alloc(&ranked.list, some, sizeof *ranked.list));
    DF_TRY_TO(done, status, df_alloc(&members, some, sizeof *members));
    DF_TRY_TO(done, status, df_rank_by_key(view, smallest, &margins, some, &ranked));
    choices->nonfinite = ranked.nonfinite;
    DF_TRY_TO(done, status, cluster(view, &h, members, &ranked, q));
    choices->count = q < ranked.count ? q : ranked.count;
    for (int64_t i = 0; i < choices->count; i++)
        choices->list[i] = members[i].choice;
done:
    df_free(ranked.list);
    df_free(members);
    return status;
}

static const struct df_strategy_option options[] = {DF_OPTION_NODE, {0}};

const struct df_strategy df_strategy_cluster_margin = {
    .name = "cluster-margin",
    .summary = "small margins, each from another cluster of features",
    .asks = DF_ASKS_LOGITS | DF_ASKS_FEATURES,
    .set = true,
    .options = options,
    .select = choose,
};
