/* SPDX-License-Identifier: Apache-2.0 */
/* Sums, differences, products and quotients of values, and of a value and a constant. */
#include <string.h>

#include "base/memory.h"
#include "graph/onnx_model.h"

enum { MOST_VALUES = 1 << 26 }; /* that a constant is written out for */
enum sign { PLUS, MINUS, TIMES, OVER };

static enum sign sign_of(const Onnx__NodeProto *proto)
{
    return proto->op_type[0] == 'A'   ? PLUS
           : proto->op_type[0] == 'S' ? MINUS
           : proto->op_type[0] == 'M' ? TIMES
                                      : OVER;
}

/* ---- Two activations ------------------------------------------------------------------------- */

static bool same_order(const struct df_onnx_value *a, const struct df_onnx_value *b)
{
    bool same = a->factor_count == b->factor_count;
    for (int32_t f = 0; same && f < a->factor_count; f++)
        same = a->factors[f].extent == b->factors[f].extent && a->factors[f].stride == b->factors[f].stride;
    return same;
}

static bool same_dims(const struct df_onnx_value *a, const struct df_onnx_value *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

/* Both stored alike: the nodes' own order will do, whatever it is. */
static bool joins_as_stored(const struct df_onnx *onnx, const struct df_onnx_value *a,
                            const struct df_onnx_value *b)
{
    const struct df_shape p = df_onnx_shape(onnx, a->node), q = df_onnx_shape(onnx, b->node);
    return same_dims(a, b) && same_order(a, b) && p.c == q.c && p.h == q.h && p.w == q.w;
}

static dfal_status join_values(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    static const enum df_node_op ops[] = {DF_NODE_ADD, DF_NODE_SUB, DF_NODE_MUL, DF_NODE_DIV};
    struct df_onnx_value *pair[2], *y = df_onnx_out(onnx, proto, 0);
    int64_t dims[DF_ONNX_RANK] = {DF_ONNX_BATCH};
    int32_t sources[2], node;
    struct df_node *made;
    char text[2][128];
    for (size_t i = 0; i < 2; i++)
        DF_TRY(df_onnx_activation(onnx, proto, i, &pair[i]));
    const int32_t rank = pair[0]->rank;
    bool fits = pair[1]->rank == rank && (rank <= 4 || same_dims(pair[0], pair[1]));
    for (int32_t d = 1; fits && d < rank; d++) {
        const int64_t a = pair[0]->dims[d], b = pair[1]->dims[d];
        fits = a == b || a == 1 || b == 1;
        dims[d] = a > b ? a : b;
    }
    if (!fits)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE,
                     "joins values of shape %s and %s, expected equal ones or 1 where they differ",
                     df_onnx_dims_text(text[0], rank, pair[0]->dims),
                     df_onnx_dims_text(text[1], pair[1]->rank, pair[1]->dims));
    const bool stored = joins_as_stored(onnx, pair[0], pair[1]);
    for (int i = 0; i < 2; i++) {
        sources[i] = pair[i]->node;
        if (!stored)
            DF_TRY(df_onnx_materialise(onnx, proto, pair[i], df_onnx_planes(pair[i]), &sources[i]));
    }
    DF_TRY(df_onnx_emit(onnx, y->name, "", ops[sign_of(proto)], sources, 2, &node, &made));
    DF_TRY(df_onnx_settle(onnx, node));
    if (stored) {
        df_onnx_view(y, pair[0], rank, dims);
        y->node = node;
        y->shared = false;
    } else {
        df_onnx_whole(y, node, rank, dims);
    }
    return DFAL_OK;
}

/* ---- With a constant ------------------------------------------------------------------------- */

/* y = scale x + offset, one pair a channel of the node that holds x; or of every value of it. */
struct affine {
    double *scale, *offset; /* [count] in one block that scale begins */
    int64_t count;
};

