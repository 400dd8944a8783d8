/* SPDX-License-Identifier: Apache-2.0 */
/* The file's values by name. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "graph/onnx_model.h"

bool df_onnx_is_named(const char *name)
{
    return name && *name;
}

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
        if (df_onnx_is_named(graph->initializer[i]->name))
            put(onnx, graph->initializer[i]->name, -1, graph->initializer[i]);
    for (size_t i = 0; i < graph->n_input; i++)
        if (df_onnx_is_named(graph->input[i]->name))
            put(onnx, graph->input[i]->name, -1, NULL);
    for (int32_t i = 0; i < onnx->node_count; i++)
        for (size_t j = 0; j < onnx->nodes[i]->n_output; j++)
            if (df_onnx_is_named(onnx->nodes[i]->output[j]))
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
