/* SPDX-License-Identifier: Apache-2.0 */
/* Every op of ops.def as a kernel: nvcc compiles the functions that the CPU runs. Nothing is launched. */
#include "deepfool.h"
#include "join.h"
#include "pad.h"
#include "planes.h"
#include "pointwise.h"
#include "residency.h"
#include "rows.h"

#define KERNEL(name, count, call)                                                                            \
    __global__ void kernel_##name(struct df_io io)                                                           \
    {                                                                                                        \
        const int64_t step = (int64_t)gridDim.x * blockDim.x;                                                \
        for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += step)             \
            call;                                                                                            \
    }
#define KERNEL_LAYER(n)
#define KERNEL_CELL(n)                       KERNEL(n, io.rows *io.cols, df_##n##_at(&io, i / io.cols, i % io.cols))
#define KERNEL_ITEM(n)                       KERNEL(n, io.rows, df_##n##_at(&io, i))
#define DF_OP(name, walk, class_, outs, ins) KERNEL_##walk(name)
#include "ops.def"
