/* SPDX-License-Identifier: Apache-2.0 */
/* How many bytes a second a row stream gives: bench_stream POOL.h5 [TAKERS [REPEAT]].
 * As many threads as a score has devices take rows of the whole pool, with and without hashes of them; the
 * best of several runs. CPU seconds bound what one reading thread can give: on a busy machine they are the
 * figure, and the clock on an idle one. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/context.h"
#include "base/log.h"
#include "store/row_hash.h"
#include "store/stream.h"

enum { TAKEN = 16384, MOST_TAKERS = 64, CUT = 16384 };

struct taker {
    pthread_t thread;
    struct df_row_stream *stream;
    size_t row_bytes;
    int64_t rows;
    double seconds; /* of CPU time */
    dfal_status status;
};

struct figures {
    double seconds, reader, takers;
};

static void must(dfal_status status)
{
    if (status == DFAL_OK)
        return;
    fprintf(stderr, "bench_stream: %s\n", dfal_last_error());
    exit(1);
}

static double thread_clock(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *take(void *arg)
{
    struct taker *taker = arg;
    void *raw = malloc(TAKEN * taker->row_bytes);
    int64_t *index = malloc(TAKEN * sizeof *index), count = 1;
    if (raw == NULL || index == NULL)
        exit(1);
    while (taker->status == DFAL_OK && count > 0) {
        taker->status = df_stream_take(taker->stream, TAKEN, raw, index, &count);
        taker->rows += count;
    }
    free(raw);
    free(index);
    taker->seconds = thread_clock();
    return NULL;
}

static struct figures run(struct df_pool *pool, int takers, bool hashed)
{
    struct taker own[MOST_TAKERS] = {{0}};
    struct df_row_hashes hashes;
    struct df_range_source range;
    struct df_row_stream *stream;
    struct figures found = {0};
    int64_t rows = 0;
    df_range_source_init(&range, 0, pool->count, CUT);
    must(df_row_hashes_open(&hashes, 0, pool->count, CUT));
    if (hashed)
        range.source.hashes = &hashes;
    const double begin = df_clock(), cpu = df_cpu_clock(), main_cpu = thread_clock();
    must(df_stream_open(&stream, pool, &range.source));
    for (int i = 0; i < takers; i++) {
        own[i] = (struct taker){.stream = stream, .row_bytes = df_pool_row_bytes(pool)};
        if (pthread_create(&own[i].thread, NULL, take, &own[i]) != 0)
            exit(1);
    }
    for (int i = 0; i < takers; i++) {
        (void)pthread_join(own[i].thread, NULL);
        must(own[i].status);
        rows += own[i].rows;
        found.takers += own[i].seconds;
    }
    found.seconds = df_clock() - begin;
    df_stream_close(stream);
    found.reader = df_cpu_clock() - cpu - found.takers - (thread_clock() - main_cpu);
    df_row_hashes_close(&hashes);
    if (rows != pool->count)
        exit(1);
    return found;
}

static double least(double a, double b)
{
    return a > 0 && a < b ? a : b;
}

int main(int argc, char **argv)
{
    struct df_pool *pool;
    const int takers = argc > 2 ? atoi(argv[2]) : 1, repeat = argc > 3 ? atoi(argv[3]) : 5;
    if (argc < 2 || takers < 1 || takers > MOST_TAKERS || repeat < 1) {
        fprintf(stderr, "usage: bench_stream POOL.h5 [TAKERS [REPEAT]]\n");
        return 64;
    }
    must(df_pool_open(&pool, NULL, argv[1], NULL));
    const double bytes = (double)pool->count * (double)df_pool_row_bytes(pool) * 1e-9;
    for (int hashed = 0; hashed < 2; hashed++) {
        struct figures best = {0};
        for (int i = 0; i < repeat; i++) {
            const struct figures one = run(pool, takers, hashed);
            best = (struct figures){least(best.seconds, one.seconds), least(best.reader, one.reader),
                                    least(best.takers, one.takers)};
        }
        printf(
            "%-14s %d takers: %5.2f GB/s, %5.2f M rows/s; of a CPU: reader %5.2f GB/s, takers %5.2f GB/s\n",
            hashed ? "with hashes" : "without hashes", takers, bytes / best.seconds,
            (double)pool->count / best.seconds * 1e-6, bytes / best.reader, bytes / best.takers);
    }
    df_pool_close(pool);
    return 0;
}
