/* SPDX-License-Identifier: Apache-2.0 */
/* A convolution's op as an execution plan of cuDNN's graph interface: which engine, with which knobs.
 *
 * A plan needs the properties of a GPU, not the GPU: the tests make plans for GPUs described in JSON on
 * machines that have none. Only cuda_cudnn.c and tests include this. */
#ifndef DF_BACKEND_CUDA_PLAN_H
#define DF_BACKEND_CUDA_PLAN_H

#include "backend/cuda_graph.h"

/* The first that says of an engine that it leaves the work to cuBLAS (cmake/cuda.cmake asks for it, too). */
enum { DF_CUDNN_OLDEST = 91500 };

/* Bytes of workspace that a plan for `rows` rows may ask for: a copy of x, y and the weights in another
 * layout, and 4 MiB for partial sums. An engine that wants more is passed over. */
int64_t df_cudnn_workspace_limit(const struct df_layer_desc *desc, enum df_layer_kind kind, int64_t rows);

/* May an input gradient be the forward of another convolution, over turned weights (kernels/turn.h)? Without
 * stride, dilation and groups it may. And that convolution: from dy to dx. */
bool df_cudnn_can_turn(const struct df_layer_desc *desc);
struct df_layer_desc df_cudnn_turned(const struct df_layer_desc *desc);

struct df_cudnn_plan {
    cudnnBackendDescriptor_t plan;
    size_t workspace;
    int64_t engine; /* cuDNN's number of it, for this operation */
    bool turned; /* an input gradient as a forward: x is dy, the weights are turned, y is dx, without bias */
    char text[192]; /* engine, knobs and workspace, for logs: "engine 1, knobs 2=5 13=0, 0 bytes", and of a
                     * turned one ", as a forward" */
};

/* Choose an engine for `rows` rows: the one that the shape alone prefers (cuda_plan.c), else the first one in
 * the order of cuDNN's heuristics (mode A, then the fallback list), or else of the engines' numbers, whose
 * sums are plain float32 in a fixed order and whose workspace is not above the limit. Nothing is timed. An
 * input gradient becomes a forward (turned) where df_cudnn_can_turn and a large tile is preferred; where
 * cuDNN has no such engine, it stays a gradient. The backward of a half_backward layer is one of binary16
 * operands and results, channels last.
 * Errors   E_UNAVAILABLE there is no such engine */
dfal_status df_cudnn_plan_create(struct df_cudnn_plan *out, cudnnBackendDescriptor_t properties,
                                 const struct df_layer_desc *desc, enum df_layer_kind kind, int64_t rows);

/* An engine by its number, with knobs. */
struct df_cudnn_choice {
    int64_t engine;
    int knob_count;
    struct {
        cudnnBackendKnobType_t type;
        int64_t value;
    } knobs[CUDNN_KNOB_TYPE_COUNTS];
};

/* The plan of this choice alone, whatever the shape prefers.
 * Errors   E_UNAVAILABLE this cuDNN has no such engine for the problem, or it does not suit */
dfal_status df_cudnn_plan_choose(struct df_cudnn_plan *out, cudnnBackendDescriptor_t properties,
                                 const struct df_cudnn_problem *problem,
                                 const struct df_cudnn_choice *choice);

/* Where an engine is looked for: in the heuristics' lists, and among all engines by their numbers. */
enum df_cudnn_place { DF_CUDNN_LISTS = 1, DF_CUDNN_NUMBERS = 2 };

/* The first plan from these places, the lists before the numbers, whatever the shape prefers.
 * Errors   E_UNAVAILABLE there is none */
dfal_status df_cudnn_plan_search(struct df_cudnn_plan *out, cudnnBackendDescriptor_t properties,
                                 const struct df_cudnn_problem *problem, int places);

/* Queue the plan on the handle's stream. tensors: in the order of df_cudnn_tensor, `count` as many as the op
 * has. */
dfal_status df_cudnn_plan_run(const struct df_cudnn_plan *plan, cudnnHandle_t handle,
                              const void *const *tensors, int64_t count, void *workspace);
void df_cudnn_plan_clear(struct df_cudnn_plan *plan);

#endif
