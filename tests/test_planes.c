/* SPDX-License-Identifier: Apache-2.0 */
/* Plane ops: affine maps, pools, batch-norm. */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void affine_scales_its_channel(void **state)
{
    enum { PLANES = 8, PLANE = 19 };
    const float scale[4] = {2, -0.5F, 0, 3}, shift[4] = {1, 2, 3, -4};
    float x[PLANES * PLANE], y[PLANES * PLANE], forward[PLANES * PLANE], backward[PLANES * PLANE];
    test_fill_whole(x, PLANES * PLANE, 1, -50, 50);
    for (int i = 0; i < PLANES * PLANE; i++) {
        const int c = i / PLANE % 4;
        forward[i] = x[i] * scale[c] + shift[c];
        backward[i] = x[i] * scale[c];
    }
    for (int back = 0; back < 2; back++) {
        struct test_rig rig;
        rig_begin(&rig, *state, back ? DF_OP_affine_bwd : DF_OP_affine_fwd, PLANES, PLANE);
        rig_in(&rig, 0, DF_TYPE_REAL, x, PLANES * PLANE);
        rig_in(&rig, 1, DF_TYPE_REAL, scale, 4);
        if (!back)
            rig_in(&rig, 2, DF_TYPE_REAL, shift, 4);
        rig_out(&rig, 0, DF_TYPE_REAL, NULL, PLANES * PLANE);
        rig.call.p.channel.channels = 4;
        rig_run(&rig);
        rig_get(&rig, 0, y);
        test_same_floats(back ? "affine_bwd" : "affine_fwd", y, back ? backward : forward, PLANES * PLANE);
        rig_end(&rig);
    }
}

struct pool_case {
    const char *what;
    int in_h, in_w, out_h, out_w;
    int kernel[2], stride[2], pad[4], dilation[2];
};
static const struct pool_case pools[] = {
    {"2x2", 8, 6, 4, 3, {2, 2}, {2, 2}, {0, 0, 0, 0}, {1, 1}},
    {"2x2, odd size", 7, 37, 3, 18, {2, 2}, {2, 2}, {0, 0, 0, 0}, {1, 1}},
    {"2x2, ceil mode", 5, 7, 3, 4, {2, 2}, {2, 2}, {0, 0, 0, 0}, {1, 1}},
    {"3x3 overlapping", 9, 9, 4, 4, {3, 3}, {2, 2}, {0, 0, 0, 0}, {1, 1}},
    {"3x3 padded", 6, 8, 3, 4, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}},
    {"3x3 padded, wide", 5, 75, 3, 38, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}},
    {"3x3 padded, stride 1", 5, 75, 5, 75, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {"3x3, strides 1 and 2, ceil mode", 6, 44, 4, 22, {3, 3}, {1, 2}, {0, 0, 0, 1}, {1, 1}},
    {"3x3 on two columns", 7, 2, 4, 1, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}},
    {"3x3, stride 3", 9, 28, 3, 10, {3, 3}, {3, 3}, {0, 1, 0, 1}, {1, 1}},
    {"2x2 wide", 6, 66, 3, 33, {2, 2}, {2, 2}, {0, 0, 0, 0}, {1, 1}},
    {"2x3 skewed", 5, 8, 5, 3, {2, 3}, {1, 3}, {1, 1, 0, 1}, {1, 1}},
    {"global", 4, 5, 1, 1, {4, 5}, {1, 1}, {0, 0, 0, 0}, {1, 1}},
    {"dilated", 9, 9, 5, 5, {3, 3}, {1, 1}, {0, 0, 0, 0}, {2, 2}}, /* max-pool only */
};
enum {
    POOLS = sizeof pools / sizeof pools[0],
    CHANNELS = 3,
    ROWS = 5,
    PLANES = ROWS * CHANNELS,
    LARGEST = 400
};

static void pool_params(union df_params *p, const struct pool_case *c, bool count_pad)
{
    for (int i = 0; i < 2; i++) {
        p->pool.window.kernel[i] = c->kernel[i];
        p->pool.window.stride[i] = c->stride[i];
        p->pool.window.dilation[i] = c->dilation[i];
    }
    for (int i = 0; i < 4; i++)
        p->pool.window.pad[i] = c->pad[i];
    p->pool.channels = CHANNELS;
    p->pool.in_h = c->in_h;
    p->pool.in_w = c->in_w;
    p->pool.out_h = c->out_h;
    p->pool.out_w = c->out_w;
    p->pool.count_pad = count_pad;
}

