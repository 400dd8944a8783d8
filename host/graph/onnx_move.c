/* SPDX-License-Identifier: Apache-2.0 */
/* Ops that only say how the same elements are seen: of activations and of constants. */
#include <string.h>

#include "base/memory.h"
#include "graph/onnx_model.h"

/* The first input, which may be an activation (behind the softmax as well) or a constant. */
static dfal_status first_input(const struct df_onnx *onnx, const Onnx__NodeProto *proto,
                               struct df_onnx_value **x)
{
    *x = df_onnx_in(onnx, proto, 0);
    if (!*x)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has no input");
    return df_onnx_load_constant(onnx, *x);
}

static const int64_t *dims_of(const struct df_onnx_value *x, int32_t *rank)
{
    *rank = x->kind == DF_ONNX_CONSTANT ? x->constant.rank : x->rank;
    return x->kind == DF_ONNX_CONSTANT ? x->constant.dims : x->dims;
}

/* y is x with other dims, of as many elements. */
static void see(struct df_onnx_value *y, const struct df_onnx_value *x, int32_t rank, const int64_t *dims)
{
    if (x->kind == DF_ONNX_ACTIVATION) {
        df_onnx_view(y, x, rank, dims);
        return;
    }
    y->kind = DF_ONNX_CONSTANT;
    y->constant = x->constant;
    y->constant.own = NULL;
    y->constant.rank = rank;
    memcpy(y->constant.dims, dims, (size_t)rank * sizeof *dims);
}

dfal_status df_onnx_identity(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    int32_t rank;
    DF_TRY(first_input(onnx, proto, &x));
    const int64_t *dims = dims_of(x, &rank);
    see(y, x, rank, dims);
    return DFAL_OK;
}

dfal_status df_onnx_cast(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    const int64_t to = df_onnx_attribute_int(proto, "to", 0);
    const int32_t type = to > 0 && to < 64 ? (int32_t)to : 0;
    DF_TRY(first_input(onnx, proto, &x));
    if (df_onnx_type_size(type) == 0 || (x->kind == DF_ONNX_ACTIVATION && !df_onnx_is_real(type)))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "casts '%.80s' to %s, expected a type of real numbers",
                     x->name, df_onnx_type_name(type));
    if (x->kind == DF_ONNX_ACTIVATION || x->constant.type == type)
        return df_onnx_identity(onnx, proto);
    /* The narrow reals are kept as floats. */
    const struct df_onnx_tensor *from = &x->constant;
    const bool narrow = type == DF_ONNX_FLOAT16 || type == DF_ONNX_BFLOAT16;
    DF_TRY(df_onnx_tensor_create(onnx, &y->constant, narrow ? DF_ONNX_FLOAT : type, from->rank, from->dims,
                                 from->samples != NULL));
    y->kind = DF_ONNX_CONSTANT;
    for (int64_t i = 0; i < from->count; i++)
        df_onnx_put(&y->constant, i, df_onnx_convert(df_onnx_get(from, i), type));
    return DFAL_OK;
}

/* ---- Reshape --------------------------------------------------------------------------------- */

static dfal_status refuse_shape(const struct df_onnx *onnx, const Onnx__NodeProto *proto,
                                const struct df_onnx_value *x, int32_t rank, const int64_t *target,
                                const char *why)
{
    char text[2][128];
    int32_t held;
    const int64_t *dims = dims_of(x, &held);
    DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE, "turns %s into %s, %s", df_onnx_dims_text(text[0], held, dims),
                 df_onnx_dims_text(text[1], rank, target), why);
}

