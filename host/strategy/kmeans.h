/* SPDX-License-Identifier: Apache-2.0 */
/* k-means of rows of floats: k-means++ (Arthur, Vassilvitskii 2007) and Lloyd's iterations. */
#ifndef DF_STRATEGY_KMEANS_H
#define DF_STRATEGY_KMEANS_H

#include "base/status.h"

struct dfal_context;

struct df_kmeans_ask {
    const float *const *rows; /* [count], each of size finite numbers */
    int64_t count, size;
    int64_t clusters; /* at most */
    uint64_t seed;
};
/* Cluster c has members[begin[c]] to members[begin[c + 1] - 1]: rows, ascending. One may be empty. */
struct df_kmeans {
    int64_t clusters; /* fewer where fewer rows differ */
    int64_t *begin;   /* [clusters + 1] */
    int64_t *members; /* [count] */
};
/* What a clustering takes beside the rows, bytes. */
double df_kmeans_bytes(const struct df_kmeans_ask *ask);
/* Lloyd's iterations go on until no centre moves, 100 at most. What is found is cleared by df_kmeans_clear,
 * after an error, too.
 * Order    of the rows, which the draws of the seeding and the order of clusters depend on; none of threads
 * Ties     of two equally near centres the one that was drawn first
 * Errors   E_STOPPED, E_MEMORY */
dfal_status df_kmeans(struct df_kmeans *found, struct dfal_context *context, const struct df_kmeans_ask *ask);
void df_kmeans_clear(struct df_kmeans *found);

#endif
