/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of cuDNN's graph interface.
 *
 * Numbers  an engine is taken when none of its numerical notes is in `inexact`: tensor cores (TF32 for
 * float32
 *          tensors), inputs or sums of lower precision, sums in an order that differs from run to run, and
 *          transforms (FFT, Winograd), whose rounding errors are several times those of a plain sum.
 * Order    a preferred engine, chosen by the shape alone from what was measured once (below), then what the
 *          heuristics list first; they know the shape and the GPU's properties and nothing else, so the same
 *          plan comes out each time on one model of GPU with one version of cuDNN.
 * Turned   an input gradient without stride is the forward of a convolution over turned weights, and the
 *          forward's large tile has no like among the gradient's engines.
 * Position a stream-K engine cuts sums by where an output stands: the same row would have other bits at
 *          another place of the batch. Its knob must be 0.
 * Half     the backward of a half_backward layer: tensors of binary16 with channels last, sums in float32.
 *          Tensor cores are wanted there; sums cut into slices are passed over as well.
 * Traps    engines that are compiled when first used are passed over: seconds each, and NVRTC must be there.
 *          So are those that leave the work to cublasLt, whose choice stays unseen, and which are on offer
 *          only where the GPU is. Tensors are declared aligned to one float, since a span may begin at any;
 *          those of binary16 are our own. */
#include <stdio.h>
#include <string.h>

#include "backend/cuda_plan.h"
#include "base/memory.h"

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

/* Configurations asked of one heuristic. */
enum { MAX_CONFIGS = 64, MAX_NOTES = 16 };

/* Bytes that a tensor of binary16 is aligned to at the least: what the fastest loads of tensor core kernels
 * take. */
enum { HALF_ALIGNMENT = 16 };

static bool is_half(const struct df_layer_desc *desc, enum df_layer_kind kind)
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

static void drop(descriptor d)
{
    if (d != NULL)
        (void)cudnnBackendDestroyDescriptor(d);
}

static dfal_status set(descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       int64_t count, const void *values)
{
    return df_cudnn_status(cudnnBackendSetAttribute(d, name, type, count, values), "setting an attribute");
}

