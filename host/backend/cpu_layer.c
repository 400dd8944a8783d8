/* SPDX-License-Identifier: Apache-2.0 */
/* A layer: which engine runs each of its ops, and blocks of a fixed number of rows for the library's.
 *
 * Products run on dfal's own kernel, convolutions of few channels on rows or pixels in lanes, wide 3x3 ones
 * on minimal filtering, weight gradients of one row on the product's kernel, the others on oneDNN with
 * block_rows rows a call or fewer. Which one it is follows from the layer alone, so results do not depend on
 * the machine beyond its instruction set. */
#include <stdio.h>
#include <string.h>

#include "backend/cpu.h"
#include "base/memory.h"

/* Rows of a weight gradient's library call: the sub-batch training cuts a batch into. */
enum { WEIGHT_GRADIENT_ROWS = 8 };

/* Floats of a library call's inputs and outputs, unless one row has more: 1 MiB. */
enum { BLOCK_FLOATS = 1 << 18 };

/* Pixels of a plane from which on rows in lanes are slower than pixels in lanes. */
enum { LANES_PLANE = 4096 };

enum engine {
    ENGINE_NONE,
    ENGINE_PRODUCT,
    ENGINE_LANES,
    ENGINE_WINOGRAD,
    ENGINE_PLANES,
    ENGINE_COLUMNS,
    ENGINE_ONEDNN
};

struct cpu_layer {
    struct df_layer head;
    int64_t in_size, out_size, weight_count;
    const struct df_cpu_kernels *kernels;
    enum engine engine[3]; /* by df_layer_kind */
    struct df_onednn_conv *conv[3];
    struct df_planes *planes[2];
    struct df_lanes_conv lanes[3];
    float *weight[2]; /* own engines: forward, backward */
    float *bias;      /* padded to a panel */
    int64_t scratch[3];
    int64_t block[3]; /* rows of a library call */
};

static int64_t round_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

/* The share of oneDNN's vectors that is no padding: it pads channels to a multiple of 16, only a forward's
 * few input channels not. */
static double library_fill(const struct df_layer_desc *desc, enum df_layer_kind kind)
{
    const double in_fill = (double)desc->in.c / (double)round_up(desc->in.c, 16);
    const double out_fill = (double)desc->out.c / (double)round_up(desc->out.c, 16);
    return kind == DF_LAYER_FORWARD && desc->in.c <= 4 ? out_fill : in_fill * out_fill;
}

/* Rows in lanes: small planes, which the library would pad. */
static bool suits_lanes(const struct df_layer_desc *desc, enum df_layer_kind kind)
{
    const struct df_window *w = &desc->window;
    if (desc->group > 1 || w->stride[0] != 1 || w->stride[1] != 1 || w->dilation[0] != 1 ||
        w->dilation[1] != 1)
        return false;
    if (w->kernel[1] != 3 && w->kernel[1] != 5 && w->kernel[1] != 7)
        return false;
    if (kind != DF_LAYER_WEIGHT_GRADIENT && desc->in.h * desc->in.w > LANES_PLANE)
        return false;
    return library_fill(desc, kind) < 0.66;
}

/* Pixels in lanes, asked after suits_lanes: whatever else the library would pad, and groups it has no code
 * for. */
static bool suits_planes(const struct df_layer_desc *desc, enum df_layer_kind kind)
{
    const struct df_window *w = &desc->window;
    if (kind == DF_LAYER_WEIGHT_GRADIENT || w->stride[0] > DF_PLANES_STRIDE ||
        w->stride[1] > DF_PLANES_STRIDE)
        return false;
    if (desc->group > 1 && desc->group == desc->in.c)
        return desc->in.c != desc->out.c;
    if (desc->group > 1)
        return desc->in.c / desc->group % 8 != 0 || desc->out.c / desc->group % 8 != 0;
    if (w->kernel[0] == 1 && w->kernel[1] == 1)
        return library_fill(desc, kind) < 0.8;
    return library_fill(desc, kind) < (kind == DF_LAYER_FORWARD ? 0.5 : 0.66);
}

