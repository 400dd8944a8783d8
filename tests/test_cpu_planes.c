/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions over planes: the bits of one fused multiply-add a term in the promised order, on both
 * instruction sets, for every number of rows. */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu.h"
#include "base/memory.h"

static const struct shape_case {
    int in_c, in_h, in_w, out_c, group;
    int kernel[2], stride[2], pad[4], dilation[2];
} cases[] = {
    {3, 23, 21, 20, 1, {7, 7}, {2, 2}, {3, 3, 3, 3}, {1, 1}},
    {3, 70, 70, 13, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {40, 61, 60, 7, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}}, /* several bands */
    {40, 61, 60, 7, 1, {3, 3}, {2, 2}, {1, 0, 1, 2}, {1, 1}},
    {24, 17, 19, 11, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}}, /* on the caller's memory */
    {700, 16, 17, 2, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}}, /* in several chunks */
    {24, 7, 7, 88, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}},   /* copied */
    {9, 8, 9, 5, 1, {1, 1}, {2, 3}, {0, 0, 0, 0}, {1, 1}},     /* residues without taps */
    {4, 5, 5, 3, 1, {1, 1}, {1, 1}, {1, 2, 0, 1}, {1, 1}},
    {8, 9, 9, 8, 8, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {6, 11, 10, 18, 6, {5, 5}, {2, 2}, {1, 1, 2, 2}, {1, 1}},
    {12, 10, 9, 20, 4, {3, 2}, {1, 2}, {2, 1, 0, 3}, {2, 3}},
    {2, 31, 30, 3, 1, {11, 11}, {4, 4}, {2, 2, 2, 2}, {1, 1}},
    {3, 13, 12, 4, 1, {2, 2}, {3, 5}, {0, 1, 1, 0}, {1, 1}}, /* strides beyond the kernel */
    {2, 2, 2, 3, 1, {5, 5}, {1, 1}, {2, 2, 2, 2}, {1, 1}},
    {1, 1, 40, 6, 1, {1, 7}, {1, 1}, {0, 3, 0, 3}, {1, 1}},
};

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static struct df_layer_desc describe(const struct shape_case *c)
{
    struct df_layer_desc d = {.in = {c->in_c, c->in_h, c->in_w}, .group = c->group, .block_rows = 64};
    memcpy(d.window.kernel, c->kernel, sizeof c->kernel);
    memcpy(d.window.stride, c->stride, sizeof c->stride);
    memcpy(d.window.pad, c->pad, sizeof c->pad);
    memcpy(d.window.dilation, c->dilation, sizeof c->dilation);
    d.out.c = c->out_c;
    d.out.h = (c->in_h + c->pad[0] + c->pad[2] - c->dilation[0] * (c->kernel[0] - 1) - 1) / c->stride[0] + 1;
    d.out.w = (c->in_w + c->pad[1] + c->pad[3] - c->dilation[1] * (c->kernel[1] - 1) - 1) / c->stride[1] + 1;
    return d;
}

static float *floats(int64_t count)
{
    float *memory = test_malloc((size_t)(count + 1) * sizeof *memory);
    memory[count] = 12345; /* a guard */
    return memory;
}

/* For each result element: weights meet in ascending channel, row and column of the kernel. */
static void expect(const struct shape_case *c, const struct df_layer_desc *d, bool backward, float *out,
                   const float *in, const float *w, const float *b, int64_t rows)
{
    const struct df_shape from = backward ? d->out : d->in, to = backward ? d->in : d->out;
    const int64_t ci = d->in.c / c->group, co = d->out.c / c->group,
                  taps = (int64_t)c->kernel[0] * c->kernel[1];
    const int64_t from_group = backward ? co : ci, to_group = backward ? ci : co, plane = to.h * to.w;
    for (int64_t i = 0; i < rows * to.c * plane; i++) {
        const int64_t n = i / plane / to.c, o = i / plane % to.c, g = o / to_group;
        float sum = b != NULL ? b[o] : 0;
        for (int64_t k = 0; k < from_group * taps; k++) {
            const int64_t f = g * from_group + k / taps, ky = k % taps / c->kernel[1], kx = k % c->kernel[1];
            int64_t y = i % plane / to.w, x = i % to.w;
            if (backward) {
                y += c->pad[0] - ky * c->dilation[0];
                x += c->pad[1] - kx * c->dilation[1];
                if (y % c->stride[0] != 0 || x % c->stride[1] != 0)
                    continue;
                y /= c->stride[0];
                x /= c->stride[1];
            } else {
                y = y * c->stride[0] + ky * c->dilation[0] - c->pad[0];
                x = x * c->stride[1] + kx * c->dilation[1] - c->pad[1];
            }
            if (y < 0 || y >= from.h || x < 0 || x >= from.w)
                continue;
            const int64_t at = backward ? (f * ci + o % ci) * taps + k % taps : o * ci * taps + k;
            sum = fmaf(w[at], in[(n * from.c + f) * from.h * from.w + y * from.w + x], sum);
        }
        out[i] = sum;
    }
}

static void run_case(const struct shape_case *c, bool backward, bool wide, int64_t rows)
{
    const struct df_layer_desc d = describe(c);
    const struct df_cpu_kernels *kernels = wide ? &df_cpu_kernels_avx512 : &df_cpu_kernels_avx2;
    const int64_t in = rows * df_shape_size(backward ? d.out : d.in),
                  out = rows * df_shape_size(backward ? d.in : d.out);
    const int64_t weights = df_layer_weight_count(&d);
    float *x = floats(in), *y = floats(out), *expected = floats(out), *w = floats(weights),
          *b = floats(c->out_c);
    float *scratch = NULL;
    struct df_planes *planes;
    test_fill_floats(x, in, 1, -1, 1);
    test_fill_floats(w, weights, 2, -1, 1);
    test_fill_floats(b, c->out_c, 3, -1, 1);
    expect(c, &d, backward, expected, x, w, backward ? NULL : b, rows);
    test_ok(df_planes_create(&planes, &d, backward, kernels));
    df_planes_bind(planes, w, backward ? NULL : b);
    test_ok(df_alloc(&scratch, df_planes_scratch(planes), sizeof *scratch));
    memset(scratch, 0xff,
           (size_t)df_planes_scratch(planes) * sizeof *scratch); /* NaN: nothing stale is read */
    memset(y, 0xff, (size_t)out * sizeof *y);
    df_planes_run(planes, y, x, rows, scratch);
    for (int64_t i = 0; i <= out; i++)
        if (i < out ? y[i] != expected[i] : y[i] != 12345) /* -0 is 0 */
            test_fail("case %d, %s, %s, %d rows: element %d is %.9g, expected %.9g", (int)(c - cases),
                      backward ? "backward" : "forward", wide ? "avx512" : "avx2", (int)rows, (int)i,
                      (double)y[i], (double)expected[i]);
    df_planes_destroy(planes);
    df_free(scratch);
    float *all[] = {x, y, expected, w, b};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        test_free(all[i]);
}

static void run_all(bool wide)
{
    const int64_t rows[] = {1, 3, 35};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int k = 0; k < 2; k++)
            for (int backward = 0; backward < 2; backward++)
                run_case(&cases[i], backward != 0, wide,
                         cases[i].in_w < 24 || k < 1 ? rows[k + (cases[i].in_w < 13)] : 2);
}

static void avx2_follows_the_order(void **state)
{
    (void)state;
    run_all(false);
}

static void avx512_follows_the_order(void **state)
{
    (void)state;
    if (!has_avx512())
        skip();
    run_all(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(avx2_follows_the_order),
        cmocka_unit_test(avx512_follows_the_order),
    };
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
