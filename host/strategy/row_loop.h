/* SPDX-License-Identifier: Apache-2.0 */
/* Loops over many rows that take long: spread over the threads of a context, with progress, and ended by the
 * wish to stop. */
#ifndef DF_STRATEGY_ROW_LOOP_H
#define DF_STRATEGY_ROW_LOOP_H

#include "base/log.h"
#include "base/thread_pool.h"

/* Rows [begin, end) of job `job`, where `count` rows are dealt out in blocks of `size`. */
struct df_row_block {
    int64_t begin, end;
};
static inline struct df_row_block df_row_block(int64_t count, int64_t size, int64_t job)
{
    const int64_t begin = job * size, end = begin + size;
    return (struct df_row_block){begin, end < count ? end : count};
}
static inline int64_t df_row_blocks(int64_t count, int64_t size)
{
    return (count + size - 1) / size;
}

/* A job of a loop; returns how many distances it looked at. What one job writes no other job of the same run
 * reads or writes. */
typedef int64_t df_row_job_fn(void *user, int64_t job);

struct df_row_loop {
    struct dfal_context *context;
    struct df_thread_pool *threads; /* NULL: not begun */
    struct df_progress progress;
    df_row_job_fn *job; /* of the run */
    void *user;
};
/* Start the threads and the progress "select.distances"; total: distances of all runs, 0: it is not known. */
dfal_status df_row_loop_begin(struct df_row_loop *loop, struct dfal_context *context, int64_t total);
/* The same of something else than distances. */
dfal_status df_row_loop_begin_of(struct df_row_loop *loop, struct dfal_context *context, const char *event,
                                 const char *unit, int64_t total);
/* A loop that was not begun may be ended. */
void df_row_loop_end(struct df_row_loop *loop);
/* Run jobs 0..count-1, each once, in any order, and wait for them. Errors   E_STOPPED */
dfal_status df_row_loop_run(struct df_row_loop *loop, df_row_job_fn *job, void *user, int64_t count);

#endif
