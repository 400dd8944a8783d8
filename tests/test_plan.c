/* SPDX-License-Identifier: Apache-2.0 */
/* Plans and tapes: values, gradients against finite differences in double, folding, the same bits in any company. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "net/plan.h"
#include "support.h"
#include "support_device.h"
#include "support_network.h"

static const struct df_shape mnist = {1, 28, 28};

static float *random_floats(int64_t count, uint64_t seed)
{
    float *values;
    test_ok(df_alloc(&values, count, sizeof *values));
    test_fill_floats(values, count, seed, -1.0, 1.0);
    return values;
}

static void read_f64(struct df_device *device, double *to, struct df_span from, int64_t count)
{
    test_ok(device->backend->synchronize(device, 0));
    test_ok(device->backend->read_f64(device, 0, to, from, count));
}

/* ---- Finite differences, ref64 -------------------------------------------------------------- */

/* L = sum of cotangent * logits over all rows; networks are piecewise linear in x, and smooth in their parameters. */
struct probe {
    struct df_device *device;
    struct df_plan *plan;
    struct df_tape *tape;
    const struct df_dropout *dropout; /* NULL: frozen */
    int64_t rows, logits;
    float *cotangents;
    double *values;
};

static void probe_begin(struct probe *p, struct df_device *device, const struct df_network *network, int uses,
                        int64_t rows)
{
    p->device = device;
    p->rows = rows;
    p->logits = rows * network->class_count;
    p->cotangents = random_floats(p->logits, 3);
    test_ok(df_alloc(&p->values, p->logits, sizeof *p->values));
    test_ok(df_plan_create(&p->plan, device, network, uses, false));
    test_ok(df_tape_create(&p->tape, p->plan, 0, rows, uses & DF_PLAN_INPUT_GRADIENT ? rows : 0));
}

static void probe_end(struct probe *p)
{
    df_tape_destroy(p->tape);
    df_plan_destroy(p->plan);
    df_free(p->cotangents);
    df_free(p->values);
}

static double probe_loss(struct probe *p)
{
    double loss = 0.0;
    if (p->dropout)
        test_ok(df_tape_forward_dropout(p->tape, p->rows, p->dropout));
    else
        test_ok(df_tape_forward(p->tape, p->rows));
    read_f64(p->device, p->values, df_tape_logits(p->tape), p->logits);
    for (int64_t i = 0; i < p->logits; i++)
        loss += (double)p->cotangents[i] * p->values[i];
    return loss;
}

/* Set one number, in the input or in the parameters. */
static void probe_set(struct probe *p, bool parameter, int64_t index, float value)
{
    struct df_span to = parameter ? df_plan_parameters(p->plan) : df_tape_input(p->tape);
    test_ok(df_write(p->device, 0, df_at(to, index), &value, 1));
    if (parameter)
        test_ok(df_plan_rebind(p->plan));
}

/* A step may cross a kink of a ReLU or a max-pool: smaller steps are tried. */
static void check_slope(struct probe *p, bool parameter, int64_t index, float at, double expected,
                        double scale)
{
    double found = NAN;
    for (int power = 11; power <= 20; power += 3) {
        float low = at - ldexpf(1.0f, -power), high = at + ldexpf(1.0f, -power);
        probe_set(p, parameter, index, high);
        double up = probe_loss(p);
        probe_set(p, parameter, index, low);
        double down = probe_loss(p);
        probe_set(p, parameter, index, at);
        found = (up - down) / ((double)high - (double)low);
        if (fabs(found - expected) <= 2e-6 * scale)
            return;
    }
    test_fail("%s %lld: the slope is %.9g, the gradient %.9g", parameter ? "parameter" : "input",
              (long long)index, found, expected);
}

