/* SPDX-License-Identifier: Apache-2.0 */
/* The engine of split layers: forward and backward on tensor cores, at float32's grade (kernels/split.h).
 *
 * Memory   the weights' packed copy is the op's own, filled by bind. The queue's workspace holds the shifts
 *          and the packed values of a block of rows: a call of more goes block by block, which no bit
 *          depends on. */
#include "backend/cuda.h"
#include "base/memory.h"
#include "split.h" /* kernels */

struct split_op {
    struct df_cuda_op head;
    bool backward;
    int32_t block_rows;
    struct df_conv_shape shape;
    int64_t in_channels, in_plane, out_size; /* of the op: backward, dy's and dx's */
    int64_t taps, weight_count;              /* of a kernel; of the layer */
    uint16_t *weight;
    int32_t *weight_shift;
};

static int64_t rows_of_a_block(const struct split_op *op, int64_t rows)
{
    return rows < op->block_rows ? rows : op->block_rows;
}

static size_t shift_bytes(int64_t rows)
{
    return df_cuda_aligned((size_t)rows * sizeof(int32_t));
}

static size_t workspace(const struct df_cuda_op *head, int64_t rows)
{
    const struct split_op *op = (const struct split_op *)head;
    const int64_t block = rows_of_a_block(op, rows);
    return shift_bytes(block) +
           (size_t)df_split_count(block * op->in_plane, op->in_channels) * sizeof(uint16_t);
}

static void destroy(struct df_cuda_op *head)
{
    struct split_op *op = (struct split_op *)head;
    if (op == NULL)
        return;
    (void)cudaFree(op->weight);
    (void)cudaFree(op->weight_shift);
    df_free(op);
}

static dfal_status bind(struct df_cuda_op *head, const float *weight, const float *bias, cudaStream_t stream)
{
    static const char what[] = "splitting weights";
    const struct split_op *op = (const struct split_op *)head;
    (void)bias;
    DF_CUDA(
        (cudaError_t)df_half_shifts(op->weight_shift, weight, 1, op->weight_count, DF_SPLIT_PLACE, stream),
        what);
    return df_cuda_status((cudaError_t)df_split_pack_weights(op->weight, weight, op->weight_shift,
                                                             op->shape.out[0], op->shape.in[0], op->taps,
                                                             op->backward, stream),
                          what);
}

static dfal_status run(struct df_cuda_op *head, const struct df_cuda_run *r)
{
    static const char what[] = "a split product";
    const struct split_op *op = (const struct split_op *)head;
    const int64_t block = rows_of_a_block(op, r->rows), in_size = op->in_channels * op->in_plane;
    int32_t *shift = r->workspace;
    uint16_t *packed = (uint16_t *)((char *)r->workspace + shift_bytes(block));
    for (int64_t row = 0; row < r->rows; row += block) {
        const int64_t rows = r->rows - row < block ? r->rows - row : block;
        const float *in = r->in[0] + row * in_size;
        DF_CUDA((cudaError_t)df_half_shifts(shift, in, rows, in_size, DF_SPLIT_PLACE, r->stream), what);
        DF_CUDA((cudaError_t)df_split_pack(packed, in, shift, rows, op->in_channels, op->in_plane, r->stream),
                what);
        DF_CUDA((cudaError_t)df_split_conv(&op->shape, op->backward, r->out + row * op->out_size, packed,
                                           shift, op->weight, op->weight_shift, op->backward ? NULL : r->bias,
                                           rows, r->stream),
                what);
    }
    return DFAL_OK;
}

static const struct df_cuda_engine split_engine = {
    .name = "split", .destroy = destroy, .workspace = workspace, .bind = bind, .run = run};

dfal_status df_cuda_split_create(struct df_cuda_op **out, const struct df_layer_desc *desc, bool backward)
{
    struct split_op *op = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&op, 1, sizeof *op));
    const struct df_shape *from = backward ? &desc->out : &desc->in, *to = backward ? &desc->in : &desc->out;
    op->head.engine = &split_engine;
    op->backward = backward;
    op->block_rows = desc->block_rows;
    op->shape = df_cuda_conv_shape(desc);
    op->in_channels = from->c;
    op->in_plane = from->h * from->w;
    op->out_size = df_shape_size(*to);
    op->taps = (int64_t)op->shape.window.kernel[0] * op->shape.window.kernel[1];
    op->weight_count = df_layer_weight_count(desc);
    const int64_t numbers = df_split_count(op->taps * to->c, from->c);
    DF_TRY_TO(done, status, df_cuda_memory((void **)&op->weight, numbers * (int64_t)sizeof *op->weight));
    DF_TRY_TO(done, status, df_cuda_memory((void **)&op->weight_shift, sizeof *op->weight_shift));
    *out = &op->head;
    op = NULL;
done:
    if (op != NULL)
        destroy(&op->head);
    return status;
}
