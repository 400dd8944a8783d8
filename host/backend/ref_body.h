/* SPDX-License-Identifier: Apache-2.0 */
/* Body of ref.c and ref64.c, which differ in what a real is. Memory is host memory; run() works on the
 * calling thread, with scratch memory a queue inside each layer. Every span is checked against its buffer: a
 * call that reaches past one is E_INTERNAL here, whatever it would do elsewhere. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "activations.h"
#include "backend/backend.h"
#include "backend/ref_layer.h"
#include "base/memory.h"
#include "base/rng.h"
#include "batch.h"
#include "centre.h"
#include "choice.h"
#include "deepfool.h"
#include "dropout.h"
#include "join.h"
#include "norm.h"
#include "pad.h"
#include "planes.h"
#include "pointwise.h"
#include "prelu.h"
#include "projection.h"
#include "race.h"
#include "residency.h"
#include "rows.h"

_Static_assert((int)DF_PHILOX_DROPOUT == (int)DF_STREAM_DROPOUT,
               "kernels/dropout.h repeats the stream's number");
_Static_assert((int)DF_PHILOX_BADGE == (int)DF_STREAM_BADGE, "kernels/race.h repeats the stream's number");

struct layer {
    struct df_layer head;
    double *weight, *bias; /* packed by bind: a layer sees changed parameters only after the next bind */
    double *scaled;        /* of half_backward: rounded; of split: both parts; times 2^weight_shift */
    double *low, *zeros;   /* of split: the low parts alone; no biases */
    int32_t weight_shift;
    double *scratch; /* [queues, scratch_count] */
    int64_t scratch_count;
};

static const size_t type_size[] = {[DF_TYPE_REAL] = sizeof(df_real),
                                   [DF_TYPE_I32] = sizeof(int32_t),
                                   [DF_TYPE_U8] = sizeof(uint8_t),
                                   [DF_TYPE_F64] = sizeof(double)};

/* NULL when it is absent. */
static void *span_address(struct df_span span)
{
    return span.buffer == NULL
               ? NULL
               : (char *)span.buffer->data + (size_t)span.offset * type_size[span.buffer->type];
}

static dfal_status ref_open(struct df_device **out, const struct df_device_options *options)
{
    *out = NULL;
    struct df_device *device;
    DF_TRY(df_alloc(&device, 1, sizeof *device));
    device->queue_count = options->queues;
    device->real_bytes = sizeof(df_real);
    device->half_backward = true;
    device->split = true;
    snprintf(device->info.backend, sizeof device->info.backend, REF_NAME);
    snprintf(device->info.isa, sizeof device->info.isa, "any");
    snprintf(device->info.device, sizeof device->info.device, "CPU");
    snprintf(device->info.library, sizeof device->info.library, "none");
    *out = device;
    return DFAL_OK;
}

static void ref_close(struct df_device *device)
{
    df_free(device);
}

static void ref_buffer_destroy(struct df_device *device, struct df_buffer *buffer)
{
    (void)device;
    if (buffer != NULL)
        df_free(buffer->data);
    df_free(buffer);
}

static dfal_status ref_buffer_create(struct df_device *device, struct df_buffer **out, enum df_type type,
                                     int64_t count)
{
    *out = NULL;
    struct df_buffer *buffer;
    DF_TRY(df_alloc(&buffer, 1, sizeof *buffer));
    buffer->type = type;
    buffer->count = count;
    dfal_status status = df_alloc(&buffer->data, count, type_size[type]);
    if (status != DFAL_OK) {
        ref_buffer_destroy(device, buffer);
        return status;
    }
    *out = buffer;
    return DFAL_OK;
}

static dfal_status ref_write(struct df_device *device, int32_t queue, struct df_span to, const void *from,
                             int64_t count)
{
    (void)device, (void)queue;
    DF_TRY(df_span_check(to, count, "write"));
    void *address = span_address(to);
    if (count == 0)
        return DFAL_OK;
    if (to.buffer->type != DF_TYPE_REAL) {
        memcpy(address, from, (size_t)count * type_size[to.buffer->type]);
        return DFAL_OK;
    }
    df_real *reals = address;
    const float *floats = from;
    for (int64_t i = 0; i < count; i++)
        reals[i] = (df_real)floats[i];
    return DFAL_OK;
}

static dfal_status ref_read(struct df_device *device, int32_t queue, void *to, struct df_span from,
                            int64_t count)
{
    (void)device, (void)queue;
    DF_TRY(df_span_check(from, count, "read"));
    const void *address = span_address(from);
    if (count == 0)
        return DFAL_OK;
    if (from.buffer->type != DF_TYPE_REAL) {
        memcpy(to, address, (size_t)count * type_size[from.buffer->type]);
        return DFAL_OK;
    }
    const df_real *reals = address;
    float *floats = to;
    for (int64_t i = 0; i < count; i++)
        floats[i] = (float)reals[i];
    return DFAL_OK;
}

