/* SPDX-License-Identifier: Apache-2.0 */
/* One sample's bound and estimate. All sums are in double: what they round themselves is far below what is
 * counted for float32. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "score/bound_inside.h"
#include "score/row_values.h"

/* A class beside the sample's own. */
struct rival {
    int32_t class;
    double gap, steep; /* of the logits; the length of the gap's gradient by the node's values */
};

/* Hidden units side by side: [count] of at most [hidden]. */
struct near {
    int64_t *unit, count;
    double *length, *value, *side; /* of the unit's row, of it before its ReLU, and its |w_l - w_k| */
};

struct df_bound_space {
    double *value;  /* [hidden] of the hidden units before their ReLU */
    double *logits; /* [classes] */
    int64_t *list;  /* [size] values of the node that are not 0 */
    int64_t *live;  /* [hidden] units above 0 */
    int64_t live_count;
    double *side;                     /* [live, classes] */
    double *steep, *magnitude, *line; /* [classes] */
    struct rival *rivals;             /* [classes - 1] */
    struct near near;
};

dfal_status df_bound_space_create(struct df_bound_space **out, const struct df_bound *bound)
{
    const int64_t n = bound->hidden;
    struct df_bound_space *space = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&space, 1, sizeof *space));
    DF_TRY_TO(done, status, df_alloc(&space->value, n, sizeof *space->value));
    DF_TRY_TO(done, status, df_alloc(&space->logits, bound->classes, sizeof *space->logits));
    DF_TRY_TO(done, status, df_alloc(&space->list, bound->size, sizeof *space->list));
    DF_TRY_TO(done, status, df_alloc(&space->live, n, sizeof *space->live));
    DF_TRY_TO(done, status, df_alloc(&space->side, n * bound->classes, sizeof *space->side));
    DF_TRY_TO(done, status, df_alloc(&space->steep, 3 * (int64_t)bound->classes, sizeof *space->steep));
    space->magnitude = space->steep + bound->classes;
    space->line = space->magnitude + bound->classes;
    DF_TRY_TO(done, status, df_alloc(&space->rivals, bound->classes, sizeof *space->rivals));
    DF_TRY_TO(done, status, df_alloc(&space->near.unit, n, sizeof *space->near.unit));
    DF_TRY_TO(done, status, df_alloc(&space->near.length, 3 * n, sizeof *space->near.length));
    space->near.value = space->near.length + n;
    space->near.side = space->near.value + n;
done:
    if (status == DFAL_OK)
        *out = space;
    else
        df_bound_space_destroy(space);
    return status;
}

void df_bound_space_destroy(struct df_bound_space *space)
{
    if (!space)
        return;
    df_free(space->value);
    df_free(space->logits);
    df_free(space->list);
    df_free(space->live);
    df_free(space->side);
    df_free(space->steep);
    df_free(space->rivals);
    df_free(space->near.unit);
    df_free(space->near.length);
    df_free(space);
}

/* ---- The tail at the sample ---------------------------------------------------------------------------- */

/* value += x first, of four of the node's values at a time. */
static void add_four(const struct df_bound *bound, double *value, const float *node, const int64_t *at)
{
    const int64_t n = bound->hidden;
    const double x[4] = {(double)node[at[0]], (double)node[at[1]], (double)node[at[2]], (double)node[at[3]]};
    const float *a = bound->turned + at[0] * n, *b = bound->turned + at[1] * n,
                *c = bound->turned + at[2] * n, *d = bound->turned + at[3] * n;
    for (int64_t u = 0; u < n; u++)
        value[u] += (x[0] * (double)a[u] + x[1] * (double)b[u]) + (x[2] * (double)c[u] + x[3] * (double)d[u]);
}

static void find_hidden(const struct df_bound *bound, struct df_bound_space *space, const float *node)
{
    const int64_t n = bound->hidden;
    int64_t count = 0, i = 0;
    space->live_count = 0;
    for (int64_t u = 0; u < n; u++)
        space->value[u] = (double)bound->first_bias[u];
    for (int64_t j = 0; n > 0 && j < bound->size; j++) {
        space->list[count] = j;
        count += node[j] != 0;
    }
    for (; i + 4 <= count; i += 4)
        add_four(bound, space->value, node, space->list + i);
    for (; i < count; i++)
        for (int64_t u = 0; u < n; u++)
            space->value[u] += (double)node[space->list[i]] * (double)bound->turned[space->list[i] * n + u];
    for (int64_t u = 0; u < n; u++) {
        space->live[space->live_count] = u;
        space->live_count += space->value[u] > 0;
    }
}

static const float *last_row(const struct df_bound *bound, int32_t class)
{
    return bound->last + class * (bound->hidden > 0 ? bound->hidden : bound->size);
}