static dfal_status create_product(struct cpu_layer *layer)
{
    const int64_t in = layer->in_size, out = layer->out_size, panel = layer->kernels->panel;
    for (int kind = 0; kind < DF_LAYER_KINDS; kind++)
        layer->engine[kind] = ENGINE_PRODUCT;
    if (layer->head.desc.forward) {
        DF_TRY(df_alloc(&layer->weight[0], round_up(out, panel) * in, sizeof(float)));
        DF_TRY(df_alloc(&layer->bias, round_up(out, panel), sizeof(float)));
    }
    if (layer->head.desc.backward)
        DF_TRY(df_alloc(&layer->weight[1], round_up(in, panel) * out, sizeof(float)));
    return DFAL_OK;
}

/* Wide 3x3 kernels, forwards and back, where calls have the rows to fill a vector. */
static bool suits_winograd(const struct df_layer_desc *desc, enum df_layer_kind kind, int32_t lanes)
{
    const struct df_window *w = &desc->window;
    const struct df_shape out = kind == DF_LAYER_BACKWARD ? desc->in : desc->out;
    return kind != DF_LAYER_WEIGHT_GRADIENT && desc->block_rows >= lanes && desc->group <= 1 &&
           w->kernel[0] == 3 && w->kernel[1] == 3 && w->stride[0] == 1 && w->stride[1] == 1 &&
           w->dilation[0] == 1 && w->dilation[1] == 1 &&
           df_winograd_pays((int32_t)desc->in.c, (int32_t)desc->out.c, (out.h + 1) / 2 * ((out.w + 1) / 2),
                            out.h * out.w);
}

/* A convolution with rows in lanes; an input gradient as the convolution that it is. */
static struct df_lanes_conv lanes_of(const struct df_layer_desc *d, enum df_layer_kind kind)
{
    const struct df_window *w = &d->window;
    const struct df_lanes_conv forward = {.in_c = (int32_t)d->in.c,
                                          .in_h = (int32_t)d->in.h,
                                          .in_w = (int32_t)d->in.w,
                                          .out_c = (int32_t)d->out.c,
                                          .out_h = (int32_t)d->out.h,
                                          .out_w = (int32_t)d->out.w,
                                          .kernel_h = w->kernel[0],
                                          .kernel_w = w->kernel[1],
                                          .pad_top = w->pad[0],
                                          .pad_left = w->pad[1]};
    if (kind != DF_LAYER_BACKWARD)
        return forward;
    return (struct df_lanes_conv){.in_c = forward.out_c,
                                  .in_h = forward.out_h,
                                  .in_w = forward.out_w,
                                  .out_c = forward.in_c,
                                  .out_h = forward.in_h,
                                  .out_w = forward.in_w,
                                  .kernel_h = w->kernel[0],
                                  .kernel_w = w->kernel[1],
                                  .pad_top = w->kernel[0] - 1 - w->pad[0],
                                  .pad_left = w->kernel[1] - 1 - w->pad[1]};
}

static dfal_status create_bias(struct cpu_layer *layer, enum df_layer_kind kind)
{
    return kind == DF_LAYER_FORWARD
               ? df_alloc(&layer->bias, round_up(layer->head.desc.out.c, 16), sizeof(float))
               : DFAL_OK;
}

static struct df_winograd winograd_of(const struct cpu_layer *layer, enum df_layer_kind kind)
{
    return df_winograd_make(layer->lanes[kind].in_c, layer->lanes[kind].out_c, layer->kernels->lanes);
}

static dfal_status create_winograd(struct cpu_layer *layer, enum df_layer_kind kind)
{
    const struct df_cpu_kernels *half = layer->kernels->half;
    struct df_lanes_conv *lanes = &layer->lanes[kind];
    *lanes = lanes_of(&layer->head.desc, kind);
    layer->engine[kind] = ENGINE_WINOGRAD;
    layer->scratch[kind] = layer->kernels->winograd_scratch(lanes);
    if (half != NULL && half->winograd_scratch(lanes) > layer->scratch[kind])
        layer->scratch[kind] = half->winograd_scratch(lanes);
    const struct df_winograd winograd = winograd_of(layer, kind);
    DF_TRY(df_alloc(&layer->weight[kind], df_winograd_weights(&winograd), sizeof(float)));
    return create_bias(layer, kind);
}

