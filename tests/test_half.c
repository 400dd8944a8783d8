/* SPDX-License-Identifier: Apache-2.0 */
/* Backwards in half precision: the rounding against the compiler's binary16, a layer's backward against loops
 * written independently over operands rounded independently. */
#include "support_layer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "half.h" /* kernels */

/* ---- Numbers --------------------------------------------------------------------------------- */

static void rounding_by_hand(void **state)
{
    static const struct {
        float x;
        uint16_t half;
    } cases[] = {
        {0.0F, 0},
        {-0.0F, 0x8000},
        {1.0F, 0x3c00},
        {-2.0F, 0xc000},
        {65504.0F, 0x7bff},
        {65519.996F, 0x7bff}, /* the last below the tie */
        {65520.0F, 0x7c00},   /* a tie: to even, infinity */
        {-1e30F, 0xfc00},
        {INFINITY, 0x7c00},
        {NAN, 0x7fff},
        {0x1.002p0F, 0x3c00}, /* ties */
        {0x1.006p0F, 0x3c02},
        {0x1.002002p0F, 0x3c01},
        {0x1p-14F, 0x0400},
        {0x1.ff8p-15F, 0x03ff},
        {0x1.ffcp-15F, 0x0400},
        {0x1.ffep-15F, 0x0400}, /* up into the normal ones */
        {0x1p-24F, 0x0001},
        {0x1p-25F, 0x0000}, /* a tie */
        {0x1.000002p-25F, 0x0001},
        {0x1.8p-24F, 0x0002},
        {-0x1p-26F, 0x8000},
        {0x1p-149F, 0x0000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (df_half_of(cases[i].x) != cases[i].half)
            test_fail("%a becomes %04x, expected %04x", (double)cases[i].x, df_half_of(cases[i].x),
                      cases[i].half);
}

/* All binary16 there and back, and floats all over the range against the compiler's conversion. */
static void rounding_as_the_compiler(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x10000; half++) {
        _Float16 expected;
        const uint16_t bits = (uint16_t)half;
        memcpy(&expected, &bits, sizeof bits);
        const float found = df_half_value(bits);
        if (isnan((float)expected) ? !isnan(found) : found != (float)expected)
            test_fail("%04x is %a, expected %a", half, (double)found, (double)(float)expected);
        if (!isnan(found))
            assert_int_equal(df_half_of(found), bits);
    }
    for (uint64_t i = 0; i < UINT64_C(1) << 32; i += 977) {
        const float x = df_float_of((uint32_t)i);
        const _Float16 expected = (_Float16)x;
        uint16_t bits;
        memcpy(&bits, &expected, sizeof bits);
        if (!isnan(x) && df_half_of(x) != bits)
            test_fail("%a becomes %04x, expected %04x", (double)x, df_half_of(x), bits);
    }
}

static void scales(void **state)
{
    (void)state;
    assert_int_equal(df_half_place(1), 13);
    assert_int_equal(df_half_place(2), 12);
    assert_int_equal(df_half_place(4608), 0);
    assert_int_equal(df_half_place(8193), -1);
    for (int e = -126; e <= 127; e++) {
        const float x = ldexpf(1.75F, e);
        const int32_t shift = df_half_shift(df_half_magnitude(-x), 5);
        assert_int_equal(shift, e < -122 ? 127 : 5 - e);
        assert_true(df_half_value(df_half_scaled(x, shift)) == ldexpf(1.75F, e + shift));
        assert_true(df_half_unscaled(ldexpf(1.75F, e + shift), shift, 0) == x);
    }
    assert_int_equal(df_half_shift(df_half_magnitude(0x1p-149F), 0), 127);
    assert_int_equal(df_half_shift(df_half_magnitude(INFINITY), 0), 0);
    assert_int_equal(df_half_shift(df_half_magnitude(NAN), 0), 0);
    assert_true(df_half_unscaled(1.5F, 127, 120) == 0);
    assert_true(df_half_unscaled(1.5F, 127, -127) == 1.5F);
    assert_true(df_half_unscaled(1.5F, -127, 127) == 1.5F);
    assert_true(df_half_unscaled(0x1p-20F, -100, -40) == 0x1p120F);
    assert_true(df_half_unscaled(0x1.8p15F, 80, 80) == 0x1.8p-145F);
}

/* ---- Layers ---------------------------------------------------------------------------------- */

enum { ROWS = 9 };

static const struct test_layer_case cases[] = {
    {"3x3", {40, 6, 5}, {36, 6, 5}, TEST_WINDOW(3, 1, 1), 1, false},
    {"3x3, stride 2", {33, 9, 9}, {50, 5, 5}, TEST_WINDOW(3, 2, 1), 1, false},
    {"1x1", {48, 4, 4}, {34, 4, 4}, TEST_WINDOW(1, 1, 0), 1, false},
    {"large planes", {33, 16, 16}, {48, 16, 16}, TEST_WINDOW(1, 1, 0), 1, false}, /* several blocks a row */
    {"whole planes", {36, 4, 4}, {20, 1, 1}, TEST_WINDOW(4, 1, 0), 1, false},
    {"groups", {80, 5, 5}, {40, 5, 5}, TEST_WINDOW(3, 1, 1), 2, false},
    {"narrow", {3, 8, 8}, {5, 4, 4}, TEST_WINDOW(5, 2, 2), 1, false},
    {"gemm 256-84", {256, 1, 1}, {84, 1, 1}, TEST_WINDOW(1, 1, 0), 1, true},
    {"gemm 37-35", {37, 1, 1}, {35, 1, 1}, TEST_WINDOW(1, 1, 0), 1, true},
};
enum { CASES = sizeof cases / sizeof *cases };

struct setup {
    struct test_layer t;
    float *dy; /* [ROWS, out] */
};

static void setup(struct setup *s, struct df_device *device, const struct test_layer_case *c,
                  double weight_size)
{
    test_layer_create(&s->t, device, c, TEST_LAYER_HALF, weight_size, false);
    s->dy = test_layer_floats(ROWS * s->t.out);
    test_fill_floats(s->dy, ROWS * s->t.out, 1, -1, 1);
}

static void setup_end(struct setup *s, struct df_device *device)
{
    test_layer_destroy(&s->t, device);
    free(s->dy);
}

/* Values times 2^shift as binary16, the largest brought below 2^top. */
static double *rounded(const float *x, int64_t count, int top, int *shift)
{
    double *out = test_layer_scaled(x, count, top, shift);
    for (int64_t i = 0; i < count; i++)
        out[i] = (double)(_Float16)out[i];
    return out;
}

/* The definition: every product, in double. */
static void expect(const struct setup *s, float *dx, const float *dy)
{
    const struct test_layer_case *c = s->t.c;
    const int terms = c->out[0] / c->group * c->window.kernel[0] * c->window.kernel[1];
    int weight_shift, shift, spare = 0;
    while (1 << spare < terms)
        spare++;
    double *weight = rounded(s->t.weight, s->t.weights, 1, &weight_shift),
           *g = rounded(dy, s->t.out, 14 - spare, &shift);
    double *sum = calloc((size_t)s->t.in, sizeof *sum);
    assert_non_null(sum);
    test_layer_products(c, true, sum, g, weight);
    for (int64_t i = 0; i < s->t.in; i++)
        dx[i] = (float)ldexp(sum[i], -(shift + weight_shift));
    free(weight);
    free(g);
    free(sum);
}

/* A library may round dx to binary16 besides. */
static double tolerance(void)
{
    return strstr(test_backend(), "cuda") != NULL ? 0x1p-11 : 2e-6;
}

/* The cpu back end has none, and says so: nothing above may ask it. */
static bool has_half(void **state)
{
    const struct df_device *device = *state;
    assert_int_equal(device->half_backward, strstr(test_backend(), "cpu") == NULL);
    return device->half_backward;
}

static void operands_are_rounded(void **state)
{
    static const double sizes[] = {0.3, 1e-30, 1e20};
    if (!has_half(state))
        return;
    for (int i = 0; i < CASES; i++)
        for (int k = 0; k < 3; k++) {
            struct setup s;
            setup(&s, *state, &cases[i], sizes[k]);
            float *found = test_layer_floats(ROWS * s.t.in), *expected = test_layer_floats(s.t.in);
            for (int64_t j = 0; j < s.t.out; j++) { /* rows of very different sizes beside each other */
                s.dy[s.t.out + j] *= 1e-9F;
                s.dy[2 * s.t.out + j] *= k == 2 ? 1e15F : 1e30F;
                s.dy[3 * s.t.out + j] *= k == 1 ? 1e-6F : 1e-36F;
            }
            test_layer_run(&s.t, *state, true, found, s.dy, ROWS);
            for (int64_t row = 0; row < ROWS; row++) {
                char text[128];
                expect(&s, expected, s.dy + row * s.t.out);
                snprintf(text, sizeof text, "%s, weights of %g, row %d", s.t.c->what, sizes[k], (int)row);
                test_near(text, found + row * s.t.in, expected, s.t.in, tolerance());
            }
            free(found);
            free(expected);
            setup_end(&s, *state);
        }
}

/* A row's bits are its own, whatever stands beside it; zeros stay zeros, what is not finite stays in its
 * row. */
static void rows_stand_alone(void **state)
{
    /* Two back ends may differ in how far a NaN reaches (kernels/conv.h, Traps). */
    const bool checked = strncmp(test_backend(), "check:", 6) == 0;
    if (!has_half(state))
        return;
    for (int i = 0; i < CASES; i++) {
        struct setup s;
        setup(&s, *state, &cases[i], 0.3);
        float *whole = test_layer_floats(ROWS * s.t.in), *alone = test_layer_floats(s.t.in);
        for (int64_t j = 0; j < s.t.out; j++) {
            s.dy[s.t.out + j] *= 1e30F;
            s.dy[2 * s.t.out + j] = 0;
        }
        if (!checked) {
            s.dy[4 * s.t.out + s.t.out / 2] = INFINITY;
            s.dy[5 * s.t.out + s.t.out / 2] = NAN;
        }
        test_layer_run(&s.t, *state, true, whole, s.dy, ROWS);
        for (int64_t row = 0; row < ROWS; row++) {
            int64_t zeros = 0, strange = 0;
            test_layer_run(&s.t, *state, true, alone, s.dy + row * s.t.out, 1);
            for (int64_t j = 0; j < s.t.in; j++) {
                const float a = alone[j], b = whole[row * s.t.in + j];
                if (memcmp(&a, &b, sizeof a) != 0 && !(isnan(a) && isnan(b)))
                    test_fail("%s, row %d, value %d: %.9g alone, %.9g in a batch", s.t.c->what, (int)row,
                              (int)j, (double)a, (double)b);
                zeros += a == 0;
                strange += !isfinite(a);
            }
            assert_int_equal(zeros == s.t.in, row == 2);
            assert_int_equal(strange > 0, !checked && (row == 4 || row == 5));
        }
        free(whole);
        free(alone);
        setup_end(&s, *state);
    }
}

/* Forward is float32 all the same. */
static void forward_is_untouched(void **state)
{
    struct df_device *device = *state;
    if (!has_half(state))
        return;
    for (int i = 0; i < CASES; i++) {
        float *y[2];
        for (int half = 0; half < 2; half++) {
            struct test_layer t;
            test_layer_create(&t, device, &cases[i], half ? TEST_LAYER_HALF : TEST_LAYER_STRICT, 0.3, false);
            float *x = test_layer_floats(ROWS * t.in);
            y[half] = test_layer_floats(ROWS * t.out);
            test_fill_floats(x, ROWS * t.in, 3, -1, 1);
            test_layer_run(&t, device, false, y[half], x, ROWS);
            free(x);
            if (half)
                test_same_floats(cases[i].what, y[1], y[0], ROWS * t.out);
            test_layer_destroy(&t, device);
        }
        free(y[0]);
        free(y[1]);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_by_hand), cmocka_unit_test(rounding_as_the_compiler),
        cmocka_unit_test(scales),           cmocka_unit_test(operands_are_rounded),
        cmocka_unit_test(rows_stand_alone), cmocka_unit_test(forward_is_untouched),
    };
    return test_on_backends(argc, argv, "ref ref64 cpu check:ref:ref64 check:ref:cpu", tests,
                            sizeof tests / sizeof tests[0]);
}
