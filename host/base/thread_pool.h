/* SPDX-License-Identifier: Apache-2.0 */
/* A fixed pool of threads. Work is cut by the caller in a way that does not depend on the pool's size. */
#ifndef DF_BASE_THREAD_POOL_H
#define DF_BASE_THREAD_POOL_H

#include "base/status.h"

struct df_thread_pool;
/* One job; worker is 0..size-1 and serves to pick per-thread memory. */
typedef dfal_status df_thread_pool_fn(void *arg, int64_t job, int32_t worker);

dfal_status df_thread_pool_create(struct df_thread_pool **out, int32_t size);
void df_thread_pool_destroy(struct df_thread_pool *pool);
/* Run jobs 0..count-1, each once, in any order; the calling thread is worker 0. Returns the error of the
 * lowest failing job, its message copied to the caller; jobs not yet begun are dropped after an error.
 * Order    results must not depend on it.   Threads  one call at a time a pool */
dfal_status df_thread_pool_run(struct df_thread_pool *pool, df_thread_pool_fn *fn, void *arg, int64_t count);

#endif
