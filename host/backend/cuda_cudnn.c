/* SPDX-License-Identifier: Apache-2.0 */
/* The engine of cuDNN: convolutions of many channels.
 *
 * A plan (cuda_plan.c) is made once for the GPU; each queue runs it with a handle of its own, since a handle
 * is one thread's.
 * Traps    a plan's kernels are loaded when it first runs: run it once before capturing it in a CUDA
 *          graph. */
#include <stdio.h>

#include "backend/cuda.h"
#include "backend/cuda_plan.h"
#include "base/memory.h"
#include "turn.h" /* kernels */

struct df_cudnn {
    cudnnBackendDescriptor_t properties;
    int32_t queue_count;
    cudnnHandle_t *handles; /* [queue_count] */
};

struct conv {
    struct df_cuda_op head;
    struct df_cudnn *library;
    enum df_layer_kind kind;
    struct df_cudnn_plan plan;
    struct df_turn turn;
    float *turned; /* the weights, for a gradient that runs as a forward; else NULL */
};

/* ---- The library ------------------------------------------------------------------------------ */

/* A queue's handle: device memory and milliseconds, so made on its first use, by the thread that drives the
 * queue. */
static dfal_status handle_of(cudnnHandle_t *out, struct df_cudnn *library, int32_t queue)
{
    if (library->handles[queue] == NULL)
        DF_TRY(df_cudnn_status(cudnnCreate(&library->handles[queue]), "opening the library"));
    *out = library->handles[queue];
    return DFAL_OK;
}

static dfal_status open_handles(struct df_cudnn *library, const struct df_cuda_device *device)
{
    cudnnHandle_t first = NULL;
    library->queue_count = device->head.queue_count + 1; /* and trials' */
    DF_TRY(df_alloc(&library->handles, library->queue_count, sizeof *library->handles));
    DF_TRY(handle_of(&first, library, 0));
    return df_cudnn_properties(&library->properties, first, NULL);
}

dfal_status df_cudnn_open(struct df_cudnn **out, const struct df_cuda_device *device, char *version,
                          size_t version_size)
{
    struct df_cudnn *library = NULL;
    const size_t found = cudnnGetVersion();
    *out = NULL;
    (void)snprintf(version, version_size, "cuDNN %zu.%zu.%zu", found / 10000, found / 100 % 100, found % 100);
    if (found < DF_CUDNN_OLDEST)
        DF_FAIL(DFAL_E_UNAVAILABLE, "%s is too old, expected %d.%d or newer", version,
                DF_CUDNN_OLDEST / 10000, DF_CUDNN_OLDEST / 100 % 100);
    DF_TRY(df_alloc(&library, 1, sizeof *library));
    const dfal_status status = open_handles(library, device);
    if (status != DFAL_OK)
        df_cudnn_close(library);
    else
        *out = library;
    return status;
}

void df_cudnn_close(struct df_cudnn *library)
{
    if (library == NULL)
        return;
    if (library->properties != NULL)
        (void)cudnnBackendDestroyDescriptor(library->properties);
    for (int32_t q = 0; library->handles != NULL && q < library->queue_count; q++)
        if (library->handles[q] != NULL)
            (void)cudnnDestroy(library->handles[q]);
    df_free(library->handles);
    df_free(library);
}

/* ---- An op ------------------------------------------------------------------------------------ */

static void conv_destroy(struct df_cuda_op *op)
{
    struct conv *conv = (struct conv *)op;
    if (conv == NULL)
        return;
    df_cudnn_plan_clear(&conv->plan);
    (void)cudaFree(conv->turned);
    df_free(conv);
}

static dfal_status conv_create(struct df_cuda_op **out, struct df_cuda_device *device,
                               const struct df_layer_desc *desc, enum df_layer_kind kind)
{
    struct conv *conv = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&conv, 1, sizeof *conv));
    conv->library = device->cudnn;
    conv->kind = kind;
    conv->head = (struct df_cuda_op){.engine = &df_cuda_cudnn, .rows = desc->block_rows};
    conv->turn =
        (struct df_turn){desc->out.c, desc->in.c, (int64_t)desc->window.kernel[0] * desc->window.kernel[1]};
    DF_TRY_TO(done, status,
              df_cudnn_plan_create(&conv->plan, device->cudnn->properties, desc, kind, desc->block_rows));
    if (conv->plan.turned)
        DF_TRY_TO(done, status,
                  df_cuda_memory((void **)&conv->turned,
                                 df_layer_weight_count(desc) * (int64_t)sizeof *conv->turned));
    conv->head.workspace = conv->plan.workspace;
    (void)snprintf(conv->head.text, sizeof conv->head.text, "%s", conv->plan.text);
    *out = &conv->head;
    conv = NULL;
done:
    if (conv != NULL)
        conv_destroy(&conv->head);
    return status;
}

static dfal_status conv_bind(struct df_cuda_op *op, const float *weight, const float *bias,
                             cudaStream_t stream)
{
    const struct conv *conv = (const struct conv *)op;
    (void)bias;
    if (conv->turned == NULL)
        return DFAL_OK;
    return df_cuda_status((cudaError_t)df_turn_weights(&conv->turn, conv->turned, weight, stream),
                          "turning weights");
}

/* tensors: as many as the op has, in the order of df_cudnn_tensor. */
static dfal_status execute(const struct conv *conv, const struct df_cuda_run *run, const void *const *tensors)
{
    const int64_t count = conv->kind == DF_LAYER_FORWARD ? DF_CUDNN_TENSORS : DF_CUDNN_BIAS;
    cudnnHandle_t handle = NULL;
    DF_TRY(handle_of(&handle, conv->library, run->queue));
    DF_TRY(df_cudnn_status(cudnnSetStream(handle, run->stream), "choosing a stream"));
    return df_cudnn_plan_run(&conv->plan, handle, tensors, count, run->workspace);
}

static dfal_status conv_run(struct df_cuda_op *op, const struct df_cuda_run *run)
{
    const struct conv *conv = (const struct conv *)op;
    switch (conv->kind) {
    case DF_LAYER_FORWARD:
        return execute(conv, run, (const void *const[]){run->in[0], run->weight, run->out, run->bias});
    case DF_LAYER_BACKWARD:
        if (conv->turned != NULL)
            return execute(conv, run, (const void *const[]){run->in[0], conv->turned, run->out});
        return execute(conv, run, (const void *const[]){run->out, run->weight, run->in[0]});
    case DF_LAYER_WEIGHT_GRADIENT:
        break;
    }
    return execute(conv, run, (const void *const[]){run->in[0], run->out, run->in[1]});
}

const struct df_cuda_engine df_cuda_cudnn = {
    .name = "cuDNN", .create = conv_create, .destroy = conv_destroy, .bind = conv_bind, .run = conv_run};
