/* SPDX-License-Identifier: Apache-2.0 */
/* Activations and padding: corners, closed forms, owners, and derivatives against differences in double. */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const union df_params none, leaky = {.slope = {.alpha = 0.25}}, relu6 = {.clip = {0, 6}},
                                   band = {.clip = {-1.5, 2}}, hard = {.slope = {.alpha = 0.25, .beta = 0.5}};

static double leaky_value(double x)
{
    return x > 0 ? x : 0.25 * x;
}
static double leaky_slope(double x)
{
    return x > 0 ? 1 : 0.25;
}
static double relu6_value(double x)
{
    return fmin(fmax(x, 0), 6);
}
static double relu6_slope(double x)
{
    return x > 0 && x < 6 ? 1 : 0;
}
static double band_value(double x)
{
    return fmin(fmax(x, -1.5), 2);
}
static double band_slope(double x)
{
    return x > -1.5 && x < 2 ? 1 : 0;
}
static double sigmoid_value(double x)
{
    return 1 / (1 + exp(-x));
}
static double sigmoid_slope(double x)
{
    return sigmoid_value(x) * sigmoid_value(-x);
}
static double hard_sigmoid_value(double x)
{
    return fmin(fmax(0.25 * x + 0.5, 0), 1);
}
static double hard_sigmoid_slope(double x)
{
    return x > -2 && x < 2 ? 0.25 : 0;
}
static double hard_swish_value(double x)
{
    return x * fmin(fmax(x / 6 + 0.5, 0), 1);
}
static double hard_swish_slope(double x)
{
    return x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5;
}
static double tanh_slope(double x)
{
    return 1 / (cosh(x) * cosh(x));
}
static double softplus_value(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}
static double elu_value(double x)
{
    return x > 0 ? x : 0.25 * expm1(x);
}
static double elu_slope(double x)
{
    return x > 0 ? 1 : 0.25 * exp(x);
}
static double gelu_value(double x)
{
    return x * erfc(-x / sqrt(2)) / 2;
}
static double gelu_slope(double x)
{
    return erfc(-x / sqrt(2)) / 2 + x * exp(-x * x / 2) / sqrt(2 * acos(-1));
}
static double gelu_tanh_value(double x)
{
    return x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}
static double gelu_tanh_slope(double x)
{
    const double a = sqrt(2 / acos(-1)), y = tanh(a * (x + 0.044715 * x * x * x));
    return (1 + y) / 2 + x / 2 * (1 - y * y) * a * (1 + 3 * 0.044715 * x * x);
}
static double erf_slope(double x)
{
    return 2 * exp(-x * x) / sqrt(acos(-1));
}

static const struct activation {
    const char *what;
    enum df_op forward, backward;
    const union df_params *p;
    double (*value)(double), (*slope)(double);
    bool from_y;    /* the backward reads y */
    bool piecewise; /* linear pieces: exact on small binary fractions */
} activations[] = {
    {"leaky_relu", DF_OP_leaky_relu_fwd, DF_OP_leaky_relu_bwd, &leaky, leaky_value, leaky_slope, false, true},
    {"relu6", DF_OP_clip_fwd, DF_OP_clip_bwd, &relu6, relu6_value, relu6_slope, false, true},
    {"clip", DF_OP_clip_fwd, DF_OP_clip_bwd, &band, band_value, band_slope, false, true},
    {"sigmoid", DF_OP_sigmoid_fwd, DF_OP_sigmoid_bwd, &none, sigmoid_value, sigmoid_slope, true, false},
    {"hard_sigmoid", DF_OP_hard_sigmoid_fwd, DF_OP_hard_sigmoid_bwd, &hard, hard_sigmoid_value,
     hard_sigmoid_slope, false, true},
    {"hard_swish", DF_OP_hard_swish_fwd, DF_OP_hard_swish_bwd, &none, hard_swish_value, hard_swish_slope,
     false, false},
    {"tanh", DF_OP_tanh_fwd, DF_OP_tanh_bwd, &none, tanh, tanh_slope, true, false},
    {"softplus", DF_OP_softplus_fwd, DF_OP_softplus_bwd, &none, softplus_value, sigmoid_value, false, false},
    {"elu", DF_OP_elu_fwd, DF_OP_elu_bwd, &leaky, elu_value, elu_slope, false, false},
    {"hard_tanh", DF_OP_hard_tanh_fwd, DF_OP_hard_tanh_bwd, &band, band_value, band_slope, false, true},
    {"gelu", DF_OP_gelu_fwd, DF_OP_gelu_bwd, &none, gelu_value, gelu_slope, false, false},
    {"gelu_tanh", DF_OP_gelu_tanh_fwd, DF_OP_gelu_tanh_bwd, &none, gelu_tanh_value, gelu_tanh_slope, false,
     false},
    {"erf", DF_OP_erf_fwd, DF_OP_erf_bwd, &none, erf, erf_slope, false, false},
};
enum { ACTIVATIONS = sizeof activations / sizeof activations[0], COLS = 37, SAMPLES = 4, ROWS = 7 };