static dfal_status create_lanes(struct cpu_layer *layer, enum df_layer_kind kind)
{
    struct df_lanes_conv *lanes = &layer->lanes[kind];
    *lanes = lanes_of(&layer->head.desc, kind);
    layer->engine[kind] = ENGINE_LANES;
    if (kind == DF_LAYER_WEIGHT_GRADIENT) {
        layer->scratch[kind] = df_lanes_gradient_scratch(lanes);
        return DFAL_OK;
    }
    layer->scratch[kind] = layer->kernels->lanes_scratch(lanes);
    if (layer->kernels->half != NULL && layer->kernels->half->lanes_scratch(lanes) > layer->scratch[kind])
        layer->scratch[kind] = layer->kernels->half->lanes_scratch(lanes);
    DF_TRY(df_alloc(&layer->weight[kind], layer->weight_count, sizeof(float)));
    return create_bias(layer, kind);
}

/* Rows of a library call: as many as keep both sides in a second-level cache, so that a change of layout and
 * the convolution behind it find there what the step before wrote. */
static int64_t library_rows(const struct cpu_layer *layer)
{
    int64_t rows = layer->head.desc.block_rows;
    while (rows > 1 && rows * (layer->in_size + layer->out_size) > BLOCK_FLOATS)
        rows /= 2;
    return rows;
}

static dfal_status create_onednn(struct cpu_layer *layer, struct df_cpu_device *device,
                                 enum df_layer_kind kind)
{
    const int64_t rows = kind == DF_LAYER_WEIGHT_GRADIENT ? WEIGHT_GRADIENT_ROWS : library_rows(layer);
    layer->engine[kind] = ENGINE_ONEDNN;
    layer->block[kind] = rows;
    DF_TRY(df_onednn_conv_create(&layer->conv[kind], device->onednn, &layer->head.desc, kind, (int32_t)rows));
    /* Behind the library's: one padded block of the inputs and outputs, and a block's dw and db. */
    layer->scratch[kind] = df_onednn_conv_scratch(layer->conv[kind]) + round_up(rows * layer->in_size, 16) +
                           round_up(rows * layer->out_size, 16);
    if (kind == DF_LAYER_WEIGHT_GRADIENT)
        layer->scratch[kind] += round_up(layer->weight_count, 16) + round_up(layer->head.desc.out.c, 16);
    return DFAL_OK;
}

static dfal_status create_planes(struct cpu_layer *layer, enum df_layer_kind kind)
{
    layer->engine[kind] = ENGINE_PLANES;
    DF_TRY(
        df_planes_create(&layer->planes[kind], &layer->head.desc, kind == DF_LAYER_BACKWARD, layer->kernels));
    layer->scratch[kind] = df_planes_scratch(layer->planes[kind]);
    return DFAL_OK;
}

static void create_columns(struct cpu_layer *layer)
{
    layer->engine[DF_LAYER_WEIGHT_GRADIENT] = ENGINE_COLUMNS;
    layer->scratch[DF_LAYER_WEIGHT_GRADIENT] = df_columns_scratch(&layer->head.desc, layer->kernels);
}

static dfal_status check_desc(const struct df_layer_desc *desc)
{
    if (desc->block_rows < 1)
        DF_FAIL(DFAL_E_INTERNAL, "a layer of %d rows a block was asked for, expected at least 1",
                desc->block_rows);
    if (desc->is_gemm && (desc->in.h != 1 || desc->in.w != 1 || desc->out.h != 1 || desc->out.w != 1))
        DF_FAIL(DFAL_E_INTERNAL, "a product over planes of %lldx%lld was asked for, expected 1x1",
                (long long)desc->in.h, (long long)desc->in.w);
    return DFAL_OK;
}

