/* SPDX-License-Identifier: Apache-2.0 */
/* k-means++ and Lloyd.
 *
 * Math     the first centre is drawn uniformly, each further one with a chance proportional to D^2, the
 *          squared distance to the nearest centre so far. Then in turn: each row goes to its nearest centre,
 *          and each centre to the mean of its rows; one without rows stays
 * Order    squared distances in double, in the order of df_square_distance; a mean is summed in double in
 *          the order of the rows and rounded to float32. D^2 is summed over blocks of a fixed number of rows
 * Work     most rows are not compared with all centres: see is_still_nearest. The clusters are those that
 *          comparing all would give
 * Traps    where every D^2 is 0 all rows are centres already: there are fewer clusters then */
#include "strategy/kmeans.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "strategy/row_distance.h"
#include "strategy/row_loop.h"

enum { ROWS = 512, ITERATIONS = 100 }; /* rows of a job */
/* A bound that was made of rounded distances holds when it holds by this much. */
#define SLACK (1 + 1e-9)

/* What is known of a row. */
struct place {
    int64_t centre; /* the nearest */
    double nearest; /* squared distance to it, while centres are drawn */
    double others;  /* no other centre is nearer than this */
};
struct clustering {
    const struct df_kmeans_ask *ask;
    struct df_row_loop loop;
    struct df_kmeans *found;
    struct place *places; /* [count] */
    double *totals;       /* [jobs] of D^2 */
    float *centres;       /* [clusters, size] */
    double *gap;          /* [clusters] distance to the nearest other centre */
    double *moved;        /* [clusters] by how much, when centres moved last */
    double *sums;         /* [clusters, size] */
    double drift;         /* the largest of moved */
};

static int64_t jobs_of(const struct clustering *c)
{
    return df_row_blocks(c->ask->count, ROWS);
}

static struct df_row_block block_of(const struct clustering *c, int64_t job)
{
    return df_row_block(c->ask->count, ROWS, job);
}

static float *centre_of(const struct clustering *c, int64_t centre)
{
    return c->centres + centre * c->ask->size;
}

static double square_to(const struct clustering *c, int64_t row, int64_t centre)
{
    return df_square_distance(c->ask->rows[row], centre_of(c, centre), c->ask->size);
}

/* ---- the seeding --------------------------------------------------------------------------------------- */

/* The rows of a job meet the centre that was drawn last. */
static int64_t meet(void *user, int64_t job)
{
    struct clustering *c = user;
    const struct df_row_block block = block_of(c, job);
    const int64_t last = c->found->clusters - 1;
    c->totals[job] = 0;
    for (int64_t i = block.begin; i < block.end; i++) {
        const double square = square_to(c, i, last);
        if (!last || square < c->places[i].nearest)
            c->places[i] = (struct place){.centre = last, .nearest = square};
        c->totals[job] += c->places[i].nearest;
    }
    return block.end - block.begin;
}

/* The row at which the sum of D^2, taken in order, passes a share of the whole; -1: the whole is 0. */
static int64_t row_at(const struct clustering *c, double share)
{
    double total = 0, before = 0;
    int64_t job = 0, last = -1;
    for (int64_t i = 0; i < jobs_of(c); i++)
        total += c->totals[i];
    while (job < jobs_of(c) - 1 && before + c->totals[job] <= share * total)
        before += c->totals[job++];
    const struct df_row_block block = block_of(c, job);
    for (int64_t i = block.begin; i < block.end; i++) {
        before += c->places[i].nearest;
        if (c->places[i].nearest > 0)
            last = i;
        if (before > share * total)
            return i;
    }
    /* Sums in another order may round to another whole. */
    for (int64_t i = block.begin; last < 0 && i-- > 0;)
        last = c->places[i].nearest > 0 ? i : -1;
    return last;
}

static dfal_status draw_centres(struct clustering *c)
{
    const struct df_kmeans_ask *ask = c->ask;
    int64_t row = (int64_t)(df_random_uniform(ask->seed, DF_STREAM_KMEANS, 0) * (double)ask->count);
    while (row >= 0) {
        memcpy(centre_of(c, c->found->clusters++), ask->rows[row], (size_t)ask->size * sizeof(float));
        DF_TRY(df_row_loop_run(&c->loop, meet, c, jobs_of(c)));
        if (c->found->clusters == ask->clusters)
            break;
        row = row_at(c, df_random_uniform(ask->seed, DF_STREAM_KMEANS, (uint64_t)c->found->clusters));
    }
    return DFAL_OK;
}

/* ---- Lloyd --------------------------------------------------------------------------------------------- */

/* A centre meets the others. */
static int64_t find_gap(void *user, int64_t centre)
{
    struct clustering *c = user;
    double least = INFINITY;
    for (int64_t other = 0; other < c->found->clusters; other++)
        if (other != centre)
            least = fmin(least, df_square_distance(centre_of(c, centre), centre_of(c, other), c->ask->size));
    c->gap[centre] = sqrt(least);
    return c->found->clusters - 1;
}

/* By the triangle inequality (Hamerly 2010): all others are farther than the second nearest was, less what
 * they may have moved; and farther than half the way to the nearest other centre. */
static bool is_still_nearest(const struct clustering *c, const struct place *place, double square)
{
    return sqrt(square) * SLACK < fmax(place->others, c->gap[place->centre] / 2);
}

