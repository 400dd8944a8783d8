/* SPDX-License-Identifier: Apache-2.0 */
/* Philox against Random123's published vectors, and what the library derives from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/rng.h"
#include "philox.h"

/* philox4x32-10 of Random123's kat_vectors: counter, key, answer. */
static const struct vector {
    uint32_t counter[4], key[2], answer[4];
} vectors[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void philox_known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const struct vector *v = &vectors[i];
        uint32_t words[4];
        df_philox(words, (uint64_t)v->key[1] << 32 | v->key[0], v->counter[3], v->counter[2],
                  (uint64_t)v->counter[1] << 32 | v->counter[0]);
        assert_memory_equal(words, v->answer, sizeof words);
    }
}

/* Many indices at once are the same indices one by one, also where the low word of an index runs over. */
static void philox_many_are_philox(void **state)
{
    (void)state;
    const uint64_t begin[] = {0, 5, UINT64_C(0xfffffff0), UINT64_MAX - 200};
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
        for (int64_t count = 0; count <= DF_PHILOX_LANES; count++) {
            uint32_t many[DF_PHILOX_WORDS], one[4];
            df_philox_many(many, UINT64_C(0x123456789abcdef), 7, UINT32_MAX, begin[i], count);
            for (int64_t l = 0; l < count; l++) {
                df_philox(one, UINT64_C(0x123456789abcdef), 7, UINT32_MAX, begin[i] + (uint64_t)l);
                assert_memory_equal(many + 4 * l, one, sizeof one);
            }
        }
}

static void bits_follow_the_documented_layout(void **state)
{
    (void)state;
    uint32_t words[4];
    df_philox(words, 77, DF_STREAM_SPLIT, 0, 5);
    uint64_t bits = (uint64_t)words[1] << 32 | words[0];
    assert_true(df_random_bits(77, DF_STREAM_SPLIT, 5) == bits);
    assert_true(df_random_child(77, DF_STREAM_SPLIT, 5) == bits);
    assert_true(df_random_uniform(77, DF_STREAM_SPLIT, 5) == (double)(bits >> 11) / 9007199254740992.0);
    assert_true(df_random_bits(78, DF_STREAM_SPLIT, 5) != bits);
    assert_true(df_random_bits(77, DF_STREAM_SUBSET, 5) != bits);
    assert_true(df_random_bits(77, DF_STREAM_SPLIT, 6) != bits);
    assert_true(df_random_bits(77, DF_STREAM_SPLIT, 5 + (UINT64_C(1) << 32)) != bits);
}

/* 16 cells of 6,250 expected: chi square with 15 degrees of freedom stays under 37.7 in 99.9 % of cases. */
static void uniform_fills_its_range(void **state)
{
    (void)state;
    enum { N = 100000 };
    double cells[16] = {0}, sum = 0, chi = 0;
    for (uint64_t i = 0; i < N; i++) {
        double u = df_random_uniform(1, DF_STREAM_RANDOM, i);
        assert_true(u >= 0 && u < 1);
        cells[(int)(u * 16)]++;
        sum += u;
    }
    for (int i = 0; i < 16; i++)
        chi += (cells[i] - N / 16.0) * (cells[i] - N / 16.0) / (N / 16.0);
    assert_true(chi < 37.7);
    assert_true(sum / N > 0.495 && sum / N < 0.505);
}

static void permutations_are_permutations(void **state)
{
    (void)state;
    enum { N = 1000 };
    int64_t a[N], b[N], shorter[N / 2];
    assert_int_equal(df_random_permutation(a, N, 9, DF_STREAM_SHUFFLE, 4), DFAL_OK);
    assert_int_equal(df_random_permutation(b, N, 9, DF_STREAM_SHUFFLE, 4), DFAL_OK);
    assert_memory_equal(a, b, sizeof a);
    char seen[N] = {0};
    for (int i = 0; i < N; i++) {
        assert_in_range(a[i], 0, N - 1);
        assert_int_equal(seen[a[i]]++, 0);
    }
    assert_int_equal(df_random_permutation(b, N, 9, DF_STREAM_SHUFFLE, 5), DFAL_OK);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(df_random_permutation(b, N, 10, DF_STREAM_SHUFFLE, 4), DFAL_OK);
    assert_memory_not_equal(a, b, sizeof a);
    /* Sorted by random bits: fewer numbers are the same order with the others left out. */
    assert_int_equal(df_random_permutation(shorter, N / 2, 9, DF_STREAM_SHUFFLE, 4), DFAL_OK);
    int at = 0;
    for (int i = 0; i < N; i++)
        if (a[i] < N / 2)
            assert_int_equal(shorter[at++], a[i]);
    assert_int_equal(at, N / 2);
    /* Salt 0 is the order of df_random_bits. */
    assert_int_equal(df_random_permutation(a, N, 9, DF_STREAM_SPLIT, 0), DFAL_OK);
    for (int i = 1; i < N; i++)
        assert_true(df_random_bits(9, DF_STREAM_SPLIT, (uint64_t)a[i - 1]) <
                    df_random_bits(9, DF_STREAM_SPLIT, (uint64_t)a[i]));
}

