/* SPDX-License-Identifier: Apache-2.0 */
/* Training: exact small cases, the same bits for any number of queues, restarts, early stopping,
 * resumption. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "net/training.h"
#include "support.h"
#include "support_device.h"
#include "support_network.h"

/* ---- Data ----------------------------------------------------------------------------------- */

struct data {
    struct df_training_set set;
    struct df_training_row *rows;
    float *x;
};

/* Rows of noise around one prototype a class: learnable, not trivially. */
static void data_create(struct data *data, int64_t count, struct df_shape shape, int32_t classes,
                        double noise)
{
    int64_t size = df_shape_size(shape);
    float *prototypes;
    test_ok(df_alloc(&prototypes, classes * size, sizeof(float)));
    test_ok(df_alloc(&data->x, count * size, sizeof(float)));
    test_ok(df_alloc(&data->rows, count, sizeof *data->rows));
    test_fill_floats(prototypes, classes * size, 100, 0.0, 1.0);
    test_fill_floats(data->x, count * size, 101, -noise, noise);
    for (int64_t i = 0; i < count; i++) {
        int32_t label = (int32_t)(i % classes);
        data->rows[i] = (struct df_training_row){.index = i, .label = label, .weight = 1.0f};
        for (int64_t j = 0; j < size; j++)
            data->x[i * size + j] += prototypes[label * size + j];
    }
    data->set = (struct df_training_set){.count = count, .size = size, .rows = data->rows, .x = data->x};
    df_free(prototypes);
}

static void data_clear(struct data *data)
{
    df_free(data->rows);
    df_free(data->x);
}

static struct dfal_context *context_create(void)
{
    struct dfal_context_options options;
    struct dfal_context *context;
    dfal_context_options_init(&options);
    test_ok(dfal_context_create(&context, &options));
    return context;
}

/* All parameters in graph order. */
static float *flat(const struct df_network *network)
{
    float *values;
    int64_t at = 0;
    test_ok(df_alloc(&values, df_network_parameter_count(network), sizeof *values));
    for (int32_t i = 0; i < network->node_count; i++)
        for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
            const struct df_parameter *p = &network->nodes[i].parameter[k];
            if (p->data)
                memcpy(values + at, p->data, (size_t)p->count * sizeof *values);
            at += p->data ? p->count : 0;
        }
    return values;
}

static void assert_same_network(const char *what, const struct df_network *found,
                                const struct df_network *expected)
{
    float *a = flat(found), *b = flat(expected);
    test_same_floats(what, a, b, df_network_parameter_count(expected));
    df_free(a);
    df_free(b);
}

/* ---- Exact ---------------------------------------------------------------------------------- */

/* One Gemm of 2 inputs and 2 classes, weights zero: softmax is 1/2 each, so the gradient is known. */
static struct df_network *linear(void)
{
    struct df_network *n;
    test_ok(df_network_create(&n, (struct df_shape){2, 1, 1}, 2));
    test_ok(df_network_add(n, NULL, "fc", DF_NODE_GEMM, (int32_t[]){DF_INPUT}, 1));
    n->nodes[0].parameter[DF_WEIGHT].dims[0] = 2;
    test_ok(df_network_infer(n));
    return n;
}

static void test_sgd_exact(void **state)
{
    struct dfal_context *context = context_create();
    struct df_network *n = linear();
    struct df_training_options options;
    struct df_training_result result;
    const float x[] = {1, 0, 0, 2, 4, 0};
    struct df_training_row rows[] = {
        {.label = 0, .weight = 1}, {.label = 1, .weight = 1}, {.label = 1, .weight = 0.5f}};
    struct df_training_set set = {.count = 3, .size = 2, .rows = rows, .x = x};
    df_training_options_init(&options);
    options.epochs = 1;
    options.sgd = options.keep_initial = true;
    options.learning_rate = 3.0;
    test_ok(df_train(context, *state, n, &set, &options, NULL, NULL, NULL, &result));
    /* dlogits = w (1/2 - onehot) / 3: (-1/6, 1/6), (1/6, -1/6), (1/12, -1/12); W -= 3 sum dlogits x. */
    const float weight[] = {0.5f - 1.0f, -1.0f, -0.5f + 1.0f, 1.0f}, bias[] = {-0.25f, 0.25f};
    test_near("weight", n->nodes[0].parameter[DF_WEIGHT].data, weight, 4, 1e-6);
    test_near("bias", n->nodes[0].parameter[DF_BIAS].data, bias, 2, 1e-6);
    assert_true(fabs(result.loss - 2.5 * log(2.0) / 3.0) < 1e-6);
    assert_true(isnan(result.validation_loss) && result.epochs == 1 && result.restart == 0);
    df_network_destroy(n);
    dfal_context_destroy(context);
}

