/* SPDX-License-Identifier: Apache-2.0 */
/* A backward in half precision: operands are rounded (kernels/half.h), an inner op multiplies and sums them,
 * dx is scaled back.
 *
 * Packed   the inner op is a library's and reads binary16: dy and the weights are converted, a convolution's
 *          with the channels last, as tensor cores want them. cuDNN has no engine that would write dx as
 *          float32, so it writes binary16, which the scales leave room for.
 * Rounded  the inner op is a float32 backward: it gets the rounded values as floats, and its dx is scaled
 * back in place.
 * Memory   the weights' copy is the op's own, filled by bind. The queue's workspace holds the inner op's
 *          part, the shifts of the rows, dy's copy and, of a packed convolution, dx as the library writes
 *          it. */
#include <string.h>

#include "backend/cuda.h"
#include "base/memory.h"
#include "half.h" /* kernels */

struct half_op {
    struct df_cuda_op head;
    struct df_cuda_op *inner;
    bool packed, is_gemm;
    int32_t place;
    int64_t in_channels, in_plane, out_channels, out_plane;
    int64_t weight_rows, weight_channels, weight_plane;
    void *weight; /* uint16_t when packed, else float */
    int32_t *weight_shift;
};

/* Where a run's parts lie in the workspace. */
struct parts {
    size_t shifts, dy, dx, end;
};

static struct parts parts_of(const struct half_op *op, int64_t rows)
{
    const struct df_cuda_op *inner = op->inner;
    const size_t out = (size_t)(rows * op->out_channels * op->out_plane),
                 in = (size_t)(rows * op->in_channels * op->in_plane);
    struct parts parts;
    parts.shifts = df_cuda_aligned(inner->engine->workspace != NULL ? inner->engine->workspace(inner, rows)
                                                                    : inner->workspace);
    parts.dy = parts.shifts + df_cuda_aligned((size_t)rows * sizeof(int32_t));
    parts.dx = parts.dy + df_cuda_aligned(out * (op->packed ? sizeof(uint16_t) : sizeof(float)));
    parts.end = parts.dx + (op->packed && !op->is_gemm ? df_cuda_aligned(in * sizeof(uint16_t)) : 0);
    return parts;
}

static size_t workspace(const struct df_cuda_op *head, int64_t rows)
{
    return parts_of((const struct half_op *)head, rows).end;
}

static void destroy(struct df_cuda_op *head)
{
    struct half_op *op = (struct half_op *)head;
    if (op == NULL)
        return;
    (void)cudaFree(op->weight);
    (void)cudaFree(op->weight_shift);
    op->inner->engine->destroy(op->inner);
    df_free(op);
}

static dfal_status bind(struct df_cuda_op *head, const float *weight, const float *bias, cudaStream_t stream)
{
    static const char what[] = "rounding weights";
    const struct half_op *op = (const struct half_op *)head;
    const int64_t rows = op->weight_rows, size = op->weight_channels * op->weight_plane;
    DF_CUDA((cudaError_t)df_half_shifts(op->weight_shift, weight, 1, rows * size, 0, stream), what);
    if (op->packed)
        DF_CUDA((cudaError_t)df_half_pack(op->weight, weight, op->weight_shift, 0, rows, op->weight_channels,
                                          op->weight_plane, stream),
                what);
    else
        DF_CUDA((cudaError_t)df_half_round(op->weight, weight, op->weight_shift, 0, rows, size, stream),
                what);
    if (op->inner->engine->bind == NULL)
        return DFAL_OK;
    return op->inner->engine->bind(op->inner, op->weight, bias, stream);
}

static dfal_status run(struct df_cuda_op *head, const struct df_cuda_run *r)
{
    static const char what[] = "rounding a gradient";
    const struct half_op *op = (const struct half_op *)head;
    const struct parts parts = parts_of(op, r->rows);
    const int64_t out = op->out_channels * op->out_plane, in = op->in_channels * op->in_plane;
    char *memory = r->workspace;
    int32_t *shifts = (int32_t *)(memory + parts.shifts);
    void *dy = memory + parts.dy, *dx = memory + parts.dx;
    struct df_cuda_run inner = *r;
    DF_CUDA((cudaError_t)df_half_shifts(shifts, r->in[0], r->rows, out, op->place, r->stream), what);
    if (op->packed)
        DF_CUDA((cudaError_t)df_half_pack(dy, r->in[0], shifts, 1, r->rows, op->out_channels, op->out_plane,
                                          r->stream),
                what);
    else
        DF_CUDA((cudaError_t)df_half_round(dy, r->in[0], shifts, 1, r->rows, out, r->stream), what);
    const bool unpacks = op->packed && !op->is_gemm;
    inner.in[0] = dy;
    inner.weight = op->weight;
    inner.out = unpacks ? dx : r->out;
    DF_TRY(op->inner->engine->run(op->inner, &inner));
    if (unpacks)
        return df_cuda_status((cudaError_t)df_half_unpack(r->out, dx, shifts, op->weight_shift, r->rows,
                                                          op->in_channels, op->in_plane, r->stream),
                              what);
    return df_cuda_status(
        (cudaError_t)df_half_rescale(r->out, shifts, op->weight_shift, r->rows, in, r->stream), what);
}

static const struct df_cuda_engine half_engine = {
    .name = "half", .destroy = destroy, .workspace = workspace, .bind = bind, .run = run};

dfal_status df_cuda_half_create(struct df_cuda_op **out, struct df_cuda_op *inner,
                                const struct df_layer_desc *desc, bool packed)
{
    struct half_op *op = NULL;
    dfal_status status;
    *out = NULL;
    status = df_alloc(&op, 1, sizeof *op);
    if (status != DFAL_OK) {
        inner->engine->destroy(inner);
        return status;
    }
    op->head = (struct df_cuda_op){.engine = &half_engine, .rows = inner->rows};
    memcpy(op->head.text, inner->text, sizeof op->head.text);
    op->inner = inner;
    op->packed = packed;
    op->is_gemm = desc->is_gemm;
    op->place = df_half_place(df_layer_backward_terms(desc));
    op->in_channels = desc->in.c;
    op->in_plane = desc->in.h * desc->in.w;
    op->out_channels = desc->out.c;
    op->out_plane = desc->out.h * desc->out.w;
    op->weight_rows = desc->out.c;
    op->weight_plane = desc->is_gemm ? 1 : (int64_t)desc->window.kernel[0] * desc->window.kernel[1];
    op->weight_channels = df_layer_weight_count(desc) / (op->weight_rows * op->weight_plane);
    const size_t size = packed ? sizeof(uint16_t) : sizeof(float);
    DF_TRY_TO(done, status, df_cuda_memory(&op->weight, df_layer_weight_count(desc) * (int64_t)size));
    DF_TRY_TO(done, status, df_cuda_memory((void **)&op->weight_shift, sizeof *op->weight_shift));
    *out = &op->head;
    op = NULL;
done:
    if (op != NULL)
        destroy(&op->head);
    return status;
}