dfal_status df_cpu_layer_create(struct df_device *head, struct df_layer **out,
                                const struct df_layer_desc *desc)
{
    struct df_cpu_device *device = (struct df_cpu_device *)head;
    struct cpu_layer *layer = NULL;
    dfal_status status = DFAL_OK;
    *out = NULL;
    DF_TRY(check_desc(desc));
    DF_TRY(df_alloc(&layer, 1, sizeof *layer));
    layer->head.desc = *desc;
    layer->kernels = device->kernels;
    layer->in_size = df_shape_size(desc->in);
    layer->out_size = df_shape_size(desc->out);
    const int64_t group = desc->group > 1 ? desc->group : 1;
    layer->weight_count =
        desc->is_gemm ? layer->in_size * layer->out_size
                      : desc->out.c * (desc->in.c / group) * desc->window.kernel[0] * desc->window.kernel[1];
    const bool wanted[DF_LAYER_KINDS] = {desc->forward, desc->backward, desc->weight_gradient};
    if (desc->is_gemm)
        DF_TRY_TO(done, status, create_product(layer));
    for (int k = 0; k < DF_LAYER_KINDS && !desc->is_gemm; k++) {
        const enum df_layer_kind kind = (enum df_layer_kind)k;
        if (!wanted[kind])
            continue;
        if (kind == DF_LAYER_WEIGHT_GRADIENT && desc->of_one_row)
            create_columns(layer);
        else if (suits_lanes(desc, kind))
            DF_TRY_TO(done, status, create_lanes(layer, kind));
        else if (suits_winograd(desc, kind, layer->kernels->lanes))
            DF_TRY_TO(done, status, create_winograd(layer, kind));
        else if (suits_planes(desc, kind))
            DF_TRY_TO(done, status, create_planes(layer, kind));
        else
            DF_TRY_TO(done, status, create_onednn(layer, device, kind));
    }
    *out = &layer->head;
done:
    if (status != DFAL_OK)
        df_cpu_layer_destroy(head, &layer->head);
    return status;
}

void df_cpu_layer_destroy(struct df_device *device, struct df_layer *given)
{
    struct cpu_layer *layer = (struct cpu_layer *)given;
    (void)device;
    if (layer == NULL)
        return;
    for (int kind = 0; kind < DF_LAYER_KINDS; kind++)
        df_onednn_conv_destroy(layer->conv[kind]);
    df_planes_destroy(layer->planes[0]);
    df_planes_destroy(layer->planes[1]);
    df_free(layer->weight[0]);
    df_free(layer->weight[1]);
    df_free(layer->bias);
    df_free(layer);
}

/* What oneDNN holds besides is not known, so the others are left to the plan's reckoning. */
int64_t df_cpu_layer_scratch(struct df_device *device, const struct df_layer *given, enum df_layer_kind kind,
                             int64_t rows)
{
    const struct cpu_layer *layer = (const struct cpu_layer *)given;
    (void)device;
    (void)rows;
    return layer->engine[kind] == ENGINE_WINOGRAD ? layer->scratch[kind] * (int64_t)sizeof(float) : -1;
}

void df_cpu_layer_text(struct df_device *device, const struct df_layer *given, enum df_layer_kind kind,
                       char *text, size_t size)
{
    const struct cpu_layer *layer = (const struct cpu_layer *)given;
    static const char *const names[] = {[ENGINE_NONE] = "",
                                        [ENGINE_PRODUCT] = "own kernels: product",
                                        [ENGINE_LANES] = "own kernels: rows in lanes",
                                        [ENGINE_WINOGRAD] = "own kernels: minimal filtering",
                                        [ENGINE_PLANES] = "own kernels: pixels in lanes",
                                        [ENGINE_COLUMNS] = "own kernels: pixels as a product",
                                        [ENGINE_ONEDNN] = "oneDNN"};
    (void)device;
    (void)snprintf(text, size, "%s", names[layer->engine[kind]]);
}

/* Panels [cols / panel][depth][panel] of the matrix element(k, j) = from[k * k_step + j * j_step], zero
 * padded. */
static void pack_panels(float *to, const float *from, int64_t depth, int64_t cols, int64_t k_step,
                        int64_t j_step, int64_t panel)
{
    for (int64_t begin = 0; begin < cols; begin += panel, to += depth * panel)
        for (int64_t k = 0; k < depth; k++)
            for (int64_t j = 0; j < panel; j++)
                to[k * panel + j] = begin + j < cols ? from[k * k_step + (begin + j) * j_step] : 0;
}

/* [O][C][kh][kw] to [C][O][kh][kw], each kernel turned by 180 degrees. */
static void turn_weight(float *to, const float *from, const struct df_layer_desc *desc)
{
    const int64_t taps = (int64_t)desc->window.kernel[0] * desc->window.kernel[1];
    for (int64_t o = 0; o < desc->out.c; o++)
        for (int64_t c = 0; c < desc->in.c; c++)
            for (int64_t t = 0; t < taps; t++)
                /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): `to` was allocated */
                to[(c * desc->out.c + o) * taps + t] = from[(o * desc->in.c + c) * taps + taps - 1 - t];
}

