/* SPDX-License-Identifier: Apache-2.0 */
/* Does cuDNN offer a plain float32 engine for the convolutions of the networks people bring? Asked without a
 * GPU: a plan is made from a text of properties, on sm_80 and sm_90, for all three ops. What is chosen is
 * printed. Then the engine runs with cuDNN's handle and its last call replaced (linked with --wrap): which
 * memory does it name for which tensor? The backward in half precision is asked for the layers that are not
 * narrow. Which engines are preferred is asked for the layers that were measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cuda.h"
#include "backend/cuda_plan.h"
#include "base/fault.h"
#include "base/memory.h"
#include "support.h"
#include "support_cudnn.h"
#include "turn.h" /* kernels */

static const struct test_shape shapes[] = {
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

/* Rows of a call, as a wide device's plan has them (host/net/plan.c), of a score and of a training: fewer
 * where planes are large. */
enum { SCORED = 1024, TRAINED = 32, LEAST_ROWS = 8 };

static int64_t rows_of(const struct test_shape *s, int64_t most)
{
    const int64_t size = (int64_t)(s->c > s->o ? s->c : s->o) * s->h * s->h * (int64_t)sizeof(float);
    while (most > LEAST_ROWS && most * size > INT64_C(256) << 20)
        most /= 2;
    return most;
}

static void open_gpu(cudnnBackendDescriptor_t *properties, const struct test_gpu *gpu)
{
    test_ok(df_cudnn_properties(properties, NULL, gpu->json));
}

static struct df_cudnn_problem problem_of(const struct df_layer_desc *desc, enum df_layer_kind kind,
                                          int64_t rows)
{
    return (struct df_cudnn_problem){desc, kind, kind == DF_LAYER_FORWARD, rows,
                                     df_cudnn_workspace_limit(desc, kind, rows)};
}

/* An engine that is configured without knobs would not tell that it cuts sums by places (stream-K). */
static void check_knobs(const char *text)
{
    char cuts[16];
    (void)snprintf(cuts, sizeof cuts, " %d=1", CUDNN_KNOB_TYPE_STREAM_K);
    assert_null(strstr(text, cuts));
}

/* The same plan twice, by what the product does, or by numbers alone. */
static void check_plan(cudnnBackendDescriptor_t properties, const char *gpu, const struct test_shape *s,
                       enum df_layer_kind kind, int64_t rows, bool by_number)
{
    const struct df_layer_desc desc = test_convolution(s);
    const struct df_cudnn_problem problem = problem_of(&desc, kind, rows);
    struct df_cudnn_plan plan[2];
    for (int i = 0; i < 2; i++)
        test_ok(by_number ? df_cudnn_plan_search(&plan[i], properties, &problem, DF_CUDNN_NUMBERS)
                          : df_cudnn_plan_create(&plan[i], properties, &desc, kind, rows));
    printf("%s %-16s %4dx%dx%d to %d, %dx%d/%d, groups %d, %s of %lld rows%s: %s\n", gpu, s->network, s->c,
           s->h, s->h, s->o, s->kernel, s->kernel, s->stride, s->group, kinds[kind], (long long)rows,
           by_number ? ", by number" : "", plan[0].text);
    check_knobs(plan[0].text);
    assert_string_equal(plan[0].text, plan[1].text);
    assert_true((int64_t)plan[0].workspace <= problem.workspace);
    df_cudnn_plan_clear(&plan[0]);
    df_cudnn_plan_clear(&plan[1]);
}

static void check_plans(bool by_number)
{
    for (size_t g = 0; g < TEST_GPUS; g++) {
        cudnnBackendDescriptor_t properties;
        open_gpu(&properties, &test_gpus[g]);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int kind = 0; kind < 3; kind++) {
                const enum df_layer_kind op = (enum df_layer_kind)kind;
                check_plan(properties, test_gpus[g].name, &shapes[i], op, rows_of(&shapes[i], TRAINED),
                           by_number);
                if (op != DF_LAYER_WEIGHT_GRADIENT)
                    check_plan(properties, test_gpus[g].name, &shapes[i], op, rows_of(&shapes[i], SCORED),
                               by_number);
            }
        (void)cudnnBackendDestroyDescriptor(properties);
    }
}

static void every_network_has_engines(void **state)
{
    (void)state;
    check_plans(false);
}

/* Where no list had a strict engine, one would be found by its number: for all that networks bring. */
static void numbers_find_engines(void **state)
{
    (void)state;
    check_plans(true);
}

