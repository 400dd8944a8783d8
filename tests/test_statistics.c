/* SPDX-License-Identifier: Apache-2.0 */
/* Student's t against tabulated values, tables and escaping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "run/curve.h"
#include "run/statistics.h"
#include "strategy/selection.h"
#include "support.h"

static void near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        test_fail("found %.17g, expected %.17g", found, expected);
}

static void test_t(void **state)
{
    (void)state;
    /* Two-sided 5 % points of Student's t (Fisher's table), and closed forms for 1 and 2 degrees. */
    static const struct {
        double t, freedom, p;
    } table[] = {
        {12.706205, 1, 0.05},  {4.302653, 2, 0.05},
        {3.182446, 3, 0.05},   {2.776445, 4, 0.05},
        {2.262157, 9, 0.05},   {2.042272, 30, 0.05},
        {1.959964, 1e9, 0.05}, {9.924843, 2, 0.01},
        {1, 1, 0.5},           {0, 5, 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        near(df_t_two_sided(table[i].t, table[i].freedom), table[i].p, 2e-7);
    for (double t = 0.01; t < 100; t *= 1.7) {
        near(df_t_two_sided(t, 1), 1 - 2 / M_PI * atan(t), 1e-12);
        near(df_t_two_sided(-t, 2), 1 - t / sqrt(2 + t * t), 1e-12);
    }
    near(df_half_interval(1, 2), 12.706205, 1e-6);
    near(df_half_interval(2, 3), 2 * 4.302653, 2e-6);
    near(df_half_interval(1, 31), 2.042272, 1e-6);
    assert_true(isnan(df_half_interval(1, 1)));
    assert_true(isnan(df_t_two_sided(1, 0)));
    assert_true(df_t_two_sided(INFINITY, 3) == 0);
}

static void test_paired(void **state)
{
    (void)state;
    double mean, error, p;
    df_mean((double[]){1, 2, 3, 4}, 4, &mean, &error);
    near(mean, 2.5, 0);
    near(error, sqrt(5.0 / 3 / 4), 1e-15);
    df_paired_test((double[]){5, 7, 9}, (double[]){4, 5, 6}, 3, &mean, &error, &p);
    near(mean, 2, 0);
    near(error, 1 / sqrt(3.0), 1e-15);
    near(p, 1 - 3.4641016151377544 / sqrt(2 + 12), 1e-12);
    /* Differences that are all the same, also but for rounding: nothing can be tested. */
    df_paired_test((double[]){1, 1}, (double[]){0, 0}, 2, &mean, &error, &p);
    assert_true(isnan(p) && mean == 1 && error == 0);
    df_paired_test((double[]){1, 1}, (double[]){1, 1}, 2, &mean, &error, &p);
    assert_true(isnan(p) && mean == 0 && error == 0);
    const double a[] = {0.3, 0.8, 0.9}, b[] = {0.2, 0.7, 0.8};
    assert_true(a[0] - b[0] != a[1] - b[1]);
    df_paired_test(a, b, 3, &mean, &error, &p);
    near(mean, 0.1, 1e-15);
    assert_true(isnan(p) && error == 0);
    df_paired_test((double[]){0.3001, 0.8}, b, 2, &mean, &error,
                   &p); /* one sample in ten thousand is a difference */
    assert_true(p > 0 && p < 1e-3);
    df_paired_test((double[]){1}, (double[]){0}, 1, &mean, &error, &p);
    assert_true(isnan(p) && isnan(error) && mean == 1);
    df_mean(NULL, 0, &mean, &error);
    assert_true(isnan(mean) && isnan(error));
}

static void test_holm(void **state)
{
    (void)state;
    double c[5];
    /* Holm 1979; p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") of R gives 0.03 0.06 0.06 0.02. */
    df_holm(c, (const double[]){0.01, 0.04, 0.03, 0.005}, 4);
    const double expected[] = {0.03, 0.06, 0.06, 0.02};
    for (int i = 0; i < 4; i++)
        near(c[i], expected[i], 1e-15);
    /* What was not tested does not count. */
    df_holm(c, (const double[]){NAN, 0.02, NAN, 0.03, 0.9}, 5);
    assert_true(isnan(c[0]) && isnan(c[2]));
    near(c[1], 0.06, 1e-15);
    near(c[3], 0.06, 1e-15);
    near(c[4], 0.9, 0);
    df_holm(c, (const double[]){0.04}, 1); /* one comparison needs no correction */
    near(c[0], 0.04, 0);
    df_holm(c, (const double[]){0.5, 0.5, 0.5}, 3);
    assert_true(c[0] == 1 && c[1] == 1 && c[2] == 1);
}

static void expect(struct df_text *text, const char *expected)
{
    char *found = NULL;
    test_ok(df_text_take(text, &found));
    assert_string_equal(found, expected);
    df_free(found);
}

static void test_text(void **state)
{
    (void)state;
    struct df_text text = {0};
    static const char *const csv[][2] = {
        {"plain", "plain"},
        {"a,b", "\"a,b\""},
        {"a\"b", "\"a\"\"b\""},
        {"=1+1", "'=1+1"},
        {"-x", "'-x"},
        {"@SUM(A1)", "'@SUM(A1)"},
        {"+a,b", "\"'+a,b\""},
        {"two\nlines", "\"two\nlines\""},
        {"", ""},
        {"a=b", "a=b"},
        {"\tx", "'\tx"},
    };
    for (size_t i = 0; i < sizeof csv / sizeof csv[0]; i++) {
        df_text_csv(&text, csv[i][0]);
        expect(&text, csv[i][1]);
    }
    df_text_html(&text, "<script>&\"'\xff\x01 \xc3\xa9");
    expect(&text, "&lt;script&gt;&amp;&quot;&#39;\xef\xbf\xbd\xef\xbf\xbd \xc3\xa9");
    df_text_json(&text, "a\"\\\n\xc3\xa9\xe2\x82");
    expect(&text, "\"a\\\"\\\\\\u000a\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\"");
    df_text_number(&text, 0.1f);
    df_text_add(&text, "|");
    df_text_number(&text, INFINITY);
    df_text_add(&text, "|");
    df_text_number(&text, NAN);
    df_text_add(&text, "|");
    df_text_number(&text, -3);
    expect(&text, "0.100000001|inf||-3");
    for (int i = 0; i < 1000; i++)
        df_text_add(&text, "%s", "0123456789");
    assert_int_equal(text.size, 10000);
    df_text_clear(&text);
}

static void test_numbers_read_back(void **state)
{
    (void)state;
    float x[1000];
    test_fill_floats(x, 1000, 3, -1, 1);
    for (int i = 0; i < 1000; i++) {
        struct df_text text = {0};
        x[i] = expf(20 * x[i]);
        df_text_number(&text, x[i]);
        assert_true(strtof(text.bytes, NULL) == x[i]);
        df_text_clear(&text);
    }
}

static void test_query_line(void **state)
{
    (void)state;
    struct df_text text = {0};
    struct dfal_query query = {.rank = 1,
                               .id = "=cmd,x",
                               .index = 42,
                               .score = NAN,
                               .strategy = "random",
                               .predicted = 3,
                               .confidence = 0.5,
                               .label = -1,
                               .adversarial_class = -1};
    df_query_line(&text, &query);
    expect(&text, "1,\"'=cmd,x\",42,,random,3,0.5,-1,-1,,,\n");
    query.strategy = NULL; /* a table that has it in front */
    df_query_line(&text, &query);
    expect(&text, "1,\"'=cmd,x\",42,,3,0.5,-1,-1,,,\n");
}

static void test_curve(void **state)
{
    (void)state;
    char folder[TEST_PATH], path[TEST_PATH];
    struct df_text text = {0};
    struct df_curve curve;
    test_folder_create(folder);
    test_join(path, folder, "curve.csv");
    df_text_add(&text, "%s\n", DF_CURVE_COLUMNS);
    static const int64_t statuses[DFAL_SCORE_STATUS_ROOM] = {
        [DFAL_SCORE_OK] = 298, [DFAL_SCORE_MAX_ITER] = 2};
    int64_t found[DFAL_SCORE_STATUS_ROOM] = {0};
    static const double accuracy[2][3] = {{0.5, 0.9, 0.94}, {0.5, 0.8, 0.82}};
    for (int32_t t = 1; t <= 3; t++)
        for (int s = 0; s < 2; s++)
            for (int32_t r = 0; r < 2; r++) {
                struct df_curve_row row = {.trial = t,
                                           .round = r,
                                           .annotations = 10 + 10 * r,
                                           .labelled = 10 + 20 * r,
                                           .accuracy = r ? accuracy[s][t - 1] + t / 64.0 : 0.25,
                                           .best_so_far = 0.5,
                                           .loss = NAN,
                                           .steps = s ? -1 : 100 * t + r,
                                           .round_seconds = 1.5};
                strcpy(row.strategy, s ? "random" : "dfal");
                if (!s)
                    df_curve_statuses(row.statuses, statuses);
                df_curve_line(&text, &row);
            }
    df_text_add(&text, "dfal,3,2,30"); /* cut short by a kill */
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fwrite(text.bytes, 1, (size_t)text.size, file);
    fclose(file);
    df_text_clear(&text);
    test_ok(df_curve_read(&curve, folder));
    assert_int_equal(curve.count, 12);
    assert_true(isnan(curve.rows[0].loss));
    assert_true(curve.rows[1].steps == 101 && curve.rows[2].steps == -1 &&
                curve.rows[2].round_seconds == 1.5);
    assert_string_equal(curve.rows[1].statuses, "OK 298 MAX_ITER 2");
    assert_string_equal(curve.rows[2].statuses, "");
    df_curve_count_statuses(found, curve.rows[1].statuses);
    df_curve_count_statuses(found, "OK 1 UNHEARD_OF 7 TIE 3");
    assert_true(found[DFAL_SCORE_OK] == 299 && found[DFAL_SCORE_MAX_ITER] == 2 && found[DFAL_SCORE_TIE] == 3);
    struct df_curve_point *points = NULL;
    int64_t count = 0;
    test_ok(df_curve_points(&points, &count, &curve, "dfal"));
    assert_int_equal(count, 2);
    assert_true(points[0].mean == 0.25 && points[0].standard_error == 0 && points[1].trials == 3);
    df_free(points);
    struct df_run_config config;
    struct dfal_run_row rows[DF_MAX_STRATEGIES];
    df_run_config_init(&config);
    config.trials = 3;
    test_ok(df_curve_summary(rows, &curve, &config, true));
    near(rows[0].difference, (0 + 0.1 + 0.12) / 3, 1e-9);
    assert_false(rows[0].significant);
    assert_true(isnan(rows[1].difference));
    assert_int_equal(rows[0].annotations, 20);
    assert_int_equal(rows[0].labelled, 30);
    near(rows[0].steps_mean, 201, 0);
    assert_true(isnan(rows[1].steps_mean));
    near(rows[0].p_value, rows[0].p_corrected, 0);
    /* Two points: the area by its span is their mean, and the differences are halved. */
    near(rows[0].area_mean, (0.25 + rows[0].accuracy_mean) / 2, 1e-9);
    near(rows[1].area_mean, (0.25 + rows[1].accuracy_mean) / 2, 1e-9);
    near(rows[0].area_difference, rows[0].difference / 2, 1e-9);
    near(rows[0].area_difference_stderr, rows[0].difference_stderr / 2, 1e-9);
    near(rows[0].area_p_value, rows[0].p_value, 1e-9);
    near(rows[0].area_p_corrected, rows[0].area_p_value, 0);
    assert_true(isnan(rows[1].area_difference) && isnan(rows[1].area_p_value));
    df_curve_clear(&curve);
    file = fopen(path, "a");
    fprintf(file, ",x\n");
    fclose(file);
    test_error(df_curve_read(&curve, folder), DFAL_E_DATA, "curve.csv:14");
    /* Rounds of different widths. */
    file = fopen(path, "w");
    fprintf(file, "%s\n", DF_CURVE_COLUMNS);
    static const double widths[3][2] = {{10, 0.2}, {20, 0.6}, {50, 0.8}};
    for (int r = 0; r < 3; r++)
        fprintf(file, "dfal,1,%d,%.0f,50,%.1f,0.8,1,0,0,5,1\n", r, widths[r][0], widths[r][1]);
    fclose(file);
    test_ok(df_curve_read(&curve, folder));
    config.trials = 1;
    test_ok(df_curve_summary(rows, &curve, &config, true));
    near(rows[0].area_mean, (10 * 0.4 + 30 * 0.7) / 40, 1e-12);
    assert_true(isnan(rows[0].area_stderr) && isnan(rows[0].area_difference) && isnan(rows[1].area_mean));
    df_curve_clear(&curve);
    /* Tables of before the column statuses, and of before steps and round_seconds. */
    file = fopen(path, "w");
    fprintf(file, "%s\ndfal,1,0,10,10,0.5,0.5,2,0.1,0.2,7,0.3\n", DF_CURVE_COLUMNS_SECOND);
    fclose(file);
    test_ok(df_curve_read(&curve, folder));
    assert_true(curve.count == 1 && curve.rows[0].steps == 7 && curve.rows[0].round_seconds == 0.3);
    df_curve_clear(&curve);
    file = fopen(path, "w");
    fprintf(file, "%s\ndfal,1,0,10,10,0.5,0.5,2,0.1,0.2\n", DF_CURVE_COLUMNS_FIRST);
    fclose(file);
    test_ok(df_curve_read(&curve, folder));
    assert_true(curve.count == 1 && curve.rows[0].steps == -1 && isnan(curve.rows[0].round_seconds));
    df_curve_clear(&curve);
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t),
        cmocka_unit_test(test_paired),
        cmocka_unit_test(test_holm),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_numbers_read_back),
        cmocka_unit_test(test_query_line),
        cmocka_unit_test(test_curve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
