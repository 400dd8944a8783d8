/* SPDX-License-Identifier: Apache-2.0 */
#include "net/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
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
    };
}

/* One call of df_train. */
struct training {
    struct dfal_context *context;
    struct df_network *network;
    const struct df_training_set *set;
    const struct df_training_options *options;
    struct df_trainer *trainer;
    int64_t rows, validation_rows; /* rows trained on; kept aside */
    int64_t *split;           /* [count] the restart's permutation: training rows, then validation rows */
    int64_t *order, *shuffle; /* [rows] of an epoch */
    float *losses;            /* [count] */
    uint64_t seed;            /* of the restart */
    struct df_training_state state;
    df_epoch_fn *epoch;
    void *user;
};

static dfal_status check_options(const struct df_training_options *options)
{
    if (options->epochs < 0 || options->batch < 1 || options->restarts < 1 || options->patience < 0)
        DF_FAIL(DFAL_E_USAGE,
                "Training was asked for %d epochs, batch %d, %d restarts and patience %d, expected at least "
                "0, 1, 1 and 0",
                options->epochs, options->batch, options->restarts, options->patience);
    if (!(options->validation >= 0.0 && options->validation < 1.0))
        DF_FAIL(DFAL_E_USAGE, "The validation fraction is %g, expected 0 or more and less than 1",
                options->validation);
    if (!(options->learning_rate > 0.0 && isfinite(options->learning_rate)))
        DF_FAIL(DFAL_E_USAGE, "The learning rate is %g, expected a positive number", options->learning_rate);
    if (!(options->beta1 >= 0.0 && options->beta1 < 1.0 && options->beta2 >= 0.0 && options->beta2 < 1.0 &&
          options->momentum >= 0.0 && options->momentum < 1.0 && options->epsilon >= 0.0))
        DF_FAIL(DFAL_E_USAGE,
                "beta1 %g, beta2 %g, momentum %g and epsilon %g were given, expected 0 or more and, but for "
                "epsilon, less than 1",
                options->beta1, options->beta2, options->momentum, options->epsilon);
    return DFAL_OK;
}

static dfal_status check_set(const struct df_network *network, const struct df_training_set *set)
{
    if (set->count < 1)
        DF_FAIL(DFAL_E_DATA, "There are no labelled rows to train on");
    if (set->size != df_shape_size(network->input))
        DF_FAIL(DFAL_E_SHAPE, "The training rows have %lld values, expected the %lld of the network's input",
                (long long)set->size, (long long)df_shape_size(network->input));
    for (int64_t i = 0; i < set->count; i++)
        if (set->rows[i].label < 0 || set->rows[i].label >= network->class_count)
            DF_FAIL(DFAL_E_DATA, "Training row %lld has the label %d, expected 0 to %d", (long long)i,
                    set->rows[i].label, network->class_count - 1);
    return DFAL_OK;
}

static int64_t count_validation(const struct df_training_set *set, double fraction)
{
    int64_t rows = (int64_t)floor(fraction * (double)set->count);
    if (fraction > 0.0 && set->count > 1 && rows < 1)
        rows = 1;
    return rows < set->count ? rows : set->count - 1;
}

/* ---- Epochs -------------------------------------------------------------------------------- */

static double mean_loss(const struct training *t, int64_t count)
{
    double total = 0.0;
    for (int64_t i = 0; i < count; i++)
        total += (double)t->losses[i];
    return total / (double)count;
}

/* Losses of a step, looked at before its gradient has spoilt more than one update. */
static dfal_status read_losses(struct training *t, int64_t first, int64_t n, int64_t step)
{
    DF_TRY(df_trainer_losses(t->trainer, t->losses + first, first, n));
    for (int64_t i = first; i < first + n; i++)
        if (!isfinite(t->losses[i]))
            DF_FAIL(DFAL_E_DATA,
                    "The loss is %g in step %lld of epoch %d (restart %d): the training diverged, a smaller "
                    "learning rate than %g or finite inputs are needed",
                    (double)t->losses[i], (long long)step + 1, t->state.epoch + 1, t->state.restart + 1,
                    t->options->learning_rate);
    return DFAL_OK;
}

static dfal_status validate(struct training *t)
{
    DF_TRY(df_trainer_evaluate(t->trainer, t->split + t->rows, t->validation_rows, 0));
    DF_TRY(df_trainer_losses(t->trainer, t->losses, 0, t->validation_rows));
    t->state.validation_loss = mean_loss(t, t->validation_rows);
    if (!isfinite(t->state.validation_loss))
        DF_FAIL(DFAL_E_DATA,
                "The validation loss is %g after epoch %d (restart %d): the training diverged, a smaller "
                "learning rate than %g or finite inputs are needed",
                t->state.validation_loss, t->state.epoch + 1, t->state.restart + 1,
                t->options->learning_rate);
    return DFAL_OK;
}