static dfal_status set_descriptor(descriptor d, cudnnBackendAttributeName_t name, descriptor value)
{
    return set(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static dfal_status create(descriptor *out, cudnnBackendDescriptorType_t type)
{
    *out = NULL;
    return df_cudnn_status(cudnnBackendCreateDescriptor(type, out), "making a descriptor");
}

dfal_status df_cudnn_properties(cudnnBackendDescriptor_t *out, cudnnHandle_t handle, const char *json)
{
    descriptor d = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(create(&d, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR));
    if (handle != NULL)
        status = set(d, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    else
        status = set(d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(json) + 1,
                     json);
    if (status == DFAL_OK)
        status = df_cudnn_status(cudnnBackendFinalize(d), "reading a GPU's properties");
    if (status != DFAL_OK)
        drop(d);
    else
        *out = d;
    return status;
}

/* ---- The operation --------------------------------------------------------------------------- */

/* What the operation is made of; the graph refers to all of it. */
struct operation {
    descriptor tensors[DF_CUDNN_TENSORS], sum, convolution, pointwise;
    descriptor nodes[2]; /* the convolution; forward: and the bias */
    descriptor graph;
};

static void clear(struct operation *o)
{
    drop(o->graph);
    drop(o->nodes[1]);
    drop(o->nodes[0]);
    drop(o->pointwise);
    drop(o->convolution);
    drop(o->sum);
    for (int i = 0; i < DF_CUDNN_TENSORS; i++)
        drop(o->tensors[i]);
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
    DF_TRY(create(out, CUDNN_BACKEND_TENSOR_DESCRIPTOR));
    DF_TRY(set(*out, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type));
    DF_TRY(set(*out, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims));
    DF_TRY(set(*out, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides));
    DF_TRY(set(*out, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid));
    DF_TRY(set(*out, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment));
    DF_TRY(set(*out, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual));
    return df_cudnn_status(cudnnBackendFinalize(*out), "describing a tensor");
}

static dfal_status describe_convolution(descriptor *out, const struct df_window *w)
{
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t spatial = 2;
    const int64_t before[2] = {w->pad[0], w->pad[1]}, after[2] = {w->pad[2], w->pad[3]};
    const int64_t stride[2] = {w->stride[0], w->stride[1]}, dilation[2] = {w->dilation[0], w->dilation[1]};
    DF_TRY(create(out, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR));
    DF_TRY(set(*out, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &spatial));
    DF_TRY(set(*out, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type));
    DF_TRY(set(*out, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode));
    DF_TRY(set(*out, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before));
    DF_TRY(set(*out, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after));
    DF_TRY(set(*out, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride));
    DF_TRY(set(*out, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation));
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
static dfal_status add_convolution(struct operation *o, enum df_layer_kind kind, descriptor y)
{
    const float alpha = 1.0F, beta = 0.0F;
    descriptor *node = &o->nodes[0];
    DF_TRY(create(node, operations[kind].type));
    DF_TRY(set_descriptor(*node, operations[kind].convolution, o->convolution));
    DF_TRY(set_descriptor(*node, operations[kind].tensors[DF_CUDNN_X], o->tensors[DF_CUDNN_X]));
    DF_TRY(set_descriptor(*node, operations[kind].tensors[DF_CUDNN_WEIGHT], o->tensors[DF_CUDNN_WEIGHT]));
    DF_TRY(set_descriptor(*node, operations[kind].tensors[DF_CUDNN_Y], y));
    DF_TRY(set(*node, operations[kind].alpha, CUDNN_TYPE_FLOAT, 1, &alpha));
    DF_TRY(set(*node, operations[kind].beta, CUDNN_TYPE_FLOAT, 1, &beta));
    return df_cudnn_status(cudnnBackendFinalize(*node), "describing an operation");
}

/* y = sum + bias */
static dfal_status add_bias(struct operation *o)
{
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
    descriptor *node = &o->nodes[1];
    DF_TRY(create(&o->pointwise, CUDNN_BACKEND_POINTWISE_DESCRIPTOR));
    DF_TRY(set(o->pointwise, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode));
    DF_TRY(set(o->pointwise, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type));
    DF_TRY(df_cudnn_status(cudnnBackendFinalize(o->pointwise), "describing a sum"));
    DF_TRY(create(node, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR));
    DF_TRY(set_descriptor(*node, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, o->pointwise));
    DF_TRY(set_descriptor(*node, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, o->sum));
    DF_TRY(set_descriptor(*node, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, o->tensors[DF_CUDNN_BIAS]));
    DF_TRY(set_descriptor(*node, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, o->tensors[DF_CUDNN_Y]));
    return df_cudnn_status(cudnnBackendFinalize(*node), "describing an operation");
}

/* What a plan is sought for. A turned gradient is a forward without bias. */
struct problem {
    const struct df_layer_desc *desc;
    enum df_layer_kind kind;
    bool bias;
    int64_t rows;
};

static dfal_status describe(struct operation *o, const struct problem *p)
{
    const struct df_layer_desc *desc = p->desc;
    const int64_t rows = p->rows, group = desc->group > 1 ? desc->group : 1;
    const int64_t dims[DF_CUDNN_TENSORS][4] = {
        [DF_CUDNN_X] = {rows, desc->in.c, desc->in.h, desc->in.w},
        [DF_CUDNN_WEIGHT] = {desc->out.c, desc->in.c / group, desc->window.kernel[0], desc->window.kernel[1]},
        [DF_CUDNN_Y] = {rows, desc->out.c, desc->out.h, desc->out.w},
        [DF_CUDNN_BIAS] = {1, desc->out.c, 1, 1}};
    for (int i = 0; i < DF_CUDNN_TENSORS; i++)
        DF_TRY(describe_tensor(&o->tensors[i], df_cudnn_uids[i], dims[i], false, is_half(desc, p->kind)));
    DF_TRY(describe_convolution(&o->convolution, &desc->window));
    if (p->bias) {
        DF_TRY(describe_tensor(&o->sum, sum_uid, dims[DF_CUDNN_Y], true, false));
        DF_TRY(add_bias(o));
    }
    DF_TRY(add_convolution(o, p->kind, p->bias ? o->sum : o->tensors[DF_CUDNN_Y]));
    DF_TRY(create(&o->graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR));
    DF_TRY(set(o->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, p->bias ? 2 : 1,
               o->nodes));
    return df_cudnn_status(cudnnBackendFinalize(o->graph), "describing a graph");
}

/* ---- The choice ------------------------------------------------------------------------------ */

/* What a plan may be. */
struct bounds {
    int64_t workspace;
    bool half;
};

/* Is none of the engine's notes in `inexact`, and does it come compiled, with its own kernels? */
static dfal_status is_strict(descriptor engine, bool half, bool *strict)
{
    cudnnBackendNumericalNote_t notes[MAX_NOTES];
    cudnnBackendBehaviorNote_t behaviour[MAX_NOTES];
    int64_t count = 0;
    *strict = true;
    DF_TRY(df_cudnn_status(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                    CUDNN_TYPE_NUMERICAL_NOTE, MAX_NOTES, &count, notes),
                           "reading an engine's numerical notes"));
    for (int64_t i = 0; i < count && i < MAX_NOTES; i++)
        for (size_t k = half ? 1 : 0; k < sizeof inexact / sizeof *inexact; k++)
            *strict = *strict && notes[i] != inexact[k];
    DF_TRY(df_cudnn_status(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
                                                    CUDNN_TYPE_BEHAVIOR_NOTE, MAX_NOTES, &count, behaviour),
                           "reading an engine's notes on behaviour"));
    for (int64_t i = 0; i < count && i < MAX_NOTES; i++)
        *strict = *strict && behaviour[i] != CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION &&
                  behaviour[i] != CUDNN_BEHAVIOR_NOTE_CUBLASLT_DEPENDENCY;
    return DFAL_OK;
}

/* Append the knobs to text; *suits becomes false where one makes bits depend on the place of a row, and with
 * half where one cuts sums into slices. */
static dfal_status read_knobs(descriptor config, bool half, char *text, size_t size, bool *suits)
{
    descriptor choices[CUDNN_KNOB_TYPE_COUNTS] = {NULL};
    int64_t count = 0, one = 0;
    dfal_status status = DFAL_OK;
    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
        DF_TRY_TO(done, status, create(&choices[i], CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR));
    DF_TRY_TO(done, status,
              df_cudnn_status(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS,
                                                       &count, choices),
                              "reading an engine's knobs"));
    for (int64_t i = 0; i < count && i < CUDNN_KNOB_TYPE_COUNTS; i++) {
        cudnnBackendKnobType_t type;
        int64_t value = 0;
        DF_TRY_TO(done, status,
                  df_cudnn_status(cudnnBackendGetAttribute(choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE,
                                                           CUDNN_TYPE_KNOB_TYPE, 1, &one, &type),
                                  "reading a knob"));
        DF_TRY_TO(done, status,
                  df_cudnn_status(cudnnBackendGetAttribute(choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE,
                                                           CUDNN_TYPE_INT64, 1, &one, &value),
                                  "reading a knob"));
        if ((type == CUDNN_KNOB_TYPE_STREAM_K && value != 0) ||
            (half && type == CUDNN_KNOB_TYPE_SPLIT_K_SLC && value > 1))
            *suits = false;
        const size_t used = strlen(text);
        (void)snprintf(text + used, size - used, "%s%d=%lld", i == 0 ? ", knobs " : " ", (int)type,
                       (long long)value);
    }
done:
    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
        drop(choices[i]);
    return status;
}

int64_t df_cudnn_workspace_limit(const struct df_layer_desc *desc, enum df_layer_kind kind, int64_t rows)
{
    const int64_t partial_sums = 4 << 20;
    const int64_t values =
        rows * (df_shape_size(desc->in) + df_shape_size(desc->out)) + df_layer_weight_count(desc);
    return values * (int64_t)(is_half(desc, kind) ? sizeof(uint16_t) : sizeof(float)) + partial_sums;
}

static dfal_status finalize_plan(struct df_cudnn_plan *out, descriptor properties, descriptor config,
                                 const struct bounds *bounds)
{
    int64_t workspace = 0, one = 0;
    DF_TRY(create(&out->plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR));
    DF_TRY(set_descriptor(out->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config));
    DF_TRY(set_descriptor(out->plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, properties));
    DF_TRY(df_cudnn_status(cudnnBackendFinalize(out->plan), "making a plan"));
    DF_TRY(df_cudnn_status(cudnnBackendGetAttribute(out->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                    CUDNN_TYPE_INT64, 1, &one, &workspace),
                           "reading a plan's workspace"));
    if (workspace > bounds->workspace)
        DF_FAIL(DFAL_E_UNAVAILABLE, "cuDNN: a plan wants %lld bytes of workspace, the limit is %lld",
                (long long)workspace, (long long)bounds->workspace);
    out->workspace = (size_t)workspace;
    return DFAL_OK;
}

/* Errors   E_UNAVAILABLE the configuration does not suit or does not work */
static dfal_status try_config(struct df_cudnn_plan *out, descriptor properties, descriptor config,
                              const struct bounds *bounds)
{
    descriptor engine = NULL;
    int64_t count = 0;
    bool strict = false, suits = true;
    dfal_status status;
    DF_TRY(create(&engine, CUDNN_BACKEND_ENGINE_DESCRIPTOR));
    DF_TRY_TO(done, status,
              df_cudnn_status(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine),
                              "reading an engine"));
    DF_TRY_TO(done, status,
              df_cudnn_status(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX,
                                                       CUDNN_TYPE_INT64, 1, &count, &out->engine),
                              "reading an engine's number"));
    (void)snprintf(out->text, sizeof out->text, "engine %lld", (long long)out->engine);
    DF_TRY_TO(done, status, is_strict(engine, bounds->half, &strict));
    DF_TRY_TO(done, status, read_knobs(config, bounds->half, out->text, sizeof out->text, &suits));
    if (strict && suits)
        status = finalize_plan(out, properties, config, bounds);
    else
        status = df_fail(DFAL_E_UNAVAILABLE, "cuDNN: %s is not exact enough", out->text);
    if (status == DFAL_OK) {
        const size_t used = strlen(out->text);
        (void)snprintf(out->text + used, sizeof out->text - used, ", %zu bytes", out->workspace);
    }