/* Input positions of one output's window, ascending; returns their number. padded counts those inside the
 * padding too. */
static int window_of(const struct pool_case *c, int out, int *positions, int *padded)
{
    int count = 0;
    *padded = 0;
    for (int k = 0; k < c->kernel[0] * c->kernel[1]; k++) {
        const int h = out / c->out_w * c->stride[0] - c->pad[0] + k / c->kernel[1] * c->dilation[0];
        const int w = out % c->out_w * c->stride[1] - c->pad[1] + k % c->kernel[1] * c->dilation[1];
        *padded += h < c->in_h + c->pad[2] && w < c->in_w + c->pad[3];
        if (h >= 0 && h < c->in_h && w >= 0 && w < c->in_w)
            positions[count++] = h * c->in_w + w;
    }
    return count;
}

static void max_pool_takes_the_lowest_index(void **state)
{
    static float x[PLANES * LARGEST], y[PLANES * LARGEST], expected[PLANES * LARGEST];
    static int32_t arg[PLANES * LARGEST], expected_arg[PLANES * LARGEST];
    for (int i = 0; i < POOLS; i++) {
        const struct pool_case *c = &pools[i];
        const int in = c->in_h * c->in_w, out = c->out_h * c->out_w;
        test_fill_whole(x, PLANES * in, 5, -2, 2); /* five values: ties everywhere */
        for (int k = 0; k < PLANES * in; k += 11)
            x[k] = k % 3 == 0 ? NAN : k % 3 == 1 ? -INFINITY : -0.0F;
        for (int k = 0; k < in; k++)
            x[in + k] = NAN;
        for (int o = 0; o < PLANES * out; o++) {
            int at[64], padded, best = -1;
            const float *plane = x + o / out * in;
            const int n = window_of(c, o % out, at, &padded);
            for (int k = 0; k < n; k++)
                if (!isnan(plane[at[k]]) && (best < 0 || plane[at[k]] > plane[best]))
                    best = at[k];
            expected_arg[o] = best < 0 ? at[0] : best;
            expected[o] = plane[expected_arg[o]];
        }
        struct test_rig rig;
        rig_begin(&rig, *state, DF_OP_maxpool_fwd, PLANES, 0);
        rig_in(&rig, 0, DF_TYPE_REAL, x, PLANES * in);
        rig_out(&rig, 0, DF_TYPE_REAL, NULL, PLANES * out);
        rig_out(&rig, 1, DF_TYPE_I32, NULL, PLANES * out);
        pool_params(&rig.call.p, c, false);
        rig_run(&rig);
        rig_get(&rig, 0, y);
        rig_get(&rig, 1, arg);
        test_same_ints(c->what, arg, expected_arg, PLANES * out);
        test_same_floats(c->what, y, expected, PLANES * out);
        rig_end(&rig);
    }
}

static void max_pool_gives_back_through_owners(void **state)
{
    static float dy[PLANES * LARGEST], dx[PLANES * LARGEST], expected[PLANES * LARGEST];
    static int32_t arg[2 * CHANNELS * LARGEST];
    const int32_t owner[ROWS] = {1, 0, 0, 1, 1};
    for (int i = 0; i < POOLS; i++) {
        const struct pool_case *c = &pools[i];
        const int in = c->in_h * c->in_w, out = c->out_h * c->out_w;
        test_fill_whole(dy, PLANES * out, 6, -9, 9);
        for (int o = 0; o < 2 * CHANNELS * out; o++) {
            int at[64], padded;
            const int n = window_of(c, o % out, at, &padded);
            arg[o] = at[(o * 7) % n];
        }
        for (int owned = 0; owned < 2; owned++) {
            const int planes = owned ? PLANES : 2 * CHANNELS;
            memset(expected, 0, sizeof expected);
            for (int o = 0; o < planes * out; o++) {
                const int plane = o / out, row = plane / CHANNELS;
                const int source = (owned ? owner[row] : row) * CHANNELS + plane % CHANNELS;
                expected[plane * in + arg[source * out + o % out]] += dy[o];
            }
            struct test_rig rig;
            rig_begin(&rig, *state, DF_OP_maxpool_bwd, planes, 0);
            rig_in(&rig, 0, DF_TYPE_REAL, dy, planes * out);
            rig_in(&rig, 1, DF_TYPE_I32, arg, 2 * CHANNELS * out);
            if (owned)
                rig_in(&rig, 2, DF_TYPE_I32, owner, ROWS);
            rig_out(&rig, 0, DF_TYPE_REAL, NULL, planes * in);
            pool_params(&rig.call.p, c, false);
            rig_run(&rig);
            rig_get(&rig, 0, dx);
            test_same_floats(c->what, dx, expected, planes * in);
            rig_end(&rig);
        }
    }
}

