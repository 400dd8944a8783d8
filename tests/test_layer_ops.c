/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions and products: whole numbers, whose sums are exact in any order, against loops written
 * independently. */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shape_case {
    const char *what;
    int in_c, in_h, in_w, out_c, group;
    int kernel[2], stride[2], pad[4], dilation[2];
    bool is_gemm;
};
static const struct shape_case cases[] = {
    {"lenet conv1", 1, 28, 28, 6, 1, {5, 5}, {1, 1}, {2, 2, 2, 2}, {1, 1}, false},
    {"lenet conv2", 6, 14, 14, 16, 1, {5, 5}, {1, 1}, {0, 0, 0, 0}, {1, 1}, false},
    {"vgg 3x3", 16, 8, 8, 32, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, false},
    {"wide 3x3", 32, 8, 8, 40, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, false},
    {"wide 3x3, odd", 48, 9, 7, 48, 1, {3, 3}, {1, 1}, {0, 0, 0, 0}, {1, 1}, false},
    {"wide 3x3, skewed pads", 63, 7, 8, 62, 1, {3, 3}, {1, 1}, {2, 0, 1, 2}, {1, 1}, false},
    {"wide 3x3, narrow plane", 64, 16, 4, 64, 1, {3, 3}, {1, 1}, {0, 0, 0, 0}, {1, 1}, false},
    {"wide 3x3, one tile", 63, 2, 2, 64, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, false},
    {"wide 3x3 in bands", 96, 18, 30, 32, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, false},
    {"1x1", 12, 5, 7, 9, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}, false},
    {"strides", 3, 11, 13, 5, 1, {3, 3}, {2, 3}, {1, 1, 1, 1}, {1, 1}, false},
    {"skewed pads", 2, 6, 9, 4, 1, {3, 2}, {1, 2}, {2, 0, 1, 1}, {1, 1}, false},
    {"dilation", 2, 12, 10, 3, 1, {3, 3}, {1, 1}, {2, 1, 2, 1}, {2, 3}, false},
    {"stride and dilation", 2, 15, 15, 3, 1, {3, 3}, {2, 2}, {2, 2, 2, 2}, {2, 2}, false},
    {"groups", 8, 7, 7, 12, 4, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, false},
    {"depthwise", 6, 9, 9, 6, 6, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}, false},
    {"depthwise 3x3", 24, 9, 7, 24, 24, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, false},
    {"depthwise 5x5, stride 2, pads as TensorFlow",
     16,
     10,
     10,
     16,
     16,
     {5, 5},
     {2, 2},
     {1, 1, 2, 2},
     {1, 1},
     false},
    {"depthwise, dilated", 17, 11, 9, 17, 17, {3, 3}, {1, 1}, {2, 2, 2, 2}, {2, 2}, false},
    {"depthwise, two outputs a channel", 9, 8, 8, 18, 9, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, false},
    {"depthwise, two outputs, stride 2", 16, 9, 8, 32, 16, {3, 3}, {2, 2}, {0, 1, 1, 0}, {1, 1}, false},
    {"depthwise, one column", 8, 12, 5, 8, 8, {7, 1}, {1, 1}, {3, 0, 3, 0}, {1, 1}, false},
    {"groups of four, stride 2", 32, 9, 9, 32, 8, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}, false},
    {"groups, dilated, skewed", 8, 12, 13, 4, 2, {3, 2}, {1, 2}, {2, 1, 0, 3}, {2, 3}, false},
    {"1x7", 4, 6, 11, 20, 1, {1, 7}, {1, 1}, {0, 3, 0, 3}, {1, 1}, false},
    {"7x1", 20, 11, 6, 4, 1, {7, 1}, {1, 1}, {3, 0, 3, 0}, {1, 1}, false},
    {"1x3, wide channels", 32, 5, 9, 48, 1, {1, 3}, {1, 1}, {0, 1, 0, 1}, {1, 1}, false},
    {"1x1, stride 2", 32, 9, 8, 48, 1, {1, 1}, {2, 2}, {0, 0, 0, 0}, {1, 1}, false},
    {"1x1, wide channels", 32, 7, 5, 48, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}, false},
    {"1x1, padded", 3, 4, 4, 5, 1, {1, 1}, {1, 1}, {1, 0, 2, 1}, {1, 1}, false},
    {"strides beyond the kernel", 5, 13, 11, 7, 1, {2, 2}, {3, 4}, {0, 1, 1, 0}, {1, 1}, false},
    {"dilated, wide channels", 32, 9, 9, 16, 1, {3, 3}, {1, 1}, {4, 3, 4, 5}, {4, 4}, false},
    {"resnet's first", 3, 15, 15, 16, 1, {7, 7}, {2, 2}, {3, 3, 3, 3}, {1, 1}, false},
    {"alexnet's first", 3, 19, 19, 8, 1, {11, 11}, {4, 4}, {2, 2, 2, 2}, {1, 1}, false},
    {"kernel beyond the input", 2, 2, 2, 3, 1, {5, 5}, {1, 1}, {2, 2, 2, 2}, {1, 1}, false},
    {"gemm 256-84", 256, 1, 1, 84, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}, true},
    {"gemm 84-10", 84, 1, 1, 10, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}, true},
    {"gemm 7-1", 7, 1, 1, 1, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}, true},
    {"gemm 33-17", 33, 1, 1, 17, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}, true},
};
enum { CASES = sizeof cases / sizeof cases[0] };

