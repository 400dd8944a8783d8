/* SPDX-License-Identifier: Apache-2.0 */
/* Constants, and arithmetic on them: what exporters write around shapes. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "graph/onnx_model.h"

enum { MOST_ELEMENTS = 1 << 30 }; /* along one axis: sums of a few have no overflow */

bool df_onnx_all_constant(const struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    for (size_t i = 0; i < proto->n_input; i++) {
        const struct df_onnx_value *value = df_onnx_in(onnx, proto, i);
        if (value && value->kind != DF_ONNX_CONSTANT)
            return false;
    }
    return true;
}

static dfal_status create(const struct df_onnx *onnx, const Onnx__NodeProto *proto, int32_t type,
                          int32_t rank, const int64_t *dims, bool samples, struct df_onnx_value **y)
{
    *y = df_onnx_out(onnx, proto, 0);
    DF_TRY(df_onnx_tensor_create(onnx, &(*y)->constant, type, rank, dims, samples));
    (*y)->kind = DF_ONNX_CONSTANT;
    return DFAL_OK;
}

/* No tensor has more axes: here for those who read the code without its callers. */
static int32_t rank_of(const struct df_onnx_tensor *tensor)
{
    return tensor->rank < DF_ONNX_RANK ? tensor->rank : DF_ONNX_RANK;
}

/* ---- Literals -------------------------------------------------------------------------------- */

dfal_status df_onnx_literal(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_value *y = df_onnx_out(onnx, proto, 0);
    const Onnx__AttributeProto *a = df_onnx_attribute(proto, "value");
    if (a && a->t) {
        y->kind = DF_ONNX_CONSTANT;
        return df_onnx_tensor_read(onnx, &y->constant, a->t);
    }
    if ((a = df_onnx_attribute(proto, "value_float")) || (a = df_onnx_attribute(proto, "value_int"))) {
        const bool real = strcmp(a->name, "value_float") == 0;
        DF_TRY(create(onnx, proto, real ? DF_ONNX_FLOAT : DF_ONNX_INT64, 0, NULL, false, &y));
        df_onnx_put(&y->constant, 0, (struct df_onnx_number){.real = (double)a->f, .whole = a->i});
        return DFAL_OK;
    }
    if ((a = df_onnx_attribute(proto, "value_floats")) || (a = df_onnx_attribute(proto, "value_ints"))) {
        const bool real = strcmp(a->name, "value_floats") == 0;
        const int64_t count = (int64_t)(real ? a->n_floats : a->n_ints);
        DF_TRY(create(onnx, proto, real ? DF_ONNX_FLOAT : DF_ONNX_INT64, 1, &count, false, &y));
        for (int64_t i = 0; i < count; i++)
            df_onnx_put(&y->constant, i,
                        (struct df_onnx_number){.real = real ? (double)a->floats[i] : 0.0,
                                                .whole = real ? 0 : a->ints[i]});
        return DFAL_OK;
    }
    DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                 "has no value of numbers: strings and sparse tensors are not supported");
}

dfal_status df_onnx_constant_of_shape(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    const Onnx__AttributeProto *a = df_onnx_attribute(proto, "value");
    struct df_onnx_tensor one = {0};
    struct df_onnx_value *y;
    const struct df_onnx_tensor *given;
    int64_t dims[DF_ONNX_RANK];
    DF_TRY(df_onnx_constant(onnx, proto, 0, "shape", false, &given));
    if (given->count > DF_ONNX_RANK)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has a shape of %lld numbers, expected at most %d",
                     (long long)given->count, DF_ONNX_RANK);
    for (int64_t d = 0; d < given->count; d++)
        dims[d] = df_onnx_int(given, d);
    if (a && a->t)
        DF_TRY(df_onnx_tensor_read(onnx, &one, a->t));
    dfal_status status = DFAL_OK;
    if (one.bytes && one.count != 1)
        status = df_onnx_blame(
            onnx, proto,
            df_fail(DFAL_E_DATA, "has a value of %lld numbers, expected one", (long long)one.count));
    const bool whole = one.bytes && !df_onnx_is_real(one.type);
    if (status == DFAL_OK)
        status = create(onnx, proto, whole ? DF_ONNX_INT64 : DF_ONNX_DOUBLE, (int32_t)given->count, dims,
                        false, &y);
    if (status == DFAL_OK && one.bytes)
        for (int64_t i = 0; i < y->constant.count; i++)
            df_onnx_move(&y->constant, i, &one, 0, 1);
    df_onnx_tensor_clear(&one);
    return status;
}