done:
    drop(engine);
    if (status != DFAL_OK)
        df_cudnn_plan_clear(out);
    return status;
}

/* The first configuration of one heuristic that works. Errors   E_UNAVAILABLE none does */
static dfal_status try_mode(struct df_cudnn_plan *out, descriptor properties, descriptor graph,
                            cudnnBackendHeurMode_t mode, const struct bounds *bounds)
{
    descriptor heuristic = NULL, configs[MAX_CONFIGS] = {NULL};
    int64_t count = 0;
    dfal_status status;
    DF_TRY_TO(done, status, create(&heuristic, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR));
    DF_TRY_TO(done, status, set_descriptor(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph));
    DF_TRY_TO(done, status, set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode));
    DF_TRY_TO(done, status, set_descriptor(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, properties));
    DF_TRY_TO(done, status, df_cudnn_status(cudnnBackendFinalize(heuristic), "asking for engines"));
    for (int i = 0; i < MAX_CONFIGS; i++)
        DF_TRY_TO(done, status, create(&configs[i], CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    DF_TRY_TO(
        done, status,
        df_cudnn_status(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, MAX_CONFIGS, &count, configs),
                        "reading the engines"));
    status = DFAL_E_UNAVAILABLE;
    for (int64_t i = 0; i < count && i < MAX_CONFIGS && status == DFAL_E_UNAVAILABLE; i++)
        status = try_config(out, properties, configs[i], bounds);
done:
    for (int i = 0; i < MAX_CONFIGS; i++)
        drop(configs[i]);
    drop(heuristic);
    return status;
}

