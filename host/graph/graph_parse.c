/* SPDX-License-Identifier: Apache-2.0 */
/* /graph from JSON: strict, and careful with files from strangers. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/word.h"
#include "graph/json_text.h"
#include "graph/node_type.h"

enum { MAX_DEPTH = 16, MAX_NAME = 200, MAX_BYTES = 16 << 20 };

struct named {
    const char *name;
    int32_t index; /* place in the file */
};

struct parser {
    const char *source;
    json_t *nodes;
    int32_t count;
    struct named *names; /* [count] sorted */
    enum df_node_op *ops;
    int32_t **inputs; /* [count][input_count]: places in the file */
    int32_t *order;   /* [count] places in topological order */
    int32_t *placed;  /* [count] place in the file -> node index, -1: not yet */
};

static int compare_named(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* jansson recurses once a level: look at the depth before it does. */
static dfal_status check_depth(const char *json, size_t size, const char *source)
{
    int depth = 0;
    bool text = false;
    for (size_t i = 0; i < size; i++) {
        if (text) {
            if (json[i] == '\\')
                i++;
            else if (json[i] == '"')
                text = false;
        } else if (json[i] == '"') {
            text = true;
        } else if (json[i] == '[' || json[i] == '{') {
            if (++depth > MAX_DEPTH)
                DF_FAIL(DFAL_E_DATA, "%s: the graph is nested deeper than %d levels", source, MAX_DEPTH);
        } else if (json[i] == ']' || json[i] == '}') {
            depth--;
        }
    }
    return DFAL_OK;
}

/* Every key of an object is one of these. what says whose keys they are: "the graph", "node 'conv1'". */
static dfal_status check_keys(const struct parser *parser, json_t *object, const char *what,
                              const char *const *keys, size_t count)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < count; i++)
            known = known || strcmp(key, keys[i]) == 0;
        if (known)
            continue;
        (void)df_fail_unknown(DFAL_E_DATA, "key", key, NULL, keys, count);
        return df_fail_prefix(DFAL_E_DATA, "%s: %s: ", parser->source, what);
    }
    return DFAL_OK;
}

static dfal_status check_name(const struct parser *parser, json_t *value, int32_t place, const char **name)
{
    if (!json_is_string(value))
        DF_FAIL(DFAL_E_DATA, "%s: node %d of the graph has no name, expected a string 'name'", parser->source,
                place);
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    bool fits = length > 0 && length <= MAX_NAME && strlen(text) == length && strcmp(text, "input") != 0 &&
                strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
    for (size_t i = 0; fits && i < length; i++)
        fits = (unsigned char)text[i] >= 0x20 && text[i] != '/' && text[i] != 0x7f;
    if (!fits)
        DF_FAIL(DFAL_E_DATA,
                "%s: node %d of the graph is named '%.60s', expected 1 to %d characters without '/' and "
                "not 'input'",
                parser->source, place, text, MAX_NAME);
    *name = text;
    return DFAL_OK;
}

static int32_t find(const struct parser *parser, const char *name)
{
    struct named key = {name, 0};
    struct named *hit = bsearch(&key, parser->names, (size_t)parser->count, sizeof key, compare_named);
    return hit ? hit->index : -1;
}

static dfal_status read_names(struct parser *parser)
{
    for (int32_t i = 0; i < parser->count; i++) {
        json_t *node = json_array_get(parser->nodes, (size_t)i);
        if (!json_is_object(node))
            DF_FAIL(DFAL_E_DATA, "%s: node %d of the graph is not an object", parser->source, i);
        parser->names[i].index = i;
        DF_TRY(check_name(parser, json_object_get(node, "name"), i, &parser->names[i].name));
    }
    qsort(parser->names, (size_t)parser->count, sizeof *parser->names, compare_named);
    for (int32_t i = 1; i < parser->count; i++)
        if (strcmp(parser->names[i - 1].name, parser->names[i].name) == 0)
            DF_FAIL(DFAL_E_DATA, "%s: the graph has two nodes named '%s'", parser->source,
                    parser->names[i].name);
    return DFAL_OK;
}

