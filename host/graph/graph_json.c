/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph_json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"

#define INTS(name_, count_, field_, low_, required_)                                                         \
    {                                                                                                        \
        .name = (name_), .kind = DF_ATTRIBUTE_INTS, .count = (count_),                                       \
        .offset = offsetof(struct df_node, field_), .low = (low_), .high = 65535, .required = (required_)    \
    }
#define REAL(name_, field_, low_, high_)                                                                     \
    {                                                                                                        \
        .name = (name_), .kind = DF_ATTRIBUTE_REAL, .count = 1, .offset = offsetof(struct df_node, field_),  \
        .low = (low_), .high = (high_)                                                                       \
    }
/* Whatever a float can hold. */
#define ANY_REAL(name_, field_) REAL(name_, field_, -FLT_MAX, FLT_MAX *(1.0 + DBL_EPSILON))
/* clang-format off */
#define END {.name = NULL}
/* clang-format on */

static const struct df_attribute none[] = {END};
static const struct df_attribute conv[] = {
    INTS("dilations", 2, window.dilation, 1, false),
    INTS("group", 1, group, 1, false),
    INTS("pads", 4, window.pad, 0, false),
    INTS("strides", 2, window.stride, 1, false),
    END,
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
    END,
};
static const struct df_attribute max_pool[] = {
    {.name = "ceil_mode", .count = 1, .offset = offsetof(struct df_node, ceil_mode), .high = 1},
    {.name = "count_include_pad",
     .count = 1,
     .offset = offsetof(struct df_node, count_include_pad),
     .high = 1},
    {.name = "dilations",
     .count = 2,
     .offset = offsetof(struct df_node, window.dilation),
     .low = 1,
     .high = 65535,
     .ones = true},
    INTS("kernel_shape", 2, window.kernel, 1, true),
    INTS("pads", 4, window.pad, 0, false),
    INTS("strides", 2, window.stride, 1, false),
    END,
};
static const struct df_attribute pad[] = {
    INTS("pads", 4, window.pad, -65535, true),
    ANY_REAL("value", value),
    END,
};
static const struct df_attribute leaky_relu[] = {ANY_REAL("alpha", alpha), END};
static const struct df_attribute hard_sigmoid[] = {ANY_REAL("alpha", alpha), ANY_REAL("beta", beta), END};
static const struct df_attribute clip[] = {ANY_REAL("max", max), ANY_REAL("min", min), END};
static const struct df_attribute reshape[] = {INTS("shape", 3, shape, 1, true), END};
static const struct df_attribute batch_norm[] = {REAL("epsilon", epsilon, 0.0, 1e3), END};
static const struct df_attribute dropout[] = {REAL("ratio", ratio, 0.0, 1.0), END};
static const struct df_attribute concat[] = {INTS("axis", 1, axis, 1, false), END};

static const struct df_node_op_info infos[DF_NODE_OP_COUNT] = {
#define X(name, onnx, least, most, list) [DF_NODE_##name] = {onnx, least, most, list},
    DF_NODE_OP_LIST(X)
#undef X
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
    char text[DF_NUMBER_TEXT];
    put(to, df_print_shortest(text, value, 1));
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

static bool all_ones(const int32_t *values, int32_t count)
{
    int32_t i = 0;
    while (i < count && values[i] == 1)
        i++;
    return i == count;
}

static void put_node(const struct writer *to, const struct df_network *network, const struct df_node *node)
{
    const struct df_node_op_info *info = &infos[node->op];
    put(to, "{\"attributes\":{");
    bool more = false;
    for (const struct df_attribute *attribute = info->attributes; attribute->name; attribute++) {
        const void *value = (const char *)node + attribute->offset;
        if (attribute->kind == DF_ATTRIBUTE_REAL && isinf(*(const double *)value))
            continue;
        if (attribute->ones && all_ones(value, attribute->count))
            continue;
        put(to, more ? "," : "");
        more = true;
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
