/* SPDX-License-Identifier: Apache-2.0 */
/* One sample's bound and estimate. All sums are in double but that of the gap's gradient, which only orders;
 * their own rounding is far below what is counted for float32. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "score/bound_inside.h"
#include "score/row_values.h"

struct df_bound_space {
    double *value, *logits; /* [hidden] of the hidden units before their ReLU; [classes] */
    int64_t *live;          /* [hidden] units above 0 */
    int64_t live_count;
    double *side;    /* [hidden] by how much a logit gap falls with each hidden unit */
    float *gradient; /* [size] of a gap by the node's values */
};

dfal_status df_bound_space_create(struct df_bound_space **out, const struct df_bound *bound)
{
    struct df_bound_space *space = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&space, 1, sizeof *space));
    DF_TRY_TO(done, status, df_alloc(&space->value, bound->hidden, sizeof *space->value));
    DF_TRY_TO(done, status, df_alloc(&space->live, bound->hidden, sizeof *space->live));
    DF_TRY_TO(done, status, df_alloc(&space->side, bound->hidden, sizeof *space->side));
    DF_TRY_TO(done, status, df_alloc(&space->logits, bound->classes, sizeof *space->logits));
    status = df_alloc(&space->gradient, bound->size, sizeof *space->gradient);
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
    df_free(space->live);
    df_free(space->side);
    df_free(space->gradient);
    df_free(space);
}

static int64_t width_of(const struct df_bound *bound)
{
    return bound->hidden > 0 ? bound->hidden : bound->size;
}

/* ---- The tail at the sample ---------------------------------------------------------------------------- */

static void find_hidden(const struct df_bound *bound, struct df_bound_space *space, const float *node)
{
    const int64_t n = bound->hidden;
    for (int64_t u = 0; u < n; u++)
        space->value[u] = (double)bound->first_bias[u];
    for (int64_t j = 0; j < bound->size; j++) {
        const double x = (double)node[j];
        const float *turned = bound->turned + j * n;
        if (x == 0)
            continue;
        for (int64_t u = 0; u < n; u++)
            space->value[u] += x * (double)turned[u];
    }
    space->live_count = 0;
    for (int64_t u = 0; u < n; u++)
        if (space->value[u] > 0)
            space->live[space->live_count++] = u;
}

static void find_logits(const struct df_bound *bound, struct df_bound_space *space, const float *node)
{
    const int64_t width = width_of(bound);
    for (int32_t k = 0; k < bound->classes; k++) {
        const float *row = bound->last + k * width;
        double sum = (double)bound->last_bias[k];
        for (int64_t i = 0; i < space->live_count; i++)
            sum += (double)row[space->live[i]] * space->value[space->live[i]];
        for (int64_t j = 0; bound->hidden == 0 && j < bound->size; j++)
            sum += (double)row[j] * (double)node[j];
        space->logits[k] = sum;
    }
}

/* The gap's gradient by the node's values: of a tail with hidden units through those that are alive. */
static void find_gradient(const struct df_bound *bound, struct df_bound_space *space, int32_t label,
                          int32_t other)
{
    const int64_t width = width_of(bound);
    const float *own = bound->last + label * width, *theirs = bound->last + other * width;
    for (int64_t j = 0; j < bound->size; j++)
        space->gradient[j] = bound->hidden > 0 ? 0 : own[j] - theirs[j];
    for (int64_t u = 0; u < bound->hidden; u++)
        space->side[u] = (double)own[u] - (double)theirs[u];
    for (int64_t i = 0; i < space->live_count; i++) {
        const float side = (float)space->side[space->live[i]],
                    *row = bound->first + space->live[i] * bound->size;
        for (int64_t j = 0; j < bound->size; j++)
            space->gradient[j] += side * row[j];
    }
}

/* ---- The estimate -------------------------------------------------------------------------------------- */

/* In float32 and interleaved sums: it is the dearest part of a sample, and only orders. */
static double estimate(const struct df_bound *bound, const struct df_bound_space *space, const float *node,
                       double gap)
{
    enum { SUMS = 16 };
    const float masked = bound->masked ? 0 : 1;
    float sum[SUMS] = {0}, whole = 0;
    int64_t j = 0;
    for (; j + SUMS <= bound->size; j += SUMS)
        for (int i = 0; i < SUMS; i++) {
            const float g = space->gradient[j + i] * (node[j + i] > 0 ? 1 : masked);
            sum[i] += g * g;
        }
    for (int i = 0; j < bound->size; i++, j++) {
        const float g = space->gradient[j] * (node[j] > 0 ? 1 : masked);
        sum[i] += g * g;
    }
    for (int i = 0; i < SUMS; i++)
        whole += sum[i];
    return whole > 0 ? gap / sqrt((double)whole) : INFINITY;
}