static dfal_status run_epoch(struct training *t)
{
    int64_t batch = t->options->batch, steps = (t->rows + batch - 1) / batch;
    DF_TRY(df_random_permutation(t->shuffle, t->rows, t->seed, DF_STREAM_SHUFFLE, (uint64_t)t->state.epoch));
    for (int64_t i = 0; i < t->rows; i++)
        t->order[i] = t->split[t->shuffle[i]];
    for (int64_t step = 0; step < steps; step++) {
        int64_t first = step * batch, n = t->rows - first < batch ? t->rows - first : batch;
        struct df_step_options options = {t->options, t->seed, t->state.epoch * steps + step};
        DF_TRY(df_context_check_stop(t->context));
        DF_TRY(df_trainer_step(t->trainer, t->order + first, n, first, &options));
        DF_TRY(read_losses(t, first, n, step));
    }
    t->state.loss = mean_loss(t, t->rows);
    t->state.validation_loss = NAN;
    return t->validation_rows > 0 ? validate(t) : DFAL_OK;
}

static double watched(const struct training *t, double loss, double validation_loss)
{
    return t->validation_rows > 0 ? validation_loss : loss;
}

static void say_epoch(const struct training *t, double seconds)
{
    const struct df_training_state *s = &t->state;
    char validation[48] = "";
    if (t->validation_rows > 0)
        snprintf(validation, sizeof validation, ", validation loss %.4f", s->validation_loss);
    df_say(t->context, DFAL_PROGRESS, "train.epoch",
           DF_FIELDS(DF_INT("restart", s->restart), DF_INT("epoch", s->epoch),
                     DF_INT("epochs", t->options->epochs), DF_REAL("loss", s->loss),
                     DF_REAL("validation_loss", s->validation_loss), DF_REAL("seconds", seconds)),
           "restart %d/%d, epoch %d/%d: loss %.4f%s, %.2f s", s->restart + 1, t->options->restarts, s->epoch,
           t->options->epochs, s->loss, validation, seconds);
}

/* ---- Restarts ------------------------------------------------------------------------------ */

static bool restart_is_over(const struct training *t)
{
    const struct df_training_options *options = t->options;
    return t->state.epoch >= options->epochs ||
           (options->patience > 0 && t->state.waited >= options->patience);
}

/* Seed, split and, unless it goes on from a state, initial weights. */
static dfal_status begin_restart(struct training *t, bool resumed)
{
    struct df_training_state *s = &t->state;
    t->seed = df_random_child(t->options->seed, DF_STREAM_RESTART, (uint64_t)s->restart);
    DF_TRY(df_random_permutation(t->split, t->set->count, t->seed, DF_STREAM_SPLIT, 0));
    if (resumed)
        return df_trainer_load(t->trainer, s->parameters, s->m, s->v);
    struct df_network *initial;
    DF_TRY(df_network_copy(&initial, t->network));
    dfal_status status = t->options->keep_initial ? DFAL_OK : df_network_initialise(initial, t->seed);
    if (status == DFAL_OK) {
        df_plan_gather(df_trainer_plan(t->trainer), s->parameters, initial);
        status = df_trainer_load(t->trainer, s->parameters, NULL, NULL);
    }
    df_network_destroy(initial);
    s->epoch = s->waited = 0;
    s->lowest = INFINITY;
    s->loss = s->validation_loss = NAN;
    return status;
}

static dfal_status finish_epoch(struct training *t, double began)
{
    struct df_training_state *s = &t->state;
    double loss = watched(t, s->loss, s->validation_loss);
    s->epoch++;
    s->waited = loss < s->lowest ? 0 : s->waited + 1;
    s->lowest = loss < s->lowest ? loss : s->lowest;
    say_epoch(t, df_clock() - began);
    if (!t->epoch)
        return DFAL_OK;
    DF_TRY(df_trainer_store(t->trainer, s->parameters, s->m, s->v));
    return t->epoch(t->user, s);
}

/* Keep this restart when it is the first or better than the best. */
static dfal_status finish_restart(struct training *t)
{
    struct df_training_state *s = &t->state;
    double loss = watched(t, s->loss, s->validation_loss);
    double best = watched(t, s->best_loss, s->best_validation_loss);
    if (s->best_restart >= 0 && !(loss < best))
        return DFAL_OK;
    DF_TRY(df_trainer_store(t->trainer, s->best_parameters, s->m, s->v));
    s->best_restart = s->restart;
    s->best_epochs = s->epoch;
    s->best_loss = s->loss;
    s->best_validation_loss = s->validation_loss;
    return DFAL_OK;
}

