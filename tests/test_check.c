/* SPDX-License-Identifier: Apache-2.0 */
/* check:A:B finds what is planted and lets honest rounding through; back ends by name and from shared
 * objects. */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "backend/timed.h"
#include "base/context.h"
#include "base/fault.h"
#include "base/memory.h"

static dfal_status run_relu(struct df_device *device, int64_t rows)
{
    struct test_rig rig;
    float x[16];
    test_fill_floats(x, 16, 1, 0.5, 1);
    rig_begin(&rig, device, DF_OP_relu_fwd, rows, 4);
    rig_in(&rig, 0, DF_TYPE_REAL, x, 16);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, 16);
    const dfal_status status = df_call_run(device, 0, &rig.call);
    rig_end(&rig);
    return status;
}

static dfal_status run_gemm(struct df_device *device)
{
    struct df_layer_desc desc = {
        .is_gemm = true, .in = {300, 1, 1}, .out = {8, 1, 1}, .group = 1, .block_rows = 64};
    desc.window = (struct df_window){{1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}};
    desc.forward = desc.backward = desc.weight_gradient = true;
    struct test_rig rig;
    struct df_layer *layer;
    struct df_span weight, bias;
    float x[4 * 300], w[8 * 300];
    test_fill_floats(x, 4 * 300, 1, -1, 1);
    test_fill_floats(w, 8 * 300, 2, -1, 1);
    test_ok(device->backend->layer_create(device, &layer, &desc));
    test_ok(df_buffer_new(device, &weight, DF_TYPE_REAL, 8 * 300));
    test_ok(df_buffer_new(device, &bias, DF_TYPE_REAL, 8));
    test_ok(df_write(device, 0, weight, w, 8 * 300));
    test_ok(device->backend->layer_bind(device, 0, layer, weight, bias));
    rig_begin(&rig, device, DF_OP_gemm_fwd, 4, 0);
    rig.call.layer = layer;
    rig_in(&rig, 0, DF_TYPE_REAL, x, 4 * 300);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, 4 * 8);
    const dfal_status status = df_call_run(device, 0, &rig.call);
    rig_end(&rig);
    device->backend->layer_destroy(device, layer);
    df_buffer_drop(device, &weight);
    df_buffer_drop(device, &bias);
    return status;
}

static struct df_device *open_ok(const char *name)
{
    struct df_device *device;
    test_ok(df_device_open(&device, name, "auto", 2));
    return device;
}

static void alike_back_ends_pass(void **state)
{
    (void)state;
    const char *names[] = {"check:ref:ref",
                           "check:ref:ref64",
                           "check:ref64:ref",
                           "check:ref:check:ref:ref",
                           "check:dlopen:" PLUGIN ":ref",
                           "check:ref:dlopen:" PLUGIN};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct df_device *device = open_ok(names[i]);
        assert_int_equal(device->queue_count, 2);
        test_ok(run_relu(device, 4));
        test_ok(run_gemm(device));
        df_device_close(device);
    }
}

static void a_planted_bug_is_named(void **state)
{
    (void)state;
    struct df_device *device = open_ok("check:ref:dlopen:" PLUGIN_BUG);
    assert_string_equal(device->info.backend, "check:ref:plugin");
    test_error(run_relu(device, 4), DFAL_E_INTERNAL, "op relu_fwd, output y: element 3 of 16 is ");
    test_error(run_gemm(device), DFAL_E_INTERNAL, "op gemm_fwd, output y: element 3 of 32 is ");
    assert_non_null(strstr(dfal_last_error(), "on ref and "));
    assert_non_null(strstr(dfal_last_error(), "on plugin (class L)"));
    df_device_close(device);
    device = open_ok("dlopen:" PLUGIN_BUG); /* alone it goes unnoticed: that is what check is for */
    test_ok(run_relu(device, 4));
    df_device_close(device);
}