static dfal_status read_op(struct parser *parser, json_t *node, const char *name, int32_t place)
{
    const char *names[DF_NODE_OP_COUNT];
    json_t *value = json_object_get(node, "op");
    if (!json_is_string(value))
        DF_FAIL(DFAL_E_DATA, "%s: node '%s' has no op, expected a string such as 'Conv'", parser->source,
                name);
    if (df_node_op_find(&parser->ops[place], json_string_value(value)))
        return DFAL_OK;
    for (int op = 0; op < DF_NODE_OP_COUNT; op++)
        names[op] = df_node_type((enum df_node_op)op)->name;
    (void)df_fail_unknown(DFAL_E_DATA, "op", json_string_value(value), NULL, names, DF_NODE_OP_COUNT);
    return df_fail_prefix(DFAL_E_DATA, "%s: node '%s': ", parser->source, name);
}

static dfal_status read_inputs(struct parser *parser, json_t *node, const char *name, int32_t place)
{
    json_t *inputs = json_object_get(node, "inputs");
    const struct df_node_type *type = df_node_type(parser->ops[place]);
    size_t count = json_array_size(inputs);
    if (!json_is_array(inputs) || count < (size_t)type->min_inputs || count > (size_t)type->max_inputs)
        DF_FAIL(DFAL_E_DATA, "%s: node '%s' (%s) has %zu inputs, expected a list of %s%d", parser->source,
                name, type->name, count, type->min_inputs == type->max_inputs ? "" : "at least ",
                type->min_inputs);
    DF_TRY(df_alloc(&parser->inputs[place], (int64_t)count, sizeof(int32_t)));
    for (size_t i = 0; i < count; i++) {
        const char *input = json_string_value(json_array_get(inputs, i));
        if (!input)
            DF_FAIL(DFAL_E_DATA, "%s: input %zu of node '%s' is not a string", parser->source, i, name);
        int32_t from = strcmp(input, "input") == 0 ? DF_INPUT : find(parser, input);
        if (from == -1 && strcmp(input, "input") != 0)
            DF_FAIL(DFAL_E_DATA, "%s: node '%s' has the input '%.60s', which no node of the graph is named",
                    parser->source, name, input);
        parser->inputs[place][i] = from;
    }
    return DFAL_OK;
}

static int32_t input_count(const struct parser *parser, int32_t place)
{
    return (int32_t)json_array_size(json_object_get(json_array_get(parser->nodes, (size_t)place), "inputs"));
}

static const char *name_at(const struct parser *parser, int32_t place)
{
    return json_string_value(json_object_get(json_array_get(parser->nodes, (size_t)place), "name"));
}

/* Depth first through the inputs in the file's order, so that a sorted file keeps its order. */
static dfal_status sort(struct parser *parser)
{
    enum { NEW, OPEN, DONE };
    int32_t *stack, *next, sorted = 0;
    uint8_t *seen = NULL;
    dfal_status status;
    stack = next = NULL;
    DF_TRY_TO(done, status, df_alloc(&stack, parser->count, sizeof *stack));
    DF_TRY_TO(done, status, df_alloc(&next, parser->count, sizeof *next));
    DF_TRY_TO(done, status, df_alloc(&seen, parser->count, 1));
    for (int32_t root = 0; root < parser->count; root++) {
        int32_t depth = 0;
        if (seen[root] == NEW) {
            stack[depth++] = root;
            seen[root] = OPEN;
        }
        while (depth > 0) {
            int32_t place = stack[depth - 1];
            if (next[place] == input_count(parser, place)) {
                seen[place] = DONE;
                parser->placed[place] = sorted;
                parser->order[sorted++] = place;
                depth--;
                continue;
            }
            int32_t from = parser->inputs[place][next[place]++];
            if (from == DF_INPUT || seen[from] == DONE)
                continue;
            if (seen[from] == OPEN) {
                status = df_fail(DFAL_E_DATA, "%s: node '%s' of the graph depends on itself", parser->source,
                                 name_at(parser, from));
                goto done;
            }
            seen[from] = OPEN;
            stack[depth++] = from;
        }
    }
    status = DFAL_OK;
done:
    df_free(stack);
    df_free(next);
    df_free(seen);
    return status;
}

