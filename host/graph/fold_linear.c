/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/memory.h"
#include "graph/fold.h"

/* y = weight (x - mean) / sqrt(variance + epsilon) + bias as an affine map. */
static void widen_norm(struct df_wide *wide, const struct df_node *norm)
{
    const struct df_parameter *p = norm->parameter;
    for (int64_t c = 0; c < wide->out; c++) {
        wide->weight[c] = (double)p[DF_WEIGHT].data[c] / sqrt((double)p[DF_VARIANCE].data[c] + norm->epsilon);
        wide->bias[c] = (double)p[DF_BIAS].data[c] - (double)p[DF_MEAN].data[c] * wide->weight[c];
    }
}

static dfal_status widen(struct df_fold *work, int32_t index)
{
    struct df_wide *wide = &work->wide[index];
    const struct df_node *node = &work->network->nodes[index];
    const struct df_parameter *weight = &node->parameter[DF_WEIGHT], *bias = &node->parameter[DF_BIAS];
    if (wide->weight)
        return DFAL_OK;
    wide->out = weight->dims[0];
    wide->in = weight->count / weight->dims[0];
    DF_TRY(df_alloc(&wide->weight, weight->count, sizeof(double)));
    DF_TRY(df_alloc(&wide->bias, bias->count, sizeof(double)));
    if (node->op == DF_NODE_BATCH_NORM) {
        widen_norm(wide, node);
        return DFAL_OK;
    }
    for (int64_t i = 0; i < weight->count; i++)
        wide->weight[i] = (double)weight->data[i];
    for (int64_t i = 0; i < bias->count; i++)
        wide->bias[i] = (double)bias->data[i];
    return DFAL_OK;
}

/* ---- Batch-norms ---------------------------------------------------------------------------- */

/* The result has the batch-norm's name: it is its value. */
dfal_status df_fold_norm_back(struct df_fold *work, int32_t index)
{
    struct df_network *network = work->network;
    struct df_node *norm = &network->nodes[index];
    int32_t source = norm->inputs[0];
    if (source == DF_INPUT || work->uses[source] != 1)
        return DFAL_OK;
    struct df_node *linear = &network->nodes[source];
    if (linear->op != DF_NODE_CONV && linear->op != DF_NODE_GEMM && linear->op != DF_NODE_BATCH_NORM)
        return DFAL_OK;
    DF_TRY(widen(work, source));
    DF_TRY(widen(work, index));
    struct df_wide *wide = &work->wide[source];
    const struct df_wide *map = &work->wide[index];
    for (int64_t o = 0; o < wide->out; o++) {
        for (int64_t i = 0; i < wide->in; i++)
            wide->weight[o * wide->in + i] *= map->weight[o];
        wide->bias[o] = wide->bias[o] * map->weight[o] + map->bias[o];
    }
    char *name = linear->name;
    linear->name = norm->name;
    norm->name = name;
    df_fold_replace(work, index, source);
    return DFAL_OK;
}

/* Row o of `to` counts its inputs channel by channel, `positions` each, from channel `first` of the map
 * on. */
static void scale_inputs(struct df_wide *to, int64_t o, const struct df_wide *map, int64_t first,
                         int64_t channels, int64_t positions)
{
    double *row = to->weight + o * to->in;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t p = 0; p < positions; p++) {
            to->bias[o] += row[c * positions + p] * map->bias[first + c];
            row[c * positions + p] *= map->weight[first + c];
        }
}

static bool shifts(const struct df_wide *map)
{
    for (int64_t c = 0; c < map->out; c++)
        if (map->bias[c] != 0.0)
            return true;
    return false;
}

static dfal_status into_conv(struct df_fold *work, int32_t index, int32_t target)
{
    const struct df_node *conv = &work->network->nodes[target];
    const int32_t *pad = conv->window.pad;
    DF_TRY(widen(work, index));
    /* The values around the plane are 0 behind the batch-norm. */
    if ((pad[0] | pad[1] | pad[2] | pad[3]) != 0 && shifts(&work->wide[index]))
        return DFAL_OK;
    DF_TRY(widen(work, target));
    struct df_wide *wide = &work->wide[target];
    int64_t channels = conv->parameter[DF_WEIGHT].dims[1], each = wide->out / conv->group;
    for (int64_t o = 0; o < wide->out; o++)
        scale_inputs(wide, o, &work->wide[index], o / each * channels, channels, wide->in / channels);
    df_fold_replace(work, index, work->network->nodes[index].inputs[0]);
    return DFAL_OK;
}

