/* SPDX-License-Identifier: Apache-2.0 */
/* The engine of dfal's own kernels: any layer, any number of rows (kernels/conv.h). */
#include "backend/cuda.h"
#include "base/memory.h"

struct own_op {
    struct df_cuda_op head;
    enum df_layer_kind kind;
    bool is_gemm;
    int64_t in, out; /* values a row */
    struct df_conv_shape shape;
};

struct df_conv_shape df_cuda_conv_shape(const struct df_layer_desc *desc)
{
    static const struct df_window one = {{1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}};
    return (struct df_conv_shape){
        .in = {(int32_t)desc->in.c, (int32_t)desc->in.h, (int32_t)desc->in.w},
        .out = {(int32_t)desc->out.c, (int32_t)desc->out.h, (int32_t)desc->out.w},
        .window = desc->is_gemm ? one : desc->window,
        .group = desc->group > 1 ? desc->group : 1,
    };
}

static dfal_status create(struct df_cuda_op **out, struct df_cuda_device *device,
                          const struct df_layer_desc *desc, enum df_layer_kind kind)
{
    struct own_op *op = NULL;
    (void)device;
    *out = NULL;
    DF_TRY(df_alloc(&op, 1, sizeof *op));
    op->head.engine = &df_cuda_own;
    op->kind = kind;
    op->is_gemm = desc->is_gemm;
    op->in = df_shape_size(desc->in);
    op->out = df_shape_size(desc->out);
    op->shape = df_cuda_conv_shape(desc);
    *out = &op->head;
    return DFAL_OK;
}

static void destroy(struct df_cuda_op *op)
{
    df_free(op);
}

static size_t workspace(const struct df_cuda_op *head, int64_t rows)
{
    const struct own_op *op = (const struct own_op *)head;
    if (op->is_gemm || op->kind != DF_LAYER_WEIGHT_GRADIENT)
        return 0;
    return (size_t)df_conv_gradient_scratch(&op->shape, rows) * sizeof(float);
}

static int run_gemm(const struct own_op *op, const struct df_cuda_run *r)
{
    switch (op->kind) {
    case DF_LAYER_FORWARD:
        return df_gemm_forward(op->in, op->out, r->out, r->in[0], r->weight, r->bias, r->rows, r->stream);
    case DF_LAYER_BACKWARD:
        return df_gemm_backward(op->in, op->out, r->out, r->in[0], r->weight, r->rows, r->stream);
    case DF_LAYER_WEIGHT_GRADIENT:
        break;
    }
    return df_gemm_weight_gradient(op->in, op->out, r->out, r->bias_gradient, r->in[0], r->in[1], r->rows,
                                   r->stream);
}

static int run_conv(const struct own_op *op, const struct df_cuda_run *r)
{
    switch (op->kind) {
    case DF_LAYER_FORWARD:
        return df_conv_forward(&op->shape, r->out, r->in[0], r->weight, r->bias, r->rows, r->stream);
    case DF_LAYER_BACKWARD:
        return df_conv_backward(&op->shape, r->out, r->in[0], r->weight, r->rows, r->stream);
    case DF_LAYER_WEIGHT_GRADIENT:
        break;
    }
    return df_conv_weight_gradient(&op->shape, r->out, r->bias_gradient, r->in[0], r->in[1], r->rows,
                                   r->workspace, r->stream);
}

static dfal_status run(struct df_cuda_op *head, const struct df_cuda_run *r)
{
    const struct own_op *op = (const struct own_op *)head;
    const int error = op->is_gemm ? run_gemm(op, r) : run_conv(op, r);
    return df_cuda_status((cudaError_t)error, op->is_gemm ? "a product" : "a convolution");
}

const struct df_cuda_engine df_cuda_own = {
    .name = "own kernels",
    .has_bias_gradient = true,
    .create = create,
    .destroy = destroy,
    .workspace = workspace,
    .run = run,
};
