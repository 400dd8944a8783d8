/* SPDX-License-Identifier: Apache-2.0 */
#include "score/bound_inside.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/memory.h"
#include "score/row_values.h"
#include "score/spectral.h"

/* Of the tail: products of its rows are kept, 8 MiB. */
enum { MOST_HIDDEN = 1024 };

/* ---- Where the tail begins ----------------------------------------------------------------------------- */

static bool passes_on(enum df_node_op op)
{
    return op == DF_NODE_FLATTEN || op == DF_NODE_RESHAPE || op == DF_NODE_DROPOUT;
}

/* The node that computes what `index` holds. */
static int32_t source_of(const struct df_network *network, int32_t index)
{
    while (index != DF_INPUT && passes_on(network->nodes[index].op))
        index = network->nodes[index].inputs[0];
    return index;
}

static bool is(const struct df_network *network, int32_t index, enum df_node_op op)
{
    return index != DF_INPUT && network->nodes[index].op == op;
}

static int64_t units(const struct df_node *gemm)
{
    return gemm->parameter[DF_WEIGHT].dims[0];
}

/* *begin: the node whose values the tail reads. */
static void find_tail(struct df_bound *bound, const struct df_network *network, int32_t *begin)
{
    const int32_t end = df_network_last_layer(network);
    if (!is(network, end, DF_NODE_GEMM)) {
        snprintf(bound->why, sizeof bound->why, "its last layer, %.64s, is no Gemm",
                 end == DF_INPUT ? "input" : network->nodes[end].name);
        return;
    }
    const struct df_node *last = &network->nodes[end];
    bound->last = last->parameter[DF_WEIGHT].data;
    bound->last_bias = last->parameter[DF_BIAS].data;
    bound->classes = network->class_count;
    *begin = last->inputs[0];
    const int32_t bend = source_of(network, *begin);
    if (is(network, bend, DF_NODE_RELU)) {
        const int32_t product = source_of(network, network->nodes[bend].inputs[0]);
        if (is(network, product, DF_NODE_GEMM) && units(&network->nodes[product]) <= MOST_HIDDEN) {
            const struct df_node *first = &network->nodes[product];
            bound->hidden = units(first);
            bound->first = first->parameter[DF_WEIGHT].data;
            bound->first_bias = first->parameter[DF_BIAS].data;
            *begin = first->inputs[0];
            bound->size = first->parameter[DF_WEIGHT].dims[1];
        }
    }
    if (bound->hidden == 0)
        bound->size = last->parameter[DF_WEIGHT].dims[1];
    bound->node = *begin == DF_INPUT ? "input" : network->nodes[*begin].name;
}

/* ---- The head ------------------------------------------------------------------------------------------ */

/* What is known at a node of the values of an input x: they are at most grow |x| + most long, round by at
 * most error |x| + error_fixed, and two inputs' are `slope` times as far apart as those at most. */
struct reach {
    double slope, grow, most, error, error_fixed;
};

static bool shares_nothing(const struct df_window *w)
{
    for (int axis = 0; axis < 2; axis++)
        if (w->stride[axis] < w->kernel[axis] || w->dilation[axis] != 1)
            return false;
    return true;
}

/* By what part of the norm of |W| a layer's sums round. Minimal filtering rounds each of a tile's inputs
 * twice, a weight once, in + 1 times in a sum over channels and five times behind it, and its terms are at
 * most (6 + 4 sqrt 2) times those of |W| (NUMERICS.md, "Lower bounds"). Which engine runs is not asked. */
static double rounding_of(const struct df_node *node, const struct df_filters *f)
{
    const struct df_window *w = &node->window;
    const double sum = df_rounding(f->in * f->kernel[0] * f->kernel[1] + 2);
    if (node->op != DF_NODE_CONV || f->kernel[0] != 3 || f->kernel[1] != 3 || w->stride[0] != 1 ||
        w->stride[1] != 1 || w->dilation[0] != 1 || w->dilation[1] != 1 || f->in < DF_FILTERED_CHANNELS ||
        f->out < DF_FILTERED_CHANNELS)
        return sum;
    return fmax(sum, (6 + 4 * sqrt(2)) * df_rounding(f->in + 10));
}

static dfal_status pass_layer(struct df_bound *bound, struct reach *r, const struct df_node *node)
{
    const struct df_parameter *weight = &node->parameter[DF_WEIGHT], *bias = &node->parameter[DF_BIAS];
    const bool conv = node->op == DF_NODE_CONV;
    const struct df_filters filters = {
        .weight = weight->data,
        .out = weight->dims[0],
        .in = weight->dims[1],
        .kernel = {conv ? node->window.kernel[0] : 1, conv ? node->window.kernel[1] : 1}};
    if ((conv && node->group != 1) || !df_spectral_can(&filters)) {
        snprintf(bound->why, sizeof bound->why,
                 "the norm of convolution %.64s, [%" PRId64 ",%" PRId64
                 ",%d,%d] in %d groups, is not bounded",
                 node->name, filters.out, filters.in, filters.kernel[0], filters.kernel[1], node->group);
        return DFAL_OK;
    }
    double norm, absolute;
    DF_TRY(df_spectral_norm(&norm, &filters, false));
    DF_TRY(df_spectral_norm(&absolute, &filters, true));
    const double part = rounding_of(node, &filters),
                 shift = df_row_length(bias->data, bias->count) * sqrt((double)(node->out.h * node->out.w));
    r->error = norm * r->error + part * absolute * (r->grow + r->error);
    r->error_fixed = norm * r->error_fixed + part * (absolute * (r->most + r->error_fixed) + shift);
    r->grow *= norm;
    r->most = norm * r->most + shift;
    r->slope *= norm;
    return DFAL_OK;
}

