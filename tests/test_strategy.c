/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks and ties of the strategies: the same rows whatever the order of the candidates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "strategy/strategy.h"
#include "support.h"

enum { N = 12 };

struct fixture {
    int64_t index[N];
    float margin[N];
    uint8_t status[N];
    struct df_scores scores;
    struct df_candidates candidates;
};

static void fixture_init(struct fixture *f)
{
    static const float margin[N] = {5, 3, 3, 3, 1, 2, 0, 9, INFINITY, INFINITY, 4, 3};
    static const uint8_t status[N] = {0, 0, 0, 0, 2, 2, 1, 0, 3, 4, 5, 0};
    memset(f, 0, sizeof *f);
    for (int i = 0; i < N; i++)
        f->index[i] = 100 + i;
    memcpy(f->margin, margin, sizeof margin);
    memcpy(f->status, status, sizeof status);
    f->scores = (struct df_scores){.count = N, .index = f->index, .margin = f->margin, .status = f->status};
    f->candidates = (struct df_candidates){
        .count = N, .index = f->index, .margins = &f->scores, .unconverged = "last", .seed = 7};
}

static void shuffle(struct fixture *f, uint64_t seed)
{
    int64_t order[N];
    struct fixture copy = *f;
    test_ok(df_random_permutation(order, N, seed, DF_STREAM_SHUFFLE, 0));
    for (int i = 0; i < N; i++) {
        f->index[i] = copy.index[order[i]];
        f->margin[i] = copy.margin[order[i]];
        f->status[i] = copy.status[order[i]];
    }
}

static int64_t rank_rows(const struct df_strategy *strategy, const struct fixture *f, int64_t q,
                         int64_t *rows)
{
    struct df_choice choices[N];
    int64_t chosen = -1;
    test_ok(strategy->rank(&f->candidates, q, choices, &chosen));
    for (int64_t i = 0; i < chosen; i++)
        rows[i] = f->index[choices[i].candidate];
    return chosen;
}

static void test_groups(void **state)
{
    (void)state;
    struct fixture f;
    int64_t rows[N];
    fixture_init(&f);
    assert_int_equal(rank_rows(&df_strategy_dfal, &f, N, rows), N - 1); /* NONFINITE is never queried */
    assert_int_equal(rows[0], 106);                                     /* TIE */
    for (int i = 1; i < 5; i++)                                         /* margin 3, seeded order */
        assert_true(rows[i] == 101 || rows[i] == 102 || rows[i] == 103 || rows[i] == 111);
    assert_int_equal(rows[5], 100);
    assert_int_equal(rows[6], 107);
    assert_int_equal(rows[7], 104); /* MAX_ITER last among the converged, by margin */
    assert_int_equal(rows[8], 105);
    assert_int_equal(rows[9], 108);  /* ZERO_GRAD */
    assert_int_equal(rows[10], 110); /* PRUNED */
    f.candidates.unconverged = "keep";
    assert_int_equal(rank_rows(&df_strategy_dfal, &f, 3, rows), 3);
    assert_int_equal(rows[1], 104);
    assert_int_equal(rows[2], 105);
    f.candidates.unconverged = "exclude";
    assert_int_equal(rank_rows(&df_strategy_dfal, &f, N, rows), N - 3);
}

static void test_ties(void **state)
{
    (void)state;
    struct fixture f;
    int64_t rows[N], first = 0;
    bool moved = false;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        fixture_init(&f);
        f.candidates.seed = seed;
        rank_rows(&df_strategy_dfal, &f, 5, rows);
        uint64_t before = 0;
        for (int i = 1; i < 5; i++) {
            uint64_t bits = df_random_bits(seed, DF_STREAM_TIES, (uint64_t)rows[i]);
            assert_true(bits >= before);
            before = bits;
        }
        moved = moved || (first && rows[1] != first);
        first = rows[1];
    }
    assert_true(moved); /* file order does not steer who is queried */
}

static void test_order_independent(void **state)
{
    (void)state;
    static const struct df_strategy *const strategies[] = {&df_strategy_dfal, &df_strategy_random};
    for (int s = 0; s < 2; s++) {
        struct fixture f;
        int64_t rows[N], again[N];
        fixture_init(&f);
        int64_t n = rank_rows(strategies[s], &f, 9, rows);
        assert_int_equal(n, 9);
        for (uint64_t seed = 1; seed < 6; seed++) {
            shuffle(&f, seed);
            assert_int_equal(rank_rows(strategies[s], &f, 9, again), n);
            for (int i = 0; i < n; i++)
                assert_int_equal(again[i], rows[i]);
        }
    }
}

