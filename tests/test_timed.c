/* SPDX-License-Identifier: Apache-2.0 */
/* The device that times: what it counts, and that it changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "backend/timed.h"
#include "base/memory.h"
#include "support_device.h"

enum { ROWS = 3, IN = 5, OUT = 4 };

static void run_product(struct df_device *device, float *y)
{
    const struct df_layer_desc desc = {.is_gemm = true,
                                       .in = {IN, 1, 1},
                                       .out = {OUT, 1, 1},
                                       .window = {{1, 1}, {1, 1}, {0}, {1, 1}},
                                       .group = 1,
                                       .block_rows = 64,
                                       .forward = true};
    float x[ROWS * IN], weight[OUT * IN];
    struct df_span from, to, w;
    struct df_layer *layer;
    test_fill_whole(x, ROWS * IN, 1, -3, 3);
    test_fill_whole(weight, OUT * IN, 2, -3, 3);
    test_ok(df_buffer_new(device, &from, DF_TYPE_REAL, ROWS * IN));
    test_ok(df_buffer_new(device, &to, DF_TYPE_REAL, ROWS * OUT));
    test_ok(df_buffer_new(device, &w, DF_TYPE_REAL, OUT * IN));
    test_ok(df_write(device, 0, from, x, ROWS * IN));
    test_ok(df_write(device, 0, w, weight, OUT * IN));
    test_ok(device->backend->layer_create(device, &layer, &desc));
    test_ok(device->backend->layer_bind(device, 0, layer, w, (struct df_span){0}));
    const struct df_call call = {
        .op = DF_OP_gemm_fwd, .out = {to}, .in = {from}, .rows = ROWS, .layer = layer};
    test_ok(df_call_run(device, 0, &call));
    const struct df_call relu = {.op = DF_OP_relu_fwd, .out = {to}, .in = {to}, .rows = ROWS, .cols = OUT};
    test_ok(df_call_run(device, 0, &relu));
    test_ok(df_call_run(device, 0, &relu));
    test_ok(df_read(device, 0, y, to, ROWS * OUT));
    device->backend->layer_destroy(device, layer);
    df_buffer_drop(device, &from);
    df_buffer_drop(device, &to);
    df_buffer_drop(device, &w);
}

static void test_counts(void **state)
{
    struct df_device *device = *state;
    const struct df_backend *own = device->backend;
    const int32_t queues = device->queue_count;
    struct df_timed *timed;
    float plain[ROWS * OUT], found[ROWS * OUT];
    const int64_t live = df_alloc_live();
    int32_t count;
    run_product(device, plain);
    test_ok(df_timed_open(&timed, device));
    assert_int_equal(device->queue_count, 1);
    df_timed_reset(timed, true);
    run_product(device, found);
    test_same_floats("through the timed device", found, plain, ROWS * OUT);
    const struct df_timed_row *rows = df_timed_rows(timed, &count);
    const double real = strcmp(device->info.backend, "ref64") == 0 ? 8 : 4;
    assert_int_equal(count, 2);
    assert_int_equal(rows[0].op, DF_OP_gemm_fwd);
    assert_string_equal(rows[0].shape, "5>4");
    assert_int_equal(rows[0].calls, 1);
    assert_int_equal(rows[0].rows, ROWS);
    const char *engine = strcmp(device->info.backend, "cpu") == 0    ? "own kernels: product"
                         : strcmp(device->info.backend, "cuda") == 0 ? "own kernels"
                                                                     : "";
    assert_string_equal(rows[0].engine, engine);
    assert_true(rows[0].operations == 2 * ROWS * IN * OUT);
    assert_true(rows[0].bytes == real * (ROWS * IN + ROWS * OUT + OUT * IN + OUT));
    assert_int_equal(rows[1].op, DF_OP_relu_fwd);
    assert_string_equal(rows[1].shape, "4");
    assert_int_equal(rows[1].calls, 2);
    assert_string_equal(rows[1].engine, "");
    assert_true(rows[1].operations == 0);
    assert_true(rows[1].bytes == 2 * real * 2 * ROWS * OUT);
    assert_true(rows[0].seconds > 0 && rows[1].seconds > 0);
    df_timed_reset(timed, false);
    run_product(device, found);
    df_timed_rows(timed, &count);
    assert_int_equal(count, 0);
    df_timed_close(timed);
    assert_ptr_equal(device->backend, own);
    assert_int_equal(device->queue_count, queues);
    run_product(device, found); /* still open */
    assert_int_equal(df_alloc_live(), live);
}

static void test_roofs(void **state)
{
    struct df_timed *timed;
    struct df_timed_roofs roofs;
    test_ok(df_timed_open(&timed, *state));
    test_ok(df_timed_roofs(&roofs, timed));
    assert_true(isfinite(roofs.copy) && roofs.copy > 1e6);
    assert_true(isfinite(roofs.product) && roofs.product > 1e6);
    assert_true(roofs.call > 0 && roofs.call < 1);
    df_timed_close(timed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts), cmocka_unit_test(test_roofs)};
    return test_on_backends(argc, argv, "ref ref64 cpu", tests, sizeof tests / sizeof *tests);
}