static void average_pool_counts_as_told(void **state)
{
    static float x[PLANES * LARGEST], y[PLANES * LARGEST], expected[PLANES * LARGEST];
    static float dx[PLANES * LARGEST], expected_dx[PLANES * LARGEST];
    for (int i = 0; i < POOLS - 1; i++)
        for (int count_pad = 0; count_pad < 2; count_pad++) {
            const struct pool_case *c = &pools[i];
            const int in = c->in_h * c->in_w, out = c->out_h * c->out_w;
            test_fill_whole(x, PLANES * in, 5, -9, 9);
            memset(expected_dx, 0, sizeof expected_dx);
            for (int o = 0; o < PLANES * out; o++) {
                int at[64], padded;
                const int n = window_of(c, o % out, at, &padded);
                float sum = 0;
                for (int k = 0; k < n; k++)
                    sum += x[o / out * in + at[k]];
                expected[o] = sum / (float)(count_pad ? padded : n);
                for (int k = 0; k < n; k++)
                    expected_dx[o / out * in + at[k]] += expected[o] / (float)(count_pad ? padded : n);
            }
            struct test_rig rig;
            rig_begin(&rig, *state, DF_OP_avgpool_fwd, PLANES, 0);
            rig_in(&rig, 0, DF_TYPE_REAL, x, PLANES * in);
            rig_out(&rig, 0, DF_TYPE_REAL, NULL, PLANES * out);
            pool_params(&rig.call.p, c, count_pad);
            rig_run(&rig);
            rig_get(&rig, 0, y);
            test_same_floats(c->what, y, expected, PLANES * out);
            rig_end(&rig);

            rig_begin(&rig, *state, DF_OP_avgpool_bwd, PLANES, 0);
            rig_in(&rig, 0, DF_TYPE_REAL, y, PLANES * out);
            rig_out(&rig, 0, DF_TYPE_REAL, NULL, PLANES * in);
            pool_params(&rig.call.p, c, count_pad);
            rig_run(&rig);
            rig_get(&rig, 0, dx);
            if (strcmp(((struct df_device *)*state)->info.backend, "ref64") == 0)
                test_near(c->what, dx, expected_dx, PLANES * in, 1e-6);
            else
                test_same_floats(c->what, dx, expected_dx, PLANES * in);
            rig_end(&rig);
        }
}

static void batch_norm_has_unit_variance(void **state)
{
    enum { SAMPLES = 8, C = 2, PLANE = 2, COUNT = SAMPLES * C * PLANE, EACH = SAMPLES * PLANE };
    const float weight[C] = {2, 1}, bias[C] = {-1, 3}, zero[C] = {0, 0}, one[C] = {1, 1};
    float x[COUNT], y[COUNT], expected[COUNT], mean[C], rstd[C], running_mean[C], running_var[C];
    /* channel 0 is 5 +- 4, channel 1 is constant: variance 16 and 0 */
    for (int i = 0; i < COUNT; i++) {
        const int c = i / PLANE % C, up = i % 2;
        x[i] = c == 0 ? (up ? 9.0F : 1.0F) : 7.0F;
        expected[i] = c == 0 ? (up ? 1.0F : -3.0F) : 3.0F;
    }
    struct test_rig rig;
    rig_begin(&rig, *state, DF_OP_bn_train_fwd, C, SAMPLES);
    rig_in(&rig, 0, DF_TYPE_REAL, x, COUNT);
    rig_in(&rig, 1, DF_TYPE_REAL, weight, C);
    rig_in(&rig, 2, DF_TYPE_REAL, bias, C);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, COUNT);
    rig_out(&rig, 1, DF_TYPE_REAL, NULL, C);
    rig_out(&rig, 2, DF_TYPE_REAL, NULL, C);
    rig_out(&rig, 3, DF_TYPE_REAL, zero, C);
    rig_out(&rig, 4, DF_TYPE_REAL, one, C);
    rig.call.p.bn.channels = C;
    rig.call.p.bn.plane = PLANE;
    rig.call.p.bn.epsilon = 1e-12;
    rig.call.p.bn.momentum = 0.25;
    rig_run(&rig);
    rig_get(&rig, 0, y);
    rig_get(&rig, 1, mean);
    rig_get(&rig, 2, rstd);
    rig_get(&rig, 3, running_mean);
    rig_get(&rig, 4, running_var);
    rig_end(&rig);
    test_near("y", y, expected, COUNT, 1e-6);
    test_near("mean", mean, (float[C]){5, 7}, C, 0);
    test_near("rstd", rstd, (float[C]){0.25F, 1e6F}, 1, 1e-7);
    test_near("running mean", running_mean, (float[C]){1.25F, 1.75F}, C, 0);
    test_near("running variance", running_var, (float[C]){0.75F + 0.25F * 16 * EACH / (EACH - 1), 0.75F}, C,
              1e-7);
}

