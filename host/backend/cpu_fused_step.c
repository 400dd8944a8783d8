/* SPDX-License-Identifier: Apache-2.0 */
/* A fused network forwards and backwards, for AVX2, and for AVX-512 by cpu_fused_step_avx512.c. */
#include "backend/cpu_fused.h"
#include "backend/cpu_stack_backward.h"
#include "backend/cpu_stack_forward.h"
#include "backend/cpu_stack_gather.h"
#include "backend/cpu_stack_winograd.h"

#ifndef DF_FUSED_KERNELS
#define DF_FUSED_KERNELS df_fused_kernels_avx2
#endif

/* ---- forwards ------------------------------------------------------------------------------------------ */

/* `width` pixels of LANES samples, `stride` apart, to lanes, `step` floats from pixel to pixel. The last
 * eight are turned together, some of them twice. */
static void take_line(float *to, int64_t step, const float *x, int64_t stride, int32_t width)
{
    for (int32_t j = 0; width >= 8 && j < width; j += 8) {
        const int32_t at = j + 8 <= width ? j : width - 8;
        for (int l = 0; l < LANES; l += 8)
            transpose_8x8(to + at * step + l, step, x + l * stride + at, stride);
    }
    for (int32_t j = 0; width < 8 && j < width; j++)
        for (int l = 0; l < LANES; l++)
            to[j * step + l] = x[l * stride + j];
}

/* Samples lie [channel][y][x], the first layer's inputs [y][x][channel] between zeros: without those a plane
 * is one line. Lanes behind the last row get what an earlier call has left. */
static void take_rows(const struct df_fused *fused, const struct df_fused_space *space, const float *x,
                      int64_t rows)
{
    const struct df_stack_layer *l = space->layer;
    const struct df_shape in = fused->desc.stages[0].in;
    const int32_t channels = l->channels;
    const bool whole = l->line == in.w * channels;
    const int64_t lines = whole ? 1 : in.h, width = whole ? in.h * in.w : in.w;
    float *begin = l->lanes + ((int64_t)l->pad_top * l->line + (int64_t)l->pad_left * channels) * LANES;
    if (rows < LANES) {
        memcpy(space->rows, x, (size_t)(rows * fused->input) * sizeof *x);
        x = space->rows;
    }
    for (int32_t c = 0; c < channels; c++)
        for (int64_t y = 0; y < lines; y++)
            take_line(begin + (y * l->line + c) * LANES, (int64_t)channels * LANES,
                      x + (c * lines + y) * width, fused->input, (int32_t)width);
}

/* The inputs of the stage that is tapped, [y][x][channel] in lanes, as [channel][y][x]. */
static void give_tapped(const struct df_fused *fused, const struct df_fused_space *space, float *tapped,
                        int64_t rows)
{
    const struct df_shape in = fused->desc.stages[fused->desc.tap].in;
    const int64_t pixels = in.h * in.w, size = in.c * pixels;
    const float *lanes = space->layer[fused->desc.tap].lanes;
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t c = 0; c < in.c; c++, lanes += LANES)
            for (int64_t l = 0; l < rows; l++)
                tapped[l * size + c * pixels + p] = lanes[l];
}

static void fused_forward(const struct df_fused *fused, const struct df_fused_space *space, float *y,
                          uint8_t *kept, float *tapped, const float *x, int64_t rows)
{
    const int64_t tapped_size = tapped ? df_shape_size(fused->desc.stages[fused->desc.tap].in) : 0;
    for (int64_t first = 0; first < rows; first += LANES) {
        const int64_t count = rows - first < LANES ? rows - first : LANES;
        take_rows(fused, space, x + first * fused->input, count);
        for (int32_t i = 0; i < fused->count; i++) {
            const struct df_stack_layer *l = &space->layer[i];
            if (l->winograd.together)
                forward_winograd(l, fused->layer[i].transformed, space->tiles);
            else
                (l->conv ? forward_conv : forward_dense)(l);
            if (fused->layer[i].kept_at >= 0)
                bytes_to_rows(kept + first * fused->kept_size + fused->layer[i].kept_at, fused->kept_size,
                              l->lane_windows, (int64_t)l->windows * l->outputs, count);
        }
        if (tapped)
            give_tapped(fused, space, tapped + first * tapped_size, count);
        lanes_to_rows(y + first * fused->classes, space->logits, fused->classes, fused->classes, count);
    }
}

/* ---- backwards ----------------------------------------------------------------------------------------- */

static void clear_gradients(const struct df_fused_space *space, int32_t layer, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++)
        memset(space->gradient[layer] + r * space->stride[layer], 0,
               (size_t)space->layer[layer].in * sizeof(float));
}

/* Units alive in the sample, of every layer but the last. */
static void list_sample(const struct df_fused *fused, struct df_fused_space *space, const uint8_t *kept)
{
    for (int32_t i = 0; i + 1 < fused->count; i++) {
        const int32_t kept_at = fused->layer[i].kept_at;
        const struct df_stack_layer *l = &space->layer[i];
        const uint8_t *codes = kept_at >= 0 ? kept + kept_at : NULL;
        if (l->gather)
            list_places(l, &space->gather[i], codes, l->out_begin, l->out_line);
        else
            list_units(l, &space->list[i], codes, l->out_begin, l->out_line);
    }
}

/* The last product, a cotangent at a time: most of its values are 0. */
static void back_logits(const struct df_fused *fused, const struct df_fused_space *space, const float *dy,
                        int64_t rows)
{
    const int32_t last = fused->count - 1;
    clear_gradients(space, last, rows);
    for (int64_t r = 0; r < rows; r++) {
        const float *given = dy + r * fused->classes;
        float *to = space->gradient[last] + r * space->stride[last];
        list_values(&space->layer[last], &space->list[last], given);
        back_inputs(&space->layer[last], &space->list[last], &fused->layer[last].one, &to, &given, 1);
    }
}

