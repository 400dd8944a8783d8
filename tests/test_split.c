/* SPDX-License-Identifier: Apache-2.0 */
/* Layers in split precision: the parts of a number, a layer's forward and backward against loops written
 * independently over parts made independently, and against exact products. */
#include "support_layer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "split.h" /* kernels */

/* ---- Numbers --------------------------------------------------------------------------------- */

static void parts_by_hand(void **state)
{
    static const struct {
        float x;
        int32_t shift;
        uint16_t high, low;
    } cases[] = {
        {0.0F, 0, 0, 0},
        {-0.0F, 9, 0x8000, 0},
        {1.0F, 0, 0x3c00, 0},
        {0x1.002p0F, 0, 0x3c00, 0x1000},    /* half of a step: 2^-11 */
        {-0x1.ffep0F, 0, 0xc000, 0x1000},   /* rounded up: the low part goes the other way */
        {0x1.000002p0F, 0, 0x3c00, 0x0002}, /* 2^-23 */
        {0x1.000002p0F, 14, 0x7400, 0x1800},
        {0x1.fffffep0F, 14, 0x7800, 0x9800},
        {0x1p-30F, 14, 0x0100, 0}, /* 2^-16, a subnormal high part */
        {INFINITY, 0, 0x7c00, 0},
        {-INFINITY, 14, 0xfc00, 0},
        {NAN, 0, 0x7fff, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint16_t high, low;
        df_split(cases[i].x, cases[i].shift, &high, &low);
        if (high != cases[i].high || low != cases[i].low)
            test_fail("%a times 2^%d has the parts %04x and %04x, expected %04x and %04x", (double)cases[i].x,
                      cases[i].shift, high, low, cases[i].high, cases[i].low);
    }
}

/* What split.h says of the error, over all magnitudes. */
static void parts_hold_22_bits(void **state)
{
    double worst = 0;
    (void)state;
    for (uint64_t i = 0; i < UINT64_C(1) << 32; i += 10007) {
        const float x = df_float_of((uint32_t)i);
        int exponent;
        uint16_t high, low;
        if (!isfinite(x))
            continue;
        (void)frexp((double)x, &exponent);
        /* As the largest of its array, and as one far smaller. */
        for (int below = 0; below <= 40; below += 8) {
            const int32_t shift = 15 - exponent - below;
            if (shift > 127 || shift < -126)
                continue;
            df_split(x, shift, &high, &low);
            const double v = ldexp((double)x, shift),
                         error = fabs(v - (double)df_half_value(high) - (double)df_half_value(low));
            const double allowed = fmax(0x1p-22 * fabs(v), 0x1p-25);
            if (error > allowed)
                test_fail("%a times 2^%d is %a off, expected %a at most", (double)x, shift, error, allowed);
            worst = fmax(worst, error / fabs(v) * (below == 0));
        }
    }
    assert_true(worst > 0x1p-24); /* it is no float32 */
}

/* ---- Layers ---------------------------------------------------------------------------------- */

enum { ROWS = 6 };

static const struct test_layer_case cases[] = {
    {"3x3", {40, 6, 5}, {36, 6, 5}, TEST_WINDOW(3, 1, 1), 1, false},
    {"3x3, stride 2", {33, 9, 9}, {50, 5, 5}, TEST_WINDOW(3, 2, 1), 1, false},
    {"1x1, stride 3, no tap for most cells", {34, 7, 7}, {33, 3, 3}, TEST_WINDOW(1, 3, 0), 1, false},
    {"several tiles of channels and cells", {34, 9, 9}, {130, 9, 9}, TEST_WINDOW(1, 1, 0), 1, false},
    {"odd planes", {48, 5, 5}, {80, 3, 3}, TEST_WINDOW(3, 1, 0), 1, false},
    {"whole planes", {36, 4, 4}, {20, 1, 1}, TEST_WINDOW(4, 1, 0), 1, false},
    {"3x2, stride 1 by 2, uneven padding",
     {34, 7, 8},
     {36, 6, 6},
     {{3, 2}, {1, 2}, {0, 2, 1, 3}, {1, 1}},
     1,
     false},
    {"2x3, stride 2 by 3", {34, 8, 9}, {36, 4, 3}, {{2, 3}, {2, 3}, {0, 0, 0, 0}, {1, 1}}, 1, false},
    {"dilation 2 by 3", {34, 7, 9}, {33, 5, 6}, {{3, 2}, {1, 1}, {1, 0, 1, 0}, {2, 3}}, 1, false},
    {"dilation and stride 2", {33, 9, 8}, {34, 3, 2}, {{3, 3}, {2, 2}, {1, 0, 0, 0}, {2, 2}}, 1, false},
    {"one step", {24, 5, 5}, {32, 5, 5}, TEST_WINDOW(1, 1, 0), 1, false},
    {"gemm 256-84", {256, 1, 1}, {84, 1, 1}, TEST_WINDOW(1, 1, 0), 1, true},
    {"gemm 37-35", {37, 1, 1}, {35, 1, 1}, TEST_WINDOW(1, 1, 0), 1, true},
};
enum { CASES = sizeof cases / sizeof *cases };

/* The cpu back end has none, and says so: nothing below may ask it. */
static bool has_split(void **state)
{
    const struct df_device *device = *state;
    assert_int_equal(device->split, strstr(test_backend(), "cpu") == NULL);
    return device->split;
}

struct parts {
    double *high, *low;
    int shift;
};

static struct parts parts_of(const float *x, int64_t count)
{
    struct parts p;
    p.high = test_layer_scaled(x, count, 15, &p.shift);
    p.low = calloc((size_t)count, sizeof *p.low);
    assert_non_null(p.low);
    for (int64_t i = 0; i < count; i++) {
        const double v = p.high[i];
        p.high[i] = (double)(_Float16)v;
        p.low[i] = (double)(_Float16)(v - p.high[i]);
    }
    return p;
}

static void parts_end(struct parts *p)
{
    free(p->high);
    free(p->low);
}

static double bias_of(const struct test_layer *t, bool backward, int64_t i)
{
    return backward || t->bias == NULL ? 0 : (double)t->bias[i / (t->c->out[1] * t->c->out[2])];
}

/* The definition, in double; sizes: the sum of the magnitudes of what each value is the sum of. */
static void expect(const struct test_layer *t, bool backward, float *out, double *exact, double *sizes,
                   const float *in)
{
    const int64_t from = backward ? t->out : t->in, to = backward ? t->in : t->out;
    struct parts w = parts_of(t->weight, t->weights), x = parts_of(in, from);
    double *sum = calloc((size_t)to, sizeof *sum), *plain = calloc((size_t)from, sizeof *plain),
           *weight = calloc((size_t)t->weights, sizeof *weight);
    assert_true(sum != NULL && plain != NULL && weight != NULL);
    test_layer_products(t->c, backward, sum, x.high, w.high);
    test_layer_products(t->c, backward, sum, x.high, w.low);
    test_layer_products(t->c, backward, sum, x.low, w.high);
    for (int64_t i = 0; i < from; i++)
        plain[i] = (double)in[i];
    for (int64_t i = 0; i < t->weights; i++)
        weight[i] = (double)t->weight[i];
    for (int64_t i = 0; i < to; i++) {
        const double bias = bias_of(t, backward, i);
        out[i] = (float)(ldexp(sum[i], -(x.shift + w.shift)) + bias);
        exact[i] = bias;
        sizes[i] = fabs(bias);
    }
    test_layer_products(t->c, backward, exact, plain, weight);
    for (int64_t i = 0; i < from; i++)
        plain[i] = fabs(plain[i]);
    for (int64_t i = 0; i < t->weights; i++)
        weight[i] = fabs(weight[i]);
    test_layer_products(t->c, backward, sizes, plain, weight);
    parts_end(&w);
    parts_end(&x);
    free(sum);
    free(plain);
    free(weight);
}

/* A value is as near to the exact one as float32 sums may be: 2^-20 of its terms' magnitudes. */
static void near_exact(const char *what, const float *found, const double *exact, const double *sizes,
                       int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)found[i] - exact[i]) <= 0x1p-20 * sizes[i] + 0x1p-148))
            test_fail("%s: element %d is %.9g, exactly %.17g, with terms of %.3g", what, (int)i,
                      (double)found[i], exact[i], sizes[i]);
}

