/* SPDX-License-Identifier: Apache-2.0 */
/* Launcher that turns a convolution's weights on a GPU, so that its input gradient is a forward.
 *
 * Math     turned[c, o, t] = weight[o, c, taps - 1 - t]: input and output channels change places, and the
 *          window's taps, a row after the other, run backwards, which turns it half round.
 * Shapes   weight [out, in, taps], turned [in, out, taps]; float32, device memory, apart from each other.
 * Returns  a cudaError_t, 0 when the work was queued on `stream` (a cudaStream_t). */
#ifndef DF_KERNELS_TURN_H
#define DF_KERNELS_TURN_H

#include "call.h"

#ifdef __cplusplus
extern "C" {
#endif

struct df_turn {
    int64_t out, in, taps; /* each at least 1 */
};

int df_turn_weights(const struct df_turn *turn, float *turned, const float *weight, void *stream);

#ifdef __cplusplus
}
#endif

#endif
