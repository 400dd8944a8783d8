/* SPDX-License-Identifier: Apache-2.0 */
/* A small network in one go: kernels/stack.h up to the first product, own products behind it. */
#include <string.h>

#include "backend/cuda.h"
#include "base/memory.h"
#include "conv.h"  /* kernels */
#include "stack.h" /* kernels */

/* Rows a pass, and values that lie between two kernels then: they stay in the GPU's second-level cache. */
enum { PASS_ROWS = 16384, PASS_VALUES = 1 << 22 };

struct dense {
    int32_t in, out, kept_at; /* kept_at -1: no ReLU */
    int64_t weight_at, bias_at;
};

struct df_stack {
    struct df_stack_shape shape;
    struct dense dense[DF_STACK_STAGES];
    int32_t dense_count, widest; /* values a row that lie between two kernels */
    int64_t pass_rows;
    int64_t parameter_count;
    float *parameters, *packed; /* the stack's own copies */
};

static bool take_conv(struct df_stack_shape *shape, const struct df_stack_stage *stage, int32_t kept_at)
{
    const struct df_window *w = &stage->window;
    if (shape->count == DF_STACK_CONVS || !stage->relu || !stage->pool || w->kernel[0] != w->kernel[1] ||
        w->stride[0] != 1 || w->stride[1] != 1 || stage->bias_at > INT32_MAX)
        return false;
    for (int i = 1; i < 4; i++)
        if (w->pad[i] != w->pad[0])
            return false;
    shape->conv[shape->count++] = (struct df_stack_conv){
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
static bool take_stages(struct df_stack *stack, const struct df_stack_desc *desc)
{
    enum { LARGEST = 1 << 16 }; /* values of an activation: sizes below are int32 */
    int32_t kept_at = 0;
    for (int32_t i = 0; i < desc->count; i++) {
        const struct df_stack_stage *stage = &desc->stages[i];
        const int64_t in = df_shape_size(stage->in), out = df_shape_size(stage->out);
        if (in > LARGEST || out > LARGEST || (!stage->is_gemm && stack->dense_count > 0))
            return false;
        const bool keeps = stage->relu || stage->pool;
        if (stage->is_gemm)
            stack->dense[stack->dense_count++] = (struct dense){.in = (int32_t)in,
                                                                .out = (int32_t)out,
                                                                .kept_at = keeps ? kept_at : -1,
                                                                .weight_at = stage->weight_at,
                                                                .bias_at = stage->bias_at};
        else if (!take_conv(&stack->shape, stage, kept_at))
            return false;
        const int64_t end = stage->bias_at + (stage->is_gemm ? stage->out.c : stack->shape.conv[i].out[0]);
        stack->parameter_count = end > stack->parameter_count ? end : stack->parameter_count;
        stack->widest = stage->is_gemm && in > stack->widest ? (int32_t)in : stack->widest;
        kept_at += keeps ? (int32_t)out : 0;
    }
    stack->shape.kept_size = (int32_t)df_stack_kept_size(desc);
    if (stack->widest > 0)
        stack->pass_rows = PASS_VALUES / stack->widest < PASS_ROWS ? PASS_VALUES / stack->widest : PASS_ROWS;
    return stack->dense_count > 0 && df_stack_plan(&stack->shape) != 0;
}

dfal_status df_cuda_stack_create(struct df_device *head, struct df_stack **out,
                                 const struct df_stack_desc *desc)
{
    const struct df_cuda_device *device = (const struct df_cuda_device *)head;
    const int64_t real = sizeof(float);
    struct df_stack *stack = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_cuda_not_recording("take memory"));
    DF_TRY(df_alloc(&stack, 1, sizeof *stack));
    if (!take_stages(stack, desc)) {
        df_free(stack);
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "the fused CUDA engine has no such network: expected 1 to %d convolutions "
                "of 3x3 or 5x5, each with a ReLU and a 2x2 max-pool, then products",
                DF_STACK_CONVS);
    }
    DF_TRY_TO(done, status, df_cuda_status(cudaSetDevice(device->index), "choosing the GPU"));
    DF_TRY_TO(done, status, df_cuda_memory((void **)&stack->parameters, stack->parameter_count * real));
    DF_TRY_TO(done, status, df_cuda_memory((void **)&stack->packed, stack->shape.packed * real));
    *out = stack;
done:
    if (status != DFAL_OK)
        df_cuda_stack_destroy(head, stack);
    return status;
}

void df_cuda_stack_destroy(struct df_device *head, struct df_stack *stack)
{
    const struct df_cuda_device *device = (const struct df_cuda_device *)head;
    if (stack == NULL)
        return;
    (void)cudaSetDevice(device->index);
    (void)cudaFree(stack->parameters);
    (void)cudaFree(stack->packed);
    (void)cudaGetLastError();
    df_free(stack);
}

