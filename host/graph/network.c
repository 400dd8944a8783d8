/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/network.h"

#include <string.h>

#include "base/memory.h"
#include "base/word.h"

dfal_status df_network_create(struct df_network **out, struct df_shape input, int32_t class_count)
{
    *out = NULL;
    int64_t size;
    if (input.c < 1 || input.h < 1 || input.w < 1)
        DF_FAIL(DFAL_E_SHAPE, "A network's input is %lldx%lldx%lld, expected at least one in each direction",
                (long long)input.c, (long long)input.h, (long long)input.w);
    DF_TRY(df_checked_product(&size, (int64_t[]){input.c, input.h, input.w}, 3));
    if (size > DF_MAX_VALUES)
        DF_FAIL(DFAL_E_SHAPE, "A network's input has %lld values, expected at most %lld", (long long)size,
                (long long)DF_MAX_VALUES);
    if (class_count < 1)
        DF_FAIL(DFAL_E_DATA, "A network has %d classes, expected at least one", class_count);
    struct df_network *network;
    DF_TRY(df_alloc(&network, 1, sizeof *network));
    network->input = input;
    network->class_count = class_count;
    network->affine_count = 1;
    network->output = -1;
    dfal_status status = df_alloc(&network->scale, 1, sizeof *network->scale);
    if (status == DFAL_OK)
        status = df_alloc(&network->offset, 1, sizeof *network->offset);
    if (status != DFAL_OK) {
        df_network_destroy(network);
        return status;
    }
    network->scale[0] = 1.0;
    *out = network;
    return DFAL_OK;
}

void df_node_clear(struct df_node *node)
{
    df_free(node->name);
    df_free(node->inputs);
    for (int k = 0; k < DF_PARAMETER_KINDS; k++)
        df_free(node->parameter[k].data);
}

static void forget_classes(struct df_network *network)
{
    df_strings_free(network->classes, network->class_count);
    df_free(network->to_pool);
    df_free(network->from_pool);
    network->classes = NULL;
    network->to_pool = network->from_pool = NULL;
}

void df_network_destroy(struct df_network *network)
{
    if (!network)
        return;
    for (int32_t i = 0; i < network->node_count; i++)
        df_node_clear(&network->nodes[i]);
    for (int32_t i = 0; i < network->file_count; i++)
        df_free(network->files[i]);
    df_free(network->files);
    df_free(network->nodes);
    df_free(network->scale);
    df_free(network->offset);
    forget_classes(network);
    df_free(network);
}

dfal_status df_network_name_classes(struct df_network *network, char *const *names)
{
    char **copy = NULL;
    DF_TRY(df_strings_copy(&copy, names, network->class_count));
    forget_classes(network);
    network->classes = copy;
    return DFAL_OK;
}

int32_t df_network_to_pool(const struct df_network *network, int32_t class)
{
    return network->to_pool && class >= 0 ? network->to_pool[class] : class;
}

int32_t df_network_from_pool(const struct df_network *network, int32_t class)
{
    return network->from_pool && class >= 0 ? network->from_pool[class] : class;
}

static dfal_status copy_numbers(int32_t **out, const int32_t *numbers, int32_t count)
{
    if (!numbers)
        return DFAL_OK;
    DF_TRY(df_alloc(out, count, sizeof **out));
    memcpy(*out, numbers, (size_t)count * sizeof **out);
    return DFAL_OK;
}

static dfal_status node_copy(struct df_node *to, const struct df_node *from)
{
    *to = *from;
    to->name = NULL;
    to->inputs = NULL;
    for (int k = 0; k < DF_PARAMETER_KINDS; k++)
        to->parameter[k].data = NULL;
    DF_TRY(df_strdup(&to->name, from->name));
    DF_TRY(df_alloc(&to->inputs, from->input_count, sizeof *to->inputs));
    memcpy(to->inputs, from->inputs, (size_t)from->input_count * sizeof *to->inputs);
    for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
        const struct df_parameter *p = &from->parameter[k];
        if (!p->data)
            continue;
        DF_TRY(df_alloc(&to->parameter[k].data, p->count, sizeof(float)));
        memcpy(to->parameter[k].data, p->data, (size_t)p->count * sizeof(float));
    }
    return DFAL_OK;
}

