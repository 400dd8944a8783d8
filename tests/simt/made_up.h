/* SPDX-License-Identifier: Apache-2.0 */
/* The libraries' engines, made up: they take exactly a fixed number of rows, look at them and leave the work
 * to dfal's own kernels, or to plain loops in double where operands are binary16. For test_cuda.c alone. */
#ifndef DF_TESTS_SIMT_MADE_UP_H
#define DF_TESTS_SIMT_MADE_UP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support.h"
#include "backend/cuda.h"
#include "base/memory.h"
#include "half.h" /* kernels */

enum { ENGINE_ROWS = 4, ENGINE_WORKSPACE = 1000 };

struct made_up {
    struct df_cuda_op head;
    struct df_cuda_op *own;
    enum df_layer_kind kind;
    struct df_layer_desc desc;
    int64_t in, out;
};

static struct {
    bool refuses, refuses_half;
    int fails;            /* runs of ops of this kind; -1: none */
    int64_t runs, padded; /* rows of zeros that were seen */
    int binds;
} library = {.fails = -1};

static dfal_status made_up_create(struct df_cuda_op **out, struct df_cuda_device *device,
                                  const struct df_layer_desc *desc, enum df_layer_kind kind)
{
    struct made_up *op = NULL;
    *out = NULL;
    const bool half = desc->half_backward && kind == DF_LAYER_BACKWARD;
    if (half ? library.refuses_half : library.refuses)
        DF_FAIL(DFAL_E_UNAVAILABLE, "the library has no such engine");
    DF_TRY(df_alloc(&op, 1, sizeof *op));
    op->head.engine = desc->is_gemm ? &df_cuda_cublas : &df_cuda_cudnn;
    op->head.rows = ENGINE_ROWS;
    op->head.workspace = ENGINE_WORKSPACE;
    (void)snprintf(op->head.text, sizeof op->head.text, "algorithm %d", 7 + (int)kind);
    op->kind = kind;
    op->desc = *desc;
    op->in = df_shape_size(desc->in);
    op->out = df_shape_size(desc->out);
    const dfal_status status = df_cuda_own.create(&op->own, device, desc, kind);
    if (status != DFAL_OK) {
        df_free(op);
        return status;
    }
    *out = &op->head;
    return DFAL_OK;
}

static void made_up_destroy(struct df_cuda_op *head)
{
    struct made_up *op = (struct made_up *)head;
    df_cuda_own.destroy(op->own);
    df_free(op);
}

static dfal_status made_up_bind(struct df_cuda_op *head, const float *weight, const float *bias,
                                cudaStream_t stream)
{
    (void)head;
    (void)stream;
    if (weight == NULL || bias == NULL)
        test_fail("an engine was bound without weight or bias");
    library.binds++;
    return DFAL_OK;
}

static void look_at(const float *in, int64_t size, cudaStream_t stream)
{
    float *rows = calloc((size_t)(ENGINE_ROWS * size), sizeof *rows);
    assert_non_null(rows);
    assert_int_equal(cudaMemcpyAsync(rows, in, (size_t)(ENGINE_ROWS * size) * sizeof *rows,
                                     cudaMemcpyDeviceToHost, stream),
                     0);
    assert_int_equal(cudaStreamSynchronize(stream), 0);
    for (int64_t row = 0; row < ENGINE_ROWS; row++) {
        int64_t zeros = 0;
        for (int64_t i = 0; i < size; i++)
            zeros += rows[row * size + i] == 0.0F;
        library.padded += zeros == size;
    }
    free(rows);
}

/* Element (a, channel, position) of binary16 memory [a, positions, channels]. */
static float half_at(const void *memory, int64_t a, int64_t channels, int64_t positions, int64_t channel,
                     int64_t position)
{
    return df_half_value(((const uint16_t *)memory)[(a * positions + position) * channels + channel]);
}

/* dx [in] of one row's dy [out] and the weights [O, C, taps], by the definition; groups are not known. */
static void reference_gradient(const struct df_layer_desc *d, double *dx, const double *dy,
                               const double *weight)
{
    const struct df_window *w = &d->window;
    const int64_t taps = d->is_gemm ? 1 : (int64_t)w->kernel[0] * w->kernel[1];
    const int64_t in_plane = d->in.h * d->in.w, out_plane = d->out.h * d->out.w;
    memset(dx, 0, (size_t)(d->in.c * in_plane) * sizeof *dx);
    for (int64_t i = 0; i < d->out.c * out_plane; i++) {
        const int64_t o = i / out_plane, at = i % out_plane;
        for (int64_t k = 0; k < d->in.c * taps; k++) {
            const int64_t c = k / taps, tap = k % taps;
            const int64_t y = d->is_gemm ? 0 : at / d->out.w * w->stride[0] + tap / w->kernel[1] - w->pad[0];
            const int64_t x = d->is_gemm ? 0 : at % d->out.w * w->stride[1] + tap % w->kernel[1] - w->pad[1];
            if (y >= 0 && y < d->in.h && x >= 0 && x < d->in.w)
                dx[c * in_plane + y * d->in.w + x] += dy[i] * weight[o * d->in.c * taps + k];
        }
    }
}

