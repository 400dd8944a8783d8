/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a network is one that a strategy can ask: known before any work, and said in one sentence. */
#include "strategy/strategy.h"

#include <string.h>

#include "base/memory.h"
#include "graph/network.h"

static dfal_status check_dropout(const struct df_strategy *strategy, const struct df_network *network)
{
    for (int32_t i = 0; i < network->node_count; i++)
        if (network->nodes[i].op == DF_NODE_DROPOUT && network->nodes[i].ratio > 0)
            return DFAL_OK;
    DF_FAIL(DFAL_E_DATA,
            "strategy %s draws dropout, and the network has none: every pass would be the same, expected a "
            "network with a Dropout of a ratio above 0",
            strategy->name);
}

static dfal_status check_features(const struct df_strategy *strategy, const struct df_network *network,
                                  const char *node)
{
    int32_t index;
    if (node[0]) {
        const dfal_status status = df_network_find_node(&index, network, node);
        return status == DFAL_OK ? status : df_fail_prefix(status, "strategy %s: ", strategy->name);
    }
    if (df_network_has(network, DF_NODE_GEMM))
        return DFAL_OK;
    DF_FAIL(DFAL_E_DATA,
            "strategy %s takes the input of the last Gemm for the features, and the network has no Gemm",
            strategy->name);
}

static dfal_status check_last_layer(const struct df_strategy *strategy, const struct df_network *network)
{
    const int32_t index = df_network_last_layer(network);
    if (index != DF_INPUT && network->nodes[index].op == DF_NODE_GEMM)
        return DFAL_OK;
    DF_FAIL(DFAL_E_DATA,
            "strategy %s needs a network whose last layer is a Gemm, and this one ends in %s '%s'",
            strategy->name, index == DF_INPUT ? "its" : "node",
            index == DF_INPUT ? "input" : network->nodes[index].name);
}

static dfal_status choose_all(const struct df_network *network, uint8_t *chosen)
{
    bool any = false;
    for (int32_t i = 0; i < network->node_count; i++) {
        chosen[i] = df_node_learns(&network->nodes[i]);
        any |= chosen[i] != 0;
    }
    if (!any)
        DF_FAIL(DFAL_E_DATA, "the network has no parameters that are trained, and so no gradients by them");
    return DFAL_OK;
}

static dfal_status choose_one(const struct df_network *network, const char *name, uint8_t *chosen)
{
    int32_t index;
    DF_TRY(df_network_find_node(&index, network, name));
    if (index == DF_INPUT || !df_node_learns(&network->nodes[index]))
        DF_FAIL(
            DFAL_E_USAGE,
            "node '%s' has no parameters that are trained, expected one that has, such as a Conv or a Gemm",
            name);
    chosen[index] = 1;
    return DFAL_OK;
}

dfal_status df_layers_choose(uint8_t **out, const struct df_network *network, const char *layers)
{
    uint8_t *chosen;
    char *names = NULL, *rest = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&chosen, network->node_count, 1));
    if (!layers[0])
        DF_TRY_TO(done, status, choose_all(network, chosen));
    else if (layers[strspn(layers, ",")] == '\0')
        DF_TRY_TO(done, status, df_fail(DFAL_E_USAGE, "layers '%s' names no node", layers));
    DF_TRY_TO(done, status, df_strdup(&names, layers));
    for (char *name = strtok_r(names, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        DF_TRY_TO(done, status, choose_one(network, name, chosen));
    *out = chosen;
    chosen = NULL;
done:
    df_free(names);
    df_free(chosen);
    return status;
}

static dfal_status check_layers(const struct df_strategy *strategy, const struct df_network *network,
                                const char *layers)
{
    uint8_t *chosen;
    const dfal_status status = df_layers_choose(&chosen, network, layers);
    df_free(chosen);
    return status == DFAL_OK ? status : df_fail_prefix(status, "strategy %s: ", strategy->name);
}

/* What was given for an option that not every strategy has. */
static const char *text_of(const struct df_strategy *strategy, const struct df_option_values *values,
                           const char *key)
{
    return df_option_find(strategy->options, key) ? df_option_text(values, strategy->options, key) : "";
}

dfal_status df_strategy_check_network(const struct df_strategy *strategy,
                                      const struct df_option_values *values, const struct df_network *network)
{
    const int asks = df_strategy_asks(strategy, values);
    if (asks & DF_ASKS_PASSES)
        DF_TRY(check_dropout(strategy, network));
    if (asks & DF_ASKS_FEATURES)
        DF_TRY(check_features(strategy, network, text_of(strategy, values, "node")));
    if (asks & DF_ASKS_GRADIENTS)
        DF_TRY(check_layers(strategy, network, text_of(strategy, values, "layers")));
    return asks & DF_ASKS_LAST_LAYER ? check_last_layer(strategy, network) : DFAL_OK;
}
