/* SPDX-License-Identifier: Apache-2.0 */
/* A layer: which engine runs each of its ops, and blocks of a fixed number of rows for the libraries'.
 *
 * Which engine it is follows from the layer alone, and so does the order of every sum: a row's result does
 * not depend on the batch, nor on where in it the row stands. Parameters are read where they lie: a copy
 * would be two more nodes of a recorded step for every layer. */
#include "backend/cuda.h"

#include <stdio.h>

#include "base/memory.h"
#include "bias.h"   /* kernels */
#include "launch.h" /* kernels */

struct cuda_layer {
    struct df_layer head;
    int64_t in_size, out_size, weight_count, bias_count;
    struct df_cuda_op *op[DF_LAYER_KINDS]; /* by df_layer_kind; NULL: not wanted */
    const float *weight, *bias;            /* whoever bound them has them */
    float *no_bias;                        /* [bias_count] zeros */
};

/* ---- Engines --------------------------------------------------------------------------------- */

#ifdef DFAL_CUDA_LIBRARIES
/* Own kernels read each value of a narrow layer once. */
static const struct df_cuda_engine *library_for(const struct df_layer_desc *desc)
{
    if (df_layer_is_narrow(desc))
        return NULL;
    return desc->is_gemm ? &df_cuda_cublas : &df_cuda_cudnn;
}
#else
static const struct df_cuda_engine *library_for(const struct df_layer_desc *desc)
{
    (void)desc;
    return NULL;
}
#endif

/* Why a layer's op is not the library's: what the library said. */
static void tell_fallback(char *fallback, const struct df_cuda_engine *library, enum df_layer_kind kind)
{
    static const char *const kinds[] = {"forward", "backward", "weight gradient"};
    char reason[DF_MESSAGE_SIZE];
    if (*fallback != '\0')
        return;
    df_message_get(reason);
    (void)snprintf(fallback, DF_FALLBACK_TEXT, "%s does not run a %s: %.180s", library->name, kinds[kind],
                   reason);
}

/* The library's, where it has one that runs. Errors   E_UNAVAILABLE, told as a fall-back */
static dfal_status create_by_library(struct df_cuda_op **out, struct df_cuda_device *device,
                                     const struct df_layer_desc *desc, enum df_layer_kind kind,
                                     char *fallback)
{
    const struct df_cuda_engine *library = library_for(desc);
    if (library == NULL)
        return DFAL_E_UNAVAILABLE;
    dfal_status status = library->create(out, device, desc, kind);
    if (status == DFAL_OK) {
        status = df_cuda_try(device, *out, desc, kind);
        if (status == DFAL_OK)
            return DFAL_OK;
        library->destroy(*out);
        *out = NULL;
    }
    if (status == DFAL_E_UNAVAILABLE)
        tell_fallback(fallback, library, kind);
    return status;
}

static dfal_status create_op(struct df_cuda_op **out, struct df_cuda_device *device,
                             const struct df_layer_desc *desc, enum df_layer_kind kind, char *fallback)
{
    struct df_layer_desc asked = *desc;
    if (kind == DF_LAYER_WEIGHT_GRADIENT && desc->of_one_row)
        asked.block_rows = 1;
    const dfal_status status = create_by_library(out, device, &asked, kind, fallback);
    return status == DFAL_E_UNAVAILABLE ? df_cuda_own.create(out, device, &asked, kind) : status;
}

/* A library's for binary16; where it has none, whatever runs the float32 backward gets the rounded values. */
static dfal_status create_half(struct df_cuda_op **out, struct df_cuda_device *device,
                               const struct df_layer_desc *desc, char *fallback)
{
    struct df_cuda_op *inner = NULL;
    const dfal_status status = create_by_library(&inner, device, desc, DF_LAYER_BACKWARD, fallback);
    if (status == DFAL_OK)
        return df_cuda_half_create(out, inner, desc, true);
    if (status != DFAL_E_UNAVAILABLE)
        return status;
    struct df_layer_desc plain = *desc;
    plain.half_backward = false;
    DF_TRY(create_op(&inner, device, &plain, DF_LAYER_BACKWARD, fallback));
    return df_cuda_half_create(out, inner, desc, false);
}

/* Forward and backward of a split layer have an engine of their own. */
static dfal_status create_any(struct df_cuda_op **out, struct df_cuda_device *device,
                              const struct df_layer_desc *desc, enum df_layer_kind kind, char *fallback)
{
    if (desc->split && kind != DF_LAYER_WEIGHT_GRADIENT)
        return df_cuda_split_create(out, desc, kind == DF_LAYER_BACKWARD);
    if (desc->half_backward && kind == DF_LAYER_BACKWARD)
        return create_half(out, device, desc, fallback);
    return create_op(out, device, desc, kind, fallback);
}