/* Replace the one -1 so that the product is `size`. */
static dfal_status complete(const struct df_onnx *onnx, const Onnx__NodeProto *proto,
                            const struct df_onnx_value *x, int64_t size, int32_t begin, int32_t rank,
                            int64_t *target)
{
    int64_t product = 1;
    int32_t open = -1;
    for (int32_t d = begin; d < rank; d++) {
        if (target[d] == DF_ONNX_BATCH || target[d] < -1 || (target[d] == -1 && open >= 0))
            return refuse_shape(onnx, proto, x, rank, target,
                                "expected the batch first and fixed sizes behind it");
        if (target[d] == -1)
            open = d;
        else if (__builtin_mul_overflow(product, target[d], &product))
            return refuse_shape(onnx, proto, x, rank, target, "which has more elements than 64 bits count");
    }
    if (open >= 0 && product > 0 && size % product == 0) {
        target[open] = size / product;
        return DFAL_OK;
    }
    if (open >= 0 || product != size)
        return refuse_shape(onnx, proto, x, rank, target, "which does not have as many elements");
    return DFAL_OK;
}

static bool is_product(const int64_t *target, int32_t begin, int32_t rank, int64_t size)
{
    int64_t product = 1;
    for (int32_t d = begin; d < rank; d++)
        if (target[d] < 1 || __builtin_mul_overflow(product, target[d], &product))
            return false;
    return product == size;
}

dfal_status df_onnx_reshape(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    int64_t target[DF_ONNX_RANK * 2];
    int32_t rank, held;
    DF_TRY(first_input(onnx, proto, &x));
    DF_TRY(df_onnx_extents(onnx, proto, "shape", 1, target, &rank));
    if (rank < 0 || rank > DF_ONNX_RANK)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has a shape of %d numbers, expected at most %d", rank,
                     DF_ONNX_RANK);
    const int64_t *dims = dims_of(x, &held);
    const bool zero = df_onnx_attribute_int(proto, "allowzero", 0) != 0;
    for (int32_t d = 0; d < rank && !zero; d++)
        if (target[d] == 0 && d < held)
            target[d] = dims[d];
    if (x->kind == DF_ONNX_CONSTANT) {
        DF_TRY(complete(onnx, proto, x, x->constant.count, 0, rank, target));
        see(y, x, rank, target);
        return DFAL_OK;
    }
    /* Each sample stays by itself: the first number has to be the batch, however it is written. */
    const int64_t size = df_onnx_size(x);
    const bool batch = rank > 0 && (target[0] == DF_ONNX_BATCH || target[0] == onnx->batch ||
                                    target[0] == 1 || (target[0] == -1 && is_product(target, 1, rank, size)));
    if (!batch)
        return refuse_shape(onnx, proto, x, rank, target,
                            "expected the batch first: samples may not be mixed");
    target[0] = DF_ONNX_BATCH;
    DF_TRY(complete(onnx, proto, x, size, 1, rank, target));
    see(y, x, rank, target);
    return DFAL_OK;
}

dfal_status df_onnx_flatten(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    int32_t rank, axis = 0;
    int64_t flat[2] = {1, 1};
    DF_TRY(first_input(onnx, proto, &x));
    const int64_t *dims = dims_of(x, &rank);
    const int64_t given = df_onnx_attribute_int(proto, "axis", 1);
    if (given != rank)
        DF_TRY(df_onnx_axis(onnx, proto, given, rank, &axis));
    else
        axis = rank;
    const int32_t begin = x->kind == DF_ONNX_CONSTANT ? 0 : 1;
    for (int32_t d = begin; d < rank; d++)
        flat[d >= axis] *= dims[d];
    if (begin == 1 && (axis == 0 || flat[0] != 1))
        return refuse_shape(onnx, proto, x, 2, flat, "expected the batch first: samples may not be mixed");
    if (begin == 1)
        flat[0] = DF_ONNX_BATCH;
    see(y, x, 2, flat);
    return DFAL_OK;
}

dfal_status df_onnx_squeeze(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    int64_t given[DF_ONNX_RANK * 2], kept[DF_ONNX_RANK];
    int32_t count, rank, left = 0;
    bool set[DF_ONNX_RANK];
    DF_TRY(first_input(onnx, proto, &x));
    DF_TRY(df_onnx_ints(onnx, proto, "axes", 1, given, &count));
    const int64_t *dims = dims_of(x, &rank);
    DF_TRY(df_onnx_axes(onnx, proto, given, count, rank, set));
    for (int32_t d = 0; d < rank; d++) {
        const bool drop = count < 0 ? dims[d] == 1 : set[d];
        if (drop && dims[d] != 1)
            DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE, "removes axis %d, which %s, expected an axis of extent 1",
                         d, dims[d] == DF_ONNX_BATCH ? "is the batch" : "is larger");
        if (!drop)
            kept[left++] = dims[d];
    }
    see(y, x, left, kept);
    return DFAL_OK;
}

