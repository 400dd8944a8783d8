/* SPDX-License-Identifier: Apache-2.0 */
#include "support_cudnn.h"

/* What cudaDeviceGetAttribute and cudaGetDeviceProperties say, under the names that
 * CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION has for them. Limits: the table of compute capabilities in
 * NVIDIA's CUDA programming guide (8.0, 9.0); multiprocessors, caches, memory and clocks: NVIDIA's white
 * papers and data sheets of the A100 SXM 80 GB and the H200 SXM. Neither was read from a device. */
#define GPU(name, version, multiprocessors, shared, cache, memory, clock, memory_clock)                      \
    "{\"deviceName\":\"" name "\",\"deviceVer\":" #version ",\"multiProcessorCount\":" #multiprocessors      \
    ",\"maxSharedMemoryPerBlockOptin\":" #shared ",\"l2CacheSize\":" #cache ",\"totalGlobalMem\":" #memory   \
    ",\"smClockRateKHz\":" #clock ",\"memClockRateKHz\":" #memory_clock                                      \
    ",\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,"      \
    "\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,\"reservedSharedMemoryPerBlock\":1024,"               \
    "\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,"  \
    "\"pciDeviceId\":0,\"isTccDriver\":0,\"supportCoopLaunch\":1,\"cudaDeviceId\":0,\"driverVer\":13000}"

const struct test_gpu test_gpus[TEST_GPUS] = {
    [TEST_SM_80] = {"sm_80", GPU("A100", 800, 108, 166912, 41943040, 85899345920, 1410000, 1593000)},
    [TEST_SM_90] = {"sm_90", GPU("H200", 900, 132, 232448, 62914560, 151397597184, 1980000, 3201000)},
};

struct df_layer_desc test_convolution(const struct test_shape *s)
{
    const int32_t out = (s->h + 2 * s->pad - s->kernel) / s->stride + 1;
    return (struct df_layer_desc){.in = {s->c, s->h, s->h},
                                  .out = {s->o, out, out},
                                  .window = {.kernel = {s->kernel, s->kernel},
                                             .stride = {s->stride, s->stride},
                                             .pad = {s->pad, s->pad, s->pad, s->pad},
                                             .dilation = {1, 1}},
                                  .group = s->group};
}