/* ---- The preference -------------------------------------------------------------------------- */

/* A tile of the result that one block of a plain float32 engine computes, and microseconds that one took on a
 * multiprocessor of an H200 with sums of 4,608 terms: alone on it, and a tile's share where others ran beside
 * it. The sides follow from these times (docs/PERFORMANCE.md); the knob's value is cuDNN's name for it. */
static const struct tile {
    int64_t knob, positions, channels, alone, shared;
} tiles[] = {{4, 256, 64, 500, 460}, {2, 64, 64, 207, 165}, {12, 32, 64, 125, 100}};

/* An H200's. A constant, so that the choice follows from the shape alone. */
enum { MULTIPROCESSORS = 132, TILES = sizeof tiles / sizeof *tiles };

static int64_t parts(int64_t size, int64_t part)
{
    return (size + part - 1) / part;
}

/* What the busiest multiprocessor takes. */
static int64_t tile_time(const struct tile *tile, int64_t positions, int64_t channels)
{
    const int64_t count = parts(positions, tile->positions) * parts(channels, tile->channels);
    return count <= MULTIPROCESSORS ? tile->alone : parts(count, MULTIPROCESSORS) * tile->shared;
}

/* For a result of so many positions in all rows; of equal ones the largest. */
static const struct tile *best_tile(int64_t positions, int64_t channels)
{
    const struct tile *best = &tiles[0];
    for (int i = 1; i < TILES; i++)
        if (tile_time(&tiles[i], positions, channels) < tile_time(best, positions, channels))
            best = &tiles[i];
    return best;
}