static double *doubles(int64_t count)
{
    double *values = calloc((size_t)count, sizeof *values);
    assert_non_null(values);
    return values;
}

/* What cuDNN and cublasLt do with binary16, by the definition: the shim's memory is the host's. */
static void half_backward(const struct made_up *op, const struct df_cuda_run *run)
{
    const struct df_layer_desc *d = &op->desc;
    const int64_t weights = df_layer_weight_count(d), taps = weights / d->in.c / d->out.c;
    const int64_t in_plane = d->in.h * d->in.w, out_plane = d->out.h * d->out.w;
    double *dx = doubles(op->in), *dy = doubles(op->out), *weight = doubles(weights);
    assert_int_equal(cudaStreamSynchronize(run->stream), 0);
    assert_true((uintptr_t)run->in[0] % 256 == 0 && (uintptr_t)run->weight % 256 == 0);
    for (int64_t i = 0; i < weights; i++)
        weight[i] =
            (double)half_at(run->weight, i / taps / d->in.c, d->in.c, taps, i / taps % d->in.c, i % taps);
    for (int64_t row = 0; row < run->rows; row++) {
        int64_t zeros = 0;
        for (int64_t i = 0; i < op->out; i++) {
            dy[i] = (double)half_at(run->in[0], row, d->out.c, out_plane, i / out_plane, i % out_plane);
            zeros += dy[i] == 0;
        }
        reference_gradient(d, dx, dy, weight);
        for (int64_t j = 0; j < op->in; j++) {
            const int64_t c = j / in_plane, at = j % in_plane;
            if (d->is_gemm)
                run->out[row * op->in + j] = (float)dx[j];
            else
                ((uint16_t *)(void *)run->out)[(row * in_plane + at) * d->in.c + c] =
                    df_half_of((float)dx[j]);
        }
        library.padded += zeros == op->out;
    }
    free(dx);
    free(dy);
    free(weight);
}

static dfal_status made_up_run(struct df_cuda_op *head, const struct df_cuda_run *run)
{
    struct made_up *op = (struct made_up *)head;
    if (library.fails == (int)op->kind)
        DF_FAIL(DFAL_E_UNAVAILABLE, "the made-up driver does not know this engine");
    if (run->rows != ENGINE_ROWS || run->workspace == NULL || (uintptr_t)run->workspace % 256 != 0)
        test_fail("a run of %lld rows, expected %d, and an aligned workspace", (long long)run->rows,
                  ENGINE_ROWS);
    if (run->bias_gradient != NULL)
        test_fail("an engine that has no bias gradient was asked for one");
    assert_int_equal(cudaMemsetAsync(run->workspace, 0xff, ENGINE_WORKSPACE, run->stream), 0);
    if (op->desc.half_backward && op->kind == DF_LAYER_BACKWARD) {
        memset(run->workspace, 0xff, ENGINE_WORKSPACE);
        half_backward(op, run);
        library.runs++;
        return DFAL_OK;
    }
    look_at(run->in[0], op->kind == DF_LAYER_BACKWARD ? op->out : op->in, run->stream);
    library.runs++;
    struct df_cuda_run own = *run;
    size_t bytes = df_cuda_own.workspace(op->own, run->rows);
    void *scratch = NULL;
    DF_TRY(df_cuda_memory(&scratch, (int64_t)bytes));
    own.workspace = scratch;
    const dfal_status status = df_cuda_own.run(op->own, &own);
    (void)cudaStreamSynchronize(run->stream);
    (void)cudaFree(scratch);
    return status;
}

const struct df_cuda_engine df_cuda_cudnn = {.name = "made up convolutions",
                                             .create = made_up_create,
                                             .destroy = made_up_destroy,
                                             .bind = made_up_bind,
                                             .run = made_up_run};
const struct df_cuda_engine df_cuda_cublas = {.name = "made up products",
                                              .create = made_up_create,
                                              .destroy = made_up_destroy,
                                              .bind = made_up_bind,
                                              .run = made_up_run};

#endif
