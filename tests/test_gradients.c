/* SPDX-License-Identifier: Apache-2.0 */
/* Every backward op against central differences of its forward, in double (ref64).
 *
 * For a forward y = f(x) and a cotangent c the backward has to give d(sum c y)/dx. Inputs are multiples of
 * 2^-8 and the step is a power of two, so that x +- h is exact even though buffers are written as floats.
 * Linear ops are exact with any step; curved ones are off by h^2. */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 2048 };

/* A function under test: reals in place, scalar sum c y out. */
struct function {
    struct df_device *device;
    const float *cotangent;
    /* Give the function's outputs for x; returns their number. */
    int64_t (*evaluate)(struct function *self, double *y, const float *x);
    void *data;
};

static double objective(struct function *f, const float *x)
{
    static double y[LARGEST];
    const int64_t count = f->evaluate(f, y, x);
    assert_in_range(count, 1, LARGEST);
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += y[i] * (double)f->cotangent[i];
    return sum;
}

static void gradient_agrees(const char *what, struct function *f, const float *x, const double *analytic,
                            int64_t count, double h, double tolerance)
{
    static float moved[LARGEST];
    double largest = 0;
    assert_in_range(count, 1, LARGEST);
    memcpy(moved, x, (size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(analytic[i]));
    assert_true(largest > 0);
    for (int64_t i = 0; i < count; i++) {
        moved[i] = (float)((double)x[i] + h);
        const double up = objective(f, moved);
        moved[i] = (float)((double)x[i] - h);
        const double down = objective(f, moved);
        moved[i] = x[i];
        const double numeric = (up - down) / (2 * h);
        if (!(fabs(numeric - analytic[i]) <= tolerance * largest))
            test_fail("%s: derivative %d of %d is %.12g by differences and %.12g by the op", what, (int)i,
                      (int)count, numeric, analytic[i]);
    }
}

/* Multiples of 2^-8 in [-2, 2]. */
static void fill_grid(float *x, int64_t count, uint64_t seed)
{
    test_fill_whole(x, count, seed, -512, 512);
    for (int64_t i = 0; i < count; i++)
        x[i] /= 256;
}

/* ---- layers ---- */

struct layer_data {
    struct df_layer_desc desc;
    struct df_layer *layer;
    struct df_span weight, bias;
    int64_t rows;
    const float *x;
    int which; /* the variable: 0 x, 1 weight, 2 bias */
};

static int64_t evaluate_layer(struct function *self, double *y, const float *value)
{
    struct layer_data *d = self->data;
    struct test_rig rig;
    const int64_t in = d->rows * df_shape_size(d->desc.in), out = d->rows * df_shape_size(d->desc.out);
    if (d->which == 1)
        test_ok(df_write(self->device, 0, d->weight, value, df_layer_weight_count(&d->desc)));
    if (d->which == 2)
        test_ok(df_write(self->device, 0, d->bias, value, df_layer_bias_count(&d->desc)));
    test_ok(self->device->backend->layer_bind(self->device, 0, d->layer, d->weight, d->bias));
    rig_begin(&rig, self->device, d->desc.is_gemm ? DF_OP_gemm_fwd : DF_OP_conv_fwd, d->rows, 0);
    rig.call.layer = d->layer;
    rig_in(&rig, 0, DF_TYPE_REAL, d->which == 0 ? value : d->x, in);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, out);
    rig_run(&rig);
    rig_get_f64(&rig, 0, y);
    rig_end(&rig);
    return out;
}

