/* SPDX-License-Identifier: Apache-2.0 */
/* Folding: the same function with fewer nodes. */
#include "graph/fold.h"

#include <float.h>
#include <string.h>

#include "base/memory.h"

/* ---- One node at a time --------------------------------------------------------------------- */

static struct df_shape shape_of(const struct df_network *network, int32_t node)
{
    return node == DF_INPUT ? network->input : network->nodes[node].out;
}

static bool same_shape(struct df_shape a, struct df_shape b)
{
    return a.c == b.c && a.h == b.h && a.w == b.w;
}

/* Flatten and Reshape: only the last of a chain counts, and one that changes nothing does not. */
static void shorten_reshape(struct df_fold *work, int32_t index)
{
    struct df_network *network = work->network;
    struct df_node *node = &network->nodes[index];
    if (node->op == DF_NODE_RESHAPE && node->out.h == 1 && node->out.w == 1)
        node->op = DF_NODE_FLATTEN;
    for (int32_t source = node->inputs[0]; source != DF_INPUT; source = node->inputs[0]) {
        const struct df_node *from = &network->nodes[source];
        if (from->op != DF_NODE_FLATTEN && from->op != DF_NODE_RESHAPE)
            break;
        node->inputs[0] = from->inputs[0];
        df_fold_count_uses(work);
        work->dead[source] = work->uses[source] == 0;
        df_fold_count_uses(work);
    }
}

static bool is_identity(const struct df_network *network, const struct df_node *node)
{
    const int32_t *pad = node->window.pad;
    switch (node->op) {
    case DF_NODE_DROPOUT: /* when a network is used */
        return true;
    case DF_NODE_FLATTEN:
    case DF_NODE_RESHAPE:
        return same_shape(node->out, shape_of(network, node->inputs[0]));
    case DF_NODE_PAD:
        return (pad[0] | pad[1] | pad[2] | pad[3]) == 0;
    case DF_NODE_CLIP:
        return node->min <= -FLT_MAX && node->max >= FLT_MAX;
    case DF_NODE_CONCAT:
        return node->input_count == 1;
    default:
        return false;
    }
}

static void simplify(struct df_fold *work, int32_t index)
{
    struct df_network *network = work->network;
    struct df_node *node = &network->nodes[index];
    if (node->op == DF_NODE_FLATTEN || node->op == DF_NODE_RESHAPE)
        shorten_reshape(work, index);
    if (node->op == DF_NODE_CLIP && node->min == 0.0 && node->max >= FLT_MAX)
        node->op = DF_NODE_RELU;
    if (is_identity(network, node) && !(index == network->output && node->inputs[0] == DF_INPUT))
        df_fold_replace(work, index, node->inputs[0]);
}

/* Zeros around a plane are what a convolution pads with itself. */
static void fold_pad(struct df_fold *work, int32_t index)
{
    struct df_network *network = work->network;
    const struct df_node *pad = &network->nodes[index];
    int32_t target = df_fold_consumer(work, index);
    if (target < 0 || network->nodes[target].op != DF_NODE_CONV || pad->value != 0.0)
        return;
    for (int d = 0; d < 4; d++)
        if (pad->window.pad[d] < 0)
            return;
    for (int d = 0; d < 4; d++)
        network->nodes[target].window.pad[d] += pad->window.pad[d];
    df_fold_replace(work, index, pad->inputs[0]);
}

/* The largest of rectified values is the rectified largest, to the bit, and so are gradients: where two
 * values tie, both are at a bend and have none. A pool in front leaves less to compute and to keep. */
static void swap_pool(struct df_fold *work, int32_t index)
{
    struct df_network *network = work->network;
    struct df_node *first = &network->nodes[index];
    int32_t target = df_fold_consumer(work, index);
    if (target < 0 || network->nodes[target].op != DF_NODE_MAX_POOL)
        return;
    /* A window wholly in the padding gives 0. */
    if (first->op != DF_NODE_RELU && !(first->op == DF_NODE_CLIP && first->min <= 0.0 && first->max >= 0.0))
        return;
    struct df_node *second = &network->nodes[target], node = *first;
    struct df_shape out = second->out;
    int32_t *link = second->inputs;
    *first = *second;
    *second = node;
    second->name = first->name; /* it has the value of the old second */
    first->name = node.name;
    first->inputs = node.inputs;
    second->inputs = link;
    second->out = out;
}

