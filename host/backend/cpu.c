/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu back end: op table, memory and queues. A queue is the memory of one worker thread; every call runs
 * on the caller's thread alone. This file is compiled for plain x86-64: it finds out whether the rest may
 * run. */
#include <stdio.h>
#include <string.h>

#include "backend/cpu.h"
#include "base/memory.h"
#include "base/word.h"

static void *span_data(struct df_span span)
{
    if (span.buffer == NULL)
        return NULL;
    return (char *)span.buffer->data + (size_t)span.offset * df_type_size(span.buffer->type);
}

static bool has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/* The model as the kernel names it. */
static void read_cpu_model(char *text, size_t size)
{
    char line[512];
    snprintf(text, size, "x86-64");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(text, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
        break;
    }
    fclose(file);
}

static dfal_status choose_isa(enum df_cpu_isa *isa, const char *name)
{
    if (!has_avx2())
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "the cpu back end needs a CPU with AVX2, FMA and BMI2, and this one lacks them");
    if (name == NULL || strcmp(name, "auto") == 0) {
        *isa = has_avx512() ? DF_CPU_AVX512 : DF_CPU_AVX2;
        return DFAL_OK;
    }
    if (strcmp(name, "avx2") == 0) {
        *isa = DF_CPU_AVX2;
        return DFAL_OK;
    }
    DF_TRY(df_word(NULL, "ISA", name, DFAL_ISAS));
    if (!has_avx512())
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "instruction set avx512 was asked for and this CPU lacks AVX-512 F, BW, DQ and VL; "
                "auto or avx2 will do");
    *isa = DF_CPU_AVX512;
    return DFAL_OK;
}

static void device_close(struct df_device *head)
{
    struct df_cpu_device *device = (struct df_cpu_device *)head;
    if (device == NULL)
        return;
    for (int32_t i = 0; device->queues != NULL && i < device->head.queue_count; i++)
        df_free(device->queues[i].scratch);
    df_free(device->queues);
    df_onednn_close(device->onednn);
    df_free(device);
}

static dfal_status device_open(struct df_device **out, const struct df_device_options *options)
{
    struct df_cpu_device *device = NULL;
    enum df_cpu_isa isa = DF_CPU_AVX2;
    dfal_status status = DFAL_OK;
    *out = NULL;
    if (options->spec != NULL && options->spec[0] != '\0')
        DF_FAIL(DFAL_E_USAGE, "back end 'cpu:%s' is unknown, expected 'cpu' without an index", options->spec);
    DF_TRY(choose_isa(&isa, options->isa));
    DF_TRY(df_alloc(&device, 1, sizeof *device));
    device->head.queue_count = options->queues > 0 ? options->queues : 1;
    device->head.real_bytes = sizeof(float);
    device->isa = isa;
    device->kernels = isa == DF_CPU_AVX512 ? &df_cpu_kernels_avx512 : &df_cpu_kernels_avx2;
    snprintf(device->head.info.backend, sizeof device->head.info.backend, "cpu");
    snprintf(device->head.info.isa, sizeof device->head.info.isa, "%s",
             isa == DF_CPU_AVX512 ? "avx512" : "avx2");
    read_cpu_model(device->head.info.device, sizeof device->head.info.device);
    DF_TRY_TO(done, status, df_alloc(&device->queues, device->head.queue_count, sizeof *device->queues));
    DF_TRY_TO(done, status,
              df_onednn_open(&device->onednn, isa, device->head.queue_count, device->head.info.library,
                             sizeof device->head.info.library));
    *out = &device->head;
done:
    if (status != DFAL_OK)
        device_close(&device->head);
    return status;
}

static dfal_status buffer_create(struct df_device *device, struct df_buffer **out, enum df_type type,
                                 int64_t count)
{
    struct df_buffer *buffer = NULL;
    dfal_status status = DFAL_OK;
    (void)device;
    *out = NULL;
    if (count < 0)
        DF_FAIL(DFAL_E_INTERNAL, "a buffer of %lld elements was asked for, expected 0 or more",
                (long long)count);
    DF_TRY(df_alloc(&buffer, 1, sizeof *buffer));
    buffer->type = type;
    buffer->count = count;
    status = df_alloc(&buffer->data, count, df_type_size(type));
    if (status != DFAL_OK) {
        df_free(buffer);
        return status;
    }
    *out = buffer;
    return DFAL_OK;
}