/* Every engine that works is configured so that bits do not depend on the place of a row. */
static void every_number_is_calm(void **state)
{
    enum { MOST = 200 };
    const struct df_layer_desc desc = test_convolution(&shapes[5]);
    const struct df_cudnn_problem problem = problem_of(&desc, DF_LAYER_FORWARD, SCORED);
    (void)state;
    for (size_t g = 0; g < TEST_GPUS; g++) {
        cudnnBackendDescriptor_t properties;
        int works = 0;
        open_gpu(&properties, &test_gpus[g]);
        for (int64_t number = 0; number < MOST; number++) {
            const struct df_cudnn_choice choice = {.engine = number};
            struct df_cudnn_plan plan;
            if (df_cudnn_plan_choose(&plan, properties, &problem, &choice) != DFAL_OK)
                continue;
            printf("%s number %lld: %s\n", test_gpus[g].name, (long long)number, plan.text);
            check_knobs(plan.text);
            df_cudnn_plan_clear(&plan);
            works++;
        }
        assert_true(works > 1);
        (void)cudnnBackendDestroyDescriptor(properties);
    }
}

/* Channels of every kind: of whole vectors, even, odd. */
static const struct test_shape uneven[] = {
    {"even", 36, 14, 50, 3, 1, 1, 1},
    {"odd", 33, 14, 35, 3, 1, 1, 1},
    {"odd, stride 2", 35, 13, 64, 3, 2, 1, 1},
    {"two groups", 128, 14, 128, 3, 1, 1, 2},
};

static void check_half_backward(cudnnBackendDescriptor_t properties, const char *gpu,
                                const struct test_shape *s)
{
    struct df_cudnn_plan plan, again;
    struct df_layer_desc desc = test_convolution(s);
    desc.half_backward = true;
    if (df_layer_is_narrow(&desc))
        return;
    test_ok(df_cudnn_plan_create(&plan, properties, &desc, DF_LAYER_BACKWARD, rows_of(s, SCORED)));
    test_ok(df_cudnn_plan_create(&again, properties, &desc, DF_LAYER_BACKWARD, rows_of(s, SCORED)));
    printf("%s %-16s %4dx%dx%d to %d, %dx%d/%d, groups %d, backward in half: %s\n", gpu, s->network, s->c,
           s->h, s->h, s->o, s->kernel, s->kernel, s->stride, s->group, plan.text);
    assert_string_equal(plan.text, again.text);
    assert_true((int64_t)plan.workspace <=
                df_cudnn_workspace_limit(&desc, DF_LAYER_BACKWARD, rows_of(s, SCORED)));
    /* Channels last is what the kernels read: nothing is turned in a workspace. */
    if (s->c % 8 == 0 && s->o % 8 == 0 && s->group == 1)
        assert_true(plan.workspace < 1 << 20);
    df_cudnn_plan_clear(&plan);
    df_cudnn_plan_clear(&again);
    const struct df_cudnn_problem problem = problem_of(&desc, DF_LAYER_BACKWARD, rows_of(s, SCORED));
    test_ok(df_cudnn_plan_search(&plan, properties, &problem, DF_CUDNN_NUMBERS));
    printf("  by number: %s\n", plan.text);
    check_knobs(plan.text);
    df_cudnn_plan_clear(&plan);
    /* The other ops stay as they are. */
    for (int kind = 0; kind < 3; kind += 2) {
        desc.half_backward = true;
        test_ok(df_cudnn_plan_create(&plan, properties, &desc, (enum df_layer_kind)kind, rows_of(s, SCORED)));
        desc.half_backward = false;
        test_ok(
            df_cudnn_plan_create(&again, properties, &desc, (enum df_layer_kind)kind, rows_of(s, SCORED)));
        assert_string_equal(plan.text, again.text);
        df_cudnn_plan_clear(&plan);
        df_cudnn_plan_clear(&again);
    }
}

static void half_backwards_have_engines(void **state)
{
    (void)state;
    for (size_t g = 0; g < TEST_GPUS; g++) {
        cudnnBackendDescriptor_t properties;
        open_gpu(&properties, &test_gpus[g]);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check_half_backward(properties, test_gpus[g].name, &shapes[i]);
        for (size_t i = 0; i < sizeof uneven / sizeof *uneven; i++)
            check_half_backward(properties, test_gpus[g].name, &uneven[i]);
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
    for (size_t g = 0; g < TEST_GPUS; g++) {
        cudnnBackendDescriptor_t properties;
        open_gpu(&properties, &test_gpus[g]);
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
                printf("%s window %zu, %s: %s\n", test_gpus[g].name, i, kinds[kind], plan.text);
                df_cudnn_plan_clear(&plan);
            }
        }
        (void)cudnnBackendDestroyDescriptor(properties);
    }
}