static void check_input_gradient(struct df_device *device, const struct df_network *network, int64_t stride)
{
    struct probe p = {0};
    probe_begin(&p, device, network, DF_PLAN_INPUT_GRADIENT, 3);
    int64_t size = df_plan_input_size(p.plan), count = 3 * size;
    float *x = random_floats(count, 1);
    double *gradient, scale = 0.0;
    int32_t owners[3] = {0, 1, 2};
    struct df_span dinput;
    test_ok(df_alloc(&gradient, count, sizeof *gradient));
    test_ok(df_write(device, 0, df_tape_input(p.tape), x, count));
    test_ok(df_write(device, 0, df_tape_cotangents(p.tape), p.cotangents, p.logits));
    test_ok(df_write(device, 0, df_tape_owners(p.tape), owners, 3));
    probe_loss(&p);
    test_ok(df_tape_input_gradient(p.tape, 3, &dinput));
    read_f64(device, gradient, dinput, count);
    for (int64_t i = 0; i < count; i++)
        scale = fmax(scale, fabs(gradient[i]));
    assert_true(scale > 1e-3);
    for (int64_t i = 0; i < count; i += stride)
        check_slope(&p, false, i, x[i], gradient[i], scale);
    df_free(gradient);
    df_free(x);
    probe_end(&p);
}

/* Every parameter where there are few, else `samples` of each node's. */
static void check_parameter_gradient(struct df_device *device, const struct df_network *network, bool drop,
                                     int64_t samples)
{
    struct probe p = {0};
    const struct df_dropout dropout = {.seed = 4, .step = 2, .first_row = 8};
    p.dropout = drop ? &dropout : NULL;
    probe_begin(&p, device, network, DF_PLAN_TRAIN, 3);
    int64_t size = 3 * df_plan_input_size(p.plan), count = df_plan_parameter_size(p.plan), at = 0;
    float *x = random_floats(size, 1), *values;
    double *gradient;
    struct df_span dlogits = {0}, flat = {0};
    test_ok(df_alloc(&gradient, count, sizeof *gradient));
    test_ok(df_alloc(&values, count, sizeof *values));
    test_ok(df_buffer_new(device, &dlogits, DF_TYPE_REAL, p.logits));
    test_ok(df_buffer_new(device, &flat, DF_TYPE_REAL, count));
    test_ok(df_write(device, 0, dlogits, p.cotangents, p.logits));
    test_ok(df_write(device, 0, df_tape_input(p.tape), x, size));
    test_ok(df_read(device, 0, values, df_plan_parameters(p.plan), count));
    probe_loss(&p);
    test_ok(df_tape_parameter_gradient(p.tape, 3, dlogits, flat));
    read_f64(device, gradient, flat, count);
    for (int32_t n = 0; n < network->node_count; n++) {
        const struct df_parameter *blocks = network->nodes[n].parameter;
        for (int k = DF_WEIGHT; k <= DF_BIAS; k++) {
            double scale = 1e-3;
            int64_t stride = blocks[k].count / samples + 1;
            for (int64_t i = 0; blocks[k].data && i < blocks[k].count; i++)
                scale = fmax(scale, fabs(gradient[at + i]));
            for (int64_t i = 0; blocks[k].data && i < blocks[k].count; i += stride)
                check_slope(&p, true, at + i, values[at + i], gradient[at + i], scale);
            at += blocks[k].data ? blocks[k].count : 0;
        }
    }
    assert_int_equal(at, count);
    df_buffer_drop(device, &dlogits);
    df_buffer_drop(device, &flat);
    df_free(values);
    df_free(gradient);
    df_free(x);
    probe_end(&p);
}

static void test_differences(void **state)
{
    struct df_device *device = *state;
    struct df_network *lenet = test_model("lenet5", mnist, 10), *residual = test_residual(),
                      *chain = test_chain();
    check_input_gradient(device, lenet, 29);
    check_input_gradient(device, residual, 1);
    check_input_gradient(device, chain, 1);
    check_parameter_gradient(device, lenet, true, 12);
    check_parameter_gradient(device, residual, true, 40);
    check_parameter_gradient(device, chain, false, 40);
    check_parameter_gradient(device, chain, true, 40);
    df_network_destroy(lenet);
    df_network_destroy(residual);
    df_network_destroy(chain);
}

