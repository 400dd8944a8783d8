/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that are threads of a test program, each with its own rank number; what they share is a hall. */
#ifndef DFAL_TESTS_SUPPORT_RANKS_H
#define DFAL_TESTS_SUPPORT_RANKS_H

#include <stdatomic.h>

#include "base/thread_pool.h"
#include "comm/comm.h"

enum { TEST_RANKS = 4 }; /* at most */

struct test_hall {
    int32_t size;
    atomic_int arrived, round;
    const void *shown[TEST_RANKS];
    int64_t bytes; /* that rank 0 has sent */
};
struct test_rank {
    struct df_comm comm; /* makes collective calls alone */
    struct test_hall *hall;
};
struct test_rank test_rank_of(struct test_hall *hall, int64_t r);
/* fn of the ranks 0 to size - 1: each is a job that waits for the others, so there are as many threads. */
void test_run_ranks(df_thread_pool_fn *fn, void *arg, int32_t size);

#endif
