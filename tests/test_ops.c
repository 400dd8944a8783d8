/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise ops and dropout: exact data, on every back end. */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "dropout.h" /* kernels */

enum { N = 7 * 37 };

static void fill_writes_every_cell(void **state)
{
    struct test_rig rig;
    float y[N], expected[N];
    rig_begin(&rig, *state, DF_OP_fill, 7, 37);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, N);
    rig.call.p.value = 0.1;
    rig_run(&rig);
    rig_get(&rig, 0, y);
    for (int i = 0; i < N; i++)
        expected[i] = 0.1F;
    test_same_floats("fill", y, expected, N);
    rig_end(&rig);
}

static void relu_knows_its_corners(void **state)
{
    const float x[8] = {-1, 0, -0.0F, 2, NAN, INFINITY, -INFINITY, FLT_MIN};
    const float expected[8] = {0, 0, 0, 2, 0, INFINITY, 0, FLT_MIN};
    float y[8];
    struct test_rig rig;
    rig_begin(&rig, *state, DF_OP_relu_fwd, 2, 4);
    rig_in(&rig, 0, DF_TYPE_REAL, x, 8);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, 8);
    rig_run(&rig);
    rig_get(&rig, 0, y);
    test_same_floats("relu_fwd", y, expected, 8);
    rig_end(&rig);
}

static void relu_bwd_reads_its_owner(void **state)
{
    const float y[2][19] = {{1, 0, 2, -1, 0, 3}, {0, 5, 0, 0, 7, 0}};
    const int32_t owner[5] = {1, 0, 0, 1, 1};
    float dy[5][19], dx[5][19], expected[5][19];
    test_fill_whole(dy[0], 5 * 19, 3, 1, 9);
    for (int r = 0; r < 5; r++)
        for (int c = 0; c < 19; c++)
            expected[r][c] = y[owner[r]][c] > 0 ? dy[r][c] : 0;
    struct test_rig rig;
    rig_begin(&rig, *state, DF_OP_relu_bwd, 5, 19);
    rig_in(&rig, 0, DF_TYPE_REAL, dy, 5 * 19);
    rig_in(&rig, 1, DF_TYPE_REAL, y, 2 * 19);
    rig_in(&rig, 2, DF_TYPE_I32, owner, 5);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, 5 * 19);
    rig_run(&rig);
    rig_get(&rig, 0, dx);
    test_same_floats("relu_bwd, owners", dx[0], expected[0], 5 * 19);
    rig_end(&rig);

    for (int r = 0; r < 2; r++)
        for (int c = 0; c < 19; c++)
            expected[r][c] = y[r][c] > 0 ? dy[r][c] : 0;
    rig_begin(&rig, *state, DF_OP_relu_bwd, 2, 19);
    rig_in(&rig, 0, DF_TYPE_REAL, dy, 2 * 19);
    rig_in(&rig, 1, DF_TYPE_REAL, y, 2 * 19);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, 2 * 19);
    rig_run(&rig);
    rig_get(&rig, 0, dx);
    test_same_floats("relu_bwd, no owners", dx[0], expected[0], 2 * 19);
    rig_end(&rig);
}

static void add_and_accumulate_add(void **state)
{
    float a[N], b[N], y[N], expected[N];
    test_fill_whole(a, N, 1, -9, 9);
    test_fill_whole(b, N, 2, -9, 9);
    for (int i = 0; i < N; i++)
        expected[i] = a[i] + b[i];
    struct test_rig rig;
    rig_begin(&rig, *state, DF_OP_add_fwd, 7, 37);
    rig_in(&rig, 0, DF_TYPE_REAL, a, N);
    rig_in(&rig, 1, DF_TYPE_REAL, b, N);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, N);
    rig_run(&rig);
    rig_get(&rig, 0, y);
    test_same_floats("add_fwd", y, expected, N);
    rig_end(&rig);

    rig_begin(&rig, *state, DF_OP_accumulate, 7, 37);
    rig_in(&rig, 0, DF_TYPE_REAL, a, N);
    rig_out(&rig, 0, DF_TYPE_REAL, b, N);
    rig_run(&rig);
    rig_get(&rig, 0, y);
    test_same_floats("accumulate", y, expected, N);
    rig_end(&rig);
}

