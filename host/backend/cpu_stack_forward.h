/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions and products forwards: a sample a vector lane, a block of outputs in registers.
 *
 * Order    of an output: bias, then ky, kx, channel ascending, one fused multiply-add a term; zeros around a
 *          plane are terms like others
 * Work     a block is a 2x2 window, or four pixels of a line, of up to six channels. All channels of a window
 *          follow each other, while its inputs are in the first-level cache */
#ifndef DF_BACKEND_CPU_STACK_FORWARD_H
#define DF_BACKEND_CPU_STACK_FORWARD_H

#include "backend/cpu_stack_vector.h"

/* ---- convolutions -------------------------------------------------------------------------------------- */

/* Where a block reads and writes. */
struct block {
    const float *in[4];
    float *out[4]; /* of a window one */
    int32_t window[4], count;
};

INLINE void put_unit(const struct df_stack_layer *l, float *out, vec value, int32_t window, int32_t channel,
                     const uint8_t code[LANES])
{
    vec_store(out + (int64_t)channel * LANES, value);
    if (l->lane_units)
        memcpy(l->lane_units + ((int64_t)channel * l->unit_row + window) * LANES, code, LANES);
    memcpy(l->lane_windows + ((int64_t)window * l->window_row + channel) * LANES, code, LANES);
}

INLINE void run_block(const struct df_stack_layer *l, const struct block *at, int32_t first,
                      const int CHANNELS)
{
    vec sum[6][4];
    const float *x0 = at->in[0], *x1 = at->in[1], *x2 = at->in[2], *x3 = at->in[3];
    const int32_t run = l->kernel_w * l->channels;
    for (int o = 0; o < CHANNELS; o++)
        for (int q = 0; q < 4; q++)
            sum[o][q] = vec_all(l->bias[first + o]);
    for (int32_t ky = 0; ky < l->kernel_h; ky++) {
        const float *w = l->weight + (int64_t)first * l->filter + (int64_t)ky * l->row;
        const int64_t line = (int64_t)ky * l->line * LANES;
        for (int32_t j = 0; j < run; j++) {
            const int64_t here = line + (int64_t)j * LANES;
            /* Not an array: that would lie on the stack. */
            const vec a = vec_load(x0 + here), b = vec_load(x1 + here), c = vec_load(x2 + here),
                      d = vec_load(x3 + here);
#pragma GCC unroll 6
            for (int o = 0; o < CHANNELS; o++) {
                const vec factor = vec_all(w[(int64_t)o * l->filter + j]);
                sum[o][0] = vec_fma(factor, a, sum[o][0]);
                sum[o][1] = vec_fma(factor, b, sum[o][1]);
                sum[o][2] = vec_fma(factor, c, sum[o][2]);
                sum[o][3] = vec_fma(factor, d, sum[o][3]);
            }
        }
    }
#pragma GCC unroll 6
    for (int o = 0; o < CHANNELS; o++) {
        uint8_t code[LANES];
        if (l->pool) {
            const vec value = unit_of_window(sum[o], l->relu, code);
            put_unit(l, at->out[0], value, at->window[0], first + o, code);
            continue;
        }
        for (int q = 0; q < at->count; q++) {
            const vec value = unit_end(sum[o][q], codes_all(0), l->relu, code);
            put_unit(l, at->out[q], value, at->window[q], first + o, code);
        }
    }
}

/* Functions of their own: together the compiler runs out of registers. */
#define BLOCK(channels)                                                                                      \
    static __attribute__((noinline)) void run_block_##channels(const struct df_stack_layer *l,               \
                                                               const struct block *at, int32_t first)        \
    {                                                                                                        \
        run_block(l, at, first, channels);                                                                   \
    }
BLOCK(1)
BLOCK(2)
BLOCK(3)
BLOCK(4)
BLOCK(6)
#undef BLOCK

/* As many channels at a time as four sums of each fit in the registers. */
INLINE void run_channels(const struct df_stack_layer *l, const struct block *at)
{
    int32_t o = 0;
    if (LANES == 16 && l->outputs % 6 == 0)
        for (; o < l->outputs; o += 6)
            run_block_6(l, at, o);
    for (; LANES == 16 && o + 4 <= l->outputs; o += 4)
        run_block_4(l, at, o);
    for (; LANES == 8 && o + 3 <= l->outputs && o + 4 != l->outputs; o += 3)
        run_block_3(l, at, o);
    for (; o + 2 <= l->outputs; o += 2)
        run_block_2(l, at, o);
    for (; o < l->outputs; o++)
        run_block_1(l, at, o);
}

static void forward_conv(const struct df_stack_layer *l)
{
    struct block b = {.count = 0};
    for (int32_t y = 0; y < l->out_h; y++)
        for (int32_t x = 0; x < l->out_w; x += b.count) {
            const int32_t left = l->out_w - x;
            b.count = l->pool ? 1 : left < 4 ? left : 4;
            for (int32_t q = 0; q < 4; q++) {
                const int32_t pixel = q < b.count ? q : b.count - 1;
                const int32_t in_y = l->pool ? 2 * y + q / 2 : y, in_x = l->pool ? 2 * x + q % 2 : x + pixel;
                b.in[q] = l->lanes + ((int64_t)in_y * l->line + (int64_t)in_x * l->channels) * LANES;
                b.out[q] = l->out + ((int64_t)y * l->out_line + (int64_t)(x + pixel) * l->outputs) * LANES;
                b.window[q] = y * l->out_w + x + pixel;
            }
            run_channels(l, &b);
        }
}

/* ---- products ------------------------------------------------------------------------------------------ */

enum { SIDE_BY_SIDE = 12 };

static void forward_dense(const struct df_stack_layer *l)
{
    for (int32_t first = 0; first < l->outputs; first += SIDE_BY_SIDE) {
        const int32_t left = l->outputs - first, count = left < SIDE_BY_SIDE ? left : SIDE_BY_SIDE;
        const float *w[SIDE_BY_SIDE];
        vec sum[SIDE_BY_SIDE];
        for (int32_t i = 0; i < SIDE_BY_SIDE; i++) {
            const int32_t o = first + (i < count ? i : 0);
            w[i] = l->weight + (int64_t)o * l->filter;
            sum[i] = vec_all(l->bias[o]);
        }
        for (int32_t c = 0; c < l->channels; c++) {
            const vec x = vec_load(l->lanes + (int64_t)c * LANES);
#pragma GCC unroll 12
            for (int i = 0; i < SIDE_BY_SIDE; i++)
                sum[i] = vec_fma(vec_all(w[i][c]), x, sum[i]);
        }
        for (int32_t i = 0; i < count; i++) {
            uint8_t *code = l->lane_windows + (int64_t)(first + i) * LANES;
            vec_store(l->out + (int64_t)(first + i) * LANES, unit_end(sum[i], codes_all(0), l->relu, code));
        }
    }
}

#endif
