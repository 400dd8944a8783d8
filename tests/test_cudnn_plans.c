/* SPDX-License-Identifier: Apache-2.0 */
/* Does cuDNN offer a plain float32 engine for the convolutions of the networks people bring? Asked without a
 * GPU: a plan is made from a text of properties, on sm_80 and sm_90, for all three ops. What is chosen is
 * printed. Then the engine runs with cuDNN's handle and its last call replaced (linked with --wrap): which
 * memory does it name for which tensor? The backward in half precision is asked for the layers that are not
 * narrow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cuda.h"
#include "backend/cuda_plan.h"
#include "support.h"
#include "turn.h" /* kernels */

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

static const struct gpu {
    const char *name, *json;
} gpus[] = {
    {"sm_80", GPU("A100", 800, 108, 166912, 41943040, 85899345920, 1410000, 1593000)},
    {"sm_90", GPU("H200", 900, 132, 232448, 62914560, 151397597184, 1980000, 3201000)},
};

/* A convolution from c x h x h to o channels. */
struct shape {
    const char *network;
    int32_t c, h, o, kernel, stride, pad, group;
};

static const struct shape shapes[] = {
    {"lenet5", 1, 28, 6, 5, 1, 0, 1},
    {"lenet5", 6, 12, 16, 5, 1, 0, 1},
    {"lenet5", 16, 4, 120, 1, 1, 0, 1},
    {"lenet5-caffe", 20, 12, 50, 5, 1, 0, 1},
    {"vgg8", 1, 28, 64, 3, 1, 1, 1},
    {"vgg8", 64, 14, 128, 3, 1, 1, 1},
    {"vgg8", 128, 7, 256, 3, 1, 1, 1},
    {"vgg8", 256, 7, 256, 3, 1, 1, 1},
    {"vgg8", 256, 3, 512, 3, 1, 1, 1},
    {"vgg8", 512, 3, 512, 3, 1, 1, 1},
    {"resnet18 32x32", 3, 32, 64, 3, 1, 1, 1},
    {"resnet18 32x32", 64, 32, 64, 3, 1, 1, 1},
    {"resnet18 32x32", 64, 32, 128, 3, 2, 1, 1},
    {"resnet18 32x32", 64, 32, 128, 1, 2, 0, 1},
    {"resnet18 32x32", 128, 16, 128, 3, 1, 1, 1},
    {"resnet18 32x32", 128, 16, 256, 3, 2, 1, 1},
    {"resnet18 32x32", 128, 16, 256, 1, 2, 0, 1},
    {"resnet18 32x32", 256, 8, 256, 3, 1, 1, 1},
    {"resnet18 32x32", 256, 8, 512, 3, 2, 1, 1},
    {"resnet18 32x32", 256, 8, 512, 1, 2, 0, 1},
    {"resnet18 32x32", 512, 4, 512, 3, 1, 1, 1},
    {"resnet18 224x224", 3, 224, 64, 7, 2, 3, 1},
    {"resnet18 224x224", 64, 56, 64, 3, 1, 1, 1},
    {"resnet18 224x224", 64, 56, 128, 3, 2, 1, 1},
    {"resnet18 224x224", 64, 56, 128, 1, 2, 0, 1},
    {"resnet18 224x224", 128, 28, 128, 3, 1, 1, 1},
    {"resnet18 224x224", 128, 28, 256, 3, 2, 1, 1},
    {"resnet18 224x224", 256, 14, 256, 3, 1, 1, 1},
    {"resnet18 224x224", 256, 14, 512, 3, 2, 1, 1},
    {"resnet18 224x224", 512, 7, 512, 3, 1, 1, 1},
    {"mobilenetv2", 32, 112, 32, 3, 1, 1, 32},
    {"mobilenetv2", 96, 112, 96, 3, 2, 1, 96},
    {"mobilenetv2", 144, 56, 144, 3, 1, 1, 144},
    {"mobilenetv2", 576, 14, 576, 3, 2, 1, 576},
    {"mobilenetv2", 960, 7, 960, 3, 1, 1, 960},
    {"mobilenetv2", 96, 56, 24, 1, 1, 0, 1},
    {"mobilenetv2", 160, 7, 960, 1, 1, 0, 1},
    {"mobilenetv2", 320, 7, 1280, 1, 1, 0, 1},
    {"resnext", 128, 56, 128, 3, 1, 1, 32},
};

