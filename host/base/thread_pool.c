/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread_pool.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/context.h"
#include "base/memory.h"

/* A layer of a small network takes tens of microseconds: a thread that slept between two calls would cost
 * as much. So both sides look at an atomic for a short while before they sleep. */
enum { SPINS = 2000 };

struct worker {
    struct df_thread_pool *pool;
    int32_t number;
    pthread_t thread;
};

struct df_thread_pool {
    int32_t size, started;
    struct worker *workers; /* [size - 1]; worker i + 1 */
    int spins;
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    bool quit;
    atomic_uint_least64_t round; /* a call of df_thread_pool_run */
    atomic_int_least32_t running;
    /* The call: written before `round`, read after it. */
    df_thread_pool_fn *fn;
    void *arg;
    int64_t count;
    atomic_int_least64_t next, failed; /* lowest failing job; INT64_MAX: none */
    dfal_status status;
    char message[DF_MESSAGE_SIZE];
};

static void pause_briefly(void)
{
    __builtin_ia32_pause();
}

static void note_failure(struct df_thread_pool *pool, int64_t job, dfal_status status)
{
    pthread_mutex_lock(&pool->lock);
    if (job < atomic_load(&pool->failed)) {
        atomic_store(&pool->failed, job);
        pool->status = status;
        df_message_get(pool->message);
    }
    pthread_mutex_unlock(&pool->lock);
}

/* Jobs are handed out in order, and one is dropped only when a lower one failed: so all below the lowest
 * failing job have run, and which one that is does not depend on timing. */
static void work(struct df_thread_pool *pool, int32_t number)
{
    for (;;) {
        int64_t job = atomic_fetch_add(&pool->next, 1);
        if (job >= pool->count || atomic_load(&pool->failed) < job)
            return;
        dfal_status status = pool->fn(pool->arg, job, number);
        if (status != DFAL_OK)
            note_failure(pool, job, status);
    }
}

static bool wait_for_round(struct df_thread_pool *pool, uint64_t seen)
{
    for (int i = 0; i < pool->spins; i++) {
        if (atomic_load_explicit(&pool->round, memory_order_acquire) != seen)
            break;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->round) == seen && !pool->quit)
        pthread_cond_wait(&pool->begin, &pool->lock);
    bool quit = pool->quit;
    pthread_mutex_unlock(&pool->lock);
    return !quit;
}

static void *serve(void *arg)
{
    struct worker *worker = arg;
    struct df_thread_pool *pool = worker->pool;
    uint64_t seen = 0;
    while (wait_for_round(pool, seen)) {
        seen++;
        work(pool, worker->number);
        if (atomic_fetch_sub(&pool->running, 1) == 1) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->end);
            pthread_mutex_unlock(&pool->lock);
        }
    }
    return NULL;
}

/* Signals are for the thread that created the pool. */
static dfal_status start_workers(struct df_thread_pool *pool)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    for (int32_t i = 0; i < pool->size - 1 && !error; i++) {
        pool->workers[i] = (struct worker){.pool = pool, .number = i + 1};
        error = pthread_create(&pool->workers[i].thread, NULL, serve, &pool->workers[i]);
        if (!error)
            pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        DF_FAIL(DFAL_E_UNAVAILABLE, "cannot start thread %" PRId32 " of %" PRId32 ": %s", pool->started + 2,
                pool->size, strerror(error));
    return DFAL_OK;
}

dfal_status df_thread_pool_create(struct df_thread_pool **out, int32_t size)
{
    *out = NULL;
    if (size < 1)
        DF_FAIL(DFAL_E_INTERNAL, "a pool of %" PRId32 " threads was asked for: expected at least 1", size);
    struct df_thread_pool *pool;
    DF_TRY(df_alloc(&pool, 1, sizeof *pool));
    pool->size = size;
    pool->spins = size <= df_cpu_count() ? SPINS : 0; /* more threads than CPUs: spinning keeps others off */
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->begin, NULL);
    pthread_cond_init(&pool->end, NULL);
    dfal_status status = df_alloc(&pool->workers, size - 1, sizeof *pool->workers);
    if (status == DFAL_OK)
        status = start_workers(pool);
    if (status != DFAL_OK)
        df_thread_pool_destroy(pool);
    else
        *out = pool;
    return status;
}

void df_thread_pool_destroy(struct df_thread_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->quit = true;
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->lock);
    for (int32_t i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->begin);
    pthread_cond_destroy(&pool->end);
    pthread_mutex_destroy(&pool->lock);
    df_free(pool->workers);
    df_free(pool);
}

static void run_together(struct df_thread_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->running, pool->size - 1);
    atomic_fetch_add_explicit(&pool->round, 1, memory_order_release);
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->lock);
    work(pool, 0);
    for (int i = 0; i < pool->spins && atomic_load(&pool->running) > 0; i++)
        pause_briefly();
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->running) > 0)
        pthread_cond_wait(&pool->end, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

dfal_status df_thread_pool_run(struct df_thread_pool *pool, df_thread_pool_fn *fn, void *arg, int64_t count)
{
    pool->fn = fn;
    pool->arg = arg;
    pool->count = count;
    pool->status = DFAL_OK;
    atomic_store(&pool->next, 0);
    atomic_store(&pool->failed, INT64_MAX);
    if (pool->size == 1 || count <= 1)
        work(pool, 0);
    else
        run_together(pool);
    if (pool->status != DFAL_OK)
        df_message_set(pool->message);
    return pool->status;
}
