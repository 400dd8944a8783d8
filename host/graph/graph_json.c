/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "graph/node_type.h"

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
    const struct df_node_type *type = df_node_type(node->op);
    put(to, "{\"attributes\":{");
    bool more = false;
    for (const struct df_attribute *attribute = type->attributes; attribute->name; attribute++) {
        const void *value = (const char *)node + attribute->offset;
        if (attribute->number.kind == DF_NUMBER_REAL && isinf(*(const double *)value))
            continue;
        if (attribute->ones && all_ones(value, attribute->count))
            continue;
        put(to, more ? "," : "");
        more = true;
        put_string(to, attribute->name);
        put(to, ":");
        if (attribute->number.kind == DF_NUMBER_REAL)
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
    put_string(to, type->name);
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
