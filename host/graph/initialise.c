/* SPDX-License-Identifier: Apache-2.0 */
/* Initial parameters (Glorot, Bengio 2010, eq. 16; the fans as Keras counts them). */
#include <math.h>

#include "base/rng.h"
#include "graph/node_type.h"

/* Largest absolute weight: sqrt(6 / (fan_in + fan_out)); a convolution's fans count its kernel's
 * positions. */
static double glorot_limit(const struct df_parameter *weight)
{
    double field = 1.0;
    for (int32_t d = 2; d < weight->rank; d++)
        field *= (double)weight->dims[d];
    return sqrt(6.0 / (field * (double)weight->dims[1] + field * (double)weight->dims[0]));
}

dfal_status df_network_initialise(struct df_network *network, uint64_t seed)
{
    DF_TRY(df_network_infer(network));
    uint64_t index = 0;
    for (int32_t i = 0; i < network->node_count; i++) {
        struct df_node *node = &network->nodes[i];
        const struct df_node_parameters *own = df_node_type(node->op)->parameters;
        bool fixed = df_node_is_fixed(node);
        double limit = own->linear ? glorot_limit(&node->parameter[DF_WEIGHT]) : 0.0;
        for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
            struct df_parameter *p = &node->parameter[k];
            bool drawn = own->linear && k == DF_WEIGHT;
            /* Every element has its index, drawn or not: a layer's numbers depend on nothing but its
             * place. */
            for (int64_t j = 0; p->data && j < p->count; j++, index++)
                if (!fixed)
                    p->data[j] =
                        drawn
                            ? (float)(limit * (2.0 * df_random_uniform(seed, DF_STREAM_WEIGHTS, index) - 1.0))
                            : own->initial[k];
        }
    }
    return DFAL_OK;
}
