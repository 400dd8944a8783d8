/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs of cuDNN's graph interface.
 *
 * Numbers  an engine is taken when none of its numerical notes is in `inexact`: tensor cores (TF32 for
 *          float32 tensors), inputs or sums of lower precision, sums in an order that differs from run to
 *          run, and transforms (FFT, Winograd), whose rounding errors are several times those of a plain
 *          sum.
 * Half     the backward of a half_backward layer: tensors of binary16 with channels last, sums in float32.
 *          Tensor cores are wanted there.
 * Traps    engines that are compiled when first used are passed over: seconds each, and NVRTC must be there.
 *          So are those that leave the work to cublasLt, whose choice stays unseen, and which are on offer
 *          only where the GPU is. Tensors are declared aligned to one float, since a span may begin at any;
 *          those of binary16 are our own. */
#include <string.h>

#include "backend/cuda_graph.h"

typedef cudnnBackendDescriptor_t descriptor;

const int64_t df_cudnn_uids[DF_CUDNN_TENSORS] = {'x', 'w', 'y', 'b'};

/* The convolution's result before the bias is added: it stands in no memory. */
static const int64_t sum_uid = 's';

static const cudnnBackendNumericalNote_t inexact[] = {
    CUDNN_NUMERICAL_NOTE_TENSOR_CORE, /* the first: half precision may use them */
    CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS,
    CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION,
    CUDNN_NUMERICAL_NOTE_FFT,
    CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC,
    CUDNN_NUMERICAL_NOTE_WINOGRAD,
    CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4,
    CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6,
    CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13,
};

enum { MAX_NOTES = 16 };

/* Bytes that a tensor of binary16 is aligned to at the least: what the fastest loads of tensor core kernels
 * take. */
enum { HALF_ALIGNMENT = 16 };

bool df_cudnn_is_half(const struct df_layer_desc *desc, enum df_layer_kind kind)
{
    return desc->half_backward && kind == DF_LAYER_BACKWARD;
}

dfal_status df_cudnn_status(cudnnStatus_t status, const char *what)
{
    char words[256] = "";
    if (status == CUDNN_STATUS_SUCCESS)
        return DFAL_OK;
    cudnnGetLastErrorString(words, sizeof words);
    words[strcspn(words, "\n")] = '\0';
    dfal_status mapped = DFAL_E_UNAVAILABLE;
    if (status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
        status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)
        mapped = DFAL_E_MEMORY;
    else if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_BAD_PARAM)
        mapped = DFAL_E_INTERNAL;
    DF_FAIL(mapped, "cuDNN: %s: %s%s%s", what, cudnnGetErrorString(status), *words != '\0' ? ", " : "",
            words);
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

void df_cudnn_drop(descriptor d)
{
    if (d != NULL)
        (void)cudnnBackendDestroyDescriptor(d);
}

dfal_status df_cudnn_set(descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                         int64_t count, const void *values)
{
    return df_cudnn_status(cudnnBackendSetAttribute(d, name, type, count, values), "setting an attribute");
}

dfal_status df_cudnn_set_descriptor(descriptor d, cudnnBackendAttributeName_t name, descriptor value)
{
    return df_cudnn_set(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

dfal_status df_cudnn_create(descriptor *out, cudnnBackendDescriptorType_t type)
{
    *out = NULL;
    return df_cudnn_status(cudnnBackendCreateDescriptor(type, out), "making a descriptor");
}

dfal_status df_cudnn_get(descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                         int64_t room, int64_t *count, void *values, const char *what)
{
    return df_cudnn_status(cudnnBackendGetAttribute(d, name, type, room, count, values), what);
}

dfal_status df_cudnn_properties(cudnnBackendDescriptor_t *out, cudnnHandle_t handle, const char *json)
{
    descriptor d = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_cudnn_create(&d, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR));
    if (handle != NULL)
        status = df_cudnn_set(d, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    else
        status = df_cudnn_set(d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                              (int64_t)strlen(json) + 1, json);
    if (status == DFAL_OK)
        status = df_cudnn_status(cudnnBackendFinalize(d), "reading a GPU's properties");
    if (status != DFAL_OK)
        df_cudnn_drop(d);
    else
        *out = d;
    return status;
}

/* ---- The operation --------------------------------------------------------------------------- */

void df_cudnn_graph_clear(struct df_cudnn_graph *o)
{
    df_cudnn_drop(o->graph);
    df_cudnn_drop(o->nodes[1]);
    df_cudnn_drop(o->nodes[0]);
    df_cudnn_drop(o->pointwise);
    df_cudnn_drop(o->convolution);
    df_cudnn_drop(o->sum);
    for (int i = 0; i < DF_CUDNN_TENSORS; i++)
        df_cudnn_drop(o->tensors[i]);
}

/* A tensor of four dimensions, the last one running fastest; half: the second one. */
static dfal_status describe_tensor(descriptor *out, int64_t uid, const int64_t dims[4], bool is_virtual,
                                   bool half)
{
    const cudnnDataType_t type = half ? CUDNN_DATA_HALF : CUDNN_DATA_FLOAT;
    const int64_t alignment = half ? HALF_ALIGNMENT : sizeof(float), row = dims[1] * dims[2] * dims[3];
    const int64_t plain[4] = {row, dims[2] * dims[3], dims[3], 1},
                  last[4] = {row, 1, dims[1] * dims[3], dims[1]};
    const int64_t *strides = half ? last : plain;
    DF_TRY(df_cudnn_create(out, CUDNN_BACKEND_TENSOR_DESCRIPTOR));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual));
    return df_cudnn_status(cudnnBackendFinalize(*out), "describing a tensor");
}