static void forward(struct test_rig *rig, struct df_device *device, const struct activation *a,
                    const float *x, int64_t rows, int64_t cols)
{
    rig_begin(rig, device, a->forward, rows, cols);
    rig->call.p = *a->p;
    rig_in(rig, 0, DF_TYPE_REAL, x, rows * cols);
    rig_out(rig, 0, DF_TYPE_REAL, NULL, rows * cols);
    rig_run(rig);
}

static void backward(struct test_rig *rig, struct df_device *device, const struct activation *a,
                     const float *dy, const float *saved, const int32_t *owner, int64_t rows, int64_t samples)
{
    rig_begin(rig, device, a->backward, rows, COLS);
    rig->call.p = *a->p;
    rig_in(rig, 0, DF_TYPE_REAL, dy, rows * COLS);
    rig_in(rig, 1, DF_TYPE_REAL, saved, samples * COLS);
    if (owner != NULL)
        rig_in(rig, 2, DF_TYPE_I32, owner, rows);
    rig_out(rig, 0, DF_TYPE_REAL, NULL, rows * COLS);
    rig_run(rig);
}

static void corners_are_exact(void **state)
{
    const struct {
        int which;
        float x, y;
    } corners[] = {
        {0, -2, -0.5F},
        {0, -0.0F, -0.0F},
        {0, 3, 3},
        {0, INFINITY, INFINITY},
        {0, -INFINITY, -INFINITY},
        {0, NAN, NAN},
        {1, -1, 0},
        {1, 0, 0},
        {1, 6, 6},
        {1, 7, 6},
        {1, INFINITY, 6},
        {1, -INFINITY, 0},
        {1, NAN, NAN},
        {2, -2, -1.5F},
        {2, 1, 1},
        {3, 0, 0.5F},
        {3, INFINITY, 1},
        {3, -INFINITY, 0},
        {3, FLT_MAX, 1},
        {3, -FLT_MAX, 0},
        {3, 30, 1},
        {3, -104.5F, 0},
        {3, NAN, NAN},
        {4, -2, 0},
        {4, -3, 0},
        {4, 0, 0.5F},
        {4, 1, 0.75F},
        {4, 2, 1},
        {4, INFINITY, 1},
        {4, NAN, NAN},
        {5, -3, -0.0F},
        {5, -9, -0.0F},
        {5, 0, 0},
        {5, 3, 3},
        {5, 9, 9},
        {5, NAN, NAN},
        {6, 0, 0},
        {6, -0.0F, -0.0F},
        {6, INFINITY, 1},
        {6, -INFINITY, -1},
        {6, FLT_MAX, 1},
        {6, 30, 1},
        {6, -30, -1},
        {6, 1e-30F, 1e-30F},
        {6, NAN, NAN},
        {7, INFINITY, INFINITY},
        {7, -INFINITY, 0},
        {7, FLT_MAX, FLT_MAX},
        {7, -104.5F, 0},
        {7, 40, 40},
        {7, NAN, NAN},
        {8, 0, 0},
        {8, -0.0F, -0.0F},
        {8, 3, 3},
        {8, INFINITY, INFINITY},
        {8, -INFINITY, -0.25F},
        {8, -30, -0.25F},
        {8, NAN, NAN},
        {9, -2, -1.5F},
        {9, 1, 1},
        {9, 3, 2},
        {9, NAN, NAN},
        {10, 0, 0},
        {10, -0.0F, -0.0F},
        {10, INFINITY, INFINITY},
        {10, -INFINITY, -0.0F},
        {10, FLT_MAX, FLT_MAX},
        {10, -FLT_MAX, -0.0F},
        {10, 9, 9},
        {10, NAN, NAN},
        {11, 0, 0},
        {11, -0.0F, -0.0F},
        {11, INFINITY, INFINITY},
        {11, -INFINITY, -0.0F},
        {11, FLT_MAX, FLT_MAX},
        {11, 9, 9},
        {11, NAN, NAN},
        {12, 0, 0},
        {12, -0.0F, -0.0F},
        {12, INFINITY, 1},
        {12, -INFINITY, -1},
        {12, FLT_MAX, 1},
        {12, 6, 1},
        {12, 1e-30F, 1.12837917e-30F},
        {12, NAN, NAN},
    };
    for (size_t i = 0; i < sizeof corners / sizeof corners[0]; i++) {
        struct test_rig rig;
        float y;
        forward(&rig, *state, &activations[corners[i].which], &corners[i].x, 1, 1);
        rig_get(&rig, 0, &y);
        rig_end(&rig);
        if (isnan(corners[i].y) ? !isnan(y) : !(y == corners[i].y && signbit(y) == signbit(corners[i].y)))
            test_fail("%s of %g is %.9g, expected %.9g", activations[corners[i].which].what,
                      (double)corners[i].x, (double)y, (double)corners[i].y);
    }
}

