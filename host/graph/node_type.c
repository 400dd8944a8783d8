/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/node_type.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- Attributes: what rows of nodes.def and activations.def say ------------------------------- */

#define INTEGERS(name_, count_, field_, low_, high_, ...)                                                    \
    {.name = (name_),                                                                                        \
     .count = (count_),                                                                                      \
     .offset = offsetof(struct df_node, field_),                                                             \
     .number = {DF_NUMBER_I32, low_, high_},                                                                 \
     __VA_ARGS__},
#define INTS(name, count, field, low)         INTEGERS(name, count, field, low, 65535, .required = false)
#define NEEDED_INTS(name, count, field, low)  INTEGERS(name, count, field, low, 65535, .required = true)
#define YOUNGER_INTS(name, count, field, low) INTEGERS(name, count, field, low, 65535, .ones = true)
#define FLAG(field)                           INTEGERS(#field, 1, field, 0, 1, .required = false)
/* A real in [low, high). */
#define BOUNDED(field_, missing_, low_, high_)                                                               \
    {.name = #field_,                                                                                        \
     .count = 1,                                                                                             \
     .offset = offsetof(struct df_node, field_),                                                             \
     .number = {DF_NUMBER_REAL, low_, high_, .high_open = true},                                             \
     .missing = (missing_)},
/* Whatever a float can hold. */
#define NUMBER(field, missing) BOUNDED(field, missing, -FLT_MAX, FLT_MAX *(1.0 + DBL_EPSILON))
/* clang-format off */
#define END {.name = NULL}
#define DF_NODE(NODE, name, least, most, shape, parameters, rules, ...)                                      \
    static const struct df_attribute attributes_##NODE[] = {__VA_ARGS__ END};
#include "graph/nodes.def"
/* clang-format on */

/* ---- Parameters ----------------------------------------------------------------------------- */

static const struct df_node_parameters none;
static const struct df_node_parameters conv = {
    .rank = {[DF_WEIGHT] = 4, [DF_BIAS] = 1}, .required = {[DF_WEIGHT] = true}, .linear = true};
static const struct df_node_parameters gemm = {
    .rank = {[DF_WEIGHT] = 2, [DF_BIAS] = 1}, .required = {[DF_WEIGHT] = true}, .linear = true};
static const struct df_node_parameters batch_norm = {
    .rank = {1, 1, 1, 1},
    .required = {true, true, true, true},
    .initial = {[DF_WEIGHT] = 1.0f, [DF_VARIANCE] = 1.0f},
};

/* One slope, or one a channel; 0.25 as in PyTorch. */
static const struct df_node_parameters prelu = {
    .rank = {[DF_WEIGHT] = 1}, .required = {[DF_WEIGHT] = true}, .initial = {[DF_WEIGHT] = 0.25f}};

/* ---- The table ------------------------------------------------------------------------------ */

static const struct df_node_type types[DF_NODE_OP_COUNT] = {
#define DF_NODE(NODE, name, least, most, shape, parameters, rules, ...)                                      \
    [DF_NODE_##NODE] = {name, least, most, df_shape_##shape, &parameters, attributes_##NODE},
#include "graph/nodes.def"
};

const struct df_node_type *df_node_type(enum df_node_op op)
{
    return &types[op];
}

bool df_node_op_find(enum df_node_op *op, const char *name)
{
    for (int i = 0; i < DF_NODE_OP_COUNT; i++)
        if (strcmp(types[i].name, name) == 0) {
            *op = (enum df_node_op)i;
            return true;
        }
    return false;
}

double *df_attribute_real(struct df_node *node, const struct df_attribute *attribute)
{
    return (double *)((char *)node + attribute->offset);
}