static void layer_gradients(struct df_device *device, const char *what, const struct df_layer_desc *desc)
{
    struct layer_data d = {.desc = *desc, .rows = 2};
    static float x[LARGEST], w[LARGEST], b[LARGEST], dy[LARGEST];
    static double dx[LARGEST], dw[LARGEST], db[LARGEST];
    const int64_t in = d.rows * df_shape_size(desc->in), out = d.rows * df_shape_size(desc->out);
    const int64_t weights = df_layer_weight_count(desc), biases = df_layer_bias_count(desc);
    assert_true(in <= LARGEST && out <= LARGEST && weights <= LARGEST);
    fill_grid(x, in, 1);
    fill_grid(w, weights, 2);
    fill_grid(b, biases, 3);
    fill_grid(dy, out, 4);
    d.x = x;
    test_ok(device->backend->layer_create(device, &d.layer, desc));
    test_ok(df_buffer_new(device, &d.weight, DF_TYPE_REAL, weights));
    test_ok(df_buffer_new(device, &d.bias, DF_TYPE_REAL, biases));
    test_ok(df_write(device, 0, d.weight, w, weights));
    test_ok(df_write(device, 0, d.bias, b, biases));
    test_ok(device->backend->layer_bind(device, 0, d.layer, d.weight, d.bias));

    struct test_rig rig;
    rig_begin(&rig, device, desc->is_gemm ? DF_OP_gemm_bwd : DF_OP_conv_bwd, d.rows, 0);
    rig.call.layer = d.layer;
    rig_in(&rig, 0, DF_TYPE_REAL, dy, out);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, in);
    rig_run(&rig);
    rig_get_f64(&rig, 0, dx);
    rig_end(&rig);
    rig_begin(&rig, device, desc->is_gemm ? DF_OP_gemm_wgrad : DF_OP_conv_wgrad, d.rows, 0);
    rig.call.layer = d.layer;
    rig_in(&rig, 0, DF_TYPE_REAL, x, in);
    rig_in(&rig, 1, DF_TYPE_REAL, dy, out);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, weights);
    rig_out(&rig, 1, DF_TYPE_REAL, NULL, biases);
    rig_run(&rig);
    rig_get_f64(&rig, 0, dw);
    rig_get_f64(&rig, 1, db);
    rig_end(&rig);

    struct function f = {device, dy, evaluate_layer, &d};
    const struct {
        const char *name;
        const float *value;
        const double *gradient;
        int64_t count;
    } variables[] = {{"x", x, dx, in}, {"weight", w, dw, weights}, {"bias", b, db, biases}};
    for (d.which = 0; d.which < 3; d.which++) {
        char text[64];
        snprintf(text, sizeof text, "%s, d/d%s", what, variables[d.which].name);
        gradient_agrees(text, &f, variables[d.which].value, variables[d.which].gradient,
                        variables[d.which].count, 0.5, 1e-12);
        test_ok(df_write(device, 0, d.weight, w, weights));
        test_ok(df_write(device, 0, d.bias, b, biases));
    }
    device->backend->layer_destroy(device, d.layer);
    df_buffer_drop(device, &d.weight);
    df_buffer_drop(device, &d.bias);
}

static void layers(void **state)
{
    struct df_layer_desc conv = {
        .in = {4, 6, 7}, .out = {6, 3, 4}, .group = 2, .block_rows = 64, .forward = true};
    conv.window = (struct df_window){{3, 2}, {2, 2}, {1, 1, 1, 1}, {1, 1}};
    conv.backward = conv.weight_gradient = true;
    layer_gradients(*state, "conv with groups and strides", &conv);
    conv = (struct df_layer_desc){
        .in = {2, 7, 7}, .out = {3, 5, 4}, .group = 1, .block_rows = 64, .forward = true};
    conv.window = (struct df_window){{3, 3}, {1, 1}, {1, 0, 1, 1}, {2, 2}};
    conv.backward = conv.weight_gradient = true;
    layer_gradients(*state, "conv with dilation", &conv);
    struct df_layer_desc gemm = {
        .is_gemm = true, .in = {13, 1, 1}, .out = {7, 1, 1}, .group = 1, .block_rows = 64};
    gemm.window = (struct df_window){{1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}};
    gemm.forward = gemm.backward = gemm.weight_gradient = true;
    layer_gradients(*state, "gemm", &gemm);
}

/* ---- element-wise, planes: a forward call and its backward, both prepared as rigs ---- */

struct call_data {
    enum df_op op;
    int64_t rows, cols, in, out;
    union df_params p;
    const float *extra[3]; /* in[1..] */
    int64_t extra_count[3];
    int variable; /* which in[] moves; in[0] is then fixed */
    const float *x;
    bool second_out; /* out[1] is an I32 arg */
};

