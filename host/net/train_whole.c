/* SPDX-License-Identifier: Apache-2.0 */
/* Training on a wide device: every op of a batch is one call, and between an epoch's first row and its last
 * the host learns nothing. Which rows come next, how far Adam is and where losses go the device knows itself
 * (kernels/batch.h), so all steps of as many rows are the same calls: the first runs call by call, the second
 * is recorded, and from then on a step is one call where the device records. */
#include <string.h>

#include "base/memory.h"
#include "batch.h" /* kernels */
#include "net/train_inside.h"

/* Steps and evaluations, of a full batch and of what is left of an epoch. */
enum { ROUTINES = 4 };

/* The calls for a batch of so many rows. */
struct routine {
    int64_t rows;                   /* 0: free */
    bool training, ran, tried;      /* tried: to be recorded */
    struct df_recording *recording; /* NULL: not yet, or the device has none */
};

struct df_whole {
    struct df_trainer *trainer;
    struct df_tape *tape;
    struct df_span label, weight, dlogits, loss; /* of a batch */
    struct df_span gradient;
    struct df_span clock, order, losses; /* of an epoch */
    struct df_span rates;                /* F64, of an epoch's steps */
    struct routine routine[ROUTINES];
    struct dfal_context *context;           /* of the last epoch: it is told what cannot be recorded */
    const struct df_epoch_options *options; /* of this epoch */
    uint64_t seed;                          /* that the recordings draw by */
    int32_t *host_order;
    double *host_rates;
    float *host_x; /* [batch, D] where the set is not resident */
};

dfal_status df_whole_create(struct df_whole **out, struct df_trainer *trainer)
{
    struct df_device *device = trainer->device;
    const int64_t batch = trainer->batch, count = trainer->set->count, steps = (count + batch - 1) / batch;
    struct df_whole *whole = NULL;
    dfal_status status = DFAL_OK;
    *out = NULL;
    DF_TRY(df_alloc(&whole, 1, sizeof *whole));
    whole->trainer = trainer;
    struct {
        struct df_span *span;
        enum df_type type;
        int64_t count;
    } buffers[] = {
        {&whole->label, DF_TYPE_I32, batch},
        {&whole->weight, DF_TYPE_REAL, batch},
        {&whole->dlogits, DF_TYPE_REAL, batch * df_plan_class_count(trainer->plan)},
        {&whole->loss, DF_TYPE_REAL, batch},
        {&whole->gradient, DF_TYPE_REAL, df_plan_parameter_size(trainer->plan)},
        {&whole->clock, DF_TYPE_I32, DF_CLOCK_NUMBERS},
        {&whole->order, DF_TYPE_I32, count},
        {&whole->losses, DF_TYPE_REAL, count},
        {&whole->rates, DF_TYPE_F64, steps},
    };
    for (size_t b = 0; b < sizeof buffers / sizeof *buffers; b++)
        DF_TRY_TO(done, status, df_buffer_new(device, buffers[b].span, buffers[b].type, buffers[b].count));
    DF_TRY_TO(done, status, df_tape_create(&whole->tape, trainer->plan, trainer->queue, batch, 0));
    DF_TRY_TO(done, status, df_alloc(&whole->host_order, count, sizeof *whole->host_order));
    DF_TRY_TO(done, status, df_alloc(&whole->host_rates, steps, sizeof *whole->host_rates));
    if (!trainer->resident->x.buffer)
        DF_TRY_TO(done, status, df_alloc(&whole->host_x, batch * trainer->set->size, sizeof *whole->host_x));
    *out = whole;
    whole = NULL;
done:
    df_whole_destroy(whole);
    return status;
}

static void forget_recordings(struct df_whole *whole)
{
    struct df_device *device = whole->trainer->device;
    for (int r = 0; r < ROUTINES; r++) {
        if (whole->routine[r].recording)
            device->backend->record_destroy(device, whole->routine[r].recording);
        whole->routine[r] = (struct routine){0};
    }
}