/* Every place is taken by every number about as often: 24,000 permutations of 4. */
static void permutations_are_fair(void **state)
{
    (void)state;
    int counts[4][4] = {{0}};
    for (uint64_t trial = 0; trial < 24000; trial++) {
        int64_t order[4];
        assert_int_equal(df_random_permutation(order, 4, 3, DF_STREAM_SUBSET, trial), DFAL_OK);
        for (int i = 0; i < 4; i++)
            counts[i][order[i]]++;
    }
    for (int i = 0; i < 16; i++)
        assert_in_range(counts[i / 4][i % 4], 5700, 6300);
}

static void permutation_edges(void **state)
{
    (void)state;
    int64_t one[1] = {-1};
    assert_int_equal(df_random_permutation(one, 0, 1, DF_STREAM_SUBSET, 0), DFAL_OK);
    assert_int_equal(one[0], -1);
    assert_int_equal(df_random_permutation(one, 1, 1, DF_STREAM_SUBSET, 0), DFAL_OK);
    assert_int_equal(one[0], 0);
    assert_int_equal(df_random_permutation(one, -1, 1, DF_STREAM_SUBSET, 0), DFAL_E_INTERNAL);
    assert_int_equal(df_random_permutation(one, 1, 1, DF_STREAM_SUBSET, UINT64_C(1) << 32), DFAL_E_INTERNAL);
    df_fault_arm(DF_FAULT_ALLOC, 1);
    assert_int_equal(df_random_permutation(one, 1, 1, DF_STREAM_SUBSET, 0), DFAL_E_MEMORY);
    df_fault_arm(DF_FAULT_ALLOC, 0);
}

/* A draw is the beginning of a permutation, in whichever order the indices come; fewer than asked for are
 * all. */
static void draws_begin_permutations(void **state)
{
    (void)state;
    enum { N = 500 };
    static const int64_t limits[] = {0, 1, 2, 77, N - 1, N, N + 5};
    int64_t whole[N], drawn[N + 5];
    assert_int_equal(df_random_permutation(whole, N, 5, DF_STREAM_VERIFY, 0), DFAL_OK);
    for (size_t l = 0; l < sizeof limits / sizeof limits[0]; l++)
        for (int backwards = 0; backwards < 2; backwards++) {
            const int64_t expected = limits[l] < N ? limits[l] : N;
            struct df_draw draw;
            assert_int_equal(df_draw_open(&draw, limits[l], 5, DF_STREAM_VERIFY), DFAL_OK);
            for (int64_t i = 0; i < N; i++)
                df_draw_add(&draw, backwards ? N - 1 - i : i);
            assert_int_equal(draw.count, expected);
            df_draw_take(&draw, drawn);
            df_draw_close(&draw);
            assert_memory_equal(drawn, whole, (size_t)expected * sizeof *drawn);
        }
    struct df_draw none;
    df_fault_arm(DF_FAULT_ALLOC, 1);
    assert_int_equal(df_draw_open(&none, 1, 1, DF_STREAM_SUBSET), DFAL_E_MEMORY);
    df_fault_arm(DF_FAULT_ALLOC, 0);
    df_draw_close(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(philox_many_are_philox),
        cmocka_unit_test(bits_follow_the_documented_layout),
        cmocka_unit_test(uniform_fills_its_range),
        cmocka_unit_test(permutations_are_permutations),
        cmocka_unit_test(permutations_are_fair),
        cmocka_unit_test(permutation_edges),
        cmocka_unit_test(draws_begin_permutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
