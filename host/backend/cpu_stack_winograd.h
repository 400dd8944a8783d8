/* SPDX-License-Identifier: Apache-2.0 */
/* 3x3 convolutions forwards by minimal filtering, F(2x2, 3x3): 16 multiply-adds a channel for four outputs
 * instead of 36 (Winograd 1980; Lavin, Gray 2016, arXiv:1509.09308).
 *
 * Math     Y = A^T [sum over channels of (G g G^T) * (B^T d B)] A of each 4x4 tile d of inputs. B and A only
 *          add and subtract, G halves
 * Order    of an output: channels ascending, one fused multiply-add a term, for each of the 16 products; then
 *          A, then the bias
 * Ties     where neighbouring outputs have equal inputs they have equal bits, as those of a direct
 *          convolution do: what differs between them is multiplied by differences of inputs, which are 0. So
 *          a max-pool, whose windows are the tiles, takes the same place. Larger tiles, F(4x4, 3x3), do not
 *          keep this
 * Work     of some tiles the transformed inputs stay in the second-level cache, and the sums of a few outputs
 *          of a few tiles in registers */
#ifndef DF_BACKEND_CPU_STACK_WINOGRAD_H
#define DF_BACKEND_CPU_STACK_WINOGRAD_H

#include "backend/cpu_stack_forward.h"
#include "backend/cpu_stack_wide.h"

/* Where a line of a tile's inputs is, beyond the padded plane nowhere. */
INLINE const float *winograd_input(const struct df_stack_layer *l, int32_t y, int32_t x)
{
    const bool inside = y < l->height && x * l->channels < l->line;
    return inside ? l->lanes + ((int64_t)y * l->line + (int64_t)x * l->channels) * LANES : NULL;
}

/* B^T d B of all channels of the tile at (y, x): to[16][stride], channel by channel. */
static void winograd_take(const struct df_stack_layer *l, float *to, int64_t stride, int32_t y, int32_t x)
{
    const float *from[16];
    for (int q = 0; q < 16; q++)
        from[q] = winograd_input(l, y + q / 4, x + q % 4);
    for (int64_t c = 0; c < (int64_t)l->channels * LANES; c += LANES) {
        vec d[16], t[16];
        for (int q = 0; q < 16; q++)
            d[q] = from[q] ? vec_load(from[q] + c) : vec_zero();
        for (int q = 0; q < 4; q++) {
            t[q] = vec_sub(d[q], d[8 + q]);
            t[4 + q] = vec_add(d[4 + q], d[8 + q]);
            t[8 + q] = vec_sub(d[8 + q], d[4 + q]);
            t[12 + q] = vec_sub(d[4 + q], d[12 + q]);
        }
        for (int q = 0; q < 16; q += 4) {
            vec_store(to + q * stride + c, vec_sub(t[q], t[q + 2]));
            vec_store(to + (q + 1) * stride + c, vec_add(t[q + 1], t[q + 2]));
            vec_store(to + (q + 2) * stride + c, vec_sub(t[q + 2], t[q + 1]));
            vec_store(to + (q + 3) * stride + c, vec_sub(t[q + 1], t[q + 3]));
        }
    }
}

/* sum[DF_WINOGRAD_TILES][DF_WINOGRAD_OUTPUTS] of products over all channels; x [DF_WINOGRAD_TILES][stride]. A
 * function of its own: in a larger one the compiler runs out of registers. */
static __attribute__((noinline)) void winograd_sum(float *sum, const float *x, int64_t stride, const float *w,
                                                   int32_t channels)
{
    vec s[DF_WINOGRAD_TILES][DF_WINOGRAD_OUTPUTS];
    for (int t = 0; t < DF_WINOGRAD_TILES; t++)
        for (int o = 0; o < DF_WINOGRAD_OUTPUTS; o++)
            s[t][o] = vec_zero();
    for (int32_t c = 0; c < channels; c++, x += LANES, w += DF_WINOGRAD_OUTPUTS) {
        vec v[DF_WINOGRAD_TILES];
#pragma GCC unroll 3
        for (int t = 0; t < DF_WINOGRAD_TILES; t++)
            v[t] = vec_load(x + t * stride);
#pragma GCC unroll 4
        for (int o = 0; o < DF_WINOGRAD_OUTPUTS; o++) {
            const vec factor = vec_all(w[o]);
#pragma GCC unroll 3
            for (int t = 0; t < DF_WINOGRAD_TILES; t++)
                s[t][o] = vec_fma(factor, v[t], s[t][o]);
        }
    }
#pragma GCC unroll 3
    for (int t = 0; t < DF_WINOGRAD_TILES; t++)
#pragma GCC unroll 4
        for (int o = 0; o < DF_WINOGRAD_OUTPUTS; o++)
            vec_store(sum + (t * DF_WINOGRAD_OUTPUTS + o) * LANES, s[t][o]);
}

