/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA back end: device, memory, queues, and ops that are one kernel (kernels/launch.h). A queue is a
 * stream; calls are queued and return at once, so an error of a kernel shows in a later call: in that of the
 * next read at the latest. Then every call of the device fails. */
#include "backend/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/object.h"
#include "base/memory.h"
#include "launch.h" /* kernels */

#define UNAVAILABLE "the CUDA back end is not available: "

/* Streams: a round's restarts side by side, copies beside what is computed. Beside its stream a queue that
 * nobody uses costs nothing, but for the staging of the first ones. */
enum { QUEUES = 8 };

/* Bytes of a staging buffer: a copy is cut into such pieces. Pinned memory takes up to a millisecond or two,
 * so the first queues, which every score uses, have theirs before anything is timed. */
enum { STAGING = 4 << 20, STAGED_QUEUES = 2 };

enum { LEAST_MAJOR = 8 }; /* compute capability */

/* ---- The device ------------------------------------------------------------------------------ */

/* cudaGetDeviceCount leaves the count alone when it fails, and gives one error for no driver and for an old
 * one. */
static dfal_status find_gpu(int *index, const char *spec)
{
    int driver = 0, count = 0;
    (void)cudaDriverGetVersion(&driver);
    const cudaError_t error = cudaGetDeviceCount(&count);
    (void)cudaGetLastError();
    if (error == cudaErrorInsufficientDriver && driver == 0)
        DF_FAIL(DFAL_E_UNAVAILABLE, UNAVAILABLE "no NVIDIA driver");
    if (error == cudaErrorInsufficientDriver)
        DF_FAIL(DFAL_E_UNAVAILABLE, UNAVAILABLE "the NVIDIA driver knows CUDA up to %d.%d, %d.%d is needed",
                driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
        DF_FAIL(DFAL_E_UNAVAILABLE, UNAVAILABLE "the NVIDIA driver shows no GPU");
    if (error != cudaSuccess)
        DF_FAIL(DFAL_E_UNAVAILABLE, UNAVAILABLE "%s", cudaGetErrorString(error));
    *index = atoi(spec);
    if (*index >= count)
        DF_FAIL(DFAL_E_UNAVAILABLE,
                UNAVAILABLE "there is no GPU %d: the NVIDIA driver shows %d, counted from 0", *index, count);
    return DFAL_OK;
}

static dfal_status describe(struct df_cuda_device *device)
{
    struct df_device_info *info = &device->head.info;
    struct cudaDeviceProp properties;
    DF_CUDA(cudaGetDeviceProperties(&properties, device->index), "asking for the GPU's properties");
    if (properties.major < LEAST_MAJOR)
        DF_FAIL(DFAL_E_UNAVAILABLE,
                UNAVAILABLE "GPU %d, %s, has compute capability %d.%d, at least %d.0 is needed",
                device->index, properties.name, properties.major, properties.minor, LEAST_MAJOR);
    device->shared_most = (int32_t)properties.sharedMemPerBlockOptin;
    device->multiprocessors = properties.multiProcessorCount;
    snprintf(info->backend, sizeof info->backend, "cuda");
    snprintf(info->isa, sizeof info->isa, "sm_%d%d", properties.major, properties.minor);
    snprintf(info->device, sizeof info->device, "%.95s", properties.name);
    snprintf(info->library, sizeof info->library, "CUDA %d.%d", CUDART_VERSION / 1000,
             CUDART_VERSION % 1000 / 10);
    return DFAL_OK;
}

static dfal_status open_libraries(struct df_cuda_device *device)
{
#ifdef DFAL_CUDA_LIBRARIES
    struct df_device_info *info = &device->head.info;
    char cudnn[32], cublas[32];
    DF_TRY(df_cudnn_open(&device->cudnn, device, cudnn, sizeof cudnn));
    DF_TRY(df_cublas_open(&device->cublas, device, cublas, sizeof cublas));
    const size_t used = strlen(info->library);
    snprintf(info->library + used, sizeof info->library - used, ", %s, %s", cudnn, cublas);
#else
    (void)device;
#endif
    return DFAL_OK;
}

static dfal_status open_queue(struct df_cuda_queue *queue)
{
    queue->last = DF_OP_COUNT;
    return df_cuda_status(cudaStreamCreateWithFlags(&queue->stream, cudaStreamNonBlocking),
                          "making a stream");
}

static dfal_status make_staging(struct df_cuda_queue *queue, int i)
{
    if (queue->taken[i] == NULL)
        DF_CUDA(cudaEventCreateWithFlags(&queue->taken[i], cudaEventDisableTiming), "making an event");
    if (queue->staging[i] == NULL)
        DF_CUDA(cudaMallocHost((void **)&queue->staging[i], STAGING), "taking pinned memory");
    return DFAL_OK;
}

static void close_queue(struct df_cuda_queue *queue)
{
    if (queue->stream != NULL)
        (void)cudaStreamSynchronize(queue->stream);
    for (int i = 0; i < 2; i++) {
        if (queue->taken[i] != NULL)
            (void)cudaEventDestroy(queue->taken[i]);
        if (queue->staging[i] != NULL)
            (void)cudaFreeHost(queue->staging[i]);
    }
    if (queue->workspace != NULL)
        (void)cudaFree(queue->workspace);
    if (queue->stream != NULL)
        (void)cudaStreamDestroy(queue->stream);
}

static void device_close(struct df_device *head)
{
    struct df_cuda_device *device = (struct df_cuda_device *)head;
    (void)cudaSetDevice(device->index);
#ifdef DFAL_CUDA_LIBRARIES
    /* A handle holds its queue's stream. */
    for (int32_t i = 0; device->queues != NULL && i < head->queue_count; i++)
        if (device->queues[i].stream != NULL)
            (void)cudaStreamSynchronize(device->queues[i].stream);
    df_cudnn_close(device->cudnn);
    df_cublas_close(device->cublas);
#endif
    for (int32_t i = 0; device->queues != NULL && i < head->queue_count; i++)
        close_queue(&device->queues[i]);
    if (device->clearing != NULL)
        (void)cudaStreamDestroy(device->clearing);
    (void)cudaGetLastError();
    df_cuda_forget_trials(device);
    df_lock_end(&device->trying);
    df_free(device->queues);
    df_free(device);
}

static dfal_status device_open(struct df_device **out, const struct df_device_options *options)
{
    int index = 0;
    struct df_cuda_device *device = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(find_gpu(&index, options->spec));
    DF_TRY(df_alloc(&device, 1, sizeof *device));
    device->index = index;
    device->head.place = index;
    device->head.queue_count = QUEUES;
    device->head.real_bytes = sizeof(float);
    device->head.own_memory = true;
    device->head.wide = true; /* one stream with many rows a call fills a GPU */
    device->head.half_backward = true;
    device->head.split = true;
    df_lock_begin(&device->trying);
    DF_TRY_TO(done, status, describe(device));
    DF_TRY_TO(done, status, df_cuda_use(device));
    DF_TRY_TO(done, status, df_alloc(&device->queues, device->head.queue_count, sizeof *device->queues));
    for (int32_t i = 0; i < device->head.queue_count; i++)
        DF_TRY_TO(done, status, open_queue(&device->queues[i]));
    for (int32_t i = 0; i < 2 * STAGED_QUEUES; i++)
        DF_TRY_TO(done, status, make_staging(&device->queues[i / 2], i % 2));
    DF_TRY_TO(done, status,
              df_cuda_status(cudaStreamCreateWithFlags(&device->clearing, cudaStreamNonBlocking),
                             "making a stream"));
    DF_TRY_TO(done, status, open_libraries(device));
    *out = &device->head;
done:
    if (status != DFAL_OK)
        device_close(&device->head);
    return status;
}

static int32_t device_count(struct df_device *head)
{
    int count = 0;
    (void)head;
    if (cudaGetDeviceCount(&count) != cudaSuccess)
        (void)cudaGetLastError();
    return count;
}

static int64_t memory_free(struct df_device *head)
{
    const struct df_cuda_device *device = (const struct df_cuda_device *)head;
    size_t free = 0, total = 0;
    if (cudaSetDevice(device->index) != cudaSuccess || cudaMemGetInfo(&free, &total) != cudaSuccess)
        (void)cudaGetLastError();
    return (int64_t)free;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static dfal_status buffer_create(struct df_device *head, struct df_buffer **out, enum df_type type,
                                 int64_t count)
{
    const struct df_cuda_device *device = (const struct df_cuda_device *)head;
    struct df_buffer *buffer = NULL;
    dfal_status status;
    *out = NULL;
    if (count < 0)
        DF_FAIL(DFAL_E_INTERNAL, "a buffer of %lld elements was asked for, expected 0 or more",
                (long long)count);
    DF_TRY(df_cuda_not_recording("take memory"));
    DF_TRY(df_cuda_use(device));
    DF_TRY(df_alloc(&buffer, 1, sizeof *buffer));
    buffer->type = type;
    buffer->count = count;
    const size_t bytes = (size_t)count * df_type_size(type);
    cudaStream_t stream = device->clearing;
    DF_TRY_TO(done, status, df_cuda_memory(&buffer->data, (int64_t)bytes));
    DF_TRY_TO(done, status,
              df_cuda_status(cudaMemsetAsync(buffer->data, 0, bytes, stream), "clearing memory"));
    DF_TRY_TO(done, status, df_cuda_status(cudaStreamSynchronize(stream), "clearing memory"));
    *out = buffer;
    return DFAL_OK;
done:
    (void)cudaFree(buffer->data);
    df_free(buffer);
    return status;
}

static void buffer_destroy(struct df_device *head, struct df_buffer *buffer)
{
    const struct df_cuda_device *device = (const struct df_cuda_device *)head;
    if (buffer == NULL)
        return;
    /* Waits for what still uses it. */
    (void)cudaSetDevice(device->index);
    (void)cudaFree(buffer->data);
    (void)cudaGetLastError();
    df_free(buffer);
}

/* Errors of kernels queued before come out where the host waits. */
static dfal_status wait_for(const struct df_cuda_queue *queue)
{
    const cudaError_t error = cudaStreamSynchronize(queue->stream);
    if (error == cudaSuccess)
        return DFAL_OK;
    char what[64];
    snprintf(what, sizeof what, "%s or an op before it",
             queue->last < DF_OP_COUNT ? df_op_info[queue->last].name : "a copy");
    return df_cuda_status(error, what);
}

/* Staging memory that the device is done with. */
static dfal_status staging_of(char **out, struct df_cuda_queue *queue, int *which)
{
    const int i = queue->next;
    DF_TRY(make_staging(queue, i));
    *which = i;
    *out = queue->staging[i];
    queue->next = !i;
    return df_cuda_status(cudaEventSynchronize(queue->taken[i]), "waiting for a copy");
}

static dfal_status write_span(struct df_device *head, int32_t index, struct df_span to, const void *from,
                              int64_t count)
{
    struct df_cuda_queue *queue = NULL;
    DF_TRY(df_cuda_not_recording("be written"));
    DF_TRY(df_span_check(to, count, "write"));
    DF_TRY(df_cuda_queue_of(&queue, head, index));
    size_t left = (size_t)count * df_type_size(to.buffer->type);
    const char *source = from;
    char *target = df_cuda_data(to), *staging = NULL;
    while (left > 0) {
        const size_t bytes = left < STAGING ? left : STAGING;
        int which = 0;
        DF_TRY(staging_of(&staging, queue, &which));
        memcpy(staging, source, bytes);
        DF_CUDA(cudaMemcpyAsync(target, staging, bytes, cudaMemcpyHostToDevice, queue->stream),
                "writing to the GPU");
        DF_CUDA(cudaEventRecord(queue->taken[which], queue->stream), "writing to the GPU");
        source += bytes;
        target += bytes;
        left -= bytes;
    }
    return DFAL_OK;
}

static void store_bytes(void *to, const char *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

static void store_doubles(void *to, const char *from, size_t bytes)
{
    double *values = to;
    for (size_t i = 0; i < bytes / sizeof(float); i++) {
        float value;
        memcpy(&value, from + i * sizeof value, sizeof value);
        values[i] = (double)value;
    }
}

/* store puts `bytes` of device data to where they belong, `step` host bytes a device byte. */
static dfal_status read_by(struct df_device *head, int32_t index, void *to, struct df_span from,
                           int64_t count, size_t step, void (*store)(void *, const char *, size_t))
{
    struct df_cuda_queue *queue = NULL;
    DF_TRY(df_cuda_not_recording("be read"));
    DF_TRY(df_span_check(from, count, "read"));
    DF_TRY(df_cuda_queue_of(&queue, head, index));
    size_t left = (size_t)count * df_type_size(from.buffer->type);
    const char *source = df_cuda_data(from);
    char *target = to, *staging = NULL;
    if (left == 0)
        return wait_for(queue);
    while (left > 0) {
        const size_t bytes = left < STAGING ? left : STAGING;
        int which = 0;
        DF_TRY(staging_of(&staging, queue, &which));
        DF_CUDA(cudaMemcpyAsync(staging, source, bytes, cudaMemcpyDeviceToHost, queue->stream),
                "reading from the GPU");
        DF_TRY(wait_for(queue));
        store(target, staging, bytes);
        source += bytes;
        target += bytes * step;
        left -= bytes;
    }
    return DFAL_OK;
}

static dfal_status read_span(struct df_device *head, int32_t index, void *to, struct df_span from,
                             int64_t count)
{
    return read_by(head, index, to, from, count, 1, store_bytes);
}

static dfal_status read_span_f64(struct df_device *head, int32_t index, double *to, struct df_span from,
                                 int64_t count)
{
    return read_by(head, index, to, from, count, sizeof(double) / sizeof(float), store_doubles);
}

/* ---- Ops ------------------------------------------------------------------------------------- */

static dfal_status run_op(struct df_device *head, int32_t index, const struct df_call *call)
{
    struct df_cuda_queue *queue = NULL;
    DF_TRY(df_cuda_queue_of(&queue, head, index));
    if ((unsigned)call->op >= DF_OP_COUNT)
        DF_FAIL(DFAL_E_INTERNAL, "op %d was called, expected 0 to %d", (int)call->op, (int)DF_OP_COUNT - 1);
    queue->last = call->op;
    struct df_io io = {.rows = call->rows, .cols = call->cols, .p = call->p};
    for (int k = 0; k < DF_MAX_OUT; k++)
        io.out[k] = df_cuda_data(call->out[k]);
    for (int k = 0; k < DF_MAX_IN; k++)
        io.in[k] = df_cuda_data(call->in[k]);
    if (df_op_info[call->op].walk == DF_WALK_LAYER) {
        float *const outs[2] = {io.out[0], io.out[1]};
        const float *const ins[2] = {io.in[0], io.in[1]};
        if (call->layer == NULL)
            DF_FAIL(DFAL_E_INTERNAL, "op %s was called without a layer", df_op_info[call->op].name);
        return df_cuda_layer_run((struct df_cuda_device *)head, index, call->op, call->layer, outs, ins,
                                 call->rows);
    }
    return df_cuda_status((cudaError_t)df_launch(call->op, &io, queue->stream), df_op_info[call->op].name);
}

static dfal_status run(struct df_device *device, int32_t queue, const struct df_call *call)
{
    return df_cuda_recorded(run_op(device, queue, call));
}

static dfal_status layer_bind(struct df_device *device, int32_t queue, struct df_layer *layer,
                              struct df_span weight, struct df_span bias)
{
    return df_cuda_recorded(df_cuda_layer_bind(device, queue, layer, weight, bias));
}

static dfal_status fused_bind(struct df_device *device, int32_t queue, struct df_fused *fused,
                              struct df_span parameters)
{
    return df_cuda_recorded(df_cuda_fused_bind(device, queue, fused, parameters));
}

static dfal_status fused_run(struct df_device *device, int32_t queue, const struct df_fused_call *call)
{
    return df_cuda_recorded(df_cuda_fused_run(device, queue, call));
}

static dfal_status synchronize(struct df_device *head, int32_t index)
{
    struct df_cuda_queue *queue = NULL;
    DF_TRY(df_cuda_not_recording("be waited for"));
    DF_TRY(df_cuda_queue_of(&queue, head, index));
    return wait_for(queue);
}

const struct df_backend *df_object_table(void)
{
    static const struct df_backend table = {
        .abi = DF_BACKEND_ABI,
        .name = "cuda",
        .device_open = device_open,
        .device_close = device_close,
        .device_count = device_count,
        .memory_free = memory_free,
        .buffer_create = buffer_create,
        .buffer_destroy = buffer_destroy,
        .write = write_span,
        .read = read_span,
        .read_f64 = read_span_f64,
        .layer_create = df_cuda_layer_create,
        .layer_destroy = df_cuda_layer_destroy,
        .layer_bind = layer_bind,
        .layer_text = df_cuda_layer_text,
        .layer_scratch = df_cuda_layer_scratch,
        .run = run,
        .fused_create = df_cuda_fused_create,
        .fused_destroy = df_cuda_fused_destroy,
        .fused_bind = fused_bind,
        .fused_run = fused_run,
        .record_begin = df_cuda_record_begin,
        .record_end = df_cuda_record_end,
        .record_run = df_cuda_record_run,
        .record_destroy = df_cuda_record_destroy,
#ifdef DFAL_NCCL
        .link_text = df_cuda_link_text,
        .link_id = df_cuda_link_id,
        .link_open = df_cuda_link_open,
        .link_close = df_cuda_link_close,
        .link_broadcast = df_cuda_link_broadcast,
#endif
        .synchronize = synchronize,
    };
    return &table;
}
