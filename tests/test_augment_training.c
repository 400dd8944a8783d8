/* SPDX-License-Identifier: Apache-2.0 */
/* Training with augmentation: a step sees exactly the rows that df_augment_row writes, whichever way it is
 * run, and an evaluation the rows as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/memory.h"
#include "base/rng.h"
#include "net/train_step.h"
#include "net/training.h"
#include "support.h"
#include "support_device.h"
#include "support_network.h"

static const struct df_augment none = {.flip = "none"};
static const struct df_augment strong = {
    .shift = 1.5, .rotate = 30, .scale = 0.2, .erase = 0.5, .flip = "horizontal"};

enum { COUNT = 45, BATCH = 16 };
struct outcome {
    float losses[COUNT], evaluated[COUNT];
    float *values;
    int64_t size;
};

struct world {
    struct df_network *network;
    struct df_training_row rows[COUNT];
    float *x, *changed; /* [COUNT, D] as the pool has them; as an epoch sees them */
    int64_t order[COUNT];
    struct dfal_context *context;
};

static void world_create(struct world *world, struct df_network *network)
{
    static const double scale[] = {2}, offset[] = {-0.75};
    const int64_t size = df_shape_size(network->input);
    struct dfal_context_options plain;
    world->network = network;
    assert_int_equal(network->affine_count, 1);
    network->scale[0] = scale[0];
    network->offset[0] = offset[0];
    test_ok(df_alloc(&world->x, COUNT * size, sizeof(float)));
    test_ok(df_alloc(&world->changed, COUNT * size, sizeof(float)));
    test_fill_floats(world->x, COUNT * size, 8, -1, 1);
    for (int64_t i = 0; i < COUNT; i++) {
        world->rows[i] = (struct df_training_row){
            .index = 3 * i, .label = (int32_t)(i * 5 % network->class_count), .weight = 1};
        world->order[i] = (i * 7 + 2) % COUNT;
    }
    dfal_context_options_init(&plain);
    test_ok(dfal_context_create(&world->context, &plain));
}

/* As this epoch of a restart of this seed sees the rows. */
static void change_rows(struct world *world, uint64_t seed, int32_t epoch)
{
    const struct df_network *network = world->network;
    const int64_t size = df_shape_size(network->input);
    const struct df_augment_view view = {network->input, network->offset, network->affine_count};
    for (int64_t i = 0; i < COUNT; i++) {
        const struct df_augment_draw draw = df_augment_draw(&strong, network->input, seed, epoch, i);
        df_augment_row(world->changed + i * size, world->x + i * size, &view, &draw);
    }
}

static void world_clear(struct world *world)
{
    df_network_destroy(world->network);
    df_free(world->x);
    df_free(world->changed);
    dfal_context_destroy(world->context);
}

static void open_trainer(struct df_trainer **trainer, struct df_resident_set *resident,
                         struct df_device *device, const struct world *world,
                         const struct df_training_set *set, const struct df_training_options *options)
{
    test_ok(df_resident_set_create(resident, device, set, options, 0));
    test_ok(df_trainer_create(trainer, device, 0, world->network, set, resident, options));
}

static void close_trainer(struct df_trainer *trainer, struct df_resident_set *resident,
                          struct df_device *device)
{
    df_trainer_destroy(trainer);
    df_resident_set_clear(resident, device);
}

static void options_of(struct df_training_options *options, const struct df_augment *augment)
{
    df_training_options_init(options);
    options->batch = BATCH;
    options->augment = *augment;
}

static struct df_training_set set_of(const struct world *world, const float *x)
{
    return (struct df_training_set){
        .count = COUNT, .size = df_shape_size(world->network->input), .rows = world->rows, .x = x};
}

/* Epoch 2 over x, then the losses of the rows without a step. */
static void run_epoch(struct outcome *outcome, struct df_device *device, const struct world *world,
                      const float *x, const struct df_augment *augment)
{
    struct df_training_options options;
    struct df_resident_set resident;
    struct df_trainer *trainer;
    const struct df_training_set set = set_of(world, x);
    options_of(&options, augment);
    const struct df_epoch_options epoch = {.training = &options, .seed = 11, .first_step = 6, .epoch = 2};
    open_trainer(&trainer, &resident, device, world, &set, &options);
    outcome->size = df_trainer_size(trainer);
    test_ok(df_alloc(&outcome->values, outcome->size, sizeof(float)));
    df_plan_gather(df_trainer_plan(trainer), outcome->values, world->network);
    test_ok(df_trainer_load(trainer, outcome->values, NULL, NULL));
    test_ok(df_trainer_epoch(trainer, world->context, outcome->losses, world->order, COUNT, &epoch));
    test_ok(df_trainer_store(trainer, outcome->values, NULL, NULL));
    test_ok(df_trainer_evaluate(trainer, outcome->evaluated, world->order, COUNT));
    close_trainer(trainer, &resident, device);
}

