/* SPDX-License-Identifier: Apache-2.0 */
/* The pool: each job once, any size, the lowest failing job's error, signals left to the caller. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/thread_pool.h"

enum { JOBS = 500 };

struct tally {
    atomic_int done[JOBS];
    atomic_int per_worker[16];
    int64_t result[JOBS];
    int64_t fail_from; /* this job and every seventh after it fails; -1: none */
    bool slow;
};

static dfal_status tally_job(void *arg, int64_t job, int32_t worker)
{
    struct tally *tally = arg;
    tally->done[job]++;
    tally->per_worker[worker]++;
    tally->result[job] = job * job;
    if (tally->slow) {
        /* Low jobs take longest, so that a higher failing job is noticed first. */
        struct timespec pause = {0, (long)(20 - job % 20) * 10000};
        nanosleep(&pause, NULL);
    }
    if (tally->fail_from >= 0 && job >= tally->fail_from && (job - tally->fail_from) % 7 == 0)
        DF_FAIL(job == tally->fail_from ? DFAL_E_DATA : DFAL_E_IO, "job %d failed", (int)job);
    return DFAL_OK;
}

static void every_job_runs_once(void **state)
{
    (void)state;
    for (int32_t size = 1; size <= 8; size++) {
        struct df_thread_pool *pool;
        assert_int_equal(df_thread_pool_create(&pool, size), DFAL_OK);
        for (int64_t count = 0; count <= JOBS; count = count * 3 + 1) {
            struct tally tally = {.fail_from = -1};
            assert_int_equal(df_thread_pool_run(pool, tally_job, &tally, count), DFAL_OK);
            for (int64_t i = 0; i < JOBS; i++) {
                assert_int_equal(tally.done[i], i < count ? 1 : 0);
                assert_int_equal(tally.result[i], i < count ? i * i : 0);
            }
            for (int i = size; i < 16; i++)
                assert_int_equal(tally.per_worker[i], 0);
        }
        df_thread_pool_destroy(pool);
    }
}

static void many_short_rounds(void **state)
{
    (void)state;
    struct df_thread_pool *pool;
    assert_int_equal(df_thread_pool_create(&pool, 2), DFAL_OK);
    for (int round = 0; round < 3000; round++) {
        struct tally tally = {.fail_from = -1};
        assert_int_equal(df_thread_pool_run(pool, tally_job, &tally, 4), DFAL_OK);
        assert_int_equal(tally.done[0] + tally.done[1] + tally.done[2] + tally.done[3], 4);
        if (round % 1000 == 0) { /* let the workers fall asleep */
            struct timespec pause = {0, 2000000};
            nanosleep(&pause, NULL);
        }
    }
    df_thread_pool_destroy(pool);
}

static void lowest_failing_job_wins(void **state)
{
    (void)state;
    for (int32_t size = 1; size <= 6; size++) {
        struct df_thread_pool *pool;
        assert_int_equal(df_thread_pool_create(&pool, size), DFAL_OK);
        for (int repeat = 0; repeat < 20; repeat++) {
            struct tally tally = {.fail_from = 20 + repeat, .slow = true};
            df_fail(DFAL_E_USAGE, "an older message");
            assert_int_equal(df_thread_pool_run(pool, tally_job, &tally, JOBS), DFAL_E_DATA);
            char expected[32];
            snprintf(expected, sizeof expected, "job %d failed", 20 + repeat);
            assert_string_equal(dfal_last_error(), expected);
            for (int i = 0; i <= 20 + repeat; i++)
                assert_int_equal(tally.done[i], 1);
            assert_int_equal(tally.done[JOBS - 1], 0); /* dropped */
            /* The next call starts clean. */
            struct tally after = {.fail_from = -1};
            assert_int_equal(df_thread_pool_run(pool, tally_job, &after, 10), DFAL_OK);
        }
        df_thread_pool_destroy(pool);
    }
}

static dfal_status mask_job(void *arg, int64_t job, int32_t worker)
{
    (void)job;
    if (worker == 0)
        return DFAL_OK;
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    atomic_int *open = arg;
    if (!sigismember(&set, SIGTERM) || !sigismember(&set, SIGINT))
        atomic_fetch_add(open, 1);
    return DFAL_OK;
}

static void workers_take_no_signals(void **state)
{
    (void)state;
    struct df_thread_pool *pool;
    atomic_int open = 0;
    assert_int_equal(df_thread_pool_create(&pool, 4), DFAL_OK);
    for (int i = 0; i < 50; i++)
        assert_int_equal(df_thread_pool_run(pool, mask_job, &open, 64), DFAL_OK);
    assert_int_equal(open, 0);
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    assert_false(sigismember(&set, SIGTERM));
    df_thread_pool_destroy(pool);
}

static void creation_fails_cleanly(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    struct df_thread_pool *pool;
    assert_int_equal(df_thread_pool_create(&pool, 0), DFAL_E_INTERNAL);
    for (int64_t n = 1; n <= 2; n++) {
        df_fault_arm(DF_FAULT_ALLOC, n);
        assert_int_equal(df_thread_pool_create(&pool, 3), DFAL_E_MEMORY);
        assert_null(pool);
    }
    df_fault_arm(DF_FAULT_ALLOC, 0);
    df_thread_pool_destroy(NULL);
    assert_int_equal(df_alloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_runs_once),     cmocka_unit_test(many_short_rounds),
        cmocka_unit_test(lowest_failing_job_wins), cmocka_unit_test(workers_take_no_signals),
        cmocka_unit_test(creation_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
