/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs seen from outside: how far a run is told to be, and training beside somebody else's unfinished
 * work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "support_world.h"

struct told {
    char state[32], format[32];
    int64_t total, samples;
    double percent;
};

static void take_fact(void *user, const struct dfal_field *fact)
{
    struct told *told = user;
    if (!strcmp(fact->key, "state"))
        snprintf(told->state, sizeof told->state, "%s", fact->text);
    if (!strcmp(fact->key, "format"))
        snprintf(told->format, sizeof told->format, "%s", fact->text);
    if (!strcmp(fact->key, "total"))
        told->total = fact->integer;
    if (!strcmp(fact->key, "samples"))
        told->samples = fact->integer;
    if (!strcmp(fact->key, "percent"))
        told->percent = fact->real;
}

/* A pool with fewer labels than annotations ends its trials early, and the run is finished all the same. */
static void test_status_of_small_run(void **state)
{
    (void)state;
    char dir[TEST_PATH];
    char network[TEST_PATH + 16];
    const char *const set[] = {"initial=20",          "query=20",          "annotations=500",     "trials=1",
                               "strategies=[random]", "training.epochs=1", "training.restarts=1", network};
    struct dfal_run_options options;
    struct told told = {0};
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    test_join(dir, world.folder, "small");
    dfal_run_options_init(&options);
    options.train_path = world.train;
    options.test_path = world.test;
    options.set = set;
    options.set_count = sizeof set / sizeof set[0];
    snprintf(network, sizeof network, "network=%s", world.net);
    test_ok(dfal_run(context, dir, &options, NULL, NULL));
    test_ok(dfal_progress(context, dir, take_fact, &told));
    assert_string_equal(told.state, "finished");
    assert_true(told.percent == 100.0);
    assert_int_equal(told.total, 500);
    char marker[TEST_PATH];
    test_join(marker, dir, "state/finished");
    assert_int_equal(remove(marker), 0);
    test_ok(dfal_progress(context, dir, take_fact, &told));
    assert_string_equal(told.state, "unfinished");
    assert_true(told.percent < 100.0);
    dfal_context_destroy(context);
}

/* Shards of a score that was to become the same file are not a training's to remove. */
static void test_train_beside_shards(void **state)
{
    (void)state;
    char out[TEST_PATH], parts[TEST_PATH], shard[TEST_PATH];
    struct dfal_train_options options;
    struct dfal_train_result result;
    dfal_train_result_init(&result);
    test_join(out, world.folder, "out.h5");
    test_join(parts, world.folder, "out.h5.parts");
    test_join(shard, parts, "000000.h5");
    dfal_train_options_init(&options);
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    for (int epochs = 0; epochs < 2; epochs++) {
        assert_true(mkdir(parts, 0777) == 0 || epochs);
        FILE *file = fopen(shard, "w");
        assert_non_null(file);
        fclose(file);
        options.epochs = epochs;
        test_error(dfal_train(context, &result, out, world.net, world.train, &options), DFAL_E_CONFIG,
                   "000000.h5");
        assert_true(world_exists(parts, "000000.h5") && !world_exists(world.folder, "out.h5"));
    }
    dfal_context_destroy(context);
    struct dfal_context_options flags;
    dfal_context_options_init(&flags);
    flags.backend = "ref";
    flags.force = true;
    test_ok(dfal_context_create(&context, &flags));
    test_ok(dfal_train(context, &result, out, world.net, world.train, &options));
    assert_false(world_exists(world.folder, "out.h5.parts"));
    dfal_context_destroy(context);
}

/* Somebody's file of the name of the bench's own pool is neither replaced nor removed. */
static void test_bench_beside_a_file(void **state)
{
    (void)state;
    char path[TEST_PATH];
    struct dfal_bench_roofs roofs;
    dfal_bench_roofs_init(&roofs);
    struct dfal_bench_ops_options options;
    dfal_bench_ops_options_init(&options);
    test_join(path, world.folder, "ops.h5");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    test_error(dfal_bench_ops(context, &roofs, "lenet5", world.folder, &options, NULL, NULL), DFAL_E_EXISTS,
               path);
    test_error(dfal_bench_ops(context, &roofs, path, world.folder, &options, NULL, NULL), DFAL_E_USAGE, path);
    dfal_context_destroy(context);
    assert_true(world_exists(world.folder, "ops.h5"));
    assert_int_equal(remove(path), 0);
}

static void test_info_of_pool(void **state)
{
    (void)state;
    struct told told = {0};
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    test_ok(dfal_info(context, world.train, take_fact, &told));
    assert_string_equal(told.format, "dfal-pool");
    assert_int_equal(told.samples, 60);
    dfal_context_destroy(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_of_small_run),
        cmocka_unit_test(test_train_beside_shards),
        cmocka_unit_test(test_bench_beside_a_file),
        cmocka_unit_test(test_info_of_pool),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