/* ---- The result ------------------------------------------------------------------------------ */

static double folded_value(const struct df_wide *wide, const struct df_node *from, int kind, int64_t i)
{
    if (wide->weight && kind == DF_WEIGHT)
        return wide->weight[i];
    if (wide->weight && kind == DF_BIAS)
        return wide->bias[i];
    if (wide->weight) /* a batch-norm that is its affine map */
        return kind == DF_VARIANCE ? 1.0 : 0.0;
    return (double)from->parameter[kind].data[i];
}

static dfal_status add_node(struct df_network *to, const struct df_fold *work, int32_t index,
                            const int32_t *place)
{
    const struct df_node *from = &work->network->nodes[index];
    const struct df_wide *wide = &work->wide[index];
    int32_t *inputs, added;
    DF_TRY(df_alloc(&inputs, from->input_count, sizeof *inputs));
    for (int32_t j = 0; j < from->input_count; j++)
        inputs[j] = from->inputs[j] == DF_INPUT ? DF_INPUT : place[from->inputs[j]];
    dfal_status status = df_network_add(to, &added, from->name, from->op, inputs, from->input_count);
    df_free(inputs);
    DF_TRY(status);
    struct df_node *node = &to->nodes[added], own = *node;
    *node = *from;
    node->name = own.name;
    node->inputs = own.inputs;
    memcpy(node->parameter, own.parameter, sizeof node->parameter);
    if (wide->weight && from->op == DF_NODE_BATCH_NORM)
        node->epsilon = 0.0;
    for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
        struct df_parameter *p = &node->parameter[k];
        if (!from->parameter[k].data)
            continue;
        *p = from->parameter[k];
        p->data = NULL;
        if (wide->weight && k == DF_WEIGHT && from->op == DF_NODE_GEMM) {
            p->dims[1] = wide->in;
            p->count = wide->out * wide->in;
        }
        DF_TRY(df_alloc(&p->data, p->count, sizeof(float)));
        for (int64_t i = 0; i < p->count; i++)
            p->data[i] = (float)folded_value(wide, from, k, i);
    }
    return DFAL_OK;
}

/* The living nodes as a network of their own. */
static dfal_status collect(struct df_network **out, const struct df_fold *work)
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

static dfal_status on_each(struct df_fold *work, enum df_node_op op,
                           dfal_status (*fold)(struct df_fold *work, int32_t index))
{
    for (int32_t i = 0; i < work->network->node_count; i++)
        if (!work->dead[i] && work->network->nodes[i].op == op)
            DF_TRY(fold(work, i));
    return DFAL_OK;
}

dfal_status df_network_fold(struct df_network **out, const struct df_network *network)
{
    *out = NULL;
    struct df_fold work = {0};
    dfal_status status;
    DF_TRY_TO(done, status, df_network_copy(&work.network, network));
    DF_TRY_TO(done, status, df_network_infer(work.network));
    DF_TRY_TO(done, status, df_alloc(&work.wide, network->node_count, sizeof *work.wide));
    DF_TRY_TO(done, status, df_alloc(&work.uses, network->node_count, sizeof *work.uses));
    DF_TRY_TO(done, status, df_alloc(&work.dead, network->node_count, 1));
    df_fold_count_uses(&work);
    for (int32_t i = 0; i < network->node_count; i++)
        if (!work.dead[i])
            simplify(&work, i);
    for (int32_t i = network->node_count - 1; i >= 0; i--) /* a chain from its end */
        if (!work.dead[i] && work.network->nodes[i].op == DF_NODE_PAD)
            fold_pad(&work, i);
    for (int32_t i = 0; i < network->node_count; i++)
        if (!work.dead[i])
            swap_pool(&work, i);
    DF_TRY_TO(done, status, on_each(&work, DF_NODE_BATCH_NORM, df_fold_norm_back));
    DF_TRY_TO(done, status, on_each(&work, DF_NODE_BATCH_NORM, df_fold_norm_on));
    DF_TRY_TO(done, status, on_each(&work, DF_NODE_GEMM, df_fold_product));
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
