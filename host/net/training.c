/* SPDX-License-Identifier: Apache-2.0 */
#include "net/training.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "net/division.h"
#include "net/train_checks.h"
#include "net/train_step.h"

void df_training_options_init(struct df_training_options *options)
{
    *options = (struct df_training_options){
        .epochs = 12,
        .batch = 32,
        .restarts = 1,
        .learning_rate = 1e-3,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-7,
        .momentum = 0.9,
        .seed = 1,
        .augment = {.flip = "none"},
    };
}

/* What runs one restart at a time. */
struct runner {
    struct df_trainer *trainer;
    int64_t *split;           /* [count] the restart's permutation: training rows, then validation rows */
    int64_t rows;             /* trained on */
    int64_t *order, *shuffle; /* [rows] of an epoch */
    float *losses;            /* [count] */
    float *initial;           /* [size] */
    uint64_t seed;            /* of the restart */
    struct df_restart_state
        spare; /* arrays that an epoch's parameters go to before they become the state's */
};

/* One call of df_train. */
struct training {
    struct dfal_context *context;
    struct df_device *device;
    struct df_network *network;
    const struct df_training_set *set;
    const struct df_training_options *options;
    struct df_resident_set resident;
    struct df_thread_pool *threads; /* a runner a worker */
    struct runner *runners;
    int32_t runner_count;
    struct df_division division;
    struct df_lock lock; /* of the state and who is told of it */
    struct df_training_state *state;
    bool keeps;             /* every epoch's parameters go to the state */
    _Atomic int32_t failed; /* the first restart that has; INT32_MAX: none */
    df_epoch_fn *epoch;
    void *user;
};

static int32_t shares(const struct df_training_options *options)
{
    return options->share.count > 1 ? options->share.count : 1;
}

/* Restarts that this process runs. */
static int32_t own_restarts(const struct df_training_options *options)
{
    return (options->restarts - options->share.number + shares(options) - 1) / shares(options);
}

/* ---- Epochs -------------------------------------------------------------------------------- */

/* What an epoch of a restart has found. */
struct epoch {
    int32_t restart, number; /* epochs before it */
    double loss, validation_loss;
};

static double mean_loss(const struct runner *runner, int64_t count)
{
    double total = 0.0;
    for (int64_t i = 0; i < count; i++)
        total += (double)runner->losses[i];
    return total / (double)count;
}

static dfal_status check_losses(const struct training *t, const struct runner *runner,
                                const struct epoch *epoch, int64_t rows)
{
    for (int64_t i = 0; i < rows; i++)
        if (!isfinite(runner->losses[i]))
            DF_FAIL(DFAL_E_DATA,
                    "The loss is %g in step %lld of epoch %d (restart %d): the training diverged, a smaller "
                    "learning rate than %g or finite inputs are needed",
                    (double)runner->losses[i], (long long)(i / t->options->batch) + 1, epoch->number + 1,
                    epoch->restart + 1, t->options->learning_rate);
    return DFAL_OK;
}

static dfal_status validate(const struct training *t, struct runner *runner, struct epoch *epoch)
{
    const int64_t kept = t->set->count - runner->rows;
    DF_TRY(df_trainer_evaluate(runner->trainer, runner->losses, runner->split + runner->rows, kept));
    epoch->validation_loss = mean_loss(runner, kept);
    if (!isfinite(epoch->validation_loss))
        DF_FAIL(DFAL_E_DATA,
                "The validation loss is %g after epoch %d (restart %d): the training diverged, a smaller "
                "learning rate than %g or finite inputs are needed",
                epoch->validation_loss, epoch->number + 1, epoch->restart + 1, t->options->learning_rate);
    return DFAL_OK;
}

/* Steps of an epoch that nothing cuts. */
static int64_t epoch_steps(const struct training *t, const struct runner *runner)
{
    return (runner->rows + t->options->batch - 1) / t->options->batch;
}

