/* SPDX-License-Identifier: Apache-2.0 */
/* A batch is cut into sub-batches, from its size and the network alone; each is one job, its gradient one part. Parts
 * are summed in index order and the optimiser runs over fixed pieces of the flat parameter array, so that no bit
 * depends on which worker did what. */
#include "net/train_step.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { SUB_BATCH = 8, MAX_PARTS = 8, PIECE = 8192 };

/* What one worker has for itself. */
struct worker {
    struct df_tape *tape;
    struct df_span labels, weights, dlogits;
    int32_t *host_labels; /* [job_rows] */
    float *host_weights;
    float *host_x; /* [job_rows, size]: one copy a job instead of one a row; on a wide device */
};

struct df_trainer {
    struct df_device *device;
    struct df_plan *plan;
    struct df_team *team;
    const struct df_training_set *set;
    struct worker *workers; /* [queue_count] */
    int64_t
        job_rows; /* rows of a sub-batch: 8; the whole batch on a wide device, and where batch-norm couples
                               its rows */
    int32_t part_count;   /* parts held at once; part 0 collects the sum */
    struct df_span parts; /* [part_count, parameter_size] */
    struct df_span m, v, losses;
};

static dfal_status create_worker(struct df_trainer *trainer, int32_t index)
{
    struct worker *worker = &trainer->workers[index];
    struct df_device *device = trainer->device;
    int64_t rows = trainer->job_rows;
    DF_TRY(df_tape_create(&worker->tape, trainer->plan, index, rows, 0));
    DF_TRY(df_buffer_new(device, &worker->labels, DF_TYPE_I32, rows));
    DF_TRY(df_buffer_new(device, &worker->weights, DF_TYPE_REAL, rows));
    DF_TRY(df_buffer_new(device, &worker->dlogits, DF_TYPE_REAL, rows * df_plan_class_count(trainer->plan)));
    DF_TRY(df_alloc(&worker->host_labels, rows, sizeof *worker->host_labels));
    if (device->wide)
        DF_TRY(df_alloc(&worker->host_x, rows * trainer->set->size, sizeof *worker->host_x));
    return df_alloc(&worker->host_weights, rows, sizeof *worker->host_weights);
}

static bool has_batch_statistics(const struct df_network *network)
{
    for (int32_t i = 0; i < network->node_count; i++)
        if (network->nodes[i].op == DF_NODE_BATCH_NORM && !df_node_is_fixed(&network->nodes[i]))
            return true;
    return false;
}

dfal_status df_trainer_create(struct df_trainer **out, struct df_device *device,
                              const struct df_network *network, const struct df_training_set *set,
                              int32_t batch, int64_t losses)
{
    struct df_trainer *trainer = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&trainer, 1, sizeof *trainer));
    trainer->device = device;
    trainer->set = set;
    trainer->job_rows = device->wide || has_batch_statistics(network) ? batch : SUB_BATCH;
    int64_t jobs = (batch + trainer->job_rows - 1) / trainer->job_rows;
    trainer->part_count = jobs < MAX_PARTS ? (int32_t)jobs : MAX_PARTS;
    DF_TRY_TO(done, status, df_plan_create(&trainer->plan, device, network, DF_PLAN_TRAIN, false));
    int64_t size = df_plan_parameter_size(trainer->plan);
    DF_TRY_TO(done, status, df_buffer_new(device, &trainer->parts, DF_TYPE_REAL, trainer->part_count * size));
    DF_TRY_TO(done, status, df_buffer_new(device, &trainer->m, DF_TYPE_REAL, size));
    DF_TRY_TO(done, status, df_buffer_new(device, &trainer->v, DF_TYPE_REAL, size));
    DF_TRY_TO(done, status, df_buffer_new(device, &trainer->losses, DF_TYPE_REAL, losses));
    DF_TRY_TO(done, status, df_alloc(&trainer->workers, device->queue_count, sizeof *trainer->workers));
    for (int32_t i = 0; i < device->queue_count; i++)
        DF_TRY_TO(done, status, create_worker(trainer, i));
    DF_TRY_TO(done, status, df_team_create(&trainer->team, device->queue_count));
    *out = trainer;
    trainer = NULL;
done:
    df_trainer_destroy(trainer);
    return status;
}

void df_trainer_destroy(struct df_trainer *trainer)
{
    if (!trainer)
        return;
    df_team_destroy(trainer->team);
    for (int32_t i = 0; trainer->workers && i < trainer->device->queue_count; i++) {
        struct worker *worker = &trainer->workers[i];
        df_tape_destroy(worker->tape);
        df_buffer_drop(trainer->device, &worker->labels);
        df_buffer_drop(trainer->device, &worker->weights);
        df_buffer_drop(trainer->device, &worker->dlogits);
        df_free(worker->host_labels);
        df_free(worker->host_weights);
        df_free(worker->host_x);
    }
    df_free(trainer->workers);
    df_buffer_drop(trainer->device, &trainer->parts);
    df_buffer_drop(trainer->device, &trainer->m);
    df_buffer_drop(trainer->device, &trainer->v);
    df_buffer_drop(trainer->device, &trainer->losses);
    df_plan_destroy(trainer->plan);
    df_free(trainer);
}

