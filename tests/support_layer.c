/* SPDX-License-Identifier: Apache-2.0 */
#include "support_layer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

float *test_layer_floats(int64_t count)
{
    float *memory = calloc((size_t)count + 1, sizeof *memory);
    assert_non_null(memory);
    return memory;
}

void test_layer_create(struct test_layer *t, struct df_device *device, const struct test_layer_case *c,
                       enum test_layer_precision precision, double weight_size, bool biased)
{
    *t = (struct test_layer){.c = c};
    t->desc = (struct df_layer_desc){.is_gemm = c->is_gemm,
                                     .in = {c->in[0], c->in[1], c->in[2]},
                                     .out = {c->out[0], c->out[1], c->out[2]},
                                     .window = c->window,
                                     .group = c->group,
                                     .block_rows = 4,
                                     .forward = true,
                                     .backward = true,
                                     .half_backward = precision == TEST_LAYER_HALF,
                                     .split = precision == TEST_LAYER_SPLIT};
    t->in = df_shape_size(t->desc.in);
    t->out = df_shape_size(t->desc.out);
    t->weights = df_layer_weight_count(&t->desc);
    t->weight = test_layer_floats(t->weights);
    test_fill_floats(t->weight, t->weights, 2, -weight_size, weight_size);
    t->weight[t->weights / 3] *= 1e-4F;
    test_ok(device->backend->layer_create(device, &t->layer, &t->desc));
    test_ok(df_buffer_new(device, &t->bound[0], DF_TYPE_REAL, t->weights));
    test_ok(df_write(device, 0, t->bound[0], t->weight, t->weights));
    if (biased) {
        t->bias = test_layer_floats(c->out[0]);
        test_fill_floats(t->bias, c->out[0], 4, -weight_size, weight_size);
        test_ok(df_buffer_new(device, &t->bound[1], DF_TYPE_REAL, c->out[0]));
        test_ok(df_write(device, 0, t->bound[1], t->bias, c->out[0]));
    }
    test_ok(device->backend->layer_bind(device, 0, t->layer, t->bound[0], t->bound[1]));
}

void test_layer_destroy(struct test_layer *t, struct df_device *device)
{
    device->backend->layer_destroy(device, t->layer);
    for (int i = 0; i < 2; i++)
        df_buffer_drop(device, &t->bound[i]);
    free(t->weight);
    free(t->bias);
}

void test_layer_run(const struct test_layer *t, struct df_device *device, bool backward, float *out,
                    const float *in, int64_t rows)
{
    struct test_rig rig;
    const enum df_op conv = backward ? DF_OP_conv_bwd : DF_OP_conv_fwd,
                     gemm = backward ? DF_OP_gemm_bwd : DF_OP_gemm_fwd;
    rig_begin(&rig, device, t->c->is_gemm ? gemm : conv, rows, 0);
    rig.call.layer = t->layer;
    rig_in(&rig, 0, DF_TYPE_REAL, in, rows * (backward ? t->out : t->in));
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, rows * (backward ? t->in : t->out));
    rig_run(&rig);
    rig_get(&rig, 0, out);
    rig_end(&rig);
}

void test_layer_products(const struct test_layer_case *c, bool backward, double *out, const double *in,
                         const double *weight)
{
    const struct df_window *window = &c->window;
    const int ci = c->in[0] / c->group, co = c->out[0] / c->group, out_plane = c->out[1] * c->out[2];
    const int taps = window->kernel[0] * window->kernel[1];
    for (int o = 0; o < c->out[0]; o++)
        for (int p = 0; p < out_plane; p++)
            for (int i = 0; i < ci * taps; i++) {
                const int channel = o / co * ci + i / taps, tap = i % taps;
                const int h = p / c->out[2] * window->stride[0] - window->pad[0] +
                              tap / window->kernel[1] * window->dilation[0];
                const int w = p % c->out[2] * window->stride[1] - window->pad[1] +
                              tap % window->kernel[1] * window->dilation[1];
                if (h < 0 || h >= c->in[1] || w < 0 || w >= c->in[2])
                    continue;
                const int x = (channel * c->in[1] + h) * c->in[2] + w, y = o * out_plane + p;
                out[backward ? x : y] += weight[o * ci * taps + i] * in[backward ? y : x];
            }
}

double *test_layer_scaled(const float *x, int64_t count, int top, int *shift)
{
    double *out = calloc((size_t)count, sizeof *out), largest = 0;
    int exponent;
    assert_non_null(out);
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)x[i]));
    (void)frexp(largest, &exponent);
    *shift = top - exponent;
    for (int64_t i = 0; i < count; i++)
        out[i] = ldexp((double)x[i], *shift);
    return out;
}
