/* SPDX-License-Identifier: Apache-2.0 */
/* Training of networks with gates, joins and fixed maps: the loss falls, threads change no bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "net/training.h"
#include "support.h"
#include "support_device.h"
#include "support_network.h"

enum { SAMPLES = 60, CLASSES = 4, SIDE = 8, SIZE = 2 * SIDE * SIDE };

/* A fixed normalisation, squeeze and excite, an inverted residual, SiLU. */
static const char mobile[] =
    "norm BatchNormalization input epsilon=0;a Conv norm o=6 k=3 s=2 p=1;an BatchNormalization a;ar "
    "HardSwish an;"
    "q GlobalAveragePool ar;q1 Conv q o=3;q2 Relu q1;q3 Conv q2 o=6;q4 HardSigmoid q3;se Mul ar,q4;"
    "b Conv se o=12;bn BatchNormalization b;br Clip bn min=0 max=6;d Conv br o=12 k=3 p=1 g=12;"
    "dn BatchNormalization d;s Sigmoid dn;ds Mul dn,s;e Conv ds o=6;en BatchNormalization e;x Add en,se;"
    "p GlobalAveragePool x;drop Dropout p ratio=0.1;v Reshape drop shape=6,1,1;head Gemm v o=4";
/* Without statistics of batches: sub-batches, several at a time. Every join is broadcast. */
static const char plain[] =
    "norm BatchNormalization input epsilon=0;a Conv norm o=6 k=3 s=2 p=1;ar LeakyRelu a;q GlobalAveragePool "
    "ar;"
    "q1 Conv q o=6;q2 Sigmoid q1;se Mul ar,q2;m Conv se o=1;mc Sub se,m;pad Pad mc pads=1,1,0,0 value=0.1;"
    "b Conv pad o=8 k=3;br Clip b min=-0.5 max=6;row AveragePool br k=1,3;rs Sigmoid row;t Div br,rs;u Add "
    "t,row;"
    "v Reshape u shape=24,3,1;f Flatten v;head Gemm f o=4";
/* Smooth activations, and slopes that are learnt. */
static const char smooth[] =
    "norm BatchNormalization input epsilon=0;a Conv norm o=6 k=3 s=2 p=1;ar PRelu a;b Conv ar o=8 k=3;bg "
    "Gelu b;"
    "c Conv bg o=8;ce Elu c;d Conv ce o=8;ds Softplus d;e Conv ds o=8;et Tanh e;g GeluTanh et;h HardTanh g;"
    "q PRelu h o=1;f Flatten q;head Gemm f o=4";
static const char *const networks[] = {mobile, plain, smooth};
enum { NETWORKS = sizeof networks / sizeof *networks };

static struct df_network *network_at(int i)
{
    struct df_network *network = test_graph((struct df_shape){2, SIDE, SIDE}, CLASSES, networks[i]);
    /* As if it had been trained a little: unit statistics, small biases. */
    float *map[DF_PARAMETER_KINDS];
    for (int k = 0; k < DF_PARAMETER_KINDS; k++)
        map[k] = network->nodes[0].parameter[k].data;
    for (int c = 0; c < 2; c++) {
        map[DF_WEIGHT][c] = 1.0f;
        map[DF_BIAS][c] = 0.0f;
        map[DF_MEAN][c] = 0.5f;
        map[DF_VARIANCE][c] = 0.09f;
    }
    return network;
}

struct data {
    struct df_training_row rows[SAMPLES];
    float x[SAMPLES * SIZE];
};

/* Noise around one prototype a class. */
static void data_fill(struct data *data)
{
    float prototypes[CLASSES * SIZE];
    test_fill_floats(prototypes, CLASSES * SIZE, 100, 0.0, 1.0);
    test_fill_floats(data->x, SAMPLES * SIZE, 101, -0.3, 0.3);
    for (int32_t i = 0; i < SAMPLES; i++) {
        data->rows[i] = (struct df_training_row){.index = i, .label = i % CLASSES, .weight = 1.0f};
        for (int j = 0; j < SIZE; j++)
            data->x[i * SIZE + j] += prototypes[i % CLASSES * SIZE + j];
    }
}

static void train(struct df_device *device, struct df_network *network, int32_t epochs, bool keep,
                  struct df_training_result *result)
{
    static struct data data;
    struct dfal_context_options defaults;
    struct dfal_context *context;
    struct df_training_options options;
    data_fill(&data);
    struct df_training_set set = {.count = SAMPLES, .size = SIZE, .rows = data.rows, .x = data.x};
    dfal_context_options_init(&defaults);
    test_ok(dfal_context_create(&context, &defaults));
    df_training_options_init(&options);
    options.epochs = epochs;
    options.batch = 20;
    options.learning_rate = 1e-2;
    options.keep_initial = keep;
    test_ok(df_train(context, device, network, &set, &options, NULL, NULL, NULL, result));
    dfal_context_destroy(context);
}