/* Multiples of 1/8 in [-8, 8]: products with 1/4 are exact, and every bend is met. */
static void values_and_slopes_follow_their_formulas(void **state)
{
    static float x[SAMPLES * COLS], y[SAMPLES * COLS], dy[ROWS * COLS], dx[ROWS * COLS],
        expected[ROWS * COLS];
    const int32_t owner[ROWS] = {3, 0, 0, 2, 1, 3, 1};
    for (int a = 0; a < ACTIVATIONS; a++) {
        const struct activation *act = &activations[a];
        struct test_rig rig;
        test_fill_whole(x, SAMPLES * COLS, 1, -64, 64);
        for (int i = 0; i < SAMPLES * COLS; i++)
            x[i] = i < 24 ? (float)(i - 12) / 2 : x[i] / 8;
        for (int i = 0; i < SAMPLES * COLS; i++)
            expected[i] = (float)act->value((double)x[i]);
        forward(&rig, *state, act, x, SAMPLES, COLS);
        rig_get(&rig, 0, y);
        rig_end(&rig);
        if (act->piecewise)
            test_same_floats(act->what, y, expected, SAMPLES * COLS);
        test_near(act->what, y, expected, SAMPLES * COLS, 2e-7);

        for (int owned = 0; owned < 2; owned++) {
            const int rows = owned ? ROWS : SAMPLES;
            test_fill_whole(dy, ROWS * COLS, 2, -9, 9);
            for (int i = 0; i < rows * COLS; i++) {
                const int source = owned ? owner[i / COLS] : i / COLS;
                expected[i] = (float)((double)dy[i] * act->slope((double)x[source * COLS + i % COLS]));
            }
            backward(&rig, *state, act, dy, act->from_y ? y : x, owned ? owner : NULL, rows, SAMPLES);
            rig_get(&rig, 0, dx);
            rig_end(&rig);
            for (int i = 0; act->piecewise && i < rows * COLS; i++)
                if (dx[i] != expected[i]) /* -0 is 0 */
                    test_same_floats(act->what, dx + i, expected + i, 1);
            test_near(act->what, dx, expected, rows * COLS, 4e-7);
        }
    }
}

/* Over the whole range, results below the smallest normal number too. */
static void smooth_ones_are_within_their_bounds(void **state)
{
    enum { MANY = 20000 };
    static float x[MANY], y[MANY];
    const struct {
        int which;
        double ulps;
    } bounds[] = {
        {3, 2.5}, {6, 3}, {7, 4}, {8, 2.5}, {10, 10}, {12, 3},
    };
    for (size_t b = 0; b < sizeof bounds / sizeof bounds[0]; b++) {
        const struct activation *act = &activations[bounds[b].which];
        struct test_rig rig;
        test_fill_floats(x, MANY, 7, -104, 20);
        test_fill_floats(x, MANY / 4, 8, -1, 1);
        test_fill_floats(x + MANY / 4, MANY / 4, 9, -15, -12); /* the tail of Gelu */
        forward(&rig, *state, act, x, 4, MANY / 4);
        rig_get(&rig, 0, y);
        rig_end(&rig);
        for (int i = 0; i < MANY; i++) {
            const double exact = act->value((double)x[i]);
            const double ulp = fmax(exact == 0 ? 0 : ldexp(1, ilogb(exact) - 23), ldexp(1, -149));
            if (!(fabs((double)y[i] - exact) <= bounds[b].ulps * ulp))
                test_fail("%s of %.9g is %.9g, expected %.9g: %.2f ulp", act->what, (double)x[i],
                          (double)y[i], exact, fabs((double)y[i] - exact) / ulp);
        }
    }
}

