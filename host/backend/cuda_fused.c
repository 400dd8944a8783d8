/* SPDX-License-Identifier: Apache-2.0 */
/* A small network in one go: kernels/fused.h up to the first product, own products behind it. */
#include <string.h>

#include "backend/cuda.h"
#include "base/memory.h"
#include "conv.h"  /* kernels */
#include "fused.h" /* kernels */

/* Rows a pass, and values that lie between two kernels then: they stay in the GPU's second-level cache. */
enum { PASS_ROWS = 16384, PASS_VALUES = 1 << 22 };

struct dense {
    int32_t in, out, kept_at; /* kept_at -1: no ReLU */
    int64_t weight_at, bias_at;
};

struct df_fused {
    struct df_fused_shape shape;
    struct dense dense[DF_FUSED_STAGES];
    int32_t dense_count, widest; /* values a row that lie between two kernels */
    int64_t pass_rows;
    int64_t parameter_count;
    float *parameters, *packed; /* the fused network's own copies */
};

static bool take_conv(struct df_fused_shape *shape, const struct df_fused_stage *stage, int32_t kept_at)
{
    const struct df_window *w = &stage->window;
    if (shape->count == DF_FUSED_CONVS || !stage->relu || !stage->pool || w->kernel[0] != w->kernel[1] ||
        w->stride[0] != 1 || w->stride[1] != 1 || stage->bias_at > INT32_MAX)
        return false;
    for (int i = 1; i < 4; i++)
        if (w->pad[i] != w->pad[0])
            return false;
    shape->conv[shape->count++] = (struct df_fused_conv){
        .in = {(int32_t)stage->in.c, (int32_t)stage->in.h, (int32_t)stage->in.w},
        .out = {(int32_t)stage->out.c, (int32_t)stage->out.h, (int32_t)stage->out.w},
        .kernel = w->kernel[0],
        .pad = w->pad[0],
        .kept_at = kept_at,
        .weight_at = (int32_t)stage->weight_at,
        .bias_at = (int32_t)stage->bias_at,
    };
    return true;
}

/* Convolutions with a ReLU and a pool each, then products: is it that, and small enough? */
static bool take_stages(struct df_fused *fused, const struct df_fused_desc *desc)
{
    enum { LARGEST = 1 << 16 }; /* values of an activation: sizes below are int32 */
    int32_t kept_at = 0;
    if (desc->tap > 0)
        return false;
    for (int32_t i = 0; i < desc->count; i++) {
        const struct df_fused_stage *stage = &desc->stages[i];
        const int64_t in = df_shape_size(stage->in), out = df_shape_size(stage->out);
        if (in > LARGEST || out > LARGEST || (!stage->is_gemm && fused->dense_count > 0))
            return false;
        const bool keeps = stage->relu || stage->pool;
        if (stage->is_gemm)
            fused->dense[fused->dense_count++] = (struct dense){.in = (int32_t)in,
                                                                .out = (int32_t)out,
                                                                .kept_at = keeps ? kept_at : -1,
                                                                .weight_at = stage->weight_at,
                                                                .bias_at = stage->bias_at};
        else if (!take_conv(&fused->shape, stage, kept_at))
            return false;
        const int64_t end = stage->bias_at + (stage->is_gemm ? stage->out.c : fused->shape.conv[i].out[0]);
        fused->parameter_count = end > fused->parameter_count ? end : fused->parameter_count;
        fused->widest = stage->is_gemm && in > fused->widest ? (int32_t)in : fused->widest;
        kept_at += keeps ? (int32_t)out : 0;
    }
    fused->shape.kept_size = (int32_t)df_fused_kept_size(desc);
    if (fused->widest > 0)
        fused->pass_rows = PASS_VALUES / fused->widest < PASS_ROWS ? PASS_VALUES / fused->widest : PASS_ROWS;
    return fused->dense_count > 0 && df_fused_plan(&fused->shape) != 0;
}

dfal_status df_cuda_fused_create(struct df_device *head, struct df_fused **out,
                                 const struct df_fused_desc *desc)
{
    const struct df_cuda_device *device = (const struct df_cuda_device *)head;
    const int64_t real = sizeof(float);
    struct df_fused *fused = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_cuda_not_recording("take memory"));
    DF_TRY(df_alloc(&fused, 1, sizeof *fused));
    fused->shape.shared_most = device->shared_most;
    fused->shape.multiprocessors = device->multiprocessors;
    if (!take_stages(fused, desc)) {
        df_free(fused);
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "the fused CUDA engine has no such network: expected 1 to %d convolutions "
                "of 3x3 or 5x5, each with a ReLU and a 2x2 max-pool, then products",
                DF_FUSED_CONVS);
    }
    DF_TRY_TO(done, status, df_cuda_status(cudaSetDevice(device->index), "choosing the GPU"));
    DF_TRY_TO(done, status, df_cuda_memory((void **)&fused->parameters, fused->parameter_count * real));
    DF_TRY_TO(done, status,
              df_cuda_memory((void **)&fused->packed,
                             ((int64_t)fused->shape.packed + fused->shape.pooled_weights) * real));
    *out = fused;
done:
    if (status != DFAL_OK)
        df_cuda_fused_destroy(head, fused);
    return status;
}