void df_whole_destroy(struct df_whole *whole)
{
    if (!whole)
        return;
    struct df_device *device = whole->trainer->device;
    struct df_span *spans[] = {&whole->label,    &whole->weight, &whole->dlogits, &whole->loss, &whole->clock,
                               &whole->gradient, &whole->losses, &whole->rates,   &whole->order};
    forget_recordings(whole);
    df_tape_destroy(whole->tape);
    for (size_t s = 0; s < sizeof spans / sizeof *spans; s++)
        df_buffer_drop(device, spans[s]);
    df_free(whole->host_order);
    df_free(whole->host_rates);
    df_free(whole->host_x);
    df_free(whole);
}

/* ---- A batch --------------------------------------------------------------------------------- */

static dfal_status run(const struct df_whole *whole, const struct df_call *call)
{
    return df_call_run(whole->trainer->device, whole->trainer->queue, call);
}

static dfal_status take(struct df_whole *whole, const struct routine *routine)
{
    const struct df_resident_set *set = whole->trainer->resident;
    struct df_call call = DF_CALL(batch_take, .rows = routine->rows, .cols = whole->trainer->set->size,
                                  .x = df_tape_input(whole->tape), .label = whole->label,
                                  .weight = whole->weight, .samples = set->x, .labels = set->label,
                                  .weights = set->weight, .order = whole->order, .clock = whole->clock);
    if (routine->training) {
        DF_OUT(&call, batch_take, rate) = whole->trainer->rate;
        DF_IN(&call, batch_take, rates) = whole->rates;
    }
    return run(whole, &call);
}

static dfal_status put(struct df_whole *whole, const struct routine *routine)
{
    const struct df_call call = DF_CALL(batch_put, .rows = 1, .cols = routine->rows, .losses = whole->losses,
                                        .clock = whole->clock, .loss = whole->loss);
    return run(whole, &call);
}

static dfal_status update(struct df_whole *whole)
{
    const struct df_trainer *trainer = whole->trainer;
    const struct df_piece all = {.trainer = trainer,
                                 .training = whole->options->training,
                                 .queue = trainer->queue,
                                 .gradient = whole->gradient,
                                 .size = df_plan_parameter_size(trainer->plan)};
    DF_TRY(df_piece_update(&all));
    return df_plan_bind_layers(trainer->plan, trainer->queue);
}

static dfal_status run_calls(struct df_whole *whole, const struct routine *routine)
{
    struct df_batch_part batch = {.trainer = whole->trainer,
                                  .tape = whole->tape,
                                  .queue = whole->trainer->queue,
                                  .rows = routine->rows,
                                  .n = routine->rows,
                                  .label = whole->label,
                                  .weight = whole->weight,
                                  .loss = whole->loss};
    if (routine->training) {
        batch.dlogits = whole->dlogits;
        batch.gradient = whole->gradient;
        batch.dropout = (struct df_dropout){.seed = whole->seed, .clock = whole->clock};
    }
    DF_TRY(take(whole, routine));
    DF_TRY(df_batch_run(&batch));
    if (routine->training)
        DF_TRY(update(whole));
    return put(whole, routine);
}

struct recorded {
    struct df_whole *whole;
    struct routine *routine;
};

static dfal_status recorded_calls(void *arg)
{
    const struct recorded *recorded = arg;
    return run_calls(recorded->whole, recorded->routine);
}

static dfal_status record(struct df_whole *whole, struct routine *routine)
{
    struct recorded recorded = {whole, routine};
    routine->tried = true;
    return df_record(whole->context, whole->trainer->device, whole->trainer->queue, &routine->recording,
                     recorded_calls, &recorded);
}

