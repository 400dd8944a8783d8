/* SPDX-License-Identifier: Apache-2.0 */
/* An oracle that answers "not yet": the experiment stops with E_STOPPED, keeps its rounds, and the same line
 * goes on when the answers are there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "report/report.h"
#include "run/rounds.h"
#include "strategy/oracle.h"
#include "support_world.h"

/* Knows the answers, but gives only so many before people are needed. */
struct people {
    struct df_oracle oracle;
    struct df_oracle *simulated;
};
static int64_t patience; /* questions that are answered; -1: all */
static int64_t asked;

static dfal_status ask(struct df_oracle *self, const int64_t *rows, int32_t *labels, int64_t count)
{
    struct people *people = (struct people *)self;
    if (asked == patience)
        DF_FAIL(DFAL_E_STOPPED, "%lld samples wait for their labels", (long long)count);
    asked++;
    return people->simulated->ask(people->simulated, rows, labels, count);
}

static void close_people(struct df_oracle *self)
{
    struct people *people = (struct people *)self;
    people->simulated->close(people->simulated);
    df_free(people);
}

static dfal_status open_people(struct df_oracle **out, const struct df_pool *pool)
{
    struct people *people = NULL;
    *out = NULL;
    DF_TRY(df_alloc(&people, 1, sizeof *people));
    dfal_status status = df_oracle_open(&people->simulated, df_oracles, "simulated", pool);
    if (status != DFAL_OK) {
        df_free(people);
        return status;
    }
    people->oracle = (struct df_oracle){.ask = ask, .close = close_people};
    *out = &people->oracle;
    return DFAL_OK;
}

/* They stand where the simulated oracle would. */
static const struct df_oracle_kind oracles[] = {{"simulated", "people", open_people}, {0}};

static dfal_status publish(struct dfal_context *context, const char *dir)
{
    char page[TEST_PATH];
    test_join(page, dir, "report.html");
    DF_TRY(df_report_write(context, page, &dir, 1, true));
    return df_run_directory_finish(dir);
}

static dfal_status run(const char *dir, int64_t answers, bool *kept)
{
    char network[TEST_PATH + 16];
    const char *set[] = {"initial=6",
                         "query=4",
                         "annotations=18",
                         "trials=2",
                         "training.epochs=1",
                         "training.restarts=1",
                         "strategies=[dfal, entropy]",
                         network};
    struct dfal_run_options options;
    dfal_run_options_init(&options);
    snprintf(network, sizeof network, "network=%s", world.net);
    options.set = set;
    options.set_count = sizeof set / sizeof set[0];
    options.train_path = world.train;
    options.test_path = world.test;
    patience = answers;
    asked = 0;
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    dfal_status status = df_run_execute(context, dir, &options, oracles, publish);
    *kept = dfal_context_kept_work(context);
    dfal_context_destroy(context);
    return status;
}

static void same(const char *dir, const char *expected, const char *name)
{
    char *a = world_read(dir, name), *b = world_read(expected, name);
    if (!strcmp(name, "curve.csv")) {
        world_strip_seconds(a);
        world_strip_seconds(b);
    }
    assert_string_equal(a, b);
    free(a);
    free(b);
}

static void test_not_yet(void **state)
{
    (void)state;
    char whole[TEST_PATH], dir[TEST_PATH];
    bool kept;
    test_join(whole, world.folder, "whole");
    test_join(dir, world.folder, "waiting");
    test_ok(run(whole, -1, &kept));
    int64_t questions = asked;
    assert_int_equal(questions, 2 * 2 * 4); /* trials, strategies; the initial set and three rounds */
    /* Nothing to keep yet: not even the initial set is labelled. */
    test_error(run(dir, 0, &kept), DFAL_E_STOPPED, "wait for their labels");
    assert_false(kept);
    assert_false(world_exists(dir, "curve.csv"));
    /* One question more every time, until all are answered. The round that waits is not in the tables. */
    int stops = 0;
    dfal_status status = DFAL_E_STOPPED;
    while (status == DFAL_E_STOPPED && stops < 100) {
        status = run(dir, 1, &kept);
        if (status != DFAL_E_STOPPED)
            break;
        stops++;
        assert_true(kept);
        assert_int_equal(dfal_status_exit_code(status), 75);
        assert_non_null(strstr(dfal_last_error(), "kept"));
        assert_false(world_exists(dir, "report.html"));
    }
    test_ok(status);
    assert_int_equal(stops, questions - 1);
    same(dir, whole, "curve.csv");
    same(dir, whole, "queries.csv");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_not_yet)};
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
