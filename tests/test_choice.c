/* SPDX-License-Identifier: Apache-2.0 */
/* The ops that choose rows on a device (kernels/choice.h, centre.h, race.h), each against a loop that is
 * written out, and all of them against the host's choice. */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "choice.h" /* kernels */
#include "race.h"   /* kernels */
#include "strategy/k_center_device.h"
#include "strategy/row_distance.h"
#include "strategy/selection.h"
#include "support_world.h"

enum { MOST = 3000, SIZE = 37 };

/* ||row i - centre||^2, rows as columns of h [size, rows]. */
static double square_of(const float *h, int64_t rows, int64_t size, int64_t i, const float *centre,
                        int64_t step)
{
    float a[SIZE], b[SIZE];
    for (int64_t k = 0; k < size; k++) {
        a[k] = h[k * rows + i];
        b[k] = centre[k * step];
    }
    return df_square_distance(a, b, size);
}

static void rows_meet_centres(void **state)
{
    static const int64_t sizes[] = {1, 15, 16, 17, 37};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t rows = 301, size = sizes[s];
        struct test_rig rig;
        float h[301 * SIZE], centres[2 * SIZE];
        double nearest[301], found[301];
        test_fill_floats(h, rows * size, 7 + s, -1, 1);
        test_fill_floats(centres, 2 * size, 8 + s, -1, 1);
        for (int64_t i = 0; i < rows; i++)
            nearest[i] = i % 5 == 0 ? -(double)INFINITY : i % 5 == 1 ? (double)INFINITY : 0.7 * (double)size;
        rig_begin(&rig, *state, DF_OP_centre_meet, 1, rows);
        rig.call.p.centre.size = size;
        rig.call.p.centre.count = 2;
        rig_out(&rig, 0, DF_TYPE_F64, nearest, rows);
        rig_in(&rig, 0, DF_TYPE_REAL, h, rows * size);
        rig_in(&rig, 1, DF_TYPE_REAL, centres, 2 * size);
        rig_run(&rig);
        rig_get(&rig, 0, found);
        rig_end(&rig);
        for (int64_t i = 0; i < rows; i++) {
            if (nearest[i] > -(double)INFINITY)
                nearest[i] = fmin(nearest[i], fmin(square_of(h, rows, size, i, centres, 1),
                                                   square_of(h, rows, size, i, centres + size, 1)));
            assert_true(found[i] == nearest[i]);
        }
        for (int32_t choice = -1; choice < 300; choice += 299) {
            rig_begin(&rig, *state, DF_OP_centre_meet, 1, rows);
            rig.call.p.centre.size = size;
            rig_out(&rig, 0, DF_TYPE_F64, nearest, rows);
            rig_in(&rig, 0, DF_TYPE_REAL, h, rows * size);
            rig_in(&rig, 2, DF_TYPE_I32, &choice, 1);
            rig_run(&rig);
            rig_get(&rig, 0, found);
            rig_end(&rig);
            for (int64_t i = 0; i < rows; i++) {
                const double expected = nearest[i] < 0 || choice < 0
                                            ? nearest[i]
                                            : fmin(nearest[i], square_of(h, rows, size, i, h + choice, rows));
                assert_true(found[i] == expected);
            }
        }
    }
}

/* The lowest index of the largest number that is not -INFINITY. */
static int32_t farthest_of(const double *nearest, int64_t begin, int64_t end)
{
    int32_t best = -1;
    for (int64_t i = begin; i < end; i++)
        if (nearest[i] > -(double)INFINITY && (best < 0 || nearest[i] > nearest[best]))
            best = (int32_t)i;
    return best;
}

static void finds_and_takes_the_farthest(void **state)
{
    static const int64_t counts[] = {1, 31, 1024, 1025, MOST};
    static double nearest[MOST], left[MOST];
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (int kind = 0; kind < 3;
             kind++) { /* few values, so that many are equal; all equal; nobody is left */
            const int64_t n = counts[c], groups = df_choice_groups(n);
            float draws[MOST];
            int32_t farthest[3], choice;
            double square;
            struct test_rig rig;
            test_fill_floats(draws, n, 11 + c, -2, 9);
            for (int64_t i = 0; i < n; i++)
                nearest[i] = kind == 0   ? floor((double)draws[i])
                             : kind == 1 ? (double)INFINITY
                                         : -(double)INFINITY;
            rig_begin(&rig, *state, DF_OP_choice_group, groups, 1);
            rig.call.p.choice.rows = n;
            rig_out(&rig, 0, DF_TYPE_I32, NULL, groups);
            rig_in(&rig, 0, DF_TYPE_F64, nearest, n);
            rig_run(&rig);
            rig_get(&rig, 0, farthest);
            rig_end(&rig);
            for (int64_t g = 0; g < groups; g++)
                assert_int_equal(farthest[g], farthest_of(nearest, g * DF_CHOICE_GROUP,
                                                          g + 1 < groups ? (g + 1) * DF_CHOICE_GROUP : n));
            rig_begin(&rig, *state, DF_OP_choice_pick, 1, 1);
            rig.call.p.choice.rows = n;
            rig_out(&rig, 0, DF_TYPE_I32, NULL, 1);
            rig_out(&rig, 1, DF_TYPE_F64, NULL, 1);
            rig_out(&rig, 2, DF_TYPE_F64, nearest, n);
            rig_in(&rig, 0, DF_TYPE_I32, farthest, groups);
            rig_run(&rig);
            rig_get(&rig, 0, &choice);
            rig_get(&rig, 1, &square);
            rig_get(&rig, 2, left);
            rig_end(&rig);
            const int32_t expected = farthest_of(nearest, 0, n);
            assert_int_equal(choice, expected);
            assert_true(square == (expected < 0 ? -(double)INFINITY : nearest[expected]));
            if (expected >= 0)
                nearest[expected] = -(double)INFINITY;
            assert_memory_equal(left, nearest, (size_t)n * sizeof *left);
        }
}

