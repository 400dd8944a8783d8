/* SPDX-License-Identifier: Apache-2.0 */
/* The file's values by name, and its nodes in an order that can be computed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "graph/onnx_model.h"

static int compare_values(const void *a, const void *b)
{
    const struct df_onnx_value *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (order != 0)
        return order;
    /* An initializer that is listed as an input too, as files of IR 3 do, comes first. */
    return (y->initializer != NULL) - (x->initializer != NULL);
}

static void put(struct df_onnx *onnx, const char *name, int32_t producer,
                const Onnx__TensorProto *initializer)
{
    struct df_onnx_value *value = &onnx->values[onnx->value_count++];
    value->name = name;
    value->producer = producer;
    value->initializer = initializer;
    value->kind = initializer ? DF_ONNX_CONSTANT : DF_ONNX_UNKNOWN;
    value->shaped = -2;
}

static bool is_named(const char *name)
{
    return name && *name;
}

/* What defines a value, for messages. */
static const char *origin(const struct df_onnx *onnx, const struct df_onnx_value *value)
{
    if (value->initializer)
        return "an initializer";
    return value->producer < 0 ? "an input of the graph" : onnx->nodes[value->producer]->op_type;
}

dfal_status df_onnx_index(struct df_onnx *onnx)
{
    const Onnx__GraphProto *graph = onnx->graph;
    int64_t count = (int64_t)graph->n_input + (int64_t)graph->n_initializer;
    for (int32_t i = 0; i < onnx->node_count; i++)
        count += (int64_t)onnx->nodes[i]->n_output;
    if (count > 10 * DF_ONNX_MAX_NODES)
        DF_FAIL(DFAL_E_DATA, "%s: the graph has %lld values, expected at most %d", onnx->path,
                (long long)count, 10 * DF_ONNX_MAX_NODES);
    DF_TRY(df_alloc(&onnx->values, count, sizeof *onnx->values));
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (is_named(graph->initializer[i]->name))
            put(onnx, graph->initializer[i]->name, -1, graph->initializer[i]);
    for (size_t i = 0; i < graph->n_input; i++)
        if (is_named(graph->input[i]->name))
            put(onnx, graph->input[i]->name, -1, NULL);
    for (int32_t i = 0; i < onnx->node_count; i++)
        for (size_t j = 0; j < onnx->nodes[i]->n_output; j++)
            if (is_named(onnx->nodes[i]->output[j]))
                put(onnx, onnx->nodes[i]->output[j], i, NULL);
    qsort(onnx->values, (size_t)onnx->value_count, sizeof *onnx->values, compare_values);
    int32_t kept = 0;
    for (int32_t i = 0; i < onnx->value_count; i++) {
        struct df_onnx_value *value = &onnx->values[i], *last = kept > 0 ? &onnx->values[kept - 1] : NULL;
        if (!last || strcmp(last->name, value->name) != 0)
            onnx->values[kept++] = *value;
        else if (!last->initializer || value->initializer || value->producer >= 0)
            DF_FAIL(DFAL_E_DATA, "%s: two values of the graph are named '%.80s': %s and %s", onnx->path,
                    value->name, origin(onnx, last), origin(onnx, value));
    }
    onnx->value_count = kept;
    return DFAL_OK;
}

struct df_onnx_value *df_onnx_find(const struct df_onnx *onnx, const char *name)
{
    const struct df_onnx_value key = {.name = name};
    int32_t low = 0, high = onnx->value_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = strcmp(onnx->values[middle].name, key.name);
        if (order == 0)
            return &onnx->values[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void df_onnx_index_clear(struct df_onnx *onnx)
{
    for (int32_t i = 0; onnx->values && i < onnx->value_count; i++)
        df_onnx_tensor_clear(&onnx->values[i].constant);
    df_free(onnx->values);
    df_free(onnx->order);
    onnx->values = NULL;
    onnx->order = NULL;
    onnx->value_count = onnx->order_count = 0;
}

/* ---- Order ---------------------------------------------------------------------------------- */

struct place {
    int32_t node;
    uint32_t next; /* input to look at */
};

/* Depth first from the output, without recursion: a chain may be long. */
static dfal_status visit(struct df_onnx *onnx, struct place *stack, uint8_t *state)
{
    enum { NEW, OPEN, DONE };
    int32_t depth = 0;
    if (onnx->output->producer >= 0) {
        stack[depth++] = (struct place){.node = onnx->output->producer};
        state[onnx->output->producer] = OPEN;
    }
    onnx->output->uses++;
    while (depth > 0) {
        struct place *top = &stack[depth - 1];
        const Onnx__NodeProto *proto = onnx->nodes[top->node];
        if (top->next == proto->n_input) {
            state[top->node] = DONE;
            onnx->order[onnx->order_count++] = top->node;
            depth--;
            continue;
        }
        const char *name = proto->input[top->next++];
        if (!is_named(name))
            continue;
        struct df_onnx_value *value = df_onnx_find(onnx, name);
        if (!value)
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "reads '%.80s', which nothing in the graph computes",
                         name);
        value->uses++;
        if (value->producer < 0 || state[value->producer] == DONE)
            continue;
        if (state[value->producer] == OPEN)
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                         "reads '%.80s', which depends on the node itself: the graph has a cycle", name);
        state[value->producer] = OPEN;
        stack[depth++] = (struct place){.node = value->producer};
    }
    return DFAL_OK;
}