/* The filters as they are, or for an input gradient turned, input and output channels exchanged. */
static void bind_winograd(const struct cpu_layer *layer, enum df_layer_kind kind, const float *weight)
{
    enum { TAPS = 9 };
    const int64_t channels = layer->head.desc.in.c;
    const struct df_winograd winograd = winograd_of(layer, kind);
    const struct df_winograd_filter forward = {TAPS * channels, TAPS, 3, 1},
                                    backward = {TAPS, TAPS * channels, -3, -1};
    if (kind == DF_LAYER_FORWARD)
        df_winograd_transform(&winograd, layer->weight[kind], weight, &forward);
    else
        df_winograd_transform(&winograd, layer->weight[kind], weight + TAPS - 1, &backward);
}

static const float *span_floats(struct df_span span)
{
    return span.buffer == NULL ? NULL : (const float *)span.buffer->data + span.offset;
}

dfal_status df_cpu_layer_bind(struct df_device *device, int32_t queue, struct df_layer *given,
                              struct df_span weight_span, struct df_span bias_span)
{
    struct cpu_layer *layer = (struct cpu_layer *)given;
    const float *weight = span_floats(weight_span), *bias = span_floats(bias_span);
    const int64_t in = layer->in_size, out = layer->out_size, panel = layer->kernels->panel;
    (void)device;
    (void)queue;
    if (weight == NULL)
        DF_FAIL(DFAL_E_INTERNAL, "a layer was bound without weights");
    if (layer->bias != NULL) {
        if (bias != NULL)
            memcpy(layer->bias, bias, (size_t)layer->head.desc.out.c * sizeof(float));
        else
            memset(layer->bias, 0, (size_t)layer->head.desc.out.c * sizeof(float));
    }
    if (layer->engine[0] == ENGINE_PRODUCT) {
        if (layer->weight[0] != NULL)
            pack_panels(layer->weight[0], weight, in, out, 1, in, panel);
        if (layer->weight[1] != NULL)
            pack_panels(layer->weight[1], weight, out, in, in, 1, panel);
    }
    if (layer->engine[DF_LAYER_FORWARD] == ENGINE_LANES)
        memcpy(layer->weight[0], weight, (size_t)layer->weight_count * sizeof(float));
    if (layer->engine[DF_LAYER_BACKWARD] == ENGINE_LANES)
        turn_weight(layer->weight[1], weight, &layer->head.desc);
    for (int kind = 0; kind < 2; kind++)
        if (layer->engine[kind] == ENGINE_WINOGRAD)
            bind_winograd(layer, (enum df_layer_kind)kind, weight);
    for (int kind = 0; kind < 2; kind++)
        if (layer->planes[kind] != NULL)
            df_planes_bind(layer->planes[kind], weight, bias);
    for (int kind = 0; kind < 2; kind++)
        if (layer->conv[kind] != NULL)
            DF_TRY(df_onednn_conv_bind(layer->conv[kind], weight, bias));
    return DFAL_OK;
}

/* Rows that fill no more than half a vector go through vectors of half the width: the same bits in half the
 * time. */
static void run_lanes(const struct cpu_layer *layer, enum df_layer_kind kind,
                      const struct df_cpu_queue *memory, float *out, const float *in, int64_t rows)
{
    const struct df_cpu_kernels *kernels = layer->kernels;
    const struct df_lanes_conv *conv = &layer->lanes[kind];
    const float *bias = kind == DF_LAYER_FORWARD ? layer->bias : NULL;
    const int64_t in_size = kind == DF_LAYER_FORWARD ? layer->in_size : layer->out_size;
    const int64_t out_size = kind == DF_LAYER_FORWARD ? layer->out_size : layer->in_size;
    int64_t tail = rows % kernels->lanes;
    if (kernels->half == NULL || tail > kernels->half->lanes)
        tail = 0;
    const bool filtered = layer->engine[kind] == ENGINE_WINOGRAD;
    (filtered ? kernels->winograd : kernels->lanes_conv)(conv, out, in, layer->weight[kind], bias,
                                                         rows - tail, memory->scratch);
    if (tail > 0)
        (filtered ? kernels->half->winograd : kernels->half->lanes_conv)(
            conv, out + (rows - tail) * out_size, in + (rows - tail) * in_size, layer->weight[kind], bias,
            tail, memory->scratch);
}

