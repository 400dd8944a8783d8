/* SPDX-License-Identifier: Apache-2.0 */
/* Selections that ranks make together: the ranks of these tests are threads of this process, each with a
 * context, a device and a view of its own. What they choose is held against one process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/fault.h"
#include "base/memory.h"
#include "comm/comm.h"
#include "strategy/bid.h"
#include "strategy/k_center_device.h"
#include "strategy/k_center_ranks.h"
#include "strategy/rank.h"
#include "strategy/selection.h"
#include "strategy/view_inside.h"
#include "support_ranks.h"
#include "support_world.h"

enum { MOST = TEST_RANKS, ALL = WORLD_ROWS };

/* ---- bids ---------------------------------------------------------------------------------------------- */

struct bidding {
    struct test_hall hall;
    struct df_bid bids[MOST], highest[MOST];
    int32_t owner[MOST];
};

static dfal_status bid(void *user, int64_t r, int32_t worker)
{
    struct bidding *bidding = user;
    struct test_rank rank = test_rank_of(&bidding->hall, r);
    (void)worker;
    bidding->highest[r] = bidding->bids[r];
    return df_bid_highest(&rank.comm, 9, &bidding->highest[r], &bidding->owner[r]);
}

/* Each set of bids has the rank that wins under its number. */
static void test_bids(void **state)
{
    (void)state;
    const int64_t first = df_tie(9, 40) < df_tie(9, 41) ? 40 : 41; /* the seed puts it in front */
    const double none = -INFINITY;
    const struct {
        struct df_bid bids[3];
        int32_t wins;
    } cases[] = {{{{1, 5}, {3, 6}, {2, 7}}, 1},
                 {{{none, -1}, {-5, 3}, {none, -1}}, 1},
                 {{{none, -1}, {none, -1}, {0, 2}}, 2},
                 {{{INFINITY, first}, {INFINITY, 81 - first}, {7, 2}}, 0},
                 {{{4, 2}, {4.5, 81 - first}, {4.5, first}}, 2},
                 {{{none, -1}, {none, -1}, {none, -1}}, 0}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct bidding bidding = {.hall = {.size = 3}};
        memcpy(bidding.bids, cases[c].bids, sizeof cases[c].bids);
        test_run_ranks(bid, &bidding, 3);
        for (int r = 0; r < 3; r++) {
            assert_int_equal(bidding.owner[r], cases[c].wins);
            assert_int_equal(bidding.highest[r].row, cases[c].bids[cases[c].wins].row);
            assert_true(bidding.highest[r].priority == cases[c].bids[cases[c].wins].priority);
        }
    }
    struct df_bid alone = {2, 3};
    int32_t owner = -1;
    test_ok(df_bid_highest(NULL, 9, &alone, &owner));
    assert_true(owner == 0 && alone.row == 3 && alone.priority == 2);
}

/* ---- k-center ------------------------------------------------------------------------------------------ */

struct spread {
    struct test_hall hall;
    const struct df_k_center_among *among; /* all rows */
    struct df_device *device;              /* that has the rows of every second rank; NULL: of none */
    int64_t q;
    struct df_choices choices[MOST];
};

static dfal_status choose(void *user, int64_t r, int32_t worker)
{
    struct spread *spread = user;
    struct test_rank rank = test_rank_of(&spread->hall, r);
    const int64_t n = spread->among->from.h.count, begin = n * r / spread->hall.size,
                  size = spread->among->from.h.size;
    struct df_k_center_among own = *spread->among;
    (void)worker;
    own.from.rows += begin;
    own.from.h.values += begin * size;
    own.from.h.count = n * (r + 1) / spread->hall.size - begin;
    if (spread->device && r % 2 == 0 && own.from.h.count) {
        bool begun;
        return df_k_center_on_devices(&rank.comm, spread->device, &own, spread->q, &spread->choices[r],
                                      &begun);
    }
    return df_k_center_over_ranks(&rank.comm, &own, spread->q, &spread->choices[r]);
}

