/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_floor.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

enum { ROUNDS = 200000, TURNS = 20, COPIES = 3, MOST_COPIERS = 16, COPY_BYTES = 64 << 20 };
/* Twelve vectors hide the latency of the fused multiply-add, and stand in registers with its two constants:
 * there are 16 of AVX2 and 32 of AVX-512. */
enum { LANES = 12 * 8, WIDE_LANES = 12 * 16 };

struct work {
    float sink;
    double seconds; /* of the fastest turn */
    char *from, *to;
};

/* CPU time of this thread: what others take of a busy core is no matter of its speed. */
static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static inline __attribute__((always_inline)) void multiply_lanes(struct work *work, const int lanes)
{
    float lane[WIDE_LANES], sum = 0.0F;
    for (int i = 0; i < lanes; i++)
        lane[i] = (float)i;
    for (int turn = 0; turn < TURNS; turn++) {
        const double begin = now();
        for (int round = 0; round < ROUNDS; round++) {
#pragma GCC unroll 192
            for (int i = 0; i < lanes; i++)
                lane[i] = fmaf(lane[i], 0.999F, 0.001F);
        }
        work->seconds = fmin(work->seconds, now() - begin);
    }
    for (int i = 0; i < lanes; i++)
        sum += lane[i];
    work->sink = sum;
}

static int multiply(void *user)
{
    multiply_lanes(user, LANES);
    return 0;
}

__attribute__((target("avx512f"))) static int multiply_wide(void *user)
{
    multiply_lanes(user, WIDE_LANES);
    return 0;
}

static int copy(void *user)
{
    struct work *work = user;
    for (int turn = 0; turn <= COPIES; turn++) { /* the first finds cold pages */
        const double begin = now();
        memcpy(work->to, work->from, COPY_BYTES);
        if (turn > 0)
            work->seconds = fmin(work->seconds, now() - begin);
    }
    return 0;
}

/* Run the job on every thread; seconds of the slowest. NAN: not all of them could be started. */
static double run_all(int32_t threads, thrd_start_t job, struct work *work)
{
    thrd_t *handle = malloc((size_t)threads * sizeof *handle);
    int32_t started = 0;
    double slowest = 0.0;
    for (int32_t i = 0; i < threads; i++)
        work[i].seconds = INFINITY;
    while (handle != NULL && started < threads &&
           thrd_create(&handle[started], job, &work[started]) == thrd_success)
        started++;
    for (int32_t i = 0; i < started; i++) {
        thrd_join(handle[i], NULL);
        slowest = fmax(slowest, work[i].seconds);
    }
    free(handle);
    return started == threads ? slowest : NAN;
}

double bench_peak_operations(int32_t threads)
{
    struct work *work = calloc((size_t)threads, sizeof *work);
    if (work == NULL)
        return NAN;
    const bool wide = __builtin_cpu_supports("avx512f");
    const double seconds = run_all(threads, wide ? multiply_wide : multiply, work);
    free(work);
    return 2.0 * (wide ? WIDE_LANES : LANES) * ROUNDS * threads / seconds;
}

double bench_peak_for(const char *backend, double operations)
{
    return strcmp(backend, "cpu") == 0 ? operations : (double)NAN;
}

double bench_peak_share(double operations, double cpu_seconds, double peak, int32_t threads)
{
    return operations / cpu_seconds / (peak / threads);
}

void bench_print_share(double operations_per_second, double share, double peak, int32_t threads)
{
    printf("  dense %.1f GFLOP/s", operations_per_second * 1e-9);
    if (isfinite(peak))
        printf("  %.1f %% of the peak of %.1f a thread", 100 * share, peak / threads * 1e-9);
}

double bench_copy_bytes(int32_t threads)
{
    struct work work[MOST_COPIERS] = {0};
    double rate = NAN;
    if (threads > MOST_COPIERS)
        threads = MOST_COPIERS;
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