static const char *const kinds[] = {"forward", "backward", "weight gradient"};

static struct df_layer_desc describe(const struct shape *s)
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

/* 64 rows, fewer where planes are large, as a network's plan has it. */
static int64_t rows_of(const struct shape *s)
{
    int64_t rows = 64, size = (int64_t)(s->c > s->o ? s->c : s->o) * s->h * s->h;
    while (rows > 8 && rows * size > INT64_C(8) << 20)
        rows /= 2;
    return rows;
}

static void open_gpu(cudnnBackendDescriptor_t *properties, const struct gpu *gpu)
{
    test_ok(df_cudnn_properties(properties, NULL, gpu->json));
}

static void every_network_has_engines(void **state)
{
    (void)state;
    for (size_t g = 0; g < sizeof gpus / sizeof *gpus; g++) {
        cudnnBackendDescriptor_t properties;
        open_gpu(&properties, &gpus[g]);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            const struct shape *s = &shapes[i];
            const struct df_layer_desc desc = describe(s);
            for (int kind = 0; kind < 3; kind++) {
                struct df_cudnn_plan plan, again;
                test_ok(df_cudnn_plan_create(&plan, properties, &desc, (enum df_layer_kind)kind, rows_of(s)));
                test_ok(
                    df_cudnn_plan_create(&again, properties, &desc, (enum df_layer_kind)kind, rows_of(s)));
                printf("%s %-16s %4dx%dx%d to %d, %dx%d/%d, groups %d, %s: %s\n", gpus[g].name, s->network,
                       s->c, s->h, s->h, s->o, s->kernel, s->kernel, s->stride, s->group, kinds[kind],
                       plan.text);
                assert_string_equal(plan.text, again.text);
                assert_true((int64_t)plan.workspace <=
                            df_cudnn_workspace_limit(&desc, (enum df_layer_kind)kind, rows_of(s)));
                df_cudnn_plan_clear(&plan);
                df_cudnn_plan_clear(&again);
            }
        }
        (void)cudnnBackendDestroyDescriptor(properties);
    }
}

/* Channels of every kind: of whole vectors, even, odd. */
static const struct shape uneven[] = {
    {"even", 36, 14, 50, 3, 1, 1, 1},
    {"odd", 33, 14, 35, 3, 1, 1, 1},
    {"odd, stride 2", 35, 13, 64, 3, 2, 1, 1},
    {"two groups", 128, 14, 128, 3, 1, 1, 2},
};

static void check_half_backward(cudnnBackendDescriptor_t properties, const char *gpu, const struct shape *s)
{
    struct df_cudnn_plan plan, again;
    struct df_layer_desc desc = describe(s);
    desc.half_backward = true;
    if (df_layer_is_narrow(&desc))
        return;
    test_ok(df_cudnn_plan_create(&plan, properties, &desc, DF_LAYER_BACKWARD, rows_of(s)));
    test_ok(df_cudnn_plan_create(&again, properties, &desc, DF_LAYER_BACKWARD, rows_of(s)));
    printf("%s %-16s %4dx%dx%d to %d, %dx%d/%d, groups %d, backward in half: %s\n", gpu, s->network, s->c,
           s->h, s->h, s->o, s->kernel, s->kernel, s->stride, s->group, plan.text);
    assert_string_equal(plan.text, again.text);
    assert_true((int64_t)plan.workspace <= df_cudnn_workspace_limit(&desc, DF_LAYER_BACKWARD, rows_of(s)));
    /* Channels last is what the kernels read: nothing is turned in a workspace. */
    if (s->c % 8 == 0 && s->o % 8 == 0 && s->group == 1)
        assert_true(plan.workspace < 1 << 20);
    df_cudnn_plan_clear(&plan);
    df_cudnn_plan_clear(&again);
    /* The other ops stay as they are. */
    for (int kind = 0; kind < 3; kind += 2) {
        desc.half_backward = true;
        test_ok(df_cudnn_plan_create(&plan, properties, &desc, (enum df_layer_kind)kind, rows_of(s)));
        desc.half_backward = false;
        test_ok(df_cudnn_plan_create(&again, properties, &desc, (enum df_layer_kind)kind, rows_of(s)));
        assert_string_equal(plan.text, again.text);
        df_cudnn_plan_clear(&plan);
        df_cudnn_plan_clear(&again);
    }
}

