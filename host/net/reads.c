/* SPDX-License-Identifier: Apache-2.0 */
/* What each op keeps for its gradients: the one table that decides which values stay in memory. */
#include "net/program.h"

static const struct {
    enum df_reads input_gradient, training;
    bool pointwise;
} ops[DF_NODE_OP_COUNT] = {
    [DF_NODE_CONV] = {DF_READS_NOTHING, DF_READS_INPUTS, false},
    [DF_NODE_GEMM] = {DF_READS_NOTHING, DF_READS_INPUTS, false},
    [DF_NODE_RELU] = {DF_READS_OUTPUT, DF_READS_OUTPUT, true},
    [DF_NODE_MAX_POOL] = {DF_READS_NOTHING, DF_READS_NOTHING,
                          false}, /* its positions are kept beside the values */
    [DF_NODE_AVERAGE_POOL] = {DF_READS_NOTHING, DF_READS_NOTHING, false},
    [DF_NODE_GLOBAL_AVERAGE_POOL] = {DF_READS_NOTHING, DF_READS_NOTHING, false},
    [DF_NODE_BATCH_NORM] = {DF_READS_NOTHING, DF_READS_INPUTS, true},
    [DF_NODE_DROPOUT] = {DF_READS_NOTHING, DF_READS_NOTHING, false}, /* masks are drawn again */
    [DF_NODE_ADD] = {DF_READS_NOTHING, DF_READS_NOTHING, false},
    [DF_NODE_CONCAT] = {DF_READS_NOTHING, DF_READS_NOTHING, false},
    [DF_NODE_FLATTEN] = {DF_READS_NOTHING, DF_READS_NOTHING, false},
    [DF_NODE_RESHAPE] = {DF_READS_NOTHING, DF_READS_NOTHING, false},
    [DF_NODE_LEAKY_RELU] = {DF_READS_OUTPUT, DF_READS_OUTPUT, true}, /* but see below */
    [DF_NODE_CLIP] = {DF_READS_OUTPUT, DF_READS_OUTPUT, true},
    [DF_NODE_SIGMOID] = {DF_READS_OUTPUT, DF_READS_OUTPUT, true},
    [DF_NODE_HARD_SIGMOID] = {DF_READS_INPUTS, DF_READS_INPUTS, true},
    [DF_NODE_HARD_SWISH] = {DF_READS_INPUTS, DF_READS_INPUTS, true},
    [DF_NODE_SUB] = {DF_READS_NOTHING, DF_READS_NOTHING, false},
    [DF_NODE_MUL] = {DF_READS_INPUTS, DF_READS_INPUTS, false},
    [DF_NODE_DIV] = {DF_READS_INPUTS, DF_READS_INPUTS, false},
    [DF_NODE_PAD] = {DF_READS_NOTHING, DF_READS_NOTHING, false},
};

enum df_reads df_node_reads(const struct df_node *node, bool training)
{
    /* x > 0 where y > 0, and low < x < high where low < y < high: relu_bwd, leaky_relu_bwd and clip_bwd may be given
     * either. Not so where a slope turns the sign around. */
    if (node->op == DF_NODE_LEAKY_RELU && !(node->alpha >= 0.0))
        return DF_READS_INPUTS;
    if (df_node_is_fixed(node))
        return DF_READS_NOTHING;
    return training ? ops[node->op].training : ops[node->op].input_gradient;
}

bool df_node_is_pointwise(enum df_node_op op)
{
    return ops[op].pointwise;
}