static void compare(const struct spread *spread, const struct df_choices *expected)
{
    for (int32_t r = 0; r < spread->hall.size; r++) {
        const struct df_choices *choices = &spread->choices[r];
        assert_int_equal(choices->count, expected->count);
        assert_int_equal(choices->nonfinite, expected->nonfinite);
        for (int64_t i = 0; i < choices->count; i++) {
            assert_int_equal(choices->list[i].candidate,
                             spread->among->from.rows[expected->list[i].candidate]);
            assert_true(choices->list[i].score == expected->list[i].score);
        }
    }
}

/* Some rows are equal, some not finite; with and without centres before; more ranks than rows; more asked for
 * than there are; some ranks have their rows on a device. */
static void test_k_center(void **state)
{
    (void)state;
    static const struct {
        int64_t n, size, before, q;
    } cases[] = {{2, 3, 0, 2}, {200, 10, 0, 200}, {1500, 37, 30, 60}, {70, 1, 3, 70}};
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    struct df_device *device;
    test_ok(df_context_device(context, &device));
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int64_t n = cases[c].n, size = cases[c].size, before = cases[c].before;
        float *h, *centres;
        int64_t *rows;
        struct df_choices alone = {0};
        test_ok(df_alloc(&h, n * size, sizeof *h));
        test_ok(df_alloc(&centres, before * size + 1, sizeof *centres));
        test_ok(df_alloc(&rows, n, sizeof *rows));
        test_ok(df_alloc(&alone.list, n, sizeof *alone.list));
        test_fill_floats(h, n * size, 3 + c, -1, 1);
        test_fill_floats(centres, before * size, 4 + c, -1, 1);
        for (int64_t i = 0; i < n; i++) {
            rows[i] = 3 * i + 1;
            if (i % 7 == 3)
                memcpy(h + i * size, h + (i / 2) * size, (size_t)size * sizeof *h); /* of another rank, too */
            if (i % 11 == 10)
                h[i * size] = i % 2 ? NAN : INFINITY;
        }
        if (before > 1)
            centres[size] = NAN;
        const struct df_k_center_among among = {
            .from = {.context = context, .seed = 17 + c, .rows = rows, .h = {n, size, h}},
            .before = {before, size, centres}};
        test_ok(df_k_center_greedy(&among, cases[c].q, &alone));
        for (int run = 0; run < 2 * MOST; run++) {
            const int32_t ranks = 1 + run / 2;
            struct spread spread = {
                .hall = {.size = ranks}, .among = &among, .device = run % 2 ? device : NULL, .q = cases[c].q};
            for (int32_t r = 0; r < ranks; r++)
                test_ok(df_alloc(&spread.choices[r].list, n, sizeof *alone.list));
            test_run_ranks(choose, &spread, ranks);
            compare(&spread, &alone);
            /* The count of rows that are not finite, then a bid and a row a step, and a last bid. */
            assert_true(spread.hall.bytes <= 8 + (alone.count + 1) * 16 + alone.count * size * 4);
            for (int32_t r = 0; r < ranks; r++)
                df_free(spread.choices[r].list);
        }
        df_free(h);
        df_free(centres);
        df_free(rows);
        df_free(alone.list);
    }
    dfal_context_destroy(context);
}

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
    return df_select(opened->context, opened->device, opened->network, opened->pool, opened->rows, ALL,
                     &options, &together->selection[r]);
}

static void compare_selections(const struct df_selection *found, const struct df_selection *expected)
{
    const size_t n = (size_t)expected->count;
    assert_true(found->count == expected->count && found->nonfinite == expected->nonfinite);
    assert_memory_equal(found->index, expected->index, n * sizeof *expected->index);
    assert_memory_equal(found->score, expected->score, n * sizeof *expected->score);
    assert_memory_equal(found->status, expected->status, n * sizeof *expected->status);
    assert_memory_equal(found->adversarial_class, expected->adversarial_class,
                        n * sizeof *expected->adversarial_class);
    assert_memory_equal(found->statuses, expected->statuses, sizeof expected->statuses);
}