static dfal_status run_epoch(const struct training *t, struct runner *runner, struct epoch *epoch)
{
    const int64_t before = epoch->number * epoch_steps(t, runner),
                  left = (t->options->steps - before) * t->options->batch,
                  rows = t->options->steps > 0 && left < runner->rows ? left : runner->rows;
    const struct df_epoch_options options = {t->options, runner->seed, before, epoch->number};
    DF_TRY(df_random_permutation(runner->shuffle, runner->rows, runner->seed, DF_STREAM_SHUFFLE,
                                 (uint64_t)epoch->number));
    for (int64_t i = 0; i < rows; i++)
        runner->order[i] = runner->split[runner->shuffle[i]];
    DF_TRY(df_trainer_epoch(runner->trainer, t->context, runner->losses, runner->order, rows, &options));
    DF_TRY(check_losses(t, runner, epoch, rows));
    epoch->loss = mean_loss(runner, rows);
    epoch->validation_loss = (double)NAN;
    return t->division.kept > 0 ? validate(t, runner, epoch) : DFAL_OK;
}

static double watched(const struct training *t, double loss, double validation_loss)
{
    return t->division.kept > 0 ? validation_loss : loss;
}

/* Epochs that a restart may take: where steps are counted, as many as these steps need. */
static int32_t epoch_limit(const struct training *t, const struct runner *runner)
{
    const int64_t each = epoch_steps(t, runner);
    return t->options->steps > 0 ? (int32_t)((t->options->steps + each - 1) / each) : t->options->epochs;
}

static void say_epoch(const struct training *t, const struct runner *runner, const struct epoch *epoch,
                      double seconds)
{
    char validation[48] = "";
    const int32_t done = epoch->number + 1, limit = epoch_limit(t, runner);
    if (t->division.kept > 0)
        df_print(validation, sizeof validation, ", validation loss %.4f", epoch->validation_loss);
    df_say(t->context, DFAL_PROGRESS, "train.epoch",
           DF_FIELDS(DF_INT("restart", epoch->restart), DF_INT("epoch", done), DF_INT("epochs", limit),
                     DF_REAL("loss", epoch->loss), DF_REAL("validation_loss", epoch->validation_loss),
                     DF_REAL("seconds", seconds)),
           "restart %d/%d, epoch %d/%d: loss %.4f%s, %.2f s", epoch->restart + 1, t->options->restarts, done,
           limit, epoch->loss, validation, seconds);
}

/* ---- Restarts ------------------------------------------------------------------------------ */

static bool restart_is_over(const struct training *t, const struct runner *runner,
                            const struct df_restart_state *restart)
{
    return restart->epochs >= epoch_limit(t, runner) ||
           (t->options->patience > 0 && restart->waited >= t->options->patience);
}

/* Seed and split. */
static dfal_status draw(const struct training *t, struct runner *runner, int32_t index)
{
    runner->seed = df_random_child(t->options->seed, DF_STREAM_RESTART, (uint64_t)index);
    return df_division_draw(&t->division, runner->seed, runner->split, &runner->rows, runner->shuffle);
}

/* And, unless it goes on from its state, initial weights. */
static dfal_status begin_restart(const struct training *t, struct runner *runner, int32_t index)
{
    const struct df_restart_state *restart = &t->state->restarts[index];
    DF_TRY(draw(t, runner, index));
    if (restart->epochs > 0)
        return df_trainer_load(runner->trainer, restart->parameters, restart->m, restart->v);
    struct df_network *initial;
    DF_TRY(df_network_copy(&initial, t->network));
    dfal_status status = t->options->keep_initial ? DFAL_OK : df_network_initialise(initial, runner->seed);
    if (status == DFAL_OK) {
        df_plan_gather(df_trainer_plan(runner->trainer), runner->initial, initial);
        status = df_trainer_load(runner->trainer, runner->initial, NULL, NULL);
    }
    df_network_destroy(initial);
    return status;
}

/* Without the lock: the device is waited for here. */
static dfal_status store_epoch(const struct training *t, struct runner *runner)
{
    struct df_restart_state *spare = &runner->spare;
    if (!t->keeps)
        return DFAL_OK;
    DF_TRY(df_restart_state_hold(spare, t->state->size));
    return df_trainer_store(runner->trainer, spare->parameters, spare->m, spare->v);
}