/* The losses of rows by these parameters. */
static void evaluate(float losses[COUNT], struct df_device *device, const struct world *world, const float *x,
                     const float *values)
{
    struct df_training_options options;
    struct df_resident_set resident;
    struct df_trainer *trainer;
    const struct df_training_set set = set_of(world, x);
    options_of(&options, &none);
    open_trainer(&trainer, &resident, device, world, &set, &options);
    test_ok(df_trainer_load(trainer, values, NULL, NULL));
    test_ok(df_trainer_evaluate(trainer, losses, world->order, COUNT));
    close_trainer(trainer, &resident, device);
}

static struct df_network *network_of(int kind)
{
    static const char *const chain =
        "c1 Conv input o=4 k=3; r1 Relu c1; p1 MaxPool r1 k=2 s=2; d1 Dropout p1 "
        "ratio=0.25; f Flatten d1; g1 Gemm f o=3";
    return kind == 0 ? test_graph((struct df_shape){2, 10, 8}, 3, chain) : test_residual();
}

/* A step sees the rows that df_augment_row writes, and an evaluation those of the pool: the same bits as a
 * training set that holds the changed rows. The first network is a chain, which cpu trains as a whole. */
static void test_training(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++)
        for (int32_t queues = 1; queues <= 2; queues++) {
            struct df_device *device = test_device_open(test_backend(), queues);
            struct world world;
            struct outcome found, expected;
            assert_non_null(device);
            world_create(&world, network_of(kind));
            change_rows(&world, 11, 2);
            run_epoch(&found, device, &world, world.x, &strong);
            run_epoch(&expected, device, &world, world.changed, &none);
            evaluate(expected.evaluated, device, &world, world.x, expected.values);
            test_same_floats("losses", found.losses, expected.losses, COUNT);
            test_same_floats("parameters", found.values, expected.values, found.size);
            test_same_floats("evaluated", found.evaluated, expected.evaluated, COUNT);
            df_free(found.values);
            df_free(expected.values);
            world_clear(&world);
            df_device_close(device);
        }
}

enum { EPOCHS = 3 };

static dfal_status note_loss(void *user, const struct df_training_state *state, int32_t restart)
{
    const struct df_restart_state *at = &state->restarts[restart];
    assert_int_equal(restart, 0);
    assert_true(at->epochs <= EPOCHS);
    ((double *)user)[at->epochs - 1] = at->loss;
    return DFAL_OK;
}

/* With steps too short to change a weight an epoch's loss is that of the rows as this epoch changes them. */
static void test_epochs(void **state)
{
    (void)state;
    struct df_device *device = test_device_open(test_backend(), 1);
    struct df_training_options options;
    struct df_training_result result;
    struct df_training_state training = {0};
    struct world world;
    double found[EPOCHS] = {0};
    float losses[COUNT];
    assert_non_null(device);
    world_create(&world, test_graph((struct df_shape){2, 10, 8}, 3,
                                    "c1 Conv input o=4 k=3; r1 Relu c1; f Flatten r1; g1 Gemm f o=3"));
    const struct df_training_set set = set_of(&world, world.x);
    options_of(&options, &strong);
    options.epochs = EPOCHS;
    options.sgd = options.keep_initial = true;
    options.learning_rate = 1e-30;
    test_ok(
        df_train(world.context, device, world.network, &set, &options, &training, note_loss, found, &result));
    for (int32_t epoch = 0; epoch < EPOCHS; epoch++) {
        double mean = 0;
        change_rows(&world, df_random_child(options.seed, DF_STREAM_RESTART, 0), epoch);
        evaluate(losses, device, &world, world.changed, training.best_parameters);
        for (int i = 0; i < COUNT; i++)
            mean += (double)losses[i] / COUNT;
        if (fabs(found[epoch] - mean) > 1e-6 * mean || (epoch && found[epoch] == found[0]))
            test_fail("the loss of epoch %d is %.9g, expected %.9g", epoch, found[epoch], mean);
    }
    df_training_state_clear(&training);
    world_clear(&world);
    df_device_close(device);
}

/* A picture that may be moved out of sight is refused before any work. */
static void test_too_far(void **state)
{
    (void)state;
    struct df_device *device = test_device_open(test_backend(), 1);
    struct df_training_options options;
    struct world world;
    assert_non_null(device);
    world_create(&world, network_of(0));
    const struct df_training_set set = set_of(&world, world.x);
    struct df_training_result result;
    df_training_options_init(&options);
    options.epochs = 1;
    options.augment.shift = 8;
    test_error(df_train(world.context, device, world.network, &set, &options, NULL, NULL, NULL, &result),
               DFAL_E_SHAPE,
               "The augmentation shifts by up to 8 pixels, expected less than 8, the shorter side of the "
               "network's input of 2x10x8");
    options.augment.shift = 7.5;
    test_ok(df_train(world.context, device, world.network, &set, &options, NULL, NULL, NULL, &result));
    world_clear(&world);
    df_device_close(device);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_too_far),
    };
    return test_on_backends(argc, argv, "ref,cpu,check:ref:cpu", tests, sizeof tests / sizeof *tests);
}