static void check_layer(struct df_device *device, const struct test_layer_case *c, double weight_size,
                        bool backward)
{
    struct test_layer t;
    test_layer_create(&t, device, c, TEST_LAYER_SPLIT, weight_size, true);
    const int64_t from = backward ? t.out : t.in, to = backward ? t.in : t.out;
    float *in = test_layer_floats(ROWS * from), *found = test_layer_floats(ROWS * to),
          *expected = test_layer_floats(to);
    double *exact = calloc((size_t)to, sizeof *exact), *sizes = calloc((size_t)to, sizeof *sizes);
    assert_true(exact != NULL && sizes != NULL);
    test_fill_floats(in, ROWS * from, 1, -1, 1);
    for (int64_t j = 0; j < from; j++) { /* rows of very different sizes beside each other */
        in[from + j] *= 1e-9F;
        in[2 * from + j] *= weight_size > 1 ? 1e12F : 1e30F;
        in[3 * from + j] *= weight_size < 1e-9 ? 1e-6F : 1e-26F;
        in[4 * from + j] *= j % 7 == 0 ? 1.0F : 1e-5F;
    }
    test_layer_run(&t, device, backward, found, in, ROWS);
    for (int64_t row = 0; row < ROWS; row++) {
        char text[128];
        snprintf(text, sizeof text, "%s %s, weights of %g, row %d", c->what,
                 backward ? "backward" : "forward", weight_size, (int)row);
        expect(&t, backward, expected, exact, sizes, in + row * from);
        test_near(text, found + row * to, expected, to, 2e-6);
        near_exact(text, found + row * to, exact, sizes, to);
    }
    free(in);
    free(found);
    free(expected);
    free(exact);
    free(sizes);
    test_layer_destroy(&t, device);
}

