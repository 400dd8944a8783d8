/* SPDX-License-Identifier: Apache-2.0 */
/* Training of small chains as a whole: gradients against float64, the same bits on both instruction sets, and
 * which networks are trained so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/cpu.h"
#include "base/memory.h"
#include "net/train_step.h"
#include "net/training.h"
#include "support.h"
#include "support_device.h"
#include "support_network.h"

struct example {
    struct df_shape input;
    int32_t classes;
    const char *graph;
    int32_t batch;
};

/* LeNet5 as it is built in, and what differs from it: kernels, pads, channels that are no multiple of a tile,
 * pools and ReLUs that are or are not there, dropout behind each kind of layer and with rows of words that
 * begin anywhere, pairs whose sizes are no multiple of a vector and one that is not worth merging, batches of
 * more than the rows that go through together and of one. */
static const struct example examples[] = {
    {{1, 28, 28},
     10,
     "c1 Conv input o=6 k=5; r1 Relu c1; p1 MaxPool r1 k=2 s=2; d1 Dropout p1 ratio=0.25; c2 Conv d1 o=16 "
     "k=5; "
     "r2 Relu c2; p2 MaxPool r2 k=2 s=2; d2 Dropout p2 ratio=0.25; c3 Conv d2 o=120 k=1; f Flatten c3; g1 "
     "Gemm f "
     "o=84; r3 Relu g1; g2 Gemm r3 o=10; d3 Dropout g2 ratio=0.5; g3 Gemm d3 o=10",
     32},
    {{3, 9, 7},
     3,
     "c1 Conv input o=5 k=3 p=1; r1 Relu c1; c2 Conv r1 o=7 k=3 pads=0,1,2,1; p2 MaxPool c2 k=2 s=2; d2 "
     "Dropout "
     "p2 ratio=0.3; f Flatten d2; g1 Gemm f o=3",
     13},
    {{2, 12, 11},
     4,
     "c1 Conv input o=9 k=7 p=3; p1 MaxPool c1 k=2 s=2; r1 Relu p1; c2 Conv r1 o=12 k=4; d2 Dropout c2 "
     "ratio=0.2; c3 Conv d2 o=6 k=2; r3 Relu c3; f Flatten r3; g1 Gemm f o=130; r4 Relu g1; d4 Dropout r4 "
     "ratio=0.5; g2 Gemm d4 o=4",
     70},
    {{1, 10, 10},
     5,
     "c1 Conv input o=20 k=3; r1 Relu c1; p1 MaxPool r1 k=2 s=2; c2 Conv p1 o=37 k=1; f Flatten c2; g1 Gemm "
     "f "
     "o=6; r2 Relu g1; d2 Dropout r2 ratio=0.5; g2 Gemm d2 o=5",
     40},
    {{4, 6, 6}, 3, "c1 Conv input o=5 k=1; f Flatten c1; g1 Gemm f o=40; r1 Relu g1; g2 Gemm r1 o=3", 8},
    {{1, 6, 6}, 3, "c1 Conv input o=64 k=6; r1 Relu c1; f Flatten r1; g1 Gemm f o=3", 1},
    {{7, 1, 1},
     3,
     "g1 Gemm input o=150; r1 Relu g1; d1 Dropout r1 ratio=0.1; g2 Gemm d1 o=2; g3 Gemm g2 o=3",
     5},
    {{3, 4, 5}, 2, "f Flatten input; g1 Gemm f o=2", 33},
    {{1, 8, 8}, 3, "c1 Conv input o=3 k=3; p1 MaxPool c1 k=2 s=2; f Flatten p1; g1 Gemm f o=3", 9},
    {{1, 9, 8}, 3, "c1 Conv input o=1 k=3; r1 Relu c1; c2 Conv r1 o=1 k=3; f Flatten c2; g1 Gemm f o=3", 9},
};
enum { EXAMPLES = sizeof examples / sizeof *examples };

/* ---- Data -------------------------------------------------------------------------------------------- */

struct data {
    struct df_training_set set;
    struct df_training_row *rows;
    float *x;
};

static void data_create(struct data *data, const struct example *example, int64_t count)
{
    const int64_t size = df_shape_size(example->input);
    test_ok(df_alloc(&data->x, count * size, sizeof *data->x));
    test_ok(df_alloc(&data->rows, count, sizeof *data->rows));
    test_fill_floats(data->x, count * size, 7, -1, 1);
    for (int64_t i = 0; i < count; i++)
        data->rows[i] = (struct df_training_row){
            .index = i, .label = (int32_t)(i * 7 % example->classes), .weight = i % 5 ? 1 : 0.5F};
    data->set = (struct df_training_set){.count = count, .size = size, .rows = data->rows, .x = data->x};
}

static void data_clear(struct data *data)
{
    df_free(data->x);
    df_free(data->rows);
}

/* ---- A few steps --------------------------------------------------------------------------------------- */

/* Parameters and losses. */
struct outcome {
    float *values, *losses, *evaluated;
    int64_t size;
};

static void outcome_clear(struct outcome *outcome)
{
    df_free(outcome->values);
    df_free(outcome->losses);
    df_free(outcome->evaluated);
}