static void derivatives_agree_with_differences(void **state)
{
    struct df_device *device = *state;
    static float x[SAMPLES * COLS], moved[SAMPLES * COLS], dy[SAMPLES * COLS];
    static double up[SAMPLES * COLS], down[SAMPLES * COLS], dx[SAMPLES * COLS], y[SAMPLES * COLS];
    static float saved[SAMPLES * COLS];
    const double h = 0x1p-16;
    if (strcmp(device->info.backend, "ref64") != 0)
        return; /* differences need double */
    for (int a = 0; a < ACTIVATIONS; a++) {
        const struct activation *act = &activations[a];
        struct test_rig rig;
        test_fill_whole(x, SAMPLES * COLS, 5, -400, 400);
        for (int i = 0; i < SAMPLES * COLS; i++) {
            x[i] = (x[i] + 0.5F) / 64; /* off every bend by more than h */
            dy[i] = 1;
        }
        for (int side = -1; side <= 1; side++) {
            for (int i = 0; i < SAMPLES * COLS; i++)
                moved[i] = (float)((double)x[i] + side * h);
            forward(&rig, device, act, moved, SAMPLES, COLS);
            rig_get_f64(&rig, 0, side < 0 ? down : side > 0 ? up : y);
            rig_end(&rig);
        }
        for (int i = 0; i < SAMPLES * COLS; i++)
            saved[i] = act->from_y ? (float)y[i] : x[i];
        backward(&rig, device, act, dy, saved, NULL, SAMPLES, SAMPLES);
        rig_get_f64(&rig, 0, dx);
        rig_end(&rig);
        const double tolerance = act->from_y ? 1e-7 : 1e-9; /* y is handed over as a float */
        for (int i = 0; i < SAMPLES * COLS; i++)
            if (!(fabs((up[i] - down[i]) / (2 * h) - dx[i]) <= tolerance))
                test_fail("%s at %g: %.12g by differences and %.12g by the op", act->what, (double)x[i],
                          (up[i] - down[i]) / (2 * h), dx[i]);
    }
}

/* ---- PRelu: small whole numbers, one slope and one a channel ---- */

static void prelu_is_exact(void **state)
{
    enum { C = 3, PLANE = 11, WIDTH = C * PLANE, ALL = SAMPLES * WIDTH, MOST = ROWS * WIDTH };
    static float x[ALL], y[ALL], dy[MOST], dx[MOST], expected[MOST];
    const float slope[C] = {0.25F, -0.5F, 2};
    const int32_t owner[ROWS] = {3, 0, 0, 2, 1, 3, 1};
    test_fill_whole(x, ALL, 1, -9, 9);
    test_fill_whole(dy, MOST, 2, -9, 9);
    for (int32_t slopes = 1; slopes <= C; slopes += C - 1) {
        const union df_params p = {.prelu = {.channels = C, .slopes = slopes, .plane = PLANE}};
        float sums[C] = {0}, dslope[C];
        struct test_rig rig;
        for (int i = 0; i < ALL; i++) {
            const int s = slopes > 1 ? i / PLANE % C : 0;
            expected[i] = x[i] > 0 ? x[i] : slope[s] * x[i];
            sums[s] += x[i] > 0 ? 0 : x[i] * dy[i];
        }
        rig_begin(&rig, *state, DF_OP_prelu_fwd, SAMPLES * C, PLANE);
        rig.call.p = p;
        rig_in(&rig, 0, DF_TYPE_REAL, x, ALL);
        rig_in(&rig, 1, DF_TYPE_REAL, slope, slopes);
        rig_out(&rig, 0, DF_TYPE_REAL, NULL, ALL);
        rig_run(&rig);
        rig_get(&rig, 0, y);
        rig_end(&rig);
        for (int i = 0; i < ALL; i++)
            if (y[i] != expected[i]) /* -0 is 0 */
                test_same_floats("prelu_fwd", y + i, expected + i, 1);

        rig_begin(&rig, *state, DF_OP_prelu_wgrad, slopes, SAMPLES);
        rig.call.p = p;
        rig_in(&rig, 0, DF_TYPE_REAL, dy, ALL);
        rig_in(&rig, 1, DF_TYPE_REAL, x, ALL);
        rig_out(&rig, 0, DF_TYPE_REAL, NULL, slopes);
        rig_run(&rig);
        rig_get(&rig, 0, dslope);
        rig_end(&rig);
        test_same_floats("prelu_wgrad", dslope, sums, slopes);

        for (int owned = 0; owned < 2; owned++) {
            const int rows = owned ? ROWS : SAMPLES;
            for (int i = 0; i < rows * WIDTH; i++) {
                const int source = owned ? owner[i / WIDTH] : i / WIDTH;
                const float at = x[source * WIDTH + i % WIDTH];
                expected[i] = at > 0 ? dy[i] : slope[slopes > 1 ? i / PLANE % C : 0] * dy[i];
            }
            rig_begin(&rig, *state, DF_OP_prelu_bwd, rows * C, PLANE);
            rig.call.p = p;
            rig_in(&rig, 0, DF_TYPE_REAL, dy, rows * WIDTH);
            rig_in(&rig, 1, DF_TYPE_REAL, x, ALL);
            rig_in(&rig, 2, DF_TYPE_REAL, slope, slopes);
            if (owned)
                rig_in(&rig, 3, DF_TYPE_I32, owner, rows);
            rig_out(&rig, 0, DF_TYPE_REAL, NULL, rows * WIDTH);
            rig_run(&rig);
            rig_get(&rig, 0, dx);
            rig_end(&rig);
            for (int i = 0; i < rows * WIDTH; i++)
                if (dx[i] != expected[i])
                    test_same_floats("prelu_bwd", dx + i, expected + i, 1);
        }
    }
}