static void find_logits(const struct df_bound *bound, struct df_bound_space *space, const float *node)
{
    const int32_t classes = bound->classes;
    for (int32_t k = 0; k < classes; k++)
        space->logits[k] = (double)bound->last_bias[k];
    for (int64_t i = 0; i < space->live_count; i++) {
        const double value = space->value[space->live[i]], *sides = bound->sides + space->live[i] * classes;
        for (int32_t k = 0; k < classes; k++)
            space->logits[k] += value * sides[k];
    }
    for (int32_t k = 0; bound->hidden == 0 && k < classes; k++)
        for (int64_t j = 0; j < bound->size; j++)
            space->logits[k] += (double)last_row(bound, k)[j] * (double)node[j];
}

/* side[u] = w_l - w_k of every live unit, all classes k at a time. steep[k] becomes || sum over live units of
 * side[u] first[u] ||, with what its terms may hide of each other. */
static void find_steepness(const struct df_bound *bound, struct df_bound_space *space, int32_t label)
{
    const int32_t classes = bound->classes;
    double *steep = space->steep, *magnitude = space->magnitude, *line = space->line;
    memset(steep, 0, (size_t)classes * sizeof *steep);
    memset(magnitude, 0, (size_t)classes * sizeof *magnitude);
    for (int64_t i = 0; i < space->live_count; i++) {
        const int64_t u = space->live[i];
        const double *products = bound->products + u * bound->hidden, length = bound->lengths[u],
                     *all = bound->sides + u * classes, own = all[label], square = products[u];
        double *side = space->side + i * classes;
        memset(line, 0, (size_t)classes * sizeof *line);
        for (int64_t j = 0; j < i; j++) {
            const double product = products[space->live[j]], *other = space->side + j * classes;
            for (int32_t k = 0; k < classes; k++)
                line[k] += product * other[k];
        }
        for (int32_t k = 0; k < classes; k++) {
            side[k] = own - all[k];
            steep[k] += side[k] * (2 * line[k] + square * side[k]);
            magnitude[k] += fabs(side[k]) * length;
        }
    }
    /* What the double sums, of `size` and of twice `hidden` terms, may have rounded by, twice. */
    const double part = 2 * ((double)bound->size + 2 * (double)bound->hidden + 8) / 9007199254740992.0;
    for (int32_t k = 0; k < classes; k++)
        steep[k] = sqrt(fmax(steep[k], 0) + part * magnitude[k] * magnitude[k]);
}

/* Of a tail that is one Gemm: || w_l - w_k ||. */
static void find_distances(const struct df_bound *bound, struct df_bound_space *space, int32_t label)
{
    const float *own = last_row(bound, label);
    for (int32_t k = 0; k < bound->classes; k++) {
        double sum = 0;
        for (int64_t j = 0; j < bound->size; j++) {
            const double side = (double)own[j] - (double)last_row(bound, k)[j];
            sum += side * side;
        }
        space->steep[k] = sqrt(sum);
    }
}

/* Where the tail stays as it is a rival's boundary is gap / steep away: the nearest comes first. */
static double find_rivals(const struct df_bound *bound, struct df_bound_space *space, int32_t label)
{
    double nearest = INFINITY;
    int32_t n = 0;
    (bound->hidden > 0 ? find_steepness : find_distances)(bound, space, label);
    for (int32_t k = 0; k < bound->classes; k++) {
        if (k == label)
            continue;
        const double gap = space->logits[label] - space->logits[k], steep = space->steep[k],
                     away = steep > 0 ? fmax(gap, 0) / steep : (double)INFINITY;
        space->rivals[n] = (struct rival){k, gap, steep};
        if (away < nearest) {
            const struct rival swap = space->rivals[0];
            space->rivals[0] = space->rivals[n];
            space->rivals[n] = swap;
            nearest = away;
        }
        n++;
    }
    return nearest;
}

/* ---- The bound ----------------------------------------------------------------------------------------- */

/* Units that may change their sign within the least move so far: all of them at first. */
static void begin_near(const struct df_bound *bound, struct df_bound_space *space)
{
    struct near *near = &space->near;
    near->count = bound->hidden;
    for (int64_t u = 0; u < bound->hidden; u++) {
        near->unit[u] = u;
        near->length[u] = bound->lengths[u];
        near->value[u] = fabs(space->value[u]);
    }
}

/* Those of them that may do so where the node's values move by d. */
static void keep_near(struct near *near, double d)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < near->count; i++) {
        const bool keep = d * near->length[i] > near->value[i];
        near->unit[kept] = near->unit[i];
        near->length[kept] = near->length[i];
        near->value[kept] = near->value[i];
        near->side[kept] = near->side[i];
        kept += keep;
    }
    near->count = kept;
}

