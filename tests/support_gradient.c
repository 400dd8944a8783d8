/* SPDX-License-Identifier: Apache-2.0 */
#include "support_gradient.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "net/plan.h"
#include "support.h"

float *test_random_floats(int64_t count, uint64_t seed)
{
    float *values;
    test_ok(df_alloc(&values, count, sizeof *values));
    test_fill_floats(values, count, seed, -1.0, 1.0);
    return values;
}

void test_read_f64(struct df_device *device, double *to, struct df_span from, int64_t count)
{
    test_ok(device->backend->synchronize(device, 0));
    test_ok(device->backend->read_f64(device, 0, to, from, count));
}

/* ---- Finite differences, ref64 -------------------------------------------------------------- */

/* L = sum of cotangent * logits over all rows; networks are piecewise linear in x, and smooth in their
 * parameters. */
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
    p->cotangents = test_random_floats(p->logits, 3);
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
    test_read_f64(p->device, p->values, df_tape_logits(p->tape), p->logits);
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
        test_ok(df_plan_rebind(p->plan, 0));
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

void test_input_gradient(struct df_device *device, const struct df_network *network, int64_t stride)
{
    struct probe p = {0};
    probe_begin(&p, device, network, DF_PLAN_INPUT_GRADIENT, 3);
    int64_t size = df_plan_input_size(p.plan), count = 3 * size;
    float *x = test_random_floats(count, 1);
    double *gradient, scale = 0.0;
    int32_t owners[3] = {0, 1, 2};
    struct df_span dinput;
    test_ok(df_alloc(&gradient, count, sizeof *gradient));
    test_ok(df_write(device, 0, df_tape_input(p.tape), x, count));
    test_ok(df_write(device, 0, df_tape_cotangents(p.tape), p.cotangents, p.logits));
    test_ok(df_write(device, 0, df_tape_owners(p.tape), owners, 3));
    probe_loss(&p);
    test_ok(df_tape_input_gradient(p.tape, 3, 1, &dinput));
    test_read_f64(device, gradient, dinput, count);
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
void test_parameter_gradient(struct df_device *device, const struct df_network *network, bool drop,
                             int64_t samples)
{
    struct probe p = {0};
    const struct df_dropout dropout = {.seed = 4, .step = 2, .first_row = 8};
    p.dropout = drop ? &dropout : NULL;
    probe_begin(&p, device, network, DF_PLAN_TRAIN, 3);
    int64_t size = 3 * df_plan_input_size(p.plan), count = df_plan_parameter_size(p.plan), at = 0;
    float *x = test_random_floats(size, 1), *values;
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
    test_read_f64(device, gradient, flat, count);
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

/* ---- Folding, company, precision ------------------------------------------------------------- */

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
    test_read_f64(device, logits, df_tape_logits(tape), count);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    return logits;
}

void test_fold_agrees(struct df_device *device, struct df_network *network, double tolerance)
{
    enum { ROWS = 5 };
    float *x = test_random_floats(ROWS * df_shape_size(network->input), 9);
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

enum { ROWS = 70, COTANGENTS = 150 };

/* ROWS samples and COTANGENTS cotangents with owners in disorder, all at once, against each one alone. */
void test_same_in_company(struct df_device *device, struct df_network *network, bool fold)
{
    struct df_plan *plan;
    struct df_tape *all, *one;
    struct df_span dinput;
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_INPUT_GRADIENT, fold));
    test_ok(df_tape_create(&all, plan, 0, ROWS, COTANGENTS));
    test_ok(df_tape_create(&one, plan, device->queue_count - 1, ROWS, COTANGENTS));
    int32_t queue = device->queue_count - 1, classes = network->class_count;
    int64_t size = df_plan_input_size(plan);
    float *x = test_random_floats(ROWS * size, 1), *cotangents = test_random_floats(COTANGENTS * classes, 2);
    float *logits = test_random_floats(ROWS * classes, 0),
          *gradients = test_random_floats(COTANGENTS * size, 0);
    float *alone = test_random_floats(size + classes, 0);
    int32_t owners[COTANGENTS];
    for (int32_t i = 0; i < COTANGENTS; i++)
        owners[i] = i * 37 % ROWS;
    test_ok(df_write(device, 0, df_tape_input(all), x, ROWS * size));
    test_ok(df_write(device, 0, df_tape_cotangents(all), cotangents, COTANGENTS * classes));
    test_ok(df_write(device, 0, df_tape_owners(all), owners, COTANGENTS));
    test_ok(df_tape_forward(all, ROWS));
    test_ok(df_tape_input_gradient(all, COTANGENTS, 1, &dinput));
    test_ok(device->backend->synchronize(device, 0));
    test_ok(df_read(device, 0, logits, df_tape_logits(all), ROWS * classes));
    test_ok(df_read(device, 0, gradients, dinput, COTANGENTS * size));
    for (int64_t i = 0; i < COTANGENTS; i += 7) {
        const int32_t zero = 0;
        test_ok(df_write(device, queue, df_tape_input(one), x + owners[i] * size, size));
        test_ok(df_write(device, queue, df_tape_cotangents(one), cotangents + i * classes, classes));
        test_ok(df_write(device, queue, df_tape_owners(one), &zero, 1));
        test_ok(df_tape_forward(one, 1));
        test_ok(df_tape_input_gradient(one, 1, 1, &dinput));
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

/* Gradients of the back end against ref64's, each from its own forward. */
void test_near_double(struct df_device *device, struct df_device *oracle, struct df_network *network)
{
    enum { N = 9 };
    int64_t size = df_shape_size(network->input);
    float *x = test_random_floats(N * size, 5), *cotangents = test_random_floats(N * network->class_count, 6);
    float *found[2];
    struct df_device *devices[2] = {device, oracle};
    int32_t owners[N];
    for (int32_t i = 0; i < N; i++)
        owners[i] = N - 1 - i;
    for (int k = 0; k < 2; k++) {
        struct df_plan *plan;
        struct df_tape *tape;
        struct df_span dinput;
        found[k] = test_random_floats(N * size, 0);
        test_ok(df_plan_create(&plan, devices[k], network, DF_PLAN_INPUT_GRADIENT, true));
        test_ok(df_tape_create(&tape, plan, 0, N, N));
        test_ok(df_write(devices[k], 0, df_tape_input(tape), x, N * size));
        test_ok(df_write(devices[k], 0, df_tape_cotangents(tape), cotangents, N * network->class_count));
        test_ok(df_write(devices[k], 0, df_tape_owners(tape), owners, N));
        test_ok(df_tape_forward(tape, N));
        test_ok(df_tape_input_gradient(tape, N, 1, &dinput));
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