enum { NORM_C = 3, NORM_MOST = 5000 };

/* Against plain loops in double. x and dy are whole numbers, so that dbias is exact in any order. */
static void norm_agrees(struct df_device *device, int samples, int plane)
{
    static float x[NORM_C * NORM_MOST], dy[NORM_C * NORM_MOST], y[NORM_C * NORM_MOST], dx[NORM_C * NORM_MOST];
    static float expected_y[NORM_C * NORM_MOST], expected_dx[NORM_C * NORM_MOST];
    const float weight[NORM_C] = {1.5F, -0.5F, 2}, bias[NORM_C] = {0, 1, -1}, one[NORM_C] = {1, 1, 1};
    float mean[NORM_C], rstd[NORM_C], running[NORM_C], dweight[NORM_C], dbias[NORM_C];
    float expected_running[NORM_C], expected_dweight[NORM_C], expected_dbias[NORM_C];
    const int count = samples * NORM_C * plane, n = samples * plane;
    char what[64];
    snprintf(what, sizeof what, "%d samples of %d values", samples, plane);
    assert_true(n <= NORM_MOST);
    test_fill_whole(x, count, 11, -9, 9);
    test_fill_whole(dy, count, 12, -9, 9);
    const union df_params p = {.bn = {NORM_C, plane, 1e-3, 0.25}};
    struct test_rig rig;
    rig_begin(&rig, device, DF_OP_bn_train_fwd, NORM_C, samples);
    rig_in(&rig, 0, DF_TYPE_REAL, x, count);
    rig_in(&rig, 1, DF_TYPE_REAL, weight, NORM_C);
    rig_in(&rig, 2, DF_TYPE_REAL, bias, NORM_C);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, count);
    rig_out(&rig, 1, DF_TYPE_REAL, NULL, NORM_C);
    rig_out(&rig, 2, DF_TYPE_REAL, NULL, NORM_C);
    rig_out(&rig, 4, DF_TYPE_REAL, one, NORM_C);
    rig.call.p = p;
    rig_run(&rig);
    rig_get(&rig, 0, y);
    rig_get(&rig, 1, mean);
    rig_get(&rig, 2, rstd);
    rig_get(&rig, 4, running);
    rig_end(&rig);
    rig_begin(&rig, device, DF_OP_bn_train_bwd, NORM_C, samples);
    rig_in(&rig, 0, DF_TYPE_REAL, dy, count);
    rig_in(&rig, 1, DF_TYPE_REAL, x, count);
    rig_in(&rig, 2, DF_TYPE_REAL, mean, NORM_C);
    rig_in(&rig, 3, DF_TYPE_REAL, rstd, NORM_C);
    rig_in(&rig, 4, DF_TYPE_REAL, weight, NORM_C);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, count);
    rig_out(&rig, 1, DF_TYPE_REAL, NULL, NORM_C);
    rig_out(&rig, 2, DF_TYPE_REAL, NULL, NORM_C);
    rig.call.p = p;
    rig_run(&rig);
    rig_get(&rig, 0, dx);
    rig_get(&rig, 1, dweight);
    rig_get(&rig, 2, dbias);
    rig_end(&rig);
    for (int c = 0; c < NORM_C; c++) {
        double sum = 0, squares = 0, slope = 0, shift = 0;
        for (int i = 0; i < n; i++)
            sum += (double)x[(i / plane * NORM_C + c) * plane + i % plane];
        for (int i = 0; i < n; i++) {
            const double d = (double)x[(i / plane * NORM_C + c) * plane + i % plane] - sum / n;
            squares += d * d;
        }
        const double scale = 1 / sqrt(squares / n + 1e-3);
        for (int i = 0; i < n; i++) {
            const int at = (i / plane * NORM_C + c) * plane + i % plane;
            shift += (double)dy[at];
            slope += (double)dy[at] * ((double)x[at] - sum / n) * scale;
        }
        for (int i = 0; i < n; i++) {
            const int at = (i / plane * NORM_C + c) * plane + i % plane;
            const double xhat = ((double)x[at] - sum / n) * scale, w = (double)weight[c];
            expected_y[at] = (float)(xhat * w + (double)bias[c]);
            expected_dx[at] = (float)(w * scale * ((double)dy[at] - shift / n - xhat * slope / n));
        }
        expected_running[c] = (float)(n > 1 ? 0.75 + 0.25 * squares / (n - 1) : 1);
        expected_dweight[c] = (float)slope;
        expected_dbias[c] = (float)shift;
    }
    /* One value a channel has no variance: what is left of dx there are roundings times rstd. */
    test_near(what, y, expected_y, count, 2e-6);
    test_near(what, running, expected_running, NORM_C, 1e-6);
    test_near(what, dx, expected_dx, count, n > 1 ? 1e-5 : 1e-3);
    test_near(what, dweight, expected_dweight, NORM_C, 1e-5);
    test_near(what, dbias, expected_dbias, NORM_C, 0);
}

