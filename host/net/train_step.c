/* SPDX-License-Identifier: Apache-2.0 */
#include "net/train_step.h"

#include "base/memory.h"
#include "net/train_inside.h"

/* ---- The training set ------------------------------------------------------------------------ */

static dfal_status upload_rows(struct df_resident_set *out, struct df_device *device,
                               const struct df_training_set *set)
{
    int32_t *label = NULL;
    float *weight = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&label, set->count, sizeof *label));
    DF_TRY_TO(done, status, df_alloc(&weight, set->count, sizeof *weight));
    for (int64_t i = 0; i < set->count; i++) {
        label[i] = set->rows[i].label;
        weight[i] = set->rows[i].weight;
    }
    DF_TRY_TO(done, status, df_buffer_new(device, &out->label, DF_TYPE_I32, set->count));
    DF_TRY_TO(done, status, df_buffer_new(device, &out->weight, DF_TYPE_REAL, set->count));
    DF_TRY_TO(done, status, df_write(device, 0, out->label, label, set->count));
    status = df_write(device, 0, out->weight, weight, set->count);
done:
    df_free(label);
    df_free(weight);
    return status;
}

dfal_status df_resident_set_create(struct df_resident_set *out, struct df_device *device,
                                   const struct df_training_set *set,
                                   const struct df_training_options *training, int64_t room)
{
    const int64_t bytes = set->count * set->size * (int64_t)sizeof(float);
    dfal_status status = DFAL_OK;
    *out = (struct df_resident_set){0};
    if (!device->wide)
        return DFAL_OK;
    DF_TRY_TO(done, status, upload_rows(out, device, set));
    if ((room == 0 || bytes <= room) && df_augment_is_none(&training->augment)) {
        DF_TRY_TO(done, status, df_buffer_new(device, &out->x, DF_TYPE_REAL, set->count * set->size));
        DF_TRY_TO(done, status, df_write(device, 0, out->x, set->x, set->count * set->size));
    }
    status = device->backend->synchronize(device, 0);
done:
    if (status != DFAL_OK)
        df_resident_set_clear(out, device);
    return status;
}

void df_resident_set_clear(struct df_resident_set *set, struct df_device *device)
{
    df_buffer_drop(device, &set->x);
    df_buffer_drop(device, &set->label);
    df_buffer_drop(device, &set->weight);
}

/* ---- A trainer ------------------------------------------------------------------------------- */

/* Parameters have a plan of no use then: the chain keeps them. */
static dfal_status try_chain(struct df_trainer *trainer, const struct df_network *network,
                             const struct df_training_options *training)
{
    if (trainer->device->backend->chain_create == NULL)
        return DFAL_OK;
    DF_TRY(df_plan_create(&trainer->plan, trainer->device, network, 0, false));
    DF_TRY(df_chained_create(&trainer->chained, trainer, training));
    if (trainer->chained)
        return DFAL_OK;
    df_plan_destroy(trainer->plan);
    trainer->plan = NULL;
    return DFAL_OK;
}

dfal_status df_train_engine(const char **engine, struct df_device *device, const struct df_network *network,
                            const struct df_training_options *options)
{
    struct df_trainer trainer = {.device = device, .batch = options->batch};
    const dfal_status status = try_chain(&trainer, network, options);
    *engine = trainer.chained ? "fused" : "layers";
    df_chained_destroy(trainer.chained);
    df_plan_destroy(trainer.plan);
    return status;
}

static dfal_status create_layers(struct df_trainer *trainer, const struct df_network *network)
{
    struct df_device *device = trainer->device;
    DF_TRY(df_plan_create(&trainer->plan, device, network, DF_PLAN_TRAIN, false));
    const int64_t size = df_plan_parameter_size(trainer->plan);
    DF_TRY(df_buffer_new(device, &trainer->m, DF_TYPE_REAL, size));
    DF_TRY(df_buffer_new(device, &trainer->v, DF_TYPE_REAL, size));
    DF_TRY(df_buffer_new(device, &trainer->rate, DF_TYPE_F64, 1));
    return device->wide ? df_whole_create(&trainer->whole, trainer)
                        : df_split_create(&trainer->split, trainer);
}

