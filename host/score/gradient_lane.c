/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/context.h"
#include "base/lock.h"
#include "base/memory.h"
#include "net/row_gradients.h"
#include "score/gradients.h"

struct df_gradient_lane {
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

int64_t df_gradient_lane_row_bytes(const struct df_gradients_spec *spec, const struct df_plan *plan)
{
    return spec->count *
           (df_plan_class_count(plan) * (int64_t)sizeof(float) + (int64_t)(sizeof(int32_t) + sizeof(double)));
}

int64_t df_gradient_lane_bytes(const struct df_gradients_spec *spec, const struct df_plan *plan)
{
    const int64_t size = spec->vectors ? df_row_gradients_size(plan, spec->chosen) : 0;
    return df_row_gradients_bytes(plan, spec->chosen, spec->vectors) +
           spec->count * size * (int64_t)sizeof(float);
}

dfal_status df_gradient_lane_create(struct df_gradient_lane **out, const struct df_gradients_spec *spec,
                                    struct dfal_context *context, const struct df_plan *plan,
                                    struct df_tape *tape, int64_t rows, int64_t at_once)
{
    struct df_gradient_lane *lane;
    const int64_t count = rows * spec->count;
    dfal_status status = DFAL_OK;
    *out = NULL;
    DF_TRY(df_alloc(&lane, 1, sizeof *lane));
    *lane = (struct df_gradient_lane){.spec = spec,
                                      .context = context,
                                      .at_once = at_once,
                                      .size = df_row_gradients_size(plan, spec->chosen),
                                      .class_count = df_plan_class_count(plan)};
    DF_TRY_TO(done, status, df_row_gradients_create(&lane->gradients, tape, spec->chosen, spec->vectors));
    DF_TRY_TO(done, status, df_alloc(&lane->cotangents, count * lane->class_count, sizeof(float)));
    DF_TRY_TO(done, status, df_alloc(&lane->owners, count, sizeof *lane->owners));
    DF_TRY_TO(done, status, df_alloc(&lane->norms, count, sizeof *lane->norms));
    if (spec->vectors)
        DF_TRY_TO(done, status, df_alloc(&lane->vectors, spec->count * lane->size, sizeof(float)));
    *out = lane;
done:
    if (status != DFAL_OK)
        df_gradient_lane_destroy(lane);
    return status;
}

void df_gradient_lane_destroy(struct df_gradient_lane *lane)
{
    if (!lane)
        return;
    df_row_gradients_destroy(lane->gradients);
    df_free(lane->cotangents);
    df_free(lane->owners);
    df_free(lane->norms);
    df_free(lane->vectors);
    df_free(lane);
}

/* Gradients of the cotangents [begin, end), as many at once as the tape has rows for. */
static dfal_status run_cotangents(struct df_gradient_lane *lane, int64_t begin, int64_t end)
{
    for (int64_t at = begin, n; at < end; at += n) {
        n = end - at < lane->at_once ? end - at : lane->at_once;
        DF_TRY(df_context_check_stop(lane->context));
        DF_TRY(df_row_gradients_run(lane->gradients, n, lane->cotangents + at * lane->class_count,
                                    lane->owners + at, lane->norms + at,
                                    lane->vectors ? lane->vectors + (at - begin) * lane->size : NULL));
        for (int64_t i = at; i < at + n; i++)
            lane->norms[i] = sqrt(lane->norms[i]);
    }
    return DFAL_OK;
}

static dfal_status put(const struct df_gradient_lane *lane, int64_t row, const float *logits, int64_t i)
{
    const struct df_gradients gradients = {.count = lane->spec->count,
                                           .size = lane->size,
                                           .logits = logits + i * lane->class_count,
                                           .norms = lane->norms + i * lane->spec->count,
                                           .vectors = lane->vectors};
    return lane->spec->put(lane->spec->user, row, &gradients);
}

dfal_status df_gradient_lane_run(struct df_gradient_lane *lane, const int64_t *index, const float *logits,
                                 int64_t n, struct df_lock *lock)
{
    const int64_t count = lane->spec->count, step = lane->vectors ? 1 : n;
    for (int64_t i = 0; i < n; i++) {
        lane->spec->cotangents(logits + i * lane->class_count, lane->class_count,
                               lane->cotangents + i * count * lane->class_count);
        for (int64_t j = i * count; j < (i + 1) * count; j++)
            lane->owners[j] = (int32_t)i;
    }
    for (int64_t first = 0; first < n; first += step) {
        DF_TRY(run_cotangents(lane, first * count, (first + step) * count));
        df_lock_take(lock);
        dfal_status status = DFAL_OK;
        for (int64_t i = first; i < first + step && status == DFAL_OK; i++)
            status = put(lane, index[i], logits, i);
        df_lock_release(lock);
        DF_TRY(status);
    }
    return DFAL_OK;
}
