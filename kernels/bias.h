/* SPDX-License-Identifier: Apache-2.0 */
/* Launcher of the bias' gradient on a GPU: db[c] = sum of dy[row, c, at] over rows and the plane's values.
 *
 * Shapes   db [channels], dy [rows, channels, plane]; float32, device memory; rows and plane at least 1.
 * Order    DF_BIAS_LANES partial sums over every DF_BIAS_LANES-th value, then pairs of them: from the shape
 *          and the rows alone.
 * Returns  a cudaError_t, 0 when the work was queued on `stream` (a cudaStream_t). */
#ifndef DF_KERNELS_BIAS_H
#define DF_KERNELS_BIAS_H

#include "call.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DF_BIAS_LANES = 256 };

int df_bias_gradient(float *db, const float *dy, int64_t rows, int64_t channels, int64_t plane, void *stream);

#ifdef __cplusplus
}
#endif

#endif
