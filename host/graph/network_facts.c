/* SPDX-License-Identifier: Apache-2.0 */
/* What a network as a whole tells: counts, whether its parameters are finite, its sha256. */
#include <math.h>

#include "base/digest.h"
#include "graph/graph_json.h"
#include "graph/node_type.h"

int64_t df_network_parameter_count(const struct df_network *network)
{
    int64_t count = 0;
    for (int32_t i = 0; i < network->node_count; i++)
        for (int k = 0; k < DF_PARAMETER_KINDS; k++)
            if (network->nodes[i].parameter[k].data)
                count += network->nodes[i].parameter[k].count;
    return count;
}

int64_t df_network_multiply_adds(const struct df_network *network)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < network->node_count; i++) {
        const struct df_node *node = &network->nodes[i];
        if (df_node_type(node->op)->parameters->linear)
            sum += node->parameter[DF_WEIGHT].count * node->out.h * node->out.w;
    }
    return sum;
}

dfal_status df_network_check_finite(const struct df_network *network, const char *source)
{
    for (int32_t i = 0; i < network->node_count; i++)
        for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
            const struct df_parameter *p = &network->nodes[i].parameter[k];
            for (int64_t j = 0; p->data && j < p->count; j++)
                if (!isfinite(p->data[j]))
                    DF_FAIL(DFAL_E_DATA, "%s: element %lld of %s/%s is %g, expected a finite number", source,
                            (long long)j, network->nodes[i].name,
                            df_parameter_name((enum df_parameter_kind)k), (double)p->data[j]);
        }
    return DFAL_OK;
}

static void put_digest(void *user, const char *text, size_t size)
{
    df_digest_add(user, text, size);
}

void df_network_digest(char text[65], const struct df_network *network)
{
    struct df_digest digest;
    df_digest_begin(&digest);
    df_graph_write(network, put_digest, &digest);
    /* Floats are little-endian on every machine dfal builds for (x86-64, the CUDA hosts). */
    for (int32_t i = 0; i < network->node_count; i++)
        for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
            const struct df_parameter *p = &network->nodes[i].parameter[k];
            if (p->data)
                df_digest_add(&digest, p->data, (size_t)p->count * sizeof(float));
        }
    df_digest_end(&digest, text);
}

int32_t df_network_last_layer(const struct df_network *network)
{
    int32_t index = network->output;
    while (index != DF_INPUT) {
        const enum df_node_op op = network->nodes[index].op;
        if (op != DF_NODE_FLATTEN && op != DF_NODE_RESHAPE && op != DF_NODE_DROPOUT)
            break;
        index = network->nodes[index].inputs[0];
    }
    return index;
}
