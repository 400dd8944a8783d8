/* SPDX-License-Identifier: Apache-2.0 */
/* What a node of each op may say of itself: the one table that writing and reading /graph share. */
#ifndef DF_GRAPH_GRAPH_JSON_H
#define DF_GRAPH_GRAPH_JSON_H

#include "graph/network.h"

enum df_attribute_kind { DF_ATTRIBUTE_INTS, DF_ATTRIBUTE_REAL };

/* Values lie at `offset` inside struct df_node: `count` int32_t in [low, high], or one double in [low, high). An
 * infinite real, which JSON cannot say, stands for "left out". */
struct df_attribute {
    const char *name;
    enum df_attribute_kind kind;
    int32_t count; /* 1: a plain number in JSON; more: an array of exactly that many */
    size_t offset;
    double low, high;
    bool required;
    bool ones; /* integers that are left out where all are 1: younger than files that others have hashed */
};
struct df_node_op_info {
    const char *name; /* ONNX's */
    int32_t min_inputs, max_inputs;
    const struct df_attribute *attributes; /* sorted by name; the last has no name */
};
enum { DF_MAX_ATTRIBUTES = 8 }; /* of one op */
const struct df_node_op_info *df_node_op_info(enum df_node_op op);

/* Write the canonical graph piece by piece: no allocation. */
typedef void df_graph_sink(void *user, const char *text, size_t size);
void df_graph_write(const struct df_network *network, df_graph_sink *put, void *user);

#endif
