/* SPDX-License-Identifier: Apache-2.0 */
/* A mutex for rooms above base, which include no thread library themselves. */
#ifndef DF_BASE_LOCK_H
#define DF_BASE_LOCK_H

#include <pthread.h>

struct df_lock {
    pthread_mutex_t mutex;
};

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

#endif
