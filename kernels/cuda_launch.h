/* SPDX-License-Identifier: Apache-2.0 */
/* What the .cu files share: the CUDA runtime and how a kernel is launched. The same files run on a CPU, too,
 * under the shim of tests/simt (DF_SIMT), whose cuda_runtime.h is then the one that is found. */
#ifndef DF_KERNELS_CUDA_LAUNCH_H
#define DF_KERNELS_CUDA_LAUNCH_H

#include <cuda_runtime.h>

#include "call.h"

/* DF_LAUNCH(kernel, blocks, threads, shared_bytes, stream, arguments...), the stream a void *; df_launched()
 * then says whether that went well. DF_SHARED(type, name): the shared_bytes of the launch as an array, inside
 * a kernel. */
#ifdef DF_SIMT
#define DF_LAUNCH(kernel, blocks, threads, shared_bytes, stream, ...)                                        \
    simt_launch(#kernel, kernel, blocks, threads, shared_bytes, (cudaStream_t)(stream), __VA_ARGS__)
#define DF_SHARED(type, name) type *const name = (type *)simt_dynamic_shared()
#else
#define DF_LAUNCH(kernel, blocks, threads, shared_bytes, stream, ...)                                        \
    kernel<<<blocks, threads, shared_bytes, (cudaStream_t)(stream)>>>(__VA_ARGS__)
#define DF_SHARED(type, name) extern __shared__ type name[]
#endif

/* The last launch's error, 0: none; taken off the runtime's record, so that the next call starts without
 * it. */
static inline int df_launched(void)
{
    return (int)cudaGetLastError();
}

#endif