static void options_of(struct df_training_options *options, const struct example *example, bool sgd)
{
    df_training_options_init(options);
    options->batch = example->batch;
    options->sgd = sgd;
    options->learning_rate = sgd ? 0.1 : 1e-3;
}

static void run_steps(struct outcome *outcome, struct df_device *device, const struct example *example,
                      const struct data *data, bool sgd, const struct df_augment *augment)
{
    struct df_network *network = test_graph(example->input, example->classes, example->graph);
    struct df_training_options training;
    struct df_trainer *trainer;
    struct df_resident_set resident;
    struct dfal_context_options plain;
    dfal_context *context;
    int64_t *order;
    const int64_t count = data->set.count;
    options_of(&training, example, sgd);
    if (augment)
        training.augment = *augment;
    dfal_context_options_init(&plain);
    test_ok(dfal_context_create(&context, &plain));
    test_ok(df_resident_set_create(&resident, device, &data->set, &training, 0));
    test_ok(df_trainer_create(&trainer, device, 0, network, &data->set, &resident, &training));
    outcome->size = df_trainer_size(trainer);
    test_ok(df_alloc(&outcome->values, outcome->size, sizeof *outcome->values));
    test_ok(df_alloc(&outcome->losses, count, sizeof *outcome->losses));
    test_ok(df_alloc(&outcome->evaluated, count, sizeof *outcome->evaluated));
    test_ok(df_alloc(&order, count, sizeof *order));
    for (int64_t i = 0; i < count; i++)
        order[i] = (i * 3 + 1) % count;
    df_plan_gather(df_trainer_plan(trainer), outcome->values, network);
    test_ok(df_trainer_load(trainer, outcome->values, NULL, NULL));
    const struct df_epoch_options epoch = {.training = &training, .seed = 11, .first_step = 3};
    test_ok(df_trainer_epoch(trainer, context, outcome->losses, order, count, &epoch));
    test_ok(df_trainer_evaluate(trainer, outcome->evaluated, order, count));
    test_ok(df_trainer_store(trainer, outcome->values, NULL, NULL));
    df_trainer_destroy(trainer);
    df_resident_set_clear(&resident, device);
    dfal_context_destroy(context);
    df_network_destroy(network);
    df_free(order);
}

/* How far each block of parameters has moved, against how far it should have. */
static void check_movement(const struct example *example, const struct outcome *found,
                           const struct outcome *expected)
{
    struct df_network *network = test_graph(example->input, example->classes, example->graph);
    int64_t at = 0;
    for (int32_t i = 0; i < network->node_count; i++)
        for (int kind = DF_WEIGHT; kind <= DF_BIAS; kind++) {
            const struct df_parameter *p = &network->nodes[i].parameter[kind];
            double moved = 0, error = 0;
            for (int64_t j = 0; p->data && j < p->count; j++) {
                const double right = (double)expected->values[at + j], move = right - (double)p->data[j],
                             off = right - (double)found->values[at + j];
                moved += move * move;
                error += off * off;
            }
            if (p->data && !(moved > 0 && sqrt(error) < 2e-5 * sqrt(moved)))
                test_fail("%s, parameter %d, has moved by %g and is %g off", network->nodes[i].name, kind,
                          sqrt(moved), sqrt(error));
            at += p->data ? p->count : 0;
        }
    df_network_destroy(network);
}

static void compare(struct df_device *cpu, struct df_device *oracle, const struct example *example,
                    const struct df_augment *augment)
{
    struct data data;
    struct outcome found, expected;
    data_create(&data, example, 2 * example->batch + example->batch / 2); /* the last step is a short one */
    run_steps(&found, cpu, example, &data, true, augment);
    run_steps(&expected, oracle, example, &data, true, augment);
    test_near("losses", found.losses, expected.losses, data.set.count, 1e-5);
    test_near("evaluated", found.evaluated, expected.evaluated, data.set.count, 1e-5);
    check_movement(example, &found, &expected);
    outcome_clear(&found);
    outcome_clear(&expected);
    data_clear(&data);
}

/* Each example as its rows are, and the first two with rows that are augmented. */
static void test_against_double(void **state)
{
    (void)state;
    static const struct df_augment augment[] = {
        {.shift = 2, .rotate = 15, .scale = 0.1, .erase = 0.2, .flip = "none"},
        {.shift = 1, .flip = "vertical"}};
    struct df_device *cpu = test_device_open("cpu", 1), *oracle = test_device_open("ref64", 1);
    for (int e = 0; e < EXAMPLES; e++)
        compare(cpu, oracle, &examples[e], NULL);
    for (int e = 0; e < 2; e++)
        compare(cpu, oracle, &examples[e], &augment[e]);
    df_device_close(cpu);
    df_device_close(oracle);
}