static dfal_status describe_convolution(descriptor *out, const struct df_window *w)
{
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t spatial = 2;
    const int64_t before[2] = {w->pad[0], w->pad[1]}, after[2] = {w->pad[2], w->pad[3]};
    const int64_t stride[2] = {w->stride[0], w->stride[1]}, dilation[2] = {w->dilation[0], w->dilation[1]};
    DF_TRY(df_cudnn_create(out, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &spatial));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride));
    DF_TRY(df_cudnn_set(*out, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation));
    return df_cudnn_status(cudnnBackendFinalize(*out), "describing a convolution");
}

/* How the three operations are called. */
static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t convolution, alpha, beta, tensors[DF_CUDNN_TENSORS];
} operations[] = {
    [DF_LAYER_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                          {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y}},
    [DF_LAYER_BACKWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                           {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY}},
    [DF_LAYER_WEIGHT_GRADIENT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                                  {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY}},
};

/* The node of the convolution proper; y is where its result goes. */
static dfal_status add_convolution(struct df_cudnn_graph *o, enum df_layer_kind kind, descriptor y)
{
    const float alpha = 1.0F, beta = 0.0F;
    descriptor *node = &o->nodes[0];
    DF_TRY(df_cudnn_create(node, operations[kind].type));
    DF_TRY(df_cudnn_set_descriptor(*node, operations[kind].convolution, o->convolution));
    DF_TRY(df_cudnn_set_descriptor(*node, operations[kind].tensors[DF_CUDNN_X], o->tensors[DF_CUDNN_X]));
    DF_TRY(df_cudnn_set_descriptor(*node, operations[kind].tensors[DF_CUDNN_WEIGHT],
                                   o->tensors[DF_CUDNN_WEIGHT]));
    DF_TRY(df_cudnn_set_descriptor(*node, operations[kind].tensors[DF_CUDNN_Y], y));
    DF_TRY(df_cudnn_set(*node, operations[kind].alpha, CUDNN_TYPE_FLOAT, 1, &alpha));
    DF_TRY(df_cudnn_set(*node, operations[kind].beta, CUDNN_TYPE_FLOAT, 1, &beta));
    return df_cudnn_status(cudnnBackendFinalize(*node), "describing an operation");
}

/* y = sum + bias */
static dfal_status add_bias(struct df_cudnn_graph *o)
{
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
    descriptor *node = &o->nodes[1];
    DF_TRY(df_cudnn_create(&o->pointwise, CUDNN_BACKEND_POINTWISE_DESCRIPTOR));
    DF_TRY(df_cudnn_set(o->pointwise, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode));
    DF_TRY(df_cudnn_set(o->pointwise, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type));
    DF_TRY(df_cudnn_status(cudnnBackendFinalize(o->pointwise), "describing a sum"));
    DF_TRY(df_cudnn_create(node, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR));
    DF_TRY(df_cudnn_set_descriptor(*node, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, o->pointwise));
    DF_TRY(df_cudnn_set_descriptor(*node, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, o->sum));
    DF_TRY(df_cudnn_set_descriptor(*node, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, o->tensors[DF_CUDNN_BIAS]));
    DF_TRY(df_cudnn_set_descriptor(*node, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, o->tensors[DF_CUDNN_Y]));
    return df_cudnn_status(cudnnBackendFinalize(*node), "describing an operation");
}

