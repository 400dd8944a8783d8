/* SPDX-License-Identifier: Apache-2.0 */
/* Turned weights (turn.h).
 *
 * Work     a thread a value of the result, so that a warp writes 128 bytes in one piece.
 * Traffic  4 bytes written and 4 read a value. What a warp reads lies in pieces of one window each: of a 3x3
 *          one 36 bytes, and the pieces' neighbours are found in the cache, which holds any layer's weights.
 *          It runs once when parameters are bound. */
#include "cuda_launch.h"
#include "turn.h"

enum { THREADS = 256 };

__global__ void turn_weights(float *turned, const float *weight, int64_t out, int64_t in, int64_t taps)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    const int64_t tap = i % taps, o = i / taps % out, c = i / taps / out;
    if (c < in)
        turned[i] = weight[(o * in + c) * taps + taps - 1 - tap];
}

extern "C" int df_turn_weights(const struct df_turn *turn, float *turned, const float *weight, void *stream)
{
    const int64_t count = turn->out * turn->in * turn->taps;
    DF_LAUNCH(turn_weights, (unsigned)((count + THREADS - 1) / THREADS), THREADS, 0, stream, turned, weight,
              turn->out, turn->in, turn->taps);
    return df_launched();
}
