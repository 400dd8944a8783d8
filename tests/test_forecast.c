/* SPDX-License-Identifier: Apache-2.0 */
/* What an experiment will take: the arithmetic in closed form, and what an estimate tells of a small one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "run/config.h"
#include "run/forecast.h"
#include "strategy/strategy.h"
#include "support_world.h"

static void near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9 * fabs(expected)))
        test_fail("%.17g, expected %.17g", found, expected);
}

static void test_trial(void **state)
{
    (void)state;
    const struct df_run_cost cost = {
        .train = 3, .train_row = 0.5, .select = 2, .select_row = 0.25, .test = 7};
    struct df_run_config config;
    df_run_config_init(&config); /* dfal, which has twins, and random */
    config.initial = 10;
    config.query = 4;
    config.annotations = 20;
    /* Rounds of 10, 14, 18 and 20 annotations; candidates 90, 86 and 82. */
    struct df_run_forecast f = df_run_forecast_trial(&config, 1, 100, &cost);
    assert_true(f.rounds == 4 && f.labelled == 20);
    near(f.train, 4 * 3 + 0.5 * 62);
    near(f.select, 3 * 2 + 0.25 * 258);
    near(f.test, 4 * 7);
    f = df_run_forecast_trial(&config, 0, 100, &cost); /* 10, 18, 26 and 30 rows with twins */
    assert_true(f.rounds == 4 && f.labelled == 30);
    near(f.train, 4 * 3 + 0.5 * 84);
    config.options[df_strategy_known_index("random")].subsample = 85;
    f = df_run_forecast_trial(&config, 1, 100, &cost);
    near(f.select, 3 * 2 + 0.25 * (85 + 85 + 82));
    f = df_run_forecast_trial(&config, 1, 16, &cost); /* the pool ends before: 10, 14, 16; candidates 6, 2 */
    assert_true(f.rounds == 3 && f.labelled == 16);
    near(f.train, 3 * 3 + 0.5 * 40);
    near(f.select, 2 * 2 + 0.25 * 8);
}

static void test_end(void **state)
{
    (void)state;
    double busy[4];
    near(df_run_forecast_end((const double[]){3, 1, 2, 5}, 4, busy, 1), 11);
    /* 3 | 1 2, then the first that is free: 5 behind either */
    near(df_run_forecast_end((const double[]){3, 1, 2, 5}, 4, busy, 2), 8);
    near(df_run_forecast_end((const double[]){3, 1, 2, 5}, 4, busy, 4), 5);
    assert_true(busy[0] == 3 && busy[1] == 1 && busy[2] == 2 && busy[3] == 5);
}

enum { STRATEGIES = 4 };
struct heard {
    struct dfal_run_estimate_row rows[STRATEGIES];
    int count;
};

static void hear(void *user, const struct dfal_run_estimate_row *row)
{
    struct heard *heard = user;
    assert_true(heard->count < STRATEGIES);
    heard->rows[heard->count++] = *row;
}

static dfal_status estimate(struct dfal_run_estimate_result *result, struct heard *heard, const char *more,
                            int32_t part, int32_t parts)
{
    char network[TEST_PATH + 16];
    snprintf(network, sizeof network, "network=%s", world.net);
    const char *set[] = {"initial=8",
                         "query=5",
                         "annotations=21",
                         "trials=3",
                         "training.epochs=2",
                         "strategies=[dfal,random,coreset-greedy,{name: mine, command: /bin/false}]",
                         network,
                         more};
    struct dfal_run_options options;
    dfal_run_options_init(&options);
    options.set = set;
    options.set_count = sizeof set / sizeof *set;
    options.train_path = world.train;
    options.test_path = world.test;
    options.allow_command = true;
    options.part = part;
    options.part_count = parts;
    *heard = (struct heard){.count = 0};
    dfal_run_estimate_result_init(result);
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    const dfal_status status = dfal_run_estimate(context, result, &options, hear, heard);
    dfal_context_destroy(context);
    return status;
}

/* Times are the machine's; what they add up to is not. */
static void test_estimate(void **state)
{
    (void)state;
    static const char *const missing[STRATEGIES] = {"", "", "comparing candidates with each other",
                                                    "what the command takes"};
    struct dfal_run_estimate_result r;
    struct heard heard;
    test_ok(estimate(&r, &heard, "training.patience=4", 0, 0));
    assert_int_equal(heard.count, STRATEGIES);
    assert_true(r.branches == 3 * STRATEGIES && r.beside == 1 && r.upper_bound && r.memory_bytes > 0);
    double sum = 0;
    for (int s = 0; s < STRATEGIES; s++) {
        const struct dfal_run_estimate_row *row = &heard.rows[s];
        assert_true(row->trials == 3 && row->rounds == 4 && row->labelled == (s ? 21 : 34));
        assert_string_equal(row->missing, missing[s]);
        assert_true(row->train_seconds > 0 && row->test_seconds > 0);
        assert_true(s == 3 ? row->select_seconds == 0 : row->select_seconds > 0);
        sum += row->train_seconds + row->select_seconds + row->test_seconds;
    }
    near(r.device_seconds, sum);
    near(r.seconds, sum);
    test_ok(estimate(&r, &heard, "training.steps=6", 1, 2)); /* trial 2 alone */
    assert_true(r.branches == STRATEGIES && heard.rows[0].trials == 1 && !r.upper_bound);
    assert_true(heard.rows[0].rounds == 4);
    test_error(estimate(&r, &heard, "training.steps=6", 0, 4), DFAL_E_USAGE, "cut into 4 parts");
    test_error(estimate(&r, &heard, "trainer=/bin/false", 0, 0), DFAL_E_USAGE, "'/bin/false', expected none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trial),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_estimate),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