static void swap(float **a, float **b)
{
    float *kept = *a;
    *a = *b;
    *b = kept;
}

static dfal_status finish_epoch(struct training *t, struct runner *runner, const struct epoch *epoch)
{
    struct df_restart_state *restart = &t->state->restarts[epoch->restart];
    const double loss = watched(t, epoch->loss, epoch->validation_loss);
    swap(&restart->parameters, &runner->spare.parameters);
    swap(&restart->m, &runner->spare.m);
    swap(&restart->v, &runner->spare.v);
    restart->epochs++;
    restart->waited = loss < restart->lowest ? 0 : restart->waited + 1;
    restart->lowest = loss < restart->lowest ? loss : restart->lowest;
    restart->loss = epoch->loss;
    restart->validation_loss = epoch->validation_loss;
    return t->epoch ? t->epoch(t->user, t->state, epoch->restart) : DFAL_OK;
}

/* Is restart a to be kept rather than b? */
static bool is_better(const struct training *t, int32_t a, int32_t b)
{
    const struct df_restart_state *restarts = t->state->restarts;
    if (b < 0)
        return true;
    const double ours = watched(t, restarts[a].loss, restarts[a].validation_loss),
                 theirs = watched(t, restarts[b].loss, restarts[b].validation_loss);
    return ours < theirs || (!(theirs < ours) && a < b);
}

static dfal_status finish_restart(struct training *t, struct runner *runner, int32_t index)
{
    struct df_training_state *state = t->state;
    if (is_better(t, index, state->best)) {
        if (!state->best_parameters)
            DF_TRY(df_alloc(&state->best_parameters, state->size, sizeof(float)));
        DF_TRY(df_trainer_store(runner->trainer, state->best_parameters, NULL, NULL));
        state->best = index;
    }
    state->restarts[index].ended = true;
    df_restart_state_drop(&state->restarts[index]);
    return DFAL_OK;
}

/* A restart's own entry of the state is read by its runner alone until it is written under the lock. One that
 * failed ends those behind it: the error is that of the first restart to fail, as if they followed each
 * other. */
static dfal_status run_epochs(struct training *t, struct runner *runner, int32_t index)
{
    const struct df_restart_state *restart = &t->state->restarts[index];
    if (restart->ended)
        return DFAL_OK;
    DF_TRY(begin_restart(t, runner, index));
    while (!restart_is_over(t, runner, restart)) {
        if (atomic_load(&t->failed) < index)
            return DFAL_OK;
        struct epoch epoch = {.restart = index, .number = restart->epochs};
        const double began = df_clock();
        DF_TRY(run_epoch(t, runner, &epoch));
        say_epoch(t, runner, &epoch, df_clock() - began);
        DF_TRY(store_epoch(t, runner));
        df_lock_take(&t->lock);
        const dfal_status status = finish_epoch(t, runner, &epoch);
        df_lock_release(&t->lock);
        DF_TRY(status);
    }
    df_lock_take(&t->lock);
    const dfal_status status = finish_restart(t, runner, index);
    df_lock_release(&t->lock);
    return status;
}

static dfal_status run_restart(void *arg, int64_t job, int32_t worker)
{
    struct training *t = arg;
    const int32_t index = t->options->share.number + (int32_t)job * shares(t->options);
    const dfal_status status = run_epochs(t, &t->runners[worker], index);
    int32_t lowest = atomic_load(&t->failed);
    while (status != DFAL_OK && index < lowest && !atomic_compare_exchange_weak(&t->failed, &lowest, index))
        ;
    return status;
}

/* ---- Over processes ------------------------------------------------------------------------- */

/* What the others' restarts have come to, restart by restart; then who is best is known to all, and its
 * weights are with the process that ran it. */