static dfal_status check_desc(const struct df_layer_desc *desc)
{
    if (desc->block_rows < 1)
        DF_FAIL(DFAL_E_INTERNAL, "a layer of %d rows a block was asked for, expected at least 1",
                desc->block_rows);
    if (desc->is_gemm && (desc->in.h != 1 || desc->in.w != 1 || desc->out.h != 1 || desc->out.w != 1))
        DF_FAIL(DFAL_E_INTERNAL, "a product over planes of %lldx%lld was asked for, expected 1x1",
                (long long)desc->in.h, (long long)desc->in.w);
    if (desc->split && desc->group > 1)
        DF_FAIL(DFAL_E_INTERNAL, "a split layer of %d groups was asked for, expected 1", desc->group);
    if (df_shape_size(desc->in) > INT32_MAX || df_shape_size(desc->out) > INT32_MAX)
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "a layer of %lld inputs and %lld outputs is too large for the CUDA back end",
                (long long)df_shape_size(desc->in), (long long)df_shape_size(desc->out));
    return DFAL_OK;
}

static dfal_status make_zeros(float **out, const struct df_cuda_device *device, int64_t count)
{
    static const char what[] = "clearing a bias";
    const size_t bytes = (size_t)count * sizeof **out;
    DF_TRY(df_cuda_memory((void **)out, (int64_t)bytes));
    DF_CUDA(cudaMemsetAsync(*out, 0, bytes, device->clearing), what);
    return df_cuda_status(cudaStreamSynchronize(device->clearing), what);
}

dfal_status df_cuda_layer_create(struct df_device *head, struct df_layer **out,
                                 const struct df_layer_desc *desc)
{
    struct df_cuda_device *device = (struct df_cuda_device *)head;
    struct cuda_layer *layer = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(check_desc(desc));
    DF_TRY(df_cuda_not_recording("take memory"));
    DF_CUDA(cudaSetDevice(device->index), "choosing the GPU");
    DF_TRY(df_alloc(&layer, 1, sizeof *layer));
    layer->head.desc = *desc;
    layer->in_size = df_shape_size(desc->in);
    layer->out_size = df_shape_size(desc->out);
    layer->weight_count = df_layer_weight_count(desc);
    layer->bias_count = df_layer_bias_count(desc);
    const bool wanted[DF_LAYER_KINDS] = {desc->forward, desc->backward, desc->weight_gradient};
    DF_TRY_TO(done, status, make_zeros(&layer->no_bias, device, layer->bias_count));
    for (int kind = 0; kind < DF_LAYER_KINDS; kind++)
        if (wanted[kind])
            DF_TRY_TO(
                done, status,
                create_any(&layer->op[kind], device, desc, (enum df_layer_kind)kind, layer->head.fallback));
    *out = &layer->head;
done:
    if (status != DFAL_OK)
        df_cuda_layer_destroy(head, &layer->head);
    return status;
}

void df_cuda_layer_destroy(struct df_device *head, struct df_layer *given)
{
    struct cuda_layer *layer = (struct cuda_layer *)given;
    const struct df_cuda_device *device = (const struct df_cuda_device *)head;
    if (layer == NULL)
        return;
    /* Freeing waits for what still uses the memory. */
    (void)cudaSetDevice(device->index);
    (void)cudaFree(layer->no_bias);
    for (int kind = 0; kind < DF_LAYER_KINDS; kind++)
        if (layer->op[kind] != NULL)
            layer->op[kind]->engine->destroy(layer->op[kind]);
    (void)cudaGetLastError();
    df_free(layer);
}

dfal_status df_cuda_layer_bind(struct df_device *head, int32_t index, struct df_layer *given,
                               struct df_span weight_span, struct df_span bias_span)
{
    struct cuda_layer *layer = (struct cuda_layer *)given;
    struct df_cuda_queue *queue = NULL;
    const float *bias = df_cuda_data(bias_span);
    layer->weight = df_cuda_data(weight_span);
    layer->bias = bias != NULL ? bias : layer->no_bias;
    if (layer->weight == NULL)
        DF_FAIL(DFAL_E_INTERNAL, "a layer was bound without weights");
    DF_TRY(df_cuda_queue_of(&queue, head, index));
    for (int kind = 0; kind < DF_LAYER_KINDS; kind++) {
        struct df_cuda_op *op = layer->op[kind];
        if (op != NULL && op->engine->bind != NULL)
            DF_TRY(op->engine->bind(op, layer->weight, layer->bias, queue->stream));
    }
    return DFAL_OK;
}