static struct df_onnx_number extent(int64_t dim)
{
    return dim == DF_ONNX_BATCH ? (struct df_onnx_number){.samples = 1.0}
                                : (struct df_onnx_number){.real = (double)dim, .whole = dim};
}

/* The dims of the first input. */
static dfal_status seen(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const int64_t **dims,
                        int32_t *rank, bool *constant)
{
    struct df_onnx_value *x = df_onnx_in(onnx, proto, 0);
    if (!x)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has no input");
    DF_TRY(df_onnx_load_constant(onnx, x));
    *constant = x->kind == DF_ONNX_CONSTANT;
    *rank = *constant ? x->constant.rank : x->rank;
    *dims = *constant ? x->constant.dims : x->dims;
    return DFAL_OK;
}

static int64_t product(const int64_t *dims, int32_t begin, int32_t end)
{
    int64_t result = 1;
    for (int32_t d = begin; d < end; d++)
        result *= dims[d];
    return result;
}

dfal_status df_onnx_shape_of(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    const int64_t *dims;
    bool constant;
    int32_t rank;
    struct df_onnx_value *y;
    DF_TRY(seen(onnx, proto, &dims, &rank, &constant));
    int64_t begin = df_onnx_attribute_int(proto, "start", 0), end = df_onnx_attribute_int(proto, "end", rank);
    begin = begin < -rank ? 0 : begin < 0 ? begin + rank : begin > rank ? rank : begin;
    end = end < -rank ? 0 : end < 0 ? end + rank : end > rank ? rank : end;
    const int64_t count = end > begin ? end - begin : 0;
    DF_TRY(create(onnx, proto, DF_ONNX_INT64, 1, &count, !constant, &y));
    for (int64_t d = 0; d < count; d++)
        df_onnx_put(&y->constant, d, extent(dims[begin + d]));
    return DFAL_OK;
}

dfal_status df_onnx_size_of(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct df_onnx_number number = {0};
    const int64_t *dims;
    bool constant;
    int32_t rank;
    struct df_onnx_value *y;
    DF_TRY(seen(onnx, proto, &dims, &rank, &constant));
    const int64_t size = product(dims, constant ? 0 : 1, rank);
    if (constant)
        number.whole = size;
    else
        number.samples = (double)size;
    DF_TRY(create(onnx, proto, DF_ONNX_INT64, 0, NULL, !constant, &y));
    df_onnx_put(&y->constant, 0, number);
    return DFAL_OK;
}

/* ---- Parts ----------------------------------------------------------------------------------- */

/* The data of ops that are there for shapes only. */
static dfal_status shape_data(const struct df_onnx *onnx, const Onnx__NodeProto *proto,
                              const struct df_onnx_tensor **data)
{
    const struct df_onnx_value *x = df_onnx_in(onnx, proto, 0);
    if (x && x->kind == DF_ONNX_ACTIVATION)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "reads '%.80s', which depends on the image: supported for shapes only", x->name);
    return df_onnx_arithmetic(onnx, proto, 0, "data", false, data);
}