static void put_call(struct test_rig *rig, const struct call_data *d, const float *value)
{
    for (int k = 0; k < 3; k++) {
        const float *values = k == d->variable ? value : k == 0 ? d->x : d->extra[k - 1];
        const int64_t count = k == 0 ? d->in : d->extra_count[k - 1];
        if (values != NULL)
            rig_in(rig, k, DF_TYPE_REAL, values, count);
    }
}

static int64_t evaluate_call(struct function *self, double *y, const float *value)
{
    const struct call_data *d = self->data;
    struct test_rig rig;
    rig_begin(&rig, self->device, d->op, d->rows, d->cols);
    rig.call.p = d->p;
    put_call(&rig, d, value);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, d->out);
    if (d->second_out)
        rig_out(&rig, 1, DF_TYPE_I32, NULL, d->out);
    if (d->op == DF_OP_bn_train_fwd)
        for (int k = 1; k < 3; k++)
            rig_out(&rig, k, DF_TYPE_REAL, NULL, d->rows);
    rig_run(&rig);
    rig_get_f64(&rig, 0, y);
    rig_end(&rig);
    return d->out;
}

/* Distinct values, 1/16 apart at least: a step of 1/64 never changes who is the largest, or a sign. */
static void fill_distinct(float *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)((i * 37) % count - count / 2) / 16 + 1.0F / 32;
}

static union df_params pool_of(int stride, int pad, int count_pad)
{
    union df_params p;
    memset(&p, 0, sizeof p);
    p.pool.window = (struct df_window){{3, 2}, {stride, stride}, {pad, pad, pad, pad}, {1, 1}};
    p.pool.channels = 2;
    p.pool.in_h = 6;
    p.pool.in_w = 5;
    p.pool.out_h = (6 + 2 * pad - 3) / stride + 1;
    p.pool.out_w = (5 + 2 * pad - 2) / stride + 1;
    p.pool.count_pad = count_pad;
    return p;
}

static void pools(void **state)
{
    static float x[4 * 30], dy[LARGEST];
    static double dx[4 * 30];
    fill_distinct(x, 4 * 30);
    for (int turn = 0; turn < 6; turn++) {
        const bool is_max = turn < 2;
        const union df_params p = pool_of(turn % 2 + 1, turn % 2, turn >= 4);
        const int64_t out = 4 * p.pool.out_h * p.pool.out_w;
        struct call_data d = {
            .op = is_max ? DF_OP_maxpool_fwd : DF_OP_avgpool_fwd, .rows = 4, .in = 4 * 30, .out = out};
        d.p = p;
        d.second_out = is_max;
        fill_grid(dy, out, 9);
        struct test_rig rig;
        int32_t *arg = calloc((size_t)out, sizeof *arg);
        assert_non_null(arg);
        if (is_max) {
            rig_begin(&rig, *state, DF_OP_maxpool_fwd, 4, 0);
            rig.call.p = p;
            rig_in(&rig, 0, DF_TYPE_REAL, x, 4 * 30);
            rig_out(&rig, 0, DF_TYPE_REAL, NULL, out);
            rig_out(&rig, 1, DF_TYPE_I32, NULL, out);
            rig_run(&rig);
            rig_get(&rig, 1, arg);
            rig_end(&rig);
        }
        rig_begin(&rig, *state, is_max ? DF_OP_maxpool_bwd : DF_OP_avgpool_bwd, 4, 0);
        rig.call.p = p;
        rig_in(&rig, 0, DF_TYPE_REAL, dy, out);
        if (is_max)
            rig_in(&rig, 1, DF_TYPE_I32, arg, out);
        rig_out(&rig, 0, DF_TYPE_REAL, NULL, 4 * 30);
        rig_run(&rig);
        rig_get_f64(&rig, 0, dx);
        rig_end(&rig);
        free(arg);
        struct function f = {*state, dy, evaluate_call, &d};
        gradient_agrees(is_max ? "max-pool" : "average pool", &f, x, dx, 4 * 30, 1.0 / 64, 1e-12);
    }
}