/* Adam against the same recurrence in double: two rows, five steps of one batch. */
static void test_adam_exact(void **state)
{
    struct dfal_context *context = context_create();
    struct df_network *n = linear();
    struct df_training_options options;
    struct df_training_result result;
    const float x[] = {1, 2, -1, 3};
    struct df_training_row rows[] = {{.label = 0, .weight = 1}, {.label = 1, .weight = 1}};
    struct df_training_set set = {.count = 2, .size = 2, .rows = rows, .x = x};
    df_training_options_init(&options);
    options.epochs = 5;
    options.keep_initial = true;
    options.learning_rate = 0.1;
    test_ok(df_train(context, *state, n, &set, &options, NULL, NULL, NULL, &result));
    double w[6] = {0}, m[6] = {0}, v[6] = {0}; /* weights, then biases */
    for (int t = 1; t <= 5; t++) {
        double g[6] = {0};
        for (int r = 0; r < 2; r++) {
            double f0 = w[0] * (double)x[2 * r] + w[1] * (double)x[2 * r + 1] + w[4];
            double f1 = w[2] * (double)x[2 * r] + w[3] * (double)x[2 * r + 1] + w[5];
            double p1 = 1.0 / (1.0 + exp(f0 - f1)),
                   d[2] = {0.5 * (1.0 - p1 - (r == 0)), 0.5 * (p1 - (r == 1))};
            for (int k = 0; k < 2; k++) {
                g[2 * k] += d[k] * (double)x[2 * r];
                g[2 * k + 1] += d[k] * (double)x[2 * r + 1];
                g[4 + k] += d[k];
            }
        }
        for (int i = 0; i < 6; i++) {
            m[i] = 0.9 * m[i] + 0.1 * g[i];
            v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
            w[i] -= 0.1 * sqrt(1.0 - pow(0.999, t)) / (1.0 - pow(0.9, t)) * m[i] / (sqrt(v[i]) + 1e-7);
        }
    }
    for (int i = 0; i < 4; i++)
        assert_true(fabs((double)n->nodes[0].parameter[DF_WEIGHT].data[i] - w[i]) < 2e-5);
    for (int i = 0; i < 2; i++)
        assert_true(fabs((double)n->nodes[0].parameter[DF_BIAS].data[i] - w[4 + i]) < 2e-5);
    df_network_destroy(n);
    dfal_context_destroy(context);
}

/* A batch longer than the parts held at once, cut into many sub-batches, gives the gradient of the whole. */
static void test_long_batch(void **state)
{
    enum { N = 203 };
    struct dfal_context *context = context_create();
    struct df_network *n = linear();
    struct df_training_options options;
    struct df_training_result result;
    float x[2 * N];
    struct df_training_row rows[N];
    double expected[2] = {0};
    for (int i = 0; i < N; i++) {
        x[2 * i] = (float)(i % 17);
        x[2 * i + 1] = (float)(i % 5 - 2);
        rows[i] = (struct df_training_row){.label = i % 3 == 0, .weight = 1};
        double d0 = (i % 3 == 0 ? 0.5 : -0.5) / N;
        expected[0] -= 4.0 * d0 * (double)x[2 * i];
        expected[1] -= 4.0 * d0 * (double)x[2 * i + 1];
    }
    struct df_training_set set = {.count = N, .size = 2, .rows = rows, .x = x};
    df_training_options_init(&options);
    options.epochs = 1;
    options.batch = N;
    options.sgd = options.keep_initial = true;
    options.learning_rate = 4.0;
    test_ok(df_train(context, *state, n, &set, &options, NULL, NULL, NULL, &result));
    for (int i = 0; i < 2; i++) {
        assert_true(fabs((double)n->nodes[0].parameter[DF_WEIGHT].data[i] - expected[i]) < 1e-4);
        assert_true(fabs((double)n->nodes[0].parameter[DF_WEIGHT].data[2 + i] + expected[i]) < 1e-4);
    }
    df_network_destroy(n);
    dfal_context_destroy(context);
}