static void half_backwards_have_engines(void **state)
{
    (void)state;
    for (size_t g = 0; g < sizeof gpus / sizeof *gpus; g++) {
        cudnnBackendDescriptor_t properties;
        open_gpu(&properties, &gpus[g]);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check_half_backward(properties, gpus[g].name, &shapes[i]);
        for (size_t i = 0; i < sizeof uneven / sizeof *uneven; i++)
            check_half_backward(properties, gpus[g].name, &uneven[i]);
        (void)cudnnBackendDestroyDescriptor(properties);
    }
}

/* What cuDNN cannot do is said in one sentence, and a layer takes dfal's own kernels. */
static void odd_geometry(void **state)
{
    static const struct df_window windows[] = {
        {{3, 3}, {2, 2}, {0, 0, 1, 1}, {1, 1}}, /* padded at the bottom and right, as TensorFlow does */
        {{3, 3}, {1, 1}, {2, 2, 2, 2}, {2, 2}},
        {{1, 7}, {1, 1}, {0, 3, 0, 3}, {1, 1}},
    };
    (void)state;
    for (size_t g = 0; g < sizeof gpus / sizeof *gpus; g++) {
        cudnnBackendDescriptor_t properties;
        open_gpu(&properties, &gpus[g]);
        for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
            const struct df_window *w = &windows[i];
            int64_t out[2];
            for (int a = 0; a < 2; a++)
                out[a] = (32 + w->pad[a] + w->pad[a + 2] - (w->kernel[a] - 1) * w->dilation[a] - 1) /
                             w->stride[a] +
                         1;
            const struct df_layer_desc desc = {
                .in = {64, 32, 32}, .out = {64, out[0], out[1]}, .window = *w, .group = 1};
            for (int kind = 0; kind < 3; kind++) {
                struct df_cudnn_plan plan;
                test_ok(df_cudnn_plan_create(&plan, properties, &desc, (enum df_layer_kind)kind, 64));
                printf("%s window %zu, %s: %s\n", gpus[g].name, i, kinds[kind], plan.text);
                df_cudnn_plan_clear(&plan);
            }
        }
        (void)cudnnBackendDestroyDescriptor(properties);
    }
}

static void errors_are_sentences(void **state)
{
    cudnnBackendDescriptor_t properties;
    struct df_layer_desc desc = describe(&shapes[5]);
    struct df_cudnn_plan plan;
    (void)state;
    test_error(df_cudnn_properties(&properties, NULL, "{}"), DFAL_E_INTERNAL, "cuDNN: ");
    open_gpu(&properties, &gpus[0]);
    desc.out.h++;
    test_error(df_cudnn_plan_create(&plan, properties, &desc, DF_LAYER_FORWARD, 64), DFAL_E_INTERNAL,
               "cuDNN: ");
    assert_null(plan.plan);
    (void)cudnnBackendDestroyDescriptor(properties);
}

/* ---- The engine, on a made-up GPU ------------------------------------------------------------ */

cudnnStatus_t __wrap_cudnnCreate(cudnnHandle_t *handle);
cudnnStatus_t __wrap_cudnnDestroy(cudnnHandle_t handle);
cudnnStatus_t __wrap_cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream);
cudnnStatus_t __wrap_cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t count,
                                              const void *values);
cudnnStatus_t __real_cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t count,
                                              const void *values);
cudnnStatus_t __wrap_cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                         cudnnBackendDescriptor_t pack);

cudaError_t cudaFree(void *memory)
{
    (void)memory;
    return cudaSuccess;
}
dfal_status df_cuda_memory(void **out, int64_t bytes)
{
    (void)out, (void)bytes; return DFAL_OK;
}
dfal_status df_cuda_status(cudaError_t error, const char *what)
{
    (void)error, (void)what; return DFAL_OK;
}
int df_turn_weights(const struct df_turn *turn, float *turned, const float *weight, void *stream)
{
(void)turn,(void)turned,(void)weight,(void)stream;return 0;
}

enum { QUEUES = 2 };
static char handles[QUEUES];
static int handle_count;
static struct {
    cudnnHandle_t handle;
    cudaStream_t stream;
    int64_t uids[8], count;
    const void *pointers[8], *workspace;
} seen;

