/* SPDX-License-Identifier: Apache-2.0 */
/* join_fwd and join_bwd: every way to broadcast either operand, every op, against loops written
 * independently. */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SAMPLES = 3, ROWS = 5, LARGEST = ROWS * 6000 };
static const char *const names[] = {"add", "sub", "mul", "div"};
static const int32_t owners[ROWS] = {2, 0, 0, 1, 2};

/* One join: which of the result's extents each operand lacks, as bits 1 channels, 2 height, 4 width. */
struct join_case {
    union df_params p;
    int64_t size;
    char text[96];
};

/* single: 0 also where the result has only one; both are allowed. */
static int64_t strides(int64_t stride[3], const int64_t extent[3], int lacks, bool single)
{
    int64_t size = 1;
    for (int k = 2; k >= 0; k--) {
        const int64_t own = lacks >> k & 1 ? 1 : extent[k];
        stride[k] = own == 1 && (single || extent[k] > 1) ? 0 : size;
        size *= own;
    }
    return size;
}

static struct join_case join_of(const int64_t extent[3], int kind, int a_lacks, int b_lacks)
{
    struct join_case j = {.size = extent[0] * extent[1] * extent[2]};
    struct df_join_params *p = &j.p.join;
    p->kind = kind;
    for (int k = 0; k < 3; k++)
        p->extent[k] = extent[k];
    p->a_size = strides(p->a_stride, extent, a_lacks, kind % 2 == 0);
    p->b_size = strides(p->b_stride, extent, b_lacks, kind % 2 == 0);
    snprintf(j.text, sizeof j.text, "%s, %dx%dx%d, a lacks %d, b lacks %d", names[kind], (int)extent[0],
             (int)extent[1], (int)extent[2], a_lacks, b_lacks);
    return j;
}

/* The operand's element for element e of the result. */
static int64_t element(const struct join_case *j, const int64_t stride[3], int64_t e)
{
    const int64_t *extent = j->p.join.extent;
    return e / (extent[1] * extent[2]) * stride[0] + e / extent[2] % extent[1] * stride[1] +
           e % extent[2] * stride[2];
}

static double value_of(int kind, double a, double b)
{
    return kind == DF_JOIN_ADD ? a + b : kind == DF_JOIN_SUB ? a - b : kind == DF_JOIN_MUL ? a * b : a / b;
}

static double slope_of(int kind, int towards, double a, double b)
{
    if (kind == DF_JOIN_ADD)
        return 1;
    if (kind == DF_JOIN_SUB)
        return towards == 0 ? 1 : -1;
    if (kind == DF_JOIN_MUL)
        return towards == 0 ? b : a;
    return towards == 0 ? 1 / b : -a / (b * b);
}

/* whole: small whole numbers, divisors powers of two, so that every sum is exact. */
static void fill(float *x, int64_t count, uint64_t seed, bool whole, bool divisor)
{
    if (whole)
        test_fill_whole(x, count, seed, divisor ? 0 : -4, divisor ? 2 : 4);
    else
        test_fill_floats(x, count, seed, divisor ? 0.5 : -1, divisor ? 2 : 1);
    for (int64_t i = 0; whole && divisor && i < count; i++)
        x[i] = ldexpf(i % 3 == 0 ? -1 : 1, (int)x[i]);
}

static void agree(const struct join_case *j, const char *what, const float *found, const double *expected,
                  int64_t count, bool whole)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(expected[i]));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)found[i] - expected[i]) <= (whole ? 0 : 2e-7 * largest)))
            test_fail("%s, %s: element %d of %d is %.9g, expected %.9g", j->text, what, (int)i, (int)count,
                      (double)found[i], expected[i]);
}

static void run_forward(struct df_device *device, const struct join_case *j, bool whole)
{
    static float a[LARGEST], b[LARGEST], y[LARGEST];
    static double expected[LARGEST];
    const struct df_join_params *p = &j->p.join;
    fill(a, SAMPLES * p->a_size, 1, whole, false);
    fill(b, SAMPLES * p->b_size, 2, whole, p->kind == DF_JOIN_DIV);
    for (int64_t i = 0; i < SAMPLES * j->size; i++) {
        const int64_t row = i / j->size, e = i % j->size;
        expected[i] = value_of(p->kind, (double)a[row * p->a_size + element(j, p->a_stride, e)],
                               (double)b[row * p->b_size + element(j, p->b_stride, e)]);
    }
    struct test_rig rig;
    rig_begin(&rig, device, DF_OP_join_fwd, SAMPLES * p->extent[0], 0);
    rig.call.p = j->p;
    rig_in(&rig, 0, DF_TYPE_REAL, a, SAMPLES * p->a_size);
    rig_in(&rig, 1, DF_TYPE_REAL, b, SAMPLES * p->b_size);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, SAMPLES * j->size);
    rig_run(&rig);
    rig_get(&rig, 0, y);
    rig_end(&rig);
    agree(j, "forward", y, expected, SAMPLES * j->size, whole);
}

