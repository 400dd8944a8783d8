/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest keys of many rows, and of the rows of several ranks, against a sort of all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/rng.h"
#include "score/least.h"
#include "support.h"
#include "support_ranks.h"

enum { ROWS = 1000, MORE = 100 };

/* Many keys are equal, some are the least and the largest there are. */
static double key_of(int64_t row)
{
    const double keys[] = {0, -0.0, INFINITY, 1e-310, (double)(row % 7), (double)(row * 37 % 100) / 3};
    return keys[df_random_bits(3, DF_STREAM_TIES, (uint64_t)row) % 6];
}

static int compare(const void *a_, const void *b_)
{
    const struct df_least_row *a = a_, *b = b_;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

/* Rows are dealt unevenly: rank 0 has every second one, others share the rest, and one may have none. */
static int32_t rank_of_row(int64_t row, int32_t size)
{
    return size == 1 || row % 2 ? 0 : (int32_t)(1 + row / 2 % (size > 2 ? size - 2 : 1));
}

struct among {
    struct test_hall hall;
    int64_t limit, rows;
    struct df_least least[TEST_RANKS];
    double last[TEST_RANKS][2];
};

/* Of the rows, and then of some more. */
static dfal_status agree(void *user, int64_t r, int32_t worker)
{
    struct among *among = user;
    struct test_rank rank = test_rank_of(&among->hall, r);
    struct df_least *least = &among->least[r];
    (void)worker;
    DF_TRY(df_least_open(least, among->limit));
    for (int step = 0; step < 2; step++) {
        const int64_t begin = step ? among->rows : 0, end = among->rows + (step ? MORE : 0);
        for (int64_t row = begin; row < end; row++)
            if (rank_of_row(row, among->hall.size) == r)
                df_least_add(least, key_of(row), row);
        DF_TRY(df_least_agree(least, &rank.comm, among->limit, &among->last[r][step]));
    }
    return DFAL_OK;
}

static double last_of(const struct df_least_row *sorted, int64_t rows, int64_t limit)
{
    return limit > 0 && limit <= rows ? sorted[limit - 1].key : (double)INFINITY;
}

static void sorted_rows(struct df_least_row *rows, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        rows[i] = (struct df_least_row){key_of(i), i};
    qsort(rows, (size_t)count, sizeof *rows, compare);
}

static void ranks(void **state)
{
    static const int64_t limits[] = {1, 2, 100, 101, 500, ROWS, ROWS + MORE, 2 * ROWS};
    static struct df_least_row few[ROWS], all[ROWS + MORE];
    (void)state;
    for (int64_t rows = 3; rows <= ROWS; rows += ROWS - 3) {
        sorted_rows(few, rows);
        sorted_rows(all, rows + MORE);
        for (size_t c = 0; c < sizeof limits / sizeof *limits; c++) {
            for (int32_t size = 1; size <= TEST_RANKS; size *= 2) {
                struct among among = {.hall = {.size = size}, .limit = limits[c], .rows = rows};
                const int64_t expected = limits[c] < rows + MORE ? limits[c] : rows + MORE;
                int64_t found = 0;
                test_run_ranks(agree, &among, size);
                for (int32_t r = 0; r < size; r++) {
                    assert_true(among.last[r][0] == last_of(few, rows, limits[c]));
                    assert_true(among.last[r][1] == last_of(all, rows + MORE, limits[c]));
                    found += among.least[r].count;
                    df_least_sort(&among.least[r]);
                }
                assert_int_equal(found, expected);
                int64_t next[TEST_RANKS] = {0};
                for (int64_t i = 0; i < expected; i++) { /* each where its rank has it, in order */
                    const int32_t r = rank_of_row(all[i].index, size);
                    assert_int_equal(among.least[r].rows[next[r]++].index, all[i].index);
                }
                for (int32_t r = 0; r < size; r++)
                    df_least_close(&among.least[r]);
            }
        }
    }
}

/* Who is alone needs no ranks, keeps a heap, and asks for nothing of a limit of 0. */
static void alone(void **state)
{
    struct df_least least;
    double last;
    (void)state;
    test_ok(df_least_open(&least, 3));
    for (int64_t row = 0; row < 5; row++)
        df_least_add(&least, (double)(5 - row), row);
    test_ok(df_least_agree(&least, NULL, 3, &last));
    assert_true(last == 3 && least.count == 3);
    df_least_add(&least, 2.5, 9);
    df_least_sort(&least);
    assert_true(least.count == 3 && least.rows[2].key == 2.5);
    df_least_close(&least);
    test_ok(df_least_open(&least, 0));
    test_ok(df_least_agree(&least, NULL, 0, &last));
    assert_true(isinf(last));
    df_least_close(&least);
}

/* A rank without memory, or whose others are gone, says so. */
static dfal_status gone(struct df_comm *comm, void *out, const int64_t *bytes, const void *in)
{
    (void)comm, (void)out, (void)bytes, (void)in;
    DF_FAIL(DFAL_E_STOPPED, "rank 1 is gone");
}

static void refused(void **state)
{
    struct df_comm comm = {.size = 2, .allgatherv = gone};
    struct df_least least;
    double last;
    (void)state;
    test_ok(df_least_open(&least, 3));
    df_least_add(&least, 1, 1);
    test_error(df_least_agree(&least, &comm, 3, &last), DFAL_E_STOPPED, "rank 1 is gone");
    df_fault_arm(DF_FAULT_ALLOC, 1);
    assert_int_equal(df_least_agree(&least, &comm, 3, &last), DFAL_E_MEMORY);
    df_fault_arm(DF_FAULT_ALLOC, 0);
    df_least_close(&least);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranks), cmocka_unit_test(alone),
                                       cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