/* ---- padding ---- */

static void pads_frame_and_cut(void **state)
{
    enum { PLANES = 3, MOST = PLANES * 24 * 24 };
    static float x[MOST], y[MOST], dx[MOST], expected[MOST];
    static const int shapes[][6] = {/* h w, top left bottom right */
                                    {5, 7, 0, 0, 0, 0},   {5, 7, 1, 2, 3, 4},  {5, 7, -1, -2, -3, -4},
                                    {5, 7, 2, -3, -4, 1}, {1, 1, 4, 0, 0, 11}, {6, 4, -2, 3, 5, -2},
                                    {3, 3, -4, 0, 6, 0},  {3, 3, 0, 6, 0, -4}, {2, 19, 1, 1, 1, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const int *q = shapes[s], in_h = q[0], in_w = q[1];
        const int out_h = in_h + q[2] + q[4], out_w = in_w + q[3] + q[5];
        const int in = PLANES * in_h * in_w, out = PLANES * out_h * out_w;
        const union df_params p = {.pad = {.channels = PLANES,
                                           .in_h = in_h,
                                           .in_w = in_w,
                                           .pad = {q[2], q[3], q[4], q[5]},
                                           .value = -0.5}};
        for (int back = 0; back < 2; back++) {
            const int from_h = back ? out_h : in_h, from_w = back ? out_w : in_w;
            const int to_h = back ? in_h : out_h, to_w = back ? in_w : out_w, count = back ? in : out;
            float *result = back ? dx : y;
            char text[64];
            test_fill_whole(x, back ? out : in, 3, 1, 99);
            for (int i = 0; i < count; i++) {
                const int h = i / to_w % to_h + (back ? q[2] : -q[2]), w = i % to_w + (back ? q[3] : -q[3]);
                expected[i] = h < 0 || h >= from_h || w < 0 || w >= from_w
                                  ? (back ? 0 : -0.5F)
                                  : x[(i / (to_h * to_w) * from_h + h) * from_w + w];
            }
            struct test_rig rig;
            rig_begin(&rig, *state, back ? DF_OP_pad_bwd : DF_OP_pad_fwd, PLANES, 0);
            rig.call.p = p;
            rig_in(&rig, 0, DF_TYPE_REAL, x, back ? out : in);
            rig_out(&rig, 0, DF_TYPE_REAL, NULL, count);
            rig_run(&rig);
            rig_get(&rig, 0, result);
            rig_end(&rig);
            snprintf(text, sizeof text, "pad_%s, shape %d", back ? "bwd" : "fwd", (int)s);
            test_same_floats(text, result, expected, count);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(corners_are_exact),
        cmocka_unit_test(values_and_slopes_follow_their_formulas),
        cmocka_unit_test(smooth_ones_are_within_their_bounds),
        cmocka_unit_test(derivatives_agree_with_differences),
        cmocka_unit_test(prelu_is_exact),
        cmocka_unit_test(pads_frame_and_cut),
    };
    return test_on_backends(argc, argv, "ref ref64 cpu check:ref:cpu", tests, sizeof tests / sizeof tests[0]);
}