static void run_backward(struct df_device *device, struct join_case *j, int towards, const int32_t *owner,
                         bool whole)
{
    static float a[LARGEST], b[LARGEST], dy[LARGEST], dx[LARGEST];
    static double expected[LARGEST];
    struct df_join_params *p = &j->p.join;
    const int64_t rows = owner != NULL ? ROWS : SAMPLES, size = towards == 0 ? p->a_size : p->b_size;
    const int64_t *stride = towards == 0 ? p->a_stride : p->b_stride;
    p->towards = towards;
    fill(a, SAMPLES * p->a_size, 1, whole, false);
    fill(b, SAMPLES * p->b_size, 2, whole, p->kind == DF_JOIN_DIV);
    fill(dy, rows * j->size, 3, whole, false);
    memset(expected, 0, (size_t)(rows * size) * sizeof *expected);
    for (int64_t i = 0; i < rows * j->size; i++) {
        const int64_t row = i / j->size, e = i % j->size, source = owner != NULL ? owner[row] : row;
        const double slope =
            slope_of(p->kind, towards, (double)a[source * p->a_size + element(j, p->a_stride, e)],
                     (double)b[source * p->b_size + element(j, p->b_stride, e)]);
        expected[row * size + element(j, stride, e)] += (double)dy[i] * slope;
    }
    struct test_rig rig;
    rig_begin(&rig, device, DF_OP_join_bwd, rows * (stride[0] != 0 ? p->extent[0] : 1), 0);
    rig.call.p = j->p;
    rig_in(&rig, 0, DF_TYPE_REAL, dy, rows * j->size);
    /* What a gradient does not read is not given. */
    if (p->kind >= DF_JOIN_MUL && (towards == 1 || p->kind == DF_JOIN_MUL) &&
        !(p->kind == DF_JOIN_MUL && towards == 0))
        rig_in(&rig, 1, DF_TYPE_REAL, a, SAMPLES * p->a_size);
    if (p->kind == DF_JOIN_DIV || (p->kind == DF_JOIN_MUL && towards == 0))
        rig_in(&rig, 2, DF_TYPE_REAL, b, SAMPLES * p->b_size);
    if (owner != NULL)
        rig_in(&rig, 3, DF_TYPE_I32, owner, ROWS);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, rows * size);
    rig_run(&rig);
    rig_get(&rig, 0, dx);
    rig_end(&rig);
    agree(j, towards == 0 ? "towards a" : "towards b", dx, expected, rows * size, whole);
}

static void every_broadcast(struct df_device *device, const int64_t extent[3], bool whole)
{
    for (int a = 0; a < 8; a++)
        for (int b = 0; b < 8; b++) {
            if ((a & b) != 0)
                continue; /* then the result lacks it too */
            for (int kind = DF_JOIN_ADD; kind <= DF_JOIN_DIV; kind++) {
                struct join_case j = join_of(extent, kind, a, b);
                run_forward(device, &j, whole);
                for (int towards = 0; towards < 2; towards++) {
                    run_backward(device, &j, towards, NULL, whole);
                    run_backward(device, &j, towards, owners, whole);
                }
            }
        }
}

static void whole_numbers_are_exact(void **state)
{
    const int64_t extents[][3] = {{3, 4, 5}, {2, 1, 9}, {1, 1, 1}, {5, 1, 1}, {1, 6, 1}, {2, 7, 1}};
    for (size_t i = 0; i < sizeof extents / sizeof extents[0]; i++)
        every_broadcast(*state, extents[i], true);
}

static void reals_are_near(void **state)
{
    const int64_t extents[][3] = {{4, 7, 7}, {3, 5, 70}};
    for (size_t i = 0; i < sizeof extents / sizeof extents[0]; i++)
        every_broadcast(*state, extents[i], false);
}

