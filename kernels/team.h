/* SPDX-License-Identifier: Apache-2.0 */
/* How an item is run. df_<op>_at(io, i) of an ITEM op is called by every lane of a team at once: by the one
 * thread of a CPU, or by the 32 lanes of a GPU's warp; of a BLOCK op by all threads of a GPU's block
 * (DF_TEAM_IS_BLOCK, blocks.cu), which has df_team_sum alone. One source serves all:
 *
 *   DF_EACH(j, n) {...}              every j in 0..n-1 once; lane l takes j = l, l + DF_TEAM, ...; on a CPU:
 *                                    ascending
 *   DF_EACH_CELL(h, w, H, W) {...}   every cell of a plane once, dealt out alike in the order of h W + w
 *   DF_ONE                           true in exactly one lane: who writes what an item has once
 *   DF_SYNC()                        the lanes meet, and see what each has written before
 *   DF_TEAM, DF_LANE                 lanes of the team, a constant; the own one
 *   df_team_*                        what the lanes find out together; every lane gets the result
 *
 * Rules   All lanes reach a DF_SYNC or a df_team_* together: what decides on the way there is the same in
 *         each, so it comes from memory that no lane has written since the last DF_SYNC. Scalars of an item
 *         are read before a DF_SYNC and written behind it by DF_ONE. A DF_EACH may be left by break, by each
 *         lane for itself.
 * Order   A sum over a long vector has 32 accumulators, element j in accumulator j % 32, and a fixed tree
 *         over them: on a CPU vectors, on a GPU a lane each (DF_OWN of them are one lane's) and shuffles. The
 *         same bits on both. A sum whose order is ascending is taken by df_team_add, or whole by one lane.
 * Walks   Where a GPU needs another walk for the same result (gathering where a CPU scatters), `if (DF_TEAM >
 *         1)` chooses; the constant leaves one of the two in the program. */
#ifndef DF_KERNELS_TEAM_H
#define DF_KERNELS_TEAM_H

#include <math.h>

#include "call.h"

enum { DF_LANES = 32 };       /* accumulators of a long sum */
enum { DF_BLOCK_TEAM = 512 }; /* threads of a block that is a team */

#if (defined(__CUDA_ARCH__) || defined(DF_SIMT)) && defined(DF_TEAM_IS_BLOCK)
#define DF_BLOCK
#define DF_TEAM       DF_BLOCK_TEAM
#define DF_LANE       ((int32_t)threadIdx.x)
#define DF_SYNC()     __syncthreads()
#define DF_EACH(j, n) for (int64_t j = DF_LANE; j < (n); j += DF_TEAM)
/* Counted, so that the loads of several cells can be under way together. */
#define DF_EACH_CELL(h, w, height, width)                                                                    \
    _Pragma("unroll 4") for (int32_t h = DF_LANE / (int32_t)(width), w = DF_LANE % (int32_t)(width),         \
                             cells = df_cells((height) * (width));                                           \
                             cells > 0; cells--, df_cell_next(&h, &w, (int32_t)(width)))
#elif defined(__CUDA_ARCH__) || defined(DF_SIMT)
#define DF_WARP
#define DF_TEAM       32
#define DF_LANE       ((int32_t)(threadIdx.x % DF_TEAM))
#define DF_SYNC()     __syncwarp()
#define DF_EACH(j, n) for (int64_t j = DF_LANE; j < (n); j += DF_TEAM)
#define DF_EACH_CELL(h, w, height, width)                                                                    \
    for (int32_t h = DF_LANE / (int32_t)(width), w = DF_LANE % (int32_t)(width); h < (int32_t)(height);      \
         df_cell_next(&h, &w, (int32_t)(width)))
#else
#define DF_TEAM       1
#define DF_LANE       0
#define DF_SYNC()     ((void)0)
#define DF_EACH(j, n) for (int64_t j = 0; j < (n); j++)
#define DF_EACH_CELL(h, w, height, width)                                                                    \
    for (int64_t h = 0; h < (height); h++)                                                                   \
        for (int64_t w = 0; w < (width); w++)
#endif
#define DF_ONE (DF_LANE == 0)
#define DF_OWN (DF_LANES / DF_TEAM)

/* A lane's next cell, DF_TEAM further on: two divisions an item instead of two a cell. */
DF_FN void df_cell_next(int32_t *h, int32_t *w, int32_t width)
{
    *h += DF_TEAM / width;
    *w += DF_TEAM % width;
    if (*w >= width) {
        *w -= width;
        ++*h;
    }
}

/* A lane's share of so many cells. */
DF_FN int32_t df_cells(int64_t count)
{
    return (int32_t)((count - DF_LANE + DF_TEAM - 1) / DF_TEAM);
}

/* Sum of the lanes' numbers: in another order on a GPU than on a CPU, where it is the number itself (class
 * S). Halves of a warp are added until one number is left, then the warps' numbers alike. */