dfal_status df_fold_norm_on(struct df_fold *work, int32_t index)
{
    const struct df_node *nodes = work->network->nodes;
    int32_t target = df_fold_consumer(work, index);
    if (target >= 0 && nodes[target].op == DF_NODE_CONV)
        return into_conv(work, index, target);
    /* The average of an affine map's values is the map of the average. */
    if (target >= 0 && nodes[target].op == DF_NODE_GLOBAL_AVERAGE_POOL)
        target = df_fold_consumer(work, target);
    if (target >= 0 && nodes[target].op == DF_NODE_FLATTEN)
        target = df_fold_consumer(work, target);
    if (target < 0 || nodes[target].op != DF_NODE_GEMM)
        return DFAL_OK;
    DF_TRY(widen(work, index));
    DF_TRY(widen(work, target));
    struct df_wide *wide = &work->wide[target];
    int64_t channels = nodes[index].out.c;
    for (int64_t o = 0; o < wide->out; o++)
        scale_inputs(wide, o, &work->wide[index], 0, channels, wide->in / channels);
    df_fold_replace(work, index, nodes[index].inputs[0]);
    return DFAL_OK;
}

/* ---- Products ------------------------------------------------------------------------------- */

static bool is_pointwise(const struct df_node *node)
{
    const struct df_window *w = &node->window;
    return node->op == DF_NODE_CONV && node->group == 1 && w->kernel[0] == 1 && w->kernel[1] == 1 &&
           w->stride[0] == 1 && w->stride[1] == 1 && (w->pad[0] | w->pad[1] | w->pad[2] | w->pad[3]) == 0;
}

/* gemm [G, O*P] after source [O, C] over P positions (1 behind a Gemm): one weight [G, C*P]. */
static dfal_status multiply(struct df_fold *work, int32_t gemm, int32_t source, int64_t positions)
{
    DF_TRY(widen(work, gemm));
    DF_TRY(widen(work, source));
    struct df_wide *g = &work->wide[gemm], *s = &work->wide[source];
    int64_t in = s->in * positions;
    double *weight;
    DF_TRY(df_alloc(&weight, g->out * in, sizeof(double)));
    for (int64_t row = 0; row < g->out; row++)
        for (int64_t o = 0; o < s->out; o++) {
            const double *from = g->weight + row * g->in + o * positions;
            for (int64_t p = 0; p < positions; p++)
                g->bias[row] += from[p] * s->bias[o];
            for (int64_t c = 0; c < s->in; c++)
                for (int64_t p = 0; p < positions; p++)
                    weight[row * in + c * positions + p] += from[p] * s->weight[o * s->in + c];
        }
    df_free(g->weight);
    g->weight = weight;
    g->in = in;
    return DFAL_OK;
}

dfal_status df_fold_product(struct df_fold *work, int32_t index)
{
    struct df_network *network = work->network;
    struct df_node *gemm = &network->nodes[index];
    int32_t flatten = -1, source = gemm->inputs[0];
    if (source != DF_INPUT && network->nodes[source].op == DF_NODE_FLATTEN && work->uses[source] == 1) {
        flatten = source;
        source = network->nodes[flatten].inputs[0];
    }
    if (source == DF_INPUT || work->uses[source] != 1)
        return DFAL_OK;
    const struct df_node *linear = &network->nodes[source];
    if (linear->op != DF_NODE_GEMM && !is_pointwise(linear))
        return DFAL_OK;
    int64_t positions = linear->out.h * linear->out.w, middle = linear->out.c;
    DF_TRY(widen(work, source));
    int64_t in = work->wide[source].in;
    /* Multiply-adds of a sample, afterwards and before; each is as many times as there are positions. */
    if (gemm->out.c * in > middle * (in + gemm->out.c))
        return DFAL_OK;
    DF_TRY(multiply(work, index, source, positions));
    /* With several positions the values before still have a plane: the Flatten stays, in front of the new
     * Gemm. */
    if (flatten >= 0 && positions > 1) {
        network->nodes[flatten].inputs[0] = linear->inputs[0];
    } else {
        gemm->inputs[0] = linear->inputs[0];
        if (flatten >= 0)
            work->dead[flatten] = 1;
    }
    work->dead[source] = 1;
    df_fold_count_uses(work);
    return DFAL_OK;
}
