/* SPDX-License-Identifier: Apache-2.0 */
/* Adds a node to a network. */
#include <string.h>

#include "base/memory.h"
#include "graph/node_type.h"

dfal_status df_network_add(struct df_network *network, int32_t *index, const char *name, enum df_node_op op,
                           const int32_t *inputs, int32_t input_count)
{
    int32_t count = network->node_count;
    if (count >= DF_MAX_NODES)
        DF_FAIL(DFAL_E_DATA, "A network has more than %d nodes", DF_MAX_NODES);
    for (int32_t i = 0; i < input_count; i++)
        if (inputs[i] < DF_INPUT || inputs[i] >= count)
            DF_FAIL(DFAL_E_DATA,
                    "Node '%s' has the input %d, expected a node before it (0 to %d) or the network's input",
                    name, inputs[i], count - 1);
    DF_TRY(df_grow(&network->nodes, &network->node_capacity, (int64_t)count + 1, sizeof *network->nodes, 16));
    struct df_node *node = &network->nodes[count];
    memset(node, 0, sizeof *node);
    network->node_count = count + 1;
    node->op = op;
    node->group = 1;
    node->axis = 1;
    for (const struct df_attribute *attribute = df_node_type(op)->attributes; attribute->name; attribute++)
        if (attribute->number.kind == DF_NUMBER_REAL)
            *df_attribute_real(node, attribute) = attribute->missing;
    for (int d = 0; d < 2; d++)
        node->window.kernel[d] = node->window.stride[d] = node->window.dilation[d] = 1;
    dfal_status status = df_strdup(&node->name, name);
    if (status == DFAL_OK)
        status = df_alloc(&node->inputs, input_count, sizeof *node->inputs);
    if (status != DFAL_OK) {
        df_node_clear(node);
        network->node_count = count;
        return status;
    }
    for (int32_t i = 0; i < input_count; i++)
        node->inputs[i] = inputs[i];
    node->input_count = input_count;
    network->output = count;
    if (index)
        *index = count;
    return DFAL_OK;
}