/* Adam, whose quotient shows every bit of a gradient. */
static void test_instruction_sets(void **state)
{
    (void)state;
    struct df_device *device = test_device_open("cpu", 1);
    struct df_cpu_device *cpu = (struct df_cpu_device *)device;
    const enum df_cpu_isa isa = cpu->isa;
    for (int e = 0; isa == DF_CPU_AVX512 && e < EXAMPLES; e++) {
        const struct example *example = &examples[e];
        struct data data;
        struct outcome narrow, wide;
        data_create(&data, example, 3 * example->batch + 1);
        cpu->isa = DF_CPU_AVX2;
        run_steps(&narrow, device, example, &data, false, NULL);
        cpu->isa = DF_CPU_AVX512;
        run_steps(&wide, device, example, &data, false, NULL);
        test_same_floats("losses", wide.losses, narrow.losses, data.set.count);
        test_same_floats("evaluated", wide.evaluated, narrow.evaluated, data.set.count);
        test_same_floats("parameters", wide.values, narrow.values, wide.size);
        outcome_clear(&narrow);
        outcome_clear(&wide);
        data_clear(&data);
    }
    df_device_close(device);
    if (isa != DF_CPU_AVX512)
        skip();
}

/* ---- Which networks ------------------------------------------------------------------------------------ */

static bool is_chained(struct df_device *device, const struct example *example)
{
    struct df_network *network = test_graph(example->input, example->classes, example->graph);
    struct df_training_options training;
    struct df_resident_set resident = {0};
    struct df_trainer *trainer;
    struct data data;
    data_create(&data, example, 4);
    options_of(&training, example, true);
    test_ok(df_trainer_create(&trainer, device, 0, network, &data.set, &resident, &training));
    const bool chained = df_trainer_has_queue(trainer);
    df_trainer_destroy(trainer);
    data_clear(&data);
    df_network_destroy(network);
    return chained;
}

static void test_which(void **state)
{
    (void)state;
    const struct example others[] = {
        {{1, 8, 8}, 3, "c1 Conv input o=4 k=3 s=2; f Flatten c1; g1 Gemm f o=3", 8},
        {{1, 8, 8}, 3, "c1 Conv input o=4 k=3 d=2; f Flatten c1; g1 Gemm f o=3", 8},
        {{2, 8, 8}, 3, "c1 Conv input o=4 k=3 g=2; f Flatten c1; g1 Gemm f o=3", 8},
        {{1, 8, 8}, 3, "c1 Conv input o=65 k=3; f Flatten c1; g1 Gemm f o=3", 8},
        {{1, 9, 9}, 3, "c1 Conv input o=4 k=8; f Flatten c1; g1 Gemm f o=3", 8},
        {{1, 8, 8}, 3, "c1 Conv input o=4 k=3; p1 AveragePool c1 k=2 s=2; f Flatten p1; g1 Gemm f o=3", 8},
        {{1, 8, 8}, 3, "c1 Conv input o=4 k=3; p1 MaxPool c1 k=3 s=2; f Flatten p1; g1 Gemm f o=3", 8},
        {{1, 8, 8}, 3, "c1 Conv input o=4 k=3; b1 BatchNormalization c1; f Flatten b1; g1 Gemm f o=3", 8},
        {{1, 8, 8},
         3,
         "c1 Conv input o=4 k=3; d1 Dropout c1 ratio=0.5; r1 Relu d1; f Flatten r1; g1 Gemm f o=3",
         8},
        {{1, 8, 8}, 3, "f Flatten input; c1 Conv f o=4 k=1; r1 Relu c1; f2 Flatten r1; g1 Gemm f2 o=3", 8},
        {{1, 8, 8},
         3,
         "c1 Conv input o=2 k=3; f Flatten c1; c2 Conv f o=32 k=1; f2 Flatten c2; g1 Gemm f2 o=3",
         8},
        {{1, 8, 8},
         3,
         "c1 Conv input o=4 k=3 p=1; r1 Relu c1; s Reshape r1 shape=64,2,2; p MaxPool s k=2 s=2; f Flatten "
         "p; "
         "g1 Gemm f o=3",
         8},
        {{1, 8, 8}, 3, "f Flatten input; g1 Gemm f o=3; d1 Dropout g1 ratio=0.5", 8},
        {{1, 8, 8}, 3, "f Flatten input; g1 Gemm f o=3; r1 Relu g1", 8},
        {{1, 8, 8}, 3, "f Flatten input; g1 Gemm f o=3", 5000},
        {{1, 128, 128},
         3,
         "c1 Conv input o=64 k=3 p=1; c2 Conv c1 o=64 k=3 p=1; f Flatten c2; g1 Gemm f o=3",
         8},
    };
    struct df_device *cpu = test_device_open("cpu", 1), *ref = test_device_open("ref", 1);
    for (int e = 0; e < EXAMPLES; e++) {
        if (!is_chained(cpu, &examples[e]))
            test_fail("not trained as a whole: %s", examples[e].graph);
        assert_false(is_chained(ref, &examples[e]));
    }
    for (size_t o = 0; o < sizeof others / sizeof *others; o++)
        if (is_chained(cpu, &others[o]))
            test_fail("trained as a whole: %s", others[o].graph);
    df_device_close(cpu);
    df_device_close(ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_double),
        cmocka_unit_test(test_instruction_sets),
        cmocka_unit_test(test_which),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
