/* SPDX-License-Identifier: Apache-2.0 */
/* Activations: a node's elements in some order, and the nodes that are made of them. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "graph/onnx_model.h"

enum { NAME_LENGTH = 120, FEW_DOUBLES = 16, MOST_FACTORS = 3 * DF_ONNX_RANK };

struct df_shape df_onnx_shape(const struct df_onnx *onnx, int32_t node)
{
    return node == DF_INPUT ? onnx->network->input : onnx->network->nodes[node].out;
}

int64_t df_onnx_size(const struct df_onnx_value *value)
{
    int64_t size = 1;
    for (int32_t d = 1; d < value->rank; d++)
        size *= value->dims[d];
    return size;
}

struct df_shape df_onnx_planes(const struct df_onnx_value *value)
{
    struct df_shape shape = {1, 1, 1};
    if (value->rank > 1)
        shape.c = value->dims[1];
    if (value->rank > 2)
        shape.h = value->dims[2];
    for (int32_t d = 3; d < value->rank; d++)
        shape.w *= value->dims[d];
    return shape;
}

bool df_onnx_in_order(const struct df_onnx_value *value)
{
    return value->factor_count == 0 || (value->factor_count == 1 && value->factors[0].stride == 1);
}

int64_t df_onnx_stored(const struct df_onnx_value *value, int64_t i)
{
    int64_t at = 0;
    for (int32_t f = value->factor_count - 1; f >= 0; f--) {
        at += i % value->factors[f].extent * value->factors[f].stride;
        i /= value->factors[f].extent;
    }
    return at;
}

/* ---- Views ----------------------------------------------------------------------------------- */

void df_onnx_view(struct df_onnx_value *y, const struct df_onnx_value *x, int32_t rank, const int64_t *dims)
{
    y->kind = DF_ONNX_ACTIVATION;
    y->node = x->node;
    y->shaped = -2;
    y->softmax = x->softmax;
    y->shared = x->shared || x->uses > 1;
    y->factor_count = x->factor_count;
    memcpy(y->factors, x->factors, sizeof y->factors);
    y->rank = rank;
    memcpy(y->dims, dims, (size_t)rank * sizeof *dims);
    y->dims[0] = DF_ONNX_BATCH;
}

void df_onnx_alias(struct df_onnx_value *y, const struct df_onnx_value *x)
{
    df_onnx_view(y, x, x->rank, x->dims);
    y->shaped = x->shaped;
}

void df_onnx_whole(struct df_onnx_value *y, int32_t node, int32_t rank, const int64_t *dims)
{
    y->kind = DF_ONNX_ACTIVATION;
    y->node = node;
    y->shaped = -2;
    y->rank = rank;
    memcpy(y->dims, dims, (size_t)rank * sizeof *dims);
    y->dims[0] = DF_ONNX_BATCH;
    y->factor_count = 1;
    y->factors[0] = (struct df_onnx_factor){df_onnx_size(y), 1};
}

/* Drop extents of one and join neighbours that are stored as one run. False: too many are left. */
static bool keep_factors(struct df_onnx_value *y, const struct df_onnx_factor *from, int32_t count)
{
    y->factor_count = 0;
    for (int32_t i = 0; i < count; i++) {
        struct df_onnx_factor *last = y->factor_count > 0 ? &y->factors[y->factor_count - 1] : NULL;
        if (from[i].extent == 1)
            continue;
        if (last && last->stride == from[i].extent * from[i].stride)
            *last = (struct df_onnx_factor){last->extent * from[i].extent, from[i].stride};
        else if (y->factor_count == DF_ONNX_RANK)
            return false;
        else
            y->factors[y->factor_count++] = from[i];
    }
    return true;
}

