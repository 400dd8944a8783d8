/* SPDX-License-Identifier: Apache-2.0 */
#include "cudnn_timer.h"

#include "base/memory.h"
#include "base/rng.h"

enum { RANDOM_VALUES = 1 << 20 }; /* repeated where a tensor has more */

static dfal_status cuda(cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return DFAL_OK;
    DF_FAIL(DFAL_E_UNAVAILABLE, "CUDA failed in %s: %s", what, cudaGetErrorString(error));
}

static dfal_status make_random(float **out, int64_t values)
{
    const int64_t count = values < RANDOM_VALUES ? values : RANDOM_VALUES;
    float *block = NULL;
    dfal_status status;
    DF_TRY(df_alloc(&block, count, sizeof *block));
    for (int64_t i = 0; i < count; i++)
        block[i] = (float)(2 * df_random_uniform(7, DF_STREAM_WEIGHTS, (uint64_t)i) - 1);
    DF_TRY_TO(done, status, cuda(cudaMalloc((void **)out, (size_t)values * sizeof **out), "taking memory"));
    for (int64_t at = 0; at < values; at += count) {
        const int64_t part = values - at < count ? values - at : count;
        DF_TRY_TO(done, status,
                  cuda(cudaMemcpy(*out + at, block, (size_t)part * sizeof *block, cudaMemcpyHostToDevice),
                       "copying"));
    }
done:
    df_free(block);
    return status;
}

dfal_status timer_open(struct timer *t, int64_t values)
{
    DF_TRY(cuda(cudaSetDevice(0), "choosing the GPU"));
    DF_TRY(cuda(cudaStreamCreateWithFlags(&t->stream, cudaStreamNonBlocking), "making a stream"));
    DF_TRY(cuda(cudaEventCreate(&t->before), "making an event"));
    DF_TRY(cuda(cudaEventCreate(&t->after), "making an event"));
    DF_TRY(make_random(&t->in, values));
    DF_TRY(make_random(&t->weight, values));
    DF_TRY(make_random(&t->bias, values));
    DF_TRY(make_random(&t->out, values));
    DF_TRY(cuda(cudaMalloc(&t->workspace, (size_t)TIMER_WORKSPACE_MIB << 20), "taking memory"));
    DF_TRY(cuda(cudaDeviceSynchronize(), "filling tensors"));
    DF_TRY(df_cudnn_status(cudnnCreate(&t->handle), "opening the library"));
    return df_cudnn_status(cudnnSetStream(t->handle, t->stream), "choosing a stream");
}

void timer_close(struct timer *t)
{
    if (t->handle != NULL)
        (void)cudnnDestroy(t->handle);
    (void)cudaFree(t->workspace);
    (void)cudaFree(t->out);
    (void)cudaFree(t->bias);
    (void)cudaFree(t->weight);
    (void)cudaFree(t->in);
    if (t->after != NULL)
        (void)cudaEventDestroy(t->after);
    if (t->before != NULL)
        (void)cudaEventDestroy(t->before);
    if (t->stream != NULL)
        (void)cudaStreamDestroy(t->stream);
}

/* The mean of so many runs, one behind the other. */
static dfal_status mean_of(double *out, const struct timer *t, const struct df_cudnn_plan *plan,
                           const struct df_cudnn_problem *problem, int times)
{
    const bool forward = problem->kind == DF_LAYER_FORWARD;
    const void *const tensors[DF_CUDNN_TENSORS] = {forward ? t->in : t->out, t->weight,
                                                   forward ? t->out : t->in, t->bias};
    float milliseconds = 0.0F;
    DF_TRY(cuda(cudaEventRecord(t->before, t->stream), "recording an event"));
    for (int i = 0; i < times; i++)
        DF_TRY(df_cudnn_plan_run(plan, t->handle, tensors, problem->bias ? DF_CUDNN_TENSORS : DF_CUDNN_BIAS,
                                 t->workspace));
    DF_TRY(cuda(cudaEventRecord(t->after, t->stream), "recording an event"));
    DF_TRY(cuda(cudaEventSynchronize(t->after), "running a plan"));
    DF_TRY(cuda(cudaEventElapsedTime(&milliseconds, t->before, t->after), "reading the time"));
    *out = 1e3 * milliseconds / times;
    return DFAL_OK;
}

dfal_status timer_run(double *out, const struct timer *t, const struct df_cudnn_plan *plan,
                      const struct df_cudnn_problem *problem, double most)
{
    double took = 0.0;
    DF_TRY(mean_of(out, t, plan, problem, 1)); /* the kernel is loaded when it first runs */
    DF_TRY(mean_of(out, t, plan, problem, 1));
    if (*out > most)
        return DFAL_OK;
    const int times = *out < 100 ? 8 : *out < 400 ? 2 : 1;
    DF_TRY(mean_of(out, t, plan, problem, times));
    for (int i = 1; i < 3; i++) {
        DF_TRY(mean_of(&took, t, plan, problem, times));
        *out = took < *out ? took : *out;
    }
    return DFAL_OK;
}
