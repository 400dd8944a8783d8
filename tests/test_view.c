/* SPDX-License-Identifier: Apache-2.0 */
/* What a view computes of its candidates, and how a selection asks a strategy. */
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
#include "run_fixture.h"
#include "score/pass.h"
#include "strategy/rank.h"
#include "strategy/selection.h"
#include "strategy/view.h"

static struct world world;
static const char *backends[TEST_BACKENDS];
static int backend_count;

enum { ALL = 60 };

/* Logits as a whole; of them column 1 is ranked. */
static dfal_status choose_by_logit(struct df_view *view, int64_t q, struct df_choices *choices)
{
    const float *logits = NULL, *again = NULL;
    double *column = NULL;
    const int64_t n = df_view_count(view), k = df_view_class_count(view);
    DF_TRY(df_view_logits(view, &logits));
    DF_TRY(df_view_logits(view, &again));
    assert_ptr_equal(logits, again); /* they are kept */
    DF_TRY(df_alloc(&column, n, sizeof *column));
    for (int64_t i = 0; i < n; i++)
        column[i] = (double)logits[i * k + 1];
    const dfal_status status = df_rank_by_score(view, column, DF_LARGEST_FIRST, q, choices);
    df_free(column);
    return status;
}

/* A set of neighbours: a row and the next ones. One that is left out changes who else is in it. */
static int sets; /* how often it was asked */
static dfal_status choose_set(struct df_view *view, int64_t q, struct df_choices *choices)
{
    sets++;
    choices->count = choices->nonfinite = 0;
    for (int64_t i = 0; i < q; i++)
        choices->list[choices->count++] =
            (struct df_choice){.candidate = df_view_count(view) - 1 - i, .score = (double)(100 * q + i)};
    return DFAL_OK;
}

struct bench {
    dfal_context *context;
    struct df_pool *pool;
    struct df_network *network;
    struct df_device *device;
    int64_t rows[ALL];
};

static void bench_open(struct bench *bench, const char *backend, int32_t threads, const char *net,
                       const char *pool)
{
    bench->context = world_context(backend, threads, NULL, NULL);
    test_ok(df_pool_open(&bench->pool, NULL, pool, NULL));
    test_ok(df_network_for_pool(&bench->network, bench->context, net, bench->pool));
    test_ok(df_context_device(bench->context, &bench->device));
    for (int i = 0; i < ALL; i++)
        bench->rows[i] = i;
}

static void bench_close(struct bench *bench)
{
    df_network_destroy(bench->network);
    df_pool_close(bench->pool);
    dfal_context_destroy(bench->context);
}

static dfal_status bench_select(const struct bench *bench, const struct df_selection_options *options,
                                struct df_selection *selection)
{
    return df_select(bench->context, bench->device, bench->network, bench->pool, bench->rows, ALL, options,
                     selection);
}

/* A strategy that wants all logits gets them, where they have room. */
static void test_whole_logits(void **state)
{
    (void)state;
    struct bench bench;
    struct df_selection selection;
    const struct df_strategy logits = {.name = "logit", .asks = DF_ASKS_LOGITS, .select = choose_by_logit};
    struct df_selection_options options = {.strategy = &logits, .count = ALL};
    bench_open(&bench, backends[0], 1, world.net, world.train);
    test_ok(bench_select(&bench, &options, &selection));
    assert_int_equal(selection.count, ALL);
    for (int i = 1; i < ALL; i++)
        assert_true(selection.score[i] <= selection.score[i - 1] && selection.adversarial_class[i] == -1);
    df_selection_clear(&selection);
    bench.context->memory = 1;
    test_error(bench_select(&bench, &options, &selection), DFAL_E_MEMORY,
               "the logits of 60 candidates take 0.0 MB, expected at most the 0.0 MB");
    bench_close(&bench);
}

/* One that chooses a set is asked again without what turned out not to be finite. */
static void test_sets(void **state)
{
    (void)state;
    char path[TEST_PATH];
    struct bench bench;
    struct df_selection selection;
    const struct df_strategy set = {.name = "set", .set = true, .select = choose_set};
    const struct df_selection_options options = {.strategy = &set, .count = ALL};
    struct df_selection_options few = options;
    test_join(path, world.folder, "set.h5");
    world_pool(path, ALL, 0, POOL_NO_LABELS | POOL_F32 | POOL_NAN);
    bench_open(&bench, backends[0], 1, world.net, path);
    sets = 0;
    test_ok(bench_select(&bench, &options, &selection));
    assert_int_equal(sets, 2);
    assert_int_equal(selection.count, ALL - 1); /* row 5 is not finite */
    assert_int_equal(selection.nonfinite, 1);
    for (int i = 0; i < ALL - 1; i++) {
        assert_int_equal(selection.index[i], i < ALL - 6 ? ALL - 1 - i : ALL - 2 - i);
        assert_true(selection.score[i] == 100 * (ALL - 1) + i); /* of the second set */
    }
    df_selection_clear(&selection);
    few.count = 4;
    sets = 0;
    test_ok(bench_select(&bench, &few, &selection));
    assert_true(sets == 1 && selection.count == 4 && selection.nonfinite == 0 &&
                selection.index[3] == ALL - 4);
    df_selection_clear(&selection);
    bench_close(&bench);
}

static int setup(void **state)
{
    (void)state;
    world_create(&world);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_remove(&world);
    return 0;
}

int main(int argc, char **argv)
{
    backend_count = test_backends(backends, argc, argv, "ref,cpu");
    assert_in_range(backend_count, 1, TEST_BACKENDS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_logits),
        cmocka_unit_test(test_sets),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