static void a_shared_object_is_a_back_end(void **state)
{
    (void)state;
    const int64_t live = df_alloc_live();
    struct df_device *device = open_ok("dlopen:" PLUGIN);
    assert_string_equal(device->info.backend, "plugin");
    assert_true(df_alloc_live() > live); /* its memory is counted here */
    test_ok(run_relu(device, 4));
    /* its messages arrive here */
    test_error(run_relu(device, 40), DFAL_E_INTERNAL, "do not lie in a buffer of");
    df_device_close(device);
    assert_int_equal(df_alloc_live(), live);
    char spoken[64];
    snprintf(spoken, sizeof spoken, "speaks ABI %d, this dfal speaks %d", DF_BACKEND_ABI + 1000,
             DF_BACKEND_ABI);
    test_error(df_device_open(&device, "dlopen:" PLUGIN_ABI, "auto", 1), DFAL_E_UNAVAILABLE, spoken);
    test_error(df_device_open(&device, "dlopen:/nowhere/at/all.so", "auto", 1), DFAL_E_UNAVAILABLE,
               "/nowhere/at/all.so");
    test_error(df_device_open(&device, "dlopen:libz.so.1", "auto", 1), DFAL_E_UNAVAILABLE, "does not export");
}

static void do_nothing(struct df_device *device, struct df_fused *fused)
{
    (void)device, (void)fused;
}

static void a_table_must_be_whole(void **state)
{
    (void)state;
    const struct df_device_options options = {.spec = "", .isa = "auto", .queues = 1};
    const struct df_layer layer = {.desc = {.is_gemm = true}};
    struct df_device *device;
    struct df_backend table = df_backend_ref;
    char text[8] = "unset";
    test_ok(df_backend_open(&device, &table, "made up", &options));
    assert_int_equal(device->backend->memory_free(device), 0);
    assert_int_equal(device->backend->layer_scratch(device, &layer, DF_LAYER_FORWARD, 4), -1);
    device->backend->layer_text(device, &layer, DF_LAYER_FORWARD, text, sizeof text);
    assert_string_equal(text, "");
    df_device_close(device);
    table.layer_bind = NULL;
    test_error(df_backend_open(&device, &table, "made up", &options), DFAL_E_UNAVAILABLE,
               "the made up back end is not available: its table has no layer_bind");
    assert_null(device);
    table = df_backend_ref;
    table.fused_destroy = do_nothing; /* all four, or none */
    test_error(df_backend_open(&device, &table, "made up", &options), DFAL_E_UNAVAILABLE,
               "its table has no fused_create");
}

/* A wrapper on another one: each calls what lies behind it. */
static void a_checked_device_can_be_timed(void **state)
{
    (void)state;
    const int64_t live = df_alloc_live();
    struct df_device *device = open_ok("check:ref:dlopen:" PLUGIN_BUG);
    struct df_timed *timed;
    int32_t count;
    test_ok(df_timed_open(&timed, device));
    df_timed_reset(timed, true);
    test_error(run_relu(device, 4), DFAL_E_INTERNAL, "op relu_fwd, output y: element 3 of 16 is ");
    assert_int_equal(df_timed_rows(timed, &count)[0].op, DF_OP_relu_fwd);
    assert_int_equal(count, 1);
    df_timed_close(timed);
    test_error(run_relu(device, 4), DFAL_E_INTERNAL, "op relu_fwd, output y: element 3 of 16 is ");
    df_device_close(device);
    assert_int_equal(df_alloc_live(), live);
}