/* The last cotangents are the caller's memory and one value has many consumers: out = relu(a) + a with a = x + x. */
static void test_shared_cotangent(void **state)
{
    struct df_device *device = *state;
    struct df_network *n;
    test_ok(df_network_create(&n, (struct df_shape){4, 1, 1}, 4));
    test_ok(df_network_add(n, NULL, "double", DF_NODE_ADD, (int32_t[]){DF_INPUT, DF_INPUT}, 2));
    test_ok(df_network_add(n, NULL, "relu", DF_NODE_RELU, (int32_t[]){0}, 1));
    test_ok(df_network_add(n, NULL, "sum", DF_NODE_ADD, (int32_t[]){1, 0}, 2));
    test_ok(df_network_add(n, NULL, "again", DF_NODE_ADD, (int32_t[]){2, 2}, 2));
    test_ok(df_network_infer(n));
    struct df_plan *plan;
    struct df_tape *tape;
    struct df_span dinput;
    const float x[4] = {1, -2, 3, -4}, cotangents[4] = {1, 10, 100, 1000}, logits[4] = {8, -8, 24, -16};
    const float gradient[4] = {8, 40, 800, 4000};
    const int32_t owner = 0;
    float found[4];
    test_ok(df_plan_create(&plan, device, n, DF_PLAN_INPUT_GRADIENT, true));
    test_ok(df_tape_create(&tape, plan, 0, 1, 1));
    test_ok(df_write(device, 0, df_tape_input(tape), x, 4));
    test_ok(df_write(device, 0, df_tape_cotangents(tape), cotangents, 4));
    test_ok(df_write(device, 0, df_tape_owners(tape), &owner, 1));
    test_ok(df_tape_forward(tape, 1));
    test_ok(df_read(device, 0, found, df_tape_logits(tape), 4));
    test_same_floats("logits", found, logits, 4);
    test_ok(df_tape_input_gradient(tape, 1, &dinput));
    test_ok(df_read(device, 0, found, dinput, 4));
    test_same_floats("gradient", found, gradient, 4);
    test_ok(df_read(device, 0, found, df_tape_cotangents(tape), 4));
    test_same_floats("cotangents", found, cotangents, 4);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    df_network_destroy(n);
}

/* ---- Folding -------------------------------------------------------------------------------- */

static double *logits_of(struct df_device *device, const struct df_network *network, const float *x,
                         int64_t rows, bool fold)
{
    struct df_plan *plan;
    struct df_tape *tape;
    double *logits;
    int64_t count = rows * network->class_count;
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_FORWARD, fold));
    test_ok(df_tape_create(&tape, plan, 0, rows, 0));
    test_ok(df_alloc(&logits, count, sizeof *logits));
    test_ok(df_write(device, 0, df_tape_input(tape), x, rows * df_plan_input_size(plan)));
    test_ok(df_tape_forward(tape, rows));
    read_f64(device, logits, df_tape_logits(tape), count);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    return logits;
}

static void check_fold(struct df_device *device, struct df_network *network, double tolerance)
{
    enum { ROWS = 5 };
    float *x = random_floats(ROWS * df_shape_size(network->input), 9);
    double *plain = logits_of(device, network, x, ROWS, false),
           *folded = logits_of(device, network, x, ROWS, true);
    double most = 0.0;
    for (int64_t i = 0; i < ROWS * network->class_count; i++)
        most = fmax(most, fabs(plain[i]));
    assert_true(most > 1e-3);
    for (int64_t i = 0; i < ROWS * network->class_count; i++)
        if (!(fabs(plain[i] - folded[i]) <= tolerance * most))
            test_fail("logit %lld is %.12g, folded %.12g", (long long)i, plain[i], folded[i]);
    df_free(x);
    df_free(plain);
    df_free(folded);
    df_network_destroy(network);
}

