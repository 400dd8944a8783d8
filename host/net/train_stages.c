/* SPDX-License-Identifier: Apache-2.0 */
/* The stages of a training step. */
#include <math.h>

#include "net/train_inside.h"

double df_adam_rate(const struct df_training_options *training, int64_t step)
{
    const double t = (double)(step + 1);
    return training->learning_rate * sqrt(1.0 - pow(training->beta2, t)) / (1.0 - pow(training->beta1, t));
}

/* ---- Of rows -------------------------------------------------------------------------------- */

const float *df_step_row(const struct df_trainer *trainer, float *room, int64_t row,
                         const struct df_epoch_options *options)
{
    const float *x = trainer->set->x + row * trainer->set->size;
    if (!options || !trainer->augments)
        return x;
    const struct df_augment_draw draw =
        df_augment_draw(&options->training->augment, trainer->view.shape, options->seed, options->epoch, row);
    df_augment_row(room, x, &trainer->view, &draw);
    return room;
}

static dfal_status forward(const struct df_batch_part *part)
{
    return df_tape_forward(part->tape, part->rows);
}

static dfal_status forward_drawn(const struct df_batch_part *part)
{
    return df_tape_forward_dropout(part->tape, part->rows, &part->dropout);
}

/* The mean over the batch, of which a part gives its share. */
static dfal_status loss(const struct df_batch_part *part)
{
    const struct df_trainer *trainer = part->trainer;
    const int32_t classes = df_plan_class_count(trainer->plan);
    const struct df_call call =
        DF_CALL(softmax_loss, .rows = part->rows, .cols = classes, .loss = part->loss,
                .dlogits = part->dlogits, .logits = df_tape_logits(part->tape), .label = part->label,
                .weight = part->weight, .p.loss = {.classes = classes, .scale = 1.0 / (double)part->n});
    return df_call_run(trainer->device, part->queue, &call);
}

static dfal_status gradient(const struct df_batch_part *part)
{
    return df_tape_parameter_gradient(part->tape, part->rows, part->dlogits, part->gradient);
}

typedef dfal_status batch_stage(const struct df_batch_part *part);
static batch_stage *const training[] = {forward_drawn, loss, gradient, NULL};
static batch_stage *const evaluation[] = {forward, loss, NULL};

dfal_status df_batch_run(const struct df_batch_part *part)
{
    batch_stage *const *stages = part->gradient.buffer != NULL ? training : evaluation;
    for (int s = 0; stages[s] != NULL; s++)
        DF_TRY(stages[s](part));
    return DFAL_OK;
}

/* ---- Of parameters -------------------------------------------------------------------------- */

dfal_status df_piece_update(const struct df_piece *piece)
{
    const struct df_trainer *trainer = piece->trainer;
    const struct df_training_options *options = piece->training;
    const struct df_span w = df_at(df_plan_parameters(trainer->plan), piece->at),
                         m = df_at(trainer->m, piece->at);
    struct df_call call;
    if (options->sgd)
        call = DF_CALL(sgd_step, .rows = 1, .cols = piece->size, .w = w, .momentum = m, .g = piece->gradient,
                       .p.sgd = {.rate = options->learning_rate, .momentum = options->momentum});
    else
        call = DF_CALL(
            adam_step, .rows = 1, .cols = piece->size, .w = w, .m = m, .v = df_at(trainer->v, piece->at),
            .g = piece->gradient, .rate = trainer->rate,
            .p.adam = {.beta1 = options->beta1, .beta2 = options->beta2, .epsilon = options->epsilon});
    return df_call_run(trainer->device, piece->queue, &call);
}

/* ---- Of an epoch ---------------------------------------------------------------------------- */

dfal_status df_epoch_steps(int64_t batch, struct dfal_context *context, float *losses, const int64_t *order,
                           int64_t n, const struct df_epoch_options *options, df_step_fn *step, void *driver)
{
    bool finite = true;
    for (int64_t i = 0; i < n; i++)
        losses[i] = 0;
    for (int64_t first = 0; first < n && finite; first += batch) {
        const int64_t rows = n - first < batch ? n - first : batch;
        DF_TRY(df_context_check_stop(context));
        DF_TRY(
            step(driver, losses + first, order + first, rows, options, options->first_step + first / batch));
        for (int64_t i = 0; i < rows; i++)
            finite = finite && isfinite(losses[first + i]);
    }
    return DFAL_OK;
}