/* A block of `block` rows of which the first `rows` exist: the caller's memory when they are all there, else
 * a copy padded with zeros. */
static const float *padded(float *copy, const float *from, int64_t rows, int64_t block, int64_t size)
{
    if (rows == block)
        return from;
    memcpy(copy, from, (size_t)(rows * size) * sizeof(float));
    memset(copy + rows * size, 0, (size_t)((block - rows) * size) * sizeof(float));
    return copy;
}

static dfal_status run_blocks(struct cpu_layer *layer, enum df_layer_kind kind, int32_t queue,
                              const struct df_cpu_queue *memory, float *out, const float *in, int64_t rows)
{
    struct df_onednn_conv *conv = layer->conv[kind];
    const int64_t block = layer->block[kind];
    const int64_t from_size = kind == DF_LAYER_FORWARD ? layer->in_size : layer->out_size;
    const int64_t to_size = kind == DF_LAYER_FORWARD ? layer->out_size : layer->in_size;
    float *copy = memory->scratch + df_onednn_conv_scratch(conv);
    float *result = copy + round_up(block * from_size, 16);
    for (int64_t row = 0; row < rows; row += block) {
        const int64_t count = rows - row < block ? rows - row : block;
        const float *const ins[2] = {padded(copy, in + row * from_size, count, block, from_size), NULL};
        float *const outs[2] = {count == block ? out + row * to_size : result, NULL};
        DF_TRY(df_onednn_conv_run(conv, queue, memory, outs, ins));
        if (count < block)
            memcpy(out + row * to_size, result, (size_t)(count * to_size) * sizeof(float));
    }
    return DFAL_OK;
}

/* The sum over blocks of WEIGHT_GRADIENT_ROWS rows, in order. */
static dfal_status run_weight_gradient(struct cpu_layer *layer, int32_t queue,
                                       const struct df_cpu_queue *memory, float *const out[2],
                                       const float *const in[2], int64_t rows)
{
    struct df_onednn_conv *conv = layer->conv[DF_LAYER_WEIGHT_GRADIENT];
    const int64_t block = WEIGHT_GRADIENT_ROWS, counts[2] = {layer->weight_count, layer->head.desc.out.c};
    float *x = memory->scratch + df_onednn_conv_scratch(conv);
    float *dy = x + round_up(block * layer->in_size, 16);
    float *dw = dy + round_up(block * layer->out_size, 16);
    float *db = dw + round_up(layer->weight_count, 16);
    float *const parts[2] = {dw, db};
    if (rows <= 0) {
        for (int k = 0; k < 2; k++)
            if (out[k] != NULL)
                memset(out[k], 0, (size_t)counts[k] * sizeof(float));
        return DFAL_OK;
    }
    for (int64_t row = 0; row < rows; row += block) {
        const int64_t count = rows - row < block ? rows - row : block;
        const float *const ins[2] = {
            padded(x, in[0] + row * layer->in_size, count, block, layer->in_size),
            padded(dy, in[1] + row * layer->out_size, count, block, layer->out_size)};
        DF_TRY(df_onednn_conv_run(conv, queue, memory, parts, ins));
        for (int k = 0; k < 2; k++) {
            if (out[k] == NULL)
                continue;
            if (row == 0)
                memcpy(out[k], parts[k], (size_t)counts[k] * sizeof(float));
            else
                for (int64_t i = 0; i < counts[k]; i++)
                    out[k][i] += parts[k][i];
        }
    }
    return DFAL_OK;
}

static void product_weight_gradient(const struct cpu_layer *layer, float *const out[2], const float *x,
                                    const float *dy, int64_t rows, float *packed)
{
    const int64_t in = layer->in_size, count = layer->out_size, panel = layer->kernels->panel;
    pack_panels(packed, x, rows, in, in, 1, panel);
    const struct df_product p = {.rows = count,
                                 .cols = in,
                                 .depth = rows,
                                 .a = dy,
                                 .a_row = 1,
                                 .a_k = count,
                                 .b = packed,
                                 .out = out[0],
                                 .out_row = in};
    layer->kernels->product(&p);
    if (out[1] == NULL)
        return;
    memset(out[1], 0, (size_t)count * sizeof(float));
    for (int64_t row = 0; row < rows; row++)
        for (int64_t o = 0; o < count; o++)
            out[1][o] += dy[row * count + o];
}