DF_FN double df_team_sum(double own)
{
#if defined(DF_WARP) || defined(DF_BLOCK)
    for (int32_t half = DF_LANES / 2; half > 0; half /= 2)
        own += __shfl_xor_sync(0xffffffffU, own, half);
#endif
#ifdef DF_BLOCK
    enum { WARPS = DF_TEAM / DF_LANES };
    __shared__ double part[WARPS];
    DF_SYNC(); /* everyone has read the last sum's */
    if (DF_LANE % DF_LANES == 0)
        part[DF_LANE / DF_LANES] = own;
    DF_SYNC();
    own = part[DF_LANE % WARPS];
    for (int32_t half = WARPS / 2; half > 0; half /= 2)
        own += __shfl_xor_sync(0xffffffffU, own, half);
#endif
    return own;
}

#ifndef DF_TEAM_IS_BLOCK
/* Sum of the 32 accumulators of a long sum, of which DF_OWN are this lane's, by a fixed tree: halves are
 * added until one is left. */
DF_FN double df_lanes_sum(double *own)
{
#ifdef DF_WARP
    double sum = own[0];
    for (int32_t half = DF_LANES / 2; half > 0; half /= 2)
        sum += __shfl_xor_sync(0xffffffffU, sum, half); /* a + b is b + a: every lane gets lane 0's sum */
    return sum;
#else
    for (int32_t half = DF_LANES / 2; half > 0; half /= 2)
        for (int32_t l = 0; l < half; l++)
            own[l] += own[l + half];
    return own[0];
#endif
}

/* Pairwise sum of the first `count` lanes' numbers, a power of two: neighbours, then pairs, ... */
DF_FN double df_team_pairs(double own, int32_t count)
{
#ifdef DF_WARP
    for (int32_t next = 1; next < count; next *= 2)
        own += __shfl_xor_sync(0xffffffffU, own, next);
#else
    (void)count;
#endif
    return own;
}

/* sum + the terms of the first `count` lanes (at most all), added one after the other by ascending lane. */
DF_FN double df_team_add(double sum, double term, int32_t count)
{
#ifdef DF_WARP
    for (int32_t lane = 0; lane < DF_TEAM && lane < count; lane++)
        sum += __shfl_sync(0xffffffffU, term, lane);
    return sum;
#else
    (void)count;
    return sum + term;
#endif
}

/* The largest of numbers that are not NaN. */
DF_FN double df_team_max(double own)
{
#ifdef DF_WARP
    for (int32_t half = DF_TEAM / 2; half > 0; half /= 2) {
        const double other = __shfl_xor_sync(0xffffffffU, own, half);
        own = other > own ? other : own;
    }
#endif
    return own;
}

DF_FN int64_t df_team_min(int64_t own)
{
#ifdef DF_WARP
    for (int32_t half = DF_TEAM / 2; half > 0; half /= 2) {
        const int64_t other = __shfl_xor_sync(0xffffffffU, own, half);
        own = other < own ? other : own;
    }
#endif
    return own;
}

DF_FN int32_t df_team_all(int32_t own)
{
#ifdef DF_WARP
    return __all_sync(0xffffffffU, own) != 0;
#else
    return own;
#endif
}

/* Of the lanes whose own is not 0, how many come before this lane; *count: how many there are. */
DF_FN int32_t df_team_rank(int32_t own, int32_t *count)
{
#ifdef DF_WARP
    const unsigned lanes = __ballot_sync(0xffffffffU, own);
    *count = __popc(lanes);
    return __popc(lanes & ((1U << DF_LANE) - 1));
#else
    *count = own != 0;
    return 0;
#endif
}

/* Does v at a later index take the maximum from best? Written with && and ||: gcc 12 vectorises that, not &
 * and |. */
DF_FN int df_max_takes(df_real v, df_real best)
{
    return v > best || (best != best && v == v);
}

/* The best of the lanes' indices into f: the largest value, of equal ones the lowest index; a NaN loses, and
 * so does an index below 0, which is none. */
DF_FN int32_t df_team_best(const df_real *f, int32_t own)
{
#ifdef DF_WARP
    for (int32_t half = DF_TEAM / 2; half > 0; half /= 2) {
        const int32_t other = __shfl_xor_sync(0xffffffffU, own, half);
        if (other >= 0 &&
            (own < 0 || df_max_takes(f[other], f[own]) || (other < own && !df_max_takes(f[own], f[other]))))
            own = other;
    }
#else
    (void)f;
#endif
    return own;
}

/* Of two indices into numbers that are not NaN the one of the larger number, of equal ones the lower; an
 * index below 0 is none. */
DF_FN int32_t df_higher(const double *f, int32_t a, int32_t b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return f[b] > f[a] || (f[b] == f[a] && b < a) ? b : a;
}

/* The same of all lanes' indices. */
DF_FN int32_t df_team_highest(const double *f, int32_t own)
{
#ifdef DF_WARP
    for (int32_t half = DF_TEAM / 2; half > 0; half /= 2)
        own = df_higher(f, own, __shfl_xor_sync(0xffffffffU, own, half));
#else
    (void)f;
#endif
    return own;
}

/* The lowest index attaining the maximum of n >= 1 values; a NaN never wins (all NaN: index 0). */
DF_FN int32_t df_arg_max(const df_real *f, int32_t n)
{
    int32_t best = 0;
    DF_EACH(k, n) {
        if (df_max_takes(f[k], f[best]))
            best = (int32_t)k;
    }
    return df_team_best(f, best);
}
#endif /* DF_TEAM_IS_BLOCK */

#endif