static dfal_status run_restarts(struct training *t, bool resumed)
{
    struct df_training_state *s = &t->state;
    for (; s->restart < t->options->restarts; s->restart++, resumed = false) {
        DF_TRY(begin_restart(t, resumed));
        while (!restart_is_over(t)) {
            double began = df_clock();
            DF_TRY(run_epoch(t));
            DF_TRY(finish_epoch(t, began));
        }
        DF_TRY(finish_restart(t));
    }
    return DFAL_OK;
}

/* ---- Together ------------------------------------------------------------------------------- */

static dfal_status load_state(struct training *t, const struct df_training_state *from)
{
    struct df_training_state *s = &t->state;
    size_t bytes = (size_t)s->size * sizeof(float);
    if (from->size != s->size || from->restart < 0 || from->restart >= t->options->restarts ||
        from->epoch < 0 || from->epoch > t->options->epochs)
        DF_FAIL(DFAL_E_CONFIG,
                "A training state of %lld values, restart %d, epoch %d does not belong to a training of %lld "
                "values, %d restarts of %d epochs",
                (long long)from->size, from->restart, from->epoch, (long long)s->size, t->options->restarts,
                t->options->epochs);
    struct df_training_state mine = *s;
    *s = *from;
    s->parameters = mine.parameters;
    s->m = mine.m;
    s->v = mine.v;
    s->best_parameters = mine.best_parameters;
    memcpy(s->parameters, from->parameters, bytes);
    memcpy(s->m, from->m, bytes);
    memcpy(s->v, from->v, bytes);
    if (from->best_restart >= 0)
        memcpy(s->best_parameters, from->best_parameters, bytes);
    return DFAL_OK;
}

static dfal_status prepare(struct training *t, struct df_device *device)
{
    int64_t count = t->set->count;
    struct df_training_state *s = &t->state;
    DF_TRY(df_network_infer(t->network));
    t->validation_rows = count_validation(t->set, t->options->validation);
    t->rows = count - t->validation_rows;
    DF_TRY(df_trainer_create(&t->trainer, device, t->network, t->set, t->options->batch, count));
    s->size = df_trainer_size(t->trainer);
    s->best_restart = -1;
    DF_TRY(df_alloc(&s->parameters, s->size, sizeof(float)));
    DF_TRY(df_alloc(&s->m, s->size, sizeof(float)));
    DF_TRY(df_alloc(&s->v, s->size, sizeof(float)));
    DF_TRY(df_alloc(&s->best_parameters, s->size, sizeof(float)));
    DF_TRY(df_alloc(&t->split, count, sizeof *t->split));
    DF_TRY(df_alloc(&t->order, count, sizeof *t->order));
    DF_TRY(df_alloc(&t->shuffle, count, sizeof *t->shuffle));
    return df_alloc(&t->losses, count, sizeof *t->losses);
}

dfal_status df_train(struct dfal_context *context, struct df_device *device, struct df_network *network,
                     const struct df_training_set *set, const struct df_training_options *options,
                     const struct df_training_state *resume, df_epoch_fn *epoch, void *user,
                     struct df_training_result *result)
{
    struct training t = {
        .context = context, .network = network, .set = set, .options = options, .epoch = epoch, .user = user};
    double began = df_clock();
    dfal_status status;
    DF_TRY(check_options(options));
    DF_TRY(check_set(network, set));
    DF_TRY_TO(done, status, prepare(&t, device));
    if (resume)
        DF_TRY_TO(done, status, load_state(&t, resume));
    DF_TRY_TO(done, status, run_restarts(&t, resume != NULL));
    df_plan_scatter(df_trainer_plan(t.trainer), network, t.state.best_parameters);
    *result = (struct df_training_result){.restart = t.state.best_restart,
                                          .epochs = t.state.best_epochs,
                                          .loss = t.state.best_loss,
                                          .validation_loss = t.state.best_validation_loss,
                                          .seconds = df_clock() - began};
done:
    df_trainer_destroy(t.trainer);
    df_free(t.state.parameters);
    df_free(t.state.m);
    df_free(t.state.v);
    df_free(t.state.best_parameters);
    df_free(t.split);
    df_free(t.order);
    df_free(t.shuffle);
    df_free(t.losses);
    return status;
}
