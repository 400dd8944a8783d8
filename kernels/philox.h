/* SPDX-License-Identifier: Apache-2.0 */
/* Philox4x32-10 (Salmon et al. 2011, Random123) by (seed, stream, salt, index): no state, no order. */
#ifndef DF_KERNELS_PHILOX_H
#define DF_KERNELS_PHILOX_H

#include <Random123/philox.h>

#include "call.h"

/* Four 32-bit words. Key: the seed. Counter: index (64 bits), salt, stream. */
DF_FN void df_philox(uint32_t words[4], uint64_t seed, uint32_t stream, uint32_t salt, uint64_t index)
{
    philox4x32_ctr_t counter = {{(uint32_t)index, (uint32_t)(index >> 32), salt, stream}};
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t out = philox4x32(counter, key);
    for (int i = 0; i < 4; i++)
        words[i] = out.v[i];
}

/* Indices that df_philox_many computes side by side: on a CPU as many as make its loops vectors (up to 16,
 * gcc unrolls them into scalars instead), on a GPU one, which is a thread's. */
#if defined(__CUDACC__) || defined(DF_SIMT)
enum { DF_PHILOX_LANES = 1 };
#else
enum { DF_PHILOX_LANES = 32 };
#endif
enum { DF_PHILOX_WORDS = 4 * DF_PHILOX_LANES };

/* df_philox of `count` indices from `index` on, at most DF_PHILOX_LANES; words beyond 4 count are
 * unspecified. */
DF_FN void df_philox_many(uint32_t words[DF_PHILOX_WORDS], uint64_t seed, uint32_t stream, uint32_t salt,
                          uint64_t index, int64_t count)
{
    if (count < DF_PHILOX_LANES / 4) {
        for (int64_t l = 0; l < count; l++)
            df_philox(words + 4 * l, seed, stream, salt, index + (uint64_t)l);
        return;
    }
    uint32_t a[DF_PHILOX_LANES], b[DF_PHILOX_LANES], c[DF_PHILOX_LANES], d[DF_PHILOX_LANES];
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (uint32_t l = 0; l < DF_PHILOX_LANES; l++) {
        a[l] = (uint32_t)(index + l);
        b[l] = (uint32_t)((index + l) >> 32);
        c[l] = salt;
        d[l] = stream;
    }
    for (int round = 0; round < PHILOX4x32_DEFAULT_ROUNDS; round++) {
        for (int l = 0; l < DF_PHILOX_LANES; l++) {
            const uint64_t first = (uint64_t)PHILOX_M4x32_0 * a[l], second = (uint64_t)PHILOX_M4x32_1 * c[l];
            a[l] = (uint32_t)(second >> 32) ^ b[l] ^ key[0];
            b[l] = (uint32_t)second;
            c[l] = (uint32_t)(first >> 32) ^ d[l] ^ key[1];
            d[l] = (uint32_t)first;
        }
        key[0] += PHILOX_W32_0;
        key[1] += PHILOX_W32_1;
    }
    for (int l = 0; l < DF_PHILOX_LANES; l++) {
        words[4 * l] = a[l];
        words[4 * l + 1] = b[l];
        words[4 * l + 2] = c[l];
        words[4 * l + 3] = d[l];
    }
}

#endif