/* Parameters of a folded network are rounded to float once: a few 2^-24. */
static void test_fold_values(void **state)
{
    check_fold(*state, test_model("lenet5", mnist, 10), 3e-7);
    check_fold(*state, test_residual(), 3e-7);
    check_fold(*state, test_chain(), 0.0);
    /* Small whole numbers: the products are exact, so are the logits. */
    struct df_network *whole = test_model("lenet5", mnist, 10);
    for (int32_t i = 0; i < whole->node_count; i++)
        for (int k = DF_WEIGHT; k <= DF_BIAS; k++)
            if (whole->nodes[i].parameter[k].data)
                test_fill_whole(whole->nodes[i].parameter[k].data, whole->nodes[i].parameter[k].count,
                                (uint64_t)(2 * i + k), -1, 1);
    check_fold(*state, whole, 1e-12);
}

static void test_fold_shapes(void **state)
{
    (void)state;
    struct df_network *network = test_model("lenet5", mnist, 10), *folded;
    test_ok(df_network_fold(&folded, network));
    static const char *const names[] = {"conv1", "relu1",   "pool1", "conv2", "relu2",
                                        "pool2", "flatten", "fc1",   "relu3", "fc3"};
    assert_int_equal(folded->node_count, 10);
    for (int32_t i = 0; i < 10; i++)
        assert_string_equal(folded->nodes[i].name, names[i]);
    assert_int_equal(folded->nodes[7].parameter[DF_WEIGHT].dims[0], 84);
    assert_int_equal(folded->nodes[7].parameter[DF_WEIGHT].dims[1], 256);
    assert_int_equal(folded->nodes[9].parameter[DF_WEIGHT].dims[1], 84);
    df_network_destroy(folded);
    df_network_destroy(network);
    /* A batch-norm takes its convolution in; the one behind a Concat stays; so does a ReLU's neighbour. */
    network = test_residual();
    test_ok(df_network_fold(&folded, network));
    assert_int_equal(df_network_find(folded, "stem"), -2);
    assert_int_equal(folded->nodes[df_network_find(folded, "bn1")].op, DF_NODE_CONV);
    assert_int_equal(folded->nodes[df_network_find(folded, "bn2")].op, DF_NODE_CONV);
    assert_int_equal(folded->nodes[df_network_find(folded, "bn3")].op, DF_NODE_BATCH_NORM);
    assert_int_equal(folded->node_count, network->node_count - 2);
    df_network_destroy(folded);
    df_network_destroy(network);
}

/* ---- The same bits -------------------------------------------------------------------------- */

enum { ROWS = 70, COTANGENTS = 150 };

