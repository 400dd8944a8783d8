/* SPDX-License-Identifier: Apache-2.0 */
/* The bias' gradient (bias.h).
 *
 * Work     a block a channel; thread t sums the values t, t + 256, ... of the channel's planes joined over
 *          the rows.
 * Traffic  dy once: 4 bytes a value, bound by memory. A product's planes have one value, so its threads read
 * far apart;
 *          its dy is small. */
#include "bias.h"
#include "cuda_launch.h"

__global__ void sum_channel(float *db, const float *dy, int64_t rows, int64_t channels, int64_t plane)
{
    __shared__ float part[DF_BIAS_LANES];
    const int64_t count = rows * plane, channel = blockIdx.x;
    float sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += DF_BIAS_LANES)
        sum += dy[(i / plane * channels + channel) * plane + i % plane];
    part[threadIdx.x] = sum;
    for (unsigned half = DF_BIAS_LANES / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            part[threadIdx.x] += part[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        db[channel] = part[0];
}

extern "C" int df_bias_gradient(float *db, const float *dy, int64_t rows, int64_t channels, int64_t plane,
                                void *stream)
{
    DF_LAUNCH(sum_channel, (unsigned)channels, DF_BIAS_LANES, 0, stream, db, dy, rows, channels, plane);
    return df_launched();
}