/* ---- Runs ----------------------------------------------------------------------------------- */

/* An epoch that df_train told of. */
struct past {
    int32_t restart, epochs, waited;
    double lowest, loss, validation_loss;
};

struct history {
    struct past past[64];
    int32_t count;
    int32_t copy_at;               /* of which call to copy the state; -1: none */
    int32_t copy_restart;          /* or of which restart's third epoch, with copy_at -1; -1: none */
    struct df_training_state copy; /* arrays of its own */
    int32_t stop_at;               /* which call asks the context to stop; -1: none */
    struct dfal_context *context;
};
static const struct history plain = {.copy_at = -1, .copy_restart = -1, .stop_at = -1};

static void copy_values(float **to, const float *from, int64_t count)
{
    if (!from)
        return;
    test_ok(df_alloc(to, count, sizeof **to));
    memcpy(*to, from, (size_t)count * sizeof **to);
}

static void copy_state(struct df_training_state *to, const struct df_training_state *from)
{
    test_ok(df_training_state_create(to, from->count, from->size));
    to->best = from->best;
    copy_values(&to->best_parameters, from->best_parameters, from->size);
    for (int32_t r = 0; r < from->count; r++) {
        struct df_restart_state *restart = &to->restarts[r];
        *restart = from->restarts[r];
        restart->parameters = restart->m = restart->v = NULL;
        copy_values(&restart->parameters, from->restarts[r].parameters, from->size);
        copy_values(&restart->m, from->restarts[r].m, from->size);
        copy_values(&restart->v, from->restarts[r].v, from->size);
    }
}

static dfal_status remember(void *user, const struct df_training_state *state, int32_t index)
{
    struct history *history = user;
    const struct df_restart_state *restart = &state->restarts[index];
    if (history->count == history->copy_at || (index == history->copy_restart && restart->epochs == 3))
        copy_state(&history->copy, state);
    if (history->count == history->stop_at)
        dfal_context_stop(history->context);
    assert_true(history->count < 64);
    history->past[history->count++] = (struct past){
        index, restart->epochs, restart->waited, restart->lowest, restart->loss, restart->validation_loss};
    return DFAL_OK;
}

/* Restarts may be told of in any order. */
static const struct past *past_of(const struct history *history, int32_t restart, int32_t epochs)
{
    for (int32_t i = 0; i < history->count; i++)
        if (history->past[i].restart == restart && history->past[i].epochs == epochs)
            return &history->past[i];
    test_fail("nobody was told of epoch %d of restart %d", epochs, restart);
    return NULL;
}

static void train(struct df_device *device, struct df_network *network, const struct data *data,
                  const struct df_training_options *options, const struct df_training_state *resume,
                  struct history *history, struct df_training_result *result)
{
    struct dfal_context *context = context_create();
    struct df_training_state state = {0};
    if (resume)
        copy_state(&state, resume);
    history->count = 0;
    test_ok(df_train(context, device, network, &data->set, options, &state, remember, history, result));
    df_training_state_clear(&state);
    dfal_context_destroy(context);
}

static void test_learns(void **state)
{
    struct df_network *networks[] = {test_chain(), test_residual()};
    for (int i = 0; i < 2; i++) {
        struct data data;
        struct df_training_options options;
        struct df_training_result result;
        struct history history = plain;
        data_create(&data, 60, networks[i]->input, networks[i]->class_count, 0.3);
        df_training_options_init(&options);
        options.epochs = 40;
        options.batch = 13;
        options.validation = 0.2;
        options.learning_rate = 5e-3;
        train(*state, networks[i], &data, &options, NULL, &history, &result);
        assert_int_equal(history.count, 40);
        if (!(history.past[0].loss > 0.8 && result.loss < 0.5 * history.past[0].loss &&
              result.validation_loss < 0.5 * history.past[0].validation_loss))
            test_fail("the loss went from %g to %g, the validation loss from %g to %g", history.past[0].loss,
                      result.loss, history.past[0].validation_loss, result.validation_loss);
        data_clear(&data);
        df_network_destroy(networks[i]);
    }
}

