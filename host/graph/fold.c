/* SPDX-License-Identifier: Apache-2.0 */
/* Folding of linear chains. Everything is computed in double and rounded to float once, at the end. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "graph/network.h"

/* Double parameters of a node that a fold has touched; NULL: still the network's own floats. */
struct wide {
    double *weight, *bias;
    int64_t out, in; /* rows of the weight and values in each */
};

struct work {
    struct df_network *network; /* a copy that is rewired in place */
    struct wide *wide;          /* [node_count] */
    int32_t *uses;              /* [node_count] consumers, the output being one */
    uint8_t *dead;              /* [node_count] */
};

static void count_uses(struct work *work)
{
    const struct df_network *network = work->network;
    memset(work->uses, 0, (size_t)network->node_count * sizeof *work->uses);
    for (int32_t i = 0; i < network->node_count; i++)
        for (int32_t j = 0; !work->dead[i] && j < network->nodes[i].input_count; j++)
            if (network->nodes[i].inputs[j] != DF_INPUT)
                work->uses[network->nodes[i].inputs[j]]++;
    work->uses[network->output]++;
}

/* Let all consumers of node `from` read `to` instead; `from` is gone. */
static void replace(struct work *work, int32_t from, int32_t to)
{
    struct df_network *network = work->network;
    for (int32_t i = from + 1; i < network->node_count; i++)
        for (int32_t j = 0; j < network->nodes[i].input_count; j++)
            if (network->nodes[i].inputs[j] == from)
                network->nodes[i].inputs[j] = to;
    if (network->output == from)
        network->output = to;
    work->dead[from] = 1;
    count_uses(work);
}

static dfal_status widen(struct work *work, int32_t index)
{
    struct wide *wide = &work->wide[index];
    const struct df_parameter *weight = &work->network->nodes[index].parameter[DF_WEIGHT];
    const struct df_parameter *bias = &work->network->nodes[index].parameter[DF_BIAS];
    if (wide->weight)
        return DFAL_OK;
    wide->out = weight->dims[0];
    wide->in = weight->count / weight->dims[0];
    DF_TRY(df_alloc(&wide->weight, weight->count, sizeof(double)));
    DF_TRY(df_alloc(&wide->bias, bias->count, sizeof(double)));
    for (int64_t i = 0; i < weight->count; i++)
        wide->weight[i] = (double)weight->data[i];
    for (int64_t i = 0; i < bias->count; i++)
        wide->bias[i] = (double)bias->data[i];
    return DFAL_OK;
}

/* Dropout is the identity when a network is used. */
static void drop_dropout(struct work *work)
{
    for (int32_t i = 0; i < work->network->node_count; i++) {
        const struct df_node *node = &work->network->nodes[i];
        if (node->op == DF_NODE_DROPOUT && !(i == work->network->output && node->inputs[0] == DF_INPUT))
            replace(work, i, node->inputs[0]);
    }
}

/* y = weight (Wx + b - mean) / sqrt(variance + epsilon) + bias. The result has the batch-norm's name: it is
 * its value. */
static dfal_status fold_batch_norm(struct work *work, int32_t index)
{
    struct df_network *network = work->network;
    struct df_node *norm = &network->nodes[index];
    int32_t source = norm->inputs[0];
    if (source == DF_INPUT || work->uses[source] != 1)
        return DFAL_OK;
    struct df_node *linear = &network->nodes[source];
    if (linear->op != DF_NODE_CONV && linear->op != DF_NODE_GEMM)
        return DFAL_OK;
    DF_TRY(widen(work, source));
    struct wide *wide = &work->wide[source];
    const struct df_parameter *p = norm->parameter;
    for (int64_t o = 0; o < wide->out; o++) {
        double factor = (double)p[DF_WEIGHT].data[o] / sqrt((double)p[DF_VARIANCE].data[o] + norm->epsilon);
        for (int64_t i = 0; i < wide->in; i++)
            wide->weight[o * wide->in + i] *= factor;
        wide->bias[o] = (wide->bias[o] - (double)p[DF_MEAN].data[o]) * factor + (double)p[DF_BIAS].data[o];
    }
    char *name = linear->name;
    linear->name = norm->name;
    norm->name = name;
    replace(work, index, source);
    return DFAL_OK;
}

static bool is_pointwise(const struct df_node *node)
{
    const struct df_window *w = &node->window;
    return node->op == DF_NODE_CONV && node->group == 1 && w->kernel[0] == 1 && w->kernel[1] == 1 &&
           w->stride[0] == 1 && w->stride[1] == 1 && (w->pad[0] | w->pad[1] | w->pad[2] | w->pad[3]) == 0;
}