/* One layer with its data on the host and the gradients that the plain loops give. */
struct setup {
    const struct shape_case *c;
    struct df_layer_desc desc;
    int64_t rows, x_count, y_count, w_count, b_count;
    float *x, *dy, *w, *b;
    float *y, *dx, *dw, *db;
};

static int out_size(int in, int kernel, int stride, int before, int behind, int dilation)
{
    return (in + before + behind - dilation * (kernel - 1) - 1) / stride + 1;
}

static float *floats(int64_t count)
{
    float *memory = calloc((size_t)count + 1, sizeof *memory);
    assert_non_null(memory);
    return memory;
}

/* The definition: one loop nest over every product, in double. */
static void expect(struct setup *s)
{
    const struct shape_case *c = s->c;
    const int out_h = (int)s->desc.out.h, out_w = (int)s->desc.out.w;
    const int ci = c->in_c / c->group, co = c->out_c / c->group;
    double *y = calloc((size_t)s->y_count, sizeof *y), *dx = calloc((size_t)s->x_count, sizeof *dx);
    double *dw = calloc((size_t)s->w_count, sizeof *dw), *db = calloc((size_t)s->b_count, sizeof *db);
    assert_true(y && dx && dw && db);
    for (int64_t n = 0; n < s->rows; n++)
        for (int o = 0; o < c->out_c; o++)
            for (int p = 0; p < out_h * out_w; p++) {
                const int64_t at = (n * c->out_c + o) * out_h * out_w + p;
                y[at] += (double)s->b[o];
                db[o] += (double)s->dy[at];
                int64_t weight = (int64_t)o * ci * c->kernel[0] * c->kernel[1];
                for (int channel = o / co * ci; channel < (o / co + 1) * ci; channel++)
                    for (int kh = 0; kh < c->kernel[0]; kh++)
                        for (int kw = 0; kw < c->kernel[1]; kw++, weight++) {
                            const int h = p / out_w * c->stride[0] + kh * c->dilation[0] - c->pad[0];
                            const int w = p % out_w * c->stride[1] + kw * c->dilation[1] - c->pad[1];
                            if (h < 0 || h >= c->in_h || w < 0 || w >= c->in_w)
                                continue;
                            const int64_t from = ((n * c->in_c + channel) * c->in_h + h) * c->in_w + w;
                            y[at] += (double)s->w[weight] * (double)s->x[from];
                            dx[from] += (double)s->w[weight] * (double)s->dy[at];
                            dw[weight] += (double)s->x[from] * (double)s->dy[at];
                        }
            }
    for (int64_t i = 0; i < s->y_count; i++)
        s->y[i] = (float)y[i];
    for (int64_t i = 0; i < s->x_count; i++)
        s->dx[i] = (float)dx[i];
    for (int64_t i = 0; i < s->w_count; i++)
        s->dw[i] = (float)dw[i];
    for (int64_t i = 0; i < s->b_count; i++)
        s->db[i] = (float)db[i];
    free(y);
    free(dx);
    free(dw);
    free(db);
}

