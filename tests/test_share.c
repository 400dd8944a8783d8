/* SPDX-License-Identifier: Apache-2.0 */
/* What ranks read together where each needs the whole of it: the ranks of these tests are threads of this
 * process, each with a context and a device of its own. What they find is held against one process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "backend/backend.h"
#include "score/evaluate.h"
#include "strategy/selection.h"
#include "support_ranks.h"
#include "support_world.h"

enum { MOST = TEST_RANKS, ALL = WORLD_ROWS };

/* ---- selections ---------------------------------------------------------------------------------------- */

struct together {
    struct test_hall hall;
    struct df_selection_options options;
    struct world_opened opened[MOST];
    struct df_selection selection[MOST];
};

static dfal_status select_as(void *user, int64_t r, int32_t worker)
{
    struct together *together = user;
    struct test_rank rank = test_rank_of(&together->hall, r);
    const struct world_opened *opened = &together->opened[r];
    struct df_selection_options options = together->options;
    (void)worker;
    options.comm = &rank.comm;
    options.alike = true;
    return df_select(opened->context, opened->device, opened->network, opened->pool, opened->rows, ALL,
                     &options, &together->selection[r]);
}

enum { DRAWN = 41, LABELLED = 3 };

/* Rows that a rank has read, by quantity and how many at once: the end of a pass may be told twice. */
static const char *const quantities[] = {"logits", "features", "margins", "passes", "gradients", "twins"};
enum { QUANTITIES = 6 };
struct reader {
    bool told[QUANTITIES][ALL + 1];
};

static void note_rows(void *user, const struct dfal_event *event)
{
    struct reader *reader = user;
    if (strncmp(event->name, "select.", 7) != 0 || event->level != DFAL_PROGRESS ||
        event->fields[0].integer != event->fields[1].integer)
        return;
    for (int i = 0; i < QUANTITIES; i++)
        if (!strcmp(event->name + 7, quantities[i]))
            reader->told[i][event->fields[1].integer] = true;
}

static int64_t rows_of(const struct reader *reader)
{
    int64_t rows = 0;
    for (int i = 0; i < QUANTITIES; i++)
        for (int64_t n = 0; n <= ALL; n++)
            rows += reader->told[i][n] ? n : 0;
    return rows;
}

static void compare_selections(const struct df_selection *found, const struct df_selection *expected)
{
    const size_t n = (size_t)expected->count, twins = (size_t)(expected->twin_count * expected->size),
                 pseudo = (size_t)expected->pseudo_count;
    assert_true(found->count == expected->count && found->nonfinite == expected->nonfinite);
    assert_true(found->twin_count == expected->twin_count && found->pseudo_count == expected->pseudo_count);
    assert_memory_equal(found->index, expected->index, n * sizeof *found->index);
    assert_memory_equal(found->score, expected->score, n * sizeof *found->score);
    assert_memory_equal(found->predicted, expected->predicted, n * sizeof *found->predicted);
    assert_memory_equal(found->confidence, expected->confidence, n * sizeof *found->confidence);
    assert_memory_equal(found->status, expected->status, n * sizeof *found->status);
    assert_memory_equal(found->adversarial_class, expected->adversarial_class,
                        n * sizeof *found->adversarial_class);
    assert_memory_equal(found->twin, expected->twin, twins * sizeof *found->twin);
    assert_memory_equal(found->pseudo_index, expected->pseudo_index, pseudo * sizeof *found->pseudo_index);
    assert_memory_equal(found->pseudo_label, expected->pseudo_label, pseudo * sizeof *found->pseudo_label);
    assert_memory_equal(found->statuses, expected->statuses, sizeof found->statuses);
}

/* Rows that every rank reads: all passes of candidates, of which more than a number is kept, and labelled
 * rows of a strategy that spreads. */
static int64_t read_by_all(const struct df_strategy *strategy)
{
    if (!strcmp(strategy->name, "coreset-greedy"))
        return LABELLED;
    return !strcmp(strategy->name, "batchbald") ? DRAWN : 0;
}