static void names_are_checked(void **state)
{
    (void)state;
    struct df_device *device;
    test_error(df_device_open(&device, "cpuu", "auto", 1), DFAL_E_USAGE, "nearest is 'cpu'");
    assert_null(device);
    test_error(df_device_open(&device, "reff", "auto", 1), DFAL_E_USAGE, "nearest is 'ref'");
    test_error(df_device_open(&device, "quantum-annealer", "auto", 1), DFAL_E_USAGE, "quantum-annealer");
    test_error(df_device_open(&device, "", "auto", 1), DFAL_E_USAGE, "unknown back end");
    test_error(df_device_open(&device, "ref:1", "auto", 1), DFAL_E_USAGE, "expected ref");
    test_error(df_device_open(&device, "check", "auto", 1), DFAL_E_USAGE, "check:A:B");
    test_error(df_device_open(&device, "check:ref", "auto", 1), DFAL_E_USAGE, "check:A:B");
    test_error(df_device_open(&device, "check:ref:", "auto", 1), DFAL_E_USAGE, "check:A:B");
    test_error(df_device_open(&device, "check:ref:reff", "auto", 1), DFAL_E_USAGE, "nearest is 'ref'");
    test_error(df_device_open(&device, "check:cqu:ref", "auto", 1), DFAL_E_USAGE, "nearest is 'cpu'");
    test_error(df_device_open(&device, "cuda:one", "auto", 1), DFAL_E_USAGE, "not a number");
    test_error(df_device_open(&device, "ref", "auto", 0), DFAL_E_INTERNAL, "at least one queue");
}

static void absent_cuda_says_why(void **state)
{
    (void)state;
    struct df_device *device;
    const dfal_status status = df_device_open(&device, "cuda", "auto", 1);
    if (status == DFAL_OK) {
        df_device_close(device);
        return;
    }
    assert_int_equal(status, DFAL_E_UNAVAILABLE);
    assert_non_null(strstr(dfal_last_error(), "CUDA"));
}

static void auto_finds_a_device(void **state)
{
    (void)state;
    struct df_device *device = open_ok("auto");
    test_ok(run_relu(device, 4));
    df_device_close(device);
}

static void the_context_opens_its_device_once(void **state)
{
    (void)state;
    struct dfal_context_options options;
    dfal_context_options_init(&options);
    options.backend = "ref";
    options.threads = 3;
    dfal_context *context;
    struct df_device *first, *again;
    test_ok(dfal_context_create(&context, &options));
    assert_null(context->device);
    test_ok(df_context_device(context, &first));
    test_ok(df_context_device(context, &again));
    assert_ptr_equal(first, again);
    assert_int_equal(first->queue_count, 3);
    dfal_context_destroy(context); /* closes it: the sanitizer build would see a leak */
}

static void buffers_know_their_ends(void **state)
{
    (void)state;
    struct df_device *device = open_ok("ref");
    struct df_span span;
    float values[8] = {0};
    test_ok(df_buffer_new(device, &span, DF_TYPE_REAL, 8));
    test_ok(df_write(device, 0, span, values, 8));
    test_error(df_write(device, 0, df_at(span, 1), values, 8), DFAL_E_INTERNAL, "write: elements 1 to 9");
    test_error(df_read(device, 0, values, df_at(span, -1), 2), DFAL_E_INTERNAL, "read: elements -1 to 1");
    test_error(run_relu(device, 40), DFAL_E_INTERNAL, "relu_fwd, operand y: elements");
    struct df_call call = {.op = DF_OP_relu_fwd, .rows = 2, .cols = 4};
    call.in[0] = call.out[0] = span;
    test_ok(df_call_run(device, 0, &call));
    test_error(df_call_run(device, 2, &call), DFAL_E_INTERNAL, "queue 2");
    df_buffer_drop(device, &span);
    assert_null(span.buffer);
    df_buffer_drop(device, &span); /* twice is fine */
    df_device_close(device);
}

static void doubles_stay_doubles(void **state)
{
    (void)state;
    struct df_device *device = open_ok("ref64");
    struct df_span span;
    double value = 0;
    test_ok(df_buffer_new(device, &span, DF_TYPE_REAL, 1));
    struct df_call call = {.op = DF_OP_fill, .rows = 1, .cols = 1, .p.value = 0.1};
    call.out[0] = span;
    test_ok(df_call_run(device, 0, &call));
    test_ok(device->backend->read_f64(device, 0, &value, span, 1));
    assert_true(value == 0.1);
    df_buffer_drop(device, &span);
    df_device_close(device);
}