dfal_status df_trainer_create(struct df_trainer **out, struct df_device *device, int32_t queue,
                              const struct df_network *network, const struct df_training_set *set,
                              const struct df_resident_set *resident,
                              const struct df_training_options *training)
{
    struct df_trainer *trainer = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&trainer, 1, sizeof *trainer));
    trainer->device = device;
    trainer->set = set;
    trainer->resident = resident;
    trainer->queue = queue;
    trainer->batch = training->batch;
    trainer->augments = !df_augment_is_none(&training->augment);
    trainer->view = (struct df_augment_view){network->input, network->offset, network->affine_count};
    DF_TRY_TO(done, status, try_chain(trainer, network, training));
    if (!trainer->chained)
        DF_TRY_TO(done, status, create_layers(trainer, network));
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
    df_chained_destroy(trainer->chained);
    df_whole_destroy(trainer->whole);
    df_split_destroy(trainer->split);
    df_buffer_drop(trainer->device, &trainer->m);
    df_buffer_drop(trainer->device, &trainer->v);
    df_buffer_drop(trainer->device, &trainer->rate);
    df_plan_destroy(trainer->plan);
    df_free(trainer);
}

bool df_trainer_has_queue(const struct df_trainer *trainer)
{
    return trainer->device->wide || trainer->chained != NULL;
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
        return df_write(trainer->device, trainer->queue, to, values, size);
    const struct df_call zero = DF_CALL(fill, .rows = 1, .cols = size, .y = to);
    return df_call_run(trainer->device, trainer->queue, &zero);
}

dfal_status df_trainer_load(struct df_trainer *trainer, const float *values, const float *m, const float *v)
{
    struct df_plan *plan = trainer->plan;
    struct df_device *device = trainer->device;
    const int32_t queue = trainer->queue;
    int64_t size = df_plan_parameter_size(plan);
    if (trainer->chained)
        return df_chained_load(trainer->chained, values, m, v);
    DF_TRY(df_write(device, queue, df_plan_parameters(plan), values, size));
    DF_TRY(df_write(device, queue, df_plan_statistics(plan), values + size, df_plan_statistics_size(plan)));
    DF_TRY(write_moment(trainer, trainer->m, m));
    DF_TRY(write_moment(trainer, trainer->v, v));
    DF_TRY(df_plan_rebind(plan, queue));
    return device->backend->synchronize(device, queue);
}

dfal_status df_trainer_store(struct df_trainer *trainer, float *values, float *m, float *v)
{
    const struct df_plan *plan = trainer->plan;
    struct df_device *device = trainer->device;
    const int32_t queue = trainer->queue;
    int64_t size = df_plan_parameter_size(plan);
    if (trainer->chained)
        return df_chained_store(trainer->chained, values, m, v);
    DF_TRY(df_read(device, queue, values, df_plan_parameters(plan), size));
    DF_TRY(df_read(device, queue, values + size, df_plan_statistics(plan), df_plan_statistics_size(plan)));
    if (m)
        DF_TRY(df_read(device, queue, m, trainer->m, size));
    return v ? df_read(device, queue, v, trainer->v, size) : DFAL_OK;
}

/* A wide device's order, rates and losses are as long as the set. */
static dfal_status check_rows(const struct df_trainer *trainer, int64_t n)
{
    if (n > trainer->set->count)
        DF_FAIL(DFAL_E_INTERNAL, "an epoch of %lld rows was asked for, the set has %lld", (long long)n,
                (long long)trainer->set->count);
    return DFAL_OK;
}

dfal_status df_trainer_epoch(struct df_trainer *trainer, struct dfal_context *context, float *losses,
                             const int64_t *order, int64_t n, const struct df_epoch_options *options)
{
    DF_TRY(check_rows(trainer, n));
    if (trainer->chained)
        return df_chained_epoch(trainer->chained, context, losses, order, n, options);
    return trainer->whole ? df_whole_epoch(trainer->whole, context, losses, order, n, options)
                          : df_split_epoch(trainer->split, context, losses, order, n, options);
}

dfal_status df_trainer_evaluate(struct df_trainer *trainer, float *losses, const int64_t *order, int64_t n)
{
    DF_TRY(check_rows(trainer, n));
    if (trainer->chained)
        return df_chained_evaluate(trainer->chained, losses, order, n);
    DF_TRY(df_plan_refresh_norms(trainer->plan, trainer->queue));
    return trainer->whole ? df_whole_evaluate(trainer->whole, losses, order, n)
                          : df_split_evaluate(trainer->split, losses, order, n);
}