static void find_nearest(struct clustering *c, int64_t row)
{
    double nearest = INFINITY, second = INFINITY;
    int64_t best = 0;
    for (int64_t centre = 0; centre < c->found->clusters; centre++) {
        const double square = square_to(c, row, centre);
        if (square < nearest) {
            second = nearest;
            nearest = square;
            best = centre;
        } else if (square < second) {
            second = square;
        }
    }
    c->places[row] = (struct place){.centre = best, .others = sqrt(second)};
}

static int64_t assign(void *user, int64_t job)
{
    struct clustering *c = user;
    const struct df_row_block block = block_of(c, job);
    int64_t distances = 0;
    for (int64_t i = block.begin; i < block.end; i++) {
        struct place *place = &c->places[i];
        place->others -= c->drift * SLACK;
        distances++;
        if (is_still_nearest(c, place, square_to(c, i, place->centre)))
            continue;
        find_nearest(c, i);
        distances += c->found->clusters;
    }
    return distances;
}

/* The rows of each cluster, by counting. */
static void gather(struct clustering *c)
{
    struct df_kmeans *found = c->found;
    memset(found->begin, 0, (size_t)(found->clusters + 1) * sizeof *found->begin);
    for (int64_t i = 0; i < c->ask->count; i++)
        found->begin[c->places[i].centre + 1]++;
    for (int64_t k = 0; k < found->clusters; k++)
        found->begin[k + 1] += found->begin[k];
    for (int64_t i = 0; i < c->ask->count; i++)
        found->members[found->begin[c->places[i].centre]++] = i;
    for (int64_t k = found->clusters; k > 0; k--)
        found->begin[k] = found->begin[k - 1];
    found->begin[0] = 0;
}

static int64_t move(void *user, int64_t centre)
{
    struct clustering *c = user;
    const int64_t size = c->ask->size, begin = c->found->begin[centre], end = c->found->begin[centre + 1];
    double *sum = c->sums + centre * size, square = 0;
    float *at = centre_of(c, centre);
    memset(sum, 0, (size_t)size * sizeof *sum);
    for (int64_t i = begin; i < end; i++)
        for (int64_t k = 0; k < size; k++)
            sum[k] += (double)c->ask->rows[c->found->members[i]][k];
    for (int64_t k = 0; k < size && begin < end; k++) {
        const float mean = (float)(sum[k] / (double)(end - begin));
        square += ((double)mean - (double)at[k]) * ((double)mean - (double)at[k]);
        at[k] = mean;
    }
    c->moved[centre] = sqrt(square);
    return 0;
}

static dfal_status iterate(struct clustering *c)
{
    for (int iteration = 0; iteration < ITERATIONS; iteration++) {
        DF_TRY(df_row_loop_run(&c->loop, find_gap, c, c->found->clusters));
        DF_TRY(df_row_loop_run(&c->loop, assign, c, jobs_of(c)));
        gather(c);
        DF_TRY(df_row_loop_run(&c->loop, move, c, c->found->clusters));
        c->drift = 0;
        for (int64_t k = 0; k < c->found->clusters; k++)
            c->drift = fmax(c->drift, c->moved[k]);
        if (c->drift <= 0)
            break;
    }
    return DFAL_OK;
}

/* ---- all of it ----------------------------------------------------------------------------------------- */

double df_kmeans_bytes(const struct df_kmeans_ask *ask)
{
    const double numbers = sizeof(float) + sizeof(double);
    return (double)ask->count * (sizeof(struct place) + sizeof(int64_t)) +
           (double)ask->clusters * (double)ask->size * numbers;
}

static dfal_status begin(struct clustering *c, struct dfal_context *context)
{
    const int64_t count = c->ask->count, clusters = c->ask->clusters;
    DF_TRY(df_alloc(&c->found->begin, clusters + 1, sizeof *c->found->begin));
    DF_TRY(df_alloc(&c->found->members, count, sizeof *c->found->members));
    DF_TRY(df_alloc(&c->places, count, sizeof *c->places));
    DF_TRY(df_alloc(&c->totals, jobs_of(c), sizeof *c->totals));
    DF_TRY(df_alloc(&c->centres, clusters * c->ask->size, sizeof *c->centres));
    DF_TRY(df_alloc(&c->sums, clusters * c->ask->size, sizeof *c->sums));
    DF_TRY(df_alloc(&c->gap, clusters, sizeof *c->gap));
    DF_TRY(df_alloc(&c->moved, clusters, sizeof *c->moved));
    return df_row_loop_begin(&c->loop, context, 0);
}

dfal_status df_kmeans(struct df_kmeans *found, struct dfal_context *context, const struct df_kmeans_ask *ask)
{
    struct clustering c = {.ask = ask, .found = found};
    dfal_status status;
    *found = (struct df_kmeans){0};
    DF_TRY_TO(done, status, begin(&c, context));
    if (!ask->count || ask->clusters < 1)
        goto done;
    DF_TRY_TO(done, status, draw_centres(&c));
    status = iterate(&c);
done:
    df_row_loop_end(&c.loop);
    df_free(c.places);
    df_free(c.totals);
    df_free(c.centres);
    df_free(c.sums);
    df_free(c.gap);
    df_free(c.moved);
    return status;
}

void df_kmeans_clear(struct df_kmeans *found)
{
    df_free(found->begin);
    df_free(found->members);
    *found = (struct df_kmeans){0};
}
