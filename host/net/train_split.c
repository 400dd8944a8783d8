/* SPDX-License-Identifier: Apache-2.0 */
/* A batch is cut into sub-batches, from its size and the network alone; each is one job, its gradient one
 * part. Parts are summed in index order and the optimiser runs over fixed pieces of the flat parameter array,
 * so that no bit depends on which worker did what. */
#include "base/memory.h"
#include "base/thread_pool.h"
#include "net/train_inside.h"

enum { SUB_BATCH = 8, MAX_PARTS = 8, PIECE = 8192 };

/* What one worker has for itself. */
struct worker {
    struct df_tape *tape;
    struct df_span labels, weights, dlogits;
    int32_t *host_labels; /* [job_rows] */
    float *host_weights;
    float *host_x; /* [D] for an augmented row */
};

struct df_split {
    struct df_trainer *trainer;
    struct df_thread_pool *threads;
    int32_t worker_count;
    struct worker *workers;
    int64_t job_rows;     /* rows of a sub-batch: 8; the whole batch where batch-norm couples its rows */
    int32_t part_count;   /* parts held at once; part 0 collects the sum */
    struct df_span parts; /* [part_count, parameter_size] */
    struct df_span losses;
};

static dfal_status create_worker(struct df_split *split, int32_t index)
{
    struct worker *worker = &split->workers[index];
    const struct df_plan *plan = split->trainer->plan;
    struct df_device *device = split->trainer->device;
    int64_t rows = split->job_rows;
    DF_TRY(df_tape_create(&worker->tape, split->trainer->plan, index, rows, 0));
    DF_TRY(df_buffer_new(device, &worker->labels, DF_TYPE_I32, rows));
    DF_TRY(df_buffer_new(device, &worker->weights, DF_TYPE_REAL, rows));
    DF_TRY(df_buffer_new(device, &worker->dlogits, DF_TYPE_REAL, rows * df_plan_class_count(plan)));
    DF_TRY(df_alloc(&worker->host_labels, rows, sizeof *worker->host_labels));
    if (split->trainer->augments)
        DF_TRY(df_alloc(&worker->host_x, split->trainer->set->size, sizeof *worker->host_x));
    return df_alloc(&worker->host_weights, rows, sizeof *worker->host_weights);
}

dfal_status df_split_create(struct df_split **out, struct df_trainer *trainer)
{
    struct df_device *device = trainer->device;
    const int64_t size = df_plan_parameter_size(trainer->plan), batch = trainer->batch;
    struct df_split *split = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&split, 1, sizeof *split));
    split->trainer = trainer;
    split->worker_count = device->queue_count;
    split->job_rows = df_plan_couples_rows(trainer->plan) ? batch : SUB_BATCH;
    int64_t jobs = (batch + split->job_rows - 1) / split->job_rows;
    split->part_count = jobs < MAX_PARTS ? (int32_t)jobs : MAX_PARTS;
    DF_TRY_TO(done, status, df_buffer_new(device, &split->parts, DF_TYPE_REAL, split->part_count * size));
    DF_TRY_TO(done, status, df_buffer_new(device, &split->losses, DF_TYPE_REAL, trainer->set->count));
    DF_TRY_TO(done, status, df_alloc(&split->workers, split->worker_count, sizeof *split->workers));
    for (int32_t i = 0; i < split->worker_count; i++)
        DF_TRY_TO(done, status, create_worker(split, i));
    DF_TRY_TO(done, status, df_thread_pool_create(&split->threads, split->worker_count));
    *out = split;
    split = NULL;
done:
    df_split_destroy(split);
    return status;
}

void df_split_destroy(struct df_split *split)
{
    if (!split)
        return;
    struct df_device *device = split->trainer->device;
    df_thread_pool_destroy(split->threads);
    for (int32_t i = 0; split->workers && i < split->worker_count; i++) {
        struct worker *worker = &split->workers[i];
        df_tape_destroy(worker->tape);
        df_buffer_drop(device, &worker->labels);
        df_buffer_drop(device, &worker->weights);
        df_buffer_drop(device, &worker->dlogits);
        df_free(worker->host_labels);
        df_free(worker->host_weights);
        df_free(worker->host_x);
    }
    df_free(split->workers);
    df_buffer_drop(device, &split->parts);
    df_buffer_drop(device, &split->losses);
    df_free(split);
}

/* ---- Jobs ---------------------------------------------------------------------------------- */

/* A step's or an evaluation's work, read by all workers. */
struct work {
    struct df_split *split;
    const int64_t *order;
    int64_t n;
    const struct df_epoch_options *options; /* NULL: evaluate */
    int64_t step;                           /* of the restart */
    int64_t first_job;                      /* of this wave */
    int64_t first_part;                     /* where its first job's gradient goes */
    int64_t parts;                          /* filled in this wave, the sum included */
    bool last;                              /* the optimiser's turn */
};