/* ---- The bound ----------------------------------------------------------------------------------------- */

/* By how much a gap may fall where the node's values move by at most d: steep d, and what hidden units add
 * that may change their sign. Convex in d, and 0 at 0. *slope: of it at d. */
struct fall {
    const struct df_bound *bound;
    const struct df_bound_space *space;
    double steep;
};

static double fall_at(const struct fall *fall, double d, double *slope)
{
    const struct df_bound *bound = fall->bound;
    double sum = fall->steep * d;
    *slope = fall->steep;
    for (int64_t u = 0; u < bound->hidden; u++) {
        const double side = fabs(fall->space->side[u]),
                     over = d * bound->lengths[u] - fabs(fall->space->value[u]);
        if (over <= 0)
            continue;
        sum += side * over;
        *slope += side * bound->lengths[u];
    }
    return sum;
}

/* || sum over live units of side[u] first[u] ||, with what its terms may hide of each other. */
static double steepness(const struct df_bound *bound, const struct df_bound_space *space)
{
    double sum = 0, magnitude = 0;
    for (int64_t i = 0; i < space->live_count; i++) {
        const int64_t u = space->live[i];
        const double *products = bound->products + u * bound->hidden;
        double line = 0;
        for (int64_t j = 0; j < i; j++)
            line += products[space->live[j]] * space->side[space->live[j]];
        sum += space->side[u] * (2 * line + products[u] * space->side[u]);
        magnitude += fabs(space->side[u]) * bound->lengths[u];
    }
    return sqrt(fmax(sum, 0) + 1e-12 * magnitude * magnitude);
}

/* The least d at which a gap may be used up, or `known` where it is no less. Newton's steps come from above,
 * as the fall is convex; the last point is drawn towards 0 as far as convexity allows, which makes it
 * certain. */
static double least_move(const struct fall *fall, double gap, double known)
{
    enum { STEPS = 40 };
    double slope, d = fmin(gap / fall->steep, known);
    if (!(gap > 0) || !(fall->steep > 0) || !isfinite(gap) || !isfinite(fall->steep))
        return 0;
    double falls = fall_at(fall, d, &slope);
    if (d == known && falls <= gap)
        return known;
    for (int i = 0; i < STEPS && falls > gap * (1 + 1e-12); i++) {
        d -= (falls - gap) / slope;
        falls = fall_at(fall, d, &slope);
    }
    return falls > gap ? d * (gap / falls) : d;
}

/* The distance of inputs whose values at the node are d apart, and of it what a margin of float32 that was
 * computed may lack: the tested point and its length are rounded. */
static double input_distance(const struct df_bound *bound, double d, double length)
{
    static const double unit = 1.0 / (1 << 24);
    const double fixed = bound->shift * length + bound->fixed, distance = (d - fixed) / bound->slope;
    return (distance - 4 * unit * (length + fmax(distance, 0))) * (1 - 16 * unit);
}

void df_bound_measure(const struct df_bound *bound, struct df_bound_space *space, struct df_bound_row *row,
                      const float *node, int32_t label, double length)
{
    const double magnitude = df_row_length(node, bound->size);
    double nearest = INFINITY, least = INFINITY;
    find_hidden(bound, space, node);
    find_logits(bound, space, node);
    for (int32_t k = 0; k < bound->classes; k++) {
        if (k == label)
            continue;
        const double gap = space->logits[label] - space->logits[k];
        find_gradient(bound, space, label, k);
        nearest = fmin(nearest, estimate(bound, space, node, fmax(gap, 0)));
        if (bound->why[0] || least <= 0)
            continue;
        const double rounds = (bound->rounding[label] + bound->rounding[k]) * (1 + 1e-6),
                     beside = (bound->rounding_fixed[label] + bound->rounding_fixed[k]) * (1 + 1e-6);
        const struct fall fall = {
            .bound = bound,
            .space = space,
            .steep = rounds + (bound->hidden > 0 ? steepness(bound, space)
                                                 : df_row_length(space->gradient, bound->size) * (1 + 1e-6)),
        };
        least = least_move(&fall, gap - rounds * magnitude - beside, least);
    }
    const double distance = bound->why[0] ? 0 : input_distance(bound, least * (1 - 1e-9), length);
    row->least = distance > 0 && isfinite(distance) ? distance : 0;
    row->estimate = (float)nearest;
}