static void test_queues(void **state)
{
    (void)state;
    for (int residual = 0; residual < 2; residual++) {
        struct df_network *first = NULL;
        struct data data;
        double loss = 0.0;
        for (int32_t queues = 1; queues <= 3; queues++) {
            struct df_network *network = residual ? test_residual() : test_chain();
            struct df_training_options options;
            struct df_training_result result;
            struct history history = plain;
            struct df_device *device = test_device_open(test_backend(), queues);
            assert_non_null(device);
            if (queues == 1)
                data_create(&data, 70, network->input, network->class_count, 0.3);
            df_training_options_init(&options);
            options.epochs = 2;
            options.validation = 0.25;
            train(device, network, &data, &options, NULL, &history, &result);
            df_device_close(device);
            if (!first) {
                first = network;
                loss = result.validation_loss;
                continue;
            }
            assert_same_network("parameters", network, first);
            assert_true(result.validation_loss == loss);
            df_network_destroy(network);
        }
        df_network_destroy(first);
        data_clear(&data);
    }
}

/* Five restarts: the kept one has the lowest validation loss, and its last weights are those of training it
 * alone. */
static void test_restarts(void **state)
{
    struct df_network *network = test_chain();
    struct data data;
    struct df_training_options options;
    struct df_training_result result;
    struct history history = plain;
    data_create(&data, 40, network->input, network->class_count, 0.5);
    df_training_options_init(&options);
    options.epochs = 3;
    options.restarts = 5;
    options.validation = 0.2;
    train(*state, network, &data, &options, NULL, &history, &result);
    assert_int_equal(history.count, 15);
    int32_t best = 0;
    for (int32_t r = 0; r < 5; r++) {
        if (past_of(&history, r, 3)->validation_loss < past_of(&history, best, 3)->validation_loss)
            best = r;
        for (int32_t s = 0; s < r; s++)
            assert_true(past_of(&history, r, 1)->loss != past_of(&history, s, 1)->loss);
    }
    assert_int_equal(result.restart, best);
    assert_true(result.validation_loss == past_of(&history, best, 3)->validation_loss);
    assert_true(result.loss == past_of(&history, best, 3)->loss);
    /* The network holds exactly that restart's last weights. */
    struct df_network *again = test_chain();
    history.copy_restart = best;
    train(*state, again, &data, &options, NULL, &history, &result);
    assert_same_network("parameters", again, network);
    float *values = flat(network);
    test_same_floats("kept restart", values, history.copy.restarts[best].parameters, history.copy.size);
    df_free(values);
    df_training_state_clear(&history.copy);
    df_network_destroy(again);
    df_network_destroy(network);
    data_clear(&data);
}

/* A restart is what it is alone: its seed, its split, its weights, whatever runs beside it. */
static void test_restarts_are_independent(void **state)
{
    struct df_network *network = test_chain(), *alone = test_chain();
    struct data data;
    struct df_training_options options;
    struct df_training_result result, single;
    struct history history = plain;
    data_create(&data, 40, network->input, network->class_count, 0.5);
    df_training_options_init(&options);
    options.epochs = 3;
    options.validation = 0.2;
    train(*state, alone, &data, &options, NULL, &history, &single);
    history.copy_restart = 0;
    options.restarts = 5;
    train(*state, network, &data, &options, NULL, &history, &result);
    float *values = flat(alone);
    test_same_floats("restart 0", history.copy.restarts[0].parameters, values, history.copy.size);
    df_free(values);
    df_training_state_clear(&history.copy);
    df_network_destroy(alone);
    df_network_destroy(network);
    data_clear(&data);
}

/* A back end's table with a counter in it, and the same without recordings. */
static const struct df_backend *recording_backend;
static atomic_llong recorded_runs;

static dfal_status count_run(struct df_device *device, int32_t queue, struct df_recording *recording)
{
    atomic_fetch_add(&recorded_runs, 1);
    return recording_backend->record_run(device, queue, recording);
}

