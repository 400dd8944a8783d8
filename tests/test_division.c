/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows are trained on and which are watched: rows that belong together are never parted, rows by
 * themselves are divided as a plain permutation divides them; and a training that counts steps takes as many
 * whatever its rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/rng.h"
#include "net/division.h"
#include "net/training.h"
#include "support.h"
#include "support_device.h"

enum { ALONE = 10, PAIRS = 40, ROWS = ALONE + 2 * PAIRS };

/* Ten rows by themselves, then queries in tens, each ten followed by its twins. */
static void number_units(int64_t unit[ROWS])
{
    for (int64_t i = 0; i < ROWS; i++) {
        const int64_t of = (i - ALONE) / 20, at = (i - ALONE) % 20;
        unit[i] = i < ALONE ? i : ALONE + 10 * of + at % 10;
    }
}

static void test_together(void **state)
{
    (void)state;
    int64_t unit[ROWS], rows[ROWS], order[ROWS], trained;
    const struct df_training_set set = {.count = ROWS, .unit = unit};
    struct df_division division;
    bool moved = false;
    number_units(unit);
    test_ok(df_division_create(&division, &set, 0.2));
    assert_int_equal(division.units, ALONE + PAIRS);
    assert_int_equal(division.kept, 10);
    for (uint64_t seed = 1; seed <= 50; seed++) {
        int side[ALONE + PAIRS] = {0}, seen[ROWS] = {0};
        test_ok(df_division_draw(&division, seed, rows, &trained, order));
        for (int64_t i = 0; i < ROWS; i++) {
            const int bit = i < trained ? 1 : 2;
            side[unit[rows[i]]] |= bit;
            seen[rows[i]]++;
        }
        int64_t kept = 0;
        for (int u = 0; u < ALONE + PAIRS; u++) {
            assert_int_not_equal(side[u], 3);
            kept += side[u] == 2;
        }
        assert_int_equal(kept, 10);
        for (int64_t i = 0; i < ROWS; i++)
            assert_int_equal(seen[i], 1);
        moved = moved || rows[0] != 0;
    }
    assert_true(moved);
    df_division_clear(&division);
    unit[3] = 7;
    test_error(df_division_create(&division, &set, 0.2), DFAL_E_INTERNAL, "row 3 is of unit 7");
    df_division_clear(&division);
}

/* Rows of no unit are trained on whatever the seed, and the others are divided as if they were not there. */
static void test_always(void **state)
{
    (void)state;
    enum { MORE = 7 };
    int64_t unit[ROWS + MORE], rows[ROWS + MORE], order[ROWS], expected[ROWS], trained, without;
    const struct df_training_set set = {.count = ROWS + MORE, .unit = unit},
                                 less = {.count = ROWS, .unit = unit};
    struct df_division division, plain;
    number_units(unit);
    for (int64_t i = ROWS; i < ROWS + MORE; i++)
        unit[i] = DF_UNIT_NONE;
    test_ok(df_division_create(&division, &set, 0.2));
    test_ok(df_division_create(&plain, &less, 0.2));
    assert_int_equal(division.kept, plain.kept);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        test_ok(df_division_draw(&division, seed, rows, &trained, order));
        test_ok(df_division_draw(&plain, seed, expected, &without, order));
        assert_int_equal(trained, without + MORE);
        assert_memory_equal(rows, expected, (size_t)without * sizeof *rows);
        for (int64_t i = 0; i < MORE; i++)
            assert_int_equal(rows[without + i], ROWS + i);
        assert_memory_equal(rows + trained, expected + without, (size_t)(ROWS - without) * sizeof *rows);
    }
    df_division_clear(&division);
    df_division_clear(&plain);
    unit[ROWS + 1] = -2;
    test_error(df_division_create(&division, &set, 0.2), DFAL_E_INTERNAL, "row 91 is of unit -2");
    df_division_clear(&division);
}