/* An epoch has two sizes of batches, and so has a validation set. */
static dfal_status find_routine(struct routine **out, struct df_whole *whole, int64_t rows, bool training)
{
    for (int r = 0; r < ROUTINES; r++) {
        struct routine *routine = &whole->routine[r];
        if (routine->rows == 0)
            *routine = (struct routine){.rows = rows, .training = training};
        *out = routine;
        if (routine->rows == rows && routine->training == training)
            return DFAL_OK;
    }
    DF_FAIL(DFAL_E_INTERNAL, "a trainer was given batches of more than two sizes");
}

/* Rows of a set that the device does not hold, augmented for a step. */
static dfal_status send_rows(struct df_whole *whole, const int64_t *order, int64_t rows, bool training)
{
    const struct df_trainer *trainer = whole->trainer;
    const int64_t size = trainer->set->size;
    for (int64_t i = 0; i < rows; i++) {
        float *to = whole->host_x + i * size;
        const float *row = df_step_row(trainer, to, order[i], training ? whole->options : NULL);
        if (row != to)
            memcpy(to, row, (size_t)size * sizeof *to);
    }
    return df_write(trainer->device, trainer->queue, df_tape_input(whole->tape), whole->host_x, rows * size);
}

static dfal_status run_batch(struct df_whole *whole, const int64_t *order, int64_t rows, bool training)
{
    struct df_device *device = whole->trainer->device;
    struct routine *routine;
    DF_TRY(find_routine(&routine, whole, rows, training));
    if (whole->host_x)
        DF_TRY(send_rows(whole, order, rows, training));
    if (routine->ran && !routine->tried)
        DF_TRY(record(whole, routine));
    routine->ran = true;
    return routine->recording ? device->backend->record_run(device, whole->trainer->queue, routine->recording)
                              : run_calls(whole, routine);
}

/* ---- Epochs ---------------------------------------------------------------------------------- */

static dfal_status begin(struct df_whole *whole, const int64_t *order, int64_t n, int64_t first_step)
{
    const struct df_trainer *trainer = whole->trainer;
    const int32_t clock[DF_CLOCK_NUMBERS] = {[DF_CLOCK_STEP] = (int32_t)first_step};
    for (int64_t i = 0; i < n; i++)
        whole->host_order[i] = (int32_t)order[i];
    DF_TRY(df_write(trainer->device, trainer->queue, whole->order, whole->host_order, n));
    return df_write(trainer->device, trainer->queue, whole->clock, clock, DF_CLOCK_NUMBERS);
}

dfal_status df_whole_epoch(struct df_whole *whole, struct dfal_context *context, float *losses,
                           const int64_t *order, int64_t n, const struct df_epoch_options *options)
{
    const struct df_trainer *trainer = whole->trainer;
    const int64_t batch = trainer->batch, steps = (n + batch - 1) / batch;
    if (whole->seed != options->seed)
        forget_recordings(whole);
    whole->seed = options->seed;
    whole->options = options;
    whole->context = context;
    for (int64_t step = 0; step < steps; step++)
        whole->host_rates[step] = df_adam_rate(options->training, options->first_step + step);
    DF_TRY(begin(whole, order, n, options->first_step));
    DF_TRY(df_write(trainer->device, trainer->queue, whole->rates, whole->host_rates, steps));
    for (int64_t first = 0; first < n; first += batch) {
        DF_TRY(df_context_check_stop(context));
        DF_TRY(run_batch(whole, order + first, n - first < batch ? n - first : batch, true));
    }
    return df_read(trainer->device, trainer->queue, losses, whole->losses, n);
}

dfal_status df_whole_evaluate(struct df_whole *whole, float *losses, const int64_t *order, int64_t n)
{
    const struct df_trainer *trainer = whole->trainer;
    const int64_t batch = trainer->batch;
    DF_TRY(begin(whole, order, n, 0));
    for (int64_t first = 0; first < n; first += batch)
        DF_TRY(run_batch(whole, order + first, n - first < batch ? n - first : batch, false));
    return df_read(trainer->device, trainer->queue, losses, whole->losses, n);
}