static void train_with(struct df_device *device, const struct df_backend *table, struct df_network *network,
                       struct df_training_result *result)
{
    struct data data;
    struct df_training_options options;
    struct history history = plain;
    data_create(&data, 70, network->input, network->class_count, 0.5);
    df_training_options_init(&options);
    options.epochs = 3;
    options.batch = 16; /* both parts end with a batch of another size */
    options.restarts = 2;
    options.validation = 0.3;
    device->backend = table;
    train(device, network, &data, &options, NULL, &history, result);
    device->backend = recording_backend;
    data_clear(&data);
}

/* A recording that does not come about. */
static dfal_status fail_recording(struct df_device *device, int32_t queue, struct df_recording **out)
{
    DF_TRY(recording_backend->record_end(device, queue, out));
    recording_backend->record_destroy(device, *out);
    *out = NULL;
    DF_FAIL(DFAL_E_UNAVAILABLE, "the graph was not made");
}

/* Recorded steps are the steps: the same bits, and far fewer calls. Where they cannot be recorded they are
 * run. */
static void test_recordings(void **state)
{
    struct df_device *device = *state;
    recording_backend = device->backend;
    if (!recording_backend->record_begin)
        skip();
    for (int residual = 0; residual < 2; residual++) {
        struct df_network *networks[2];
        struct df_training_result results[2];
        for (int recorded = 0; recorded < 2; recorded++) {
            struct df_backend table = *recording_backend;
            table.record_run = count_run;
            if (!recorded)
                table.record_begin = NULL;
            networks[recorded] = residual ? test_residual() : test_chain();
            atomic_store(&recorded_runs, 0);
            train_with(device, &table, networks[recorded], &results[recorded]);
            /* 4 steps and 2 evaluations an epoch; the first of each size is not recorded. Two restarts may
             * share a queue. */
            assert_int_equal(atomic_load(&recorded_runs) > 0, recorded);
        }
        assert_true(atomic_load(&recorded_runs) >= 2 * (3 * (4 + 2) - 2 * 4));
        assert_same_network("parameters", networks[1], networks[0]);
        assert_true(results[1].validation_loss == results[0].validation_loss);
        df_network_destroy(networks[1]);
        struct df_backend failing = *recording_backend;
        failing.record_end = fail_recording;
        networks[1] = residual ? test_residual() : test_chain();
        train_with(device, &failing, networks[1], &results[1]);
        assert_same_network("without recordings", networks[1], networks[0]);
        df_network_destroy(networks[0]);
        df_network_destroy(networks[1]);
    }
}

/* Labels without meaning: the validation loss soon rises, and training ends `patience` epochs after its
 * lowest. */
static void test_early_stop(void **state)
{
    struct df_network *network = test_chain();
    struct data data;
    struct df_training_options options;
    struct df_training_result result;
    struct history history = plain;
    data_create(&data, 40, network->input, network->class_count, 1.0);
    for (int64_t i = 0; i < 40; i++)
        data.rows[i].label = (int32_t)(df_random_bits(5, DF_STREAM_RANDOM, (uint64_t)i) % 4);
    df_training_options_init(&options);
    options.epochs = 60;
    options.patience = 3;
    options.validation = 0.3;
    options.learning_rate = 1e-2;
    train(*state, network, &data, &options, NULL, &history, &result);
    assert_true(history.count < 60 && history.count == result.epochs);
    int32_t best = 0;
    for (int32_t e = 1; e < history.count; e++)
        if (history.past[e].validation_loss < history.past[best].validation_loss)
            best = e;
    assert_int_equal(history.count, best + 1 + 3);
    assert_int_equal(history.past[history.count - 1].waited, 3);
    assert_true(history.past[history.count - 1].lowest == history.past[best].validation_loss);
    assert_true(result.validation_loss == history.past[history.count - 1].validation_loss);
    data_clear(&data);
    df_network_destroy(network);
}

