/* SPDX-License-Identifier: Apache-2.0 */
/* Drivers of the CELL, ITEM and BLOCK ops, generated from ops.def over the functions in kernels/. The cells
 * of a row are independent: vectorising them moves no bit. Compiled for AVX2 alone: memory is what most wait
 * for, and the short rows of small planes (max-pool: four to six times) are faster in short vectors. */
#include <string.h>

#include "activations.h"
#include "backend/cpu.h"
#include "batch.h"
#include "centre.h"
#include "choice.h"
#include "deepfool.h"
#include "dropout.h"
#include "join.h"
#include "norm.h"
#include "pad.h"
#include "planes.h"
#include "pointwise.h"
#include "prelu.h"
#include "projection.h"
#include "race.h"
#include "residency.h"
#include "rows.h"

/* relu_bwd and its like with the owner looked up: cotangent row `row` then reads "its own" row. Left to the
 * cell, the compiler keeps the look-up in the loop and does not vectorise it. */
static inline struct df_io resolve_owner(const struct df_io *io, int64_t row)
{
    struct df_io line = *io;
    if (io->in[2] != NULL)
        line.in[1] = (const float *)io->in[1] + (((const int32_t *)io->in[2])[row] - row) * io->cols;
    line.in[2] = NULL;
    return line;
}

/* The arguments are copied: no store of a cell can then change them, as far as the compiler knows. */
#define DRIVER_CELL(name, ins)                                                                               \
    static void run_##name(const struct df_io *given)                                                        \
    {                                                                                                        \
        const struct df_io io = *given;                                                                      \
        for (int64_t row = 0; row < io.rows; row++) {                                                        \
            const struct df_io line = strstr(ins, " owner") != NULL ? resolve_owner(&io, row) : io;          \
            _Pragma("omp simd") for (int64_t col = 0; col < io.cols; col++) df_##name##_at(&line, row, col); \
        }                                                                                                    \
    }
#define DRIVER_ITEM(name, ins)                                                                               \
    static void run_##name(const struct df_io *given)                                                        \
    {                                                                                                        \
        const struct df_io io = *given;                                                                      \
        for (int64_t i = 0; i < io.rows; i++)                                                                \
            df_##name##_at(&io, i);                                                                          \
    }
#define DRIVER_BLOCK(name, ins) DRIVER_ITEM(name, ins)
#define DRIVER_LAYER(name, ins)
#define IN(name, ...)                                " " #name
#define OPT_IN(name, ...)                            IN(name)
#define DF_OP(name, walk, class_, params, outs, ins) DRIVER_##walk(name, "" ins)
#include "ops.def"
#undef IN
#undef OPT_IN

#define ENTRY_CELL(name)  [DF_OP_##name] = run_##name,
#define ENTRY_ITEM(name)  [DF_OP_##name] = run_##name,
#define ENTRY_BLOCK(name) ENTRY_ITEM(name)
#define ENTRY_LAYER(name)
df_cpu_cell_fn *const df_cpu_cells[DF_OP_COUNT] = {
#define DF_OP(name, walk, ...) ENTRY_##walk(name)
#include "ops.def"
};
