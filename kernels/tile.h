/* SPDX-License-Identifier: Apache-2.0 */
/* A tile of a product on a GPU: sums [BM][BN] of a block, TM x TN of them in each thread's registers.
 *
 * Math    sum[m][n] = first + sum over k of a[m][k] b[k][n]; BK values of k pass through shared memory at a
 *         time
 * Order   k ascending, one fmaf a term: a sum does not depend on the tile's size or where in it a cell lies.
 *         FOLDED: terms are summed from 0 in runs, the runs are added one after the other; where a run ends
 *         the source says.
 * Source  what a and b are: a struct with
 *             prepare(chunk)                 before fetch(chunk), a barrier between them: tables in shared
 *                                            memory
 *             fetch(chunk, a, b)             this thread's share of both, into registers; 0 behind an edge
 *             folds(chunk)                   FOLDED: does a run end with this chunk?
 *             A_ALONG_K, B_ALONG_K           which way neighbouring threads read
 * Work    While a chunk is multiplied, the next one is on its way to registers; two buffers, one barrier a
 *         chunk. A thread's rows of a tile are quads BM / (TM / 4) apart, so that a warp reads neighbouring
 *         quads. */
#ifndef DF_KERNELS_TILE_H
#define DF_KERNELS_TILE_H

#include "cuda_launch.h"

template <int BM_, int BN_, int BK_, int TM_, int TN_> struct df_tile {
    static constexpr int BM = BM_, BN = BN_, BK = BK_, TM = TM_, TN = TN_;
    static constexpr int THREADS = BM / TM * (BN / TN);
    /* At a time on a multiprocessor: 128 registers a thread, half of them where sums are few. */
    static constexpr int BLOCKS = (TM * TN > 4 ? 512 : 1024) / THREADS;
    static constexpr int A_SHARE = BM * BK / THREADS, B_SHARE = BN * BK / THREADS;
    static constexpr int A_PITCH = BM + 4, B_PITCH = BN + 4;
    static constexpr int BUFFER = BK * (A_PITCH + B_PITCH); /* floats; two of them */
};

/* Where thread t's j-th element of a SIZE x BK share lies: k and the line of SIZE. */
template <class T, int SIZE, bool ALONG_K> static __device__ inline int df_tile_k(int t, int j)
{
    static_assert(T::THREADS % T::BK == 0 && T::THREADS % SIZE == 0, "a thread keeps to one k or one line");
    return ALONG_K ? (int)((unsigned)t % T::BK) : (int)((unsigned)t / SIZE) + j * (T::THREADS / SIZE);
}
template <class T, int SIZE, bool ALONG_K> static __device__ inline int df_tile_i(int t, int j)
{
    return ALONG_K ? (int)((unsigned)t / T::BK) + j * (T::THREADS / T::BK) : (int)((unsigned)t % SIZE);
}

/* Where element i of a thread's T lies in a line of SIZE; t: the thread's place along the line. */
template <int SIZE, int T> static __device__ inline int df_tile_at(int t, int i)
{
    constexpr int V = T < 4 ? T : 4;
    return i / V * (SIZE / (T / V)) + t * V + i % V;
}

template <int SIZE, int T>
static __device__ inline void df_tile_load(float (&to)[T], const float *line, int t)
{
    if constexpr (T % 4 == 0) {
#pragma unroll
        for (int i = 0; i < T; i += 4) {
            const float4 quad = *reinterpret_cast<const float4 *>(line + df_tile_at<SIZE, T>(t, i));
            to[i] = quad.x, to[i + 1] = quad.y, to[i + 2] = quad.z, to[i + 3] = quad.w;
        }
    } else {
        static_assert(T == 2, "a thread's share of a line is 2 or quads");
        const float2 pair = *reinterpret_cast<const float2 *>(line + t * 2);
        to[0] = pair.x, to[1] = pair.y;
    }
}

/* sum begins as what is added to. FOLDED and sums_lines: line_sum gets the sum of a alone of row threadIdx.x
 * < BM. pool: 2 T::BUFFER floats of shared memory, 16 bytes aligned. */
template <class T, bool FOLDED, class Source>
static __device__ inline void df_tile_sum(float (&sum)[T::TM][T::TN], const Source &source, int64_t chunks,
                                          float *pool, bool sums_lines, float &line_sum)
{
    const int t = (int)threadIdx.x, tn = t % (T::BN / T::TN), tm = t / (T::BN / T::TN);
    float a[T::A_SHARE], b[T::B_SHARE], run[FOLDED ? T::TM : 1][FOLDED ? T::TN : 1] = {}, line_run = 0;
    if (chunks > 0) {
        source.prepare(0);
        source.prepare(1);
        __syncthreads();
        source.fetch(0, a, b);
    }
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        float *sa = pool + chunk % 2 * T::BUFFER, *sb = sa + T::BK * T::A_PITCH;
#pragma unroll
        for (int j = 0; j < T::A_SHARE; j++)
            sa[df_tile_k<T, T::BM, Source::A_ALONG_K>(t, j) * T::A_PITCH +
               df_tile_i<T, T::BM, Source::A_ALONG_K>(t, j)] = a[j];
#pragma unroll
        for (int j = 0; j < T::B_SHARE; j++)
            sb[df_tile_k<T, T::BN, Source::B_ALONG_K>(t, j) * T::B_PITCH +
               df_tile_i<T, T::BN, Source::B_ALONG_K>(t, j)] = b[j];
        __syncthreads();
        source.prepare(chunk + 2); /* over the table of this chunk, which everybody has fetched */
        if (chunk + 1 < chunks)
            source.fetch(chunk + 1, a, b);
#pragma unroll
        for (int k = 0; k < T::BK; k++) {
            float x[T::TM], y[T::TN];
            df_tile_load<T::BM, T::TM>(x, sa + k * T::A_PITCH, tm);
            df_tile_load<T::BN, T::TN>(y, sb + k * T::B_PITCH, tn);
#pragma unroll
            for (int i = 0; i < T::TM; i++)
#pragma unroll
                for (int j = 0; j < T::TN; j++) {
                    float &cell = FOLDED ? run[FOLDED ? i : 0][FOLDED ? j : 0] : sum[i][j];
                    cell = fmaf(x[i], y[j], cell);
                }
        }
        if constexpr (FOLDED) {
            if (sums_lines && t < T::BM)
                for (int k = 0; k < T::BK; k++)
                    line_run += sa[k * T::A_PITCH + t];
            if (source.folds(chunk)) {
#pragma unroll
                for (int i = 0; i < T::TM; i++)
#pragma unroll
                    for (int j = 0; j < T::TN; j++) {
                        sum[i][j] += run[i][j];
                        run[i][j] = 0;
                    }
                line_sum += line_run;
                line_run = 0;
            }
        }
    }
}

#endif