/* From any epoch's state on, the end is the same bits; batch-norm's statistics included. */
static void test_resume(void **state)
{
    for (int32_t at = 0; at < 6; at++) {
        struct df_network *whole = at % 2 ? test_residual() : test_chain(), *rest;
        struct data data;
        struct df_training_options options;
        struct df_training_result result, resumed;
        struct history history = plain, later = plain;
        history.copy_at = at;
        test_ok(df_network_copy(&rest, whole));
        data_create(&data, 30, whole->input, whole->class_count, 0.5);
        df_training_options_init(&options);
        options.epochs = 3;
        options.restarts = 2;
        options.validation = 0.2;
        options.batch = 9;
        options.augment.shift = at / 2; /* the epoch's number draws, too */
        train(*state, whole, &data, &options, NULL, &history, &result);
        train(*state, rest, &data, &options, &history.copy, &later, &resumed);
        int32_t done = 0;
        for (int32_t r = 0; r < 2; r++)
            done += history.copy.restarts[r].epochs;
        assert_int_equal(done, at + 1);
        assert_int_equal(later.count, history.count - done);
        assert_same_network("parameters", rest, whole);
        assert_true(resumed.loss == result.loss && resumed.validation_loss == result.validation_loss);
        assert_int_equal(resumed.restart, result.restart);
        assert_int_equal(resumed.epochs, result.epochs);
        history.copy.size++;
        struct dfal_context *context = context_create();
        test_error(df_train(context, *state, rest, &data.set, &options, &history.copy, NULL, NULL, &result),
                   DFAL_E_CONFIG, "state");
        dfal_context_destroy(context);
        df_training_state_clear(&history.copy);
        data_clear(&data);
        df_network_destroy(whole);
        df_network_destroy(rest);
    }
}

static void test_stop(void **state)
{
    struct df_network *network = test_chain();
    struct dfal_context *context = context_create();
    struct data data;
    struct df_training_options options;
    struct df_training_result result;
    struct history history = plain;
    struct df_training_state stopped = {0};
    history.stop_at = 1;
    history.context = context;
    float *before = flat(network);
    data_create(&data, 20, network->input, network->class_count, 0.5);
    df_training_options_init(&options);
    test_error(df_train(context, *state, network, &data.set, &options, &stopped, remember, &history, &result),
               DFAL_E_STOPPED, "");
    assert_int_equal(history.count, 2);
    assert_int_equal(stopped.restarts[0].epochs, 2);
    df_training_state_clear(&stopped);
    float *after = flat(network);
    test_same_floats("an interrupted training's network", after, before, df_network_parameter_count(network));
    df_free(before);
    df_free(after);
    data_clear(&data);
    df_network_destroy(network);
    dfal_context_destroy(context);
}

static void test_no_epochs(void **state)
{
    struct df_network *network = test_chain(), *expected = test_chain();
    struct data data;
    struct df_training_options options;
    struct df_training_result result;
    struct history history = plain;
    data_create(&data, 5, network->input, network->class_count, 0.5);
    df_training_options_init(&options);
    options.epochs = 0;
    options.seed = 9;
    train(*state, network, &data, &options, NULL, &history, &result);
    test_ok(df_network_initialise(expected, df_random_child(9, DF_STREAM_RESTART, 0)));
    assert_same_network("initial weights", network, expected);
    assert_true(result.epochs == 0 && isnan(result.loss));
    options.keep_initial = true;
    df_network_destroy(expected);
    expected = test_chain();
    df_network_destroy(network);
    network = test_chain();
    train(*state, network, &data, &options, NULL, &history, &result);
    assert_same_network("kept weights", network, expected);
    data_clear(&data);
    df_network_destroy(network);
    df_network_destroy(expected);
}