int64_t df_trainer_size(const struct df_trainer *trainer)
{
    return df_plan_parameter_size(trainer->plan) + df_plan_statistics_size(trainer->plan);
}

const struct df_plan *df_trainer_plan(const struct df_trainer *trainer)
{
    return trainer->plan;
}

static dfal_status write_moment(struct df_trainer *trainer, struct df_span to, const float *values)
{
    int64_t size = df_plan_parameter_size(trainer->plan);
    if (values)
        return df_write(trainer->device, 0, to, values, size);
    struct df_call zero = {.op = DF_OP_fill, .out = {to}, .rows = 1, .cols = size};
    return df_run(trainer->device, 0, &zero);
}

dfal_status df_trainer_load(struct df_trainer *trainer, const float *values, const float *m, const float *v)
{
    struct df_plan *plan = trainer->plan;
    int64_t size = df_plan_parameter_size(plan);
    DF_TRY(df_write(trainer->device, 0, df_plan_parameters(plan), values, size));
    DF_TRY(
        df_write(trainer->device, 0, df_plan_statistics(plan), values + size, df_plan_statistics_size(plan)));
    DF_TRY(write_moment(trainer, trainer->m, m));
    DF_TRY(write_moment(trainer, trainer->v, v));
    DF_TRY(df_plan_rebind(plan, 0));
    return trainer->device->backend->synchronize(trainer->device, 0);
}

dfal_status df_trainer_store(struct df_trainer *trainer, float *values, float *m, float *v)
{
    const struct df_plan *plan = trainer->plan;
    int64_t size = df_plan_parameter_size(plan);
    DF_TRY(df_read(trainer->device, 0, values, df_plan_parameters(plan), size));
    DF_TRY(
        df_read(trainer->device, 0, values + size, df_plan_statistics(plan), df_plan_statistics_size(plan)));
    DF_TRY(df_read(trainer->device, 0, m, trainer->m, size));
    return df_read(trainer->device, 0, v, trainer->v, size);
}

/* ---- Jobs ---------------------------------------------------------------------------------- */

/* A step's or an evaluation's work, read by all workers. */
struct work {
    struct df_trainer *trainer;
    const int64_t *order;
    int64_t n, loss_at;
    const struct df_step_options *options; /* NULL: evaluate */
    int64_t first_job;                     /* of this wave */
    int64_t first_part;                    /* where its first job's gradient goes */
    int64_t parts;                         /* filled in this wave, the sum included */
    bool last;                             /* the optimiser's turn */
};

static dfal_status upload(const struct work *work, int64_t first, int64_t rows, int32_t queue)
{
    struct df_trainer *trainer = work->trainer;
    struct worker *worker = &trainer->workers[queue];
    const struct df_training_set *set = trainer->set;
    for (int64_t i = 0; i < rows; i++) {
        int64_t row = work->order[first + i];
        worker->host_labels[i] = set->rows[row].label;
        worker->host_weights[i] = set->rows[row].weight;
        const float *x = set->x + row * set->size;
        if (worker->host_x)
            memcpy(worker->host_x + i * set->size, x, (size_t)set->size * sizeof *x);
        else
            DF_TRY(df_write(trainer->device, queue, df_at(df_tape_input(worker->tape), i * set->size), x,
                            set->size));
    }
    if (worker->host_x)
        DF_TRY(
            df_write(trainer->device, queue, df_tape_input(worker->tape), worker->host_x, rows * set->size));
    DF_TRY(df_write(trainer->device, queue, worker->labels, worker->host_labels, rows));
    return df_write(trainer->device, queue, worker->weights, worker->host_weights, rows);
}

/* A queue keeps the order of its own work: only other queues need to know that it is done. */
static dfal_status hand_over(const struct df_trainer *trainer, int32_t queue)
{
    return trainer->device->queue_count > 1 ? trainer->device->backend->synchronize(trainer->device, queue)
                                            : DFAL_OK;
}