static void setup(struct setup *s, const struct shape_case *c, int64_t rows, bool whole)
{
    memset(s, 0, sizeof *s);
    s->c = c;
    s->rows = rows;
    s->desc.is_gemm = c->is_gemm;
    s->desc.in = (struct df_shape){c->in_c, c->in_h, c->in_w};
    s->desc.out = (struct df_shape){
        c->out_c, out_size(c->in_h, c->kernel[0], c->stride[0], c->pad[0], c->pad[2], c->dilation[0]),
        out_size(c->in_w, c->kernel[1], c->stride[1], c->pad[1], c->pad[3], c->dilation[1])};
    for (int i = 0; i < 2; i++) {
        s->desc.window.kernel[i] = c->kernel[i];
        s->desc.window.stride[i] = c->stride[i];
        s->desc.window.dilation[i] = c->dilation[i];
    }
    for (int i = 0; i < 4; i++)
        s->desc.window.pad[i] = c->pad[i];
    s->desc.group = c->group;
    s->desc.block_rows = 64;
    s->desc.forward = s->desc.backward = s->desc.weight_gradient = true;
    s->x_count = rows * df_shape_size(s->desc.in);
    s->y_count = rows * df_shape_size(s->desc.out);
    s->w_count = df_layer_weight_count(&s->desc);
    s->b_count = df_layer_bias_count(&s->desc);
    s->x = floats(s->x_count);
    s->dx = floats(s->x_count);
    s->y = floats(s->y_count);
    s->dy = floats(s->y_count);
    s->w = floats(s->w_count);
    s->dw = floats(s->w_count);
    s->b = floats(s->b_count);
    s->db = floats(s->b_count);
    if (whole) {
        test_fill_whole(s->x, s->x_count, 1, -3, 3);
        test_fill_whole(s->dy, s->y_count, 2, -3, 3);
        test_fill_whole(s->w, s->w_count, 3, -3, 3);
        test_fill_whole(s->b, s->b_count, 4, -9, 9);
    } else {
        test_fill_floats(s->x, s->x_count, 1, -1, 1);
        test_fill_floats(s->dy, s->y_count, 2, -1, 1);
        test_fill_floats(s->w, s->w_count, 3, -0.3, 0.3);
        test_fill_floats(s->b, s->b_count, 4, -0.3, 0.3);
    }
}