dfal_status df_onnx_unsqueeze(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    int64_t given[DF_ONNX_RANK * 2], wider[DF_ONNX_RANK];
    int32_t count, rank, from = 0;
    bool set[DF_ONNX_RANK];
    DF_TRY(first_input(onnx, proto, &x));
    DF_TRY(df_onnx_ints(onnx, proto, "axes", 1, given, &count));
    const int64_t *dims = dims_of(x, &rank);
    if (count < 0 || rank + count > DF_ONNX_RANK)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "adds %d axes to %d, expected at most %d in all", count, rank,
                     DF_ONNX_RANK);
    DF_TRY(df_onnx_axes(onnx, proto, given, count, rank + count, set));
    for (int32_t d = 0; d < rank + count; d++)
        wider[d] = set[d] ? 1 : dims[from++];
    if (x->kind == DF_ONNX_ACTIVATION && set[0])
        DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE, "puts an axis before the batch");
    see(y, x, rank + count, wider);
    return DFAL_OK;
}

/* ---- Transpose ------------------------------------------------------------------------------- */

static dfal_status permute_constant(const struct df_onnx *onnx, const struct df_onnx_tensor *from,
                                    const int32_t *perm, struct df_onnx_value *y)
{
    int64_t dims[DF_ONNX_RANK], stride[DF_ONNX_RANK], own[DF_ONNX_RANK], at[DF_ONNX_RANK] = {0}, source = 0,
                                                                         step = 1;
    for (int32_t d = from->rank - 1; d >= 0; d--) {
        own[d] = step;
        step *= from->dims[d];
    }
    for (int32_t d = 0; d < from->rank; d++) {
        dims[d] = from->dims[perm[d]];
        stride[d] = own[perm[d]];
    }
    DF_TRY(df_onnx_tensor_create(onnx, &y->constant, from->type, from->rank, dims, from->samples != NULL));
    y->kind = DF_ONNX_CONSTANT;
    for (int64_t i = 0; i < from->count; i++) {
        df_onnx_move(&y->constant, i, from, source, 1);
        for (int32_t d = from->rank - 1; d >= 0; d--) {
            source += stride[d];
            if (++at[d] < dims[d])
                break;
            source -= stride[d] * dims[d];
            at[d] = 0;
        }
    }
    return DFAL_OK;
}

dfal_status df_onnx_permute(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *x, *y = df_onnx_out(onnx, proto, 0);
    int64_t given[DF_ONNX_RANK * 2];
    int32_t count, rank, perm[DF_ONNX_RANK] = {0};
    bool set[DF_ONNX_RANK];
    DF_TRY(first_input(onnx, proto, &x));
    DF_TRY(df_onnx_ints(onnx, proto, "perm", 0, given, &count));
    (void)dims_of(x, &rank);
    for (int32_t d = 0; d < rank && count < 0; d++)
        given[d] = rank - 1 - d;
    if (count >= 0 && count != rank)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has a perm of %d numbers for %d axes", count, rank);
    DF_TRY(df_onnx_axes(onnx, proto, given, rank, rank, set));
    for (int32_t d = 0; d < rank; d++)
        DF_TRY(df_onnx_axis(onnx, proto, given[d], rank, &perm[d]));
    if (x->kind == DF_ONNX_CONSTANT)
        return permute_constant(onnx, &x->constant, perm, y);
    if (perm[0] != 0)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "moves the batch to another axis, expected it to stay the first");
    if (!df_onnx_transpose(y, x, perm))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "moves axes of a value that is transposed and reshaped already, which is not supported");
    return DFAL_OK;
}