/* The order of a gradient's sum is promised: eight sums in double over a channel's terms, then pairwise. */
static void sums_follow_their_order(void **state)
{
    enum { C = 3, PLANE = 11 * 13 };
    struct df_device *device = *state;
    const int64_t extent[3] = {C, 11, 13};
    static float dy[C * PLANE], a[C * PLANE], dx[C];
    float expected[C];
    struct join_case j = join_of(extent, DF_JOIN_MUL, 0, 6);
    struct test_rig rig;
    if (strcmp(device->info.backend, "ref64") == 0)
        return; /* its result is not rounded to float */
    test_fill_floats(dy, C * PLANE, 1, -1, 1);
    test_fill_floats(a, C * PLANE, 2, -1000, 1000);
    for (int c = 0; c < C; c++) {
        double s[8] = {0};
        for (int e = 0; e < PLANE; e++)
            s[e % 8] += (double)dy[c * PLANE + e] * (double)a[c * PLANE + e];
        expected[c] = (float)(((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7])));
    }
    rig_begin(&rig, device, DF_OP_join_bwd, C, 0);
    rig.call.p = j.p;
    rig.call.p.join.towards = 1;
    rig_in(&rig, 0, DF_TYPE_REAL, dy, C * PLANE);
    rig_in(&rig, 1, DF_TYPE_REAL, a, C * PLANE);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, C);
    rig_run(&rig);
    rig_get(&rig, 0, dx);
    rig_end(&rig);
    test_same_floats("join_bwd's order", dx, expected, C);
}

/* sum c y, by differences of the forward. */
static void evaluate(struct df_device *device, const struct join_case *j, double *y, const float *a,
                     const float *b)
{
    struct test_rig rig;
    rig_begin(&rig, device, DF_OP_join_fwd, j->p.join.extent[0], 0);
    rig.call.p = j->p;
    rig_in(&rig, 0, DF_TYPE_REAL, a, j->p.join.a_size);
    rig_in(&rig, 1, DF_TYPE_REAL, b, j->p.join.b_size);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, j->size);
    rig_run(&rig);
    rig_get_f64(&rig, 0, y);
    rig_end(&rig);
}

static void gradients_agree_with_differences(void **state)
{
    struct df_device *device = *state;
    const int64_t extent[3] = {3, 2, 5};
    const int lacks[][2] = {{0, 0}, {0, 6}, {1, 6}, {4, 3}, {7, 0}};
    const double h = 0x1p-12;
    if (strcmp(device->info.backend, "ref64") != 0)
        return; /* differences need double */
    for (int i = 0; i < 5 * 4 * 2; i++) {
        struct join_case j = join_of(extent, i % 4, lacks[i / 8][0], lacks[i / 8][1]);
        struct df_join_params *p = &j.p.join;
        float a[30], b[30], dy[30];
        double up[30], down[30], dx[30];
        p->towards = i / 4 % 2;
        test_fill_whole(a, 30, 1, -64, 64);
        test_fill_whole(b, 30, 2, 64, 128);
        test_fill_whole(dy, 30, 3, -3, 3);
        for (int k = 0; k < 30; k++) {
            a[k] /= 64;
            b[k] /= 64;
        }
        const int64_t size = p->towards == 0 ? p->a_size : p->b_size;
        const int64_t *stride = p->towards == 0 ? p->a_stride : p->b_stride;
        struct test_rig rig;
        rig_begin(&rig, device, DF_OP_join_bwd, stride[0] != 0 ? extent[0] : 1, 0);
        rig.call.p = j.p;
        rig_in(&rig, 0, DF_TYPE_REAL, dy, j.size);
        rig_in(&rig, 1, DF_TYPE_REAL, a, p->a_size);
        rig_in(&rig, 2, DF_TYPE_REAL, b, p->b_size);
        rig_out(&rig, 0, DF_TYPE_REAL, NULL, size);
        rig_run(&rig);
        rig_get_f64(&rig, 0, dx);
        rig_end(&rig);
        for (int64_t k = 0; k < size; k++) {
            float *x = p->towards == 0 ? a : b, old = x[k];
            double sum = 0;
            x[k] = (float)((double)old + h);
            evaluate(device, &j, up, a, b);
            x[k] = (float)((double)old - h);
            evaluate(device, &j, down, a, b);
            x[k] = old;
            for (int64_t e = 0; e < j.size; e++)
                sum += (double)dy[e] * (up[e] - down[e]) / (2 * h);
            if (!(fabs(sum - dx[k]) <= 1e-5))
                test_fail("%s towards %d: derivative %d is %.9g by differences and %.9g by the op", j.text,
                          p->towards, (int)k, sum, dx[k]);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(reals_are_near),
        cmocka_unit_test(sums_follow_their_order),
        cmocka_unit_test(gradients_agree_with_differences),
    };
    return test_on_backends(argc, argv, "ref ref64 cpu check:ref:cpu", tests, sizeof tests / sizeof tests[0]);
}
