/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that are threads of one test: each has a df_comm of its own, and all meet in a hall. */
#ifndef DF_TESTS_SUPPORT_RANKS_H
#define DF_TESTS_SUPPORT_RANKS_H

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/thread_pool.h"
#include "comm/comm.h"
#include "support.h"

enum { TEST_RANKS = 4 };

struct hall {
    int32_t size;
    atomic_int arrived, round;
    const void *shown[TEST_RANKS];
    int64_t bytes; /* that rank 0 has sent */
};
struct rank {
    struct df_comm comm;
    struct hall *hall;
};

static inline struct hall *hall_of(struct df_comm *comm)
{
    return ((struct rank *)comm)->hall;
}

static inline dfal_status wait_for_all(struct df_comm *comm)
{
    struct hall *hall = hall_of(comm);
    const int round = atomic_load(&hall->round);
    if (atomic_fetch_add(&hall->arrived, 1) + 1 == hall->size) {
        atomic_store(&hall->arrived, 0);
        atomic_fetch_add(&hall->round, 1);
    }
    while (atomic_load(&hall->round) == round)
        sched_yield();
    return DFAL_OK;
}

static inline void count_bytes(struct df_comm *comm, int64_t bytes)
{
    if (comm->rank == 0)
        hall_of(comm)->bytes += bytes;
}

static inline dfal_status gather(struct df_comm *comm, void *out, const int64_t *bytes, const void *in)
{
    struct hall *hall = hall_of(comm);
    char *to = out;
    count_bytes(comm, bytes[0]);
    hall->shown[comm->rank] = in;
    wait_for_all(comm);
    for (int32_t r = 0; r < comm->size; to += bytes[r++])
        memcpy(to, hall->shown[r], (size_t)bytes[r]);
    return wait_for_all(comm);
}

static inline dfal_status broadcast(struct df_comm *comm, void *data, int64_t bytes, int32_t root)
{
    struct hall *hall = hall_of(comm);
    count_bytes(comm, bytes);
    if (comm->rank == root)
        hall->shown[0] = data;
    wait_for_all(comm);
    if (comm->rank != root)
        memcpy(data, hall->shown[0], (size_t)bytes);
    return wait_for_all(comm);
}

static inline struct rank rank_of(struct hall *hall, int64_t r)
{
    return (struct rank){.comm = {.name = "threads",
                                  .rank = (int32_t)r,
                                  .size = hall->size,
                                  .barrier = wait_for_all,
                                  .allgatherv = gather,
                                  .broadcast = broadcast},
                         .hall = hall};
}

/* Each rank is a job that waits for the others, so there are as many threads. */
static inline void run_ranks(df_thread_pool_fn *fn, void *arg, int32_t size)
{
    struct df_thread_pool *threads;
    test_ok(df_thread_pool_create(&threads, size));
    test_ok(df_thread_pool_run(threads, fn, arg, size));
    df_thread_pool_destroy(threads);
}

#endif
