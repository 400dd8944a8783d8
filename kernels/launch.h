/* SPDX-License-Identifier: Apache-2.0 */
/* Launchers of the CELL and ITEM ops of ops.def on a GPU. For C and C++. */
#ifndef DF_KERNELS_LAUNCH_H
#define DF_KERNELS_LAUNCH_H

#include "call.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Queue an op on a stream (a cudaStream_t; NULL: the device's default one). io holds device pointers and is
 * copied. Returns a cudaError_t, 0: queued. rows or cells 0: nothing is queued. A LAYER op is
 * cudaErrorInvalidValue. */
int df_launch(enum df_op op, const struct df_io *io, void *stream);
/* blocks.cu: df_launch's BLOCK ops; any other op is cudaErrorInvalidValue. */
int df_launch_block(enum df_op op, const struct df_io *io, void *stream);

#ifdef __cplusplus
}
#endif

#endif