struct tally {
    char name[80];
    int32_t count;
};

static int compare_tally(const void *a, const void *b)
{
    return strcmp(((const struct tally *)a)->name, ((const struct tally *)b)->name);
}

static int compare_counts(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count) : compare_tally(a, b);
}

dfal_status df_onnx_count_ops(const struct df_onnx *onnx, bool unsupported, char **text, int32_t *kinds)
{
    struct tally *tallies;
    int32_t used = 0, nodes = unsupported ? onnx->order_count : onnx->node_count;
    *text = NULL;
    *kinds = 0;
    DF_TRY(df_alloc(&tallies, nodes, sizeof *tallies));
    for (int32_t i = 0; i < nodes; i++) {
        const Onnx__NodeProto *proto = onnx->nodes[unsupported ? onnx->order[i] : i];
        if (unsupported && df_onnx_op_find(proto->domain, proto->op_type))
            continue;
        bool foreign = proto->domain && *proto->domain && strcmp(proto->domain, "ai.onnx") != 0;
        snprintf(tallies[used++].name, sizeof tallies->name, "%s%s%s", foreign ? proto->domain : "",
                 foreign ? "." : "", proto->op_type ? proto->op_type : "");
    }
    qsort(tallies, (size_t)used, sizeof *tallies, compare_tally);
    int32_t different = 0;
    for (int32_t i = 0; i < used; i++) {
        if (different == 0 || strcmp(tallies[different - 1].name, tallies[i].name) != 0) {
            tallies[different] = tallies[i];
            tallies[different++].count = 0;
        }
        tallies[different - 1].count++;
    }
    if (!unsupported)
        qsort(tallies, (size_t)different, sizeof *tallies, compare_counts);
    size_t allowance = 1, at = 0;
    for (int32_t i = 0; i < different; i++)
        allowance += strlen(tallies[i].name) + 20;
    dfal_status status = df_alloc(text, (int64_t)allowance, 1);
    for (int32_t i = 0; status == DFAL_OK && i < different; i++)
        at += (size_t)snprintf(*text + at, allowance - at, "%s%s (%d)", i > 0 ? ", " : "", tallies[i].name,
                               tallies[i].count);
    *kinds = different;
    df_free(tallies);
    return status;
}

static dfal_status check_ops(const struct df_onnx *onnx)
{
    char *text;
    int32_t kinds;
    DF_TRY(df_onnx_count_ops(onnx, true, &text, &kinds));
    dfal_status status = DFAL_OK;
    if (kinds > 0)
        status = df_fail(DFAL_E_DATA, "%s: %d op%s not supported: %s", onnx->path, kinds,
                         kinds > 1 ? "s are" : " is", text);
    df_free(text);
    return status;
}

dfal_status df_onnx_arrange(struct df_onnx *onnx)
{
    struct place *stack = NULL;
    uint8_t *state = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&onnx->order, onnx->node_count, sizeof *onnx->order));
    DF_TRY_TO(done, status, df_alloc(&stack, onnx->node_count, sizeof *stack));
    DF_TRY_TO(done, status, df_alloc(&state, onnx->node_count, 1));
    DF_TRY_TO(done, status, visit(onnx, stack, state));
    status = check_ops(onnx);
done:
    df_free(stack);
    df_free(state);
    return status;
}