void df_cuda_layer_text(struct df_device *device, const struct df_layer *given, enum df_layer_kind kind,
                        char *text, size_t size)
{
    const struct cuda_layer *layer = (const struct cuda_layer *)given;
    const struct df_cuda_op *op = layer->op[kind];
    (void)device;
    if (op == NULL)
        *text = '\0';
    else
        (void)snprintf(text, size, "%s%s%s", op->engine->name, op->text[0] != '\0' ? ": " : "", op->text);
}

/* ---- Runs ------------------------------------------------------------------------------------ */

/* The queue's workspace holds the engine's own part, then blocks of the caller's rows padded with zeros or
 * still to be cut off, or a part of a weight gradient. Room for a part of a block is taken whether this run
 * has one or not: it does not grow in a later one, and a recording keeps the one it was made with. */
static size_t engine_bytes(const struct df_cuda_op *op, int64_t rows)
{
    return df_cuda_aligned(op->engine->workspace != NULL ? op->engine->workspace(op, rows) : op->workspace);
}

static int64_t scratch(const struct cuda_layer *layer, enum df_layer_kind kind, int64_t rows)
{
    const struct df_cuda_op *op = layer->op[kind];
    if (op == NULL || rows <= 0)
        return 0;
    if (op->rows == 0)
        return (int64_t)engine_bytes(op, rows);
    size_t bytes = engine_bytes(op, op->rows);
    if (op->rows > 1) /* some run has a part of a block */
        bytes += df_cuda_aligned((size_t)(op->rows * layer->in_size) * sizeof(float)) +
                 df_cuda_aligned((size_t)(op->rows * layer->out_size) * sizeof(float));
    if (kind == DF_LAYER_WEIGHT_GRADIENT && rows > op->rows)
        bytes += df_cuda_aligned((size_t)layer->weight_count * sizeof(float));
    return (int64_t)bytes;
}

int64_t df_cuda_layer_scratch(struct df_device *device, const struct df_layer *given, enum df_layer_kind kind,
                              int64_t rows)
{
    const struct cuda_layer *layer = (const struct cuda_layer *)given;
    (void)device;
    return scratch(layer, kind, rows);
}

/* A block of `block` rows of which the first `rows` exist: the caller's memory when they are all there, else
 * a copy padded with zeros. */
static dfal_status padded(const float **out, float *copy, const float *from, int64_t rows, int64_t block,
                          int64_t size, cudaStream_t stream)
{
    static const char what[] = "padding a block";
    *out = from;
    if (rows == block)
        return DFAL_OK;
    *out = copy;
    DF_CUDA(
        cudaMemcpyAsync(copy, from, (size_t)(rows * size) * sizeof(float), cudaMemcpyDeviceToDevice, stream),
        what);
    return df_cuda_status(
        cudaMemsetAsync(copy + rows * size, 0, (size_t)((block - rows) * size) * sizeof(float), stream),
        what);
}

/* Forward or backward. */
static dfal_status run_blocks(const struct cuda_layer *layer, enum df_layer_kind kind,
                              struct df_cuda_queue *queue, struct df_cuda_run *run, float *out,
                              const float *in)
{
    struct df_cuda_op *op = layer->op[kind];
    const int64_t rows = run->rows, block = op->rows > 0 ? op->rows : rows;
    const int64_t from = kind == DF_LAYER_FORWARD ? layer->in_size : layer->out_size;
    const int64_t to = kind == DF_LAYER_FORWARD ? layer->out_size : layer->in_size;
    const size_t engine = engine_bytes(op, block);
    const bool tail = rows % block != 0;
    const size_t in_bytes = tail ? df_cuda_aligned((size_t)(block * from) * sizeof(float)) : 0;
    DF_TRY(df_cuda_workspace(queue, (size_t)scratch(layer, kind, rows)));
    char *workspace = queue->workspace;
    float *copy = (float *)(workspace + engine), *result = (float *)(workspace + engine + in_bytes);
    run->workspace = workspace;
    run->weight = layer->weight;
    run->bias = layer->bias;
    run->rows = block;
    for (int64_t row = 0; row < rows; row += block) {
        const int64_t count = rows - row < block ? rows - row : block;
        DF_TRY(padded(&run->in[0], copy, in + row * from, count, block, from, run->stream));
        run->out = count == block ? out + row * to : result;
        DF_TRY(op->engine->run(op, run));
        if (count < block)
            DF_CUDA(cudaMemcpyAsync(out + row * to, result, (size_t)(count * to) * sizeof(float),
                                    cudaMemcpyDeviceToDevice, run->stream),
                    "cutting off a block");
    }
    return DFAL_OK;
}