/* The constant for every element of x, in the order x is stored in. */
static dfal_status spread(const struct df_onnx *onnx, const Onnx__NodeProto *proto,
                          const struct df_onnx_value *x, const struct df_onnx_tensor *c, double *values)
{
    int64_t stride[DF_ONNX_RANK] = {0}, step = 1;
    char text[2][128];
    bool fits = c->rank <= x->rank;
    for (int32_t d = c->rank - 1; fits && d >= 0; d--) {
        const int32_t axis = d + x->rank - c->rank;
        fits = c->dims[d] == 1 || (axis > 0 && c->dims[d] == x->dims[axis]);
        stride[axis] = c->dims[d] > 1 ? step : 0;
        step *= c->dims[d];
    }
    if (!fits)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE,
                     "joins %s and a constant of shape %s, expected one that %s is not repeated for",
                     df_onnx_dims_text(text[0], x->rank, x->dims),
                     df_onnx_dims_text(text[1], c->rank, c->dims), x->name);
    const int64_t size = df_onnx_size(x);
    int64_t at[DF_ONNX_RANK] = {0}, from = 0;
    for (int64_t i = 0; i < size; i++) {
        values[df_onnx_stored(x, i)] = df_onnx_real(c, from);
        for (int32_t d = x->rank - 1; d > 0; d--) {
            from += stride[d];
            if (++at[d] < x->dims[d])
                break;
            from -= stride[d] * x->dims[d];
            at[d] = 0;
        }
    }
    return DFAL_OK;
}

/* One value for each channel where the planes are even: *count is what is left. */
static void compact(double *values, struct df_shape held, int64_t *count)
{
    const int64_t plane = held.h * held.w;
    *count = held.c * plane;
    for (int64_t i = 0; i < *count; i++)
        if (!(values[i] == values[i - i % plane]))
            return;
    *count = held.c;
    for (int64_t c = 0; c < held.c; c++)
        values[c] = values[c * plane];
}

/* Where the constant is one number, or one a channel of values in their own order, it need not be written
 * out. */
static bool is_by_channel(const struct df_onnx_value *x, struct df_shape held, const struct df_onnx_tensor *c)
{
    if (c->count == 1)
        return c->rank <= x->rank;
    if (c->rank > x->rank || c->rank < x->rank - 1 || !df_onnx_in_order(x) || held.c != x->dims[1])
        return false;
    const int32_t axis = 1 + c->rank - x->rank; /* of the channels in the constant */
    for (int32_t d = 0; d < c->rank; d++)
        if (d != axis && c->dims[d] != 1)
            return false;
    return c->dims[axis] == held.c;
}

static dfal_status read_affine(const struct df_onnx *onnx, const Onnx__NodeProto *proto,
                               const struct df_onnx_value *x, const struct df_onnx_tensor *c,
                               bool constant_first, struct affine *out)
{
    const struct df_shape held = df_onnx_shape(onnx, x->node);
    const bool by_channel = is_by_channel(x, held, c);
    const int64_t size = by_channel ? held.c : df_onnx_size(x);
    double *values;
    *out = (struct affine){.count = held.c};
    if (size > MOST_VALUES)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "joins a constant and %lld values, expected at most %d",
                     (long long)size, MOST_VALUES);
    DF_TRY(df_alloc(&values, size, sizeof *values));
    dfal_status status = DFAL_OK;
    if (by_channel)
        for (int64_t i = 0; i < size; i++)
            values[i] = df_onnx_real(c, c->count == 1 ? 0 : i);
    else
        status = spread(onnx, proto, x, c, values);
    if (status == DFAL_OK && !by_channel)
        compact(values, held, &out->count);
    if (status == DFAL_OK)
        status = df_alloc(&out->scale, 2 * out->count, sizeof *out->scale);
    if (status == DFAL_OK) {
        out->offset = out->scale + out->count;
        for (int64_t i = 0; i < out->count; i++)
            switch (sign_of(proto)) {
            case PLUS:
                out->scale[i] = 1.0;
                out->offset[i] = values[i];
                break;
            case MINUS:
                out->scale[i] = constant_first ? -1.0 : 1.0;
                out->offset[i] = constant_first ? values[i] : -values[i];
                break;
            case TIMES:
                out->scale[i] = values[i];
                break;
            case OVER: /* of a constant by x: the constant alone; the quotient comes after */
                out->scale[i] = constant_first ? 0.0 : 1.0 / values[i];
                out->offset[i] = constant_first ? values[i] : 0.0;
                break;
            }
    }
    df_free(values);
    return status;
}