static dfal_status ref_read_f64(struct df_device *device, int32_t queue, double *to, struct df_span from,
                                int64_t count)
{
    (void)device, (void)queue;
    DF_TRY(df_span_check(from, count, "read_f64"));
    const void *address = span_address(from);
    if (count == 0)
        return DFAL_OK;
    if (from.buffer->type != DF_TYPE_REAL && from.buffer->type != DF_TYPE_F64)
        DF_FAIL(DFAL_E_INTERNAL, "read_f64: type %d is neither REAL nor F64", (int)from.buffer->type);
    for (int64_t i = 0; i < count; i++)
        to[i] = from.buffer->type == DF_TYPE_F64 ? ((const double *)address)[i]
                                                 : (double)((const df_real *)address)[i];
    return DFAL_OK;
}

static void ref_layer_destroy(struct df_device *device, struct df_layer *given)
{
    struct layer *layer = (struct layer *)given;
    (void)device;
    if (layer == NULL)
        return;
    df_free(layer->weight);
    df_free(layer->scaled);
    df_free(layer->low);
    df_free(layer->zeros);
    df_free(layer->bias);
    df_free(layer->scratch);
    df_free(layer);
}

static dfal_status ref_layer_create(struct df_device *device, struct df_layer **out,
                                    const struct df_layer_desc *desc)
{
    *out = NULL;
    struct layer *layer;
    DF_TRY(df_alloc(&layer, 1, sizeof *layer));
    dfal_status status = DFAL_OK;
    const int64_t weights = df_layer_weight_count(desc), biases = df_layer_bias_count(desc);
    layer->head.desc = *desc;
    layer->scratch_count = ref_scratch_count(desc);
    DF_TRY_TO(done, status, df_alloc(&layer->weight, weights, sizeof(double)));
    if (desc->half_backward || desc->split)
        DF_TRY_TO(done, status, df_alloc(&layer->scaled, weights, sizeof(double)));
    if (desc->split) {
        DF_TRY_TO(done, status, df_alloc(&layer->low, weights, sizeof(double)));
        DF_TRY_TO(done, status, df_alloc(&layer->zeros, biases, sizeof(double)));
    }
    DF_TRY_TO(done, status, df_alloc(&layer->bias, biases, sizeof(double)));
    DF_TRY_TO(done, status,
              df_alloc(&layer->scratch, device->queue_count * layer->scratch_count, sizeof(double)));
    *out = &layer->head;
done:
    if (status != DFAL_OK)
        ref_layer_destroy(device, &layer->head);
    return status;
}

static void round_weights(struct layer *layer, const df_real *w, int64_t count)
{
    const int32_t shift = ref_half_shift(w, count, layer->low != NULL ? DF_SPLIT_PLACE : 0);
    layer->weight_shift = shift;
    for (int64_t i = 0; i < count; i++)
        if (layer->low != NULL)
            layer->low[i] = ref_split_part(w[i], shift, &layer->scaled[i]);
        else
            layer->scaled[i] = ref_half(w[i], shift);
}

static dfal_status ref_layer_bind(struct df_device *device, int32_t queue, struct df_layer *given,
                                  struct df_span weight, struct df_span bias)
{
    struct layer *layer = (struct layer *)given;
    (void)device;
    (void)queue;
    const int64_t weights = df_layer_weight_count(&layer->head.desc),
                  biases = df_layer_bias_count(&layer->head.desc);
    DF_TRY(df_span_check(weight, weights, "layer_bind, weight"));
    if (bias.buffer != NULL)
        DF_TRY(df_span_check(bias, biases, "layer_bind, bias"));
    const df_real *w = span_address(weight), *b = span_address(bias);
    for (int64_t i = 0; i < weights; i++)
        layer->weight[i] = (double)w[i];
    if (layer->scaled != NULL)
        round_weights(layer, w, weights);
    for (int64_t i = 0; i < biases; i++)
        layer->bias[i] = b != NULL ? (double)b[i] : 0;
    return DFAL_OK;
}

typedef void walk_fn(const struct df_io *io);
#define WALK_LAYER(name)
#define WALK_CELL(name)                                                                                      \
    static void walk_##name(const struct df_io *io)                                                          \
    {                                                                                                        \
        for (int64_t row = 0; row < io->rows; row++)                                                         \
            for (int64_t col = 0; col < io->cols; col++)                                                     \
                df_##name##_at(io, row, col);                                                                \
    }
