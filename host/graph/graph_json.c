/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define INTS(name_, count_, field_, low_, required_)                                                         \
    {                                                                                                        \
        .name = (name_), .kind = DF_ATTRIBUTE_INTS, .count = (count_),                                       \
        .offset = offsetof(struct df_node, field_), .low = (low_), .high = 65535, .required = (required_)    \
    }
#define REAL(name_, field_, high_)                                                                           \
    {                                                                                                        \
        .name = (name_), .kind = DF_ATTRIBUTE_REAL, .count = 1, .offset = offsetof(struct df_node, field_),  \
        .low = 0.0, .high = (high_)                                                                          \
    }

static const struct df_attribute conv[] = {
    INTS("dilations", 2, window.dilation, 1, false),
    INTS("group", 1, group, 1, false),
    INTS("pads", 4, window.pad, 0, false),
    INTS("strides", 2, window.stride, 1, false),
};
static const struct df_attribute pool[] = {
    {.name = "ceil_mode", .count = 1, .offset = offsetof(struct df_node, ceil_mode), .high = 1},
    {.name = "count_include_pad",
     .count = 1,
     .offset = offsetof(struct df_node, count_include_pad),
     .high = 1},
    INTS("kernel_shape", 2, window.kernel, 1, true),
    INTS("pads", 4, window.pad, 0, false),
    INTS("strides", 2, window.stride, 1, false),
};
static const struct df_attribute batch_norm[] = {REAL("epsilon", epsilon, 1e3)};
static const struct df_attribute dropout[] = {REAL("ratio", ratio, 1.0)};
static const struct df_attribute concat[] = {INTS("axis", 1, axis, 1, false)};

#define ATTRIBUTES(list) (list), (int32_t)(sizeof(list) / sizeof *(list))

static const struct df_node_op_info infos[DF_NODE_OP_COUNT] = {
    [DF_NODE_CONV] = {"Conv", 1, 1, ATTRIBUTES(conv)},
    [DF_NODE_GEMM] = {"Gemm", 1, 1, NULL, 0},
    [DF_NODE_RELU] = {"Relu", 1, 1, NULL, 0},
    [DF_NODE_MAX_POOL] = {"MaxPool", 1, 1, ATTRIBUTES(pool)},
    [DF_NODE_AVERAGE_POOL] = {"AveragePool", 1, 1, ATTRIBUTES(pool)},
    [DF_NODE_GLOBAL_AVERAGE_POOL] = {"GlobalAveragePool", 1, 1, NULL, 0},
    [DF_NODE_BATCH_NORM] = {"BatchNormalization", 1, 1, ATTRIBUTES(batch_norm)},
    [DF_NODE_DROPOUT] = {"Dropout", 1, 1, ATTRIBUTES(dropout)},
    [DF_NODE_ADD] = {"Add", 2, 2, NULL, 0},
    [DF_NODE_CONCAT] = {"Concat", 1, DF_MAX_NODE_INPUTS, ATTRIBUTES(concat)},
    [DF_NODE_FLATTEN] = {"Flatten", 1, 1, NULL, 0},
};

const struct df_node_op_info *df_node_op_info(enum df_node_op op)
{
    return &infos[op];
}

/* ---- Writing ------------------------------------------------------------------------------- */

struct writer {
    df_graph_sink *put;
    void *user;
};

static void put(const struct writer *to, const char *text)
{
    to->put(to->user, text, strlen(text));
}

/* A JSON string as Python's json.dumps(..., ensure_ascii=False) writes it. */
static void put_string(const struct writer *to, const char *text)
{
    put(to, "\"");
    for (const char *c = text; *c; c++) {
        char escape[8];
        unsigned char byte = (unsigned char)*c;
        if (byte == '"' || byte == '\\')
            snprintf(escape, sizeof escape, "\\%c", byte);
        else if (byte < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", byte);
        else
            snprintf(escape, sizeof escape, "%c", byte);
        put(to, escape);
    }
    put(to, "\"");
}

/* The fewest digits that give the same double again, marked as a real: 0.25, 1e-05, 0.0. */
static void put_real(const struct writer *to, double value)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    put(to, text);
    if (!strpbrk(text, ".e"))
        put(to, ".0");
}

static void put_ints(const struct writer *to, const int32_t *values, int32_t count)
{
    char text[16];
    if (count > 1)
        put(to, "[");
    for (int32_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, i ? ",%d" : "%d", values[i]);
        put(to, text);
    }
    if (count > 1)
        put(to, "]");
}

static void put_node(const struct writer *to, const struct df_network *network, const struct df_node *node)
{
    const struct df_node_op_info *info = &infos[node->op];
    put(to, "{\"attributes\":{");
    for (int32_t i = 0; i < info->attribute_count; i++) {
        const struct df_attribute *attribute = &info->attributes[i];
        const void *value = (const char *)node + attribute->offset;
        put(to, i ? "," : "");
        put_string(to, attribute->name);
        put(to, ":");
        if (attribute->kind == DF_ATTRIBUTE_REAL)
            put_real(to, *(const double *)value);
        else
            put_ints(to, value, attribute->count);
    }
    put(to, "},\"inputs\":[");
    for (int32_t i = 0; i < node->input_count; i++) {
        put(to, i ? "," : "");
        put_string(to, node->inputs[i] == DF_INPUT ? "input" : network->nodes[node->inputs[i]].name);
    }
    put(to, "],\"name\":");
    put_string(to, node->name);
    put(to, ",\"op\":");
    put_string(to, info->name);
    put(to, "}");
}

void df_graph_write(const struct df_network *network, df_graph_sink *sink, void *user)
{
    struct writer to = {sink, user};
    put(&to, "{\"nodes\":[");
    for (int32_t i = 0; i < network->node_count; i++) {
        put(&to, i ? "," : "");
        put_node(&to, network, &network->nodes[i]);
    }
    put(&to, "],\"output\":");
    put_string(&to, network->nodes[network->output].name);
    put(&to, "}");
}

struct text {
    char *at; /* NULL: only count */
    size_t size;
};

static void put_text(void *user, const char *text, size_t size)
{
    struct text *to = user;
    if (to->at)
        memcpy(to->at + to->size, text, size);
    to->size += size;
}

dfal_status df_graph_to_json(char **json, const struct df_network *network)
{
    *json = NULL;
    struct text text = {NULL, 0};
    df_graph_write(network, put_text, &text);
    DF_TRY(df_alloc(&text.at, (int64_t)text.size + 1, 1));
    text.size = 0;
    df_graph_write(network, put_text, &text);
    *json = text.at;
    return DFAL_OK;
}
