/* SPDX-License-Identifier: Apache-2.0 */
/* The file's nodes in an order that can be computed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "graph/onnx_model.h"

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
        if (!df_onnx_is_named(name))
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