#define WALK_ITEM(name)                                                                                      \
    static void walk_##name(const struct df_io *io)                                                          \
    {                                                                                                        \
        for (int64_t i = 0; i < io->rows; i++)                                                               \
            df_##name##_at(io, i);                                                                           \
    }
#define WALK_BLOCK(name)       WALK_ITEM(name)
#define DF_OP(name, walk, ...) WALK_##walk(name)
#include "ops.def"

#define ENTRY_LAYER(name)
#define ENTRY_CELL(name)  [DF_OP_##name] = walk_##name,
#define ENTRY_ITEM(name)  [DF_OP_##name] = walk_##name,
#define ENTRY_BLOCK(name) ENTRY_ITEM(name)
static walk_fn *const walks[DF_OP_COUNT] = {
#define DF_OP(name, walk, ...) ENTRY_##walk(name)
#include "ops.def"
};

/* A forward or a backward, in the layer's precision. */
static void run_product(const struct layer *layer, ref_product *product, bool backward, double *scratch,
                        df_real *out, const df_real *in, int64_t rows)
{
    const struct df_layer_desc *desc = &layer->head.desc;
    const struct ref_layer plain = {desc, layer->weight, layer->bias, 0, scratch},
                           scaled = {desc, layer->scaled, layer->zeros, layer->weight_shift, scratch},
                           low = {desc, layer->low, layer->zeros, layer->weight_shift, scratch};
    if (desc->split)
        ref_split_run(&scaled, &low, backward ? NULL : layer->bias, product, out, in, rows);
    else if (desc->half_backward && backward)
        ref_half_bwd(&scaled, product, out, in, rows);
    else
        product(&plain, out, in, rows);
}

static dfal_status run_layer(int32_t queue, const struct df_io *io, const struct df_call *call)
{
    struct layer *layer = (struct layer *)call->layer;
    double *scratch = layer->scratch + queue * layer->scratch_count;
    const struct ref_layer l = {&layer->head.desc, layer->weight, layer->bias, 0, scratch};
    switch (call->op) {
    case DF_OP_conv_fwd:
        run_product(layer, ref_conv_fwd, false, scratch, io->out[0], io->in[0], call->rows);
        return DFAL_OK;
    case DF_OP_conv_bwd:
        run_product(layer, ref_conv_bwd, true, scratch, io->out[0], io->in[0], call->rows);
        return DFAL_OK;
    case DF_OP_conv_wgrad:
        ref_conv_wgrad(&l, io->out[0], io->out[1], io->in[0], io->in[1], call->rows);
        return DFAL_OK;
    case DF_OP_gemm_fwd:
        run_product(layer, ref_gemm_fwd, false, scratch, io->out[0], io->in[0], call->rows);
        return DFAL_OK;
    case DF_OP_gemm_bwd:
        run_product(layer, ref_gemm_bwd, true, scratch, io->out[0], io->in[0], call->rows);
        return DFAL_OK;
    case DF_OP_gemm_wgrad:
        ref_gemm_wgrad(&l, io->out[0], io->out[1], io->in[0], io->in[1], call->rows);
        return DFAL_OK;
    default:
        DF_FAIL(DFAL_E_INTERNAL, "op %d is no layer op", (int)call->op);
    }
}

static dfal_status ref_run(struct df_device *device, int32_t queue, const struct df_call *call)
{
    if (queue < 0 || queue >= device->queue_count)
        DF_FAIL(DFAL_E_INTERNAL, "queue %d does not exist: the device has %d", queue, device->queue_count);
    DF_TRY(df_call_check(call));
    struct df_io io = {.rows = call->rows, .cols = call->cols, .p = call->p};
    for (int k = 0; k < DF_MAX_OUT; k++)
        io.out[k] = span_address(call->out[k]);
    for (int k = 0; k < DF_MAX_IN; k++)
        io.in[k] = span_address(call->in[k]);
    if (df_op_info[call->op].walk == DF_WALK_LAYER)
        return run_layer(queue, &io, call);
    walks[call->op](&io);
    return DFAL_OK;
}

static dfal_status ref_synchronize(struct df_device *device, int32_t queue)
{
    (void)device, (void)queue;
    return DFAL_OK;
}

const struct df_backend REF_TABLE = {
    .abi = DF_BACKEND_ABI,
    .name = REF_NAME,
    .device_open = ref_open,
    .device_close = ref_close,
    .buffer_create = ref_buffer_create,
    .buffer_destroy = ref_buffer_destroy,
    .write = ref_write,
    .read = ref_read,
    .read_f64 = ref_read_f64,
    .layer_create = ref_layer_create,
    .layer_destroy = ref_layer_destroy,
    .layer_bind = ref_layer_bind,
    .run = ref_run,
    .synchronize = ref_synchronize,
};