/* Another product: every tile of its weights for all rows. */
static void back_product(const struct df_fused *fused, const struct df_fused_space *space, int32_t i,
                         int64_t rows)
{
    const struct df_stack_list *list = &space->list[i];
    const struct df_fused_layer *layer = &fused->layer[i];
    struct df_stack_add a = {.filters = layer->weight,
                             .turned_row = layer->stack.turned_row,
                             .unit = list->unit,
                             .count = list->begin[1]};
    for (int64_t first = 0, together; first < rows; first += together) {
        const bool whole = rows - first >= DF_STACK_TOGETHER;
        const struct df_stack_tiles *tiles = whole ? &layer->together : &layer->one;
        const int32_t group = whole ? DF_STACK_TOGETHER : 1;
        together = whole ? (rows - first) / DF_STACK_TOGETHER * DF_STACK_TOGETHER : 1;
        for (int32_t t = 0; t < tiles->count; t++)
            for (int64_t r = first; r < first + together; r += group) {
                for (int32_t k = 0; k < group; k++) {
                    a.to[k] = space->gradient[i] + (r + k) * space->stride[i];
                    a.given[k] = space->gradient[i + 1] + (r + k) * space->stride[i + 1];
                }
                tiles->tile[t].add(&a, tiles->tile[t].to, tiles->tile[t].from);
            }
    }
}

/* One convolution, `rows` rows (1 or DF_STACK_TOGETHER) from `first` on, given those from `begin` on. */
static void back_conv(const struct df_fused *fused, const struct df_fused_space *space, int32_t i,
                      int64_t first, int64_t begin, int32_t rows)
{
    const struct df_fused_layer *layer = &fused->layer[i];
    float *to[DF_STACK_TOGETHER];
    const float *given[DF_STACK_TOGETHER];
    for (int32_t k = 0; k < rows; k++) {
        to[k] = space->gradient[i] + (first + k) * space->stride[i];
        given[k] = space->gradient[i + 1] + (begin + k) * space->stride[i + 1];
    }
    back_inputs(&space->layer[i], &space->list[i], rows > 1 ? &layer->together : &layer->one, to, given,
                rows);
}

static int32_t group_of(int64_t rows)
{
    return rows >= DF_STACK_TOGETHER ? DF_STACK_TOGETHER : 1;
}

/* A layer behind the narrow convolutions, all rows. */
static void back_layer(const struct df_fused *fused, const struct df_fused_space *space, int32_t i,
                       int64_t rows)
{
    const struct df_fused_layer *layer = &fused->layer[i];
    const struct gather_rows ends = {space->gradient[i], space->gradient[i + 1], space->stride[i],
                                     space->stride[i + 1]};
    clear_gradients(space, i, rows);
    if (layer->stack.gather)
        back_gather(&space->layer[i], &space->gather[i], layer->slices, &ends, rows);
    else if (!layer->stack.conv)
        back_product(fused, space, i, rows);
    else
        for (int64_t r = 0, group; r < rows; r += group) {
            group = group_of(rows - r);
            back_conv(fused, space, i, r, r, (int32_t)group);
        }
}

/* Narrow convolutions from the last to the first, of `rows` rows (1 or DF_STACK_TOGETHER) from `first` on of
 * what comes behind them. */
static void back_narrow(const struct df_fused *fused, const struct df_fused_space *space, int64_t first,
                        int32_t rows)
{
    for (int32_t i = fused->narrow - 1; i >= 0; i--) {
        clear_gradients(space, i, rows);
        back_conv(fused, space, i, 0, i + 1 == fused->narrow ? first : 0, rows);
    }
}

/* The first layer's gradients, [y][x][channel] between zeros, as [channel][y][x]. */
static void give_row(const struct df_fused *fused, const struct df_fused_space *space, float *dx,
                     const float *from)
{
    const struct df_stack_layer *l = space->layer;
    const struct df_shape in = fused->desc.stages[0].in;
    const int32_t w = (int32_t)in.w, channels = l->channels;
    if (channels == 1 && l->line == w) {
        memcpy(dx, from + (int64_t)l->pad_top * l->line, (size_t)fused->input * sizeof *dx);
        return;
    }
    for (int32_t c = 0; c < channels; c++)
        for (int32_t y = 0; y < in.h; y++) {
            const float *line =
                from + (int64_t)(y + l->pad_top) * l->line + (int64_t)l->pad_left * channels + c;
            for (int32_t x = 0; x < w; x++)
                *dx++ = line[(int64_t)x * channels];
        }
}

static void fused_backward(const struct df_fused *fused, struct df_fused_space *space, float *dx,
                           const float *dy, const uint8_t *kept, int64_t rows)
{
    list_sample(fused, space, kept);
    for (int64_t first = 0; first < rows; first += DF_STACK_PASS) {
        const int64_t count = rows - first < DF_STACK_PASS ? rows - first : DF_STACK_PASS;
        back_logits(fused, space, dy + first * fused->classes, count);
        for (int32_t i = fused->count - 2; i >= fused->narrow; i--)
            back_layer(fused, space, i, count);
        for (int64_t r = 0, group; r < count; r += group) {
            group = group_of(count - r);
            back_narrow(fused, space, r, (int32_t)group);
            for (int64_t k = 0; k < group; k++)
                give_row(fused, space, dx + (first + r + k) * fused->input,
                         space->gradient[0] + (fused->narrow > 0 ? k : r + k) * space->stride[0]);
        }
    }
}

const struct df_fused_kernels DF_FUSED_KERNELS = {
    .lanes = LANES,
    .tiles = stack_tiles,
    .forward = fused_forward,
    .backward = fused_backward,
};