static void operands_are_split(void **state)
{
    static const double sizes[] = {0.3, 1e-10, 1e7};
    if (!has_split(state))
        return;
    for (int i = 0; i < CASES; i++)
        for (int k = 0; k < (i < 2 ? 3 : 1); k++)
            for (int backward = 0; backward < 2; backward++)
                check_layer(*state, &cases[i], sizes[k], backward);
}

/* A row's bits are its own, whatever stands beside it; zeros stay zeros, what is not finite stays in its
 * row. */
static void rows_stand_alone(void **state)
{
    const bool checked = strncmp(test_backend(), "check:", 6) == 0;
    if (!has_split(state))
        return;
    for (int i = 0; i < 2 * CASES; i++) {
        struct test_layer t;
        const bool backward = i % 2;
        test_layer_create(&t, *state, &cases[i / 2], TEST_LAYER_SPLIT, 0.3, false);
        const int64_t from = backward ? t.out : t.in, to = backward ? t.in : t.out;
        float *in = test_layer_floats(ROWS * from), *whole = test_layer_floats(ROWS * to),
              *alone = test_layer_floats(to);
        test_fill_floats(in, ROWS * from, 1, -1, 1);
        for (int64_t j = 0; j < from; j++) {
            in[from + j] *= 1e30F;
            in[2 * from + j] = 0;
        }
        for (int64_t j = 0; !checked && j < from / (backward ? t.desc.out.c : t.desc.in.c); j++) {
            in[4 * from + j] = INFINITY; /* of a whole channel: windows may leave single values out */
            in[5 * from + j] = NAN;
        }
        test_layer_run(&t, *state, backward, whole, in, ROWS);
        for (int64_t row = 0; row < ROWS; row++) {
            int64_t zeros = 0, strange = 0;
            if (row == 0 || row == 4) /* of the first block and of the second one */
                test_layer_run(&t, *state, backward, alone, in + row * from, 1);
            for (int64_t j = 0; j < to; j++) {
                const float a = alone[j], b = whole[row * to + j];
                if ((row == 0 || row == 4) && memcmp(&a, &b, sizeof a) != 0 && !(isnan(a) && isnan(b)))
                    test_fail("%s, row %d, value %d: %.9g alone, %.9g in a batch", cases[i / 2].what,
                              (int)row, (int)j, (double)a, (double)b);
                zeros += b == 0;
                strange += !isfinite(b);
            }
            assert_int_equal(zeros == to, row == 2);
            assert_int_equal(strange > 0, !checked && (row == 4 || row == 5));
        }
        free(in);
        free(whole);
        free(alone);
        test_layer_destroy(&t, *state);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_by_hand),
        cmocka_unit_test(parts_hold_22_bits),
        cmocka_unit_test(operands_are_split),
        cmocka_unit_test(rows_stand_alone),
    };
    return test_on_backends(argc, argv, "ref ref64 cpu check:ref:ref64 check:ref:cpu", tests,
                            sizeof tests / sizeof tests[0]);
}
