/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/context.h"
#include "base/lock.h"
#include "base/memory.h"
#include "net/row_gradients.h"
#include "score/gradients.h"

struct df_gradient_worker {
    const struct df_gradients_spec *spec;
    struct dfal_context *context;
    struct df_row_gradients *gradients;
    int64_t at_once, size;
    int32_t class_count;
    /* Of a block's rows, the cotangents of one behind the other. */
    float *cotangents;
    int32_t *owners;
    double *norms;
    float *vectors; /* of one row alone: they may be large */
};

int64_t df_gradient_worker_row_bytes(const struct df_gradients_spec *spec, const struct df_plan *plan)
{
    return spec->count *
           (df_plan_class_count(plan) * (int64_t)sizeof(float) + (int64_t)(sizeof(int32_t) + sizeof(double)));
}

int64_t df_gradient_worker_bytes(const struct df_gradients_spec *spec, const struct df_plan *plan)
{
    const int64_t size = spec->vectors ? df_row_gradients_size(plan, spec->chosen) : 0;
    return df_row_gradients_bytes(plan, spec->chosen, spec->vectors) +
           spec->count * size * (int64_t)sizeof(float);
}

dfal_status df_gradient_worker_create(struct df_gradient_worker **out, const struct df_gradients_spec *spec,
                                      struct dfal_context *context, const struct df_plan *plan,
                                      struct df_tape *tape, int64_t rows, int64_t at_once)
{
    struct df_gradient_worker *worker;
    const int64_t count = rows * spec->count;
    dfal_status status = DFAL_OK;
    *out = NULL;
    DF_TRY(df_alloc(&worker, 1, sizeof *worker));
    *worker = (struct df_gradient_worker){.spec = spec,
                                          .context = context,
                                          .at_once = at_once,
                                          .size = df_row_gradients_size(plan, spec->chosen),
                                          .class_count = df_plan_class_count(plan)};
    DF_TRY_TO(done, status, df_row_gradients_create(&worker->gradients, tape, spec->chosen, spec->vectors));
    DF_TRY_TO(done, status, df_alloc(&worker->cotangents, count * worker->class_count, sizeof(float)));
    DF_TRY_TO(done, status, df_alloc(&worker->owners, count, sizeof *worker->owners));
    DF_TRY_TO(done, status, df_alloc(&worker->norms, count, sizeof *worker->norms));
    if (spec->vectors)
        DF_TRY_TO(done, status, df_alloc(&worker->vectors, spec->count * worker->size, sizeof(float)));
    *out = worker;
done:
    if (status != DFAL_OK)
        df_gradient_worker_destroy(worker);
    return status;
}

void df_gradient_worker_destroy(struct df_gradient_worker *worker)
{
    if (!worker)
        return;
    df_row_gradients_destroy(worker->gradients);
    df_free(worker->cotangents);
    df_free(worker->owners);
    df_free(worker->norms);
    df_free(worker->vectors);
    df_free(worker);
}

/* Gradients of the cotangents [begin, end), as many at once as the tape has rows for. */
static dfal_status run_cotangents(struct df_gradient_worker *worker, int64_t begin, int64_t end)
{
    for (int64_t at = begin, n; at < end; at += n) {
        n = end - at < worker->at_once ? end - at : worker->at_once;
        DF_TRY(df_context_check_stop(worker->context));
        DF_TRY(df_row_gradients_run(worker->gradients, n, worker->cotangents + at * worker->class_count,
                                    worker->owners + at, worker->norms + at,
                                    worker->vectors ? worker->vectors + (at - begin) * worker->size : NULL));
        for (int64_t i = at; i < at + n; i++)
            worker->norms[i] = sqrt(worker->norms[i]);
    }
    return DFAL_OK;
}

static dfal_status put(const struct df_gradient_worker *worker, int64_t row, const float *logits, int64_t i)
{
    const struct df_gradients gradients = {.count = worker->spec->count,
                                           .size = worker->size,
                                           .logits = logits + i * worker->class_count,
                                           .norms = worker->norms + i * worker->spec->count,
                                           .vectors = worker->vectors};
    return worker->spec->put(worker->spec->user, row, &gradients);
}

dfal_status df_gradient_worker_run(struct df_gradient_worker *worker, const int64_t *index,
                                   const float *logits, int64_t n, struct df_lock *lock)
{
    const int64_t count = worker->spec->count, step = worker->vectors ? 1 : n;
    for (int64_t i = 0; i < n; i++) {
        worker->spec->cotangents(logits + i * worker->class_count, worker->class_count,
                                 worker->cotangents + i * count * worker->class_count);
        for (int64_t j = i * count; j < (i + 1) * count; j++)
            worker->owners[j] = (int32_t)i;
    }
    for (int64_t first = 0; first < n; first += step) {
        DF_TRY(run_cotangents(worker, first * count, (first + step) * count));
        df_lock_take(lock);
        dfal_status status = DFAL_OK;
        for (int64_t i = first; i < first + step && status == DFAL_OK; i++)
            status = put(worker, index[i], logits, i);
        df_lock_release(lock);
        DF_TRY(status);
    }
    return DFAL_OK;
}
