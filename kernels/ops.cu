/* SPDX-License-Identifier: Apache-2.0 */
/* Every CELL and ITEM op of ops.def as a kernel: the functions that the CPU runs, walked by a GPU. BLOCK ops:
 * blocks.cu.
 *
 * Work     CELL: a thread takes every cell that is a multiple of the grid's threads after its first;
 *          neighbouring threads have neighbouring cells. ITEM: a warp is the team (team.h), one item a warp;
 *          few items get a block each, so that they spread over the device. Grids follow from the sizes
 *          alone.
 * Order    none between cells or items; inside an item, team.h.
 * Traffic  CELL: each operand's cells once, 4 bytes each and coalesced: bound by memory.
 * Traps    an item's warp may leave early, together: no barrier of the block in an op. */
#include "cuda_launch.h"
#include "launch.h"

#include "activations.h"
#include "centre.h"
#include "choice.h"
#include "deepfool.h"
#include "join.h"
#include "pad.h"
#include "planes.h"
#include "pointwise.h"
#include "prelu.h"
#include "projection.h"
#include "race.h"
#include "residency.h"
#include "rows.h"

enum { THREADS = 256, CELLS_A_THREAD = 4, FEW_CELLS = 1 << 18, FEW_ITEMS = 4096, MOST_BLOCKS = 1 << 30 };

/* One division a thread finds the first cell; the others follow by adding. */
#define KERNEL_CELL(name)                                                                                    \
    static __global__ void __launch_bounds__(THREADS) name##_kernel(const __grid_constant__ struct df_io io) \
    {                                                                                                        \
        const int64_t step = (int64_t)gridDim.x * THREADS, rows_on = step / io.cols,                         \
                      cols_on = step % io.cols;                                                              \
        const int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x;                                   \
        int64_t row = first / io.cols, col = first % io.cols;                                                \
        while (row < io.rows) {                                                                              \
            df_##name##_at(&io, row, col);                                                                   \
            row += rows_on;                                                                                  \
            col += cols_on;                                                                                  \
            if (col >= io.cols) {                                                                            \
                col -= io.cols;                                                                              \
                row++;                                                                                       \
            }                                                                                                \
        }                                                                                                    \
    }
#define KERNEL_ITEM(name)                                                                                    \
    static __global__ void __launch_bounds__(THREADS) name##_kernel(const __grid_constant__ struct df_io io) \
    {                                                                                                        \
        const int64_t warps = blockDim.x / DF_LANES, step = gridDim.x * warps;                               \
        for (int64_t i = blockIdx.x * warps + threadIdx.x / DF_LANES; i < io.rows; i += step)                \
            df_##name##_at(&io, i);                                                                          \
    }
#define KERNEL_LAYER(name)
#define KERNEL_BLOCK(name)
#define DF_OP(name, walk, ...) KERNEL_##walk(name)
#include "ops.def"

struct grid {
    unsigned blocks, threads;
};

static struct grid grid_of(int64_t count, unsigned threads, int a_block)
{
    const int64_t blocks = count > 0 ? (count + a_block - 1) / a_block : 0;
    return {(unsigned)(blocks < MOST_BLOCKS ? blocks : (int64_t)MOST_BLOCKS), threads};
}

#define LAUNCH_LAYER(name)
#define LAUNCH_BLOCK(name)                                                                                   \
    case DF_OP_##name:                                                                                       \
        return df_launch_block(op, io, stream);
#define LAUNCH_CELL(name) LAUNCH(name, cells)
#define LAUNCH_ITEM(name) LAUNCH(name, items)
#define LAUNCH(name, grid)                                                                                   \
    case DF_OP_##name:                                                                                       \
        if (grid.blocks == 0)                                                                                \
            return 0;                                                                                        \
        DF_LAUNCH(name##_kernel, grid.blocks, grid.threads, 0, stream, *io);                                 \
        return df_launched();

int df_launch(enum df_op op, const struct df_io *io, void *stream)
{
    const unsigned team = io->rows <= FEW_ITEMS ? (unsigned)DF_LANES : (unsigned)THREADS;
    const int64_t count = io->rows * io->cols; /* few cells get a thread each */
    const struct grid cells =
        grid_of(count, THREADS, THREADS * (count <= FEW_CELLS ? 1 : (int)CELLS_A_THREAD));
    const struct grid items = grid_of(io->rows, team, (int)team / DF_LANES);
    switch (op) {
#define DF_OP(name, walk, ...) LAUNCH_##walk(name)
#include "ops.def"
    default:
        return (int)cudaErrorInvalidValue;
    }
}