/* A^T m A and the bias: the four outputs of a tile; m [16][stride]. */
INLINE void winograd_give(vec y[4], const float *m, int64_t stride, float bias)
{
    vec t[8];
    for (int q = 0; q < 4; q++) {
        const vec a = vec_load(m + q * stride), b = vec_load(m + (4 + q) * stride),
                  c = vec_load(m + (8 + q) * stride), d = vec_load(m + (12 + q) * stride);
        t[q] = vec_add(vec_add(a, b), c);
        t[4 + q] = vec_sub(vec_sub(b, c), d);
    }
    for (int r = 0; r < 2; r++) {
        const vec *u = t + 4 * r;
        y[2 * r] = vec_add(vec_add(vec_add(u[0], u[1]), u[2]), vec_all(bias));
        y[2 * r + 1] = vec_add(vec_sub(vec_sub(u[1], u[2]), u[3]), vec_all(bias));
    }
}

/* One output channel of the tile (y, x), of windows or of pairs of lines and columns. */
INLINE void winograd_put(const struct df_stack_layer *l, vec value[4], int32_t y, int32_t x, int32_t channel)
{
    uint8_t code[LANES];
    if (l->pool) {
        float *out = l->out + ((int64_t)y * l->out_line + (int64_t)x * l->outputs) * LANES;
        put_unit(l, out, unit_of_window(value, l->relu, code), y * l->out_w + x, channel, code);
        return;
    }
    for (int q = 0; q < 4; q++) {
        const int32_t at_y = 2 * y + q / 2, at_x = 2 * x + q % 2;
        if (at_y >= l->out_h || at_x >= l->out_w)
            continue;
        float *out = l->out + ((int64_t)at_y * l->out_line + (int64_t)at_x * l->outputs) * LANES;
        put_unit(l, out, unit_end(value[q], codes_all(0), l->relu, code), at_y * l->out_w + at_x, channel,
                 code);
    }
}

/* DF_WINOGRAD_OUTPUTS outputs from `first` on, of `count` tiles from `tile` on, whose transformed inputs are
 * x [16][tiles_together][channels]. */
static void winograd_outputs(const struct df_stack_layer *l, const float *weight, const float *x, float *sums,
                             int32_t tile, int32_t count, int32_t first)
{
    enum { BLOCK = DF_WINOGRAD_OUTPUTS * LANES };
    const int64_t one = (int64_t)l->channels * LANES, all = l->tiles_together * one,
                  product = (int64_t)l->tiles_together * BLOCK;
    const int32_t across = df_winograd_across(l);
    for (int q = 0; q < 16; q++, weight += l->channels * DF_WINOGRAD_OUTPUTS)
        for (int32_t t = 0; t < count; t += DF_WINOGRAD_TILES) {
            /* The last ones once more rather than fewer; of fewer in all, what an earlier layer has left. */
            const int32_t last = count < DF_WINOGRAD_TILES ? 0 : count - DF_WINOGRAD_TILES,
                          at = t < last ? t : last;
            winograd_sum(sums + q * product + (int64_t)at * BLOCK, x + q * all + at * one, one, weight,
                         l->channels);
        }
    for (int32_t t = 0; t < count; t++)
        for (int32_t o = 0; o < DF_WINOGRAD_OUTPUTS && first + o < l->outputs; o++) {
            vec value[4];
            winograd_give(value, sums + t * BLOCK + o * LANES, product, l->bias[first + o]);
            winograd_put(l, value, (tile + t) / across, (tile + t) % across, first + o);
        }
}

/* weight: df_winograd_transform; space: df_winograd_space floats. */
static void forward_winograd(const struct df_stack_layer *l, const float *weight, float *space)
{
    const int64_t one = (int64_t)l->channels * LANES, all = l->tiles_together * one,
                  filters = (int64_t)16 * l->channels * DF_WINOGRAD_OUTPUTS;
    const int32_t across = df_winograd_across(l), tiles = across * df_winograd_down(l);
    float *sums = space + 16 * all;
    for (int32_t tile = 0, count; tile < tiles; tile += count) {
        count = tiles - tile < l->tiles_together ? tiles - tile : l->tiles_together;
        for (int32_t t = 0; t < count; t++)
            winograd_take(l, space + t * one, all, 2 * ((tile + t) / across), 2 * ((tile + t) % across));
        for (int32_t o = 0; o < l->outputs; o += DF_WINOGRAD_OUTPUTS)
            winograd_outputs(l, weight + o / DF_WINOGRAD_OUTPUTS * filters, space, sums, tile, count, o);
    }
}

#endif
