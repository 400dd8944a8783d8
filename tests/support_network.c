/* SPDX-License-Identifier: Apache-2.0 */
#include "support_network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/node_type.h"
#include "models/models.h"
#include "support.h"

void test_randomise(struct df_network *network, uint64_t seed)
{
    for (int32_t i = 0; i < network->node_count; i++)
        for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
            struct df_parameter *p = &network->nodes[i].parameter[k];
            bool norm = network->nodes[i].op == DF_NODE_BATCH_NORM;
            double reach = 1.0;
            if (!p->data)
                continue;
            /* Keep activations of order one: divide by the root of the fan-in. */
            if (!norm && k == DF_WEIGHT)
                for (reach = 1.0; reach * reach * 4.0 < (double)p->count / (double)p->dims[0]; reach += 0.5)
                    ;
            bool positive = norm && (k == DF_VARIANCE || k == DF_WEIGHT);
            test_fill_floats(p->data, p->count, seed + (uint64_t)(i * DF_PARAMETER_KINDS + k),
                             positive ? 0.5 : -1.0 / reach, positive ? 1.5 : 1.0 / reach);
        }
}

struct df_network *test_model(const char *name, struct df_shape input, int32_t classes)
{
    struct df_network *network;
    test_ok(df_model_create(&network, name, input, classes));
    test_ok(df_network_initialise(network, 7));
    for (int32_t i = 0; i < network->node_count; i++) {
        struct df_parameter *bias = &network->nodes[i].parameter[DF_BIAS];
        if (bias->data)
            test_fill_floats(bias->data, bias->count, (uint64_t)i, -0.1, 0.1);
    }
    return network;
}

static int32_t add(struct df_network *network, const char *name, enum df_node_op op, int32_t a, int32_t b)
{
    int32_t index, inputs[2] = {a, b};
    bool two = op == DF_NODE_ADD || op == DF_NODE_CONCAT;
    test_ok(df_network_add(network, &index, name, op, inputs, two ? 2 : 1));
    return index;
}

static int32_t add_conv(struct df_network *network, const char *name, int32_t input, int64_t out,
                        int32_t kernel, int32_t stride, int32_t pad)
{
    int32_t index = add(network, name, DF_NODE_CONV, input, 0);
    struct df_node *node = &network->nodes[index];
    node->parameter[DF_WEIGHT].dims[0] = out;
    node->window = (struct df_window){{kernel, kernel}, {stride, stride}, {pad, pad, pad, pad}, {1, 1}};
    return index;
}

static int32_t add_pool(struct df_network *network, const char *name, enum df_node_op op, int32_t input,
                        int32_t kernel, int32_t stride, int32_t pad)
{
    int32_t index = add(network, name, op, input, 0);
    network->nodes[index].window =
        (struct df_window){{kernel, kernel}, {stride, stride}, {pad, pad, pad, pad}, {1, 1}};
    return index;
}

static int32_t add_gemm(struct df_network *network, const char *name, int32_t input, int64_t out)
{
    int32_t index = add(network, name, DF_NODE_GEMM, input, 0);
    network->nodes[index].parameter[DF_WEIGHT].dims[0] = out;
    return index;
}

struct df_network *test_residual(void)
{
    struct df_network *n;
    test_ok(df_network_create(&n, (struct df_shape){2, 9, 10}, 3));
    int32_t stem = add_conv(n, "stem", DF_INPUT, 4, 3, 1, 1);
    int32_t bn1 = add(n, "bn1", DF_NODE_BATCH_NORM, stem, 0);
    int32_t relu1 = add(n, "relu1", DF_NODE_RELU, bn1, 0);
    /* Block 1: identity shortcut. */
    int32_t c2 = add_conv(n, "conv2", relu1, 4, 3, 1, 1);
    int32_t bn2 = add(n, "bn2", DF_NODE_BATCH_NORM, c2, 0);
    int32_t sum1 = add(n, "add1", DF_NODE_ADD, bn2, relu1);
    int32_t relu2 = add(n, "relu2", DF_NODE_RELU, sum1, 0);
    /* Block 2: projection shortcut; a grouped convolution, asymmetric pads and a dilation on the branch. */
    int32_t c3 = add_conv(n, "conv3", relu2, 6, 3, 2, 1);
    n->nodes[c3].group = 2;
    int32_t c4 = add_conv(n, "conv4", c3, 6, 2, 1, 0);
    n->nodes[c4].window = (struct df_window){{2, 2}, {1, 1}, {0, 1, 2, 1}, {2, 2}};
    int32_t project = add_conv(n, "project", relu2, 6, 1, 2, 0);
    int32_t sum2 = add(n, "add2", DF_NODE_ADD, project, c4);
    int32_t relu3 = add(n, "relu3", DF_NODE_RELU, sum2, 0);
    int32_t average = add_pool(n, "average", DF_NODE_AVERAGE_POOL, relu3, 3, 2, 1);
    n->nodes[average].count_include_pad = 1;
    int32_t most = add_pool(n, "most", DF_NODE_MAX_POOL, relu3, 3, 2, 1);
    int32_t joined = add(n, "joined", DF_NODE_CONCAT, average, most);
    int32_t bn3 = add(n, "bn3", DF_NODE_BATCH_NORM, joined, 0);
    int32_t pool = add(n, "pool", DF_NODE_GLOBAL_AVERAGE_POOL, bn3, 0);
    int32_t flatten = add(n, "flatten", DF_NODE_FLATTEN, pool, 0);
    add_gemm(n, "head", flatten, 3);
    test_ok(df_network_infer(n));
    test_randomise(n, 11);
    return n;
}