/* Rows some of which are equal, some not finite; with and without centres before, and more asked for than
 * there are. */
static void chooses_what_the_host_chooses(void **state)
{
    static const struct {
        int64_t n, size, before, q;
    } cases[] = {{1, 3, 0, 1}, {200, 10, 0, 200}, {2500, 37, 150, 100}, {300, 5, 1, 300}, {70, 1, 3, 70}};
    dfal_context *context = world_context("ref", 2, NULL, NULL);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int64_t n = cases[c].n, size = cases[c].size, before = cases[c].before;
        float *h, *centres;
        int64_t *rows;
        struct df_choices host = {0}, device = {0};
        test_ok(df_alloc(&h, n * size, sizeof *h));
        test_ok(df_alloc(&centres, before * size + 1, sizeof *centres));
        test_ok(df_alloc(&rows, n, sizeof *rows));
        test_ok(df_alloc(&host.list, n, sizeof *host.list));
        test_ok(df_alloc(&device.list, n, sizeof *device.list));
        test_fill_floats(h, n * size, 3 + c, -1, 1);
        test_fill_floats(centres, before * size, 4 + c, -1, 1);
        for (int64_t i = 0; i < n; i++) {
            rows[i] = 3 * i + 1;
            if (i % 7 == 3)
                memcpy(h + i * size, h + (i - 1) * size, (size_t)size * sizeof *h);
            if (i % 11 == 10)
                h[i * size] = i % 2 ? NAN : INFINITY;
        }
        if (before > 1)
            centres[size] = NAN;
        const struct df_k_center_among among = {
            .from = {.context = context, .seed = 17 + c, .rows = rows, .h = {n, size, h}},
            .before = {before, size, centres}};
        test_ok(df_k_center_greedy(&among, cases[c].q, &host));
        test_ok(df_k_center_on_device(*state, &among, cases[c].q, &device));
        assert_int_equal(device.count, host.count);
        assert_int_equal(device.nonfinite, host.nonfinite);
        assert_int_equal(host.count, n - host.nonfinite < cases[c].q ? n - host.nonfinite : cases[c].q);
        for (int64_t i = 0; i < host.count; i++) {
            assert_int_equal(device.list[i].candidate, host.list[i].candidate);
            assert_true(device.list[i].score == host.list[i].score);
        }
        df_free(h);
        df_free(centres);
        df_free(rows);
        df_free(host.list);
        df_free(device.list);
    }
    dfal_context_destroy(context);
}

