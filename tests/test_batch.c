/* SPDX-License-Identifier: Apache-2.0 */
/* What a device's own training steps read and write: kernels/batch.h. */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

#include "batch.h" /* kernels */

enum { SET = 9, SIZE = 37, ROWS = 4, AT = 3, TURN = 2 };

static const int32_t order[] = {8, 0, 5, 2, 7, 7, 1, 4, 3};
static const int32_t labels[SET] = {10, 11, 12, 13, 14, 15, 16, 17, -1};
static const float weights[SET] = {0.5F, 1.5F, 2.5F, 3.5F, 4.5F, 5.5F, 6.5F, 7.5F, 8.5F};
static const double rates[] = {0.1, 0.2, 0.3};

/* A call that takes rows AT... of the order; without samples, or without rates, as an evaluation does. */
static void take(struct test_rig *rig, struct df_device *device, const float *samples, bool with_rates)
{
    const int32_t clock[DF_CLOCK_NUMBERS] = {
        [DF_CLOCK_ROW] = AT, [DF_CLOCK_TURN] = TURN, [DF_CLOCK_STEP] = 70};
    rig_begin(rig, device, DF_OP_batch_take, ROWS, SIZE);
    if (samples != NULL)
        rig_in(rig, 0, DF_TYPE_REAL, samples, (int64_t)SET * SIZE);
    rig_in(rig, 1, DF_TYPE_I32, labels, SET);
    rig_in(rig, 2, DF_TYPE_REAL, weights, SET);
    rig_in(rig, 3, DF_TYPE_I32, order, SET);
    rig_in(rig, 4, DF_TYPE_I32, clock, DF_CLOCK_NUMBERS);
    rig_out(rig, 0, DF_TYPE_REAL, samples != NULL ? NULL : (float[ROWS * SIZE]){1, 2, 3}, ROWS * SIZE);
    rig_out(rig, 1, DF_TYPE_I32, NULL, ROWS);
    rig_out(rig, 2, DF_TYPE_REAL, NULL, ROWS);
    if (with_rates) {
        rig_in(rig, 5, DF_TYPE_F64, rates, 3);
        rig_out(rig, 3, DF_TYPE_F64, NULL, 1);
    }
    rig_run(rig);
}

static void takes_the_rows_that_come_next(void **state)
{
    float samples[SET * SIZE], x[ROWS * SIZE], weight[ROWS];
    int32_t label[ROWS];
    double rate;
    test_fill_floats(samples, SET * SIZE, 1, -1, 1);
    for (int with_rates = 0; with_rates < 2; with_rates++) {
        struct test_rig rig;
        take(&rig, *state, samples, with_rates);
        rig_get(&rig, 0, x);
        rig_get(&rig, 1, label);
        rig_get(&rig, 2, weight);
        for (int i = 0; i < ROWS; i++) {
            const int32_t row = order[AT + i];
            test_same_floats("x", x + i * SIZE, samples + row * SIZE, SIZE);
            assert_int_equal(label[i], labels[row]);
            assert_true(weight[i] == weights[row]);
        }
        if (with_rates) {
            rig_get(&rig, 3, &rate);
            assert_true(rate == rates[TURN]);
        }
        rig_end(&rig);
    }
}

static void leaves_samples_to_the_host(void **state)
{
    struct test_rig rig;
    float x[ROWS * SIZE], expected[ROWS * SIZE] = {1, 2, 3};
    int32_t label[ROWS];
    take(&rig, *state, NULL, true);
    rig_get(&rig, 0, x);
    rig_get(&rig, 1, label);
    test_same_floats("x", x, expected, ROWS * SIZE);
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(label[i], labels[order[AT + i]]);
    rig_end(&rig);
}

static void puts_losses_and_goes_on(void **state)
{
    const int64_t cols[] = {1, 3, 37, 100};
    for (size_t c = 0; c < sizeof cols / sizeof *cols; c++) {
        struct test_rig rig;
        float loss[100], losses[120], found[120];
        int32_t clock[DF_CLOCK_NUMBERS] = {[DF_CLOCK_ROW] = 5, [DF_CLOCK_TURN] = 1, [DF_CLOCK_STEP] = 70};
        test_fill_floats(loss, 100, 2, 0, 3);
        test_fill_floats(losses, 120, 3, -3, 0);
        rig_begin(&rig, *state, DF_OP_batch_put, 1, cols[c]);
        rig_in(&rig, 0, DF_TYPE_REAL, loss, cols[c]);
        rig_out(&rig, 0, DF_TYPE_REAL, losses, 120);
        rig_out(&rig, 1, DF_TYPE_I32, clock, DF_CLOCK_NUMBERS);
        rig_run(&rig);
        rig_get(&rig, 0, found);
        rig_get(&rig, 1, clock);
        memcpy(losses + 5, loss, (size_t)cols[c] * sizeof *loss);
        test_same_floats("losses", found, losses, 120);
        assert_int_equal(clock[DF_CLOCK_ROW], 5 + cols[c]);
        assert_int_equal(clock[DF_CLOCK_TURN], 2);
        assert_int_equal(clock[DF_CLOCK_STEP], 71);
        rig_end(&rig);
    }
}

/* Dropout of step 3 and the clock's 40 is dropout of step 43. */
static void dropout_reads_the_clock(void **state)
{
    enum { N = 6 * 71 };
    float x[N], y[2][N];
    const int32_t clock[DF_CLOCK_NUMBERS] = {[DF_CLOCK_STEP] = 40};
    test_fill_whole(x, N, 1, 1, 9);
    for (int clocked = 0; clocked < 2; clocked++) {
        struct test_rig rig;
        rig_begin(&rig, *state, DF_OP_dropout, 6, 71);
        rig_in(&rig, 0, DF_TYPE_REAL, x, N);
        rig_out(&rig, 0, DF_TYPE_REAL, NULL, N);
        rig.call.p.dropout.rate = 0.5;
        rig.call.p.dropout.step = clocked ? 3 : 43;
        if (clocked)
            rig_in(&rig, 1, DF_TYPE_I32, clock, DF_CLOCK_NUMBERS);
        rig_run(&rig);
        rig_get(&rig, 0, y[clocked]);
        rig_end(&rig);
    }
    test_same_floats("dropout", y[1], y[0], N);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_rows_that_come_next),
        cmocka_unit_test(leaves_samples_to_the_host),
        cmocka_unit_test(puts_losses_and_goes_on),
        cmocka_unit_test(dropout_reads_the_clock),
    };
    return test_on_backends(argc, argv, "ref ref64 cpu check:ref:cpu", tests, sizeof tests / sizeof *tests);
}
