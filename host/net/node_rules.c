/* SPDX-License-Identifier: Apache-2.0 */
#include "net/node_rules.h"

static const struct df_node_rules *const of_type[DF_NODE_OP_COUNT] = {
#define DF_NODE(NODE, name, least, most, shape, parameters, rules, ...) [DF_NODE_##NODE] = &df_rules_##rules,
#include "graph/nodes.def"
};

const struct df_node_rules *df_node_rules(enum df_node_op op)
{
    return of_type[op];
}

enum df_reads df_node_reads(const struct df_node *node, bool training)
{
    /* x > 0 where y > 0, and low < x < high where low < y < high: relu_bwd, leaky_relu_bwd and clip_bwd may
     * be given either. Not so where a slope turns the sign around. */
    if (node->op == DF_NODE_LEAKY_RELU && !(node->alpha >= 0.0))
        return DF_READS_INPUTS;
    if (df_node_is_fixed(node))
        return DF_READS_NOTHING;
    return training ? of_type[node->op]->training : of_type[node->op]->input_gradient;
}