/* A node of which nobody else reads takes the map in: batch-norms, and sums into a missing bias. */
static dfal_status absorb(struct df_onnx *onnx, const struct df_onnx_value *x, const struct affine *affine,
                          bool *done)
{
    *done = false;
    if (x->node == DF_INPUT || x->shared || x->uses != 1 || x->shaped != -2)
        return DFAL_OK;
    struct df_node *node = &onnx->network->nodes[x->node];
    if (affine->count != node->out.c)
        return DFAL_OK;
    bool sum = true;
    for (int64_t i = 0; i < affine->count; i++)
        sum = sum && affine->scale[i] == 1.0;
    struct df_parameter *bias = &node->parameter[DF_BIAS], *weight = &node->parameter[DF_WEIGHT];
    if (node->op == DF_NODE_BATCH_NORM) {
        for (int64_t i = 0; i < affine->count; i++) {
            weight->data[i] = (float)((double)weight->data[i] * affine->scale[i]);
            bias->data[i] = (float)((double)bias->data[i] * affine->scale[i] + affine->offset[i]);
        }
        *done = true;
    } else if (sum && (node->op == DF_NODE_GEMM || node->op == DF_NODE_CONV)) {
        for (int64_t i = 0; i < bias->count; i++)
            if (bias->data[i] != 0.0f)
                return DFAL_OK;
        for (int64_t i = 0; i < bias->count; i++)
            bias->data[i] = (float)affine->offset[i];
        *done = true;
    }
    return DFAL_OK;
}

/* A batch-norm node of mean 0, variance 1 and epsilon 0: folding brings it into the layer before. */
static dfal_status emit_affine(struct df_onnx *onnx, const struct affine *affine, int32_t source,
                               const char *name, const char *suffix, int32_t *node)
{
    struct df_node *made;
    DF_TRY(df_onnx_emit(onnx, name, suffix, DF_NODE_BATCH_NORM, &source, 1, node, &made));
    made->epsilon = 0.0;
    for (int k = DF_WEIGHT; k <= DF_BIAS; k++) {
        DF_TRY(df_onnx_parameter(made, (enum df_parameter_kind)k, 1, &affine->count));
        for (int64_t i = 0; i < affine->count; i++)
            made->parameter[k].data[i] = (float)(k == DF_WEIGHT ? affine->scale[i] : affine->offset[i]);
    }
    return df_onnx_settle(onnx, *node);
}

/* The map on the stored values of x; y looks at them as x did. */
static dfal_status apply(struct df_onnx *onnx, const struct df_onnx_value *x, const struct affine *affine,
                         bool quotient, struct df_onnx_value *y)
{
    const struct df_shape held = df_onnx_shape(onnx, x->node);
    const bool single = affine->count != held.c, more = single || quotient;
    int32_t node = x->node, made = 0;
    struct df_node *unused;
    bool done = false;
    if (!quotient && !single)
        DF_TRY(absorb(onnx, x, affine, &done));
    if (done)
        return df_onnx_rename(onnx, x->node, y->name);
    if (single)
        DF_TRY(df_onnx_emit_shape(onnx, y->name, ".values", node, (struct df_shape){affine->count, 1, 1},
                                  &node));
    DF_TRY(emit_affine(onnx, affine, node, y->name, more ? ".affine" : "", &made));
    if (single)
        DF_TRY(df_onnx_emit_shape(onnx, y->name, quotient ? ".constant" : "", made, held, &made));
    if (quotient) {
        DF_TRY(df_onnx_emit(onnx, y->name, "", DF_NODE_DIV, (int32_t[]){made, x->node}, 2, &node, &unused));
        DF_TRY(df_onnx_settle(onnx, node));
        made = node;
    }
    y->node = made;
    return DFAL_OK;
}

static dfal_status join_constant(struct df_onnx *onnx, const Onnx__NodeProto *proto, bool constant_first)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    const struct df_onnx_tensor *c;
    struct affine affine;
    DF_TRY(df_onnx_activation(onnx, proto, constant_first ? 1 : 0, &x));
    DF_TRY(df_onnx_constant(onnx, proto, constant_first ? 0 : 1, "operand", false, &c));
    dfal_status status = read_affine(onnx, proto, x, c, constant_first, &affine);
    df_onnx_view(y, x, x->rank, x->dims);
    if (status == DFAL_OK)
        status = apply(onnx, x, &affine, constant_first && sign_of(proto) == OVER, y);
    y->shared = false;
    df_free(affine.scale);
    return status;
}

dfal_status df_onnx_join(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    const struct df_onnx_value *a = df_onnx_in(onnx, proto, 0), *b = df_onnx_in(onnx, proto, 1);
    if (!a || !b)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has %s inputs, expected 2", a ? "1" : "0");
    if (a->kind == DF_ONNX_CONSTANT && b->kind == DF_ONNX_CONSTANT)
        return df_onnx_fold_join(onnx, proto);
    if (a->kind == DF_ONNX_CONSTANT || b->kind == DF_ONNX_CONSTANT)
        return join_constant(onnx, proto, a->kind == DF_ONNX_CONSTANT);
    return join_values(onnx, proto);
}