static void buffer_destroy(struct df_device *device, struct df_buffer *buffer)
{
    (void)device;
    if (buffer == NULL)
        return;
    df_free(buffer->data);
    df_free(buffer);
}

static dfal_status write_span(struct df_device *device, int32_t queue, struct df_span to, const void *from,
                              int64_t count)
{
    (void)device;
    (void)queue;
    DF_TRY(df_span_check(to, count, "write"));
    if (count > 0)
        memcpy(span_data(to), from, (size_t)count * df_type_size(to.buffer->type));
    return DFAL_OK;
}

static dfal_status read_span(struct df_device *device, int32_t queue, void *to, struct df_span from,
                             int64_t count)
{
    (void)device;
    (void)queue;
    DF_TRY(df_span_check(from, count, "read"));
    if (count > 0)
        memcpy(to, span_data(from), (size_t)count * df_type_size(from.buffer->type));
    return DFAL_OK;
}

static dfal_status read_span_f64(struct df_device *device, int32_t queue, double *to, struct df_span from,
                                 int64_t count)
{
    (void)device;
    (void)queue;
    DF_TRY(df_span_check(from, count, "read"));
    const float *data = span_data(from);
    for (int64_t i = 0; i < count; i++)
        to[i] = (double)data[i];
    return DFAL_OK;
}

static dfal_status run(struct df_device *head, int32_t queue, const struct df_call *call)
{
    struct df_cpu_device *device = (struct df_cpu_device *)head;
    struct df_io io = {.rows = call->rows, .cols = call->cols, .p = call->p};
    for (int k = 0; k < DF_MAX_OUT; k++)
        io.out[k] = span_data(call->out[k]);
    for (int k = 0; k < DF_MAX_IN; k++)
        io.in[k] = span_data(call->in[k]);
    if (call->layer != NULL) {
        float *const outs[2] = {io.out[0], io.out[1]};
        const float *const ins[2] = {io.in[0], io.in[1]};
        return df_cpu_layer_run(device, queue, call->op, call->layer, outs, ins, call->rows);
    }
    df_cpu_cell_fn *cell = (unsigned)call->op < DF_OP_COUNT ? df_cpu_cells[call->op] : NULL;
    if (cell == NULL)
        DF_FAIL(DFAL_E_INTERNAL, "op %d was called without a layer", (int)call->op);
    cell(&io);
    return DFAL_OK;
}

static dfal_status synchronize(struct df_device *device, int32_t queue)
{
    (void)device;
    (void)queue;
    return DFAL_OK;
}

const struct df_backend df_backend_cpu = {
    .abi = DF_BACKEND_ABI,
    .name = "cpu",
    .device_open = device_open,
    .device_close = device_close,
    .buffer_create = buffer_create,
    .buffer_destroy = buffer_destroy,
    .write = write_span,
    .read = read_span,
    .read_f64 = read_span_f64,
    .layer_create = df_cpu_layer_create,
    .layer_destroy = df_cpu_layer_destroy,
    .layer_bind = df_cpu_layer_bind,
    .layer_scratch = df_cpu_layer_scratch,
    .layer_text = df_cpu_layer_text,
    .fused_create = df_cpu_fused_create,
    .fused_destroy = df_cpu_fused_destroy,
    .fused_bind = df_cpu_fused_bind,
    .fused_run = df_cpu_fused_run,
    .fused_scratch = df_cpu_fused_scratch,
    .chain_create = df_cpu_chain_create,
    .chain_destroy = df_cpu_chain_destroy,
    .chain_load = df_cpu_chain_load,
    .chain_store = df_cpu_chain_store,
    .chain_run = df_cpu_chain_run,
    .run = run,
    .synchronize = synchronize,
};