static dfal_status read_ints(const struct parser *parser, struct df_node *node,
                             const struct df_attribute *attribute, json_t *value)
{
    int32_t *to = (int32_t *)((char *)node + attribute->offset);
    if (attribute->count > 1 && (!json_is_array(value) || json_array_size(value) != (size_t)attribute->count))
        DF_FAIL(DFAL_E_DATA, "%s: attribute '%s' of node '%s' is not a list of %d integers", parser->source,
                attribute->name, node->name, attribute->count);
    for (int32_t i = 0; i < attribute->count; i++) {
        json_t *item = attribute->count > 1 ? json_array_get(value, (size_t)i) : value;
        if (!json_is_integer(item))
            DF_FAIL(DFAL_E_DATA, "%s: attribute '%s' of node '%s' is not an integer", parser->source,
                    attribute->name, node->name);
        json_int_t number = json_integer_value(item);
        if (!df_number_holds(&attribute->number, (double)number))
            DF_FAIL(DFAL_E_DATA, "%s: attribute '%s' of node '%s' is %lld, expected %.0f to %.0f",
                    parser->source, attribute->name, node->name, (long long)number, attribute->number.low,
                    attribute->number.high);
        to[i] = (int32_t)number;
    }
    return DFAL_OK;
}

static dfal_status read_real(const struct parser *parser, struct df_node *node,
                             const struct df_attribute *attribute, json_t *value)
{
    double number = json_number_value(value);
    if (!json_is_number(value) || !df_number_holds(&attribute->number, number))
        DF_FAIL(DFAL_E_DATA, "%s: attribute '%s' of node '%s' is not a number of at least %g and below %g",
                parser->source, attribute->name, node->name, attribute->number.low, attribute->number.high);
    *df_attribute_real(node, attribute) = number;
    return DFAL_OK;
}

static dfal_status read_attributes(const struct parser *parser, struct df_node *node, json_t *attributes)
{
    const struct df_node_type *type = df_node_type(node->op);
    const char *keys[DF_MAX_ATTRIBUTES], *what = NULL;
    size_t count = 0;
    if (attributes && !json_is_object(attributes))
        DF_FAIL(DFAL_E_DATA, "%s: the attributes of node '%s' are not an object", parser->source, node->name);
    for (; type->attributes[count].name && count < DF_MAX_ATTRIBUTES; count++)
        keys[count] = type->attributes[count].name;
    char text[MAX_NAME + 64];
    snprintf(text, sizeof text, "node '%s' (%s)", node->name, type->name);
    what = text;
    if (attributes)
        DF_TRY(check_keys(parser, attributes, what, keys, count));
    for (const struct df_attribute *attribute = type->attributes; attribute->name; attribute++) {
        json_t *value = json_object_get(attributes, attribute->name);
        if (!value && attribute->required)
            DF_FAIL(DFAL_E_DATA, "%s: %s lacks the attribute '%s'", parser->source, what, attribute->name);
        if (value)
            DF_TRY(attribute->number.kind == DF_NUMBER_REAL ? read_real(parser, node, attribute, value)
                                                            : read_ints(parser, node, attribute, value));
    }
    return DFAL_OK;
}