struct df_network *test_chain(void)
{
    struct df_network *n;
    test_ok(df_network_create(&n, (struct df_shape){2, 8, 8}, 4));
    int32_t at = add_conv(n, "conv1", DF_INPUT, 4, 3, 1, 1);
    at = add(n, "relu1", DF_NODE_RELU, at, 0);
    at = add_pool(n, "pool1", DF_NODE_MAX_POOL, at, 2, 2, 0);
    at = add(n, "drop1", DF_NODE_DROPOUT, at, 0);
    n->nodes[at].ratio = 0.25;
    at = add_conv(n, "conv2", at, 5, 3, 1, 1);
    at = add(n, "relu2", DF_NODE_RELU, at, 0);
    at = add_conv(n, "conv3", at, 6, 3, 1, 1);
    at = add(n, "relu3", DF_NODE_RELU, at, 0);
    at = add_pool(n, "pool2", DF_NODE_MAX_POOL, at, 2, 2, 0);
    at = add(n, "flatten", DF_NODE_FLATTEN, at, 0);
    at = add_gemm(n, "fc1", at, 16);
    at = add(n, "relu4", DF_NODE_RELU, at, 0);
    at = add(n, "drop2", DF_NODE_DROPOUT, at, 0);
    add_gemm(n, "fc2", at, 4);
    test_ok(df_network_infer(n));
    test_randomise(n, 5);
    return n;
}

/* ---- Networks in short ---------------------------------------------------------------------- */

static void set_ints(int32_t *to, int count, const char *values)
{
    char *end = NULL;
    for (int i = 0; i < count; i++) {
        to[i] = (int32_t)strtol(values, &end, 10);
        if (*end == ',') /* else the last one is repeated */
            values = end + 1;
    }
}

static void set_key(struct df_node *node, const char *key, const char *value)
{
    const struct {
        const char *key;
        int32_t *to;
        int count;
    } ints[] = {{"k", node->window.kernel, 2}, {"s", node->window.stride, 2},
                {"p", node->window.pad, 4},    {"d", node->window.dilation, 2},
                {"g", &node->group, 1},        {"inside", &node->count_include_pad, 1},
                {"pads", node->window.pad, 4}, {"shape", node->shape, 3}};
    const struct {
        const char *key;
        double *to;
    } reals[] = {{"alpha", &node->alpha}, {"beta", &node->beta},   {"min", &node->min},
                 {"max", &node->max},     {"value", &node->value}, {"epsilon", &node->epsilon},
                 {"ratio", &node->ratio}};
    if (strcmp(key, "o") == 0) {
        node->parameter[DF_WEIGHT].dims[0] = strtol(value, NULL, 10);
        return;
    }
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        if (strcmp(key, ints[i].key) == 0) {
            set_ints(ints[i].to, ints[i].count, value);
            return;
        }
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        if (strcmp(key, reals[i].key) == 0) {
            *reals[i].to = strtod(value, NULL);
            return;
        }
    test_fail("a network in short has the key '%s'", key);
}

static enum df_node_op op_named(const char *name)
{
    for (int op = 0; op < DF_NODE_OP_COUNT; op++)
        if (strcmp(df_node_type((enum df_node_op)op)->name, name) == 0)
            return (enum df_node_op)op;
    test_fail("a network in short has the op '%s'", name);
}

static void add_short(struct df_network *network, char *text)
{
    char *at = NULL, *input_at = NULL;
    const char *name = strtok_r(text, " ", &at), *op = strtok_r(NULL, " ", &at);
    char *list = strtok_r(NULL, " ", &at);
    int32_t inputs[16], count = 0, index;
    for (char *input = strtok_r(list, ",", &input_at); input; input = strtok_r(NULL, ",", &input_at)) {
        inputs[count] = df_network_find(network, input);
        if (inputs[count++] < DF_INPUT || count == 16)
            test_fail("a network in short has the input '%s'", input);
    }
    test_ok(df_network_add(network, &index, name, op_named(op), inputs, count));
    for (char *pair = strtok_r(NULL, " ", &at); pair; pair = strtok_r(NULL, " ", &at)) {
        char *value = strchr(pair, '=');
        if (!value)
            test_fail("a network in short has '%s', expected KEY=VALUE", pair);
        *value = '\0';
        set_key(&network->nodes[index], pair, value + 1);
    }
}

struct df_network *test_graph(struct df_shape input, int32_t classes, const char *text)
{
    struct df_network *network;
    char copy[4000], *at = NULL;
    test_ok(df_network_create(&network, input, classes));
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        test_fail("a network in short is longer than %d", (int)sizeof copy);
    for (char *node = strtok_r(copy, ";", &at); node; node = strtok_r(NULL, ";", &at))
        add_short(network, node);
    test_ok(df_network_infer(network));
    test_randomise(network, 11);
    return network;
}