static void take_sides(struct near *near, const float *own, const float *theirs)
{
    for (int64_t i = 0; i < near->count; i++)
        near->side[i] = fabs((double)own[near->unit[i]] - (double)theirs[near->unit[i]]);
}

/* By how much a gap may fall where the node's values move by at most d: steep d, and what hidden units add
 * that may change their sign. Convex in d, and 0 at 0. Of d up to the least move so far. *slope: of it. */
static double fall_at(const struct near *near, double steep, double d, double *slope)
{
    enum { SUMS = 4 };
    double sum[SUMS] = {0}, rise[SUMS] = {0};
    int64_t i = 0;
    for (; i + SUMS <= near->count; i += SUMS)
        for (int k = 0; k < SUMS; k++) {
            const double over = d * near->length[i + k] - near->value[i + k],
                         side = over > 0 ? near->side[i + k] : 0;
            sum[k] += side * over;
            rise[k] += side * near->length[i + k];
        }
    for (int k = 0; i < near->count; k++, i++) {
        const double over = d * near->length[i] - near->value[i], side = over > 0 ? near->side[i] : 0;
        sum[k] += side * over;
        rise[k] += side * near->length[i];
    }
    *slope = steep + ((rise[0] + rise[1]) + (rise[2] + rise[3]));
    return steep * d + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* A move above the one that uses up the gap, near it: a step of Newton's from below, where every unit may
 * have changed its sign. The fall is convex, so the step ends above. */
static double first_move(struct near *near, double steep, double gap)
{
    double slope = steep;
    for (int64_t i = 0; i < near->count; i++)
        slope += near->side[i] * near->length[i];
    const double below = gap / slope, falls = fall_at(near, steep, below, &slope);
    return below + (gap - falls) / slope;
}

/* The least d at which a gap may be used up, or `known` where it is no less. Newton's steps come from above,
 * as the fall is convex; the last point is drawn towards 0 as far as convexity allows, which makes it
 * certain. */
static double least_move(struct near *near, double steep, double gap, double known)
{
    enum { STEPS = 40 };
    if (!(gap > 0) || !(steep > 0) || !isfinite(gap) || !isfinite(steep))
        return 0;
    double slope, d = fmin(isinf(known) ? first_move(near, steep, gap) : gap / steep, known);
    if (isinf(known))
        keep_near(near, d);
    double falls = fall_at(near, steep, d, &slope);
    if (d == known && falls <= gap)
        return known;
    for (int i = 0; i < STEPS && falls > gap * (1 + 1e-12); i++) {
        d -= (falls - gap) / slope;
        falls = fall_at(near, steep, d, &slope);
    }
    d = falls > gap ? d * (gap / falls) : d;
    keep_near(near, d);
    return d;
}

/* The distance of inputs whose values at the node are d apart, and of it what a margin of float32 that was
 * computed may lack: the tested point and its length are rounded. */
static double input_distance(const struct df_bound *bound, double d, double length)
{
    static const double unit = 1.0 / (1 << 24);
    const double fixed = bound->shift * length + bound->fixed, distance = (d - fixed) / bound->slope;
    return (distance - 4 * unit * (length + fmax(distance, 0))) * (1 - 16 * unit);
}

static double least_distance(const struct df_bound *bound, struct df_bound_space *space, const float *node,
                             int32_t label, double length)
{
    const double magnitude = df_row_length(node, bound->size);
    double least = INFINITY;
    begin_near(bound, space);
    for (int32_t i = 0; i + 1 < bound->classes && least > 0; i++) {
        const struct rival *rival = &space->rivals[i];
        const int32_t k = rival->class;
        const double rounds = (bound->rounding[label] + bound->rounding[k]) * (1 + 1e-6),
                     beside = (bound->rounding_fixed[label] + bound->rounding_fixed[k]) * (1 + 1e-6);
        take_sides(&space->near, last_row(bound, label), last_row(bound, k));
        least =
            least_move(&space->near, rival->steep + rounds, rival->gap - rounds * magnitude - beside, least);
    }
    const double distance = input_distance(bound, least * (1 - 1e-9), length);
    return distance > 0 && isfinite(distance) ? distance : 0;
}

void df_bound_measure(const struct df_bound *bound, struct df_bound_space *space, struct df_bound_row *row,
                      const float *node, int32_t label, double length)
{
    find_hidden(bound, space, node);
    find_logits(bound, space, node);
    row->estimate = (float)find_rivals(bound, space, label);
    row->least = bound->why[0] ? 0 : least_distance(bound, space, node, label, length);
}
