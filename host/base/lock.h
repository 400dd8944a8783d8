/* SPDX-License-Identifier: Apache-2.0 */
/* Mutex, condition and thread for rooms above base, which include no thread library themselves. */
#ifndef DF_BASE_LOCK_H
#define DF_BASE_LOCK_H

#include <pthread.h>

#include "base/status.h"

struct df_lock {
    pthread_mutex_t mutex;
};
#define DF_LOCK_STATIC                                                                                       \
    {                                                                                                        \
        PTHREAD_MUTEX_INITIALIZER                                                                            \
    }

static inline void df_lock_begin(struct df_lock *lock)
{
    pthread_mutex_init(&lock->mutex, NULL);
}
static inline void df_lock_end(struct df_lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}
static inline void df_lock_take(struct df_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}
static inline void df_lock_release(struct df_lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

/* Something that lock guards has changed. */
struct df_signal {
    pthread_cond_t condition;
};

void df_signal_begin(struct df_signal *signal);
static inline void df_signal_end(struct df_signal *signal)
{
    pthread_cond_destroy(&signal->condition);
}
static inline void df_signal_wait(struct df_signal *signal, struct df_lock *lock)
{
    pthread_cond_wait(&signal->condition, &lock->mutex);
}
/* At most so many seconds. */
void df_signal_wait_for(struct df_signal *signal, struct df_lock *lock, double seconds);
static inline void df_signal_all(struct df_signal *signal)
{
    pthread_cond_broadcast(&signal->condition);
}

struct df_thread {
    pthread_t id;
    bool started;
};
/* Run body(user) beside the caller; it takes no signal: handlers run where the caller waits.
 * Errors   E_MEMORY no thread to be had */
dfal_status df_thread_start(struct df_thread *thread, void *(*body)(void *user), void *user);
/* Wait for its end, once; nothing for one that was not started. */
void df_thread_join(struct df_thread *thread);

#endif
