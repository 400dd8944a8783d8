/* SPDX-License-Identifier: Apache-2.0 */
/* Average linkage by chains of nearest neighbours (Benzecri 1982; Murtagh 1983).
 *
 * Math     d(A u B, C) = (|A| d(A, C) + |B| d(B, C)) / (|A| + |B|). A chain goes from a cluster to its
 *          nearest one and on, until two are each other's nearest: these merge. Merging two never brings
 *          a third nearer to either, so the merges are those of the nearest two first, in another order
 * Order    distances in double, roots of df_square_distance; what is merged keeps the lower row's place
 * Memory   one distance a pair, 8 bytes
 * Traps    merges come out of order: they are sorted by distance before some are applied. Rounding may
 *          put a merge before one that it is made of; both are of places and are applied in any order */
#include "strategy/linkage.h"

#include <math.h>
#include <stdlib.h>

#include "base/context.h"
#include "base/memory.h"
#include "strategy/row_distance.h"
#include "strategy/row_loop.h"

struct merge {
    int64_t low, high; /* places */
    double distance;
};
struct linkage {
    const float *const *rows;
    int64_t n, size;
    double *distances; /* of pairs */
    int64_t *members;  /* [n] of the cluster at a place; 0: merged into another */
    int64_t *chain;    /* [n] */
    int64_t length;
    struct merge *merges; /* [n - 1] */
    int64_t count;
    struct df_row_loop loop;
};

static double *distance_of(const struct linkage *l, int64_t a, int64_t b)
{
    return a < b ? &l->distances[b * (b - 1) / 2 + a] : &l->distances[a * (a - 1) / 2 + b];
}

static int64_t meet_earlier(void *user, int64_t j)
{
    const struct linkage *l = user;
    for (int64_t i = 0; i < j; i++)
        *distance_of(l, i, j) = sqrt(df_square_distance(l->rows[i], l->rows[j], l->size));
    return j;
}

/* The nearest cluster; of equally near ones the last of the chain, without which it might turn in a circle,
 * then the lowest place. */
static int64_t nearest_of(const struct linkage *l, int64_t place, int64_t last)
{
    int64_t best = last;
    double least = last >= 0 ? *distance_of(l, place, last) : INFINITY;
    for (int64_t other = 0; other < l->n; other++) {
        if (!l->members[other] || other == place)
            continue;
        const double distance = *distance_of(l, place, other);
        if (distance < least || best < 0) {
            least = distance;
            best = other;
        }
    }
    return best;
}

static void merge(struct linkage *l, int64_t low, int64_t high)
{
    const double a = (double)l->members[low], b = (double)l->members[high];
    l->merges[l->count++] = (struct merge){low, high, *distance_of(l, low, high)};
    for (int64_t other = 0; other < l->n; other++) {
        if (!l->members[other] || other == low || other == high)
            continue;
        double *near = distance_of(l, low, other);
        *near = (a * *near + b * *distance_of(l, high, other)) / (a + b);
    }
    l->members[low] += l->members[high];
    l->members[high] = 0;
}

/* Until the last two of the chain are each other's nearest. */
static void extend(struct linkage *l)
{
    for (int64_t place = 0; !l->length; place++)
        if (l->members[place])
            l->chain[l->length++] = place;
    for (;;) {
        const int64_t last = l->length > 1 ? l->chain[l->length - 2] : -1,
                      next = nearest_of(l, l->chain[l->length - 1], last);
        if (next == last)
            break;
        l->chain[l->length++] = next;
    }
}

static dfal_status merge_all(struct linkage *l, struct dfal_context *context)
{
    while (l->count < l->n - 1) {
        DF_TRY(df_context_check_stop(context));
        extend(l);
        const int64_t a = l->chain[l->length - 1], b = l->chain[l->length - 2];
        l->length -= 2;
        merge(l, a < b ? a : b, a < b ? b : a);
    }
    return DFAL_OK;
}

static int compare(const void *a_, const void *b_)
{
    const struct merge *a = a_, *b = b_;
    if (a->distance != b->distance)
        return a->distance < b->distance ? -1 : 1;
    if (a->low != b->low)
        return a->low < b->low ? -1 : 1;
    return (a->high > b->high) - (a->high < b->high);
}

static int64_t root_of(int64_t *labels, int64_t row)
{
    while (labels[row] != row)
        row = labels[row] = labels[labels[row]];
    return row;
}

static void apply(struct linkage *l, int64_t *labels, int64_t clusters)
{
    qsort(l->merges, (size_t)l->count, sizeof *l->merges, compare);
    for (int64_t i = 0; i < l->n; i++)
        labels[i] = i;
    for (int64_t i = 0; i < l->count && (l->n - i > clusters || l->merges[i].distance <= 0); i++) {
        const int64_t a = root_of(labels, l->merges[i].low), b = root_of(labels, l->merges[i].high);
        labels[a < b ? b : a] = a < b ? a : b;
    }
    for (int64_t i = 0; i < l->n; i++)
        labels[i] = root_of(labels, i);
}

double df_linkage_bytes(int64_t n)
{
    return (double)n * (double)n * sizeof(double) / 2;
}

dfal_status df_average_linkage(int64_t *labels, struct dfal_context *context, const float *const *rows,
                               int64_t n, int64_t size, int64_t clusters)
{
    struct linkage l = {.rows = rows, .n = n, .size = size};
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&l.distances, n * (n - 1) / 2, sizeof *l.distances));
    DF_TRY_TO(done, status, df_alloc(&l.members, n, sizeof *l.members));
    DF_TRY_TO(done, status, df_alloc(&l.chain, n, sizeof *l.chain));
    DF_TRY_TO(done, status, df_alloc(&l.merges, n, sizeof *l.merges));
    for (int64_t i = 0; i < n; i++)
        l.members[i] = 1;
    DF_TRY_TO(done, status, df_row_loop_begin(&l.loop, context, n * (n - 1) / 2));
    DF_TRY_TO(done, status, df_row_loop_run(&l.loop, meet_earlier, &l, n));
    DF_TRY_TO(done, status, merge_all(&l, context));
    apply(&l, labels, clusters);
done:
    df_row_loop_end(&l.loop);
    df_free(l.distances);
    df_free(l.members);
    df_free(l.chain);
    df_free(l.merges);
    return status;
}