cudnnStatus_t __wrap_cudnnCreate(cudnnHandle_t *handle)
{
    *handle = (cudnnHandle_t)(void *)&handles[handle_count++];
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t __wrap_cudnnDestroy(cudnnHandle_t handle)
{
    (void)handle;
    handle_count--;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t __wrap_cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    seen.handle = handle;
    seen.stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

/* The GPU of a handle is sm_90's text. What a variant pack is told is kept. */
cudnnStatus_t __wrap_cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t count,
                                              const void *values)
{
    if (name == CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS) {
        seen.count = count;
        memcpy(seen.uids, values, (size_t)count * sizeof *seen.uids);
    }
    if (name == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS) {
        assert_int_equal(count, seen.count);
        memcpy(seen.pointers, values, (size_t)count * sizeof *seen.pointers);
    }
    if (name == CUDNN_ATTR_VARIANT_PACK_WORKSPACE)
        memcpy(&seen.workspace, values, sizeof seen.workspace);
    if (name == CUDNN_ATTR_DEVICEPROP_HANDLE)
        return __real_cudnnBackendSetAttribute(descriptor, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                               CUDNN_TYPE_CHAR, (int64_t)strlen(gpus[1].json) + 1,
                                               gpus[1].json);
    return __real_cudnnBackendSetAttribute(descriptor, name, type, count, values);
}

cudnnStatus_t __wrap_cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                         cudnnBackendDescriptor_t pack)
{
    assert_ptr_equal(handle, seen.handle);
    assert_non_null(plan);
    assert_non_null(pack);
    return CUDNN_STATUS_SUCCESS;
}

/* What the last run gave for a tensor; NULL: it did not name it. */
static const void *given(int64_t uid)
{
    for (int64_t i = 0; i < seen.count; i++)
        if (seen.uids[i] == uid)
            return seen.pointers[i];
    return NULL;
}

static void tensors_are_named(void **state)
{
    static float x[1], y[1], weight[1], bias[1], workspace[1];
    struct df_cuda_device device = {.head = {.queue_count = QUEUES}};
    struct df_layer_desc desc = describe(&shapes[5]);
    char version[96];
    (void)state;
    desc.block_rows = 64;
    test_ok(df_cudnn_open(&device.cudnn, &device, version, sizeof version));
    assert_memory_equal(version, "cuDNN 9.", 8);
    for (int kind = 0; kind < 3; kind++) {
        struct df_cuda_op *op;
        struct df_cuda_run run = {
            .rows = 64, .queue = 1, .workspace = workspace, .stream = (cudaStream_t)(void *)x};
        test_ok(df_cuda_cudnn.create(&op, &device, &desc, (enum df_layer_kind)kind));
        assert_int_equal(op->rows, 64);
        assert_true(op->text[0] != '\0');
        run.in[0] = kind == DF_LAYER_BACKWARD ? y : x;
        run.in[1] = kind == DF_LAYER_WEIGHT_GRADIENT ? y : NULL;
        run.out = kind == DF_LAYER_FORWARD ? y : kind == DF_LAYER_BACKWARD ? x : weight;
        run.weight = kind == DF_LAYER_WEIGHT_GRADIENT ? NULL : weight;
        run.bias = kind == DF_LAYER_FORWARD ? bias : NULL;
        test_ok(df_cuda_cudnn.run(op, &run));
        assert_ptr_equal(given('x'), x);
        assert_ptr_equal(given('w'), weight);
        assert_ptr_equal(given('y'), y);
        assert_ptr_equal(given('b'), kind == DF_LAYER_FORWARD ? bias : NULL);
        assert_ptr_equal(seen.workspace, workspace);
        assert_ptr_equal(seen.handle, &handles[1]);
        assert_ptr_equal(seen.stream, x);
        df_cuda_cudnn.destroy(op);
    }
    df_cudnn_close(device.cudnn);
    assert_int_equal(handle_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_network_has_engines),
        cmocka_unit_test(half_backwards_have_engines),
        cmocka_unit_test(odd_geometry),
        cmocka_unit_test(errors_are_sentences),
        cmocka_unit_test(tensors_are_named),
    };
    if (cudnnGetVersion() < DF_CUDNN_OLDEST) {
        printf("not run: cuDNN %zu makes no plans without a GPU\n", cudnnGetVersion());
        return test_required("cudnn") ? 1 : 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
