/* SPDX-License-Identifier: Apache-2.0 */
/* Training where a back end runs a step of a small chain in one call, on one queue: restarts run side by
 * side, a queue each, and nothing waits for anything within one. */
#include "base/memory.h"
#include "net/train_inside.h"

struct df_chained {
    struct df_trainer *trainer;
    struct df_chain *chain;
    const float **x; /* [batch] */
    float *room;     /* [batch, D] for augmented rows */
    int32_t *label;
    float *weight;
};

dfal_status df_chained_create(struct df_chained **out, struct df_trainer *trainer,
                              const struct df_training_options *training)
{
    struct df_device *device = trainer->device;
    struct df_chained *chained = NULL;
    struct df_chain_desc desc;
    dfal_status status;
    *out = NULL;
    if (device->backend->chain_create == NULL || !df_plan_is_chain(trainer->plan, &desc))
        return DFAL_OK;
    desc.batch = trainer->batch;
    desc.sgd = training->sgd;
    desc.beta1 = training->beta1;
    desc.beta2 = training->beta2;
    desc.epsilon = training->epsilon;
    desc.momentum = training->momentum;
    DF_TRY(df_alloc(&chained, 1, sizeof *chained));
    chained->trainer = trainer;
    status = device->backend->chain_create(device, &chained->chain, &desc);
    if (status == DFAL_E_UNAVAILABLE) {
        df_chained_destroy(chained);
        return DFAL_OK;
    }
    DF_TRY_TO(done, status, status);
    DF_TRY_TO(done, status, df_alloc(&chained->x, trainer->batch, sizeof *chained->x));
    if (trainer->augments)
        DF_TRY_TO(done, status,
                  df_alloc(&chained->room, trainer->batch * trainer->set->size, sizeof *chained->room));
    DF_TRY_TO(done, status, df_alloc(&chained->label, trainer->batch, sizeof *chained->label));
    DF_TRY_TO(done, status, df_alloc(&chained->weight, trainer->batch, sizeof *chained->weight));
    *out = chained;
    chained = NULL;
done:
    df_chained_destroy(chained);
    return status;
}

void df_chained_destroy(struct df_chained *chained)
{
    if (!chained)
        return;
    struct df_device *device = chained->trainer->device;
    if (chained->chain)
        device->backend->chain_destroy(device, chained->chain);
    df_free(chained->x);
    df_free(chained->room);
    df_free(chained->label);
    df_free(chained->weight);
    df_free(chained);
}

dfal_status df_chained_load(struct df_chained *chained, const float *values, const float *m, const float *v)
{
    struct df_device *device = chained->trainer->device;
    return device->backend->chain_load(device, chained->chain, values, m, v);
}

dfal_status df_chained_store(struct df_chained *chained, float *values, float *m, float *v)
{
    struct df_device *device = chained->trainer->device;
    return device->backend->chain_store(device, chained->chain, values, m, v);
}

/* One call for rows of the set; options NULL: they are evaluated. */
static dfal_status run(void *driver, float *losses, const int64_t *order, int64_t rows,
                       const struct df_epoch_options *options, int64_t step)
{
    const struct df_chained *chained = driver;
    const struct df_trainer *trainer = chained->trainer;
    const struct df_training_set *set = trainer->set;
    for (int64_t i = 0; i < rows; i++) {
        float *room = chained->room ? chained->room + i * set->size : NULL;
        chained->x[i] = df_step_row(trainer, room, order[i], options);
        chained->label[i] = set->rows[order[i]].label;
        chained->weight[i] = set->rows[order[i]].weight;
    }
    struct df_chain_call call = {.chain = chained->chain,
                                 .training = options != NULL,
                                 .rows = rows,
                                 .x = chained->x,
                                 .label = chained->label,
                                 .weight = chained->weight,
                                 .loss = losses,
                                 .step = step};
    if (options) {
        const struct df_training_options *training = options->training;
        call.rate = training->sgd ? training->learning_rate : df_adam_rate(training, step);
        call.seed = options->seed;
    }
    return trainer->device->backend->chain_run(trainer->device, trainer->queue, &call);
}

dfal_status df_chained_epoch(struct df_chained *chained, struct dfal_context *context, float *losses,
                             const int64_t *order, int64_t n, const struct df_epoch_options *options)
{
    return df_epoch_steps(chained->trainer->batch, context, losses, order, n, options, run, chained);
}

dfal_status df_chained_evaluate(struct df_chained *chained, float *losses, const int64_t *order, int64_t n)
{
    const int64_t batch = chained->trainer->batch;
    for (int64_t first = 0; first < n; first += batch)
        DF_TRY(run(chained, losses + first, order + first, n - first < batch ? n - first : batch, NULL, 0));
    return DFAL_OK;
}
