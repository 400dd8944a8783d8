/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu_stack.h"

#include <string.h>

#include "base/memory.h"

/* Channels up to which a layer is trained here; the most windows of one. */
enum { MOST_CHANNELS = 64, MOST_WINDOWS = 16384 };

bool df_stack_takes(const struct df_fused_stage *stage)
{
    const struct df_window *w = &stage->window;
    return w->stride[0] == 1 && w->stride[1] == 1 && w->kernel[0] <= 7 && w->kernel[1] <= 7 &&
           (int64_t)stage->out.h * stage->out.w <= MOST_WINDOWS;
}

bool df_stack_is_narrow(const struct df_fused_stage *stage)
{
    return df_stack_takes(stage) && stage->in.c <= MOST_CHANNELS && stage->out.c <= MOST_CHANNELS;
}

/* ---- sizes --------------------------------------------------------------------------------------------- */

void df_stack_measure(struct df_stack_layer *l, const struct df_fused_stage *stage)
{
    const struct df_shape in = stage->in, out = stage->out;
    l->conv = !stage->is_gemm;
    l->relu = stage->relu;
    l->pool = stage->pool;
    l->outputs = out.c;
    l->channels = l->conv ? in.c : (int32_t)df_shape_size(in);
    l->kernel_h = l->conv ? stage->window.kernel[0] : 1;
    l->kernel_w = l->conv ? stage->window.kernel[1] : 1;
    l->pad_top = l->conv ? stage->window.pad[0] : 0;
    l->pad_left = l->conv ? stage->window.pad[1] : 0;
    l->in_h = l->conv ? in.h : 1;
    l->in_w = l->conv ? in.w : 1;
    l->height = l->conv ? in.h + l->pad_top + stage->window.pad[2] : 1;
    l->line = (l->conv ? in.w + l->pad_left + stage->window.pad[3] : 1) * l->channels;
    l->out_h = out.h;
    l->out_w = out.w;
    l->windows = out.h * out.w;
    l->in = df_stack_padded((int64_t)l->height * l->line);
    const int32_t run = l->kernel_w * l->channels;
    l->row = l->conv && run <= 8 ? 8 : df_stack_padded(run);
    l->filter = l->kernel_h * l->row;
    l->unit_row = df_stack_padded(l->windows);
    l->window_row = df_stack_padded(l->outputs);
}

void df_stack_measure_back(struct df_stack_layer *l, int32_t across)
{
    const int32_t pixels = l->pool ? 2 * across : across;
    l->across = across;
    l->above = l->pool ? 1 : 0;
    l->front = (pixels - 1) * l->channels;
    l->reach = (l->kernel_w + pixels - 1) * l->channels;
    l->turned_row = l->front + (l->reach + 7) / 8 * 8;
    l->turned_filter = (l->kernel_h + 2 * l->above) * l->turned_row;
    if (l->conv)
        return;
    l->reach = l->row;
    l->turned_row = l->turned_filter = l->filter;
}

int32_t df_stack_groups(const struct df_stack_layer *l)
{
    return l->out_h * ((l->out_w + l->across - 1) / l->across);
}

int64_t df_stack_gradient_count(const struct df_stack_layer *l)
{
    return (int64_t)l->in + (l->conv ? l->turned_row : 0) + DF_STACK_SLACK;
}

void df_stack_link(struct df_stack_layer *l, const struct df_stack_layer *next, float *logits, int32_t lanes)
{
    const bool conv = next && next->conv;
    l->out_line = conv ? next->line : l->out_w * l->outputs;
    l->out_begin = conv ? next->pad_top * next->line + next->pad_left * next->channels : 0;
    l->out = (next ? next->lanes : logits) + (int64_t)l->out_begin * lanes;
}

dfal_status df_stack_tiles_create(struct df_stack_tiles *tiles, df_stack_plan_fn *plan,
                                  const struct df_stack_layer *l, int32_t rows)
{
    tiles->count = plan(l, rows, NULL);
    DF_TRY(df_alloc(&tiles->tile, tiles->count, sizeof *tiles->tile));
    plan(l, rows, tiles->tile);
    return DFAL_OK;
}

/* ---- parameters ---------------------------------------------------------------------------------------- */

/* Each filter's rows begin behind the zeros above and in front: from there on it stands as a unit at the
 * upper left of its group adds it. */
void df_stack_turn(const struct df_stack_layer *l)
{
    const size_t run = (size_t)(l->kernel_w * l->channels) * sizeof(float);
    for (int32_t o = 0; o < l->outputs; o++)
        for (int32_t r = 0; r < l->kernel_h; r++)
            memcpy(l->turned + (int64_t)o * l->turned_filter + (int64_t)(r + l->above) * l->turned_row +
                       l->front,
                   l->weight + (int64_t)o * l->filter + (int64_t)r * l->row, run);
}

void df_stack_fill_squeeze(df_stack_squeeze squeeze)
{
    for (int mask = 0; mask < 256; mask++)
        for (int bit = 0, place = 0; bit < 8; bit++)
            if (mask >> bit & 1) {
                squeeze[mask][place++] = (uint8_t)(2 * bit);
                squeeze[mask][place++] = (uint8_t)(2 * bit + 1);
            }
}

void df_stack_move_block(const struct df_stack_block *b, float *values, float *flat,
                         enum df_stack_direction direction)
{
    float *from = flat + b->at;
    for (int64_t o = 0; o < b->outer; o++)
        for (int64_t m = 0; m < b->middle; m++)
            for (int64_t i = 0; i < b->inner; i++, from++) {
                float *here = values + b->here + o * b->outer_step + m * b->middle_step + i * b->inner_step;
                if (direction == DF_STACK_IN)
                    *here = *from;
                else
                    *from = *here;
            }
}

void df_stack_move(const struct df_stack_layer *l, const struct df_fused_stage *stage, float *weight,
                   float *bias, float *flat, enum df_stack_direction direction)
{
    const struct df_shape in = stage->in;
    const struct df_stack_block biases = {1, 1, l->outputs, stage->bias_at, 0, 0, 0, 1};
    const int32_t channels = in.c, height = l->conv ? l->kernel_h : in.h,
                  width = l->conv ? l->kernel_w : in.w;
    const int64_t line = l->conv ? l->row : (int64_t)width * channels;
    for (int32_t o = 0; o < l->outputs; o++) {
        const struct df_stack_block filter = {channels,
                                              height,
                                              width,
                                              stage->weight_at + (int64_t)o * channels * height * width,
                                              (int64_t)o * l->filter,
                                              1,
                                              line,
                                              channels};
        df_stack_move_block(&filter, weight, flat, direction);
    }
    df_stack_move_block(&biases, bias, flat, direction);
}
