/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_floor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

enum { MOST_THREADS = 256, LANES = 192, ROUNDS = 2000000, COPY_BYTES = 64 << 20 };

struct work {
    float sink;
    double seconds;
    char *from, *to;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* 24 or 12 independent vectors hide the latency of the fused multiply-add; the widest vectors present are
 * used. */
__attribute__((target_clones("avx512f", "default"))) static int multiply(void *user)
{
    struct work *work = user;
    float lane[LANES];
    for (int i = 0; i < LANES; i++)
        lane[i] = (float)i;
    double begin = now();
    for (int round = 0; round < ROUNDS; round++) {
#pragma GCC unroll 192
        for (int i = 0; i < LANES; i++)
            lane[i] = fmaf(lane[i], 0.999F, 0.001F);
    }
    work->seconds = now() - begin;
    float sum = 0.0F;
    for (int i = 0; i < LANES; i++)
        sum += lane[i];
    work->sink = sum;
    return 0;
}

static int copy(void *user)
{
    struct work *work = user;
    memcpy(work->to, work->from, COPY_BYTES);
    double begin = now();
    memcpy(work->to, work->from, COPY_BYTES);
    work->seconds = now() - begin;
    return 0;
}

/* Run the job on every thread; seconds of the slowest. */
static double run_all(int32_t threads, thrd_start_t job, struct work *work)
{
    thrd_t handle[MOST_THREADS];
    int32_t started = 0;
    double slowest = 0.0;
    while (started < threads && thrd_create(&handle[started], job, &work[started]) == thrd_success)
        started++;
    for (int32_t i = 0; i < started; i++) {
        thrd_join(handle[i], NULL);
        slowest = fmax(slowest, work[i].seconds);
    }
    return started == threads ? slowest : NAN;
}

double bench_peak_operations(int32_t threads)
{
    static struct work work[MOST_THREADS];
    if (threads > MOST_THREADS)
        threads = MOST_THREADS;
    return 2.0 * LANES * ROUNDS * threads / run_all(threads, multiply, work);
}

double bench_copy_bytes(int32_t threads)
{
    static struct work work[MOST_THREADS];
    double rate = NAN;
    if (threads > 16)
        threads = 16;
    char *memory = malloc((size_t)threads * 2 * COPY_BYTES);
    if (memory == NULL)
        return NAN;
    memset(memory, 1, (size_t)threads * 2 * COPY_BYTES);
    for (int32_t i = 0; i < threads; i++) {
        work[i].from = memory + (size_t)i * 2 * COPY_BYTES;
        work[i].to = work[i].from + COPY_BYTES;
    }
    rate = (double)threads * COPY_BYTES / run_all(threads, copy, work);
    free(memory);
    return rate;
}