/* Of 1 to 4 ranks, every second of them or its neighbour taken for a GPU. Row 5 is not finite, 3 and 7 are
 * equal. */
static void same_as_alone(const struct df_selection_options *options, bool wide)
{
    char path[TEST_PATH];
    struct world_opened one;
    struct df_selection alone;
    test_join(path, world.folder, "spread.h5");
    world_pool(path, ALL, 0, POOL_NO_LABELS | POOL_F32 | POOL_NAN | POOL_TWICE);
    world_open(&one, "cpu", 1, world.net, path);
    test_ok(df_select(one.context, one.device, one.network, one.pool, one.rows, ALL, options, &alone));
    for (int32_t ranks = 1; ranks <= MOST; ranks++) {
        struct together together = {.hall = {.size = ranks}, .options = *options};
        for (int32_t r = 0; r < ranks; r++) {
            world_open(&together.opened[r], "cpu", 1, world.net, path);
            together.opened[r].device->wide = wide != r % 2;
        }
        test_run_ranks(select_as, &together, ranks);
        for (int32_t r = 0; r < ranks; r++) {
            compare_selections(&together.selection[r], &alone);
            df_selection_clear(&together.selection[r]);
            world_close(&together.opened[r]);
        }
    }
    df_selection_clear(&alone);
    world_close(&one);
}

static const int64_t labelled[3] = {2, 30, 59}, counts[] = {12, ALL};
static const int32_t labels[3] = {0, 1, 2};

/* The queries of ranks are those of one process, on every rank. */
static void test_selections(void **state)
{
    (void)state;
    static const char *const names[] = {"coreset-greedy", "badge"};
    for (int run = 0; run < 8; run++) {
        struct df_selection_options options = {.count = counts[run >> 1 & 1],
                                               .subsample = run & 4 ? 41 : 0,
                                               .seed = 3,
                                               .labelled_rows = labelled,
                                               .labelled_row_count = 3,
                                               .labelled_labels = labels};
        test_ok(df_strategy_find(&options.strategy, names[run & 1]));
        assert_true(options.strategy->spreads);
        same_as_alone(&options, run >> 1 & 1);
    }
}

/* The same of strategies that look for the smallest margins alone, for a few and for more than there are with
 * a margin, where steps run out or not. */
static void test_margins(void **state)
{
    (void)state;
    static const char *const names[] = {"dfal", "dfal-diverse", "dfal+ceal"}, *const unconverged[] = {
                                                                                  "last", "exclude"};
    for (int run = 0; run < 12; run++) {
        struct df_selection_options options = {.count = counts[run / 3 % 2],
                                               .cascade = true,
                                               .unconverged = unconverged[run / 6],
                                               .seed = 3,
                                               .labelled_rows = labelled,
                                               .labelled_row_count = 3,
                                               .labelled_labels = labels};
        test_ok(df_deepfool_preset(&options.deepfool, "lts4"));
        options.deepfool.max_iter = run / 6 ? 1 : 50;
        test_ok(df_strategy_find(&options.strategy, names[run % 3]));
        same_as_alone(&options, false);
    }
}

/* ---- memory -------------------------------------------------------------------------------------------- */

/* A rank whose twin has the same to say, so that it can be alone in its process. */
static dfal_status hear_twice(struct df_comm *comm, void *out, const int64_t *bytes, const void *in)
{
    for (int32_t r = 0; r < comm->size; r++)
        memcpy((char *)out + r * bytes[0], in, (size_t)bytes[0]);
    return DFAL_OK;
}

static dfal_status keep(struct df_comm *comm, void *data, int64_t bytes, int32_t root)
{
    (void)comm, (void)data, (void)bytes;
    assert_int_equal(root, 0); /* of equal bids the first */
    return DFAL_OK;
}

/* Of the twin's share nothing is known. */
static dfal_status leave(struct df_comm *comm, void *data, int64_t bytes, int32_t root)
{
    (void)comm, (void)data, (void)bytes, (void)root;
    return DFAL_OK;
}

