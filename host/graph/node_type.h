/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of each type of node: nodes.def as data. What it computes: net/node_rules.h. */
#ifndef DF_GRAPH_NODE_TYPE_H
#define DF_GRAPH_NODE_TYPE_H

#include "base/number.h"
#include "graph/network.h"

/* Values lie at `offset` inside struct df_node: `count` int32_t, or one double. An infinite real, which JSON
 * cannot say, stands for "left out". */
struct df_attribute {
    const char *name;
    struct df_number number;
    int32_t count; /* 1: a plain number in JSON; more: an array of exactly that many */
    size_t offset;
    double missing; /* a real that nobody gave; integers: df_network_add */
    bool required;
    bool ones; /* integers that are left out where all are 1: younger than files that others have hashed */
};
enum { DF_MAX_ATTRIBUTES = 8 }; /* of one node */

struct df_node_parameters {
    int32_t rank[DF_PARAMETER_KINDS];  /* dimensions; 0: nodes of the type have no such parameter */
    bool required[DF_PARAMETER_KINDS]; /* a network file holds it; others are `initial` where it does not */
    float initial[DF_PARAMETER_KINDS]; /* of an untrained node */
    /* the weight is that of a product with the input: drawn at random, counted as multiply-adds */
    bool linear;
};

/* Set the node's output shape from those of its inputs, allocate its missing parameters, check what is
 * there. */
typedef dfal_status df_shape_rule(const struct df_network *network, struct df_node *node);
/* clang-format off */
#define DF_NODE(NODE, name, least, most, shape, parameters, rules, ...) df_shape_rule df_shape_##shape;
#include "graph/nodes.def"
/* clang-format on */

struct df_node_type {
    const char *name; /* ONNX's */
    int32_t min_inputs, max_inputs;
    df_shape_rule *shape;
    const struct df_node_parameters *parameters;
    const struct df_attribute *attributes; /* sorted by name; the last has no name */
};
const struct df_node_type *df_node_type(enum df_node_op op);
/* The type of that name. False: there is none. */
bool df_node_op_find(enum df_node_op *op, const char *name);
/* Where a node holds a real attribute. */
double *df_attribute_real(struct df_node *node, const struct df_attribute *attribute);

#endif