static dfal_status run_product(struct cpu_layer *layer, enum df_layer_kind kind, struct df_cpu_queue *memory,
                               float *const out[2], const float *const in[2], int64_t rows)
{
    const int64_t x_size = layer->in_size, y_size = layer->out_size;
    struct df_product p = {.rows = rows, .a = in[0], .a_k = 1, .out = out[0]};
    switch (kind) {
    case DF_LAYER_FORWARD:
        p.cols = p.out_row = y_size;
        p.depth = p.a_row = x_size;
        p.b = layer->weight[0];
        p.bias = layer->bias;
        break;
    case DF_LAYER_BACKWARD:
        p.cols = p.out_row = x_size;
        p.depth = p.a_row = y_size;
        p.b = layer->weight[1];
        break;
    case DF_LAYER_WEIGHT_GRADIENT:
        DF_TRY(df_cpu_scratch(memory, rows * round_up(x_size, layer->kernels->panel)));
        product_weight_gradient(layer, out, in[0], in[1], rows, memory->scratch);
        return DFAL_OK;
    }
    layer->kernels->product(&p);
    return DFAL_OK;
}

dfal_status df_cpu_layer_run(struct df_cpu_device *device, int32_t queue, enum df_op op,
                             struct df_layer *given, float *const out[2], const float *const in[2],
                             int64_t rows)
{
    struct cpu_layer *layer = (struct cpu_layer *)given;
    const int found = df_layer_op_kind(op, layer->head.desc.is_gemm);
    if (queue < 0 || queue >= device->head.queue_count)
        DF_FAIL(DFAL_E_INTERNAL, "queue %d was used, expected 0 to %d", queue, device->head.queue_count - 1);
    const bool wanted[DF_LAYER_KINDS] = {layer->head.desc.forward, layer->head.desc.backward,
                                         layer->head.desc.weight_gradient};
    if (found < 0 || !wanted[found])
        DF_FAIL(DFAL_E_INTERNAL, "op %d was called on a layer that was not made for it", (int)op);
    const enum df_layer_kind kind = (enum df_layer_kind)found;
    struct df_cpu_queue *memory = &device->queues[queue];
    DF_TRY(df_cpu_scratch(memory, layer->scratch[kind]));
    if (rows <= 0 && kind != DF_LAYER_WEIGHT_GRADIENT)
        return DFAL_OK;
    switch (layer->engine[kind]) {
    case ENGINE_PRODUCT:
        return run_product(layer, kind, memory, out, in, rows);
    case ENGINE_WINOGRAD:
        run_lanes(layer, kind, memory, out[0], in[0], rows);
        return DFAL_OK;
    case ENGINE_LANES:
        if (kind == DF_LAYER_WEIGHT_GRADIENT)
            df_lanes_gradient(&layer->lanes[kind], out[0], out[1], in[0], in[1], rows, memory->scratch);
        else
            run_lanes(layer, kind, memory, out[0], in[0], rows);
        return DFAL_OK;
    case ENGINE_PLANES:
        df_planes_run(layer->planes[kind], out[0], in[0], rows, memory->scratch);
        return DFAL_OK;
    case ENGINE_COLUMNS:
        if (rows != 1)
            DF_FAIL(DFAL_E_INTERNAL, "a weight gradient of %lld rows runs on a layer made for one",
                    (long long)rows);
        df_columns_gradient(&layer->head.desc, layer->kernels, out[0], out[1], in[0], in[1], memory->scratch);
        return DFAL_OK;
    case ENGINE_ONEDNN:
        if (kind == DF_LAYER_WEIGHT_GRADIENT)
            return run_weight_gradient(layer, queue, memory, out, in, rows);
        return run_blocks(layer, kind, queue, memory, out[0], in[0], rows);
    case ENGINE_NONE:
        break;
    }
    DF_FAIL(DFAL_E_INTERNAL, "a layer has no engine for op %d", (int)op);
}
