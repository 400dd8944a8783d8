/* SPDX-License-Identifier: Apache-2.0 */
/* Is a network a chain that may be run, or trained, in one go, and one that the back end does so? */
#include "net/plan_inside.h"

/* A walk along the chain. drop NULL: dropout passes values on. */
struct walk {
    const struct df_plan *plan;
    struct df_chain_drop *drop; /* of the stage */
};

/* The one node that reads `node`, through nodes that only pass values on; -1: none or several. */
static int32_t next_of(const struct walk *walk, int32_t node)
{
    const struct df_plan *plan = walk->plan;
    const struct df_network *network = plan->network;
    int32_t found = -1;
    for (int32_t i = 0; i < network->node_count; i++)
        for (int32_t j = 0; j < network->nodes[i].input_count; j++)
            if (network->nodes[i].inputs[j] == node) {
                if (found >= 0)
                    return -1;
                found = i;
            }
    if (found >= 0 && df_plan_root(plan, found, walk->drop != NULL) != found)
        return next_of(walk, found);
    return found;
}

static bool is_halving(const struct df_node *node, struct df_shape in)
{
    const struct df_window *w = &node->window;
    for (int i = 0; i < 2; i++)
        if (w->kernel[i] != 2 || w->stride[i] != 2 || w->dilation[i] != 1 || w->pad[i] != 0 ||
            w->pad[i + 2] != 0)
            return false;
    return 2 * node->out.h <= in.h && 2 * node->out.w <= in.w;
}

/* Are a node's inputs of this shape? Behind a Reshape they are of another. */
static bool reads(const struct df_network *network, const struct df_node *node, struct df_shape shape)
{
    const struct df_shape own = df_value_shape(network, node->inputs[0]);
    return own.c == shape.c && own.h == shape.h && own.w == shape.w;
}

/* The stage that begins at *node; *node is the first behind it then, *last the last that belongs to it. */
static bool take_stage(const struct walk *walk, struct df_fused_stage *stage, struct df_shape in,
                       int32_t *node, int32_t *last)
{
    const struct df_plan *plan = walk->plan;
    const struct df_network *network = plan->network;
    const struct df_node *own = &network->nodes[*node];
    if (own->op != DF_NODE_GEMM && own->op != DF_NODE_CONV)
        return false;
    if (own->op == DF_NODE_CONV && (own->group != 1 || own->window.dilation[0] != 1 ||
                                    own->window.dilation[1] != 1 || !reads(network, own, in)))
        return false;
    *stage = (struct df_fused_stage){
        .is_gemm = own->op == DF_NODE_GEMM,
        .in = in,
        .out = own->out,
        .window = own->window,
        .weight_at = plan->nodes[*node].parameter_at,
        .bias_at = plan->nodes[*node].parameter_at + own->parameter[DF_WEIGHT].count,
    };
    *last = *node;
    /* A ReLU and a max-pool may stand in either order: the result and its gradient are the same. */
    while ((*node = next_of(walk, *node)) >= 0) {
        own = &network->nodes[*node];
        if (own->op == DF_NODE_DROPOUT && walk->drop) { /* the last of its stage */
            *walk->drop = (struct df_chain_drop){own->ratio, *node};
            *last = *node;
            *node = next_of(walk, *node);
            break;
        }
        if (own->op == DF_NODE_RELU && !stage->relu) {
            stage->relu = true;
        } else if (own->op == DF_NODE_MAX_POOL && !stage->pool && !stage->is_gemm &&
                   reads(network, own, stage->out) && is_halving(own, stage->out)) {
            stage->pool = true;
            stage->out = own->out;
        } else {
            break;
        }
        *last = *node;
    }
    return true;
}

/* drop   [DF_FUSED_STAGES], or NULL: nothing is dropped */
static bool is_chain(const struct df_plan *plan, struct df_fused_desc *desc, struct df_chain_drop *drop)
{
    struct walk walk = {plan, drop};
    struct df_shape in = plan->network->input;
    int32_t node = next_of(&walk, DF_INPUT), last = DF_INPUT;
    *desc = (struct df_fused_desc){.count = 0};
    while (node >= 0) {
        if (desc->count == DF_FUSED_STAGES)
            return false;
        if (drop)
            walk.drop = &drop[desc->count];
        if (!take_stage(&walk, &desc->stages[desc->count], in, &node, &last))
            return false;
        in = desc->stages[desc->count++].out;
        if (plan->tap >= 0 && node >= 0 && last == df_plan_root(plan, plan->tap, false))
            desc->tap = desc->count;
    }
    /* The last product's values are the logits, of which none is dropped; where several nodes read a value,
     * the chain ends before them. */
    if (drop && desc->count > 0 && drop[desc->count - 1].rate > 0)
        return false;
    return desc->count > 0 && last == df_plan_root(plan, plan->network->output, drop != NULL) &&
           desc->stages[desc->count - 1].is_gemm && !desc->stages[desc->count - 1].relu &&
           df_shape_size(in) == plan->network->class_count;
}

dfal_status df_plan_try_fused(struct df_plan *plan)
{
    struct df_fused_desc desc;
    const struct df_backend *backend = plan->device->backend;
    if (backend->fused_create == NULL || !is_chain(plan, &desc, NULL) || (plan->tap != -2 && desc.tap == 0))
        return DFAL_OK;
    const dfal_status status = backend->fused_create(plan->device, &plan->fused, &desc);
    plan->kept_bytes = df_fused_kept_size(&desc);
    return status == DFAL_E_UNAVAILABLE ? DFAL_OK : status;
}

bool df_plan_is_chain(const struct df_plan *plan, struct df_chain_desc *desc)
{
    *desc = (struct df_chain_desc){.parameter_count = plan->parameter_size};
    return is_chain(plan, &desc->network, desc->drop);
}
