/* SPDX-License-Identifier: Apache-2.0 */
/* TypiClust (Hacohen, Dekel, Weinshall 2022, arXiv:2202.02794): the most typical sample of each of the
 * largest clusters in which nothing is labelled.
 *
 * Math     k-means of the candidates and the labelled rows into min(labelled + q, clusters) clusters. Again
 *          and again the cluster with the fewest labelled and chosen rows, of those the largest, gives its
 *          candidate of highest typicality: 1 / mean distance to its nearest neighbours in the cluster. While
 *          there are q clusters without a labelled row, these are the q largest of them
 * Order    distances in double, in the order of df_square_distance; the nearest are summed in ascending order
 * Ties     of two clusters the one that was drawn first; of two rows the seeded order
 * Memory   the features and about 100 bytes a row; never a distance for each pair
 * Traps    a row alone in its cluster has no neighbour: its typicality is 0. One whose neighbours are all
 *          equal to it has an infinite one */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "score/row_values.h"
#include "strategy/kmeans.h"
#include "strategy/rank.h"
#include "strategy/row_distance.h"
#include "strategy/row_loop.h"
#include "strategy/strategy.h"
#include "strategy/view.h"

/* A finite row: a candidate, or a labelled one. */
struct sample {
    const float *features;
    int64_t candidate; /* -1: it is labelled */
    double typicality;
    uint64_t tie;
};
struct cluster {
    int64_t *members; /* samples; once it is ranked, its candidates, the most typical first */
    int64_t size;
    int64_t left;  /* candidates that are not chosen */
    int64_t taken; /* labelled and chosen samples */
    bool ranked;
    int64_t next; /* of members, to be chosen */
};
struct typiclust {
    struct df_view *view;
    int64_t size; /* features of a sample */
    struct sample *samples;
    int64_t count, labelled_count; /* of samples */
    struct df_kmeans found;
    struct cluster *clusters;
    const struct cluster *cluster; /* at hand */
    struct df_row_loop loop;
};

enum { NEIGHBOURS = 20, ROWS = 64 }; /* members of a job */

/* ---- the clusters -------------------------------------------------------------------------------------- */

/* Returns how many are not finite. */
static int64_t take(struct typiclust *t, const struct df_features *h, bool labelled)
{
    const int64_t before = t->count, *rows = df_view_rows(t->view);
    const uint64_t seed = df_view_seed(t->view);
    for (int64_t i = 0; i < h->count; i++) {
        const float *features = h->values + i * h->size;
        if (!df_row_is_finite(features, h->size))
            continue;
        t->samples[t->count++] = (struct sample){
            .features = features,
            .candidate = labelled ? -1 : i,
            .tie = labelled ? 0 : df_tie(seed, rows[i]),
        };
    }
    return h->count - (t->count - before);
}

static dfal_status take_samples(struct typiclust *t, const char *node, struct df_choices *choices)
{
    struct df_features labelled, h;
    DF_TRY(df_view_labelled_features(t->view, node, &labelled));
    DF_TRY(df_view_features(t->view, node, &h));
    DF_TRY(df_alloc(&t->samples, h.count + labelled.count, sizeof *t->samples));
    t->size = h.size;
    choices->nonfinite = take(t, &h, false);
    const int64_t candidates = t->count;
    take(t, &labelled, true);
    t->labelled_count = t->count - candidates;
    return DFAL_OK;
}

static dfal_status find_clusters(struct typiclust *t, int64_t q)
{
    const int64_t wanted = t->labelled_count + q, most = df_view_integer(t->view, "clusters");
    struct df_kmeans_ask ask = {.count = t->count,
                                .size = t->size,
                                .clusters = wanted < most ? wanted : most,
                                .seed = df_view_seed(t->view)};
    const float **rows = NULL;
    dfal_status status;
    DF_TRY(df_view_check_memory(t->view, df_kmeans_bytes(&ask) + (double)t->count * sizeof *rows,
                                "the clusters of all samples"));
    DF_TRY(df_alloc(&rows, t->count, sizeof *rows));
    for (int64_t i = 0; i < t->count; i++)
        rows[i] = t->samples[i].features;
    ask.rows = rows;
    status = df_kmeans(&t->found, df_view_context(t->view), &ask);
    df_free(rows);
    return status;
}

static dfal_status count_clusters(struct typiclust *t)
{
    DF_TRY(df_alloc(&t->clusters, t->found.clusters, sizeof *t->clusters));
    for (int64_t c = 0; c < t->found.clusters; c++) {
        struct cluster *cluster = &t->clusters[c];
        cluster->members = t->found.members + t->found.begin[c];
        cluster->size = t->found.begin[c + 1] - t->found.begin[c];
        for (int64_t i = 0; i < cluster->size; i++)
            cluster->taken += t->samples[cluster->members[i]].candidate < 0;
        cluster->left = cluster->size - cluster->taken;
    }
    return DFAL_OK;
}