/* Whatever allocation is refused, all is given back. */
static void test_memory(void **state)
{
    (void)state;
    static const struct {
        const char *strategy;
        bool cascade, twins;
    } cases[] = {{"coreset-greedy", false, false},
                 {"badge", false, false},
                 {"dfal", true, false},
                 {"dfal", false, true},
                 {"egl", false, false},
                 {"bald", false, false}};
    struct world_opened opened;
    world_open(&opened, "ref", 1, world.net, world.train);
    for (int s = 0; s < 2 * (int)(sizeof cases / sizeof *cases); s++) {
        const bool cascade = cases[s / 2].cascade;
        struct df_comm twin = {.size = 2, .allgatherv = hear_twice, .broadcast = leave};
        struct df_selection_options options = {
            .count = 4, .seed = 3, .comm = &twin, .cascade = cascade, .twins = cases[s / 2].twins};
        struct df_selection selection;
        test_ok(df_strategy_find(&options.strategy, cases[s / 2].strategy));
        test_ok(df_deepfool_preset(&options.deepfool, "lts4"));
        options.alike = !options.strategy->spreads && !cascade;
        if (!options.alike)
            twin.broadcast = keep;
        opened.device->wide = s % 2;
        const int64_t live = df_alloc_live();
        dfal_status status = DFAL_E_MEMORY;
        for (int64_t n = 1; status != DFAL_OK; n++) {
            df_fault_arm(DF_FAULT_ALLOC, n);
            status = df_select(opened.context, opened.device, opened.network, opened.pool, opened.rows, ALL,
                               &options, &selection);
            df_fault_arm(DF_FAULT_ALLOC, 0);
            assert_true(status == DFAL_OK || status == DFAL_E_MEMORY);
            if (status == DFAL_OK)
                assert_int_equal(selection.count, cascade ? 2 : 4); /* each margin is told twice */
            df_selection_clear(&selection);
            assert_int_equal(df_alloc_live(), live);
        }
    }
    world_close(&opened);
}

/* ---- parts --------------------------------------------------------------------------------------------- */

/* Parts are the candidates in their order, each once, and stay so where some are left out; who is alone sees
 * all of them. */
static void test_parts(void **state)
{
    (void)state;
    const struct df_strategy none = {.name = "none"};
    struct world_opened opened;
    world_open(&opened, "ref", 1, world.net, world.train);
    for (int32_t size = 1; size <= MOST; size++) {
        static const int64_t out[3] = {0, 20, 59};
        struct test_hall hall = {.size = size};
        int64_t next = 0, left = 0;
        for (int32_t r = 0; r < size; r++) {
            struct test_rank rank = test_rank_of(&hall, r);
            const struct df_selection_options options = {.strategy = &none, .comm = &rank.comm};
            struct df_view view = {.context = opened.context,
                                   .device = opened.device,
                                   .network = opened.network,
                                   .pool = opened.pool,
                                   .options = &options};
            struct df_view *part, *again;
            test_ok(df_view_open(&view, opened.rows, ALL));
            test_ok(df_view_part(&view, &part));
            assert_true((part == &view) == (size == 1) && (df_view_comm(part) != NULL) == (size > 1));
            for (int64_t i = 0; i < df_view_count(part); i++)
                assert_int_equal(df_view_rows(part)[i], next++);
            test_ok(df_view_exclude(&view, out, 3));
            test_ok(df_view_part(&view, &again));
            assert_ptr_equal(again, part);
            for (int64_t i = 0; i < df_view_count(part); i++) {
                const int64_t row = df_view_rows(part)[i];
                assert_true(row != 0 && row != 20 && row != 59);
            }
            left += df_view_count(part);
            df_view_close(&view);
        }
        assert_true(next == ALL && left == ALL - 3);
    }
    world_close(&opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bids),    cmocka_unit_test(test_k_center), cmocka_unit_test(test_selections),
        cmocka_unit_test(test_margins), cmocka_unit_test(test_memory),   cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