static void test_learns(void **state)
{
    for (int i = 0; i < NETWORKS; i++) {
        struct df_network *network = network_at(i), *start;
        struct df_training_result first, last;
        test_ok(df_network_copy(&start, network));
        train(*state, start, 1, false, &first);
        train(*state, network, 30, false, &last);
        if (!(first.loss > 0.7 && last.loss < 0.3 * first.loss))
            test_fail("network %d: the loss went from %g to %g", i, first.loss, last.loss);
        /* The normalisation is as it was given, also behind the drawing of initial weights. */
        struct df_network *given = network_at(i);
        for (int k = 0; k < DF_PARAMETER_KINDS; k++)
            test_same_floats("fixed", network->nodes[0].parameter[k].data, given->nodes[0].parameter[k].data,
                             2);
        df_network_destroy(given);
        df_network_destroy(start);
        df_network_destroy(network);
    }
}

static void test_queues(void **state)
{
    (void)state;
    for (int i = 0; i < NETWORKS; i++) {
        struct df_network *first = NULL;
        for (int32_t queues = 1; queues <= 2; queues++) {
            struct df_network *network = network_at(i);
            struct df_training_result result;
            struct df_device *device = test_device_open(test_backend(), queues);
            assert_non_null(device);
            train(device, network, 3, true, &result);
            df_device_close(device);
            for (int32_t n = 0; first && n < network->node_count; n++)
                for (int k = 0; k < DF_PARAMETER_KINDS; k++)
                    if (network->nodes[n].parameter[k].data)
                        test_same_floats(network->nodes[n].name, network->nodes[n].parameter[k].data,
                                         first->nodes[n].parameter[k].data,
                                         network->nodes[n].parameter[k].count);
            if (first)
                df_network_destroy(network);
            else
                first = network;
        }
        df_network_destroy(first);
    }
}

/* Of 21 rows in steps of 20 the last step has one value a channel behind a dense layer: what is learnt of the
 * statistics is what 20 values tell, however often it comes. Steps of one row are refused, but not where a
 * channel has a plane of values. */
static void test_one_value(void **state)
{
    static struct data data;
    struct df_training_options options;
    struct df_training_result result;
    struct dfal_context *context;
    struct df_network *network = test_graph((struct df_shape){2, SIDE, SIDE}, CLASSES,
                                            "f Flatten input;h Gemm f o=6;n BatchNormalization h;r Relu n;"
                                            "head Gemm r o=4");
    struct df_network *planes =
        test_graph((struct df_shape){2, SIDE, SIDE}, CLASSES,
                   "h Conv input o=2 k=3;n BatchNormalization h;f Flatten n;head Gemm f "
                   "o=4");
    data_fill(&data);
    for (int32_t i = 0; i < SAMPLES * SIZE; i++)
        data.x[i] *= 10; /* the channels' variance is some hundreds, and they keep it: the rate is tiny */
    struct df_training_set set = {.count = 21, .size = SIZE, .rows = data.rows, .x = data.x};
    test_ok(dfal_context_create(&context, NULL));
    df_training_options_init(&options);
    options.epochs = 60;
    options.batch = 20;
    options.learning_rate = 1e-12;
    test_ok(df_train(context, *state, network, &set, &options, NULL, NULL, NULL, &result));
    const float *learnt = network->nodes[2].parameter[DF_VARIANCE].data;
    for (int c = 0; c < 6; c++) { /* of all 21 rows, in double */
        const float *weight = network->nodes[1].parameter[DF_WEIGHT].data + (size_t)c * SIZE;
        double sum = 0, squares = 0;
        for (int i = 0; i < 21; i++) {
            double value = 0;
            for (int j = 0; j < SIZE; j++)
                value += (double)weight[j] * (double)data.x[i * SIZE + j];
            sum += value;
            squares += value * value;
        }
        const double variance = (squares - sum * sum / 21) / 20;
        if (fabs((double)learnt[c] / variance - 1) > 0.15)
            test_fail("channel %d: the running variance is %g, that of the rows %g", c, (double)learnt[c],
                      variance);
    }
    options.batch = 1;
    test_error(df_train(context, *state, network, &set, &options, NULL, NULL, NULL, &result), DFAL_E_SHAPE,
               "Node 'n' normalises by the values of a step, which has one a channel");
    options.epochs = 1;
    test_ok(df_train(context, *state, planes, &set, &options, NULL, NULL, NULL, &result));
    dfal_context_destroy(context);
    df_network_destroy(planes);
    df_network_destroy(network);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_learns), cmocka_unit_test(test_queues),
                                       cmocka_unit_test(test_one_value)};
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
