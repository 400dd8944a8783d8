/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/lock.h"

void df_signal_begin(struct df_signal *signal)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&signal->condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

void df_signal_wait_for(struct df_signal *signal, struct df_lock *lock, double seconds)
{
    enum { BILLION = 1000000000 };
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const int64_t nanoseconds = seconds > 0 ? (int64_t)(seconds * BILLION) + until.tv_nsec : until.tv_nsec;
    until.tv_sec += (time_t)(nanoseconds / BILLION);
    until.tv_nsec = (long)(nanoseconds % BILLION);
    pthread_cond_timedwait(&signal->condition, &lock->mutex, &until);
}

dfal_status df_thread_start(struct df_thread *thread, void *(*body)(void *user), void *user)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread->id, NULL, body, user);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    thread->started = error == 0;
    if (error)
        DF_FAIL(DFAL_E_MEMORY, "no thread is to be had: %s", strerror(error));
    return DFAL_OK;
}

void df_thread_join(struct df_thread *thread)
{
    if (thread->started)
        pthread_join(thread->id, NULL);
    thread->started = false;
}