enum { KNOBS = 2 };

/* An engine by its number, with knobs; engine -1: none is preferred. */
struct preference {
    int64_t engine;
    struct {
        cudnnBackendKnobType_t type;
        int64_t value;
    } knobs[KNOBS];
};

/* The engines' numbers are those of cuDNN 9.19; another version may know other engines under them, which are
 * taken where they know the knobs and are as strict by their own notes, or pass over to the heuristics.
 * Engines that lay x out first (36 with bias, 2 without) are up to 4 % faster on planes of 3x3, but want 162
 * MiB for 1,024 rows of 512 channels, four times x and y together: rows that are scored at a time are worth
 * more. */
enum { FORWARD = 44, PLAIN_FORWARD = 70, GRADIENT = 74 };

/* Groups and weight gradients were not measured, nor were gradients of another kind than those that are
 * turned: there the heuristics are asked. Of the gradient's own engines only the smallest tile is a match for
 * the forward's. */
static struct preference preference_of(const struct problem *p)
{
    const struct df_layer_desc *desc = p->desc;
    const bool forward = p->kind == DF_LAYER_FORWARD;
    const struct df_shape result = forward ? desc->out : desc->in;
    const struct tile *tile = best_tile(p->rows * result.h * result.w, result.c);
    struct preference preference = {-1,
                                    {{CUDNN_KNOB_TYPE_TILE_SIZE, tile->knob}, {CUDNN_KNOB_TYPE_IDX_MODE, 0}}};
    if (desc->group > 1 || is_half(desc, p->kind))
        return preference;
    if (forward)
        preference.engine = p->bias ? FORWARD : PLAIN_FORWARD;
    else if (p->kind == DF_LAYER_BACKWARD && tile == &tiles[TILES - 1] && df_cudnn_can_turn(desc))
        preference.engine = GRADIENT;
    return preference;
}

static dfal_status configure(descriptor config, descriptor engine, descriptor choices[KNOBS],
                             descriptor properties, descriptor graph, const struct preference *preference)
{
    DF_TRY(set_descriptor(engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph));
    DF_TRY(set(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &preference->engine));
    DF_TRY(set_descriptor(engine, CUDNN_ATTR_ENGINE_DEVICEPROP, properties));
    DF_TRY(df_cudnn_status(cudnnBackendFinalize(engine), "making an engine"));
    for (int i = 0; i < KNOBS; i++) {
        DF_TRY(create(&choices[i], CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR));
        DF_TRY(set(choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1,
                   &preference->knobs[i].type));
        DF_TRY(set(choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1,
                   &preference->knobs[i].value));
        DF_TRY(df_cudnn_status(cudnnBackendFinalize(choices[i]), "choosing a knob"));
    }
    DF_TRY(set_descriptor(config, CUDNN_ATTR_ENGINECFG_ENGINE, engine));
    DF_TRY(set(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, KNOBS, choices));
    return df_cudnn_status(cudnnBackendFinalize(config), "configuring an engine");
}

