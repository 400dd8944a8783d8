/* SPDX-License-Identifier: Apache-2.0 */
/* A convolution's op as a graph of cuDNN's graph interface, and what an engine for it says of itself.
 *
 * None of this needs a GPU. Only cuda_cudnn.c, cuda_plan.c and tests include this. */
#ifndef DF_BACKEND_CUDA_GRAPH_H
#define DF_BACKEND_CUDA_GRAPH_H

#include <cudnn_graph.h>

#include "backend/backend.h"

/* What stands for the op's tensors in a variant pack, in this order; the bias is the forward's alone. */
enum df_cudnn_tensor { DF_CUDNN_X, DF_CUDNN_WEIGHT, DF_CUDNN_Y, DF_CUDNN_BIAS, DF_CUDNN_TENSORS };
extern const int64_t df_cudnn_uids[DF_CUDNN_TENSORS];

/* What an engine is sought for. A turned gradient is a forward without bias. */
struct df_cudnn_problem {
    const struct df_layer_desc *desc;
    enum df_layer_kind kind;
    bool bias;
    int64_t rows;
    int64_t workspace; /* bytes at the most */
};

/* What the operation is made of; the graph refers to all of it. */
struct df_cudnn_graph {
    cudnnBackendDescriptor_t tensors[DF_CUDNN_TENSORS], sum, convolution, pointwise;
    cudnnBackendDescriptor_t nodes[2]; /* the convolution; forward: and the bias */
    cudnnBackendDescriptor_t graph;
};

/* Make cuDNN's answer this thread's message, "cuDNN: WHAT: its words". Errors   E_MEMORY, E_UNAVAILABLE not
 * supported, library or GPU broken, E_INTERNAL a call that should not have been made so */
dfal_status df_cudnn_status(cudnnStatus_t status, const char *what);

/* Descriptors. The one to drop may be NULL; get reads at most `room` values, and
 * `what` is said of its failure ("reading a knob"). */
dfal_status df_cudnn_create(cudnnBackendDescriptor_t *out, cudnnBackendDescriptorType_t type);
void df_cudnn_drop(cudnnBackendDescriptor_t d);
dfal_status df_cudnn_set(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type, int64_t count, const void *values);
dfal_status df_cudnn_set_descriptor(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                    cudnnBackendDescriptor_t value);
dfal_status df_cudnn_get(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type, int64_t room, int64_t *count, void *values,
                         const char *what);

/* Properties of the handle's GPU, or of the GPU that a text describes (one of the two is NULL). Destroy with
 * cudnnBackendDestroyDescriptor. */
dfal_status df_cudnn_properties(cudnnBackendDescriptor_t *out, cudnnHandle_t handle, const char *json);

/* Is the op the backward of a half_backward layer: of binary16 operands and results? */
bool df_cudnn_is_half(const struct df_layer_desc *desc, enum df_layer_kind kind);

/* Fill a graph of zeros; clear it after a failure, too. */
dfal_status df_cudnn_graph_describe(struct df_cudnn_graph *graph, const struct df_cudnn_problem *problem);
void df_cudnn_graph_clear(struct df_cudnn_graph *graph);

/* Are the engine's sums plain float32 in a fixed order (with half: of tensor cores, too), and does it come
 * compiled, with its own kernels? */
dfal_status df_cudnn_is_strict(cudnnBackendDescriptor_t engine, bool half, bool *strict);

/* A knob of an engine: min, min + stride, ... at most max. */
struct df_cudnn_knob {
    cudnnBackendKnobType_t type;
    int64_t min, max, stride;
};
/* The knobs that an engine has. */
dfal_status df_cudnn_knobs(struct df_cudnn_knob knobs[CUDNN_KNOB_TYPE_COUNTS], int *count,
                           cudnnBackendDescriptor_t engine);

#endif