static dfal_status take_others(struct training *t)
{
    const struct df_training_share *share = &t->options->share;
    struct df_training_state *state = t->state;
    int32_t best = -1;
    if (share->count < 2)
        return DFAL_OK;
    df_say(t->context, DFAL_DEBUG, "train.share",
           DF_FIELDS(DF_INT("own", own_restarts(t->options)), DF_INT("restarts", state->count)),
           "%d of %d restarts were trained here, the others by other ranks", own_restarts(t->options),
           state->count);
    for (int32_t i = 0; i < state->count; i++) {
        struct df_restart_state *restart = &state->restarts[i];
        double end[] = {restart->epochs, restart->loss, restart->validation_loss};
        DF_TRY(share->broadcast(share->user, end, sizeof end, i % share->count));
        restart->epochs = (int32_t)end[0];
        restart->loss = end[1];
        restart->validation_loss = end[2];
        restart->ended = true;
        best = is_better(t, i, best) ? i : best;
    }
    state->best = best;
    if (!state->best_parameters) /* this process had no restart */
        DF_TRY(df_alloc(&state->best_parameters, state->size, sizeof(float)));
    return share->broadcast(share->user, state->best_parameters, state->size * (int64_t)sizeof(float),
                            best % share->count);
}

/* ---- Together ------------------------------------------------------------------------------- */

static dfal_status check_state(const struct training *t, int64_t size)
{
    const struct df_training_state *state = t->state;
    bool same = state->size == size && state->count == t->options->restarts &&
                (state->best < 0) == (state->best_parameters == NULL) && state->best < state->count &&
                (state->best < 0 || state->restarts[state->best].ended);
    for (int32_t r = 0; r < state->count; r++) {
        const struct df_restart_state *restart = &state->restarts[r];
        same = same && (state->best >= 0 || !restart->ended);
        same = same && restart->epochs >= 0 &&
               (t->options->steps > 0 || restart->epochs <= t->options->epochs) &&
               (restart->parameters != NULL) == (restart->epochs > 0 && !restart->ended);
    }
    if (!same)
        DF_FAIL(DFAL_E_CONFIG,
                "A training state of %lld values and %d restarts does not belong to a training of %lld "
                "values and %d restarts of %d epochs",
                (long long)state->size, state->count, (long long)size, t->options->restarts,
                t->options->epochs);
    return DFAL_OK;
}

static void clear_runner(struct runner *runner)
{
    df_trainer_destroy(runner->trainer);
    df_free(runner->split);
    df_free(runner->order);
    df_free(runner->shuffle);
    df_free(runner->losses);
    df_free(runner->initial);
    df_restart_state_drop(&runner->spare);
    *runner = (struct runner){0};
}

static dfal_status create_runner(struct training *t, int32_t index)
{
    struct runner *runner = &t->runners[index];
    const int64_t count = t->set->count;
    t->runner_count = index + 1;
    DF_TRY(
        df_trainer_create(&runner->trainer, t->device, index, t->network, t->set, &t->resident, t->options));
    DF_TRY(df_alloc(&runner->split, count, sizeof *runner->split));
    DF_TRY(df_alloc(&runner->order, count, sizeof *runner->order));
    DF_TRY(df_alloc(&runner->shuffle, count, sizeof *runner->shuffle));
    DF_TRY(df_alloc(&runner->losses, count, sizeof *runner->losses));
    return df_alloc(&runner->initial, df_trainer_size(runner->trainer), sizeof *runner->initial);
}

/* Restarts run side by side where each can have a queue, and as many as fit: a runner of a device with memory
 * of its own is reckoned at twice what the first took, for it grows when it runs. */