/* What a set without twins was divided into before there were units. */
static void test_by_itself(void **state)
{
    (void)state;
    int64_t rows[ROWS], order[ROWS], expected[ROWS], trained;
    const struct df_training_set set = {.count = ROWS};
    struct df_division division;
    test_ok(df_division_create(&division, &set, 0.25));
    test_ok(df_division_draw(&division, 7, rows, &trained, order));
    test_ok(df_random_permutation(expected, ROWS, 7, DF_STREAM_SPLIT, 0));
    assert_memory_equal(rows, expected, sizeof rows);
    assert_int_equal(trained, ROWS - 22);
    df_division_clear(&division);
    static const struct {
        int64_t count;
        double fraction;
        int64_t kept;
    } cases[] = {{1, 0.5, 0}, {2, 0.1, 1}, {9, 0.2, 1}, {10, 0.2, 2}, {5, 0.99, 4}, {5, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct df_training_set some = {.count = cases[i].count};
        test_ok(df_division_create(&division, &some, cases[i].fraction));
        assert_int_equal(division.kept, cases[i].kept);
        df_division_clear(&division);
    }
}

/* ---- Steps ------------------------------------------------------------------------------------ */

struct trained {
    struct df_training_result result;
    float weight[4];
};

static struct trained train(struct df_device *device, int64_t count, const int64_t *unit,
                            const struct df_training_options *options)
{
    struct dfal_context_options defaults;
    struct dfal_context *context;
    struct df_training_row rows[ROWS];
    float x[2 * ROWS];
    struct df_network *n;
    struct trained out;
    for (int64_t i = 0; i < count; i++) {
        rows[i] = (struct df_training_row){.index = i, .label = (int32_t)(i % 2), .weight = 1};
        x[2 * i] = (float)(i % 2);
        x[2 * i + 1] = (float)(i % 7) / 7.0f;
    }
    const struct df_training_set set = {.count = count, .size = 2, .rows = rows, .x = x, .unit = unit};
    dfal_context_options_init(&defaults);
    test_ok(dfal_context_create(&context, &defaults));
    test_ok(df_network_create(&n, (struct df_shape){2, 1, 1}, 2));
    test_ok(df_network_add(n, NULL, "fc", DF_NODE_GEMM, (int32_t[]){DF_INPUT}, 1));
    n->nodes[0].parameter[DF_WEIGHT].dims[0] = 2;
    test_ok(df_network_infer(n));
    test_ok(df_train(context, device, n, &set, options, NULL, NULL, NULL, &out.result));
    for (int i = 0; i < 4; i++)
        out.weight[i] = n->nodes[0].parameter[DF_WEIGHT].data[i];
    df_network_destroy(n);
    dfal_context_destroy(context);
    return out;
}

static void test_steps(void **state)
{
    struct df_training_options options;
    df_training_options_init(&options);
    options.batch = 4;
    options.epochs = 2;
    const struct trained epochs = train(*state, 10, NULL, &options);
    assert_int_equal(epochs.result.steps, 6);
    options.epochs = 1000; /* not looked at */
    options.steps = 6;
    const struct trained whole = train(*state, 10, NULL, &options);
    test_same_floats("six steps are two epochs of three", whole.weight, epochs.weight, 4);
    assert_int_equal(whole.result.epochs, 2);
    options.steps = 7; /* the third epoch ends behind its first step */
    const struct trained cut = train(*state, 10, NULL, &options);
    assert_int_equal(cut.result.steps, 7);
    assert_int_equal(cut.result.epochs, 3);
    assert_memory_not_equal(cut.weight, whole.weight, sizeof cut.weight);
    options.steps = 9;
    const struct trained third = train(*state, 10, NULL, &options);
    assert_memory_not_equal(cut.weight, third.weight, sizeof cut.weight);
    assert_true(third.result.epochs == 3 && third.result.steps == 9);
    options.steps = 2; /* less than one epoch */
    assert_int_equal(train(*state, 10, NULL, &options).result.steps, 2);
    /* Twice the rows, restarts that keep other numbers of rows aside: the same steps. */
    int64_t unit[ROWS];
    number_units(unit);
    options.steps = 31;
    options.restarts = 3;
    options.validation = 0.2;
    assert_int_equal(train(*state, ROWS, unit, &options).result.steps, 31);
    assert_int_equal(train(*state, ROWS / 2, NULL, &options).result.steps, 31);
    options.steps = -1;
    struct df_network *n = NULL;
    const struct df_training_set none = {0};
    struct df_training_result result;
    test_error(df_train(NULL, *state, n, &none, &options, NULL, NULL, NULL, &result), DFAL_E_USAGE,
               "-1 steps");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_always),
        cmocka_unit_test(test_by_itself),
        cmocka_unit_test(test_steps),
    };
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
