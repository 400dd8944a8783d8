/* SPDX-License-Identifier: Apache-2.0 */
/* The BLOCK ops of ops.def as kernels: the functions that the CPU runs, an item a block.
 *
 * Work     a block of DF_BLOCK_TEAM threads an item; neighbouring threads have neighbouring values of a plane
 *          or a row.
 * Order    team.h: from the item's size alone.
 * Traffic  batch normalisation reads x three times (dy and x twice) and writes once, 4 bytes a value: bound
 *          by memory, the later passes by the L2 cache where a channel fits in there. */
#define DF_TEAM_IS_BLOCK
#include "cuda_launch.h"
#include "launch.h"

#include "batch.h"
#include "dropout.h"
#include "norm.h"
#include "prelu.h"

#define KERNEL_BLOCK(name)                                                                                   \
    static __global__ void __launch_bounds__(DF_BLOCK_TEAM)                                                  \
        name##_kernel(const __grid_constant__ struct df_io io)                                               \
    {                                                                                                        \
        for (int64_t i = blockIdx.x; i < io.rows; i += gridDim.x)                                            \
            df_##name##_at(&io, i);                                                                          \
    }
#define KERNEL_LAYER(name)
#define KERNEL_CELL(name)
#define KERNEL_ITEM(name)
#define DF_OP(name, walk, ...) KERNEL_##walk(name)
#include "ops.def"

#define LAUNCH_LAYER(name)
#define LAUNCH_CELL(name)
#define LAUNCH_ITEM(name)
#define LAUNCH_BLOCK(name)                                                                                   \
    case DF_OP_##name:                                                                                       \
        DF_LAUNCH(name##_kernel, blocks, DF_BLOCK_TEAM, 0, stream, *io);                                     \
        return df_launched();

extern "C" int df_launch_block(enum df_op op, const struct df_io *io, void *stream)
{
    const int64_t most = 1 << 30;
    const unsigned blocks = (unsigned)(io->rows < most ? io->rows : most);
    if (io->rows <= 0)
        return 0;
    switch (op) {
#define DF_OP(name, walk, ...) LAUNCH_##walk(name)
#include "ops.def"
    default:
        return (int)cudaErrorInvalidValue;
    }
}