static void test_random(void **state)
{
    (void)state;
    struct fixture f;
    struct df_choice choices[N];
    int64_t rows[N], other[N], chosen;
    int seen[N] = {0}, same = 0;
    fixture_init(&f);
    test_ok(df_strategy_random.rank(&f.candidates, 100, choices, &chosen));
    assert_int_equal(chosen, N);
    for (int i = 0; i < N; i++) {
        assert_true(isnan(choices[i].score));
        seen[choices[i].candidate]++;
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(seen[i], 1);
    rank_rows(&df_strategy_random, &f, N, rows);
    f.candidates.seed = 8;
    rank_rows(&df_strategy_random, &f, N, other);
    for (int i = 0; i < N; i++)
        same += rows[i] == other[i];
    assert_true(same < N);
    /* Every row is first for about 1/N of the seeds. */
    int first[N] = {0};
    for (uint64_t seed = 0; seed < 1200; seed++) {
        f.candidates.seed = seed;
        rank_rows(&df_strategy_random, &f, 1, rows);
        first[rows[0] - 100]++;
    }
    for (int i = 0; i < N; i++)
        assert_in_range(first[i], 60, 150);
}

static void test_rank_by_score(void **state)
{
    (void)state;
    struct fixture f;
    struct df_choice choices[N];
    int64_t chosen;
    double score[N];
    fixture_init(&f);
    for (int i = 0; i < N; i++)
        score[i] = i == 3 ? (double)NAN : (i * 5) % N;
    test_ok(df_rank_by_score(score, true, &f.candidates, 3, choices, &chosen));
    assert_int_equal(chosen, 3);
    assert_true(choices[0].score == 11 && choices[1].score == 10 && choices[2].score == 9);
    test_ok(df_rank_by_score(score, false, &f.candidates, N, choices, &chosen));
    assert_int_equal(chosen, N - 1);
    for (int i = 0; i < N - 1; i++)
        assert_int_not_equal(choices[i].candidate, 3);
    f.candidates.count = 0;
    test_ok(df_rank_by_score(score, false, &f.candidates, N, choices, &chosen));
    assert_int_equal(chosen, 0);
}

static void test_find(void **state)
{
    (void)state;
    const struct df_strategy *strategy = NULL;
    test_ok(df_strategy_find(&strategy, "dfal"));
    assert_ptr_equal(strategy, &df_strategy_dfal);
    assert_true(strategy->twins);
    test_error(df_strategy_find(&strategy, "entropy"), DFAL_E_UNAVAILABLE, "not in this version");
    assert_null(strategy);
    test_error(df_strategy_find(&strategy, "coreset-greedy"), DFAL_E_UNAVAILABLE, "not in this version");
    test_error(df_strategy_find(&strategy, "randon"), DFAL_E_USAGE, "'random'");
    test_error(df_strategy_find(&strategy, "zzzzzzzzzzzz"), DFAL_E_USAGE, "expected");
}

static void test_oracle(void **state)
{
    (void)state;
    int32_t labels[4] = {3, -1, 0, 2}, got[3];
    struct df_pool pool = {.path = (char *)"pool.h5", .count = 4, .labels = labels};
    struct df_oracle *oracle = NULL;
    test_ok(df_oracle_simulated(&oracle, &pool));
    test_ok(oracle->ask(oracle, (int64_t[]){3, 0, 2}, got, 3));
    assert_true(got[0] == 2 && got[1] == 3 && got[2] == 0);
    test_error(oracle->ask(oracle, (int64_t[]){0, 1}, got, 2), DFAL_E_DATA, "row 1");
    oracle->close(oracle);
    pool.labels = NULL;
    test_error(df_oracle_simulated(&oracle, &pool), DFAL_E_DATA, "pool.h5");
    assert_null(oracle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups), cmocka_unit_test(test_ties), cmocka_unit_test(test_order_independent),
        cmocka_unit_test(test_random), cmocka_unit_test(test_find), cmocka_unit_test(test_rank_by_score),
        cmocka_unit_test(test_oracle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
