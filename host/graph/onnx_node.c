/* SPDX-License-Identifier: Apache-2.0 */
/* What the lowering of an op asks of the file's node: inputs, attributes, numbers that are constants. */
#include <string.h>

#include "graph/onnx_model.h"

dfal_status df_onnx_blame(const struct df_onnx *onnx, const Onnx__NodeProto *proto, dfal_status status)
{
    const char *name = proto->name;
    if (!name || !*name)
        name = proto->n_output > 0 ? proto->output[0] : "";
    return df_fail_prefix(status, "%s: node '%.80s' (%.40s) ", onnx->path, name, proto->op_type);
}

struct df_onnx_value *df_onnx_in(const struct df_onnx *onnx, const Onnx__NodeProto *proto, size_t i)
{
    if (i >= proto->n_input || !proto->input[i] || !*proto->input[i])
        return NULL;
    return df_onnx_find(onnx, proto->input[i]);
}

struct df_onnx_value *df_onnx_out(const struct df_onnx *onnx, const Onnx__NodeProto *proto, size_t i)
{
    if (i >= proto->n_output || !proto->output[i] || !*proto->output[i])
        return NULL;
    return df_onnx_find(onnx, proto->output[i]);
}

const Onnx__AttributeProto *df_onnx_attribute(const Onnx__NodeProto *proto, const char *name)
{
    for (size_t i = 0; i < proto->n_attribute; i++)
        if (proto->attribute[i]->name && strcmp(proto->attribute[i]->name, name) == 0)
            return proto->attribute[i];
    return NULL;
}

int64_t df_onnx_attribute_int(const Onnx__NodeProto *proto, const char *name, int64_t missing)
{
    const Onnx__AttributeProto *attribute = df_onnx_attribute(proto, name);
    return attribute ? attribute->i : missing;
}

double df_onnx_attribute_real(const Onnx__NodeProto *proto, const char *name, double missing)
{
    const Onnx__AttributeProto *attribute = df_onnx_attribute(proto, name);
    return attribute ? (double)attribute->f : missing;
}

dfal_status df_onnx_activation(const struct df_onnx *onnx, const Onnx__NodeProto *proto, size_t i,
                               struct df_onnx_value **out)
{
    *out = df_onnx_in(onnx, proto, i);
    if (!*out)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has no input %zu", i);
    if ((*out)->kind != DF_ONNX_ACTIVATION)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "reads the constant '%.80s', expected a value that depends on the image", (*out)->name);
    if ((*out)->softmax)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "reads '%.80s', which a softmax computes: a softmax is supported at the output only",
                     (*out)->name);
    return DFAL_OK;
}

dfal_status df_onnx_load_constant(const struct df_onnx *onnx, struct df_onnx_value *value)
{
    if (value->constant.bytes || !value->initializer)
        return DFAL_OK;
    return df_onnx_tensor_read(onnx, &value->constant, value->initializer);
}

dfal_status df_onnx_arithmetic(const struct df_onnx *onnx, const Onnx__NodeProto *proto, size_t i,
                               const char *what, bool optional, const struct df_onnx_tensor **out)
{
    struct df_onnx_value *value = df_onnx_in(onnx, proto, i);
    *out = NULL;
    if (!value && optional)
        return DFAL_OK;
    if (!value)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has no %s (input %zu)", what, i);
    if (value->kind != DF_ONNX_CONSTANT)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "has the %s '%.80s', which is computed from the image, expected a constant", what,
                     value->name);
    DF_TRY(df_onnx_load_constant(onnx, value));
    *out = &value->constant;
    return DFAL_OK;
}

dfal_status df_onnx_constant(const struct df_onnx *onnx, const Onnx__NodeProto *proto, size_t i,
                             const char *what, bool optional, const struct df_onnx_tensor **out)
{
    DF_TRY(df_onnx_arithmetic(onnx, proto, i, what, optional, out));
    if (*out && df_onnx_has_samples(*out))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "calculates its %s '%.80s' with the number of samples in a batch: each has to be scored "
                     "by itself",
                     what, proto->input[i]);
    return DFAL_OK;
}