static void share(const struct df_selection_options *options, const char *path)
{
    struct reader one = {{{0}}};
    struct world_opened opened;
    struct df_selection alone;
    world_open(&opened, "cpu", 1, world.net, path);
    opened.context->options.event = note_rows;
    opened.context->options.event_user = &one;
    test_ok(df_select(opened.context, opened.device, opened.network, opened.pool, opened.rows, ALL, options,
                      &alone));
    for (int32_t ranks = 2; ranks <= MOST; ranks++) {
        struct together together = {.hall = {.size = ranks}, .options = *options};
        struct reader readers[MOST] = {{{{0}}}};
        int64_t rows = 0;
        for (int32_t r = 0; r < ranks; r++) {
            world_open(&together.opened[r], "cpu", 1, world.net, path);
            together.opened[r].context->options.event = note_rows;
            together.opened[r].context->options.event_user = &readers[r];
        }
        test_run_ranks(select_as, &together, ranks);
        for (int32_t r = 0; r < ranks; r++) {
            compare_selections(&together.selection[r], &alone);
            rows += rows_of(&readers[r]);
            df_selection_clear(&together.selection[r]);
            world_close(&together.opened[r]);
        }
        assert_int_equal(rows, rows_of(&one) + (ranks - 1) * read_by_all(options->strategy));
    }
    df_selection_clear(&alone);
    world_close(&opened);
}

/* Whatever strategy chooses, with twins and pseudo-labels: the selection of one process, on every rank, and
 * no row is read by two. */
static void test_shared(void **state)
{
    (void)state;
    static const int64_t labelled[LABELLED] = {2, 30, 59};
    static const int32_t labels[LABELLED] = {0, 1, 2};
    char path[TEST_PATH];
    test_join(path, world.folder, "shared.h5");
    world_pool(path, ALL, 0, POOL_NO_LABELS | POOL_F32 | POOL_NAN | POOL_TWICE);
    for (int i = 0; df_strategies[i]; i++) {
        struct df_selection_options options = {.strategy = df_strategies[i],
                                               .count =
                                                   i % 2 ? 3 : 7, /* of few queries some ranks have none */
                                               .subsample = DRAWN,
                                               .seed = 3,
                                               .labelled_rows = labelled,
                                               .labelled_row_count = LABELLED,
                                               .labelled_labels = labels,
                                               .twins = true,
                                               .pseudo_labels = true};
        if (options.strategy->solver || !strcmp(options.strategy->name, "command"))
            continue;
        test_ok(df_deepfool_preset(&options.deepfool, "lts4"));
        share(&options, path);
    }
}

/* ---- evaluations --------------------------------------------------------------------------------------- */

struct evaluating {
    struct test_hall hall;
    struct world_opened opened[MOST];
    struct dfal_eval_result result[MOST];
};

static dfal_status evaluate(void *user, int64_t r, int32_t worker)
{
    struct evaluating *all = user;
    struct test_rank rank = test_rank_of(&all->hall, r);
    const struct world_opened *opened = &all->opened[r];
    (void)worker;
    return df_evaluate(opened->context, opened->device, opened->network, opened->pool, &rank.comm,
                       &all->result[r], NULL);
}

/* Of some rows, one of them not finite, and of fewer than there are ranks. */
static void test_evaluations(void **state)
{
    (void)state;
    static const int64_t counts[] = {31, 3};
    char path[TEST_PATH];
    test_join(path, world.folder, "evaluated.h5");
    for (int run = 0; run < 2; run++) {
        struct world_opened one;
        struct dfal_eval_result alone;
        world_pool(path, counts[run], 0, POOL_F32 | (run ? 0 : POOL_NAN));
        world_open(&one, "cpu", 1, world.net, path);
        test_ok(df_evaluate(one.context, one.device, one.network, one.pool, NULL, &alone, NULL));
        assert_int_equal(alone.samples, run ? 3 : 30);
        for (int32_t ranks = 1; ranks <= MOST; ranks++) {
            struct evaluating all = {.hall = {.size = ranks}};
            for (int32_t r = 0; r < ranks; r++)
                world_open(&all.opened[r], "cpu", 1, world.net, path);
            test_run_ranks(evaluate, &all, ranks);
            for (int32_t r = 0; r < ranks; r++) {
                const struct dfal_eval_result *found = &all.result[r];
                assert_true(found->loss == alone.loss && found->accuracy == alone.accuracy);
                assert_true(found->samples == alone.samples && found->nonfinite == alone.nonfinite);
                assert_memory_equal(found->confusion, alone.confusion,
                                    sizeof *alone.confusion * WORLD_CLASSES * WORLD_CLASSES);
                dfal_eval_result_clear(&all.result[r]);
                world_close(&all.opened[r]);
            }
        }
        dfal_eval_result_clear(&alone);
        world_close(&one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shared), cmocka_unit_test(test_evaluations)};
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
