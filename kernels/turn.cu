/* SPDX-License-Identifier: Apache-2.0 */
/* Turned weights (turn.h).
 *
 * Work     a thread a value of the result, so that a warp writes 128 bytes in one piece.
 * Traffic  4 bytes written and 4 read a value. What a warp reads lies in pieces of one window each: of a 3x3
 *          one 36 bytes, and the pieces' neighbours are found in the cache, which holds any layer's weights.
 *          It runs once when parameters are bound. */
#include "cuda_launch.h"
#include "turn.h"

enum { THREADS = 256, MOST_BLOCKS = 4096 };

__global__ void turn_weights(float *turned, const float *weight, int64_t out, int64_t in, int64_t taps)
{
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < out * in * taps;
         i += (int64_t)gridDim.x * THREADS) {
        const int64_t tap = i % taps, o = i / taps % out, c = i / taps / out;
        turned[i] = weight[(o * in + c) * taps + taps - 1 - tap];
    }
}

extern "C" int df_turn_weights(const struct df_turn *turn, float *turned, const float *weight, void *stream)
{
    const int64_t blocks = (turn->out * turn->in * turn->taps + THREADS - 1) / THREADS;
    DF_LAUNCH(turn_weights, (unsigned)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS), THREADS, 0, stream,
              turned, weight, turn->out, turn->in, turn->taps);
    return df_launched();
}