dfal_status df_onnx_gather(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    const struct df_onnx_tensor *data, *indices;
    struct df_onnx_value *y;
    int64_t dims[2 * DF_ONNX_RANK];
    int32_t axis, rank = 0;
    DF_TRY(shape_data(onnx, proto, &data));
    DF_TRY(df_onnx_constant(onnx, proto, 1, "indices", false, &indices));
    DF_TRY(df_onnx_axis(onnx, proto, df_onnx_attribute_int(proto, "axis", 0), data->rank, &axis));
    if (data->rank - 1 + indices->rank > DF_ONNX_RANK || df_onnx_is_real(indices->type))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "has indices of type %s with %d dimensions, expected int64 and at most %d in all",
                     df_onnx_type_name(indices->type), indices->rank, DF_ONNX_RANK);
    for (int32_t d = 0; d < axis; d++)
        dims[rank++] = data->dims[d];
    for (int32_t d = 0; d < indices->rank; d++)
        dims[rank++] = indices->dims[d];
    for (int32_t d = axis + 1; d < data->rank; d++)
        dims[rank++] = data->dims[d];
    DF_TRY(create(onnx, proto, data->type, rank, dims, data->samples != NULL, &y));
    const int64_t before = product(data->dims, 0, axis), behind = product(data->dims, axis + 1, data->rank);
    int64_t to = 0;
    for (int64_t b = 0; b < before; b++)
        for (int64_t i = 0; i < indices->count; i++, to += behind) {
            int64_t at = df_onnx_int(indices, i);
            if (at < -data->dims[axis] || at >= data->dims[axis])
                DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "takes element %lld of an axis of %lld", (long long)at,
                             (long long)data->dims[axis]);
            at += at < 0 ? data->dims[axis] : 0;
            df_onnx_move(&y->constant, to, data, (b * data->dims[axis] + at) * behind, behind);
        }
    return DFAL_OK;
}

dfal_status df_onnx_slice(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    const struct df_onnx_tensor *data;
    struct df_onnx_value *y;
    int64_t starts[DF_ONNX_RANK * 2], ends[DF_ONNX_RANK * 2], axes[DF_ONNX_RANK * 2], steps[DF_ONNX_RANK * 2];
    int64_t first[DF_ONNX_RANK] = {0}, step[DF_ONNX_RANK] = {0}, dims[DF_ONNX_RANK] = {0},
            at[DF_ONNX_RANK] = {0};
    int32_t count[4];
    DF_TRY(shape_data(onnx, proto, &data));
    const int32_t rank = rank_of(data);
    DF_TRY(df_onnx_ints(onnx, proto, "starts", 1, starts, &count[0]));
    DF_TRY(df_onnx_ints(onnx, proto, "ends", 2, ends, &count[1]));
    DF_TRY(df_onnx_ints(onnx, proto, "axes", 3, axes, &count[2]));
    DF_TRY(df_onnx_ints(onnx, proto, "steps", 4, steps, &count[3]));
    if (count[0] < 0 || count[1] != count[0] || (count[2] >= 0 && count[2] != count[0]) ||
        (count[3] >= 0 && count[3] != count[0]))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has %d starts, %d ends, %d axes and %d steps", count[0],
                     count[1], count[2], count[3]);
    for (int32_t d = 0; d < rank; d++) {
        dims[d] = data->dims[d];
        step[d] = 1;
    }
    for (int32_t i = 0; i < count[0]; i++) {
        int32_t axis;
        DF_TRY(df_onnx_axis(onnx, proto, count[2] >= 0 ? axes[i] : i, rank, &axis));
        const int64_t n = data->dims[axis], by = count[3] >= 0 ? steps[i] : 1;
        if (by == 0 || by < -INT32_MAX || by > INT32_MAX)
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has a step of %lld", (long long)by);
        int64_t a = starts[i] < -n ? -n : starts[i] > n ? n : starts[i];
        int64_t b = ends[i] < -n ? -n - 1 : ends[i] > n ? n : ends[i];
        a += a < 0 ? n : 0;
        b += b < 0 ? n : 0;
        if (by < 0)
            a = a > n - 1 ? n - 1 : a;
        else
            b = b < 0 ? 0 : b;
        dims[axis] = by > 0 ? (b > a ? (b - a + by - 1) / by : 0) : (a > b ? (a - b - by - 1) / -by : 0);
        first[axis] = a;
        step[axis] = by;
    }
    DF_TRY(create(onnx, proto, data->type, rank, dims, data->samples != NULL, &y));
    for (int64_t i = 0; i < y->constant.count; i++) {
        int64_t from = 0;
        for (int32_t d = 0; d < rank; d++)
            from = from * data->dims[d] + first[d] + at[d] * step[d];
        df_onnx_move(&y->constant, i, data, from, 1);
        for (int32_t d = rank - 1; d >= 0 && ++at[d] == dims[d]; d--)
            at[d] = 0;
    }
    return DFAL_OK;
}

