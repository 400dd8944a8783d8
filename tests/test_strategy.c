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
#include "strategy/oracle.h"
#include "strategy/rank.h"
#include "strategy/strategy.h"
#include "strategy/view_inside.h"
#include "support.h"

enum { N = 12 };

struct fixture {
    int64_t index[N];
    float margin[N];
    uint8_t status[N];
    struct df_scores scores;
    struct df_selection_options options;
    struct df_view view;
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
    f->options =
        (struct df_selection_options){.strategy = &df_strategy_dfal, .unconverged = "last", .seed = 7};
    f->view = (struct df_view){.count = N, .rows = f->index, .margins = &f->scores, .options = &f->options};
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

static int64_t rank_rows(const struct df_strategy *strategy, struct fixture *f, int64_t q, int64_t *rows)
{
    struct df_choice list[N];
    struct df_choices choices = {.list = list, .count = -1};
    test_ok(strategy->select(&f->view, q, &choices));
    for (int64_t i = 0; i < choices.count; i++)
        rows[i] = f->index[list[i].candidate];
    return choices.count;
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
    f.options.unconverged = "keep";
    assert_int_equal(rank_rows(&df_strategy_dfal, &f, 3, rows), 3);
    assert_int_equal(rows[1], 104);
    assert_int_equal(rows[2], 105);
    f.options.unconverged = "exclude";
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
        f.options.seed = seed;
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
    struct df_choice list[N];
    struct df_choices choices = {.list = list};
    int64_t rows[N], other[N];
    int seen[N] = {0}, same = 0;
    fixture_init(&f);
    test_ok(df_strategy_random.select(&f.view, 100, &choices));
    assert_int_equal(choices.count, N);
    for (int i = 0; i < N; i++) {
        assert_true(isnan(list[i].score));
        seen[list[i].candidate]++;
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(seen[i], 1);
    rank_rows(&df_strategy_random, &f, N, rows);
    f.options.seed = 8;
    rank_rows(&df_strategy_random, &f, N, other);
    for (int i = 0; i < N; i++)
        same += rows[i] == other[i];
    assert_true(same < N);
    /* Every row is first for about 1/N of the seeds. */
    int first[N] = {0};
    for (uint64_t seed = 0; seed < 1200; seed++) {
        f.options.seed = seed;
        rank_rows(&df_strategy_random, &f, 1, rows);
        first[rows[0] - 100]++;
    }
    for (int i = 0; i < N; i++)
        assert_in_range(first[i], 60, 150);
}

static void test_row_scores(void **state)
{
    (void)state;
    struct fixture f;
    struct df_choice list[N];
    struct df_choices choices = {.list = list};
    double score[N];
    fixture_init(&f);
    for (int i = 0; i < N; i++)
        score[i] = i == 3 ? (double)NAN : (i * 5) % N;
    test_ok(df_rank_by_score(&f.view, score, DF_LARGEST_FIRST, 3, &choices));
    assert_int_equal(choices.count, 3);
    assert_int_equal(choices.nonfinite, 1);
    assert_true(list[0].score == 11 && list[1].score == 10 && list[2].score == 9);
    test_ok(df_rank_by_score(&f.view, score, DF_SMALLEST_FIRST, N, &choices));
    assert_int_equal(choices.count, N - 1);
    assert_int_equal(choices.nonfinite, 1);
    for (int i = 0; i < N - 1; i++)
        assert_int_not_equal(list[i].candidate, 3);
    test_ok(df_rank_by_score(&f.view, score, DF_SMALLEST_FIRST, 0, &choices));
    assert_int_equal(choices.count, 0);
    f.view.count = 0;
    test_ok(df_rank_by_score(&f.view, score, DF_SMALLEST_FIRST, N, &choices));
    assert_int_equal(choices.count, 0);
}

/* A heap of q against sorting everything: many ties, many lengths, each list the beginning of the longer
 * one. */
static void test_heap(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    static int64_t index[MANY];
    static double score[MANY];
    static struct df_choice all[MANY], some[MANY];
    struct df_choices whole = {.list = all}, part = {.list = some};
    for (int i = 0; i < MANY; i++) {
        index[i] = 3 * i + 1;
        uint64_t bits = df_random_bits(5, DF_STREAM_SHUFFLE, (uint64_t)i);
        score[i] = bits % 17 == 0 ? (double)NAN : (double)(bits % 40);
    }
    const struct df_selection_options options = {.strategy = &df_strategy_random, .seed = 9};
    const struct df_view view = {.count = MANY, .rows = index, .options = &options};
    test_ok(df_rank_by_score(&view, score, DF_SMALLEST_FIRST, MANY, &whole));
    const int64_t n = whole.count;
    assert_in_range(n, MANY * 9 / 10, MANY - 1);
    assert_int_equal(n + whole.nonfinite, MANY);
    for (int64_t i = 1; i < n; i++) {
        assert_true(all[i].score >= all[i - 1].score);
        if (all[i].score == all[i - 1].score)
            assert_true(df_random_bits(9, DF_STREAM_TIES, (uint64_t)index[all[i].candidate]) >=
                        df_random_bits(9, DF_STREAM_TIES, (uint64_t)index[all[i - 1].candidate]));
    }
    static const int64_t lengths[] = {1, 2, 3, 50, 777, 1999};
    for (int k = 0; k < 6; k++) {
        test_ok(df_rank_by_score(&view, score, DF_SMALLEST_FIRST, lengths[k], &part));
        assert_int_equal(part.count, lengths[k] < n ? lengths[k] : n);
        for (int64_t i = 0; i < part.count; i++)
            assert_int_equal(some[i].candidate, all[i].candidate);
    }
}

/* Choose among rows of logits that are known; list [rows]. */
static void choose_of_logits(const struct df_strategy *strategy, const float *logits, int64_t rows,
                             int32_t classes, struct df_choices *choices)
{
    static const int64_t index[N] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const struct df_selection_options options = {.strategy = strategy, .seed = 1};
    const struct df_network network = {.class_count = classes};
    struct df_known *known = NULL;
    struct df_view view = {.network = &network, .options = &options, .rows = index, .count = rows};
    test_ok(df_view_add(&view, &known, &(struct df_known_key){0}, classes, (size_t)classes * sizeof(float)));
    memcpy(known->values, logits, (size_t)(rows * classes) * sizeof(float));
    test_ok(strategy->select(&view, rows, choices));
    df_view_close(&view);
}

/* Closed forms; the comparison with NumPy is golden/strategies.py's. */
static void test_softmax(void **state)
{
    (void)state;
    static const struct df_strategy *const all[] = {&df_strategy_entropy, &df_strategy_least_confidence,
                                                    &df_strategy_margin, &df_strategy_logit_gap};
    static const struct {
        float logits[4];
        int32_t classes;
        double expected[4];
    } rows[] = {
        {{7, 7, 7, 7}, 4, {1.3862943611198906, 0.75, 0, 0}},
        {{-1e4f, -1e4f}, 2, {0.6931471805599453, 0.5, 0, 0}},
        {{1e4f, 0, 0}, 3, {0, 0, 1, 1e4}},
        {{1e4f, -1e4f}, 2, {0, 0, 1, 2e4}},
        {{3e38f, -3e38f, 0}, 3, {0, 0, 1, 3e38f}},
        {{40, 0}, 2, {1.7418252446695515e-16, 4.248354255291589e-18, 1, 40}},
        {{0, -0.f, -1e30f}, 3, {0.6931471805599453, 0.5, 0, 0}},
        {{-90, -89}, 2, {0.58220310888821795, 0.2689414213699951, 0.46211715726000979, 1}},
    };
    for (int r = 0; r < (int)(sizeof rows / sizeof rows[0]); r++)
        for (int s = 0; s < 4; s++) {
            struct df_choice one;
            struct df_choices choices = {.list = &one};
            choose_of_logits(all[s], rows[r].logits, 1, rows[r].classes, &choices);
            assert_int_equal(choices.count, 1);
            const double found = one.score;
            double expected = rows[r].expected[s];
            if (!(fabs(found - expected) <= 1e-13 * fabs(expected)))
                test_fail("row %d, %s: %.17g, expected %.17g", r, all[s]->name, found, expected);
            assert_false(signbit(found));
        }
    static const float bad[3][3] = {{0, NAN, 1}, {INFINITY, 0, 0}, {0, 0, -INFINITY}};
    for (int r = 0; r < 3; r++)
        for (int s = 0; s < 4; s++) {
            struct df_choice one;
            struct df_choices choices = {.list = &one};
            choose_of_logits(all[s], bad[r], 1, 3, &choices);
            assert_true(choices.count == 0 && choices.nonfinite == 1);
        }
    /* Of 2 : 1 and 3 : 1 the former is asked first. */
    static const float two[4] = {1.0986123f, 0, 0.6931472f, 0};
    for (int s = 0; s < 4; s++) {
        struct df_choice list[2];
        struct df_choices choices = {.list = list};
        choose_of_logits(all[s], two, 2, 2, &choices);
        assert_true(choices.count == 2 && list[0].candidate == 1);
    }
}

/* The gaps of a scores file. */
static void test_known_gaps(void **state)
{
    (void)state;
    struct fixture f;
    float gaps[N] = {2.5f, INFINITY, 0, NAN, INFINITY, 7, 7, 7, 7, 7, 7, 7};
    uint8_t ends[N] = {DFAL_SCORE_NONFINITE, DFAL_SCORE_NONFINITE, DFAL_SCORE_PRUNED, DFAL_SCORE_OK,
                       DFAL_SCORE_OK};
    float zero[N] = {0};
    int32_t none[N] = {0};
    uint16_t iterations[N] = {0};
    const double *found = NULL;
    fixture_init(&f);
    f.scores = (struct df_scores){.count = N,
                                  .index = f.index,
                                  .margin = zero,
                                  .first_margin = zero,
                                  .logit_gap = gaps,
                                  .status = ends,
                                  .label = none,
                                  .adversarial_class = none,
                                  .iterations = iterations};
    f.options.scores = &f.scores;
    test_ok(df_view_logit_gaps(&f.view, &found));
    assert_true(found[0] == 2.5);
    assert_true(isnan(found[1]));
    assert_true(found[2] == 0);
    assert_true(isnan(found[3]));
    assert_true(isinf(found[4])); /* finite logits too far apart for float32 */
    assert_true(found[5] == 7 && found[N - 1] == 7);
    df_view_close(&f.view);
}

/* Candidates that are excluded take what is known of them along, and move nobody else's. */
static void test_exclude(void **state)
{
    (void)state;
    struct fixture f;
    struct df_known *known = NULL;
    fixture_init(&f);
    float first[N] = {0}, gap[N] = {0};
    int32_t label[N] = {0}, adversarial[N] = {0};
    uint16_t iterations[N] = {0};
    f.scores.first_margin = first;
    f.scores.logit_gap = gap;
    f.scores.label = label;
    f.scores.adversarial_class = adversarial;
    f.scores.iterations = iterations;
    test_ok(df_view_add(&f.view, &known, &(struct df_known_key){0}, 2, 2 * sizeof(float)));
    for (int i = 0; i < 2 * N; i++)
        ((float *)known->values)[i] = (float)i;
    const int64_t out[] = {0, 5, 6, N - 1};
    test_ok(df_view_exclude(&f.view, out, 4));
    assert_int_equal(df_view_count(&f.view), N - 4);
    static const int kept[N - 4] = {1, 2, 3, 4, 7, 8, 9, 10};
    for (int i = 0; i < N - 4; i++) {
        assert_int_equal(df_view_rows(&f.view)[i], 100 + kept[i]);
        assert_true(((float *)known->values)[2 * i] == (float)(2 * kept[i]));
        assert_true(((float *)known->values)[2 * i + 1] == (float)(2 * kept[i] + 1));
    }
    assert_true(f.view.margins->margin[4] == 9 && f.view.margins->count == N - 4);
    test_ok(df_view_exclude(&f.view, (int64_t[]){0}, 1));
    assert_int_equal(df_view_rows(&f.view)[0], 102);
    /* A strategy's own numbers as well. */
    double *own = NULL;
    bool there = true;
    test_ok(df_view_own_scores(&f.view, &own, &there));
    assert_false(there);
    for (int i = 0; i < N - 5; i++)
        own[i] = 100 + kept[i + 1];
    test_ok(df_view_exclude(&f.view, (int64_t[]){1, 3}, 2));
    test_ok(df_view_own_scores(&f.view, &own, &there));
    assert_true(there);
    for (int i = 0; i < N - 7; i++)
        assert_true(own[i] == (double)df_view_rows(&f.view)[i]);
    df_view_close(&f.view);
}

static void test_find(void **state)
{
    (void)state;
    const struct df_strategy *strategy = NULL;
    test_ok(df_strategy_find(&strategy, "dfal"));
    assert_ptr_equal(strategy, &df_strategy_dfal);
    assert_true(strategy->twins);
    test_ok(df_strategy_find(&strategy, "least-confidence"));
    assert_ptr_equal(strategy, &df_strategy_least_confidence);
    assert_false(strategy->twins);
    test_error(df_strategy_find(&strategy, "entropie"), DFAL_E_USAGE, "'entropy'");
    assert_null(strategy);
    test_error(df_strategy_find(&strategy, NULL), DFAL_E_USAGE,
               "no strategy is named, expected dfal, random");
    for (int i = 0; df_strategies[i];
         i++) { /* the sentence names all: room for it is counted by identifiers */
        const char *at = strstr(dfal_last_error(), df_strategies[i]->name);
        assert_true(at && strchr(df_strategies[i + 1] ? ", " : "", at[strlen(df_strategies[i]->name)]));
    }
#define DF_STRATEGY(identifier) assert_int_equal(strlen(#identifier), strlen(df_strategy_##identifier.name));
#include "strategy/strategies.def"
    test_ok(df_strategy_find(&strategy, "coreset-greedy"));
    assert_true(strategy->set);
    for (int i = 0; df_strategies[i]; i++) /* a run finds its options by this place */
        assert_true(df_strategy_known_index(df_strategies[i]->name) >= 0);
    test_error(df_strategy_find(&strategy, "randon"), DFAL_E_USAGE, "'random'");
    test_error(df_strategy_find(&strategy, "zzzzzzzzzzzz"), DFAL_E_USAGE, "expected");
}

static void test_options(void **state)
{
    (void)state;
    static const struct df_strategy_option table[] = {
        {.key = "passes",
         .kind = DF_OPTION_NUMBER,
         .number = {.kind = DF_NUMBER_I32, .low = 1, .high = 100},
         .standard = "10",
         .help = ""},
        {.key = "share",
         .kind = DF_OPTION_NUMBER,
         .number = {.kind = DF_NUMBER_REAL, .low = 0, .high = 1},
         .standard = "0.5",
         .help = ""},
        {.key = "program",
         .kind = DF_OPTION_CHOICE,
         .choices = "covering|sener",
         .standard = "covering",
         .help = ""},
        {.key = "node", .kind = DF_OPTION_TEXT, .standard = "", .help = ""},
        {0},
    };
    struct df_option_values values = {0}, before;
    const struct df_selection_options options = {
        .strategy = &(struct df_strategy){.name = "made-up", .options = table}, .values = &values};
    const struct df_view view = {.options = &options};
    assert_int_equal(df_view_integer(&view, "passes"), 10);
    assert_true(df_view_real(&view, "share") == 0.5);
    assert_string_equal(df_view_text(&view, "program"), "covering");
    assert_string_equal(df_view_text(&view, "node"), "");
    assert_string_equal(df_option_text(NULL, table, "passes"), "10");
    test_ok(df_option_assign(&values, table, "passes=+7"));
    test_ok(df_option_assign(&values, table, "share=25e-2"));
    test_ok(df_option_assign(&values, table, "program=sener"));
    test_ok(df_option_assign(&values, table, "node=a=b"));
    assert_int_equal(df_view_integer(&view, "passes"), 7);
    assert_string_equal(df_view_text(&view, "passes"), "7"); /* one form */
    assert_true(df_view_real(&view, "share") == 0.25);
    assert_string_equal(df_view_text(&view, "share"), "0.25");
    assert_string_equal(df_view_text(&view, "program"), "sener");
    assert_string_equal(df_view_text(&view, "node"), "a=b");
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"passes=0", "passes is 0, expected a whole number from 1 to 100"},
        {"passes=101", "passes is 101, expected"},
        {"passes=1e1", "passes is 1e1, expected"},
        {"passes=99999999999999999999", "passes is 99999999999999999999, expected"},
        {"passes=", "passes is empty, expected"},
        {"share=nan", "share is nan, expected a number from 0 to 1"},
        {"share=1.01", "share is 1.01, expected"},
        {"program=senr", "unknown program 'senr': expected covering or sener; nearest is 'sener'"},
        {"pases=1", "unknown option 'pases': expected passes, share, program or node; nearest is 'passes'"},
        {"node", "'node' has no '=' behind a key, expected KEY=VALUE"},
        {"=1", "expected KEY=VALUE"},
        {"node="
         "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
         "9",
         "expected text of at most 95 bytes"},
    };
    before = values;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_error(df_option_assign(&values, table, bad[i].text), DFAL_E_USAGE, bad[i].words);
        assert_memory_equal(&values, &before, sizeof values);
    }
    for (int i = 0; df_strategies[i]; i++) { /* every table fits its values */
        int count = 0;
        while (df_strategies[i]->options && df_strategies[i]->options[count].key)
            count++;
        assert_in_range(count, 0, DF_STRATEGY_OPTIONS);
    }
    test_error(df_option_assign(&values, NULL, "passes=1"), DFAL_E_USAGE,
               "unknown option 'passes': expected none");
}