dfal_status df_network_copy(struct df_network **out, const struct df_network *network)
{
    *out = NULL;
    struct df_network *copy;
    DF_TRY(df_network_create(&copy, network->input, network->class_count));
    dfal_status status;
    df_free(copy->scale);
    df_free(copy->offset);
    copy->scale = copy->offset = NULL;
    copy->affine_count = network->affine_count;
    DF_TRY_TO(done, status, df_alloc(&copy->scale, network->affine_count, sizeof *copy->scale));
    DF_TRY_TO(done, status, df_alloc(&copy->offset, network->affine_count, sizeof *copy->offset));
    memcpy(copy->scale, network->scale, (size_t)network->affine_count * sizeof *copy->scale);
    memcpy(copy->offset, network->offset, (size_t)network->affine_count * sizeof *copy->offset);
    DF_TRY_TO(done, status, df_network_name_classes(copy, network->classes));
    DF_TRY_TO(done, status, copy_numbers(&copy->to_pool, network->to_pool, network->class_count));
    DF_TRY_TO(done, status, copy_numbers(&copy->from_pool, network->from_pool, network->class_count));
    DF_TRY_TO(done, status, df_alloc(&copy->nodes, network->node_count, sizeof *copy->nodes));
    copy->node_capacity = network->node_count;
    copy->output = network->output;
    for (int32_t i = 0; i < network->node_count; i++) {
        copy->node_count = i + 1;
        DF_TRY_TO(done, status, node_copy(&copy->nodes[i], &network->nodes[i]));
    }
    *out = copy;
    return DFAL_OK;
done:
    df_network_destroy(copy);
    return status;
}

int32_t df_network_find(const struct df_network *network, const char *name)
{
    if (strcmp(name, "input") == 0)
        return DF_INPUT;
    for (int32_t i = 0; i < network->node_count; i++)
        if (strcmp(network->nodes[i].name, name) == 0)
            return i;
    return -2;
}

dfal_status df_network_find_node(int32_t *index, const struct df_network *network, const char *name)
{
    const char **names;
    *index = df_network_find(network, name);
    if (*index >= DF_INPUT)
        return DFAL_OK;
    DF_TRY(df_alloc(&names, network->node_count, sizeof *names));
    for (int32_t i = 0; i < network->node_count; i++)
        names[i] = network->nodes[i].name;
    (void)df_fail_unknown(DFAL_E_USAGE, "node", name, NULL, names, (size_t)network->node_count);
    df_free(names);
    return DFAL_E_USAGE;
}

bool df_network_has(const struct df_network *network, enum df_node_op op)
{
    for (int32_t i = 0; i < network->node_count; i++)
        if (network->nodes[i].op == op)
            return true;
    return false;
}

bool df_node_is_fixed(const struct df_node *node)
{
    return node->op == DF_NODE_BATCH_NORM && node->epsilon == 0.0;
}

bool df_node_learns(const struct df_node *node)
{
    return node->parameter[DF_WEIGHT].data && !df_node_is_fixed(node);
}

const char *df_parameter_name(enum df_parameter_kind kind)
{
    static const char *const names[DF_PARAMETER_KINDS] = {"weight", "bias", "mean", "variance"};
    return names[kind];
}

dfal_status df_network_cut(struct df_network **out, const struct df_network *network, int32_t node)
{
    struct df_network *cut;
    *out = NULL;
    DF_TRY(df_network_copy(&cut, network));
    while (cut->node_count > node + 1)
        df_node_clear(&cut->nodes[--cut->node_count]);
    forget_classes(cut);
    cut->output = node;
    cut->class_count = (int32_t)df_shape_size(cut->nodes[node].out);
    *out = cut;
    return DFAL_OK;
}