static void copy_cols_moves_a_block(void **state)
{
    float x[3 * 10], y[3 * 23], first[3 * 23], expected[3 * 23];
    test_fill_whole(x, 3 * 10, 5, 1, 99);
    test_fill_whole(first, 3 * 23, 6, -99, -1);
    memcpy(expected, first, sizeof first);
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 6; c++)
            expected[r * 23 + 11 + c] = x[r * 10 + 2 + c];
    struct test_rig rig;
    rig_begin(&rig, *state, DF_OP_copy_cols, 3, 6);
    rig_in(&rig, 0, DF_TYPE_REAL, x, 3 * 10);
    rig_out(&rig, 0, DF_TYPE_REAL, first, 3 * 23);
    rig.call.p.cols.y_stride = 23;
    rig.call.p.cols.y_begin = 11;
    rig.call.p.cols.x_stride = 10;
    rig.call.p.cols.x_begin = 2;
    rig_run(&rig);
    rig_get(&rig, 0, y);
    test_same_floats("copy_cols", y, expected, 3 * 23);
    rig_end(&rig);
}

static void sgd_follows_its_momentum(void **state)
{
    float w[N], v[N], g[N], new_w[N], new_v[N], expected_w[N], expected_v[N];
    test_fill_whole(w, N, 1, -64, 64);
    test_fill_whole(v, N, 2, -64, 64);
    test_fill_whole(g, N, 3, -64, 64);
    for (int i = 0; i < N; i++) {
        expected_v[i] = 0.5F * v[i] + g[i];
        expected_w[i] = w[i] - 0.25F * expected_v[i];
    }
    struct test_rig rig;
    rig_begin(&rig, *state, DF_OP_sgd_step, 1, N);
    rig_in(&rig, 0, DF_TYPE_REAL, g, N);
    rig_out(&rig, 0, DF_TYPE_REAL, w, N);
    rig_out(&rig, 1, DF_TYPE_REAL, v, N);
    rig.call.p.sgd.rate = 0.25;
    rig.call.p.sgd.momentum = 0.5;
    rig_run(&rig);
    rig_get(&rig, 0, new_w);
    rig_get(&rig, 1, new_v);
    test_same_floats("sgd_step w", new_w, expected_w, N);
    test_same_floats("sgd_step v", new_v, expected_v, N);
    rig_end(&rig);
}

static void adam_takes_keras_steps(void **state)
{
    /* Ten steps with a constant gradient, against the formula in double. From zero moments the corrected
     * first step is the learning rate in length, whatever the gradient. */
    const double lr = 1e-3, b1 = 0.9, b2 = 0.999, epsilon = 1e-7;
    float w[N], m[N] = {0}, v[N] = {0}, g[N], expected[N];
    double exact[N], em[N] = {0}, ev[N] = {0};
    test_fill_floats(w, N, 1, -1, 1);
    test_fill_floats(g, N, 2, 0.5, 3);
    for (int i = 0; i < N; i++)
        exact[i] = (double)w[i];
    for (int t = 1; t <= 10; t++) {
        struct test_rig rig;
        rig_begin(&rig, *state, DF_OP_adam_step, 1, N);
        rig_in(&rig, 0, DF_TYPE_REAL, g, N);
        rig_out(&rig, 0, DF_TYPE_REAL, w, N);
        rig_out(&rig, 1, DF_TYPE_REAL, m, N);
        rig_out(&rig, 2, DF_TYPE_REAL, v, N);
        const double rate = lr * sqrt(1 - pow(b2, t)) / (1 - pow(b1, t));
        rig_in(&rig, 1, DF_TYPE_F64, &rate, 1);
        rig.call.p.adam.beta1 = b1;
        rig.call.p.adam.beta2 = b2;
        rig.call.p.adam.epsilon = epsilon;
        rig_run(&rig);
        rig_get(&rig, 0, w);
        rig_get(&rig, 1, m);
        rig_get(&rig, 2, v);
        for (int i = 0; i < N; i++) {
            em[i] = b1 * em[i] + (1 - b1) * (double)g[i];
            ev[i] = b2 * ev[i] + (1 - b2) * (double)g[i] * (double)g[i];
            exact[i] -= rate * em[i] / (sqrt(ev[i]) + epsilon);
        }
        rig_end(&rig);
        for (int i = 0; i < N; i++)
            expected[i] = (float)exact[i];
        test_near("adam_step", w, expected, N, 1e-6);
    }
}