static void errors_are_sentences(void **state)
{
    cudnnBackendDescriptor_t properties;
    struct df_layer_desc desc = test_convolution(&shapes[5]);
    struct df_cudnn_plan plan;
    (void)state;
    test_error(df_cudnn_properties(&properties, NULL, "{}"), DFAL_E_INTERNAL, "cuDNN: ");
    open_gpu(&properties, &test_gpus[TEST_SM_80]);
    desc.out.h++;
    test_error(df_cudnn_plan_create(&plan, properties, &desc, DF_LAYER_FORWARD, 64), DFAL_E_INTERNAL,
               "cuDNN: ");
    assert_null(plan.plan);
    (void)cudnnBackendDestroyDescriptor(properties);
}

/* ---- The preference -------------------------------------------------------------------------- */

/* What a test puts in place of the preferred engine's number; with a knob, that and its value stand for the
 * second one. */
static struct {
    bool replaces;
    int64_t engine;
    cudnnBackendKnobType_t knob;
    int64_t value;
    int tried; /* engines that were asked for by number */
} other;

/* forward, backward: the tile's knob; 0: a heuristic's engine. turned: the backward is a forward. */
static const struct choice {
    struct test_shape shape;
    int32_t rows, forward, backward;
    bool turned;
} choices[] = {
    {{"vgg8", 64, 14, 128, 3, 1, 1, 1}, 1024, 4, 4, true},
    {{"vgg8", 128, 7, 256, 3, 1, 1, 1}, 1024, 4, 4, true},
    {{"vgg8", 256, 7, 256, 3, 1, 1, 1}, 1024, 4, 4, true},
    {{"vgg8", 256, 3, 512, 3, 1, 1, 1}, 1024, 4, 2, true},
    {{"vgg8", 512, 3, 512, 3, 1, 1, 1}, 1024, 4, 4, true},
    {{"vgg8", 64, 14, 128, 3, 1, 1, 1}, 32, 12, 12, false},
    {{"vgg8", 128, 7, 256, 3, 1, 1, 1}, 32, 12, 12, false},
    {{"vgg8", 256, 7, 256, 3, 1, 1, 1}, 32, 12, 12, false},
    {{"vgg8", 256, 3, 512, 3, 1, 1, 1}, 32, 12, 12, false},
    {{"vgg8", 512, 3, 512, 3, 1, 1, 1}, 32, 12, 12, false},
    {{"resnet18", 64, 32, 64, 3, 1, 1, 1}, 1024, 4, 4, true},
    {{"resnet18", 128, 16, 128, 3, 1, 1, 1}, 1024, 4, 4, true},
    {{"resnet18", 256, 8, 256, 3, 1, 1, 1}, 1024, 4, 4, true},
    {{"resnet18", 512, 4, 512, 3, 1, 1, 1}, 1024, 4, 4, true},
    {{"resnet18", 64, 32, 64, 3, 1, 1, 1}, 32, 4, 4, true},
    {{"resnet18", 128, 16, 128, 3, 1, 1, 1}, 32, 2, 2, true},
    {{"resnet18", 256, 8, 256, 3, 1, 1, 1}, 32, 12, 12, false},
    {{"resnet18", 512, 4, 512, 3, 1, 1, 1}, 32, 12, 12, false},
    /* With a stride the forward alone is preferred, with groups nothing. */
    {{"resnet18", 64, 32, 128, 3, 2, 1, 1}, 1024, 4, 0, false},
    {{"resnet18", 128, 16, 256, 1, 2, 0, 1}, 1024, 4, 0, false},
    {{"two groups", 128, 14, 128, 3, 1, 1, 2}, 1024, 0, 0, false},
};