/* gemm [G, O*P] after source [O, C] over P positions (1 behind a Gemm): one weight [G, C*P]. */
static dfal_status multiply(struct work *work, int32_t gemm, int32_t source, int64_t positions)
{
    DF_TRY(widen(work, gemm));
    DF_TRY(widen(work, source));
    struct wide *g = &work->wide[gemm], *s = &work->wide[source];
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

/* A 1x1 convolution or a Gemm, perhaps a Flatten, and a Gemm. Left alone where one big product would cost
 * more multiplications than the two (a bottleneck). */
static dfal_status fold_product(struct work *work, int32_t index)
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
    count_uses(work);
    return DFAL_OK;
}

static dfal_status add_node(struct df_network *to, const struct work *work, int32_t index,
                            const int32_t *place)
{
    const struct df_node *from = &work->network->nodes[index];
    const struct wide *wide = &work->wide[index];
    int32_t *inputs, added;
    DF_TRY(df_alloc(&inputs, from->input_count, sizeof *inputs));
    for (int32_t j = 0; j < from->input_count; j++)
        inputs[j] = from->inputs[j] == DF_INPUT ? DF_INPUT : place[from->inputs[j]];
    dfal_status status = df_network_add(to, &added, from->name, from->op, inputs, from->input_count);
    df_free(inputs);
    DF_TRY(status);
    struct df_node *node = &to->nodes[added];
    node->window = from->window;
    node->group = from->group;
    node->ceil_mode = from->ceil_mode;
    node->count_include_pad = from->count_include_pad;
    node->axis = from->axis;
    node->epsilon = from->epsilon;
    node->ratio = from->ratio;
    for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
        struct df_parameter *p = &node->parameter[k];
        const double *values = k == DF_WEIGHT ? wide->weight : (k == DF_BIAS ? wide->bias : NULL);
        if (!from->parameter[k].data)
            continue;
        *p = from->parameter[k];
        p->data = NULL;
        if (values && k == DF_WEIGHT && from->op == DF_NODE_GEMM) {
            p->dims[1] = wide->in;
            p->count = wide->out * wide->in;
        }
        DF_TRY(df_alloc(&p->data, p->count, sizeof(float)));
        for (int64_t i = 0; i < p->count; i++)
            p->data[i] = values ? (float)values[i] : from->parameter[k].data[i];
    }
    return DFAL_OK;
}

/* The living nodes as a network of their own. */
static dfal_status collect(struct df_network **out, const struct work *work)
{
    const struct df_network *from = work->network;
    struct df_network *to = NULL;
    int32_t *place = NULL, affine = from->affine_count;
    dfal_status status;
    DF_TRY_TO(done, status, df_network_create(&to, from->input, from->class_count));
    DF_TRY_TO(done, status, df_resize(&to->scale, 1, affine, sizeof *to->scale));
    DF_TRY_TO(done, status, df_resize(&to->offset, 1, affine, sizeof *to->offset));
    memcpy(to->scale, from->scale, (size_t)affine * sizeof *to->scale);
    memcpy(to->offset, from->offset, (size_t)affine * sizeof *to->offset);
    to->affine_count = affine;
    DF_TRY_TO(done, status, df_alloc(&place, from->node_count, sizeof *place));
    for (int32_t i = 0; i < from->node_count; i++)
        if (!work->dead[i]) {
            place[i] = to->node_count;
            DF_TRY_TO(done, status, add_node(to, work, i, place));
        }
    to->output = place[from->output];
    DF_TRY_TO(done, status, df_network_infer(to));
    *out = to;
    to = NULL;
done:
    df_free(place);
    df_network_destroy(to);
    return status;
}

dfal_status df_network_fold(struct df_network **out, const struct df_network *network)
{
    *out = NULL;
    struct work work = {0};
    dfal_status status;
    DF_TRY_TO(done, status, df_network_copy(&work.network, network));
    DF_TRY_TO(done, status, df_network_infer(work.network));
    DF_TRY_TO(done, status, df_alloc(&work.wide, network->node_count, sizeof *work.wide));
    DF_TRY_TO(done, status, df_alloc(&work.uses, network->node_count, sizeof *work.uses));
    DF_TRY_TO(done, status, df_alloc(&work.dead, network->node_count, 1));
    count_uses(&work);
    drop_dropout(&work);
    for (int32_t i = 0; i < network->node_count; i++)
        if (!work.dead[i] && work.network->nodes[i].op == DF_NODE_BATCH_NORM)
            DF_TRY_TO(done, status, fold_batch_norm(&work, i));
    for (int32_t i = 0; i < network->node_count; i++)
        if (!work.dead[i] && work.network->nodes[i].op == DF_NODE_GEMM)
            DF_TRY_TO(done, status, fold_product(&work, i));
    status = collect(out, &work);
done:
    for (int32_t i = 0; work.wide && i < network->node_count; i++) {
        df_free(work.wide[i].weight);
        df_free(work.wide[i].bias);
    }
    df_free(work.wide);
    df_free(work.uses);
    df_free(work.dead);
    df_network_destroy(work.network);
    return status;
}