/* Dropout over rows of x. */
static void drop_begin(struct test_rig *rig, struct df_device *device, const float *x, int64_t rows,
                       int64_t cols)
{
    rig_begin(rig, device, DF_OP_dropout, rows, cols);
    rig_in(rig, 0, DF_TYPE_REAL, x, rows * cols);
    rig_out(rig, 0, DF_TYPE_REAL, NULL, rows * cols);
    rig->call.p.dropout.seed = 42;
    rig->call.p.dropout.step = 3;
    rig->call.p.dropout.rate = 0.5;
    rig->call.p.dropout.node = 2;
}

static void drop(struct df_device *device, float *y, const float *x, int64_t rows, int64_t cols, double rate,
                 int64_t step, int64_t first_row, int shared, int node)
{
    struct test_rig rig;
    drop_begin(&rig, device, x, rows, cols);
    rig.call.p.dropout.step = step;
    rig.call.p.dropout.first_row = first_row;
    rig.call.p.dropout.rate = rate;
    rig.call.p.dropout.shared = shared;
    rig.call.p.dropout.node = node;
    rig_run(&rig);
    rig_get(&rig, 0, y);
    rig_end(&rig);
}

static void drop_numbered(struct df_device *device, float *y, const float *x, int64_t rows, int64_t cols,
                          const int32_t *numbers)
{
    struct test_rig rig;
    drop_begin(&rig, device, x, rows, cols);
    rig_in(&rig, 2, DF_TYPE_I32, numbers, rows);
    rig_run(&rig);
    rig_get(&rig, 0, y);
    rig_end(&rig);
}

static void dropout_is_a_function_of_row_and_step(void **state)
{
    enum { ROWS = 64, COLS = 71 }; /* 71: rows begin inside a Philox block */
    static float x[ROWS * COLS], whole[ROWS * COLS], part[ROWS * COLS], other[ROWS * COLS];
    test_fill_whole(x, ROWS * COLS, 1, 1, 9);
    drop(*state, whole, x, ROWS, COLS, 0.5, 3, 0, 0, 2);
    int kept = 0;
    for (int i = 0; i < ROWS * COLS; i++) {
        assert_true(whole[i] == 0 || whole[i] == 2 * x[i]);
        kept += whole[i] != 0;
    }
    assert_in_range(kept, ROWS * COLS * 45 / 100, ROWS * COLS * 55 / 100);
    /* cut into blocks of any size, the same rows are drawn */
    for (int begin = 0; begin < ROWS; begin += 7) {
        const int rows = begin + 7 < ROWS ? 7 : ROWS - begin;
        drop(*state, part + begin * COLS, x + begin * COLS, rows, COLS, 0.5, 3, begin, 0, 2);
    }
    test_same_floats("dropout in blocks", part, whole, ROWS * COLS);
    drop(*state, other, x, ROWS, COLS, 0.5, 4, 0, 0, 2);
    assert_memory_not_equal(other, whole, sizeof other);
    drop(*state, other, x, ROWS, COLS, 0.5, 3, 0, 0, 3);
    assert_memory_not_equal(other, whole, sizeof other);
    drop(*state, other, x, ROWS, COLS, 0.5, 3, 17, 1, 2); /* shared: every row is row 0 */
    for (int i = 0; i < ROWS * COLS; i++)
        assert_true((other[i] == 0) == (whole[i % COLS] == 0));
}

/* A plane is kept or not as an element of a row of planes would be. */
static void dropout_of_planes(void **state)
{
    enum { ROWS = 9, PLANES = 13, PLANE = 35 };
    static float x[ROWS * PLANES * PLANE], y[ROWS * PLANES * PLANE], ones[ROWS * PLANES], kept[ROWS * PLANES];
    test_fill_whole(x, ROWS * PLANES * PLANE, 1, 1, 9);
    for (int i = 0; i < ROWS * PLANES; i++)
        ones[i] = 1;
    for (int shared = 0; shared < 2; shared++) {
        struct test_rig rig;
        drop_begin(&rig, *state, x, ROWS, PLANES * PLANE);
        rig.call.p.dropout.shared = shared;
        rig.call.p.dropout.first_row = 4;
        rig.call.p.dropout.plane = PLANE;
        rig_run(&rig);
        rig_get(&rig, 0, y);
        rig_end(&rig);
        drop(*state, kept, ones, ROWS, PLANES, 0.5, 3, 4, shared, 2);
        for (int i = 0; i < ROWS * PLANES * PLANE; i++)
            assert_true(y[i] == x[i] * kept[i / PLANE]);
    }
}

