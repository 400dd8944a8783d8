/* SPDX-License-Identifier: Apache-2.0 */
/* Who reads whom while a network is folded. */
#include <string.h>

#include "graph/fold.h"

void df_fold_count_uses(struct df_fold *work)
{
    const struct df_network *network = work->network;
    memset(work->uses, 0, (size_t)network->node_count * sizeof *work->uses);
    for (int32_t i = 0; i < network->node_count; i++)
        for (int32_t j = 0; !work->dead[i] && j < network->nodes[i].input_count; j++)
            if (network->nodes[i].inputs[j] != DF_INPUT)
                work->uses[network->nodes[i].inputs[j]]++;
    work->uses[network->output]++;
}

void df_fold_replace(struct df_fold *work, int32_t from, int32_t to)
{
    struct df_network *network = work->network;
    for (int32_t i = from + 1; i < network->node_count; i++)
        for (int32_t j = 0; j < network->nodes[i].input_count; j++)
            if (network->nodes[i].inputs[j] == from)
                network->nodes[i].inputs[j] = to;
    if (network->output == from)
        network->output = to;
    work->dead[from] = 1;
    df_fold_count_uses(work);
}

int32_t df_fold_consumer(const struct df_fold *work, int32_t index)
{
    const struct df_network *network = work->network;
    if (work->uses[index] != 1 || network->output == index)
        return -1;
    for (int32_t i = index + 1; i < network->node_count; i++)
        for (int32_t j = 0; !work->dead[i] && j < network->nodes[i].input_count; j++)
            if (network->nodes[i].inputs[j] == index)
                return i;
    return -1;
}
