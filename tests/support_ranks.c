/* SPDX-License-Identifier: Apache-2.0 */
#include "support_ranks.h"

#include <sched.h>
#include <string.h>

#include "support.h"

static struct test_hall *hall_of(struct df_comm *comm)
{
    return ((struct test_rank *)comm)->hall;
}

static dfal_status wait_for_all(struct df_comm *comm)
{
    struct test_hall *hall = hall_of(comm);
    const int round = atomic_load(&hall->round);
    if (atomic_fetch_add(&hall->arrived, 1) + 1 == hall->size) {
        atomic_store(&hall->arrived, 0);
        atomic_fetch_add(&hall->round, 1);
    }
    while (atomic_load(&hall->round) == round)
        sched_yield();
    return DFAL_OK;
}

static void count_bytes(struct df_comm *comm, int64_t bytes)
{
    if (comm->rank == 0)
        hall_of(comm)->bytes += bytes;
}

static dfal_status gather(struct df_comm *comm, void *out, const int64_t *bytes, const void *in)
{
    struct test_hall *hall = hall_of(comm);
    char *to = out;
    count_bytes(comm, bytes[0]);
    hall->shown[comm->rank] = in;
    wait_for_all(comm);
    for (int32_t r = 0; r < comm->size; to += bytes[r++])
        memcpy(to, hall->shown[r], (size_t)bytes[r]);
    return wait_for_all(comm);
}

static dfal_status broadcast(struct df_comm *comm, void *data, int64_t bytes, int32_t root)
{
    struct test_hall *hall = hall_of(comm);
    count_bytes(comm, bytes);
    if (comm->rank == root)
        hall->shown[0] = data;
    wait_for_all(comm);
    if (comm->rank != root)
        memcpy(data, hall->shown[0], (size_t)bytes);
    return wait_for_all(comm);
}

struct test_rank test_rank_of(struct test_hall *hall, int64_t r)
{
    return (struct test_rank){.comm = {.name = "threads",
                                       .rank = (int32_t)r,
                                       .size = hall->size,
                                       .barrier = wait_for_all,
                                       .allgatherv = gather,
                                       .broadcast = broadcast},
                              .hall = hall};
}

void test_run_ranks(df_thread_pool_fn *fn, void *arg, int32_t size)
{
    struct df_thread_pool *threads;
    test_ok(df_thread_pool_create(&threads, size));
    test_ok(df_thread_pool_run(threads, fn, arg, size));
    df_thread_pool_destroy(threads);
}
