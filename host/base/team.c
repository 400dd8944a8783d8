/* SPDX-License-Identifier: Apache-2.0 */
#include "base/team.h"

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
    struct df_team *team;
    int32_t number;
    pthread_t thread;
};

struct df_team {
    int32_t size, started;
    struct worker *workers; /* [size - 1]; worker i + 1 */
    int spins;
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    bool quit;
    atomic_uint_least64_t round; /* a call of df_team_run */
    atomic_int_least32_t running;
    /* The call: written before `round`, read after it. */
    df_team_fn *fn;
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

static void note_failure(struct df_team *team, int64_t job, dfal_status status)
{
    pthread_mutex_lock(&team->lock);
    if (job < atomic_load(&team->failed)) {
        atomic_store(&team->failed, job);
        team->status = status;
        df_message_get(team->message);
    }
    pthread_mutex_unlock(&team->lock);
}

/* Jobs are handed out in order, and one is dropped only when a lower one failed: so all below the lowest
 * failing job have run, and which one that is does not depend on timing. */
static void work(struct df_team *team, int32_t number)
{
    for (;;) {
        int64_t job = atomic_fetch_add(&team->next, 1);
        if (job >= team->count || atomic_load(&team->failed) < job)
            return;
        dfal_status status = team->fn(team->arg, job, number);
        if (status != DFAL_OK)
            note_failure(team, job, status);
    }
}

static bool wait_for_round(struct df_team *team, uint64_t seen)
{
    for (int i = 0; i < team->spins; i++) {
        if (atomic_load_explicit(&team->round, memory_order_acquire) != seen)
            break;
        pause_briefly();
    }
    pthread_mutex_lock(&team->lock);
    while (atomic_load(&team->round) == seen && !team->quit)
        pthread_cond_wait(&team->begin, &team->lock);
    bool quit = team->quit;
    pthread_mutex_unlock(&team->lock);
    return !quit;
}

static void *serve(void *arg)
{
    struct worker *worker = arg;
    struct df_team *team = worker->team;
    uint64_t seen = 0;
    while (wait_for_round(team, seen)) {
        seen++;
        work(team, worker->number);
        if (atomic_fetch_sub(&team->running, 1) == 1) {
            pthread_mutex_lock(&team->lock);
            pthread_cond_signal(&team->end);
            pthread_mutex_unlock(&team->lock);
        }
    }
    return NULL;
}

/* Signals are for the thread that created the team. */
static dfal_status start_workers(struct df_team *team)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    for (int32_t i = 0; i < team->size - 1 && !error; i++) {
        team->workers[i] = (struct worker){.team = team, .number = i + 1};
        error = pthread_create(&team->workers[i].thread, NULL, serve, &team->workers[i]);
        if (!error)
            team->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        DF_FAIL(DFAL_E_UNAVAILABLE, "cannot start thread %" PRId32 " of %" PRId32 ": %s", team->started + 2,
                team->size, strerror(error));
    return DFAL_OK;
}

dfal_status df_team_create(struct df_team **out, int32_t size)
{
    *out = NULL;
    if (size < 1)
        DF_FAIL(DFAL_E_INTERNAL, "a team of %" PRId32 " threads was asked for: expected at least 1", size);
    struct df_team *team;
    DF_TRY(df_alloc(&team, 1, sizeof *team));
    team->size = size;
    team->spins = size <= df_cpu_count() ? SPINS : 0; /* more threads than CPUs: spinning keeps others off */
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->begin, NULL);
    pthread_cond_init(&team->end, NULL);
    dfal_status status = df_alloc(&team->workers, size - 1, sizeof *team->workers);
    if (status == DFAL_OK)
        status = start_workers(team);
    if (status != DFAL_OK)
        df_team_destroy(team);
    else
        *out = team;
    return status;
}

void df_team_destroy(struct df_team *team)
{
    if (!team)
        return;
    pthread_mutex_lock(&team->lock);
    team->quit = true;
    pthread_cond_broadcast(&team->begin);
    pthread_mutex_unlock(&team->lock);
    for (int32_t i = 0; i < team->started; i++)
        pthread_join(team->workers[i].thread, NULL);
    pthread_cond_destroy(&team->begin);
    pthread_cond_destroy(&team->end);
    pthread_mutex_destroy(&team->lock);
    df_free(team->workers);
    df_free(team);
}

static void run_together(struct df_team *team)
{
    pthread_mutex_lock(&team->lock);
    atomic_store(&team->running, team->size - 1);
    atomic_fetch_add_explicit(&team->round, 1, memory_order_release);
    pthread_cond_broadcast(&team->begin);
    pthread_mutex_unlock(&team->lock);
    work(team, 0);
    for (int i = 0; i < team->spins && atomic_load(&team->running) > 0; i++)
        pause_briefly();
    pthread_mutex_lock(&team->lock);
    while (atomic_load(&team->running) > 0)
        pthread_cond_wait(&team->end, &team->lock);
    pthread_mutex_unlock(&team->lock);
}

dfal_status df_team_run(struct df_team *team, df_team_fn *fn, void *arg, int64_t count)
{
    team->fn = fn;
    team->arg = arg;
    team->count = count;
    team->status = DFAL_OK;
    atomic_store(&team->next, 0);
    atomic_store(&team->failed, INT64_MAX);
    if (team->size == 1 || count <= 1)
        work(team, 0);
    else
        run_together(team);
    if (team->status != DFAL_OK)
        df_message_set(team->message);
    return team->status;
}