static dfal_status upload(const struct work *work, int64_t first, int64_t rows, int32_t queue)
{
    const struct df_trainer *trainer = work->split->trainer;
    struct worker *worker = &work->split->workers[queue];
    const struct df_training_set *set = trainer->set;
    for (int64_t i = 0; i < rows; i++) {
        int64_t row = work->order[first + i];
        worker->host_labels[i] = set->rows[row].label;
        worker->host_weights[i] = set->rows[row].weight;
        DF_TRY(df_write(trainer->device, queue, df_at(df_tape_input(worker->tape), i * set->size),
                        df_step_row(trainer, worker->host_x, row, work->options), set->size));
    }
    DF_TRY(df_write(trainer->device, queue, worker->labels, worker->host_labels, rows));
    return df_write(trainer->device, queue, worker->weights, worker->host_weights, rows);
}

/* A queue keeps the order of its own work: only other queues need to know that it is done. */
static dfal_status hand_over(const struct df_trainer *trainer, int32_t queue)
{
    return trainer->device->queue_count > 1 ? trainer->device->backend->synchronize(trainer->device, queue)
                                            : DFAL_OK;
}

/* The stages of one sub-batch. */
static dfal_status sub_batch(void *arg, int64_t job, int32_t queue)
{
    const struct work *work = arg;
    const struct df_split *split = work->split;
    const struct df_trainer *trainer = split->trainer;
    struct worker *worker = &split->workers[queue];
    const int64_t first = (work->first_job + job) * split->job_rows;
    const int64_t rows = work->n - first < split->job_rows ? work->n - first : split->job_rows;
    struct df_batch_part part = {.trainer = trainer,
                                 .tape = worker->tape,
                                 .queue = queue,
                                 .rows = rows,
                                 .n = work->n,
                                 .label = worker->labels,
                                 .weight = worker->weights,
                                 .loss = df_at(split->losses, first)};
    if (work->options) {
        const int64_t at = (work->first_part + job) * df_plan_parameter_size(trainer->plan);
        part.dlogits = worker->dlogits;
        part.gradient = df_at(split->parts, at);
        part.dropout =
            (struct df_dropout){.seed = work->options->seed, .step = work->step, .first_row = first};
    }
    DF_TRY(upload(work, first, rows, queue));
    DF_TRY(df_batch_run(&part));
    return hand_over(trainer, queue);
}

/* Add the parts of one piece of the gradient in index order, then let the optimiser use it while it is in
 * cache. */
static dfal_status piece(void *arg, int64_t job, int32_t queue)
{
    const struct work *work = arg;
    const struct df_split *split = work->split;
    const struct df_trainer *trainer = split->trainer;
    int64_t total = df_plan_parameter_size(trainer->plan), at = job * PIECE;
    int64_t size = total - at < PIECE ? total - at : PIECE;
    for (int64_t part = 1; part < work->parts; part++) {
        const struct df_call add = DF_CALL(accumulate, .rows = 1, .cols = size, .y = df_at(split->parts, at),
                                           .x = df_at(split->parts, part * total + at));
        DF_TRY(df_call_run(trainer->device, queue, &add));
    }
    const struct df_piece own = {trainer, work->options->training, queue, df_at(split->parts, at), at, size};
    if (work->last)
        DF_TRY(df_piece_update(&own));
    return hand_over(trainer, queue);
}

/* ---- Epochs -------------------------------------------------------------------------------- */

/* Jobs of a batch-norm network meet its running statistics: worker 0 alone, one at a time, which one job a
 * batch is. */
static dfal_status step(struct work *work)
{
    struct df_split *split = work->split;
    const struct df_trainer *trainer = split->trainer;
    const double rate = df_adam_rate(work->options->training, work->step);
    const int64_t jobs = (work->n + split->job_rows - 1) / split->job_rows;
    const int64_t pieces = (df_plan_parameter_size(trainer->plan) + PIECE - 1) / PIECE;
    DF_TRY(df_write(trainer->device, 0, trainer->rate, &rate, 1));
    DF_TRY(hand_over(trainer, 0));
    for (work->first_job = work->first_part = 0; work->first_job < jobs;) {
        int64_t room = split->part_count - work->first_part, count = jobs - work->first_job;
        count = count < room ? count : room;
        DF_TRY(df_thread_pool_run(split->threads, sub_batch, work, count));
        work->parts = work->first_part + count;
        work->last = work->first_job + count == jobs;
        DF_TRY(df_thread_pool_run(split->threads, piece, work, pieces));
        work->first_job += count;
        work->first_part = 1; /* part 0 holds the sum so far */
    }
    return df_plan_bind_layers(trainer->plan, 0);
}

static dfal_status run_step(void *driver, float *losses, const int64_t *order, int64_t rows,
                            const struct df_epoch_options *options, int64_t number)
{
    struct df_split *split = driver;
    struct work work = {.split = split, .order = order, .n = rows, .options = options, .step = number};
    DF_TRY(step(&work));
    return df_read(split->trainer->device, 0, losses, split->losses, rows);
}

dfal_status df_split_epoch(struct df_split *split, struct dfal_context *context, float *losses,
                           const int64_t *order, int64_t n, const struct df_epoch_options *options)
{
    return df_epoch_steps(split->trainer->batch, context, losses, order, n, options, run_step, split);
}

dfal_status df_split_evaluate(struct df_split *split, float *losses, const int64_t *order, int64_t n)
{
    struct work work = {.split = split, .order = order, .n = n};
    DF_TRY(df_thread_pool_run(split->threads, sub_batch, &work, (n + split->job_rows - 1) / split->job_rows));
    return df_read(split->trainer->device, 0, losses, split->losses, n);
}