dfal_status df_cuda_stack_bind(struct df_device *head, int32_t index, struct df_stack *stack,
                               struct df_span parameters)
{
    static const char what[] = "binding parameters";
    struct df_cuda_queue *queue = NULL;
    DF_TRY(df_cuda_queue_of(&queue, head, index));
    DF_CUDA(cudaMemcpyAsync(stack->parameters, df_cuda_data(parameters),
                            (size_t)stack->parameter_count * sizeof(float), cudaMemcpyDeviceToDevice,
                            queue->stream),
            what);
    return df_cuda_status(
        (cudaError_t)df_stack_pack(&stack->shape, stack->packed, stack->parameters, queue->stream), what);
}

/* Where the values between two kernels lie: two halves in turns. */
static dfal_status between(float *half[2], const struct df_stack *stack, struct df_cuda_queue *queue)
{
    const size_t floats = (size_t)stack->pass_rows * (size_t)stack->widest;
    DF_TRY(df_cuda_workspace(queue, 2 * floats * sizeof(float)));
    half[0] = queue->workspace;
    half[1] = half[0] + floats;
    return DFAL_OK;
}

static dfal_status forward(const struct df_stack *stack, float *y, uint8_t *kept, const float *x,
                           int64_t rows, float *const half[2], cudaStream_t stream)
{
    static const char what[] = "a fused forward";
    const float *from = x;
    if (stack->shape.count > 0) {
        DF_CUDA((cudaError_t)df_stack_forward(&stack->shape, half[0], kept, x, stack->packed, rows, stream),
                what);
        from = half[0];
    }
    for (int32_t i = 0; i < stack->dense_count; i++) {
        const struct dense *dense = &stack->dense[i];
        float *to = i + 1 == stack->dense_count ? y : half[(i + 1) % 2];
        DF_CUDA((cudaError_t)df_gemm_forward(dense->in, dense->out, to, from,
                                             stack->parameters + dense->weight_at,
                                             stack->parameters + dense->bias_at, rows, stream),
                what);
        if (dense->kept_at >= 0)
            DF_CUDA((cudaError_t)df_stack_relu_forward(to, kept, stack->shape.kept_size, dense->kept_at, rows,
                                                       dense->out, stream),
                    what);
        from = to;
    }
    return DFAL_OK;
}

static dfal_status backward(const struct df_stack *stack, float *dx, const float *dy, const uint8_t *kept,
                            const int32_t *owner, int64_t rows, float *const half[2], cudaStream_t stream)
{
    static const char what[] = "a fused backward";
    const float *from = dy;
    for (int32_t i = stack->dense_count - 1; i >= 0; i--) {
        const struct dense *dense = &stack->dense[i];
        float *to = half[i % 2];
        DF_CUDA((cudaError_t)df_gemm_backward(dense->in, dense->out, to, from,
                                              stack->parameters + dense->weight_at, rows, stream),
                what);
        if (i > 0 && stack->dense[i - 1].kept_at >= 0)
            DF_CUDA((cudaError_t)df_stack_relu_backward(to, kept, owner, stack->shape.kept_size,
                                                        stack->dense[i - 1].kept_at, rows, dense->in, stream),
                    what);
        from = to;
    }
    return df_cuda_status(
        (cudaError_t)df_stack_backward(&stack->shape, dx, from, kept, owner, stack->packed, rows, stream),
        what);
}

dfal_status df_cuda_stack_run(struct df_device *head, int32_t index, const struct df_stack_call *call)
{
    const struct df_stack *stack = call->stack;
    const struct dense *last = &stack->dense[stack->dense_count - 1];
    struct df_cuda_queue *queue = NULL;
    float *half[2];
    DF_TRY(df_cuda_queue_of(&queue, head, index));
    DF_TRY(between(half, stack, queue));
    float *x = df_cuda_data(call->x), *y = df_cuda_data(call->y);
    uint8_t *kept = df_cuda_data(call->kept);
    const int32_t *owner = df_cuda_data(call->owner);
    for (int64_t first = 0; first < call->rows; first += stack->pass_rows) {
        const int64_t left = call->rows - first, rows = left < stack->pass_rows ? left : stack->pass_rows;
        float *x_part = x + first * stack->shape.input, *y_part = y + first * last->out;
        if (call->backward)
            DF_TRY(backward(stack, x_part, y_part, kept, owner + first, rows, half, queue->stream));
        else
            DF_TRY(forward(stack, y_part, kept + first * stack->shape.kept_size, x_part, rows, half,
                           queue->stream));
    }
    return DFAL_OK;
}
