/* SPDX-License-Identifier: Apache-2.0 */
/* What looks at distances of rows: strategies with more candidates than one job has, on several threads,
 * against plain loops; near-duplicates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/compare.h"
#include "base/rng.h"
#include "strategy/row_distance.h"
#include "strategy/view_inside.h"
#include "support_world.h"

enum { POOL_ROWS = 1400, LABELLED = 40, MOST = POOL_ROWS - LABELLED, CHOSEN = 30 };

/* The last progress of distances. */
struct heard {
    int64_t done, total;
};

static void hear(void *user, const struct dfal_event *event)
{
    struct heard *heard = user;
    if (strcmp(event->name, "select.distances"))
        return;
    heard->done = event->fields[0].integer;
    heard->total = event->fields[1].integer;
}

/* Candidates and labelled rows with what is known of them; the arrays are the view's. */
struct rows {
    struct df_features h;
    const double *classes;
};

static double predicted(const float *logits, int64_t class_count)
{
    int64_t best = 0;
    for (int64_t k = 1; k < class_count; k++)
        best = logits[k] > logits[best] ? k : best;
    return (double)best;
}

static double distance_of(const struct rows *a, int64_t i, const struct rows *b, int64_t j)
{
    const int64_t size = a->h.size;
    return df_square_distance(a->h.values + i * size, b->h.values + j * size, size);
}

static void plain_nearest_other(double *nearest, const struct rows *candidates, const struct rows *labelled)
{
    for (int64_t i = 0; i < candidates->h.count; i++) {
        double least = INFINITY;
        for (int64_t j = 0; j < candidates->h.count; j++)
            if (candidates->classes[i] != candidates->classes[j])
                least = fmin(least, distance_of(candidates, i, candidates, j));
        for (int64_t j = 0; j < labelled->h.count; j++)
            if (candidates->classes[i] != labelled->classes[j])
                least = fmin(least, distance_of(candidates, i, labelled, j));
        nearest[i] = sqrt(least);
    }
}

/* The farthest of all that are left; of equal ones the first in the seeded order. */
static int64_t plain_farthest(const double *nearest, const int64_t *rows, int64_t n, uint64_t seed)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (nearest[i] > nearest[best] ||
            (nearest[i] == nearest[best] && df_random_bits(seed, DF_STREAM_TIES, (uint64_t)rows[i]) <
                                                df_random_bits(seed, DF_STREAM_TIES, (uint64_t)rows[best])))
            best = i;
    return best;
}

static void plain_coreset(struct df_choice *chosen, int64_t q, const struct rows *candidates,
                          const struct rows *labelled, const int64_t *rows, uint64_t seed)
{
    static double nearest[MOST];
    const int64_t n = candidates->h.count;
    for (int64_t i = 0; i < n; i++) {
        nearest[i] = INFINITY;
        for (int64_t j = 0; j < labelled->h.count; j++)
            nearest[i] = fmin(nearest[i], distance_of(candidates, i, labelled, j));
    }
    for (int64_t k = 0; k < q; k++) {
        const int64_t best = plain_farthest(nearest, rows, n, seed);
        chosen[k] = (struct df_choice){best, sqrt(nearest[best])};
        for (int64_t i = 0; i < n; i++)
            if (nearest[i] >= 0)
                nearest[i] = fmin(nearest[i], distance_of(candidates, i, candidates, best));
        nearest[best] = -1;
    }
}

/* Ranks by score may be tied: a row's own score is compared. */
static void check_nearest_other(const struct df_selection *found, const double *expected, const int64_t *rows)
{
    for (int64_t i = 0; i < found->count; i++) {
        const int64_t *at = bsearch(&found->index[i], rows, MOST, sizeof *rows, df_compare_integers);
        assert_non_null(at);
        assert_true(found->score[i] == expected[at - rows]);
        assert_true(i == 0 || found->score[i] >= found->score[i - 1]);
    }
}