static void plan_text(char text[192], cudnnBackendDescriptor_t properties, const struct choice *choice,
                      enum df_layer_kind kind)
{
    const struct df_layer_desc desc = test_convolution(&choice->shape);
    struct df_cudnn_plan plan;
    test_ok(df_cudnn_plan_create(&plan, properties, &desc, kind, choice->rows));
    assert_true((int64_t)plan.workspace <= df_cudnn_workspace_limit(&desc, kind, choice->rows));
    assert_int_equal(plan.turned, strstr(plan.text, ", as a forward") != NULL);
    memcpy(text, plan.text, sizeof plan.text);
    df_cudnn_plan_clear(&plan);
}

/* tile 0: no engine is asked for by its number. */
static void check_choice(cudnnBackendDescriptor_t properties, const struct choice *choice,
                         enum df_layer_kind kind, int engine, int tile)
{
    char text[192], expected[192];
    const struct test_shape *s = &choice->shape;
    (void)snprintf(expected, sizeof expected, "engine %d, knobs 2=%d 18=0, 0 bytes%s", engine, tile,
                   kind == DF_LAYER_BACKWARD && choice->turned ? ", as a forward" : "");
    other.tried = 0;
    plan_text(text, properties, choice, kind);
    if (tile > 0 ? strcmp(text, expected) != 0 : other.tried > 0)
        test_fail("%s of %s, %dx%dx%d to %d in %d rows: %s, expected %s", kinds[kind], s->network, s->c, s->h,
                  s->h, s->o, choice->rows, text, tile > 0 ? expected : "a heuristic's");
}

/* Engines' numbers are those of one cuDNN. */
static void skip_unless_measured(void)
{
    if (cudnnGetVersion() / 100 == 919)
        return;
    if (getenv("DFAL_REQUIRE") != NULL)
        test_fail("cuDNN %zu was not measured: the engines of cuda_plan.c are those of 9.19",
                  cudnnGetVersion());
    printf("not run: the numbers of engines are cuDNN 9.19's\n");
    skip();
}

/* Which engines an H200 gets. */
static void shapes_prefer_engines(void **state)
{
    cudnnBackendDescriptor_t properties;
    (void)state;
    skip_unless_measured();
    open_gpu(&properties, &test_gpus[TEST_SM_90]);
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        const struct choice *c = &choices[i];
        check_choice(properties, c, DF_LAYER_FORWARD, 44, c->forward);
        check_choice(properties, c, DF_LAYER_BACKWARD, c->turned ? 70 : 74, c->backward);
        check_choice(properties, c, DF_LAYER_WEIGHT_GRADIENT, 0, 0);
    }
    (void)cudnnBackendDestroyDescriptor(properties);
}

/* For one plan, an engine of this number is preferred, with `knob` in place of the second one. */
static void plan_with(char text[192], cudnnBackendDescriptor_t properties, const struct choice *choice,
                      enum df_layer_kind kind, int64_t engine, cudnnBackendKnobType_t knob, int64_t value)
{
    other.replaces = true;
    other.engine = engine;
    other.knob = knob;
    other.value = value;
    other.tried = 0;
    plan_text(text, properties, choice, kind);
    assert_int_equal(other.tried, 1);
    memset(&other, 0, sizeof other);
}

/* No such engine, one without this knob, one of tensor cores, one with too much workspace: each time the same
 * plan, a heuristic's. */
static void heuristics_are_the_fallback(void **state)
{
    static const struct {
        enum df_layer_kind kind;
        int64_t engine;
        cudnnBackendKnobType_t knob;
        int64_t value;
    } others[] = {
        {DF_LAYER_FORWARD, 999, CUDNN_KNOB_TYPE_IDX_MODE, 0},
        {DF_LAYER_FORWARD, 11, CUDNN_KNOB_TYPE_IDX_MODE, 0},
        {DF_LAYER_FORWARD, 51, CUDNN_KNOB_TYPE_IDX_MODE, 0},
        {DF_LAYER_FORWARD, 36, CUDNN_KNOB_TYPE_USE_TEX, 1},
        {DF_LAYER_BACKWARD, 999, CUDNN_KNOB_TYPE_IDX_MODE, 0},
        {DF_LAYER_BACKWARD, 28, CUDNN_KNOB_TYPE_IDX_MODE, 0},
        {DF_LAYER_BACKWARD, 2, CUDNN_KNOB_TYPE_USE_TEX, 1},
    };
    static const struct choice pointwise = {.shape = {"1x1", 128, 16, 256, 1, 2, 0, 1}, .rows = 1024};
    cudnnBackendDescriptor_t properties;
    char text[192], first[3][192] = {"", ""};
    (void)state;
    skip_unless_measured();
    open_gpu(&properties, &test_gpus[TEST_SM_90]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char *expected = first[others[i].kind];
        plan_with(text, properties, &choices[4], others[i].kind, others[i].engine, others[i].knob,
                  others[i].value);
        assert_null(strstr(text, "as a forward"));
        if (*expected == '\0')
            memcpy(expected, text, sizeof text);
        assert_string_equal(text, expected);
    }
    /* What was passed over for its workspace is taken where it wants less. */
    plan_with(text, properties, &pointwise, DF_LAYER_FORWARD, 36, CUDNN_KNOB_TYPE_USE_TEX, 1);
    assert_memory_equal(text, "engine 36, knobs 2=4 3=1", 24);
    (void)cudnnBackendDestroyDescriptor(properties);
}