/* ROWS samples and COTANGENTS cotangents with owners in disorder, all at once, against each one alone. */
static void check_company(struct df_device *device, struct df_network *network, bool fold)
{
    struct df_plan *plan;
    struct df_tape *all, *one;
    struct df_span dinput;
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_INPUT_GRADIENT, fold));
    test_ok(df_tape_create(&all, plan, 0, ROWS, COTANGENTS));
    test_ok(df_tape_create(&one, plan, device->queue_count - 1, ROWS, COTANGENTS));
    int32_t queue = device->queue_count - 1, classes = network->class_count;
    int64_t size = df_plan_input_size(plan);
    float *x = random_floats(ROWS * size, 1), *cotangents = random_floats(COTANGENTS * classes, 2);
    float *logits = random_floats(ROWS * classes, 0), *gradients = random_floats(COTANGENTS * size, 0);
    float *alone = random_floats(size + classes, 0);
    int32_t owners[COTANGENTS];
    for (int32_t i = 0; i < COTANGENTS; i++)
        owners[i] = i * 37 % ROWS;
    test_ok(df_write(device, 0, df_tape_input(all), x, ROWS * size));
    test_ok(df_write(device, 0, df_tape_cotangents(all), cotangents, COTANGENTS * classes));
    test_ok(df_write(device, 0, df_tape_owners(all), owners, COTANGENTS));
    test_ok(df_tape_forward(all, ROWS));
    test_ok(df_tape_input_gradient(all, COTANGENTS, &dinput));
    test_ok(device->backend->synchronize(device, 0));
    test_ok(df_read(device, 0, logits, df_tape_logits(all), ROWS * classes));
    test_ok(df_read(device, 0, gradients, dinput, COTANGENTS * size));
    for (int64_t i = 0; i < COTANGENTS; i += 7) {
        const int32_t zero = 0;
        test_ok(df_write(device, queue, df_tape_input(one), x + owners[i] * size, size));
        test_ok(df_write(device, queue, df_tape_cotangents(one), cotangents + i * classes, classes));
        test_ok(df_write(device, queue, df_tape_owners(one), &zero, 1));
        test_ok(df_tape_forward(one, 1));
        test_ok(df_tape_input_gradient(one, 1, &dinput));
        test_ok(device->backend->synchronize(device, queue));
        test_ok(df_read(device, queue, alone, df_tape_logits(one), classes));
        test_same_floats("logits", alone, logits + owners[i] * classes, classes);
        test_ok(df_read(device, queue, alone, dinput, size));
        test_same_floats("input gradient", alone, gradients + i * size, size);
    }
    df_free(x);
    df_free(cotangents);
    df_free(logits);
    df_free(gradients);
    df_free(alone);
    df_tape_destroy(all);
    df_tape_destroy(one);
    df_plan_destroy(plan);
    df_network_destroy(network);
}

static void test_company(void **state)
{
    check_company(*state, test_model("lenet5", mnist, 10), true);
    check_company(*state, test_model("lenet5", mnist, 10), false);
    check_company(*state, test_residual(), true);
    check_company(*state, test_chain(), true);
}

/* Gradients of the back end against ref64's, each from its own forward. */
static void check_against_double(struct df_device *device, struct df_device *oracle,
                                 struct df_network *network)
{
    enum { N = 9 };
    int64_t size = df_shape_size(network->input);
    float *x = random_floats(N * size, 5), *cotangents = random_floats(N * network->class_count, 6);
    float *found[2];
    struct df_device *devices[2] = {device, oracle};
    int32_t owners[N];
    for (int32_t i = 0; i < N; i++)
        owners[i] = N - 1 - i;
    for (int k = 0; k < 2; k++) {
        struct df_plan *plan;
        struct df_tape *tape;
        struct df_span dinput;
        found[k] = random_floats(N * size, 0);
        test_ok(df_plan_create(&plan, devices[k], network, DF_PLAN_INPUT_GRADIENT, true));
        test_ok(df_tape_create(&tape, plan, 0, N, N));
        test_ok(df_write(devices[k], 0, df_tape_input(tape), x, N * size));
        test_ok(df_write(devices[k], 0, df_tape_cotangents(tape), cotangents, N * network->class_count));
        test_ok(df_write(devices[k], 0, df_tape_owners(tape), owners, N));
        test_ok(df_tape_forward(tape, N));
        test_ok(df_tape_input_gradient(tape, N, &dinput));
        test_ok(df_read(devices[k], 0, found[k], dinput, N * size));
        df_tape_destroy(tape);
        df_plan_destroy(plan);
    }
    test_near("input gradient", found[0], found[1], N * size, 1e-5);
    df_free(found[0]);
    df_free(found[1]);
    df_free(x);
    df_free(cotangents);
    df_network_destroy(network);
}

static void test_against_double(void **state)
{
    struct df_device *oracle;
    test_ok(df_device_open(&oracle, "ref64", "auto", 1));
    check_against_double(*state, oracle, test_model("lenet5", mnist, 10));
    check_against_double(*state, oracle, test_residual());
    check_against_double(*state, oracle, test_chain());
    df_device_close(oracle);
}

