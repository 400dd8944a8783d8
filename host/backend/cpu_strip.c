/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops of cpu_planes.c. Compiled for AVX2, and for AVX-512 by cpu_strip_avx512.c.
 *
 * Math     backend/cpu_planes.h: struct df_strip
 * Order    c, t ascend, one fused multiply-add a term from the bias on: a pixel's bits depend neither on its
 *          place in a vector nor on the vector's width.
 * Work     `outputs` x VECS vectors of sums stay in registers; a loaded vector of pixels serves all outputs,
 *          a weight VECS vectors. */
#include "backend/cpu.h"
#include "backend/cpu_planes.h"
#include "backend/cpu_vector.h"

#ifndef DF_CPU_STRIP
#define DF_CPU_STRIP df_cpu_strip_avx2
#endif

/* One tile: pixels [q, q + VECS * LANES). */
static inline __attribute__((always_inline)) void tile(const struct df_strip *s, int64_t q, const int OUTPUTS,
                                                       const int VECS)
{
    vec sum[32];
#pragma GCC unroll 8
    for (int o = 0; o < OUTPUTS; o++)
#pragma GCC unroll 8
        for (int v = 0; v < VECS; v++)
            sum[o * VECS + v] = vec_all(s->bias != NULL ? s->bias[o] : 0);
    const float *w = s->weight, *plane = s->in + q;
    const int32_t taps = s->taps;
    for (int32_t c = 0; c < s->channels; c++, plane += s->in_stride)
        for (int32_t t = 0; t < taps; t++, w += OUTPUTS) {
            const float *p = plane + s->offset[t];
            vec x[8];
#pragma GCC unroll 8
            for (int v = 0; v < VECS; v++)
                x[v] = vec_load(p + v * LANES);
#pragma GCC unroll 8
            for (int o = 0; o < OUTPUTS; o++)
#pragma GCC unroll 8
                for (int v = 0; v < VECS; v++)
                    sum[o * VECS + v] = vec_fma(vec_all(w[o]), x[v], sum[o * VECS + v]);
        }
#pragma GCC unroll 8
    for (int o = 0; o < OUTPUTS; o++)
#pragma GCC unroll 8
        for (int v = 0; v < VECS; v++)
            vec_store(s->out + o * s->out_stride + q + v * LANES, sum[o * VECS + v]);
}

/* A tile is WIDE vectors, enough for eight sums side by side where there are so many, so that the
 * multiply-adds need not wait for each other. What is left takes one narrower tile; exact, its last vector
 * may be computed twice. */
static inline __attribute__((always_inline)) void strip(const struct df_strip *s, const int OUTPUTS,
                                                        const int WIDE)
{
    int64_t q = 0;
    for (; q + WIDE * LANES <= s->count; q += WIDE * LANES)
        tile(s, q, OUTPUTS, WIDE);
    int64_t left = (s->count - q + LANES - 1) / LANES;
    if (left == 0)
        return;
    if (s->exact && s->count >= left * LANES)
        q = s->count - left * LANES;
    else if (s->exact) {
        tile(s, s->count - LANES, OUTPUTS, 1);
        if (--left == 0)
            return;
    }
    switch (left) {
    case 1:
        tile(s, q, OUTPUTS, 1);
        return;
    case 2:
        tile(s, q, OUTPUTS, 2);
        return;
    case 3:
        tile(s, q, OUTPUTS, 3);
        return;
    case 4:
        tile(s, q, OUTPUTS, 4);
        return;
    default:
        tile(s, q, OUTPUTS, 4);
        for (q += 4 * LANES; q < s->count; q += LANES)
            tile(s, s->exact && q + LANES > s->count ? s->count - LANES : q, OUTPUTS, 1);
    }
}

#ifdef __AVX512F__
enum { WIDE_1 = 8, WIDE_2 = 8, WIDE_3 = 6, WIDE_4 = 6, WIDE_5 = 4, WIDE_6 = 4 };
#else
enum { WIDE_1 = 8, WIDE_2 = 4, WIDE_3 = 3, WIDE_4 = 2, WIDE_5 = 2, WIDE_6 = 2 };
#endif

void DF_CPU_STRIP(const struct df_strip *given)
{
    const struct df_strip s = *given;
    switch (s.outputs) {
    case 1:
        strip(&s, 1, WIDE_1);
        return;
    case 2:
        strip(&s, 2, WIDE_2);
        return;
    case 3:
        strip(&s, 3, WIDE_3);
        return;
    case 4:
        strip(&s, 4, WIDE_4);
        return;
    case 5:
        strip(&s, 5, WIDE_5);
        return;
    default:
        strip(&s, 6, WIDE_6);
    }
}