/* One row is gone, one equals the chosen row, the others race. */
static void gradients_meet_the_chosen(void **state)
{
    enum { ROWS = 70, CLASSES = 10 };
    float h[ROWS * SIZE], a[ROWS * CLASSES], own_h[ROWS][SIZE], own_a[ROWS][CLASSES];
    double square[ROWS], number[ROWS], nearest[ROWS], priority[ROWS], found[ROWS];
    float other[CLASSES + SIZE]; /* row 6, as if it were elsewhere */
    const int32_t chosen[] = {5, -1};
    test_fill_floats(h, ROWS * SIZE, 21, -1, 1);
    test_fill_floats(a, ROWS * CLASSES, 22, -1, 1);
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < SIZE; k++)
            own_h[i][k] = h[k * ROWS + i] = i == 9 ? h[k * ROWS + 5] : h[k * ROWS + i];
        for (int k = 0; k < CLASSES; k++)
            own_a[i][k] = a[k * ROWS + i] = i == 9 ? a[k * ROWS + 5] : a[k * ROWS + i];
        square[i] = df_dot_product(own_a[i], own_a[i], CLASSES) * df_dot_product(own_h[i], own_h[i], SIZE);
        number[i] = 1e9 + 7 * i;
        nearest[i] = i % 2 ? (double)INFINITY : 3;
        priority[i] = i == 4 ? -(double)INFINITY : 0.5;
    }
    memcpy(other, own_a[6], sizeof own_a[6]);
    memcpy(other + CLASSES, own_h[6], sizeof own_h[6]);
    for (int c = 0; c < 3; c++) { /* row 5; nobody is left; another rank's row */
        const int met = c == 2 ? 6 : 5;
        struct test_rig rig;
        rig_begin(&rig, *state, DF_OP_badge_meet, 1, ROWS);
        rig.call.p.badge.classes = CLASSES;
        rig.call.p.badge.size = SIZE;
        rig.call.p.badge.seed = 99;
        rig_out(&rig, 0, DF_TYPE_F64, nearest, ROWS);
        rig_out(&rig, 1, DF_TYPE_F64, priority, ROWS);
        rig_in(&rig, 0, DF_TYPE_REAL, a, ROWS * CLASSES);
        rig_in(&rig, 1, DF_TYPE_REAL, h, ROWS * SIZE);
        rig_in(&rig, 2, DF_TYPE_F64, square, ROWS);
        rig_in(&rig, 3, DF_TYPE_F64, number, ROWS);
        if (c < 2)
            rig_in(&rig, 4, DF_TYPE_I32, &chosen[c], 1);
        if (c == 2) {
            rig_in(&rig, 5, DF_TYPE_REAL, other, CLASSES + SIZE);
            rig_in(&rig, 6, DF_TYPE_F64, &square[6], 1);
        }
        rig_run(&rig);
        for (int i = 0; i < ROWS; i++) {
            const double product =
                df_dot_product(own_a[i], own_a[met], CLASSES) * df_dot_product(own_h[i], own_h[met], SIZE);
            if (priority[i] == -(double)INFINITY || c == 1)
                continue;
            nearest[i] = fmin(nearest[i], fmax(0, square[i] + square[met] - 2 * product));
            priority[i] = df_badge_priority(nearest[i], 99, (uint64_t)number[i]);
        }
        rig_get(&rig, 0, found);
        assert_memory_equal(found, nearest, sizeof found);
        rig_get(&rig, 1, found);
        assert_memory_equal(found, priority, sizeof found);
        rig_end(&rig);
    }
    assert_true(nearest[9] == 0 && nearest[5] == 0 && priority[9] < 0 && priority[8] > 0);
}

/* The race's logarithm against libm's, and its ends. */
static void logarithms_are_exact(void **state)
{
    (void)state;
    double v = 1;
    assert_true(df_log_fraction(1) == 0 && !signbit(0 - df_log_fraction(1)));
    for (int i = 0; i < 20000; i++, v *= 0.9987) {
        const double ours = df_log_fraction(v), theirs = log(v);
        assert_true(fabs(ours - theirs) <= 0x1.1p-52 * fabs(theirs) + 1e-300);
    }
    assert_true(df_log_fraction(1 - 0x1p-53) == -0x1p-53);
    assert_true(fabs(df_log_fraction(0x1p-53) + 53 * 0.69314718055994531) < 1e-14);
}

/* A selection on a device that is taken for a wide one is that of the host. */
static void selects_what_the_host_selects(void **state)
{
    static const char *const names[] = {"coreset-greedy", "badge", "dfal-diverse"};
    (void)state;
    for (size_t s = 0; s < sizeof names / sizeof *names; s++) {
        struct df_selection selection[2] = {{0}};
        for (int wide = 0; wide < 2; wide++) {
            struct world_opened opened;
            struct df_selection_options options = {.count = 20, .seed = 5};
            world_open(&opened, test_backend(), 1, world.net, world.train);
            opened.device->wide = wide;
            test_ok(df_strategy_find(&options.strategy, names[s]));
            test_ok(df_deepfool_preset(&options.deepfool, "lts4"));
            test_ok(df_select(opened.context, opened.device, opened.network, opened.pool, opened.rows,
                              WORLD_ROWS, &options, &selection[wide]));
            world_close(&opened);
        }
        assert_int_equal(selection[0].count, 20);
        assert_int_equal(selection[1].count, 20);
        assert_memory_equal(selection[1].index, selection[0].index, 20 * sizeof *selection[0].index);
        assert_memory_equal(selection[1].score, selection[0].score, 20 * sizeof *selection[0].score);
        df_selection_clear(&selection[0]);
        df_selection_clear(&selection[1]);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_meet_centres),
        cmocka_unit_test(finds_and_takes_the_farthest),
        cmocka_unit_test(chooses_what_the_host_chooses),
        cmocka_unit_test(gradients_meet_the_chosen),
        cmocka_unit_test(logarithms_are_exact),
        cmocka_unit_test(selects_what_the_host_selects),
    };
    void *unused = NULL;
    if (world_setup(&unused))
        return 1;
    const int failed =
        test_on_backends(argc, argv, "ref cpu check:ref:cpu", tests, sizeof tests / sizeof *tests);
    return world_teardown(&unused) ? 1 : failed;
}
