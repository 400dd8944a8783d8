/* SPDX-License-Identifier: Apache-2.0 */
/* What every file of the CUDA back end asks of the device: errors, memory, queues, addresses. */
#include "backend/cuda.h"

static const double mebi = 1048576.0;

dfal_status df_cuda_status(cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return DFAL_OK;
    (void)cudaGetLastError();
    return df_fail(error == cudaErrorMemoryAllocation ? DFAL_E_MEMORY : DFAL_E_UNAVAILABLE,
                   "CUDA failed in %s: %s", what, cudaGetErrorString(error));
}

dfal_status df_cuda_use(const struct df_cuda_device *device)
{
    return df_cuda_status(cudaSetDevice(device->index), "choosing the GPU");
}

dfal_status df_cuda_queue_of(struct df_cuda_queue **out, struct df_device *head, int32_t queue)
{
    struct df_cuda_device *device = (struct df_cuda_device *)head;
    if (queue < 0 || queue >= head->queue_count)
        DF_FAIL(DFAL_E_INTERNAL, "queue %d was used, expected 0 to %d", queue, head->queue_count - 1);
    *out = &device->queues[queue];
    return df_cuda_use(device);
}

dfal_status df_cuda_memory(void **out, int64_t bytes)
{
    size_t free = 0, total = 0;
    *out = NULL;
    const cudaError_t error = cudaMalloc(out, bytes > 0 ? (size_t)bytes : 1);
    if (error != cudaErrorMemoryAllocation)
        return df_cuda_status(error, "taking memory");
    (void)cudaGetLastError();
    (void)cudaMemGetInfo(&free, &total);
    DF_FAIL(DFAL_E_MEMORY, "the GPU has no %.0f MiB of memory: %.0f of %.0f MiB are free",
            (double)bytes / mebi, (double)free / mebi, (double)total / mebi);
}

void *df_cuda_data(struct df_span span)
{
    if (span.buffer == NULL)
        return NULL;
    return (char *)span.buffer->data + (size_t)span.offset * df_type_size(span.buffer->type);
}