/* What may be turned, and into what. */
static void gradients_are_turned(void **state)
{
    struct df_layer_desc desc = {.in = {64, 20, 21},
                                 .out = {48, 17, 20},
                                 .window = {{5, 3}, {1, 1}, {0, 1, 1, 0}, {1, 1}},
                                 .group = 1};
    (void)state;
    assert_true(df_cudnn_can_turn(&desc));
    const struct df_layer_desc turned = df_cudnn_turned(&desc);
    assert_memory_equal(&turned.in, &desc.out, sizeof desc.out);
    assert_memory_equal(&turned.out, &desc.in, sizeof desc.in);
    static const int32_t pads[] = {4, 1, 3, 2};
    for (int side = 0; side < 4; side++)
        assert_int_equal(turned.window.pad[side], pads[side]);
    for (int a = 0; a < 2; a++)
        assert_int_equal(turned.window.kernel[a], desc.window.kernel[a]);
    const struct df_layer_desc plain = desc;
    desc.group = 2;
    assert_false(df_cudnn_can_turn(&desc));
    desc = plain;
    desc.window.stride[1] = 2;
    assert_false(df_cudnn_can_turn(&desc));
    desc = plain;
    desc.window.dilation[0] = 2;
    assert_false(df_cudnn_can_turn(&desc));
    desc = plain;
    desc.window.pad[3] = 3;
    assert_false(df_cudnn_can_turn(&desc));
    desc = plain;
    desc.window.kernel[0] = desc.window.kernel[1] = 1;
    assert_false(df_cudnn_can_turn(&desc));
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

/* The GPU of a handle is sm_90's text. What a variant pack is told is kept. A preferred engine may be
 * another. */
cudnnStatus_t __wrap_cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t count,
                                              const void *values)
{
    static bool second_knob;
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
    if (name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX) {
        other.tried++;
        values = other.replaces ? &other.engine : values;
    }
    if (name == CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE && other.knob != 0) {
        second_knob = *(const cudnnBackendKnobType_t *)values == CUDNN_KNOB_TYPE_IDX_MODE;
        values = second_knob ? &other.knob : values;
    }
    if (name == CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE && other.knob != 0)
        values = second_knob ? &other.value : values;
    if (name == CUDNN_ATTR_DEVICEPROP_HANDLE)
        return __real_cudnnBackendSetAttribute(
            descriptor, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
            (int64_t)strlen(test_gpus[TEST_SM_90].json) + 1, test_gpus[TEST_SM_90].json);
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

/* The op's memory for turned weights, and what was put there. */
static struct {
    float memory[1];
    int64_t bytes; /* 0: not taken */
    bool refuses;
    struct df_turn turn;
    float *turned;
    const float *weight;
    void *stream;
} turning;

dfal_status df_cuda_memory(void **out, int64_t bytes)
{
    if (turning.refuses)
        DF_FAIL(DFAL_E_MEMORY, "no memory for %lld bytes", (long long)bytes);
    turning.bytes = bytes;
    *out = turning.memory;
    return DFAL_OK;
}

cudaError_t cudaFree(void *memory)
{
    assert_true(memory == NULL || (memory == turning.memory && turning.bytes > 0));
    turning.bytes = memory == NULL ? turning.bytes : 0;
    return cudaSuccess;
}

dfal_status df_cuda_status(cudaError_t error, const char *what)
{
    if (error != cudaSuccess)
        DF_FAIL(DFAL_E_UNAVAILABLE, "%s", what);
    return DFAL_OK;
}

int df_turn_weights(const struct df_turn *turn, float *turned, const float *weight, void *stream)
{
    turning.turn = *turn;
    turning.turned = turned;
    turning.weight = weight;
    turning.stream = stream;
    return cudaSuccess;
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
    struct df_layer_desc desc = test_convolution(&shapes[5]);
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

/* Memory is refused wherever it is asked for: nothing is left, and nothing is closed that was not opened. */
static void memory_is_refused(void **state)
{
    const struct df_cuda_device device = {.head = {.queue_count = QUEUES}};
    struct df_cudnn *library;
    char version[96];
    const int64_t live = df_alloc_live();
    dfal_status status = DFAL_E_MEMORY;
    int64_t refused = 0;
    (void)state;
    while (status != DFAL_OK) {
        df_fault_arm(DF_FAULT_ALLOC, refused + 1);
        status = df_cudnn_open(&library, &device, version, sizeof version);
        df_fault_arm(DF_FAULT_ALLOC, 0);
        if (status == DFAL_OK)
            break;
        assert_int_equal(status, DFAL_E_MEMORY);
        assert_null(library);
        assert_int_equal(df_alloc_live(), live);
        refused++;
    }
    assert_true(refused >= 2);
    df_cudnn_close(library);
    assert_int_equal(df_alloc_live(), live);
    assert_int_equal(handle_count, 0);
}

/* The weights are turned when they are bound, and the run is a forward from dy to dx. */
static void turned_tensors_are_named(void **state)
{
    static float dx[1], dy[1], weight[1], bias[1];
    struct df_cuda_device device = {.head = {.queue_count = QUEUES}};
    struct df_layer_desc desc = test_convolution(&shapes[5]);
    struct df_cuda_op *op;
    char version[96];
    (void)state;
    skip_unless_measured();
    desc.block_rows = 1024;
    test_ok(df_cudnn_open(&device.cudnn, &device, version, sizeof version));
    turning.refuses = true;
    test_error(df_cuda_cudnn.create(&op, &device, &desc, DF_LAYER_BACKWARD), DFAL_E_MEMORY, "no memory for");
    turning.refuses = false;
    test_ok(df_cuda_cudnn.create(&op, &device, &desc, DF_LAYER_BACKWARD));
    assert_non_null(strstr(op->text, "as a forward"));
    assert_int_equal(turning.bytes, 128 * 64 * 9 * sizeof(float));
    test_ok(df_cuda_cudnn.bind(op, weight, bias, (cudaStream_t)(void *)dx));
    assert_true(turning.turn.out == 128 && turning.turn.in == 64 && turning.turn.taps == 9);
    assert_true(turning.turned == turning.memory && turning.weight == weight && turning.stream == dx);
    const struct df_cuda_run run = {.out = dx, .in = {dy}, .weight = weight, .rows = 1024};
    test_ok(df_cuda_cudnn.run(op, &run));
    assert_ptr_equal(given('x'), dy);
    assert_ptr_equal(given('w'), turning.memory);
    assert_ptr_equal(given('y'), dx);
    assert_null(given('b'));
    df_cuda_cudnn.destroy(op);
    assert_int_equal(turning.bytes, 0);
    /* Neither the other ops nor a backward in half precision turn anything. */
    for (int kind = 0; kind < 3; kind++) {
        desc.half_backward = true;
        turning.weight = NULL;
        test_ok(df_cuda_cudnn.create(&op, &device, &desc, (enum df_layer_kind)kind));
        assert_int_equal(turning.bytes, 0);
        test_ok(df_cuda_cudnn.bind(op, weight, bias, NULL));
        assert_null(turning.weight);
        df_cuda_cudnn.destroy(op);
    }
    df_cudnn_close(device.cudnn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_network_has_engines),
        cmocka_unit_test(numbers_find_engines),
        cmocka_unit_test(every_number_is_calm),
        cmocka_unit_test(half_backwards_have_engines),
        cmocka_unit_test(odd_geometry),
        cmocka_unit_test(errors_are_sentences),
        cmocka_unit_test(shapes_prefer_engines),
        cmocka_unit_test(heuristics_are_the_fallback),
        cmocka_unit_test(gradients_are_turned),
        cmocka_unit_test(tensors_are_named),
        cmocka_unit_test(memory_is_refused),
        cmocka_unit_test(turned_tensors_are_named),
    };
    if (cudnnGetVersion() < DF_CUDNN_OLDEST) {
        printf("not run: cuDNN %zu makes no plans without a GPU\n", cudnnGetVersion());
        return test_required("cudnn") ? 1 : 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