/* ---- Tapes ---------------------------------------------------------------------------------- */

static void test_nodes(void **state)
{
    struct df_device *device = *state;
    struct df_network *network = test_chain();
    struct df_plan *plan;
    struct df_tape *tape;
    struct df_span span;
    struct df_shape shape;
    enum { N = 3 };
    float *x = random_floats(N * 128, 1), *conv = random_floats(N * 256, 0),
          *relu = random_floats(N * 256, 0);
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_FORWARD, false));
    test_ok(df_tape_create(&tape, plan, 0, N, 0));
    test_ok(df_write(device, 0, df_tape_input(tape), x, N * 128));
    test_ok(df_tape_forward(tape, N));
    test_ok(df_tape_node(tape, "conv1", &span, &shape));
    assert_true(shape.c == 4 && shape.h == 8 && shape.w == 8);
    test_ok(df_read(device, 0, conv, span, N * 256));
    test_ok(df_tape_node(tape, "relu1", &span, &shape));
    test_ok(df_read(device, 0, relu, span, N * 256));
    int64_t negative = 0;
    for (int64_t i = 0; i < N * 256; i++) {
        negative += conv[i] < 0.0f;
        assert_true(relu[i] == (conv[i] > 0.0f ? conv[i] : 0.0f));
    }
    assert_true(negative > 50);
    test_ok(df_tape_node(tape, "flatten", &span, &shape));
    assert_true(shape.c == 24 && shape.h == 1 && shape.w == 1);
    /* Undrawn dropout is the identity: drop1 is pool1. */
    struct df_span pool;
    test_ok(df_tape_node(tape, "drop1", &span, &shape));
    test_ok(df_tape_node(tape, "pool1", &pool, &shape));
    assert_true(span.buffer == pool.buffer && span.offset == pool.offset);
    test_error(df_tape_node(tape, "conv9", &span, &shape), DFAL_E_USAGE, "'conv9'");
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_FORWARD, true));
    test_ok(df_tape_create(&tape, plan, 0, N, 0));
    test_error(df_tape_node(tape, "drop1", &span, &shape), DFAL_E_USAGE, "'drop1'");
    test_error(df_tape_node(tape, "conv1", &span, &shape), DFAL_E_USAGE, "'conv1'");
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    df_free(x);
    df_free(conv);
    df_free(relu);
    df_network_destroy(network);
}

/* Masks: the rate, the scale, one mask for all rows when shared, and dependence on the row alone. */
static void test_dropout(void **state)
{
    struct df_device *device = *state;
    struct df_network *network = test_model("lenet5", mnist, 10);
    struct df_plan *plan;
    struct df_tape *tape;
    struct df_span drop, pool;
    struct df_shape shape;
    enum { N = 20, SIZE = 864 };
    float *x = random_floats(784, 1), *whole = random_floats(N * SIZE, 0), *kept = random_floats(N * SIZE, 0);
    float *later = random_floats(N * SIZE, 0);
    struct df_dropout dropout = {.seed = 3, .step = 5};
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_FORWARD, false));
    test_ok(df_tape_create(&tape, plan, 0, N, 0));
    for (int64_t i = 0; i < N; i++)
        test_ok(df_write(device, 0, df_at(df_tape_input(tape), i * 784), x, 784));
    test_ok(df_tape_forward_dropout(tape, N, &dropout));
    test_ok(df_tape_node(tape, "drop1", &drop, &shape));
    test_ok(df_tape_node(tape, "pool1", &pool, &shape));
    test_ok(df_read(device, 0, whole, pool, N * SIZE));
    test_ok(df_read(device, 0, kept, drop, N * SIZE));
    int64_t alive = 0, dropped = 0;
    for (int64_t i = 0; i < N * SIZE; i++) {
        if (whole[i] == 0.0f)
            continue;
        alive++;
        dropped += kept[i] == 0.0f;
        assert_true(kept[i] == 0.0f || kept[i] == whole[i] * (float)(1.0 / 0.75));
    }
    double rate = (double)dropped / (double)alive;
    assert_true(alive > 4000 && fabs(rate - 0.25) < 5.0 * sqrt(0.1875 / (double)alive));
    assert_true(memcmp(kept, kept + SIZE, SIZE * sizeof *kept) != 0);
    dropout.first_row = 7;
    test_ok(df_tape_forward_dropout(tape, N - 7, &dropout));
    test_ok(df_read(device, 0, later, drop, (N - 7) * SIZE));
    test_same_floats("rows from 7 on", later, kept + 7 * SIZE, (N - 7) * SIZE);
    dropout = (struct df_dropout){.seed = 3, .step = 5, .shared = true};
    test_ok(df_tape_forward_dropout(tape, N, &dropout));
    test_ok(df_read(device, 0, kept, drop, N * SIZE));
    for (int64_t i = 1; i < N; i++)
        test_same_floats("shared mask", kept + i * SIZE, kept, SIZE);
    df_free(x);
    df_free(whole);
    df_free(kept);
    df_free(later);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    df_network_destroy(network);
}