static void setup_end(struct setup *s)
{
    float *all[] = {s->x, s->dx, s->y, s->dy, s->w, s->dw, s->b, s->db};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

/* tolerance 0: the same bits */
static void agree(const struct setup *s, const char *what, const float *found, const float *expected,
                  int64_t count, double tolerance)
{
    char text[128];
    snprintf(text, sizeof text, "%s, %d rows, %s", s->c->what, (int)s->rows, what);
    if (tolerance == 0)
        for (int64_t i = 0; i < count; i++) {
            if (found[i] != expected[i]) /* -0 is 0 here: sums may cancel in any order */
                test_same_floats(text, found + i, expected + i, 1);
        }
    else
        test_near(text, found, expected, count, tolerance);
}

static struct df_layer *layer_of(struct df_device *device, const struct setup *s, struct df_span *weight,
                                 struct df_span *bias, bool with_bias)
{
    struct df_layer *layer;
    test_ok(device->backend->layer_create(device, &layer, &s->desc));
    /* Behind one float, as parameters lie in a network's vector: aligned to nothing more. */
    test_ok(df_buffer_new(device, weight, DF_TYPE_REAL, s->w_count + 1));
    test_ok(df_buffer_new(device, bias, DF_TYPE_REAL, s->b_count + 1));
    *weight = df_at(*weight, 1);
    *bias = df_at(*bias, 1);
    test_ok(df_write(device, 0, *weight, s->w, s->w_count));
    test_ok(df_write(device, 0, *bias, s->b, s->b_count));
    test_ok(device->backend->layer_bind(device, 0, layer, *weight,
                                        with_bias ? *bias : (struct df_span){NULL, 0}));
    return layer;
}

/* Cases that are there for an engine of the CPU, and large: elsewhere others say the same. */
static bool is_filtered(const struct shape_case *c)
{
    return strncmp(c->what, "wide 3x3", strlen("wide 3x3")) == 0;
}

static bool is_left_out(const struct shape_case *c)
{
    return is_filtered(c) && strcmp(test_backend(), "cpu") != 0;
}

/* They run on that engine. */
static void expect_engine(struct df_device *device, const struct shape_case *c, const struct df_layer *layer)
{
    if (!is_filtered(c))
        return;
    for (int kind = DF_LAYER_FORWARD; kind <= DF_LAYER_BACKWARD; kind++) {
        char text[64];
        device->backend->layer_text(device, layer, (enum df_layer_kind)kind, text, sizeof text);
        assert_string_equal(text, "own kernels: minimal filtering");
    }
}

static void run_case(struct df_device *device, const struct shape_case *c, int64_t rows, bool whole,
                     double tolerance)
{
    struct setup s;
    struct df_span weight, bias;
    struct test_rig rig;
    setup(&s, c, rows, whole);
    expect(&s);
    struct df_layer *layer = layer_of(device, &s, &weight, &bias, true);
    expect_engine(device, c, layer);
    float *y = floats(s.y_count), *dx = floats(s.x_count), *dw = floats(s.w_count), *db = floats(s.b_count);

    rig_begin(&rig, device, c->is_gemm ? DF_OP_gemm_fwd : DF_OP_conv_fwd, rows, 0);
    rig.call.layer = layer;
    rig_in(&rig, 0, DF_TYPE_REAL, s.x, s.x_count);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, s.y_count);
    rig_run(&rig);
    rig_get(&rig, 0, y);
    rig_end(&rig);
    agree(&s, "forward", y, s.y, s.y_count, tolerance);

    rig_begin(&rig, device, c->is_gemm ? DF_OP_gemm_bwd : DF_OP_conv_bwd, rows, 0);
    rig.call.layer = layer;
    rig_in(&rig, 0, DF_TYPE_REAL, s.dy, s.y_count);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, s.x_count);
    rig_run(&rig);
    rig_get(&rig, 0, dx);
    rig_end(&rig);
    agree(&s, "backward", dx, s.dx, s.x_count, tolerance);

    rig_begin(&rig, device, c->is_gemm ? DF_OP_gemm_wgrad : DF_OP_conv_wgrad, rows, 0);
    rig.call.layer = layer;
    rig_in(&rig, 0, DF_TYPE_REAL, s.x, s.x_count);
    rig_in(&rig, 1, DF_TYPE_REAL, s.dy, s.y_count);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, s.w_count);
    rig_out(&rig, 1, DF_TYPE_REAL, NULL, s.b_count);
    rig_run(&rig);
    rig_get(&rig, 0, dw);
    rig_get(&rig, 1, db);
    rig_end(&rig);
    agree(&s, "weight gradient", dw, s.dw, s.w_count, tolerance);
    agree(&s, "bias gradient", db, s.db, s.b_count, tolerance);

    float *memory[] = {y, dx, dw, db};
    for (int i = 0; i < 4; i++)
        free(memory[i]);
    device->backend->layer_destroy(device, layer);
    df_buffer_drop(device, &weight);
    df_buffer_drop(device, &bias);
    setup_end(&s);
}

static void whole_numbers_are_exact(void **state)
{
    for (int i = 0; i < CASES; i++)
        for (int64_t rows = 1; rows <= 9 && !is_left_out(&cases[i]); rows += 8) /* 8 more: a block and one */
            run_case(*state, &cases[i], rows, true, 0);
}

static void reals_are_near(void **state)
{
    for (int i = 0; i < CASES; i++)
        if (!is_left_out(&cases[i]))
            run_case(*state, &cases[i], 3, false, 2e-6);
}