static dfal_status create_runners(struct training *t, int64_t room)
{
    const int32_t queues = t->device->queue_count, restarts = own_restarts(t->options);
    int32_t wanted = restarts < 1 ? 1 : restarts < queues ? restarts : queues;
    const int64_t before = t->device->backend->memory_free(t->device);
    DF_TRY(df_alloc(&t->runners, wanted, sizeof *t->runners));
    DF_TRY(create_runner(t, 0));
    df_plan_tell_fallback(t->context, df_trainer_plan(t->runners[0].trainer));
    if (!df_trainer_has_queue(t->runners[0].trainer))
        wanted = 1;
    const int64_t each = 2 * (before - t->device->backend->memory_free(t->device));
    if (each > 0 && room / each < wanted)
        wanted = room / each > 1 ? (int32_t)(room / each) : 1;
    for (int32_t i = 1; i < wanted; i++) {
        const dfal_status status = create_runner(t, i);
        if (status == DFAL_E_MEMORY) { /* somebody else has taken it: the others will do */
            clear_runner(&t->runners[i]);
            t->runner_count = wanted = i;
        } else {
            DF_TRY(status);
        }
    }
    return df_thread_pool_create(&t->threads, wanted);
}

/* Bytes of the device's own memory that the training may take; 0: it has none. */
static int64_t device_room(const struct training *t)
{
    const int64_t free = t->device->backend->memory_free(t->device), asked = t->context->options.memory;
    return free > 0 && asked > 0 && asked < free ? asked : free;
}

static dfal_status prepare(struct training *t)
{
    DF_TRY(df_network_infer(t->network));
    DF_TRY(df_division_create(&t->division, t->set, t->options->validation));
    const int64_t room = device_room(t), rows = t->set->count * t->set->size * (int64_t)sizeof(float);
    DF_TRY(df_resident_set_create(&t->resident, t->device, t->set, t->options,
                                  room / 2)); /* activations need some, too */
    DF_TRY(create_runners(t, t->resident.x.buffer ? room - rows : room));
    const int64_t size = df_trainer_size(t->runners[0].trainer);
    return t->state->count > 0 ? check_state(t, size)
                               : df_training_state_create(t->state, t->options->restarts, size);
}

/* Steps that a restart has taken. How many rows it was trained on is known from its seed. */
static dfal_status count_steps(int64_t *steps, const struct training *t, int32_t index)
{
    struct runner *runner = &t->runners[0];
    DF_TRY(draw(t, runner, index));
    *steps = t->state->restarts[index].epochs * epoch_steps(t, runner);
    if (t->options->steps > 0 && t->options->steps < *steps)
        *steps = t->options->steps;
    return DFAL_OK;
}

static void clear(struct training *t)
{
    df_thread_pool_destroy(t->threads);
    for (int32_t i = 0; i < t->runner_count; i++)
        clear_runner(&t->runners[i]);
    df_free(t->runners);
    df_division_clear(&t->division);
    df_resident_set_clear(&t->resident, t->device);
}

dfal_status df_train(struct dfal_context *context, struct df_device *device, struct df_network *network,
                     const struct df_training_set *set, const struct df_training_options *options,
                     struct df_training_state *state, df_epoch_fn *epoch, void *user,
                     struct df_training_result *result)
{
    struct df_training_state own = {0};
    struct training t = {.context = context,
                         .device = device,
                         .network = network,
                         .set = set,
                         .options = options,
                         .state = state ? state : &own,
                         .keeps = state != NULL,
                         .failed = INT32_MAX,
                         .epoch = epoch,
                         .user = user};
    const double began = df_clock();
    dfal_status status;
    DF_TRY(df_train_check(network, set, options));
    df_lock_begin(&t.lock);
    DF_TRY_TO(done, status, prepare(&t));
    DF_TRY_TO(done, status, df_thread_pool_run(t.threads, run_restart, &t, own_restarts(options)));
    DF_TRY_TO(done, status, take_others(&t));
    const struct df_restart_state *best = &t.state->restarts[t.state->best];
    int64_t steps = 0;
    DF_TRY_TO(done, status, count_steps(&steps, &t, t.state->best));
    df_plan_scatter(df_trainer_plan(t.runners[0].trainer), network, t.state->best_parameters);
    *result = (struct df_training_result){.restart = t.state->best,
                                          .epochs = best->epochs,
                                          .loss = best->loss,
                                          .validation_loss = best->validation_loss,
                                          .seconds = df_clock() - began,
                                          .steps = steps};
done:
    clear(&t);
    df_training_state_clear(&own);
    df_lock_end(&t.lock);
    return status;
}