static dfal_status accumulate(float *to, const float *from, int64_t count, cudaStream_t stream)
{
    const struct df_io io = {.out = {to}, .in = {from}, .rows = 1, .cols = count};
    return df_cuda_status((cudaError_t)df_launch(DF_OP_accumulate, &io, stream), "accumulate");
}

static dfal_status bias_gradient(const struct cuda_layer *layer, float *db, const float *dy, int64_t rows,
                                 cudaStream_t stream)
{
    const int64_t plane = layer->out_size / layer->bias_count;
    return df_cuda_status((cudaError_t)df_bias_gradient(db, dy, rows, layer->bias_count, plane, stream),
                          "a bias gradient");
}

/* The sum over the blocks, in order. */
static dfal_status run_weight_gradient(const struct cuda_layer *layer, struct df_cuda_queue *queue,
                                       struct df_cuda_run *run, float *const out[2], const float *const in[2])
{
    struct df_cuda_op *op = layer->op[DF_LAYER_WEIGHT_GRADIENT];
    const int64_t rows = run->rows, block = op->rows > 0 ? op->rows : rows;
    const size_t engine = engine_bytes(op, block), weight = (size_t)layer->weight_count * sizeof(float);
    if (rows <= 0) {
        for (int k = 0; k < 2; k++)
            if (out[k] != NULL)
                DF_CUDA(cudaMemsetAsync(out[k], 0,
                                        k == 0 ? weight : (size_t)layer->bias_count * sizeof(float),
                                        run->stream),
                        "clearing a gradient");
        return DFAL_OK;
    }
    const bool several = rows > block, tail = rows % block != 0;
    const size_t part_bytes = several ? df_cuda_aligned(weight) : 0;
    const size_t x_bytes = tail ? df_cuda_aligned((size_t)(block * layer->in_size) * sizeof(float)) : 0;
    DF_TRY(df_cuda_workspace(queue, (size_t)scratch(layer, DF_LAYER_WEIGHT_GRADIENT, rows)));
    char *workspace = queue->workspace;
    float *part = (float *)(workspace + engine), *x = (float *)(workspace + engine + part_bytes);
    float *dy = (float *)(workspace + engine + part_bytes + x_bytes);
    run->workspace = workspace;
    run->rows = block;
    run->bias_gradient = op->engine->has_bias_gradient ? out[1] : NULL;
    for (int64_t row = 0; row < rows; row += block) {
        const int64_t count = rows - row < block ? rows - row : block;
        DF_TRY(
            padded(&run->in[0], x, in[0] + row * layer->in_size, count, block, layer->in_size, run->stream));
        DF_TRY(padded(&run->in[1], dy, in[1] + row * layer->out_size, count, block, layer->out_size,
                      run->stream));
        run->out = row == 0 ? out[0] : part;
        DF_TRY(op->engine->run(op, run));
        if (row > 0)
            DF_TRY(accumulate(out[0], part, layer->weight_count, run->stream));
    }
    if (out[1] != NULL && !op->engine->has_bias_gradient)
        return bias_gradient(layer, out[1], in[1], rows, run->stream);
    return DFAL_OK;
}

dfal_status df_cuda_layer_run(struct df_cuda_device *device, int32_t index, enum df_op op,
                              struct df_layer *given, float *const out[2], const float *const in[2],
                              int64_t rows)
{
    struct cuda_layer *layer = (struct cuda_layer *)given;
    const int found = df_layer_op_kind(op, layer->head.desc.is_gemm);
    struct df_cuda_queue *queue = &device->queues[index];
    if (found < 0 || layer->op[found] == NULL)
        DF_FAIL(DFAL_E_INTERNAL, "op %s was called on a layer that was not made for it", df_op_info[op].name);
    const enum df_layer_kind kind = (enum df_layer_kind)found;
    struct df_cuda_run run = {.rows = rows, .queue = index, .stream = queue->stream};
    dfal_status status = DFAL_OK;
    if (kind == DF_LAYER_WEIGHT_GRADIENT)
        status = run_weight_gradient(layer, queue, &run, out, in);
    else if (rows > 0)
        status = run_blocks(layer, kind, queue, &run, out[0], in[0]);
    return status == DFAL_OK ? status : df_fail_prefix(status, "%s: ", df_op_info[op].name);
}