/* A row's bits do not depend on the rows beside it. */
static void rows_stand_alone(void **state)
{
    enum { ROWS = 67 };
    struct df_device *device = *state;
    for (int i = 0; i < CASES; i++) {
        struct setup s;
        struct df_span weight, bias;
        struct test_rig rig;
        if (is_left_out(&cases[i]))
            continue;
        setup(&s, &cases[i], ROWS, false);
        struct df_layer *layer = layer_of(device, &s, &weight, &bias, true);
        for (int back = 0; back < 2; back++) {
            const int64_t in = (back ? s.y_count : s.x_count) / ROWS,
                          out = (back ? s.x_count : s.y_count) / ROWS;
            const float *from = back ? s.dy : s.x;
            const enum df_op op = s.c->is_gemm ? (back ? DF_OP_gemm_bwd : DF_OP_gemm_fwd)
                                               : (back ? DF_OP_conv_bwd : DF_OP_conv_fwd);
            float *whole = floats(ROWS * out), *part = floats(ROWS * out);
            rig_begin(&rig, device, op, ROWS, 0);
            rig.call.layer = layer;
            rig_in(&rig, 0, DF_TYPE_REAL, from, ROWS * in);
            rig_out(&rig, 0, DF_TYPE_REAL, NULL, ROWS * out);
            rig_run(&rig);
            rig_get(&rig, 0, whole);
            rig_end(&rig);
            const int64_t cut[] = {0, 1, 8, 30, 31, 66, ROWS};
            for (int k = 0; k < 6; k++) {
                const int64_t rows = cut[k + 1] - cut[k];
                rig_begin(&rig, device, op, rows, 0);
                rig.call.layer = layer;
                rig_in(&rig, 0, DF_TYPE_REAL, from + cut[k] * in, rows * in);
                rig_out(&rig, 0, DF_TYPE_REAL, NULL, rows * out);
                rig_run(&rig);
                rig_get(&rig, 0, part + cut[k] * out);
                rig_end(&rig);
            }
            char text[128];
            snprintf(text, sizeof text, "%s, %s in blocks", s.c->what, df_op_info[op].name);
            test_same_floats(text, part, whole, ROWS * out);
            free(whole);
            free(part);
        }
        device->backend->layer_destroy(device, layer);
        df_buffer_drop(device, &weight);
        df_buffer_drop(device, &bias);
        setup_end(&s);
    }
}

static void no_bias_is_zero_bias_and_bind_is_needed(void **state)
{
    struct df_device *device = *state;
    for (int i = 1; i < CASES; i += CASES - 3) { /* a convolution and a product */
        struct setup s;
        struct df_span weight, bias;
        struct test_rig rig;
        setup(&s, &cases[i], 2, true);
        memset(s.b, 0, (size_t)s.b_count * sizeof *s.b);
        expect(&s);
        struct df_layer *layer = layer_of(device, &s, &weight, &bias, false);
        float *y = floats(s.y_count), *zero = floats(s.w_count);
        for (int turn = 0; turn < 2; turn++) {
            rig_begin(&rig, device, s.c->is_gemm ? DF_OP_gemm_fwd : DF_OP_conv_fwd, 2, 0);
            rig.call.layer = layer;
            rig_in(&rig, 0, DF_TYPE_REAL, s.x, s.x_count);
            rig_out(&rig, 0, DF_TYPE_REAL, NULL, s.y_count);
            rig_run(&rig);
            rig_get(&rig, 0, y);
            rig_end(&rig);
            agree(&s, turn ? "after a rebind" : "without bias", y, s.y, s.y_count, 0);
            test_ok(df_write(device, 0, weight, zero, s.w_count));
            test_ok(device->backend->layer_bind(device, 0, layer, weight, (struct df_span){NULL, 0}));
            memset(s.y, 0, (size_t)s.y_count * sizeof *s.y);
        }
        free(y);
        free(zero);
        device->backend->layer_destroy(device, layer);
        df_buffer_drop(device, &weight);
        df_buffer_drop(device, &bias);
        setup_end(&s);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(reals_are_near),
        cmocka_unit_test(rows_stand_alone),
        cmocka_unit_test(no_bias_is_zero_bias_and_bind_is_needed),
    };
    return test_on_backends(argc, argv, "ref ref64 cpu check:ref:cpu", tests, sizeof tests / sizeof tests[0]);
}