void df_cuda_fused_destroy(struct df_device *head, struct df_fused *fused)
{
    const struct df_cuda_device *device = (const struct df_cuda_device *)head;
    if (fused == NULL)
        return;
    (void)cudaSetDevice(device->index);
    (void)cudaFree(fused->parameters);
    (void)cudaFree(fused->packed);
    (void)cudaGetLastError();
    df_free(fused);
}

dfal_status df_cuda_fused_bind(struct df_device *head, int32_t index, struct df_fused *fused,
                               struct df_span parameters)
{
    static const char what[] = "binding parameters";
    struct df_cuda_queue *queue = NULL;
    DF_TRY(df_cuda_queue_of(&queue, head, index));
    DF_CUDA(cudaMemcpyAsync(fused->parameters, df_cuda_data(parameters),
                            (size_t)fused->parameter_count * sizeof(float), cudaMemcpyDeviceToDevice,
                            queue->stream),
            what);
    return df_cuda_status(
        (cudaError_t)df_fused_pack(&fused->shape, fused->packed, fused->parameters, queue->stream), what);
}

/* Where the values between two kernels lie: two halves in turns. */
static dfal_status between(float *half[2], const struct df_fused *fused, struct df_cuda_queue *queue)
{
    const size_t floats = (size_t)fused->pass_rows * (size_t)fused->widest;
    DF_TRY(df_cuda_workspace(queue, 2 * floats * sizeof(float)));
    half[0] = queue->workspace;
    half[1] = half[0] + floats;
    return DFAL_OK;
}

static dfal_status forward(const struct df_fused *fused, float *y, uint8_t *kept, const float *x,
                           int64_t rows, float *const half[2], cudaStream_t stream)
{
    static const char what[] = "a fused forward";
    const float *from = x;
    if (fused->shape.count > 0) {
        DF_CUDA((cudaError_t)df_fused_forward(&fused->shape, half[0], kept, x, fused->packed, rows, stream),
                what);
        from = half[0];
    }
    for (int32_t i = 0; i < fused->dense_count; i++) {
        const struct dense *dense = &fused->dense[i];
        float *to = i + 1 == fused->dense_count ? y : half[(i + 1) % 2];
        DF_CUDA((cudaError_t)df_gemm_forward(dense->in, dense->out, to, from,
                                             fused->parameters + dense->weight_at,
                                             fused->parameters + dense->bias_at, rows, stream),
                what);
        if (dense->kept_at >= 0)
            DF_CUDA((cudaError_t)df_fused_relu_forward(to, kept, fused->shape.kept_size, dense->kept_at, rows,
                                                       dense->out, stream),
                    what);
        from = to;
    }
    return DFAL_OK;
}

/* Fewer cotangents of a sample leave most of what fused_pooled.cu computes unused. */
enum { LEAST_EACH = 5 };

static bool is_pooled(const struct df_fused *fused, int64_t each)
{
    return fused->shape.pooled_parts > 0 && each >= LEAST_EACH && each <= fused->pass_rows;
}

static dfal_status backward(const struct df_fused *fused, float *dx, const float *dy, const uint8_t *kept,
                            const int32_t *owner, int64_t rows, int64_t each, float *const half[2],
                            cudaStream_t stream)
{
    static const char what[] = "a fused backward";
    const float *from = dy;
    for (int32_t i = fused->dense_count - 1; i >= 0; i--) {
        const struct dense *dense = &fused->dense[i];
        float *to = half[i % 2];
        DF_CUDA((cudaError_t)df_gemm_backward(dense->in, dense->out, to, from,
                                              fused->parameters + dense->weight_at, rows, stream),
                what);
        if (i > 0 && fused->dense[i - 1].kept_at >= 0)
            DF_CUDA((cudaError_t)df_fused_relu_backward(to, kept, owner, fused->shape.kept_size,
                                                        fused->dense[i - 1].kept_at, rows, dense->in, stream),
                    what);
        from = to;
    }
    return df_cuda_status(
        (cudaError_t)(is_pooled(fused, each)
                          ? df_fused_pooled_backward(&fused->shape, dx, from, kept, owner, fused->packed,
                                                     rows, (int32_t)each, stream)
                          : df_fused_backward(&fused->shape, dx, from, kept, owner, fused->packed, rows,
                                              stream)),
        what);
}

dfal_status df_cuda_fused_run(struct df_device *head, int32_t index, const struct df_fused_call *call)
{
    const struct df_fused *fused = call->fused;
    const struct dense *last = &fused->dense[fused->dense_count - 1];
    struct df_cuda_queue *queue = NULL;
    float *half[2];
    DF_TRY(df_cuda_queue_of(&queue, head, index));
    DF_TRY(between(half, fused, queue));
    float *x = df_cuda_data(call->x), *y = df_cuda_data(call->y);
    uint8_t *kept = df_cuda_data(call->kept);
    const int32_t *owner = df_cuda_data(call->owner);
    const int64_t pass =
        is_pooled(fused, call->each) ? fused->pass_rows / call->each * call->each : fused->pass_rows;
    for (int64_t first = 0; first < call->rows; first += pass) {
        const int64_t left = call->rows - first, rows = left < pass ? left : pass;
        float *x_part = x + first * fused->shape.input, *y_part = y + first * last->out;
        if (call->backward)
            DF_TRY(
                backward(fused, x_part, y_part, kept, owner + first, rows, call->each, half, queue->stream));
        else
            DF_TRY(forward(fused, y_part, kept + first * fused->shape.kept_size, x_part, rows, half,
                           queue->stream));
    }
    return DFAL_OK;
}