/* Computed constants are of the widest type, so one of each kind stands for all of that kind. */
static int32_t common_type(int32_t a, int32_t b)
{
    return a == b ? a : df_onnx_is_real(a) ? DF_ONNX_DOUBLE : DF_ONNX_INT64;
}

dfal_status df_onnx_fold_concat(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    const struct df_onnx_tensor *first, *part;
    struct df_onnx_value *y;
    int64_t dims[DF_ONNX_RANK], sum = 0, to = 0;
    int32_t axis, type;
    bool samples = false;
    DF_TRY(df_onnx_arithmetic(onnx, proto, 0, "input", false, &first));
    DF_TRY(df_onnx_axis(onnx, proto, df_onnx_attribute_int(proto, "axis", 0), first->rank, &axis));
    type = first->type;
    for (size_t i = 0; i < proto->n_input; i++) {
        DF_TRY(df_onnx_arithmetic(onnx, proto, i, "input", false, &part));
        bool fits = part->rank == first->rank && df_onnx_is_real(part->type) == df_onnx_is_real(first->type);
        for (int32_t d = 0; fits && d < part->rank; d++)
            fits = d == axis || part->dims[d] == first->dims[d];
        if (!fits || part->dims[axis] > MOST_ELEMENTS)
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                         "concatenates constants of different shapes or types along axis %d", axis);
        sum += part->dims[axis];
        type = common_type(type, part->type);
        samples = samples || part->samples;
    }
    memcpy(dims, first->dims, sizeof dims);
    dims[axis] = sum;
    DF_TRY(create(onnx, proto, type, first->rank, dims, samples, &y));
    const int64_t before = product(dims, 0, axis), behind = product(dims, axis + 1, first->rank);
    for (int64_t b = 0; b < before; b++)
        for (size_t i = 0; i < proto->n_input; i++) {
            DF_TRY(df_onnx_arithmetic(onnx, proto, i, "input", false, &part));
            const int64_t count = part->dims[axis] * behind;
            df_onnx_move(&y->constant, to, part, b * count, count);
            to += count;
        }
    return DFAL_OK;
}

/* ---- Arithmetic ------------------------------------------------------------------------------ */

dfal_status df_onnx_fold_join(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    const struct df_onnx_tensor *pair[2];
    struct df_onnx_value *y;
    int64_t dims[DF_ONNX_RANK] = {0}, stride[2][DF_ONNX_RANK] = {{0}}, at[DF_ONNX_RANK] = {0}, from[2] = {0};
    char text[2][128];
    for (size_t i = 0; i < 2; i++)
        DF_TRY(df_onnx_arithmetic(onnx, proto, i, "operand", false, &pair[i]));
    const int32_t ranks[2] = {rank_of(pair[0]), rank_of(pair[1])};
    const int32_t rank = ranks[0] > ranks[1] ? ranks[0] : ranks[1];
    bool fits = true;
    for (int32_t d = 0; d < rank; d++)
        dims[d] = 1;
    for (int i = 0; i < 2; i++) {
        int64_t step = 1;
        for (int32_t d = ranks[i] - 1; d >= 0; d--) {
            const int32_t axis = d + rank - ranks[i];
            const int64_t extent = pair[i]->dims[d];
            fits = fits && (extent == dims[axis] || extent == 1 || dims[axis] == 1);
            dims[axis] = extent != 1 ? extent : dims[axis];
            stride[i][axis] = extent != 1 ? step : 0;
            step *= extent;
        }
    }
    if (!fits)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_SHAPE, "joins constants of shape %s and %s",
                     df_onnx_dims_text(text[0], pair[0]->rank, pair[0]->dims),
                     df_onnx_dims_text(text[1], pair[1]->rank, pair[1]->dims));
    const bool reals = df_onnx_is_real(pair[0]->type) || df_onnx_is_real(pair[1]->type);
    DF_TRY(create(onnx, proto, reals ? DF_ONNX_DOUBLE : DF_ONNX_INT64, rank, dims,
                  pair[0]->samples || pair[1]->samples, &y));
    for (int64_t i = 0; i < y->constant.count; i++) {
        const struct df_onnx_number a = df_onnx_get(pair[0], from[0]), b = df_onnx_get(pair[1], from[1]);
        struct df_onnx_number result;
        DF_TRY(df_onnx_calculate(onnx, proto, proto->op_type[0], reals, &a, &b, &result));
        df_onnx_put(&y->constant, i, result);
        for (int32_t d = rank - 1; d >= 0; d--) {
            from[0] += stride[0][d];
            from[1] += stride[1][d];
            if (++at[d] < dims[d])
                break;
            from[0] -= stride[0][d] * dims[d];
            from[1] -= stride[1][d] * dims[d];
            at[d] = 0;
        }
    }
    return DFAL_OK;
}

