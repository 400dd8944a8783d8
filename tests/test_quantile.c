/* SPDX-License-Identifier: Apache-2.0 */
/* Quartiles in two passes against a sorted copy. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "score/quantile.h"
#include "support.h"

enum { LARGEST = 1000 };

static int compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* Fails unless every quartile of v is the element of its rank, (count - 1) q / 4 to the nearest. */
static void check(float *v, int64_t count)
{
    struct df_quantiles quantiles;
    double values[DF_QUANTILES];
    test_ok(df_quantiles_open(&quantiles));
    for (int64_t i = 0; i < count; i++)
        df_quantiles_first(&quantiles, v[i]);
    df_quantiles_turn(&quantiles);
    for (int64_t i = count - 1; i >= 0; i--)
        df_quantiles_second(&quantiles, v[i]);
    df_quantiles_values(&quantiles, values);
    df_quantiles_close(&quantiles);
    qsort(v, (size_t)count, sizeof *v, compare);
    for (int q = 0; q < DF_QUANTILES; q++) {
        const double expected = (double)v[(int64_t)(0.25 * q * (double)(count - 1) + 0.5)];
        if (values[q] != expected)
            test_fail("quartile %d of %lld values is %.9g, expected %.9g", q, (long long)count, values[q],
                      expected);
    }
}

static void test_quartiles(void **state)
{
    (void)state;
    float v[LARGEST];
    float edges[] = {0.0F, -0.0F, FLT_TRUE_MIN, FLT_MIN, 1.0F, 1.0F, 1.0F, FLT_MAX, 0.5F};
    check(edges, 9);
    for (int64_t count = 1; count <= LARGEST; count += count < 20 ? 1 : 97) {
        test_fill_floats(v, count, (uint64_t)count, 0, 3);
        check(v, count);
        for (int64_t i = 0; i < count; i++) /* many ties, and values that share their upper bits */
            v[i] = 1 + (float)(i % 7) * FLT_EPSILON;
        check(v, count);
    }
}

static void test_nothing(void **state)
{
    (void)state;
    struct df_quantiles quantiles;
    double values[DF_QUANTILES];
    test_ok(df_quantiles_open(&quantiles));
    df_quantiles_turn(&quantiles);
    df_quantiles_values(&quantiles, values);
    df_quantiles_close(&quantiles);
    for (int q = 0; q < DF_QUANTILES; q++)
        assert_true(isnan(values[q]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_quartiles), cmocka_unit_test(test_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