/* ---- typicality ---------------------------------------------------------------------------------------- */

/* One more distance for the nearest so far, ascending. */
static void keep(double *nearest, int64_t *count, double square)
{
    if (*count == NEIGHBOURS && square >= nearest[NEIGHBOURS - 1])
        return;
    int64_t at = *count < NEIGHBOURS ? (*count)++ : NEIGHBOURS - 1;
    for (; at > 0 && nearest[at - 1] > square; at--)
        nearest[at] = nearest[at - 1];
    nearest[at] = square;
}

static double typicality(const struct typiclust *t, int64_t sample)
{
    const struct cluster *cluster = t->cluster;
    double nearest[NEIGHBOURS], sum = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < cluster->size; i++)
        if (cluster->members[i] != sample)
            keep(nearest, &count,
                 df_square_distance(t->samples[sample].features, t->samples[cluster->members[i]].features,
                                    t->size));
    for (int64_t i = 0; i < count; i++)
        sum += sqrt(nearest[i]);
    return count ? (double)count / sum : 0;
}

static int64_t find_typicality(void *user, int64_t job)
{
    const struct typiclust *t = user;
    const struct cluster *cluster = t->cluster;
    const struct df_row_block block = df_row_block(cluster->size, ROWS, job);
    for (int64_t i = block.begin; i < block.end; i++)
        t->samples[cluster->members[i]].typicality = typicality(t, cluster->members[i]);
    return (block.end - block.begin) * (cluster->size - 1);
}

static int compare(const void *a_, const void *b_, void *samples)
{
    const int64_t i = *(const int64_t *)a_, j = *(const int64_t *)b_;
    const struct sample *a = (const struct sample *)samples + i, *b = (const struct sample *)samples + j;
    if ((a->candidate < 0) != (b->candidate < 0))
        return a->candidate < 0 ? 1 : -1;
    if (a->typicality != b->typicality)
        return a->typicality > b->typicality ? -1 : 1;
    if (a->tie != b->tie)
        return a->tie < b->tie ? -1 : 1;
    return (i > j) - (i < j);
}

static dfal_status rank(struct typiclust *t, struct cluster *cluster)
{
    t->cluster = cluster;
    cluster->ranked = true;
    DF_TRY(df_row_loop_run(&t->loop, find_typicality, t, df_row_blocks(cluster->size, ROWS)));
    qsort_r(cluster->members, (size_t)cluster->size, sizeof *cluster->members, compare, t->samples);
    return DFAL_OK;
}

/* ---- the choice ---------------------------------------------------------------------------------------- */

/* NULL: every candidate is chosen. */
static struct cluster *next_cluster(const struct typiclust *t)
{
    struct cluster *best = NULL;
    for (int64_t c = 0; c < t->found.clusters; c++) {
        struct cluster *cluster = &t->clusters[c];
        if (cluster->left && (!best || cluster->taken < best->taken ||
                              (cluster->taken == best->taken && cluster->size > best->size)))
            best = cluster;
    }
    return best;
}

static dfal_status choose_samples(struct typiclust *t, int64_t q, struct df_choices *choices)
{
    struct cluster *cluster;
    DF_TRY(df_row_loop_begin(&t->loop, df_view_context(t->view), 0));
    while (choices->count < q && (cluster = next_cluster(t))) {
        if (!cluster->ranked)
            DF_TRY(rank(t, cluster));
        const struct sample *sample = &t->samples[cluster->members[cluster->next++]];
        cluster->left--;
        cluster->taken++;
        choices->list[choices->count++] =
            (struct df_choice){.candidate = sample->candidate, .score = sample->typicality};
    }
    return DFAL_OK;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct typiclust t = {.view = view};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, take_samples(&t, df_view_text(view, "node"), choices));
    DF_TRY_TO(done, status, find_clusters(&t, q));
    DF_TRY_TO(done, status, count_clusters(&t));
    status = choose_samples(&t, q, choices);
done:
    df_row_loop_end(&t.loop);
    df_kmeans_clear(&t.found);
    df_free(t.clusters);
    df_free(t.samples);
    return status;
}

static const struct df_strategy_option options[] = {
    DF_OPTION_NODE,
    {.key = "clusters",
     .kind = DF_OPTION_NUMBER,
     .number = {.kind = DF_NUMBER_I32, .low = 1, .high = 100000},
     .standard = "500",
     .help = "clusters at most; fewer where fewer are labelled and asked for"},
    {0},
};

const struct df_strategy df_strategy_typiclust = {
    .name = "typiclust",
    .summary = "most typical of the largest clusters in which nothing is labelled",
    .asks = DF_ASKS_FEATURES,
    .set = true,
    .options = options,
    .select = choose,
};
