/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/row_loop.h"

#include "base/context.h"

dfal_status df_row_loop_begin(struct df_row_loop *loop, struct dfal_context *context, int64_t total)
{
    return df_row_loop_begin_of(loop, context, "select.distances", "distances", total);
}

dfal_status df_row_loop_begin_of(struct df_row_loop *loop, struct dfal_context *context, const char *event,
                                 const char *unit, int64_t total)
{
    *loop = (struct df_row_loop){.context = context};
    DF_TRY(df_thread_pool_create(&loop->threads, context->threads));
    df_progress_begin(&loop->progress, context, event, unit, total, 0);
    return DFAL_OK;
}

void df_row_loop_end(struct df_row_loop *loop)
{
    if (loop->threads)
        df_progress_end(&loop->progress);
    df_thread_pool_destroy(loop->threads);
    loop->threads = NULL;
}

static dfal_status run_job(void *arg, int64_t job, int32_t worker)
{
    struct df_row_loop *loop = arg;
    (void)worker;
    DF_TRY(df_context_check_stop(loop->context));
    df_progress_add(&loop->progress, loop->job(loop->user, job), NULL);
    return DFAL_OK;
}

dfal_status df_row_loop_run(struct df_row_loop *loop, df_row_job_fn *job, void *user, int64_t count)
{
    loop->job = job;
    loop->user = user;
    return df_thread_pool_run(loop->threads, run_job, loop, count);
}