dfal_status df_cudnn_graph_describe(struct df_cudnn_graph *o, const struct df_cudnn_problem *p)
{
    const struct df_layer_desc *desc = p->desc;
    const int64_t rows = p->rows, group = desc->group > 1 ? desc->group : 1;
    const int64_t dims[DF_CUDNN_TENSORS][4] = {
        [DF_CUDNN_X] = {rows, desc->in.c, desc->in.h, desc->in.w},
        [DF_CUDNN_WEIGHT] = {desc->out.c, desc->in.c / group, desc->window.kernel[0], desc->window.kernel[1]},
        [DF_CUDNN_Y] = {rows, desc->out.c, desc->out.h, desc->out.w},
        [DF_CUDNN_BIAS] = {1, desc->out.c, 1, 1}};
    for (int i = 0; i < DF_CUDNN_TENSORS; i++)
        DF_TRY(describe_tensor(&o->tensors[i], df_cudnn_uids[i], dims[i], false,
                               df_cudnn_is_half(desc, p->kind)));
    DF_TRY(describe_convolution(&o->convolution, &desc->window));
    if (p->bias) {
        DF_TRY(describe_tensor(&o->sum, sum_uid, dims[DF_CUDNN_Y], true, false));
        DF_TRY(add_bias(o));
    }
    DF_TRY(add_convolution(o, p->kind, p->bias ? o->sum : o->tensors[DF_CUDNN_Y]));
    DF_TRY(df_cudnn_create(&o->graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR));
    DF_TRY(df_cudnn_set(o->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                        p->bias ? 2 : 1, o->nodes));
    return df_cudnn_status(cudnnBackendFinalize(o->graph), "describing a graph");
}

dfal_status df_cudnn_is_strict(descriptor engine, bool half, bool *strict)
{
    cudnnBackendNumericalNote_t notes[MAX_NOTES];
    cudnnBackendBehaviorNote_t behaviour[MAX_NOTES];
    int64_t count = 0;
    *strict = true;
    DF_TRY(df_cudnn_get(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, MAX_NOTES,
                        &count, notes, "reading an engine's numerical notes"));
    for (int64_t i = 0; i < count && i < MAX_NOTES; i++)
        for (size_t k = half ? 1 : 0; k < sizeof inexact / sizeof *inexact; k++)
            *strict = *strict && notes[i] != inexact[k];
    DF_TRY(df_cudnn_get(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, MAX_NOTES, &count,
                        behaviour, "reading an engine's notes on behaviour"));
    for (int64_t i = 0; i < count && i < MAX_NOTES; i++)
        *strict = *strict && behaviour[i] != CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION &&
                  behaviour[i] != CUDNN_BEHAVIOR_NOTE_CUBLASLT_DEPENDENCY;
    return DFAL_OK;
}

static dfal_status read_knob(struct df_cudnn_knob *out, cudnnBackendDescriptor_t info)
{
    static const char *const what = "reading a knob's range";
    int64_t one;
    DF_TRY(df_cudnn_get(info, CUDNN_ATTR_KNOB_INFO_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &one, &out->type, what));
    DF_TRY(
        df_cudnn_get(info, CUDNN_ATTR_KNOB_INFO_MINIMUM_VALUE, CUDNN_TYPE_INT64, 1, &one, &out->min, what));
    DF_TRY(
        df_cudnn_get(info, CUDNN_ATTR_KNOB_INFO_MAXIMUM_VALUE, CUDNN_TYPE_INT64, 1, &one, &out->max, what));
    DF_TRY(df_cudnn_get(info, CUDNN_ATTR_KNOB_INFO_STRIDE, CUDNN_TYPE_INT64, 1, &one, &out->stride, what));
    out->stride = out->stride > 0 ? out->stride : 1;
    return DFAL_OK;
}

dfal_status df_cudnn_knobs(struct df_cudnn_knob knobs[CUDNN_KNOB_TYPE_COUNTS], int *count,
                           cudnnBackendDescriptor_t engine)
{
    cudnnBackendDescriptor_t infos[CUDNN_KNOB_TYPE_COUNTS] = {NULL};
    int64_t found = 0;
    dfal_status status;
    *count = 0;
    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
        DF_TRY_TO(done, status, df_cudnn_create(&infos[i], CUDNN_BACKEND_KNOB_INFO_DESCRIPTOR));
    DF_TRY_TO(done, status,
              df_cudnn_get(engine, CUDNN_ATTR_ENGINE_KNOB_INFO, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                           CUDNN_KNOB_TYPE_COUNTS, &found, infos, "reading an engine's knobs"));
    for (; *count < found && *count < CUDNN_KNOB_TYPE_COUNTS; (*count)++)
        DF_TRY_TO(done, status, read_knob(&knobs[*count], infos[*count]));
done:
    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
        df_cudnn_drop(infos[i]);
    return status;
}
