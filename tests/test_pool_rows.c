/* SPDX-License-Identifier: Apache-2.0 */
/* Rows by their numbers: decoded, summed and looked at, of both raw types, in any order and over more than
 * one block. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "score/pool_rows.h"
#include "support.h"

/* A block has 16 MiB: 23 rows of floats. */
enum { N = 30, C = 3, PLANE = 200 * 300, ROW = C * PLANE };
static const double scale[C] = {0.5, 1, 2}, offset[C] = {-1, 0, 3};
static char folder[TEST_PATH];

static float raw_value(int64_t row, int64_t k)
{
    return (float)((7 * row + k) % 256);
}

/* Rows in `spoilt` have NaN or infinity for their last value. */
static struct df_pool *make_pool(enum df_raw_type type, const int64_t *spoilt, int64_t spoilt_count)
{
    const struct df_pool_spec spec = {.count = N,
                                      .shape = {C, 200, 300},
                                      .raw = type,
                                      .class_count = 2,
                                      .scale = scale,
                                      .offset = offset,
                                      .affine_count = C};
    char path[TEST_PATH];
    struct df_pool_writer *writer;
    struct df_pool *pool;
    uint8_t *bytes;
    float *reals;
    test_ok(df_alloc(&bytes, ROW, sizeof *bytes));
    test_ok(df_alloc(&reals, ROW, sizeof *reals));
    test_join(path, folder, "pool.h5");
    test_ok(df_pool_create(&writer, path, &spec, true));
    for (int64_t i = 0; i < N; i++) {
        for (int64_t k = 0; k < ROW; k++) {
            reals[k] = raw_value(i, k);
            bytes[k] = (uint8_t)reals[k];
        }
        for (int64_t s = 0; s < spoilt_count; s++)
            if (spoilt[s] == i)
                reals[ROW - 1] = s % 2 ? INFINITY : NAN;
        test_ok(df_pool_append(writer, type == DF_RAW_U8 ? (void *)bytes : (void *)reals, NULL, 1));
    }
    test_ok(df_pool_finish(writer));
    test_ok(df_pool_open(&pool, NULL, path, NULL));
    df_free(bytes);
    df_free(reals);
    return pool;
}

/* Every row, in an order that is none. */
static void make_order(int64_t rows[N])
{
    for (int64_t i = 0; i < N; i++)
        rows[i] = (i * 7 + 4) % N;
}

static void test_read(void **state)
{
    (void)state;
    int64_t rows[N];
    make_order(rows);
    for (int type = 0; type < 2; type++) {
        struct df_pool *pool = make_pool(type ? DF_RAW_U8 : DF_RAW_F32, NULL, 0);
        const size_t bytes = df_pool_row_bytes(pool);
        struct df_row_sum sum = {0}, expected = {0};
        float *x;
        char *raw;
        test_ok(df_alloc(&x, (int64_t)N * ROW, sizeof *x));
        test_ok(df_alloc(&raw, 1, bytes));
        test_ok(df_pool_rows_read(x, &sum, pool, rows, N));
        for (int64_t i = 0; i < N; i++) {
            for (int64_t k = 0; k < ROW; k++) {
                const float wanted =
                    raw_value(rows[i], k) * (float)scale[k / PLANE] + (float)offset[k / PLANE];
                if (x[i * ROW + k] != wanted)
                    test_fail("row %d, value %d is %g, expected %g", (int)rows[i], (int)k,
                              (double)x[i * ROW + k], (double)wanted);
            }
            test_ok(df_pool_read(pool, raw, i, i + 1));
            df_row_sum_take(&expected, raw, bytes, i);
        }
        assert_true(df_row_sum_same(sum, expected));
        memset(x, 0, 2 * ROW * sizeof *x);
        test_ok(df_pool_rows_read(x, NULL, pool, rows + 1, 1));
        assert_true(x[1] == raw_value(rows[1], 1) * 0.5F - 1 && x[ROW] == 0); /* one row, and no more */
        test_error(df_pool_rows_read(x, NULL, pool, &(int64_t){N}, 1), DFAL_E_INTERNAL, "");
        df_free(x);
        df_free(raw);
        df_pool_close(pool);
    }
}

static void test_finite(void **state)
{
    (void)state;
    static const int64_t spoilt[] = {2, 29, 11}; /* the order puts 29 into the second block */
    int64_t rows[N];
    bool finite[N];
    make_order(rows);
    for (int type = 0; type < 2; type++) {
        struct df_pool *pool = make_pool(type ? DF_RAW_U8 : DF_RAW_F32, spoilt, 3);
        memset(finite, type ? 0 : 1, sizeof finite);
        test_ok(df_pool_rows_are_finite(finite, pool, rows, N));
        for (int64_t i = 0; i < N; i++)
            assert_int_equal(finite[i], type || (rows[i] != 2 && rows[i] != 29 && rows[i] != 11));
        test_ok(df_pool_rows_are_finite(finite, pool, rows, 0));
        df_pool_close(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_finite)};
    test_folder_create(folder);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return failed;
}