static void test_oracle(void **state)
{
    (void)state;
    int32_t labels[4] = {3, -1, 0, 2}, got[3];
    struct df_pool pool = {.path = (char *)"pool.h5", .count = 4, .labels = labels};
    struct df_oracle *oracle = NULL;
    test_ok(df_oracle_open(&oracle, df_oracles, "simulated", &pool));
    test_ok(oracle->ask(oracle, (int64_t[]){3, 0, 2}, got, 3));
    assert_true(got[0] == 2 && got[1] == 3 && got[2] == 0);
    test_error(oracle->ask(oracle, (int64_t[]){0, 1}, got, 2), DFAL_E_DATA, "row 1");
    oracle->close(oracle);
    pool.labels = NULL;
    test_error(df_oracle_open(&oracle, df_oracles, "simulated", &pool), DFAL_E_DATA, "pool.h5");
    assert_null(oracle);
    test_error(df_oracle_open(&oracle, df_oracles, "simulatd", &pool), DFAL_E_USAGE,
               "unknown oracle 'simulatd': expected simulated; nearest is 'simulated'");
    assert_null(oracle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_order_independent),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_row_scores),
        cmocka_unit_test(test_heap),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_known_gaps),
        cmocka_unit_test(test_exclude),
        cmocka_unit_test(test_oracle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