/* Forward, loss and, in a step, the gradient of one sub-batch. */
static dfal_status sub_batch(void *arg, int64_t job, int32_t queue)
{
    const struct work *work = arg;
    struct df_trainer *trainer = work->trainer;
    struct worker *worker = &trainer->workers[queue];
    int64_t first = (work->first_job + job) * trainer->job_rows;
    int64_t rows = work->n - first < trainer->job_rows ? work->n - first : trainer->job_rows;
    DF_TRY(upload(work, first, rows, queue));
    if (work->options) {
        struct df_dropout dropout = {
            .seed = work->options->seed, .step = work->options->step, .first_row = first};
        DF_TRY(df_tape_forward_dropout(worker->tape, rows, &dropout));
    } else {
        DF_TRY(df_tape_forward(worker->tape, rows));
    }
    struct df_call loss = {
        .op = DF_OP_softmax_loss, .rows = rows, .cols = df_plan_class_count(trainer->plan)};
    loss.out[0] = df_at(trainer->losses, work->loss_at + first);
    loss.in[0] = df_tape_logits(worker->tape);
    loss.in[1] = worker->labels;
    loss.in[2] = worker->weights;
    loss.p.loss.classes = df_plan_class_count(trainer->plan);
    loss.p.loss.scale = 1.0 / (double)work->n;
    if (work->options)
        loss.out[1] = worker->dlogits;
    DF_TRY(df_run(trainer->device, queue, &loss));
    if (work->options) {
        int64_t part = work->first_part + job;
        DF_TRY(
            df_tape_parameter_gradient(worker->tape, rows, worker->dlogits,
                                       df_at(trainer->parts, part * df_plan_parameter_size(trainer->plan))));
    }
    return hand_over(trainer, queue);
}

static int64_t piece_size(const struct df_trainer *trainer)
{
    return trainer->device->wide ? df_plan_parameter_size(trainer->plan) : PIECE;
}

static dfal_status optimise(const struct work *work, int64_t at, int64_t size, int32_t queue)
{
    struct df_trainer *trainer = work->trainer;
    const struct df_training_options *training = work->options->training;
    struct df_call call = {.rows = 1, .cols = size};
    call.out[0] = df_at(df_plan_parameters(trainer->plan), at);
    call.out[1] = df_at(trainer->m, at);
    call.in[0] = df_at(trainer->parts, at);
    if (training->sgd) {
        call.op = DF_OP_sgd_step;
        call.p.sgd.rate = training->learning_rate;
        call.p.sgd.momentum = training->momentum;
        return df_run(trainer->device, queue, &call);
    }
    double t = (double)(work->options->step + 1);
    call.op = DF_OP_adam_step;
    call.out[2] = df_at(trainer->v, at);
    call.p.adam.rate =
        training->learning_rate * sqrt(1.0 - pow(training->beta2, t)) / (1.0 - pow(training->beta1, t));
    call.p.adam.beta1 = training->beta1;
    call.p.adam.beta2 = training->beta2;
    call.p.adam.epsilon = training->epsilon;
    return df_run(trainer->device, queue, &call);
}

/* Add the parts of one piece of the gradient in index order, then let the optimiser use it while it is in cache. */
static dfal_status piece(void *arg, int64_t job, int32_t queue)
{
    const struct work *work = arg;
    struct df_trainer *trainer = work->trainer;
    int64_t total = df_plan_parameter_size(trainer->plan), at = job * piece_size(trainer);
    int64_t size = total - at < piece_size(trainer) ? total - at : piece_size(trainer);
    for (int64_t part = 1; part < work->parts; part++) {
        struct df_call add = {.op = DF_OP_accumulate, .rows = 1, .cols = size};
        add.out[0] = df_at(trainer->parts, at);
        add.in[0] = df_at(trainer->parts, part * total + at);
        DF_TRY(df_run(trainer->device, queue, &add));
    }
    if (work->last)
        DF_TRY(optimise(work, at, size, queue));
    return hand_over(trainer, queue);
}

/* Jobs of a batch-norm network meet its running statistics: worker 0 alone, one at a time, which one job a batch is. */
dfal_status df_trainer_step(struct df_trainer *trainer, const int64_t *order, int64_t n, int64_t loss_at,
                            const struct df_step_options *options)
{
    struct work work = {.trainer = trainer, .order = order, .n = n, .loss_at = loss_at, .options = options};
    int64_t jobs = (n + trainer->job_rows - 1) / trainer->job_rows;
    int64_t pieces = (df_plan_parameter_size(trainer->plan) + piece_size(trainer) - 1) / piece_size(trainer);
    while (work.first_job < jobs) {
        int64_t room = trainer->part_count - work.first_part, count = jobs - work.first_job;
        count = count < room ? count : room;
        DF_TRY(df_team_run(trainer->team, sub_batch, &work, count));
        work.parts = work.first_part + count;
        work.last = work.first_job + count == jobs;
        DF_TRY(df_team_run(trainer->team, piece, &work, pieces));
        work.first_job += count;
        work.first_part = 1; /* part 0 holds the sum so far */
    }
    return df_plan_bind_layers(trainer->plan, 0);
}

dfal_status df_trainer_evaluate(struct df_trainer *trainer, const int64_t *order, int64_t n, int64_t loss_at)
{
    struct work work = {.trainer = trainer, .order = order, .n = n, .loss_at = loss_at};
    DF_TRY(df_plan_refresh_norms(trainer->plan, 0));
    return df_team_run(trainer->team, sub_batch, &work, (n + trainer->job_rows - 1) / trainer->job_rows);
}

dfal_status df_trainer_losses(struct df_trainer *trainer, float *losses, int64_t loss_at, int64_t count)
{
    return df_read(trainer->device, 0, losses, df_at(trainer->losses, loss_at), count);
}