static void test_sizes(void **state)
{
    struct df_device *device = *state;
    struct df_network *network = test_model("lenet5", mnist, 10);
    struct df_plan *plan;
    struct df_tape *tape;
    struct df_span dinput;
    int64_t row, cotangent, constant;
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_INPUT_GRADIENT, true));
    assert_int_equal(df_plan_block_rows(plan), 64);
    assert_int_equal(df_plan_class_count(plan), 10);
    df_plan_memory(plan, &row, &cotangent, &constant);
    /* Input, the three ReLUs and the logits in floats, the positions of two pools. */
    assert_int_equal(row, 4 * (784 + 3456 + 1024 + 84 + 10) + 4 * (864 + 256));
    assert_int_equal(cotangent, 4 * (784 + 10) + 4);
    /* Two slots of a chain: 3456 behind the first pool, 864 in front of the second convolution. */
    int64_t parameters = 156 + 2416 + 84 * 256 + 84 + 10 * 84 + 10;
    assert_int_equal(constant, 12 * parameters + 64 * 4 * (3456 + 864));
    /* No allocation once a tape has run. */
    test_ok(df_tape_create(&tape, plan, 0, 100, 300));
    for (int i = 0; i < 3; i++) {
        int64_t before = df_alloc_total();
        test_ok(df_tape_forward(tape, 100));
        test_ok(df_tape_input_gradient(tape, 300, &dinput));
        if (i > 0)
            assert_int_equal(df_alloc_total(), before);
    }
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    df_network_destroy(network);
    test_ok(df_network_create(&network, (struct df_shape){1, 1024, 512}, 2));
    test_ok(df_network_add(network, NULL, "pool", DF_NODE_GLOBAL_AVERAGE_POOL, (int32_t[]){DF_INPUT}, 1));
    test_ok(df_network_add(network, NULL, "two", DF_NODE_CONCAT, (int32_t[]){0, 0}, 2));
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_FORWARD, true));
    assert_int_equal(df_plan_block_rows(plan), 16); /* 2 MiB a row */
    df_plan_destroy(plan);
    df_network_destroy(network);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest doubles[] = {
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_fold_values),
        cmocka_unit_test(test_fold_shapes),
    };
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_shared_cotangent), cmocka_unit_test(test_company),
        cmocka_unit_test(test_against_double),   cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_dropout),          cmocka_unit_test(test_sizes),
    };
    char *none[] = {argv[0], "ref64", NULL};
    int failed = test_on_backends(2, none, "ref64", doubles, sizeof doubles / sizeof *doubles);
    int others = test_on_backends(argc, argv, "ref,cpu", all, sizeof all / sizeof *all);
    return failed ? failed : others;
}