/* ---- Reductions and steps -------------------------------------------------------------------- */

dfal_status df_onnx_reduce_prod(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    const bool keep = df_onnx_attribute_int(proto, "keepdims", 1) != 0;
    const struct df_onnx_tensor *data;
    struct df_onnx_value *y;
    int64_t given[DF_ONNX_RANK * 2], dims[DF_ONNX_RANK], stride[DF_ONNX_RANK] = {0}, at[DF_ONNX_RANK] = {0};
    int32_t count, kept = 0;
    bool set[DF_ONNX_RANK];
    DF_TRY(shape_data(onnx, proto, &data));
    DF_TRY(df_onnx_ints(onnx, proto, "axes", 1, given, &count));
    const int32_t rank = rank_of(data);
    DF_TRY(df_onnx_axes(onnx, proto, given, count, rank, set));
    if (count <= 0 && df_onnx_attribute_int(proto, "noop_with_empty_axes", 0) != 0)
        return df_onnx_identity(onnx, proto);
    int64_t step = 1;
    for (int32_t d = rank - 1; d >= 0; d--) {
        set[d] = set[d] || count <= 0;
        stride[d] = set[d] ? 0 : step;
        step *= set[d] ? 1 : data->dims[d];
    }
    for (int32_t d = 0; d < rank; d++)
        if (keep || !set[d])
            dims[kept++] = set[d] ? 1 : data->dims[d];
    const bool reals = df_onnx_is_real(data->type);
    DF_TRY(
        create(onnx, proto, reals ? DF_ONNX_DOUBLE : DF_ONNX_INT64, kept, dims, data->samples != NULL, &y));
    for (int64_t i = 0; i < y->constant.count; i++)
        df_onnx_put(&y->constant, i, (struct df_onnx_number){.real = 1.0, .whole = 1});
    for (int64_t i = 0; i < data->count; i++) {
        int64_t to = 0;
        for (int32_t d = 0; d < rank; d++)
            to += at[d] * stride[d];
        const struct df_onnx_number a = df_onnx_get(&y->constant, to), b = df_onnx_get(data, i);
        struct df_onnx_number result;
        DF_TRY(df_onnx_calculate(onnx, proto, 'M', reals, &a, &b, &result));
        df_onnx_put(&y->constant, to, result);
        for (int32_t d = rank - 1; d >= 0 && ++at[d] == data->dims[d]; d--)
            at[d] = 0;
    }
    return DFAL_OK;
}

dfal_status df_onnx_round(struct df_onnx *onnx, const Onnx__NodeProto *proto)
{
    const bool up = proto->op_type[0] == 'C';
    const struct df_onnx_tensor *data;
    struct df_onnx_value *y;
    DF_TRY(shape_data(onnx, proto, &data));
    if (!df_onnx_is_real(data->type))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "rounds numbers of type %s, expected real ones",
                     df_onnx_type_name(data->type));
    DF_TRY(create(onnx, proto, DF_ONNX_DOUBLE, data->rank, data->dims, data->samples != NULL, &y));
    for (int64_t i = 0; i < data->count; i++) {
        struct df_onnx_number number = df_onnx_get(data, i);
        if (number.samples != rint(number.samples))
            number.samples = NAN;
        number.real = up ? ceil(number.real) : floor(number.real);
        df_onnx_put(&y->constant, i, number);
    }
    return DFAL_OK;
}