static void test_bad_input(void **state)
{
    struct df_network *network = test_chain();
    struct dfal_context *context = context_create();
    struct data data;
    struct df_training_options options;
    struct df_training_result result;
    data_create(&data, 20, network->input, network->class_count, 0.5);
    df_training_options_init(&options);
    options.epochs = 2;
    options.batch = 6;
#define TRAIN() df_train(context, *state, network, &data.set, &options, NULL, NULL, NULL, &result)
    data.rows[3].label = 4;
    test_error(TRAIN(), DFAL_E_DATA, "row 3 has the label 4, expected 0 to 3");
    data.rows[3].label = -1;
    test_error(TRAIN(), DFAL_E_DATA, "label -1");
    data.rows[3].label = 3;
    data.set.size--;
    test_error(TRAIN(), DFAL_E_SHAPE, "127 values");
    data.set.size++;
    data.set.count = 0;
    test_error(TRAIN(), DFAL_E_DATA, "no labelled rows");
    data.set.count = 20;
    options.validation = 1.0;
    test_error(TRAIN(), DFAL_E_USAGE, "fraction is 1");
    options.validation = 0.0;
    options.learning_rate = -1.0;
    test_error(TRAIN(), DFAL_E_USAGE, "learning rate is -1");
    options.learning_rate = 1e30;
    test_error(TRAIN(), DFAL_E_DATA, "in step 2 of epoch 1 ");
    options.restarts = 4; /* the first to fail, whichever runs beside it */
    test_error(TRAIN(), DFAL_E_DATA, "in step 2 of epoch 1 (restart 1)");
    options.restarts = 1;
    options.batch = 20; /* one step an epoch: the next thing looked at is the validation loss */
    options.validation = 0.2;
    test_error(TRAIN(), DFAL_E_DATA, "validation loss is");
    options.validation = 0.0;
    options.learning_rate = 1e-3;
    test_ok(TRAIN());
#undef TRAIN
    data_clear(&data);
    df_network_destroy(network);
    dfal_context_destroy(context);
}

/* A few steps on this back end and in double stay close: only rounding parts them. */
static void test_against_double(void **state)
{
    struct df_device *oracle = test_device_open("ref64", 2);
    for (int residual = 0; residual < 2; residual++) {
        struct df_network *a = residual ? test_residual() : test_chain(),
                          *b = residual ? test_residual() : test_chain();
        struct data data;
        struct df_training_options options;
        struct df_training_result result;
        struct history history = plain;
        data_create(&data, 40, a->input, a->class_count, 0.5);
        df_training_options_init(&options);
        options.epochs = 2;
        options.batch = 10;
        options.sgd = true; /* Adam's quotient turns the rounding of a gradient near zero into a whole step */
        options.learning_rate = 0.05;
        train(*state, a, &data, &options, NULL, &history, &result);
        train(oracle, b, &data, &options, NULL, &history, &result);
        float *found = flat(a), *expected = flat(b);
        test_near("parameters", found, expected, df_network_parameter_count(a), 2e-5);
        df_free(found);
        df_free(expected);
        data_clear(&data);
        df_network_destroy(a);
        df_network_destroy(b);
    }
    df_device_close(oracle);
}

/* Every allocation may fail: an error, no leak, and the network as it was. */
static void test_allocations(void **state)
{
    (void)state;
    struct df_network *network = test_chain();
    struct data data;
    struct df_training_options options;
    struct df_training_result result;
    float *before = flat(network);
    data_create(&data, 12, network->input, network->class_count, 0.5);
    df_training_options_init(&options);
    options.epochs = 1;
    options.validation = 0.3;
    int64_t live = df_alloc_live(), failed = 0;
    for (int64_t n = 1;; n++) {
        struct dfal_context *context = context_create();
        struct df_device *device = test_device_open(test_backend(), 2);
        df_fault_arm(DF_FAULT_ALLOC, n);
        dfal_status status =
            df_train(context, device, network, &data.set, &options, NULL, NULL, NULL, &result);
        df_fault_arm(DF_FAULT_ALLOC, 0);
        df_device_close(device);
        dfal_context_destroy(context);
        assert_int_equal(df_alloc_live(), live);
        if (status == DFAL_OK)
            break;
        assert_int_equal(status, DFAL_E_MEMORY);
        float *after = flat(network);
        test_same_floats("network", after, before, df_network_parameter_count(network));
        df_free(after);
        failed++;
    }
    assert_true(failed > 50);
    df_free(before);
    data_clear(&data);
    df_network_destroy(network);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sgd_exact),
        cmocka_unit_test(test_adam_exact),
        cmocka_unit_test(test_long_batch),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_queues),
        cmocka_unit_test(test_restarts),
        cmocka_unit_test(test_restarts_are_independent),
        cmocka_unit_test(test_recordings),
        cmocka_unit_test(test_early_stop),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_no_epochs),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_against_double),
        cmocka_unit_test(test_allocations),
    };
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
