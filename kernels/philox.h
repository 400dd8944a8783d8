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

#endif