static dfal_status pass_node(struct df_bound *bound, struct reach *r, const struct df_node *node)
{
    if (node->op == DF_NODE_CONV || node->op == DF_NODE_GEMM)
        return pass_layer(bound, r, node);
    /* A maximum over windows that share no value moves no further than all values do, and rounds nothing. */
    if (passes_on(node->op) || node->op == DF_NODE_RELU ||
        (node->op == DF_NODE_MAX_POOL && shares_nothing(&node->window)))
        return DFAL_OK;
    snprintf(bound->why, sizeof bound->why,
             "node %.64s is no convolution, Gemm, ReLU or max-pool whose windows share nothing", node->name);
    return DFAL_OK;
}

/* Nodes are in order, and a chain's are each other's only inputs: those that lead to `end`. */
static dfal_status pass_head(struct df_bound *bound, struct reach *r, const struct df_network *network,
                             int32_t end)
{
    if (end == DF_INPUT || bound->why[0])
        return DFAL_OK;
    const struct df_node *node = &network->nodes[end];
    if (node->input_count != 1) {
        snprintf(bound->why, sizeof bound->why, "node %.64s joins %d values, expected a chain", node->name,
                 node->input_count);
        return DFAL_OK;
    }
    DF_TRY(pass_head(bound, r, network, node->inputs[0]));
    return bound->why[0] ? DFAL_OK : pass_node(bound, r, node);
}

/* x itself is rounded to float32 behind a step: two parts of 2^-24. */
static dfal_status measure_head(struct df_bound *bound, const struct df_network *network, int32_t end)
{
    struct reach r = {.slope = 1, .grow = 1, .error = df_rounding(2)};
    DF_TRY(pass_head(bound, &r, network, end));
    /* Both ends round, the far one as an input that is R longer. */
    bound->slope = (r.slope + r.error) * (1 + 1e-9);
    bound->shift = 2 * r.error * (1 + 1e-9);
    bound->fixed = 2 * r.error_fixed * (1 + 1e-9);
    return DFAL_OK;
}

/* ---- The tail ------------------------------------------------------------------------------------------ */

static void measure_hidden(struct df_bound *bound)
{
    const int64_t n = bound->hidden, size = bound->size;
    for (int64_t u = 0; u < n; u++) {
        const float *row = bound->first + u * size;
        bound->lengths[u] = df_row_length(row, size);
        for (int32_t k = 0; k < bound->classes; k++)
            bound->sides[u * bound->classes + k] = (double)bound->last[k * n + u];
        for (int64_t j = 0; j < size; j++)
            bound->turned[j * n + u] = row[j];
        for (int64_t v = 0; v <= u; v++) {
            double sum = 0;
            for (int64_t j = 0; j < size; j++)
                sum += (double)row[j] * (double)bound->first[v * size + j];
            bound->products[u * n + v] = bound->products[v * n + u] = sum;
        }
    }
}

/* |error of logit k| <= rounding[k] |p| + rounding_fixed[k], p the node's values. */
static void measure_rounding(struct df_bound *bound)
{
    const int64_t n = bound->hidden, width = n > 0 ? n : bound->size;
    const double first = df_rounding(bound->size + 2), last = df_rounding(width + 2),
                 both = first + last * (1 + first);
    for (int32_t k = 0; k < bound->classes; k++) {
        const float *row = bound->last + k * width;
        double steep = 0, beside = 0;
        for (int64_t u = 0; u < n; u++) {
            steep += fabs((double)row[u]) * bound->lengths[u];
            beside += fabs((double)row[u] * (double)bound->first_bias[u]);
        }
        const double bias = last * fabs((double)bound->last_bias[k]);
        bound->rounding[k] = n > 0 ? both * steep : last * df_row_length(row, width);
        bound->rounding_fixed[k] = both * beside + bias;
    }
}

dfal_status df_bound_create(struct df_bound **out, const struct df_network *folded)
{
    struct df_bound *bound = NULL;
    int32_t begin = DF_INPUT;
    dfal_status status = DFAL_OK;
    *out = NULL;
    DF_TRY(df_alloc(&bound, 1, sizeof *bound));
    find_tail(bound, folded, &begin);
    if (!bound->node)
        goto done;
    DF_TRY_TO(done, status, df_alloc(&bound->turned, bound->size * bound->hidden, sizeof *bound->turned));
    DF_TRY_TO(done, status, df_alloc(&bound->sides, bound->hidden * bound->classes, sizeof *bound->sides));
    DF_TRY_TO(done, status, df_alloc(&bound->lengths, bound->hidden, sizeof *bound->lengths));
    DF_TRY_TO(done, status,
              df_alloc(&bound->products, bound->hidden * bound->hidden, sizeof *bound->products));
    DF_TRY_TO(done, status, df_alloc(&bound->rounding, bound->classes, sizeof *bound->rounding));
    DF_TRY_TO(done, status, df_alloc(&bound->rounding_fixed, bound->classes, sizeof *bound->rounding_fixed));
    measure_hidden(bound);
    measure_rounding(bound);
    status = measure_head(bound, folded, begin);
done:
    if (status == DFAL_OK)
        *out = bound;
    else
        df_bound_destroy(bound);
    return status;
}

void df_bound_destroy(struct df_bound *bound)
{
    if (!bound)
        return;
    df_free(bound->turned);
    df_free(bound->sides);
    df_free(bound->lengths);
    df_free(bound->products);
    df_free(bound->rounding);
    df_free(bound->rounding_fixed);
    df_free(bound);
}

const char *df_bound_missing(const struct df_bound *bound)
{
    return bound->why[0] ? bound->why : NULL;
}

const char *df_bound_node(const struct df_bound *bound)
{
    return bound->node;
}