/* Errors   E_UNAVAILABLE this cuDNN has no such engine for the graph, or it does not suit */
static dfal_status try_preference(struct df_cudnn_plan *out, descriptor properties, descriptor graph,
                                  const struct preference *preference, const struct bounds *bounds)
{
    descriptor config = NULL, engine = NULL, choices[KNOBS] = {NULL};
    dfal_status status;
    if (preference->engine < 0)
        return DFAL_E_UNAVAILABLE;
    DF_TRY_TO(done, status, create(&engine, CUDNN_BACKEND_ENGINE_DESCRIPTOR));
    DF_TRY_TO(done, status, create(&config, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    status = configure(config, engine, choices, properties, graph, preference);
    if (status == DFAL_OK)
        status = try_config(out, properties, config, bounds);
    /* A number or a value of a knob that this version does not know is called a bad parameter. */
    if (status == DFAL_E_INTERNAL)
        status = DFAL_E_UNAVAILABLE;
done:
    for (int i = 0; i < KNOBS; i++)
        drop(choices[i]);
    drop(config);
    drop(engine);
    return status;
}

/* ---- A plan ---------------------------------------------------------------------------------- */

bool df_cudnn_can_turn(const struct df_layer_desc *desc)
{
    const struct df_window *w = &desc->window;
    bool can = desc->group <= 1 && w->kernel[0] * w->kernel[1] > 1; /* 1x1 was not measured */
    for (int a = 0; a < 2; a++)
        can = can && w->stride[a] == 1 && w->dilation[a] == 1 && w->pad[a] < w->kernel[a] &&
              w->pad[a + 2] < w->kernel[a];
    return can;
}

struct df_layer_desc df_cudnn_turned(const struct df_layer_desc *desc)
{
    struct df_layer_desc turned = *desc;
    turned.in = desc->out;
    turned.out = desc->in;
    for (int side = 0; side < 4; side++)
        turned.window.pad[side] = desc->window.kernel[side % 2] - 1 - desc->window.pad[side];
    return turned;
}

/* heuristics: else the preferred engine alone. Errors   E_UNAVAILABLE there is none */
static dfal_status create_plan(struct df_cudnn_plan *out, descriptor properties, const struct problem *p,
                               bool heuristics)
{
    const struct bounds bounds = {df_cudnn_workspace_limit(p->desc, p->kind, p->rows),
                                  is_half(p->desc, p->kind)};
    const struct preference preference = preference_of(p);
    struct operation o = {0};
    dfal_status status;
    DF_TRY_TO(done, status, describe(&o, p));
    status = try_preference(out, properties, o.graph, &preference, &bounds);
    if (status == DFAL_E_UNAVAILABLE && heuristics)
        status = try_mode(out, properties, o.graph, CUDNN_HEUR_MODE_A, &bounds);
    if (status == DFAL_E_UNAVAILABLE && heuristics)
        status = try_mode(out, properties, o.graph, CUDNN_HEUR_MODE_FALLBACK, &bounds);
done:
    clear(&o);
    return status;
}

/* A gradient that is worth turning. Errors   E_UNAVAILABLE it is not, or there is no such forward */
static dfal_status create_turned(struct df_cudnn_plan *out, descriptor properties, const struct problem *p)
{
    if (p->kind != DF_LAYER_BACKWARD || is_half(p->desc, p->kind) || !df_cudnn_can_turn(p->desc) ||
        preference_of(p).engine >= 0)
        return DFAL_E_UNAVAILABLE;
    const struct df_layer_desc desc = df_cudnn_turned(p->desc);
    const struct problem turned = {&desc, DF_LAYER_FORWARD, false, p->rows};
    DF_TRY(create_plan(out, properties, &turned, false));
    const size_t used = strlen(out->text);
    (void)snprintf(out->text + used, sizeof out->text - used, ", as a forward");
    out->turned = true;
    return DFAL_OK;
}

dfal_status df_cudnn_plan_create(struct df_cudnn_plan *out, cudnnBackendDescriptor_t properties,
                                 const struct df_layer_desc *desc, enum df_layer_kind kind, int64_t rows)
{
    static const char *const names[] = {"forward", "input gradient", "weight gradient"};
    const struct problem problem = {desc, kind, kind == DF_LAYER_FORWARD, rows};
    memset(out, 0, sizeof *out);
    dfal_status status = create_turned(out, properties, &problem);
    if (status == DFAL_E_UNAVAILABLE)
        status = create_plan(out, properties, &problem, true);
    if (status == DFAL_E_UNAVAILABLE)
        DF_FAIL(status,
                "cuDNN %zu has no %s in %s of a %dx%d convolution from %lldx%lldx%lld to %lldx%lldx%lld",
                cudnnGetVersion(), names[kind], is_half(desc, kind) ? "binary16" : "plain float32",
                (int)desc->window.kernel[0], (int)desc->window.kernel[1], (long long)desc->in.c,
                (long long)desc->in.h, (long long)desc->in.w, (long long)desc->out.c, (long long)desc->out.h,
                (long long)desc->out.w);
    return status;
}

void df_cudnn_plan_clear(struct df_cudnn_plan *plan)
{
    drop(plan->plan);
    plan->plan = NULL;
}