/* Element k of a list of extents. */
static dfal_status read_extent(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const char *name,
                               const struct df_onnx_tensor *tensor, int64_t k, int64_t *extent)
{
    const struct df_onnx_number number = df_onnx_get(tensor, k);
    *extent = number.whole;
    if (number.samples == 1.0 && number.whole == 0)
        *extent = DF_ONNX_BATCH;
    else if (number.samples != 0.0)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "calculates number %lld of its %s with the number of samples in a batch: each has to be "
                     "scored by itself",
                     (long long)k + 1, name);
    else if (number.whole == DF_ONNX_BATCH) /* a number of the file is no mark */
        *extent = DF_ONNX_BATCH - 1;
    return DFAL_OK;
}

static dfal_status read_list(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const char *name,
                             const struct df_onnx_tensor *tensor, int64_t values[DF_ONNX_RANK * 2],
                             int32_t *count)
{
    const Onnx__AttributeProto *attribute = df_onnx_attribute(proto, name);
    *count = -1;
    int64_t held = tensor ? tensor->count : attribute ? (int64_t)attribute->n_ints : -1;
    if (held > DF_ONNX_RANK * 2)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has %lld %s, expected at most %d", (long long)held, name,
                     DF_ONNX_RANK * 2);
    if (tensor && (df_onnx_is_real(tensor->type) || tensor->rank > 1))
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                     "has %s of type %s with %d dimensions, expected a list of int64", name,
                     df_onnx_type_name(tensor->type), tensor->rank);
    for (int64_t k = 0; k < held; k++)
        if (tensor)
            DF_TRY(read_extent(onnx, proto, name, tensor, k, &values[k]));
        else
            values[k] = attribute->ints[k];
    *count = (int32_t)held;
    return DFAL_OK;
}

dfal_status df_onnx_ints(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const char *name, size_t i,
                         int64_t values[DF_ONNX_RANK * 2], int32_t *count)
{
    const struct df_onnx_tensor *tensor = NULL;
    *count = -1;
    if (i > 0)
        DF_TRY(df_onnx_constant(onnx, proto, i, name, true, &tensor));
    return read_list(onnx, proto, name, tensor, values, count);
}

dfal_status df_onnx_extents(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const char *name,
                            size_t i, int64_t values[DF_ONNX_RANK * 2], int32_t *count)
{
    const struct df_onnx_tensor *tensor;
    *count = -1;
    DF_TRY(df_onnx_arithmetic(onnx, proto, i, name, true, &tensor));
    return read_list(onnx, proto, name, tensor, values, count);
}

dfal_status df_onnx_scalar(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const char *name,
                           size_t i, double missing, double *value, bool *found)
{
    const Onnx__AttributeProto *attribute = df_onnx_attribute(proto, name);
    const struct df_onnx_tensor *tensor = NULL;
    *value = attribute ? (double)attribute->f : missing;
    if (i > 0)
        DF_TRY(df_onnx_constant(onnx, proto, i, name, true, &tensor));
    if (tensor && tensor->count != 1)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has a %s of %lld values, expected one", name,
                     (long long)tensor->count);
    if (tensor)
        *value = df_onnx_real(tensor, 0);
    if (found)
        *found = attribute || tensor;
    return DFAL_OK;
}

dfal_status df_onnx_axis(const struct df_onnx *onnx, const Onnx__NodeProto *proto, int64_t given,
                         int32_t rank, int32_t *axis)
{
    if (given < -rank || given >= rank)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has the axis %lld of %d dimensions", (long long)given, rank);
    *axis = (int32_t)(given < 0 ? given + rank : given);
    return DFAL_OK;
}

dfal_status df_onnx_axes(const struct df_onnx *onnx, const Onnx__NodeProto *proto, const int64_t *given,
                         int32_t count, int32_t rank, bool set[DF_ONNX_RANK])
{
    memset(set, 0, DF_ONNX_RANK * sizeof *set);
    for (int32_t i = 0; i < count; i++) {
        int32_t axis = 0;
        DF_TRY(df_onnx_axis(onnx, proto, given[i], rank, &axis));
        if (set[axis])
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "names the axis %d twice", axis);
        set[axis] = true;
    }
    return DFAL_OK;
}
