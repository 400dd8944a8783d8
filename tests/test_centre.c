/* SPDX-License-Identifier: Apache-2.0 */
/* The ops of a k-center on a device (kernels/centre.h), each against a loop that is written out, and all of
 * them against the host's k-center. */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "centre.h" /* kernels */
#include "strategy/k_center_device.h"
#include "strategy/row_distance.h"
#include "support_world.h"

enum { MOST = 3000, SIZE = 37 };

static void set(struct test_rig *rig, int64_t rows, int64_t size, int64_t count)
{
    rig->call.p.centre.rows = rows;
    rig->call.p.centre.size = size;
    rig->call.p.centre.count = count;
}

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
            nearest[i] = i % 5 == 0 ? -1 : i % 5 == 1 ? (double)INFINITY : 0.7 * (double)size;
        rig_begin(&rig, *state, DF_OP_centre_meet, 1, rows);
        set(&rig, rows, size, 2);
        rig_out(&rig, 0, DF_TYPE_F64, nearest, rows);
        rig_in(&rig, 0, DF_TYPE_REAL, h, rows * size);
        rig_in(&rig, 1, DF_TYPE_REAL, centres, 2 * size);
        rig_run(&rig);
        rig_get(&rig, 0, found);
        rig_end(&rig);
        for (int64_t i = 0; i < rows; i++) {
            if (nearest[i] >= 0)
                nearest[i] = fmin(nearest[i], fmin(square_of(h, rows, size, i, centres, 1),
                                                   square_of(h, rows, size, i, centres + size, 1)));
            assert_true(found[i] == nearest[i]);
        }
        for (int32_t choice = -1; choice < 300; choice += 299) {
            rig_begin(&rig, *state, DF_OP_centre_meet, 1, rows);
            set(&rig, rows, size, 0);
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

/* The lowest index of the largest number that is not below 0. */
static int32_t farthest_of(const double *nearest, int64_t begin, int64_t end)
{
    int32_t best = -1;
    for (int64_t i = begin; i < end; i++)
        if (nearest[i] >= 0 && (best < 0 || nearest[i] > nearest[best]))
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
            const int64_t n = counts[c], groups = df_centre_groups(n);
            float draws[MOST];
            int32_t farthest[3], choice;
            double square;
            struct test_rig rig;
            test_fill_floats(draws, n, 11 + c, -2, 9);
            for (int64_t i = 0; i < n; i++)
                nearest[i] = kind == 0 ? floor((double)draws[i]) : kind == 1 ? (double)INFINITY : -1;
            rig_begin(&rig, *state, DF_OP_centre_farthest, groups, 1);
            set(&rig, n, 1, 0);
            rig_out(&rig, 0, DF_TYPE_I32, NULL, groups);
            rig_in(&rig, 0, DF_TYPE_F64, nearest, n);
            rig_run(&rig);
            rig_get(&rig, 0, farthest);
            rig_end(&rig);
            for (int64_t g = 0; g < groups; g++)
                assert_int_equal(farthest[g], farthest_of(nearest, g * DF_CENTRE_GROUP,
                                                          g + 1 < groups ? (g + 1) * DF_CENTRE_GROUP : n));
            rig_begin(&rig, *state, DF_OP_centre_pick, 1, 1);
            set(&rig, n, 1, 0);
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
            assert_true(square == (expected < 0 ? 0 : nearest[expected]));
            if (expected >= 0)
                nearest[expected] = -1;
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_meet_centres),
        cmocka_unit_test(finds_and_takes_the_farthest),
        cmocka_unit_test(chooses_what_the_host_chooses),
    };
    return test_on_backends(argc, argv, "ref cpu check:ref:cpu", tests, sizeof tests / sizeof *tests);
}