static void element_wise(void **state)
{
    enum { PLANES = 6, PLANE = 8, N = PLANES * PLANE };
    static float x[N], y[N], dy[N];
    static double dx[N];
    const float scale[3] = {2, -0.75F, 0.5F}, shift[3] = {1, 2, 3};
    fill_distinct(x, N);
    fill_grid(dy, N, 5);
    struct test_rig rig;
    struct call_data d = {.op = DF_OP_affine_fwd, .rows = PLANES, .cols = PLANE, .in = N, .out = N};
    struct function f = {*state, dy, evaluate_call, &d};
    d.extra[0] = scale;
    d.extra[1] = shift;
    d.extra_count[0] = d.extra_count[1] = 3;
    d.p.channel.channels = 3;
    rig_begin(&rig, *state, DF_OP_affine_bwd, PLANES, PLANE);
    rig.call.p = d.p;
    rig_in(&rig, 0, DF_TYPE_REAL, dy, N);
    rig_in(&rig, 1, DF_TYPE_REAL, scale, 3);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, N);
    rig_run(&rig);
    rig_get_f64(&rig, 0, dx);
    rig_end(&rig);
    gradient_agrees("affine", &f, x, dx, N, 0.5, 1e-12);

    d = (struct call_data){.op = DF_OP_relu_fwd, .rows = PLANES, .cols = PLANE, .in = N, .out = N};
    for (int i = 0; i < N; i++)
        y[i] = x[i] > 0 ? x[i] : 0;
    rig_begin(&rig, *state, DF_OP_relu_bwd, PLANES, PLANE);
    rig_in(&rig, 0, DF_TYPE_REAL, dy, N);
    rig_in(&rig, 1, DF_TYPE_REAL, y, N);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, N);
    rig_run(&rig);
    rig_get_f64(&rig, 0, dx);
    rig_end(&rig);
    gradient_agrees("relu", &f, x, dx, N, 1.0 / 64, 1e-12);

    d = (struct call_data){.op = DF_OP_dropout, .rows = PLANES, .cols = PLANE, .in = N, .out = N};
    d.p.dropout.seed = 7;
    d.p.dropout.step = 3;
    d.p.dropout.first_row = 11;
    d.p.dropout.rate = 0.25;
    rig_begin(&rig, *state, DF_OP_dropout, PLANES, PLANE);
    rig.call.p = d.p;
    rig_in(&rig, 0, DF_TYPE_REAL, dy, N);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, N);
    rig_run(&rig);
    rig_get_f64(&rig, 0, dx);
    rig_end(&rig);
    gradient_agrees("dropout", &f, x, dx, N, 0.5, 1e-12);
}