static dfal_status build(const struct parser *parser, struct df_network *network)
{
    static const char *const keys[] = {"attributes", "inputs", "name", "op"};
    for (int32_t i = 0; i < parser->count; i++) {
        int32_t place = parser->order[i], inputs[DF_MAX_NODE_INPUTS], count = input_count(parser, place);
        json_t *object = json_array_get(parser->nodes, (size_t)place);
        const char *name = name_at(parser, place);
        char what[MAX_NAME + 32];
        snprintf(what, sizeof what, "node '%s'", name);
        DF_TRY(check_keys(parser, object, what, keys, 4));
        for (int32_t j = 0; j < count; j++) {
            int32_t from = parser->inputs[place][j];
            inputs[j] = from == DF_INPUT ? DF_INPUT : parser->placed[from];
        }
        DF_TRY(df_network_add(network, NULL, name, parser->ops[place], inputs, count));
        DF_TRY(read_attributes(parser, &network->nodes[i], json_object_get(object, "attributes")));
    }
    return DFAL_OK;
}

static dfal_status parse(struct parser *parser, json_t *root, struct df_network *network)
{
    static const char *const keys[] = {"nodes", "output"};
    if (!json_is_object(root))
        DF_FAIL(DFAL_E_DATA, "%s: the graph is not a JSON object", parser->source);
    DF_TRY(check_keys(parser, root, "the graph", keys, 2));
    parser->nodes = json_object_get(root, "nodes");
    size_t count = json_array_size(parser->nodes);
    if (!json_is_array(parser->nodes) || count < 1 || count > DF_MAX_NODES)
        DF_FAIL(DFAL_E_DATA, "%s: the graph has %zu nodes, expected a list 'nodes' of 1 to %d",
                parser->source, count, DF_MAX_NODES);
    parser->count = (int32_t)count;
    DF_TRY(df_alloc(&parser->names, parser->count, sizeof *parser->names));
    DF_TRY(df_alloc(&parser->ops, parser->count, sizeof *parser->ops));
    DF_TRY(df_alloc(&parser->inputs, parser->count, sizeof *parser->inputs));
    DF_TRY(df_alloc(&parser->order, parser->count, sizeof *parser->order));
    DF_TRY(df_alloc(&parser->placed, parser->count, sizeof *parser->placed));
    DF_TRY(read_names(parser));
    for (int32_t i = 0; i < parser->count; i++) {
        json_t *node = json_array_get(parser->nodes, (size_t)i);
        DF_TRY(read_op(parser, node, name_at(parser, i), i));
        DF_TRY(read_inputs(parser, node, name_at(parser, i), i));
    }
    DF_TRY(sort(parser));
    DF_TRY(build(parser, network));
    const char *output = json_string_value(json_object_get(root, "output"));
    int32_t place = output ? find(parser, output) : -1;
    if (place < 0)
        DF_FAIL(DFAL_E_DATA, "%s: the graph's output '%.60s' is not the name of a node", parser->source,
                output ? output : "");
    network->output = parser->placed[place];
    return DFAL_OK;
}

dfal_status df_graph_from_json(struct df_network **out, const char *json, size_t size, struct df_shape input,
                               int32_t class_count, const char *source)
{
    *out = NULL;
    struct parser parser = {.source = source};
    struct df_network *network = NULL;
    json_t *root = NULL;
    json_error_t error;
    dfal_status status;
    if (size > MAX_BYTES)
        DF_FAIL(DFAL_E_DATA, "%s: the graph has %zu bytes, expected at most %d", source, size, MAX_BYTES);
    DF_TRY(check_depth(json, size, source));
    root = df_json_parse_bytes(json, size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        DF_FAIL(DFAL_E_DATA, "%s: the graph is not JSON: line %d, column %d: %s", source, error.line,
                error.column, error.text);
    status = df_network_create(&network, input, class_count);
    if (status != DFAL_OK) {
        status = df_fail_prefix(status, "%s: ", source);
        goto done;
    }
    DF_TRY_TO(done, status, parse(&parser, root, network));
    *out = network;
    network = NULL;
done:
    df_network_destroy(network);
    for (int32_t i = 0; parser.inputs && i < parser.count; i++)
        df_free(parser.inputs[i]);
    df_free(parser.inputs);
    df_free(parser.names);
    df_free(parser.ops);
    df_free(parser.order);
    df_free(parser.placed);
    json_decref(root);
    return status;
}