static void every_op_is_described(void **state)
{
    (void)state;
    for (int op = 0; op < DF_OP_COUNT; op++) {
        assert_true(strlen(df_op_info[op].name) > 3);
        assert_non_null(strchr("EULS", df_op_info[op].op_class));
    }
    const struct df_operand *ins = df_op_info[DF_OP_relu_bwd].in;
    assert_string_equal(ins[0].name, "dy");
    assert_string_equal(ins[1].name, "y");
    assert_string_equal(ins[2].name, "owner");
    assert_true(ins[2].optional && !ins[1].optional && ins[2].type == DF_TYPE_I32);
    assert_null(ins[3].name);
    assert_true(df_op_info[DF_OP_sgd_step].out[0].read && !df_op_info[DF_OP_sgd_step].in[0].written);
    assert_int_equal(df_op_info[DF_OP_maxpool_fwd].walk, DF_WALK_ITEM);
    assert_int_equal(df_op_info[DF_OP_conv_bwd].walk, DF_WALK_LAYER);
    assert_int_equal(df_op_info[DF_OP_softmax_loss].op_class, 'U');
}

static void nothing_is_left_behind(void **state)
{
    (void)state;
    const int64_t live = df_alloc_live();
    struct df_device *device = open_ok("check:ref:ref64");
    test_ok(run_gemm(device));
    df_device_close(device);
    assert_int_equal(df_alloc_live(), live);
}

/* Open, create, bind, run and close; everything is released whatever fails. */
static dfal_status whole_life(const char *name)
{
    struct df_device *device = NULL;
    struct df_layer *layer = NULL;
    struct df_span x = {NULL, 0}, y = {NULL, 0}, weight = {NULL, 0};
    struct df_layer_desc desc = {
        .is_gemm = true, .in = {3, 1, 1}, .out = {2, 1, 1}, .group = 1, .block_rows = 8};
    desc.window = (struct df_window){{1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}};
    desc.forward = desc.weight_gradient = true;
    dfal_status status = df_device_open(&device, name, "auto", 2);
    if (status != DFAL_OK)
        return status;
    struct df_call call = {.op = DF_OP_gemm_fwd, .rows = 4};
    DF_TRY_TO(done, status, df_buffer_new(device, &x, DF_TYPE_REAL, 12));
    DF_TRY_TO(done, status, df_buffer_new(device, &y, DF_TYPE_REAL, 8));
    DF_TRY_TO(done, status, df_buffer_new(device, &weight, DF_TYPE_REAL, 6));
    DF_TRY_TO(done, status, device->backend->layer_create(device, &layer, &desc));
    DF_TRY_TO(done, status, device->backend->layer_bind(device, 0, layer, weight, (struct df_span){NULL, 0}));
    call.layer = layer;
    call.in[0] = x;
    call.out[0] = y;
    status = df_call_run(device, 1, &call);
done:
    if (layer != NULL)
        device->backend->layer_destroy(device, layer);
    df_buffer_drop(device, &weight);
    df_buffer_drop(device, &y);
    df_buffer_drop(device, &x);
    df_device_close(device);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const char *names[] = {"ref", "ref64", "check:ref:ref64", "dlopen:" PLUGIN};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const int64_t live = df_alloc_live();
        int n = 1;
        for (; n < 200; n++) {
            df_fault_arm(DF_FAULT_ALLOC, n);
            const dfal_status status = whole_life(names[i]);
            df_fault_arm(DF_FAULT_ALLOC, 0);
            assert_int_equal(df_alloc_live(), live);
            if (status == DFAL_OK)
                break;
            assert_int_equal(status, DFAL_E_MEMORY);
        }
        assert_in_range(n, 2, 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alike_back_ends_pass),
        cmocka_unit_test(a_planted_bug_is_named),
        cmocka_unit_test(a_shared_object_is_a_back_end),
        cmocka_unit_test(a_table_must_be_whole),
        cmocka_unit_test(a_checked_device_can_be_timed),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(absent_cuda_says_why),
        cmocka_unit_test(auto_finds_a_device),
        cmocka_unit_test(the_context_opens_its_device_once),
        cmocka_unit_test(buffers_know_their_ends),
        cmocka_unit_test(doubles_stay_doubles),
        cmocka_unit_test(every_op_is_described),
        cmocka_unit_test(nothing_is_left_behind),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
