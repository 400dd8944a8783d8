/* SPDX-License-Identifier: Apache-2.0 */
/* Minimal filtering of some tiles (cpu_winograd.h), a row of the batch a vector lane: transformed inputs,
 * their sums, outputs.
 *
 * Work     one of the 16 products after the other: the inputs of DF_WINOGRAD_TILES tiles stay in the
 *          first-level cache while all outputs go by, DF_WINOGRAD_OUTPUTS of them in registers */
#ifndef DF_BACKEND_CPU_WINOGRAD_TILES_H
#define DF_BACKEND_CPU_WINOGRAD_TILES_H

#include "backend/cpu_vector.h"
#include "backend/cpu_winograd.h"

/* B^T d B of all channels, `step` floats apart, of tile `tile` of those that go together. from: its 16
 * inputs, NULL outside of the plane. */
static void winograd_take(const struct df_winograd *w, float *space, int32_t tile,
                          const float *const from[16], int64_t step)
{
    const int64_t product = (int64_t)w->together * w->channels * LANES;
    float *to = space + (int64_t)tile * w->channels * LANES;
    for (int32_t c = 0; c < w->channels; c++, to += LANES) {
        vec d[16], t[16];
        for (int q = 0; q < 16; q++)
            d[q] = from[q] ? vec_load(from[q] + c * step) : vec_all(0);
        for (int q = 0; q < 4; q++) {
            t[q] = vec_sub(d[q], d[8 + q]);
            t[4 + q] = vec_add(d[4 + q], d[8 + q]);
            t[8 + q] = vec_sub(d[8 + q], d[4 + q]);
            t[12 + q] = vec_sub(d[4 + q], d[12 + q]);
        }
        for (int q = 0; q < 16; q += 4) {
            vec_store(to + q * product, vec_sub(t[q], t[q + 2]));
            vec_store(to + (q + 1) * product, vec_add(t[q + 1], t[q + 2]));
            vec_store(to + (q + 2) * product, vec_sub(t[q + 2], t[q + 1]));
            vec_store(to + (q + 3) * product, vec_sub(t[q + 1], t[q + 3]));
        }
    }
}

/* sum [DF_WINOGRAD_TILES][DF_WINOGRAD_OUTPUTS] over all channels of x [DF_WINOGRAD_TILES][channels] times
 * weight [channels][DF_WINOGRAD_OUTPUTS]. A function of its own: in a larger one the compiler runs out of
 * registers. */
static __attribute__((noinline)) void winograd_sum(float *sum, const float *x, const float *weight,
                                                   int32_t channels)
{
    const int64_t stride = (int64_t)channels * LANES;
    vec s[DF_WINOGRAD_TILES][DF_WINOGRAD_OUTPUTS];
    for (int t = 0; t < DF_WINOGRAD_TILES; t++)
        for (int o = 0; o < DF_WINOGRAD_OUTPUTS; o++)
            s[t][o] = vec_all(0);
    for (int32_t c = 0; c < channels; c++, x += LANES, weight += DF_WINOGRAD_OUTPUTS) {
        vec v[DF_WINOGRAD_TILES];
#pragma GCC unroll 3
        for (int t = 0; t < DF_WINOGRAD_TILES; t++)
            v[t] = vec_load(x + t * stride);
#pragma GCC unroll 4
        for (int o = 0; o < DF_WINOGRAD_OUTPUTS; o++) {
            const vec factor = vec_all(weight[o]);
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

static inline float *winograd_sums(const struct df_winograd *w, float *space)
{
    return space + (int64_t)16 * w->together * w->channels * LANES;
}

/* Sums of the first `count` tiles: [16][blocks][together][DF_WINOGRAD_OUTPUTS] behind the inputs. */
static void winograd_multiply(const struct df_winograd *w, float *space, const float *weight, int32_t count)
{
    enum { BLOCK = DF_WINOGRAD_OUTPUTS * LANES };
    const int32_t last = count < DF_WINOGRAD_TILES ? 0 : count - DF_WINOGRAD_TILES,
                  blocks = df_winograd_blocks(w);
    const int64_t tile = (int64_t)w->channels * LANES;
    float *sums = winograd_sums(w, space);
    for (int q = 0; q < 16; q++) {
        for (int32_t t = 0; t < count; t += DF_WINOGRAD_TILES) {
            /* The last ones once more rather than fewer; of fewer in all, what an earlier call has left. */
            const int32_t at = t < last ? t : last;
            for (int32_t b = 0; b < blocks; b++)
                winograd_sum(sums + ((int64_t)b * w->together + at) * BLOCK, space + at * tile,
                             weight + (int64_t)b * DF_WINOGRAD_OUTPUTS * w->channels, w->channels);
        }
        space += w->together * tile;
        weight += (int64_t)blocks * DF_WINOGRAD_OUTPUTS * w->channels;
        sums += (int64_t)blocks * w->together * BLOCK;
    }
}

/* A^T m A and the bias: the four outputs of one output channel of a tile. */
static inline __attribute__((always_inline)) void winograd_give(const struct df_winograd *w, vec y[4],
                                                                const float *sums, int32_t tile,
                                                                int32_t output, float bias)
{
    enum { BLOCK = DF_WINOGRAD_OUTPUTS * LANES };
    const int64_t block = (int64_t)w->together * BLOCK, stride = df_winograd_blocks(w) * block;
    const float *m = sums + output / DF_WINOGRAD_OUTPUTS * block + (int64_t)tile * BLOCK +
                     output % DF_WINOGRAD_OUTPUTS * LANES;
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

#endif
