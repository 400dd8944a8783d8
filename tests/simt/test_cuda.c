/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA back end's own reasons to refuse, its copies, and the blocks that a library's engine gets, on the
 * shim. Calls of the runtime fail on command (the linker's --wrap); the libraries are made up (made_up.h). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support.h"
#include "backend/cuda.h"
#include "backend/object.h"
#include "base/memory.h"
#include "conv.h" /* kernels */
#include "made_up.h"
#include "turn.h" /* kernels */

/* ---- The runtime ----------------------------------------------------------------------------- */

static struct {
    cudaError_t count_error, wait_error, properties_error, graph_error, choice_error;
    int driver, count, major;
    int calls_left; /* of those that take something; -1: all go well */
    size_t most;    /* bytes of one cudaMalloc; 0: any */
} gpu;

static void gpu_reset(void)
{
    memset(&gpu, 0, sizeof gpu);
    gpu.driver = 13000;
    gpu.count = 1;
    gpu.major = 9;
    gpu.calls_left = -1;
}

static bool fails(void)
{
    return gpu.calls_left >= 0 && gpu.calls_left-- == 0;
}

#define REAL(result, name, ...)                                                                              \
    result __real_##name(__VA_ARGS__);                                                                       \
    result __wrap_##name(__VA_ARGS__);                                                                       \
    result __wrap_##name(__VA_ARGS__)

REAL(cudaError_t, cudaDriverGetVersion, int *version)
{
    *version = gpu.driver;
    return cudaSuccess;
}
REAL(cudaError_t, cudaGetDeviceCount, int *count)
{
    if (gpu.count_error != cudaSuccess)
        return gpu.count_error; /* and the count stays as it was, as CUDA's does */
    *count = gpu.count;
    return cudaSuccess;
}
REAL(cudaError_t, cudaGetDeviceProperties, struct cudaDeviceProp *properties, int index)
{
    if (gpu.properties_error != cudaSuccess)
        return gpu.properties_error;
    const cudaError_t error = __real_cudaGetDeviceProperties(properties, index);
    properties->major = gpu.major;
    properties->minor = 0;
    return error;
}
REAL(cudaError_t, cudaSetDevice, int index)
{
    return gpu.choice_error != cudaSuccess ? gpu.choice_error : __real_cudaSetDevice(index);
}
REAL(cudaError_t, cudaStreamCreateWithFlags, cudaStream_t *stream, unsigned flags)
{
    return fails() ? cudaErrorUnknown : __real_cudaStreamCreateWithFlags(stream, flags);
}
REAL(cudaError_t, cudaEventCreateWithFlags, cudaEvent_t *event, unsigned flags)
{
    return fails() ? cudaErrorUnknown : __real_cudaEventCreateWithFlags(event, flags);
}
REAL(cudaError_t, cudaMallocHost, void **memory, size_t bytes)
{
    return fails() ? cudaErrorMemoryAllocation : __real_cudaMallocHost(memory, bytes);
}
REAL(cudaError_t, cudaMalloc, void **memory, size_t bytes)
{
    if (fails() || (gpu.most > 0 && bytes > gpu.most))
        return cudaErrorMemoryAllocation;
    return __real_cudaMalloc(memory, bytes);
}
REAL(cudaError_t, cudaStreamSynchronize, cudaStream_t stream)
{
    const cudaError_t error = __real_cudaStreamSynchronize(stream);
    return gpu.wait_error != cudaSuccess ? gpu.wait_error : error;
}

REAL(cudaError_t, cudaGraphInstantiate, cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    return gpu.graph_error != cudaSuccess ? gpu.graph_error : __real_cudaGraphInstantiate(exec, graph, flags);
}

/* ---- The libraries --------------------------------------------------------------------------- */

dfal_status df_cudnn_open(struct df_cudnn **out, const struct df_cuda_device *device, char *version,
                          size_t version_size)
{
    (void)device;
    *out = NULL;
    snprintf(version, version_size, "one 1.2");
    return fails() ? df_fail(DFAL_E_UNAVAILABLE, "one is broken") : DFAL_OK;
}
void df_cudnn_close(struct df_cudnn *one)
{
    (void)one;
}
dfal_status df_cublas_open(struct df_cublas **out, const struct df_cuda_device *device, char *version,
                           size_t version_size)
{
    (void)device;
    *out = NULL;
    snprintf(version, version_size, "two 3.4");
    return fails() ? df_fail(DFAL_E_UNAVAILABLE, "two is broken") : DFAL_OK;
}
void df_cublas_close(struct df_cublas *two)
{
    (void)two;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static dfal_status open_device(struct df_device **out, const char *spec)
{
    const struct df_device_options options = {.spec = spec, .isa = "auto", .queues = 3};
    return df_backend_open(out, df_object_table(), "cuda", &options);
}

static struct df_device *opened(void)
{
    struct df_device *device = NULL;
    test_ok(open_device(&device, ""));
    return device;
}

static void refusals(void **state)
{
    static const struct {
        cudaError_t error;
        int driver, count, major;
        const char *spec, *says;
    } cases[] = {
        {cudaErrorInsufficientDriver, 0, 1, 9, "", "the CUDA back end is not available: no NVIDIA driver"},
        {cudaErrorInsufficientDriver, 12040, 1, 9, "", "knows CUDA up to 12.4, 13.0 is needed"},
        {cudaErrorNoDevice, 13000, 1, 9, "", "the NVIDIA driver shows no GPU"},
        {cudaSuccess, 13000, 0, 9, "", "the NVIDIA driver shows no GPU"},
        {cudaErrorUnknown, 13000, 1, 9, "", "the CUDA back end is not available: "},
        {cudaSuccess, 13000, 2, 9, "2", "there is no GPU 2: the NVIDIA driver shows 2, counted from 0"},
        {cudaSuccess, 13000, 1, 7, "0", "has compute capability 7.0, at least 8.0 is needed"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct df_device *device = (struct df_device *)&gpu;
        gpu_reset();
        gpu.count_error = cases[i].error;
        gpu.driver = cases[i].driver;
        gpu.count = cases[i].count;
        gpu.major = cases[i].major;
        test_error(open_device(&device, cases[i].spec), DFAL_E_UNAVAILABLE, cases[i].says);
        assert_null(device);
    }
    gpu_reset();
    gpu.properties_error = cudaErrorInvalidDevice;
    struct df_device *device = NULL;
    test_error(open_device(&device, ""), DFAL_E_UNAVAILABLE,
               "CUDA failed in asking for the GPU's properties");
}

/* Whatever fails on the way, nothing is left behind. */
static void half_open(void **state)
{
    (void)state;
    const int64_t live = df_alloc_live();
    dfal_status status = DFAL_E_MEMORY;
    int failed = 0;
    for (; status != DFAL_OK; failed++) {
        struct df_device *device = NULL;
        gpu_reset();
        gpu.calls_left = failed;
        status = open_device(&device, "");
        if (status == DFAL_OK)
            device->backend->device_close(device);
        assert_int_equal(df_alloc_live(), live);
    }
    assert_true(failed > 6);
}

static void identity(void **state)
{
    (void)state;
    gpu_reset();
    struct df_device *device = opened();
    assert_string_equal(device->info.backend, "cuda");
    assert_string_equal(device->info.isa, "sm_90");
    char isa[DF_ISA_TEXT];
    df_device_isa(isa, device);
    assert_string_equal(isa, "sm_90 (SIMT shim)");
    assert_string_equal(device->info.library, "CUDA 13.0, one 1.2, two 3.4");
    assert_true(device->wide);
    assert_int_equal(device->queue_count, 8);
    assert_true(device->backend->memory_free(device) > 0);
    device->backend->device_close(device);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void memory(void **state)
{
    (void)state;
    gpu_reset();
    struct df_device *device = opened();
    const int64_t live = df_alloc_live();
    struct df_span span;
    gpu.most = 1 << 20;
    test_error(df_buffer_new(device, &span, DF_TYPE_F64, 8 << 20), DFAL_E_MEMORY,
               "the GPU has no 64 MiB of memory: ");
    assert_null(span.buffer);
    assert_int_equal(df_alloc_live(), live);
    test_error(df_buffer_new(device, &span, DF_TYPE_REAL, -1), DFAL_E_INTERNAL, "0 or more");
    test_ok(df_buffer_new(device, &span, DF_TYPE_I32, 0)); /* valid, and nothing can be read from it */
    int32_t value = 0;
    test_ok(df_read(device, 0, &value, span, 0));
    test_error(df_read(device, 0, &value, span, 1), DFAL_E_INTERNAL, "do not lie in a buffer");
    test_error(df_read(device, 8, &value, span, 0), DFAL_E_INTERNAL, "queue 8 was used, expected 0 to 7");
    df_buffer_drop(device, &span);
    device->backend->device_close(device);
}

/* A queue takes its pinned memory when it first copies; where there is none, the next copy asks again. */
static void pinned(void **state)
{
    (void)state;
    gpu_reset();
    struct df_device *device = opened();
    struct df_span span;
    float in = 2.5F, out = 0;
    test_ok(df_buffer_new(device, &span, DF_TYPE_REAL, 1));
    for (int calls = 0; calls < 2; calls++) { /* an event, pinned memory */
        gpu.calls_left = calls;
        test_error(df_write(device, 7, span, &in, 1), calls == 0 ? DFAL_E_UNAVAILABLE : DFAL_E_MEMORY,
                   calls == 0 ? "CUDA failed in making an event" : "CUDA failed in taking pinned memory");
    }
    gpu.calls_left = -1;
    test_ok(df_write(device, 7, span, &in, 1));
    test_ok(df_read(device, 7, &out, span, 1));
    assert_true(out == in);
    gpu.calls_left = 0;
    test_ok(df_read(device, 7, &out, span, 1)); /* nothing more is taken */
    gpu.calls_left = -1;
    df_buffer_drop(device, &span);
    device->backend->device_close(device);
}

/* Copies longer than the staging memory, from odd places; new memory is zero. */
static void copies(void **state)
{
    enum { COUNT = 3000001, AT = 4097 };
    (void)state;
    gpu_reset();
    struct df_device *device = opened();
    struct df_span span;
    float *out = malloc(COUNT * sizeof *out), *in = malloc(COUNT * sizeof *in);
    double *wide = malloc(COUNT * sizeof *wide);
    assert_true(out != NULL && in != NULL && wide != NULL);
    test_ok(df_buffer_new(device, &span, DF_TYPE_REAL, COUNT + 2 * AT));
    test_ok(df_read(device, 0, in, span, COUNT));
    for (int64_t i = 0; i < COUNT; i++) {
        assert_true(in[i] == 0.0F);
        out[i] = (float)i * 0.5F;
    }
    test_ok(df_write(device, 0, df_at(span, AT), out, COUNT));
    test_ok(df_read(device, 0, in, df_at(span, AT), COUNT));
    test_ok(device->backend->read_f64(device, 0, wide, df_at(span, AT), COUNT));
    for (int64_t i = 0; i < COUNT; i++)
        assert_true(in[i] == out[i] && wide[i] == (double)out[i]);
    float around[2];
    test_ok(df_read(device, 0, &around[0], df_at(span, AT - 1), 1));
    test_ok(df_read(device, 0, &around[1], df_at(span, AT + COUNT), 1));
    assert_true(around[0] == 0.0F && around[1] == 0.0F);
    df_buffer_drop(device, &span);
    free(out);
    free(in);
    free(wide);
    device->backend->device_close(device);
}

/* What a kernel did wrong shows where the host waits, with the last op's name. */
static void failed_kernel(void **state)
{
    (void)state;
    gpu_reset();
    struct df_device *device = opened();
    struct df_span span;
    float value = 0;
    test_ok(df_buffer_new(device, &span, DF_TYPE_REAL, 8));
    struct df_call call = {.op = DF_OP_relu_fwd, .rows = 1, .cols = 8, .out = {span}, .in = {span}};
    test_ok(df_call_run(device, 0, &call));
    gpu.wait_error = cudaErrorIllegalAddress;
    test_error(device->backend->synchronize(device, 0), DFAL_E_UNAVAILABLE, "relu_fwd or an op before it: ");
    test_error(df_read(device, 0, &value, span, 1), DFAL_E_UNAVAILABLE, "CUDA failed in relu_fwd");
    gpu_reset();
    call.op = DF_OP_COUNT;
    test_error(df_call_run(device, 0, &call), DFAL_E_INTERNAL, "was called, expected 0 to");
    call.op = DF_OP_conv_fwd;
    test_error(df_call_run(device, 0, &call), DFAL_E_INTERNAL, "op conv_fwd was called without a layer");
    df_buffer_drop(device, &span);
    device->backend->device_close(device);
}

/* A library that does what a capture forbids, a graph that cannot be made, and an error of an earlier call
 * that shows when the recording ends: no recording, and the queue goes on. */
static void no_recording(void **state)
{
    (void)state;
    gpu_reset();
    struct df_device *device = opened();
    const struct df_backend *backend = device->backend;
    cudaStream_t stream = ((struct df_cuda_device *)device)->queues[2].stream;
    const int64_t live = df_alloc_live();
    struct df_span span;
    float value = -3;
    test_ok(df_buffer_new(device, &span, DF_TYPE_REAL, 8));
    const struct df_call call = {.op = DF_OP_relu_fwd, .rows = 1, .cols = 8, .out = {span}, .in = {span}};
    test_ok(df_call_run(device, 2, &call));
    for (int seen = 0; seen < 4; seen++) {
        struct df_recording *recording = (struct df_recording *)device;
        test_ok(backend->record_begin(device, 2));
        test_ok(df_call_run(device, 2, &call));
        if (seen < 2)
            assert_int_equal(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
        if (seen == 0) /* nobody has heard of it: the end says so */
            test_error(backend->record_end(device, 2, &recording), DFAL_E_UNAVAILABLE,
                       "CUDA failed in ending a recording: operation failed due to a previous error");
        if (seen == 1) {
            test_error(df_call_run(device, 2, &call), DFAL_E_UNAVAILABLE, "CUDA failed in relu_fwd: ");
            test_ok(backend->record_end(device, 2, &recording));
            assert_non_null(strstr(dfal_last_error(), "relu_fwd"));
        }
        gpu.graph_error = cudaErrorMemoryAllocation;
        if (seen == 2)
            test_error(backend->record_end(device, 2, &recording), DFAL_E_MEMORY,
                       "CUDA failed in preparing a recording: out of memory");
        gpu.graph_error = cudaSuccess;
        gpu.choice_error = cudaErrorIllegalAddress;
        if (seen == 3)
            test_error(backend->record_end(device, 2, &recording), DFAL_E_UNAVAILABLE,
                       "CUDA failed in choosing the GPU: ");
        gpu.choice_error = cudaSuccess;
        assert_null(recording);
        assert_int_equal(cudaPeekAtLastError(), cudaSuccess);
        test_ok(df_write(device, 2, span, &value, 1));
        test_ok(df_call_run(device, 2, &call));
        test_ok(df_read(device, 2, &value, span, 1));
        assert_true(value == 0.0F);
        value = -3;
    }
    /* What a recorded kernel did wrong is told with the recording's last op. */
    struct df_recording *recording = NULL;
    test_ok(backend->record_begin(device, 2));
    test_ok(df_call_run(device, 2, &call));
    test_ok(backend->record_end(device, 2, &recording));
    const struct df_call other = {.op = DF_OP_fill, .rows = 1, .cols = 8, .out = {span}};
    test_ok(df_call_run(device, 2, &other));
    test_ok(backend->record_run(device, 2, recording));
    gpu.wait_error = cudaErrorIllegalAddress;
    test_error(backend->synchronize(device, 2), DFAL_E_UNAVAILABLE, "relu_fwd or an op before it: ");
    gpu_reset();
    backend->record_destroy(device, recording);
    df_buffer_drop(device, &span);
    assert_int_equal(df_alloc_live(), live);
    backend->device_close(device);
}

/* ---- Blocks of a library's engine ------------------------------------------------------------ */

enum { MOST_ROWS = 11 };

struct rig {
    struct df_device *device;
    struct df_layer_desc desc;
    struct df_layer *layer;
    struct df_span weight, bias, x, y, dx, dy, dw, db;
    int64_t in, out, weights, biases;
};

/* Values that no row has in common, and no zeros. */
static void fill(struct df_device *device, struct df_span span, int64_t count, int32_t salt)
{
    float *values = calloc((size_t)count, sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)((i * 37 + salt) % 64 - 32) / 16.0F + 1.0F / 64.0F;
    test_ok(df_write(device, 0, span, values, count));
    free(values);
}

static void rig_open(struct rig *rig, struct df_device *device, const struct df_layer_desc *desc)
{
    *rig = (struct rig){.device = device,
                        .desc = *desc,
                        .in = df_shape_size(desc->in),
                        .out = df_shape_size(desc->out),
                        .weights = df_layer_weight_count(desc),
                        .biases = df_layer_bias_count(desc)};
    test_ok(df_buffer_new(device, &rig->weight, DF_TYPE_REAL, rig->weights));
    test_ok(df_buffer_new(device, &rig->bias, DF_TYPE_REAL, rig->biases));
    test_ok(df_buffer_new(device, &rig->x, DF_TYPE_REAL, MOST_ROWS * rig->in));
    test_ok(df_buffer_new(device, &rig->dx, DF_TYPE_REAL, MOST_ROWS * rig->in));
    test_ok(df_buffer_new(device, &rig->y, DF_TYPE_REAL, MOST_ROWS * rig->out));
    test_ok(df_buffer_new(device, &rig->dy, DF_TYPE_REAL, MOST_ROWS * rig->out));
    test_ok(df_buffer_new(device, &rig->dw, DF_TYPE_REAL, rig->weights));
    test_ok(df_buffer_new(device, &rig->db, DF_TYPE_REAL, rig->biases));
    fill(device, rig->weight, rig->weights, 1);
    fill(device, rig->bias, rig->biases, 2);
    fill(device, rig->x, MOST_ROWS * rig->in, 3);
    fill(device, rig->dy, MOST_ROWS * rig->out, 4);
    test_ok(device->backend->layer_create(device, &rig->layer, desc));
    test_ok(device->backend->layer_bind(device, 0, rig->layer, rig->weight, rig->bias));
    /* The layer has its own copy. */
    fill(device, rig->weight, rig->weights, 5);
}

static void rig_close(struct rig *rig)
{
    struct df_span *spans[] = {&rig->weight, &rig->bias, &rig->x,  &rig->y,
                               &rig->dx,     &rig->dy,   &rig->dw, &rig->db};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        df_buffer_drop(rig->device, spans[i]);
    rig->device->backend->layer_destroy(rig->device, rig->layer);
}

static float *run_kind(const struct rig *rig, enum df_layer_kind kind, int64_t rows, int64_t *count)
{
    static const enum df_op ops[2][3] = {{DF_OP_conv_fwd, DF_OP_conv_bwd, DF_OP_conv_wgrad},
                                         {DF_OP_gemm_fwd, DF_OP_gemm_bwd, DF_OP_gemm_wgrad}};
    struct df_call call = {.op = ops[rig->desc.is_gemm][kind], .rows = rows, .layer = rig->layer};
    const struct df_span outs[] = {rig->y, rig->dx, rig->dw};
    const int64_t counts[] = {MOST_ROWS * rig->out, MOST_ROWS * rig->in, rig->weights};
    float *values = calloc((size_t)(counts[kind] + rig->biases), sizeof *values);
    assert_non_null(values);
    call.out[0] = outs[kind];
    call.in[0] = kind == DF_LAYER_BACKWARD ? rig->dy : rig->x;
    if (kind == DF_LAYER_WEIGHT_GRADIENT) {
        call.out[1] = rig->db;
        call.in[1] = rig->dy;
    }
    fill(rig->device, outs[kind], counts[kind], 6); /* rows behind stay as they are */
    test_ok(df_call_run(rig->device, 0, &call));
    test_ok(df_read(rig->device, 0, values, outs[kind], counts[kind]));
    if (kind == DF_LAYER_WEIGHT_GRADIENT)
        test_ok(df_read(rig->device, 0, values + counts[kind], rig->db, rig->biases));
    *count = counts[kind] + (kind == DF_LAYER_WEIGHT_GRADIENT ? rig->biases : 0);
    return values;
}

/* The workspace of the run that is just over was foretold, and a run of fewer rows takes no other: it never
 * grows. */
static void check_scratch(const struct rig *rig, int kind, int64_t rows)
{
    struct df_cuda_queue *queue = &((struct df_cuda_device *)rig->device)->queues[0];
    const int64_t told = rig->device->backend->layer_scratch(rig->device, rig->layer, kind, rows);
    assert_int_equal(queue->workspace_bytes, told);
    if (kind != DF_LAYER_WEIGHT_GRADIENT && rows > 0)
        assert_int_equal(told, rig->device->backend->layer_scratch(rig->device, rig->layer, kind, 1));
    /* The next one takes its own. */
    test_ok(df_cuda_drop_workspace(queue));
}

static void check_blocks(struct df_device *device, const struct df_layer_desc *desc)
{
    static const char *const kinds[] = {"forward", "backward", "weight gradient"};
    struct rig by_library, by_own;
    library.refuses = false;
    library.runs = library.binds = 0;
    rig_open(&by_library, device, desc);
    assert_int_equal(library.runs, 3); /* each op is tried once */
    assert_int_equal(library.binds, 3 + 3);
    assert_string_equal(by_library.layer->fallback, "");
    library.refuses = true;
    rig_open(&by_own, device, desc);
    assert_non_null(
        strstr(by_own.layer->fallback, " does not run a forward: the library has no such engine"));
    for (int kind = 0; kind < 3; kind++) {
        char text[64], expected[64];
        (void)snprintf(expected, sizeof expected, "%s: algorithm %d",
                       desc->is_gemm ? "made up products" : "made up convolutions", 7 + kind);
        device->backend->layer_text(device, by_library.layer, kind, text, sizeof text);
        assert_string_equal(text, expected);
        device->backend->layer_text(device, by_own.layer, kind, text, sizeof text);
        assert_string_equal(text, "own kernels");
    }
    for (int kind = 0; kind < 3; kind++)
        for (int64_t rows = 0; rows <= MOST_ROWS; rows++) {
            int64_t count = 0;
            library.runs = library.padded = 0;
            float *found = run_kind(&by_library, (enum df_layer_kind)kind, rows, &count);
            check_scratch(&by_library, kind, rows);
            const int64_t blocks = (rows + ENGINE_ROWS - 1) / ENGINE_ROWS;
            assert_int_equal(library.runs, blocks);
            assert_int_equal(library.padded, blocks * ENGINE_ROWS - rows);
            float *expected = run_kind(&by_own, (enum df_layer_kind)kind, rows, &count);
            check_scratch(&by_own, kind, rows);
            assert_int_equal(library.runs, blocks);
            for (int64_t i = 0; i < count; i++) {
                /* A row's bits do not depend on its block; a sum over rows does. */
                const double difference = fabs((double)found[i] - (double)expected[i]);
                if (kind < 2 ? found[i] != expected[i] : !(difference <= 1e-4))
                    test_fail("%s of %lld rows: value %lld is %.9g in blocks, %.9g without", kinds[kind],
                              (long long)rows, (long long)i, (double)found[i], (double)expected[i]);
            }
            free(found);
            free(expected);
        }
    rig_close(&by_library);
    rig_close(&by_own);
}

/* An op that can be made and does not run is not relied on, and not tried again. */
static void trials(void **state)
{
    static const char *const kinds[] = {"forward", "backward", "weight gradient"};
    const struct df_layer_desc desc = {.is_gemm = true,
                                       .in = {40, 1, 1},
                                       .out = {33, 1, 1},
                                       .group = 1,
                                       .block_rows = 8,
                                       .forward = true,
                                       .backward = true,
                                       .weight_gradient = true};
    struct rig rig;
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        gpu_reset();
        struct df_device *device = opened();
        library.refuses = false;
        library.fails = kind;
        for (int time = 0; time < 2; time++) {
            char text[64], expected[128];
            library.runs = 0;
            rig_open(&rig, device, &desc);
            assert_int_equal(library.runs, time == 0 ? 2 : 0);
            for (int k = 0; k < 3; k++) {
                device->backend->layer_text(device, rig.layer, k, text, sizeof text);
                assert_true((strcmp(text, "own kernels") == 0) == (k == kind));
            }
            (void)snprintf(expected, sizeof expected,
                           "made up products does not run a %s: the made-up driver "
                           "does not know this engine",
                           kinds[kind]);
            assert_string_equal(rig.layer->fallback, expected);
            rig_close(&rig);
        }
        library.fails = -1;
        device->backend->device_close(device);
    }
    /* Where there is no memory to try it the library's op is taken: bits do not depend on memory. */
    gpu_reset();
    struct df_device *device = opened();
    library.runs = 0;
    gpu.most = 40 * 33 * sizeof(float) + 1024;
    rig_open(&rig, device, &desc);
    assert_int_equal(library.runs, 0);
    assert_string_equal(rig.layer->fallback, "");
    gpu.most = 0;
    rig_close(&rig);
    rig_open(&rig, device, &desc);
    assert_int_equal(library.runs, 3);
    rig_close(&rig);
    device->backend->device_close(device);
}

static void blocks(void **state)
{
    (void)state;
    const struct df_layer_desc gemm = {.is_gemm = true,
                                       .in = {40, 1, 1},
                                       .out = {33, 1, 1},
                                       .group = 1,
                                       .block_rows = 8,
                                       .forward = true,
                                       .backward = true,
                                       .weight_gradient = true};
    const struct df_layer_desc conv = {
        .in = {36, 4, 3},
        .out = {5, 4, 3},
        .window = {.kernel = {3, 3}, .stride = {1, 1}, .pad = {1, 1, 1, 1}, .dilation = {1, 1}},
        .group = 1,
        .block_rows = 8,
        .forward = true,
        .backward = true,
        .weight_gradient = true};
    gpu_reset();
    struct df_device *device = opened();
    check_blocks(device, &gemm);
    check_blocks(device, &conv);
    /* Narrow layers are not the libraries'. */
    struct df_layer_desc narrow = conv;
    struct df_layer *layer = NULL;
    narrow.in.c = 32;
    library.refuses = false;
    library.binds = 0;
    test_ok(device->backend->layer_create(device, &layer, &narrow));
    struct df_span weight;
    test_ok(df_buffer_new(device, &weight, DF_TYPE_REAL, df_layer_weight_count(&narrow)));
    test_ok(device->backend->layer_bind(device, 0, layer, weight, (struct df_span){NULL, 0}));
    assert_int_equal(library.binds, 0);
    device->backend->layer_destroy(device, layer);
    df_buffer_drop(device, &weight);
    /* An op that was not asked for has no engine. */
    narrow.backward = false;
    test_ok(device->backend->layer_create(device, &layer, &narrow));
    struct df_call call = {.op = DF_OP_conv_bwd, .rows = 1, .layer = layer};
    test_error(df_call_run(device, 0, &call), DFAL_E_INTERNAL,
               "op conv_bwd was called on a layer that was not made");
    device->backend->layer_destroy(device, layer);
    device->backend->device_close(device);
}

/* Half precision: a library that multiplies binary16, one that has only float32, and none, all from the same
 * operands. */
static void half_blocks(void **state)
{
    (void)state;
    static const struct df_layer_desc descs[] = {
        {.is_gemm = true,
         .in = {40, 1, 1},
         .out = {35, 1, 1},
         .group = 1,
         .block_rows = 8,
         .backward = true,
         .half_backward = true},
        {.in = {36, 9, 5},
         .out = {37, 5, 3},
         .window = {.kernel = {3, 2}, .stride = {2, 2}, .pad = {1, 1, 1, 1}, .dilation = {1, 1}},
         .group = 1,
         .block_rows = 8,
         .backward = true,
         .half_backward = true}};
    gpu_reset();
    struct df_device *device = opened();
    assert_true(device->half_backward);
    for (int d = 0; d < 2; d++)
        for (int64_t rows = 1; rows <= MOST_ROWS; rows += 5) {
            float *found[3];
            int64_t count = 0;
            for (int k = 0; k < 3; k++) {
                struct rig rig;
                library.refuses_half = k > 0;
                library.refuses = k > 1;
                rig_open(&rig, device, &descs[d]);
                library.runs = library.padded = 0;
                found[k] = run_kind(&rig, DF_LAYER_BACKWARD, rows, &count);
                const int64_t blocks = k > 1 ? 0 : (rows + ENGINE_ROWS - 1) / ENGINE_ROWS;
                assert_int_equal(library.runs, blocks);
                assert_int_equal(library.padded, k > 1 ? 0 : blocks * ENGINE_ROWS - rows);
                rig_close(&rig);
            }
            double largest = 0;
            for (int64_t i = 0; i < count; i++)
                largest = fmax(largest, fabs((double)found[2][i]));
            for (int64_t i = 0; i < count; i++) {
                const double by_half = (double)found[0][i], by_float = (double)found[1][i],
                             by_own = (double)found[2][i];
                /* A convolution's dx was rounded once more, to 11 bits. */
                const double rounding = descs[d].is_gemm ? 0 : 0x1p-11 * fabs(by_own);
                if (by_float != by_own || !(fabs(by_half - by_own) <= rounding + 1e-6 * largest))
                    test_fail("layer %d, %d rows, value %d: %.9g by binary16, %.9g by float32, %.9g by own "
                              "kernels",
                              d, (int)rows, (int)i, by_half, by_float, by_own);
            }
            for (int k = 0; k < 3; k++)
                free(found[k]);
        }
    library.refuses_half = library.refuses = false;
    device->backend->device_close(device);
}

/* The forward of dfal's own kernels over turned weights is the input gradient, as double has it. */
static void check_turned(const struct df_layer_desc *d)
{
    enum { ROWS = 3 };
    const int64_t in = df_shape_size(d->in), out = df_shape_size(d->out), weights = df_layer_weight_count(d);
    const int32_t *kernel = d->window.kernel, *pad = d->window.pad;
    const struct df_turn turn = {d->out.c, d->in.c, (int64_t)kernel[0] * kernel[1]};
    const struct df_conv_shape turned = {.in = {(int32_t)d->out.c, (int32_t)d->out.h, (int32_t)d->out.w},
                                         .out = {(int32_t)d->in.c, (int32_t)d->in.h, (int32_t)d->in.w},
                                         .window = {.kernel = {kernel[0], kernel[1]},
                                                    .stride = {1, 1},
                                                    .pad = {kernel[0] - 1 - pad[0], kernel[1] - 1 - pad[1],
                                                            kernel[0] - 1 - pad[2], kernel[1] - 1 - pad[3]},
                                                    .dilation = {1, 1}},
                                         .group = 1};
    float *memory = NULL; /* the shim's memory is the host's */
    assert_int_equal(cudaMalloc((void **)&memory, (size_t)(2 * weights + ROWS * (in + out)) * sizeof *memory),
                     0);
    float *weight = memory, *other = weight + weights, *dy = other + weights, *dx = dy + ROWS * out;
    double *exact = doubles(in), *row = doubles(out), *plain = doubles(weights);
    for (int64_t i = 0; i < weights; i++)
        plain[i] = (double)(weight[i] = (float)((i * 37 + 11) % 101) / 101 - 0.5F);
    for (int64_t i = 0; i < ROWS * out; i++)
        dy[i] = (float)((i * 53 + 7) % 97) / 97 - 0.5F;
    assert_int_equal(df_turn_weights(&turn, other, weight, NULL), 0);
    assert_int_equal(df_conv_forward(&turned, dx, dy, other, NULL, ROWS, NULL), 0);
    assert_int_equal(cudaStreamSynchronize(NULL), 0);
    for (int64_t r = 0; r < ROWS; r++) {
        for (int64_t i = 0; i < out; i++)
            row[i] = (double)dy[r * out + i];
        reference_gradient(d, exact, row, plain);
        for (int64_t i = 0; i < in; i++)
            if (!(fabs((double)dx[r * in + i] - exact[i]) <= 1e-5))
                test_fail("row %d, value %d: %.9g, expected %.9g", (int)r, (int)i, (double)dx[r * in + i],
                          exact[i]);
    }
    free(exact);
    free(row);
    free(plain);
    assert_int_equal(cudaFree(memory), 0);
}

static void turned_weights(void **state)
{
    static const struct df_layer_desc descs[] = {
        {.in = {36, 5, 7},
         .out = {41, 5, 7},
         .window = {.kernel = {3, 3}, .stride = {1, 1}, .pad = {1, 1, 1, 1}, .dilation = {1, 1}},
         .group = 1},
        {.in = {5, 9, 6},
         .out = {3, 7, 4},
         .window = {.kernel = {4, 5}, .stride = {1, 1}, .pad = {0, 2, 1, 1}, .dilation = {1, 1}},
         .group = 1}};
    (void)state;
    gpu_reset();
    for (int d = 0; d < 2; d++)
        check_turned(&descs[d]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),      cmocka_unit_test(half_open),    cmocka_unit_test(identity),
        cmocka_unit_test(memory),        cmocka_unit_test(pinned),       cmocka_unit_test(copies),
        cmocka_unit_test(failed_kernel), cmocka_unit_test(no_recording), cmocka_unit_test(blocks),
        cmocka_unit_test(trials),        cmocka_unit_test(half_blocks),  cmocka_unit_test(turned_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