static void batch_norm_takes_any_size(void **state)
{
    /* 512 threads are a team on a GPU: fewer, as many, more; planes of one value, rows wider and narrower
     * than a warp */
    const int sizes[][2] = {{1, 1},    {1, 35},  {1, 4999}, {7, 1},    {600, 1},  {33, 13},
                            {2, 256},  {2, 257}, {511, 1},  {513, 1},  {3, 1025}, {5, 31},
                            {1, 4096}, {4, 529}, {64, 49},  {1000, 3}, {8, 513},  {16, 33}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        norm_agrees(*state, sizes[i][0], sizes[i][1]);
}

static void windows_in_the_padding_are_empty(void **state)
{
    const struct pool_case c = {"beyond", 2, 2, 3, 3, {1, 1}, {2, 2}, {1, 1, 1, 1}, {1, 1}};
    const float x[CHANNELS * 4] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
                             ones[CHANNELS * 9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    float y[CHANNELS * 9], dx[CHANNELS * 4];
    int32_t arg[CHANNELS * 9];
    struct test_rig rig;
    rig_begin(&rig, *state, DF_OP_maxpool_fwd, CHANNELS, 0);
    rig_in(&rig, 0, DF_TYPE_REAL, x, CHANNELS * 4);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, CHANNELS * 9);
    rig_out(&rig, 1, DF_TYPE_I32, NULL, CHANNELS * 9);
    pool_params(&rig.call.p, &c, false);
    rig_run(&rig);
    rig_get(&rig, 0, y);
    rig_get(&rig, 1, arg);
    rig_end(&rig);
    for (int o = 0; o < 9; o++) { /* only the middle window meets the input, at its last value */
        assert_int_equal(arg[o], o == 4 ? 3 : -1);
        assert_true(y[o] == (o == 4 ? 4 : 0));
    }
    rig_begin(&rig, *state, DF_OP_maxpool_bwd, CHANNELS, 0);
    rig_in(&rig, 0, DF_TYPE_REAL, ones, CHANNELS * 9);
    rig_in(&rig, 1, DF_TYPE_I32, arg, CHANNELS * 9);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, CHANNELS * 4);
    pool_params(&rig.call.p, &c, false);
    rig_run(&rig);
    rig_get(&rig, 0, dx);
    rig_end(&rig);
    test_same_floats("dx", dx, (float[4]){0, 0, 0, 1}, 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(affine_scales_its_channel),
        cmocka_unit_test(max_pool_takes_the_lowest_index),
        cmocka_unit_test(max_pool_gives_back_through_owners),
        cmocka_unit_test(average_pool_counts_as_told),
        cmocka_unit_test(batch_norm_has_unit_variance),
        cmocka_unit_test(batch_norm_takes_any_size),
        cmocka_unit_test(windows_in_the_padding_are_empty),
    };
    return test_on_backends(argc, argv, "ref ref64 cpu check:ref:cpu", tests, sizeof tests / sizeof tests[0]);
}
