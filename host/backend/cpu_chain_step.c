/* SPDX-License-Identifier: Apache-2.0 */
/* Training of a chain, for AVX2, and for AVX-512 by cpu_chain_step_avx512.c. */
#include "backend/cpu_chain_forward.h"
#include "backend/cpu_chain_update.h"
#include "dropout.h"

#ifndef DF_CHAIN_KERNELS
#define DF_CHAIN_KERNELS df_chain_kernels_avx2
#endif

/* The words of a row are drawn in vectors of this instruction set. */
static void drop(const struct df_io *io)
{
    for (int64_t i = 0; i < io->rows; i++)
        df_dropout_at(io, i);
}

const struct df_chain_kernels DF_CHAIN_KERNELS = {
    .lanes = LANES,
    .drop = drop,
    .tiles = stack_tiles,
    .forward = chain_forward,
    .backward = chain_backward,
    .update = chain_update,
    .prepare = chain_prepare,
};