static void batch_norm(void **state)
{
    enum { SAMPLES = 5, C = 3, PLANE = 4, N = SAMPLES * C * PLANE };
    static float x[N], dy[N], weight[C] = {1.5F, -0.5F, 2}, bias[C] = {0, 1, -1};
    static float mean[C], rstd[C];
    static double dx[N], dweight[C], dbias[C];
    fill_grid(x, N, 1);
    fill_grid(dy, N, 2);
    struct call_data d = {.op = DF_OP_bn_train_fwd, .rows = C, .cols = SAMPLES, .in = N, .out = N};
    d.p.bn.channels = C;
    d.p.bn.plane = PLANE;
    d.p.bn.epsilon = 1e-3;
    d.p.bn.momentum = 0.1;
    d.x = x;
    d.extra[0] = weight;
    d.extra[1] = bias;
    d.extra_count[0] = d.extra_count[1] = C;
    struct test_rig rig;
    rig_begin(&rig, *state, DF_OP_bn_train_fwd, C, SAMPLES);
    rig.call.p = d.p;
    put_call(&rig, &d, x);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, N);
    rig_out(&rig, 1, DF_TYPE_REAL, NULL, C);
    rig_out(&rig, 2, DF_TYPE_REAL, NULL, C);
    rig_run(&rig);
    rig_get(&rig, 1, mean); /* rounded to float on the way: the tolerance below allows for it */
    rig_get(&rig, 2, rstd);
    rig_end(&rig);
    rig_begin(&rig, *state, DF_OP_bn_train_bwd, C, SAMPLES);
    rig.call.p = d.p;
    rig_in(&rig, 0, DF_TYPE_REAL, dy, N);
    rig_in(&rig, 1, DF_TYPE_REAL, x, N);
    rig_in(&rig, 2, DF_TYPE_REAL, mean, C);
    rig_in(&rig, 3, DF_TYPE_REAL, rstd, C);
    rig_in(&rig, 4, DF_TYPE_REAL, weight, C);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, N);
    rig_out(&rig, 1, DF_TYPE_REAL, NULL, C);
    rig_out(&rig, 2, DF_TYPE_REAL, NULL, C);
    rig_run(&rig);
    rig_get_f64(&rig, 0, dx);
    rig_get_f64(&rig, 1, dweight);
    rig_get_f64(&rig, 2, dbias);
    rig_end(&rig);
    struct function f = {*state, dy, evaluate_call, &d};
    gradient_agrees("batch-norm, d/dx", &f, x, dx, N, 1.0 / 1024, 2e-6);
    d.variable = 1;
    gradient_agrees("batch-norm, d/dweight", &f, weight, dweight, C, 0.25, 1e-6);
    d.variable = 2;
    gradient_agrees("batch-norm, d/dbias", &f, bias, dbias, C, 0.25, 1e-6);
}

/* ---- loss ---- */

enum { LOSS_ROWS = 6, LOSS_CLASSES = 5 };
static const int32_t loss_label[LOSS_ROWS] = {0, 4, 2, -1, 3, 1};
static const float loss_weight[LOSS_ROWS] = {1, 0.5F, 2, 1, 0, 0.25F};

static void run_loss(struct df_device *device, double *loss, double *dlogits, const float *logits)
{
    struct test_rig rig;
    rig_begin(&rig, device, DF_OP_softmax_loss, LOSS_ROWS, 0);
    rig_in(&rig, 0, DF_TYPE_REAL, logits, LOSS_ROWS * LOSS_CLASSES);
    rig_in(&rig, 1, DF_TYPE_I32, loss_label, LOSS_ROWS);
    rig_in(&rig, 2, DF_TYPE_REAL, loss_weight, LOSS_ROWS);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, LOSS_ROWS);
    rig_out(&rig, 1, DF_TYPE_REAL, NULL, LOSS_ROWS * LOSS_CLASSES);
    rig.call.p.loss.classes = LOSS_CLASSES;
    rig.call.p.loss.scale = 1.0 / 6;
    rig_run(&rig);
    rig_get_f64(&rig, 0, loss);
    rig_get_f64(&rig, 1, dlogits);
    rig_end(&rig);
}

static int64_t evaluate_loss(struct function *self, double *y, const float *x)
{
    double dlogits[LOSS_ROWS * LOSS_CLASSES];
    run_loss(self->device, y, dlogits, x);
    return LOSS_ROWS;
}

static void softmax_loss(void **state)
{
    float logits[LOSS_ROWS * LOSS_CLASSES], mean[LOSS_ROWS];
    double loss[LOSS_ROWS], dlogits[LOSS_ROWS * LOSS_CLASSES];
    fill_grid(logits, LOSS_ROWS * LOSS_CLASSES, 3);
    for (int i = 0; i < LOSS_ROWS; i++)
        mean[i] = 1.0F / 6;
    run_loss(*state, loss, dlogits, logits);
    struct function f = {*state, mean, evaluate_loss, NULL};
    gradient_agrees("softmax loss", &f, logits, dlogits, LOSS_ROWS * LOSS_CLASSES, 1.0 / 1024, 1e-6);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers),     cmocka_unit_test(pools),        cmocka_unit_test(element_wise),
        cmocka_unit_test(batch_norm), cmocka_unit_test(softmax_loss),
    };
    return test_on_backends(argc, argv, "ref64", tests, sizeof tests / sizeof tests[0]);
}