bool df_onnx_transpose(struct df_onnx_value *y, const struct df_onnx_value *x, const int32_t *perm)
{
    struct df_onnx_factor split[MOST_FACTORS], moved[MOST_FACTORS];
    int32_t begin[DF_ONNX_RANK + 1] = {0}, count = 0, f = 0, used = 0;
    int64_t dims[DF_ONNX_RANK] = {DF_ONNX_BATCH};
    struct df_onnx_factor rest = x->factor_count > 0 ? x->factors[0] : (struct df_onnx_factor){1, 1};
    for (int32_t axis = 1; axis < x->rank; axis++) {
        begin[axis] = count;
        for (int64_t need = x->dims[axis]; need > 1;) {
            if (rest.extent == 1) {
                rest = x->factors[++f];
                continue;
            }
            int64_t part = rest.extent < need ? rest.extent : need;
            if (need % part != 0 || rest.extent % part != 0 || count == MOST_FACTORS)
                return false;
            rest.extent /= part;
            split[count++] = (struct df_onnx_factor){part, rest.stride * rest.extent};
            need /= part;
        }
    }
    begin[x->rank] = count;
    for (int32_t axis = 1; axis < x->rank; axis++) {
        int32_t from = perm[axis];
        dims[axis] = x->dims[from];
        for (int32_t i = begin[from]; i < begin[from + 1]; i++)
            moved[used++] = split[i];
    }
    df_onnx_view(y, x, x->rank, dims);
    return keep_factors(y, moved, used);
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

/* A name that a network file may hold. */
static void clean_name(const char *name, char out[NAME_LENGTH + 40])
{
    name += *name == '/';
    size_t length = 0;
    for (; name[length] && length < NAME_LENGTH; length++) {
        unsigned char c = (unsigned char)name[length];
        out[length] = c == '/' ? '.' : c <= 0x20 || c >= 0x7f ? '_' : (char)c;
    }
    out[length] = 0;
    if (length == 0 || strcmp(out, ".") == 0 || strcmp(out, "..") == 0 || strcmp(out, "input") == 0)
        strcpy(out + length, "_");
}

/* No node is named after this value yet. */
static bool is_free(const struct df_onnx *onnx, const char *name)
{
    char text[NAME_LENGTH + 40];
    clean_name(name, text);
    return &onnx->input->name[0] != name && df_network_find(onnx->network, text) == -2;
}

/* The same for names that differ in what cannot be kept: the next free number is put behind. Where many names
 * are doubled the numbers are counted over all of them: trying each from 2 on would take hours for a hostile
 * file. */
static void free_name(struct df_onnx *onnx, const char *name, const char *suffix, char out[NAME_LENGTH + 40])
{
    clean_name(name, out);
    strncat(out, suffix, 20);
    const size_t length = strlen(out);
    for (int32_t k = 2; df_network_find(onnx->network, out) != -2; k++) {
        if (k >= FEW_DOUBLES && k < onnx->doubled)
            k = onnx->doubled;
        snprintf(out + length, 16, "_%d", k);
        if (k >= FEW_DOUBLES)
            onnx->doubled = k + 1;
    }
}

dfal_status df_onnx_emit(struct df_onnx *onnx, const char *name, const char *suffix, enum df_node_op op,
                         const int32_t *inputs, int32_t input_count, int32_t *node, struct df_node **made)
{
    char text[NAME_LENGTH + 40];
    free_name(onnx, name, suffix, text);
    dfal_status status = df_network_add(onnx->network, node, text, op, inputs, input_count);
    if (status != DFAL_OK) {
        (void)df_fail_prefix(status, "%s: ", onnx->path);
        return status;
    }
    *made = &onnx->network->nodes[*node];
    return DFAL_OK;
}

dfal_status df_onnx_settle(struct df_onnx *onnx, int32_t node)
{
    dfal_status status = df_network_infer_node(onnx->network, node);
    return status == DFAL_OK ? status : df_fail_prefix(status, "%s: ", onnx->path);
}

dfal_status df_onnx_rename(struct df_onnx *onnx, int32_t node, const char *name)
{
    char text[NAME_LENGTH + 40], *copy;
    free_name(onnx, name, "", text);
    DF_TRY(df_strdup(&copy, text));
    df_free(onnx->network->nodes[node].name);
    onnx->network->nodes[node].name = copy;
    return DFAL_OK;
}

dfal_status df_onnx_parameter(struct df_node *node, enum df_parameter_kind kind, int32_t rank,
                              const int64_t *dims)
{
    struct df_parameter *p = &node->parameter[kind];
    DF_TRY(df_checked_product(&p->count, dims, rank));
    p->rank = rank;
    memcpy(p->dims, dims, (size_t)rank * sizeof *dims);
    return df_alloc(&p->data, p->count, sizeof *p->data);
}

dfal_status df_onnx_emit_shape(struct df_onnx *onnx, const char *name, const char *suffix, int32_t source,
                               struct df_shape shape, int32_t *node)
{
    const bool flat = shape.h == 1 && shape.w == 1;
    struct df_node *made;
    if (shape.c > INT32_MAX || shape.h > INT32_MAX || shape.w > INT32_MAX)
        DF_FAIL(DFAL_E_SHAPE, "%s: the value '%.80s' has %lld x %lld x %lld elements, which is too large",
                onnx->path, name, (long long)shape.c, (long long)shape.h, (long long)shape.w);
    DF_TRY(
        df_onnx_emit(onnx, name, suffix, flat ? DF_NODE_FLATTEN : DF_NODE_RESHAPE, &source, 1, node, &made));
    made->shape[0] = (int32_t)shape.c;
    made->shape[1] = (int32_t)shape.h;
    made->shape[2] = (int32_t)shape.w;
    return df_onnx_settle(onnx, *node);
}

static bool same_shape(struct df_shape a, struct df_shape b)
{
    return a.c == b.c && a.h == b.h && a.w == b.w;
}

dfal_status df_onnx_materialise(struct df_onnx *onnx, const Onnx__NodeProto *proto,
                                struct df_onnx_value *value, struct df_shape shape, int32_t *node)
{
    if (!df_onnx_in_order(value))
        DF_ONNX_FAIL(
            onnx, proto, DFAL_E_DATA,
            "reads '%.80s', whose axes are transposed: a Transpose is supported where it only moves axes of "
            "extent 1 or stands before a Gemm or MatMul",
            value->name);
    *node = value->node;
    if (same_shape(df_onnx_shape(onnx, value->node), shape))
        return DFAL_OK;
    *node = value->shaped;
    if (value->shaped != -2 && same_shape(df_onnx_shape(onnx, value->shaped), shape))
        return DFAL_OK;
    const bool named = is_free(onnx, value->name);
    DF_TRY(df_onnx_emit_shape(onnx, value->name, named ? "" : ".reshaped", value->node, shape, node));
    value->shaped = *node;
    return DFAL_OK;
}