static void check(const char *pool, int64_t n, int64_t labelled_count, int32_t threads)
{
    static int64_t rows[MOST], labelled_rows[LABELLED];
    static double nearest[MOST];
    struct df_choice chosen[CHOSEN];
    struct heard heard = {0};
    struct world_opened opened;
    struct df_selection found;
    struct rows candidates = {0}, labelled = {0};
    for (int64_t i = 0; i < LABELLED; i++)
        labelled_rows[i] = 35 * i;
    for (int64_t i = 0, at = 0; i < POOL_ROWS; i++)
        if (i % 35)
            rows[at++] = i;
    world_open(&opened, "ref", threads, world.net, pool);
    opened.context->options.event = hear;
    opened.context->options.event_user = &heard;
    struct df_selection_options options = {.strategy = &df_strategy_nearest_other,
                                           .count = n,
                                           .seed = 3,
                                           .labelled_rows = labelled_rows,
                                           .labelled_row_count = labelled_count};
    struct df_view view = {.context = opened.context,
                           .device = opened.device,
                           .network = opened.network,
                           .pool = opened.pool,
                           .options = &options};
    test_ok(df_view_open(&view, rows, n));
    test_ok(df_view_features(&view, "", &candidates.h));
    test_ok(df_view_row_scores(&view, predicted, &candidates.classes));
    test_ok(df_view_labelled_features(&view, "", &labelled.h));
    test_ok(df_view_labelled_row_scores(&view, predicted, &labelled.classes));

    plain_nearest_other(nearest, &candidates, &labelled);
    test_ok(df_select(opened.context, opened.device, opened.network, opened.pool, rows, n, &options, &found));
    assert_int_equal(found.count, n);
    check_nearest_other(&found, nearest, rows);
    assert_int_equal(heard.total, n * labelled_count + n * (n - 1) / 2);
    assert_int_equal(heard.done, heard.total);
    df_selection_clear(&found);

    const int64_t q = n < CHOSEN ? n : CHOSEN;
    options.strategy = &df_strategy_coreset_greedy;
    options.count = q;
    plain_coreset(chosen, q, &candidates, &labelled, rows, options.seed);
    test_ok(df_select(opened.context, opened.device, opened.network, opened.pool, rows, n, &options, &found));
    assert_int_equal(found.count, q);
    for (int64_t i = 0; i < q; i++)
        assert_true(found.index[i] == rows[chosen[i].candidate] && found.score[i] == chosen[i].score);
    assert_int_equal(heard.total, n * (labelled_count + q));
    assert_int_equal(heard.done, heard.total);
    df_selection_clear(&found);
    df_view_close(&view);
    world_close(&opened);
}

/* One block and less, a few, an even and an odd number of them, and the last one not full. */
static void test_blocks(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 2, 128, 200, 300, 1025, MOST};
    char pool[TEST_PATH];
    test_join(pool, world.folder, "many.h5");
    world_pool(pool, POOL_ROWS, 0, POOL_TWICE);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int32_t threads = 1; threads <= 3; threads++)
            check(pool, counts[i], i % 2 ? LABELLED : 0, threads);
}

static void test_duplicates(void **state)
{
    (void)state;
    /* Rows 1 and 4 are the same, 5 is 0.01 away from 0, the others are far apart. */
    const float x[6][2] = {{0, 0}, {10, 0}, {0, 10}, {10, 10}, {10, 0}, {0.01f, 0}};
    int64_t pairs[12], count;
    struct heard heard = {0};
    dfal_context *context = world_context("ref", 3, hear, &heard);
    test_ok(df_near_duplicates(context, &x[0][0], 6, 2, pairs, &count));
    assert_int_equal(count, 2);
    assert_true(pairs[0] == 1 && pairs[1] == 4 && pairs[2] == 0 && pairs[3] == 5);
    test_ok(df_near_duplicates(context, &x[0][0], 1, 2, pairs, &count));
    assert_int_equal(count, 0);
    const float same[3][1] = {{1}, {1}, {1}};
    test_ok(df_near_duplicates(context, &same[0][0], 3, 1, pairs, &count));
    assert_int_equal(count, 2);
    assert_true(heard.done == 3 && heard.total == 3);
    dfal_context_stop(context);
    test_error(df_near_duplicates(context, &same[0][0], 3, 1, pairs, &count), DFAL_E_STOPPED, "");
    dfal_context_destroy(context);
}

/* Copies and pictures that differ by what a JPEG at high quality leaves. */
static void test_near_copies(void **state)
{
    (void)state;
    enum { COUNT = 40, SIDE = 32, SIZE = 3 * SIDE * SIDE };
    dfal_context *context = world_context("ref", 2, NULL, NULL);
    float *x = calloc((size_t)COUNT * SIZE, sizeof *x);
    int64_t pairs[2 * COUNT], count = 0;
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < SIZE; k++) {
            int64_t at = (int64_t)i * SIZE + k;
            int c = k / (SIDE * SIDE), y = k / SIDE % SIDE, z = k % SIDE;
            x[at] = (float)(0.5 + 0.25 * sin(0.2 * y + 1.7 * i + c) + 0.2 * cos(0.31 * z * (1 + i % 5) + i));
        }
    float noise[SIZE];
    memcpy(x + 11 * SIZE, x + 4 * SIZE, SIZE * sizeof *x); /* a copy */
    test_fill_floats(noise, SIZE, 3, -0.02, 0.02);         /* about 3 of 255 */
    for (int k = 0; k < SIZE; k++)
        x[30 * SIZE + k] = x[7 * SIZE + k] + noise[k];
    test_ok(df_near_duplicates(context, x, COUNT, SIZE, pairs, &count));
    assert_int_equal(count, 2);
    assert_true(pairs[0] == 4 && pairs[1] == 11 && pairs[2] == 7 && pairs[3] == 30);
    test_fill_floats(noise, SIZE, 4, -0.2, 0.2); /* another picture of the same thing is none */
    for (int k = 0; k < SIZE; k++)
        x[30 * SIZE + k] = x[7 * SIZE + k] + noise[k];
    test_ok(df_near_duplicates(context, x, COUNT, SIZE, pairs, &count));
    assert_int_equal(count, 1);
    free(x);
    dfal_context_destroy(context);
    assert_int_equal(df_near_duplicates_limit(784), 2000);
    assert_in_range(df_near_duplicates_limit(3 * 224 * 224), 300, 350);
    assert_true(df_near_duplicates_limit((int64_t)1 << 40) >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_near_copies),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
