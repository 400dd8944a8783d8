/* SPDX-License-Identifier: Apache-2.0 */
/* What each type of node computes, and what of it stays in memory: the constant df_rules_<rules> that its row
 * of nodes.def names, in the file of its relatives (node_*.c). What a function leaves to its caller it does
 * not have: NULL. */
#ifndef DF_NET_NODE_RULES_H
#define DF_NET_NODE_RULES_H

#include "backend/backend.h"
#include "graph/network.h"

struct df_pass;
struct df_plan;
struct df_instruction;

/* What the gradient of one node reads of the forward pass, besides the cotangent. */
enum df_reads { DF_READS_NOTHING, DF_READS_OUTPUT, DF_READS_INPUTS };
/* training: in a plan with TRAIN, where parameters have gradients and batch-norm statistics. */
enum df_reads df_node_reads(const struct df_node *node, bool training);

enum df_value_kind {
    DF_VALUE_OWN,
    /* Each value becomes one value: it may take its input's memory, its gradient the cotangent's. */
    DF_VALUE_POINTWISE,
    DF_VALUE_ALIAS, /* its input under another shape */
    DF_VALUE_DRAWN, /* its input, but where dropout is drawn */
};

struct df_node_rules {
    enum df_value_kind value;
    enum df_reads input_gradient, training; /* df_node_reads */
    enum df_op forward_op, backward_op;
    /* Finish a call of forward_op, with sizes of the node's value, out[0] its value and in[0] that of its
     * first input, and run it. NULL: run it as it is. */
    dfal_status (*forward)(const struct df_pass *pass, int32_t index, struct df_call *call);
    /* The same of backward_op: out[0] the cotangent of input instruction->input, in[0] that of the node. */
    dfal_status (*vjp)(const struct df_pass *pass, const struct df_instruction *instruction,
                       struct df_call *call);
    /* Gradients of the node's parameters. */
    dfal_status (*parameters)(const struct df_pass *pass, const struct df_instruction *instruction);
    /* Squared length of these, of one row, where it is known without them: room for the node's input and
     * value. NULL: it is their sum of squares. */
    dfal_status (*square)(const struct df_pass *pass, const struct df_instruction *instruction, float *room,
                          double *square);
    /* Is the cotangent towards that input the node's own? */
    bool (*passes)(const struct df_network *network, const struct df_node *node, int32_t input);
    /* A batch's statistics enter where parameters are trained: vjp then gives the parameters' gradients as
     * well, and rows depend on each other. */
    bool joint;
    /* Count what the plan keeps beside values; then make what the node needs on the device. */
    dfal_status (*reserve)(struct df_plan *plan, int32_t index);
    dfal_status (*prepare)(struct df_plan *plan, int32_t index);
};
const struct df_node_rules *df_node_rules(enum df_node_op op);

/* clang-format off */
#define DF_NODE(NODE, name, least, most, shape, parameters, rules, ...) extern const struct df_node_rules df_rules_##rules;
#include "graph/nodes.def"
/* clang-format on */

#endif