/* Each element draws the word its comment in kernels/dropout.h says, in rows shorter and longer than what is
 * drawn at once. */
static void dropout_draws_the_documented_words(void **state)
{
    enum { ROWS = 3, MOST = 300 };
    static float x[ROWS * MOST], y[ROWS * MOST], expected[ROWS * MOST];
    const int cols[] = {1, 3, 10, 31, 127, 128, 130, MOST};
    test_fill_whole(x, ROWS * MOST, 1, 1, 9);
    for (size_t c = 0; c < sizeof cols / sizeof *cols; c++) {
        for (int i = 0; i < ROWS * cols[c]; i++) {
            uint32_t words[4];
            const uint64_t e = UINT64_C(5) * (uint64_t)cols[c] + (uint64_t)i;
            df_philox(words, 42, DF_PHILOX_DROPOUT | 2 << 8, 3, e / 4);
            expected[i] = words[e % 4] >= 0x80000000u ? 2 * x[i] : 0;
        }
        drop(*state, y, x, ROWS, cols[c], 0.5, 3, 5, 0, 2);
        test_same_floats("dropout", y, expected, ROWS * cols[c]);
    }
}

/* Rows by number: those of a longer call, in any order; the numbers are unsigned. */
static void dropout_of_numbered_rows(void **state)
{
    enum { ROWS = 40, COLS = 71, SOME = 5 };
    static float x[ROWS * COLS], whole[ROWS * COLS], some[SOME * COLS], far[COLS], expected[SOME * COLS];
    static const int32_t numbers[SOME] = {31, 2, 39, 2, 0}, last = -1;
    for (int i = 0; i < ROWS * COLS; i++)
        x[i] = 1 + (float)(i % COLS);
    drop(*state, whole, x, ROWS, COLS, 0.5, 3, 0, 0, 2);
    for (int i = 0; i < SOME; i++)
        memcpy(expected + i * COLS, whole + numbers[i] * COLS, COLS * sizeof(float));
    drop_numbered(*state, some, x, SOME, COLS, numbers);
    test_same_floats("dropout of numbered rows", some, expected, SOME * COLS);
    drop_numbered(*state, far, x, 1, COLS, &last);
    drop(*state, expected, x, 1, COLS, 0.5, 3, 0xffffffff, 0, 2);
    test_same_floats("dropout of the last row", far, expected, COLS);
}

static void dropout_knows_its_ends(void **state)
{
    float x[40], y[40], expected[40] = {0};
    test_fill_whole(x, 40, 1, 1, 9);
    drop(*state, y, x, 4, 10, 0, 1, 0, 0, 0);
    test_same_floats("dropout of rate 0", y, x, 40);
    drop(*state, y, x, 4, 10, 1, 1, 0, 0, 0);
    test_same_floats("dropout of rate 1", y, expected, 40);
}

static void no_rows_are_no_work(void **state)
{
    struct test_rig rig;
    const float one = 1;
    rig_begin(&rig, *state, DF_OP_relu_fwd, 0, 5);
    rig_in(&rig, 0, DF_TYPE_REAL, &one, 1);
    rig_out(&rig, 0, DF_TYPE_REAL, &one, 1);
    rig_run(&rig);
    float y;
    rig_get(&rig, 0, &y);
    assert_true(y == 1);
    rig_end(&rig);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fill_writes_every_cell),   cmocka_unit_test(relu_knows_its_corners),
        cmocka_unit_test(relu_bwd_reads_its_owner), cmocka_unit_test(add_and_accumulate_add),
        cmocka_unit_test(copy_cols_moves_a_block),  cmocka_unit_test(sgd_follows_its_momentum),
        cmocka_unit_test(adam_takes_keras_steps),   cmocka_unit_test(dropout_is_a_function_of_row_and_step),
        cmocka_unit_test(dropout_of_planes),        cmocka_unit_test(dropout_draws_the_documented_words),
        cmocka_unit_test(dropout_of_numbered_rows), cmocka_unit_test(dropout_knows_its_ends),
        cmocka_unit_test(no_rows_are_no_work),
    };
    return test_on_backends(argc, argv, "ref ref64 cpu check:ref:cpu", tests, sizeof tests / sizeof tests[0]);
}
