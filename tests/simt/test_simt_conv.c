/* SPDX-License-Identifier: Apache-2.0 */
/* dfal's own convolutions and products of a GPU, on the shim: every path against loops written independently,
 * the paths against one another bit for bit, and a row's results against those it has alone. */
#include "../support.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conv_walk.h" /* kernels */

enum { GUARD = 64 };

static void ok(int error)
{
    if (error != 0)
        test_fail("CUDA says: %s", cudaGetErrorString((cudaError_t)error));
}

/* Device memory of its own for each array, so that a read past its end is seen. */
static float *device(const float *values, int64_t count)
{
    void *memory = NULL;
    const size_t size = (size_t)(count > 0 ? count : 1) * sizeof(float);
    ok(cudaMalloc(&memory, size));
    if (values != NULL)
        ok(cudaMemcpy(memory, values, size, cudaMemcpyHostToDevice));
    return memory;
}

static void take(float *values, float *memory, int64_t count)
{
    ok(cudaDeviceSynchronize());
    ok(cudaMemcpy(values, memory, (size_t)count * sizeof(float), cudaMemcpyDeviceToHost));
    ok(cudaFree(memory));
}

static float *host(int64_t count)
{
    float *memory = malloc((size_t)(count > 0 ? count : 1) * sizeof(float));
    assert_non_null(memory);
    return memory;
}

static float *filled(int64_t count, uint64_t seed)
{
    float *memory = host(count);
    test_fill_floats(memory, count, seed, -1, 1);
    return memory;
}

/* Largest |found - expected| allowed: rounding of `terms` products below 1. */
static void near(const char *what, const float *found, const double *expected, int64_t count, int64_t terms)
{
    const double allowed = 1e-6 + 1e-7 * (double)terms;
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)found[i] - expected[i]) <= allowed))
            test_fail("%s: element %lld of %lld is %.9g, expected %.9g (at most %.3g off)", what,
                      (long long)i, (long long)count, (double)found[i], expected[i], allowed);
}

/* The same bits; zeros of both signs are equal. */
static void same(const char *what, const float *found, const float *expected, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!(found[i] == expected[i]))
            test_fail("%s: element %lld of %lld is %.9g, expected %.9g", what, (long long)i, (long long)count,
                      (double)found[i], (double)expected[i]);
}

/* ---- Loops to compare with ----------------------------------------------------------------------------- */

struct sums {
    double *y, *dx, *dw, *db;
};

static int64_t size3(const int32_t size[3])
{
    return (int64_t)size[0] * size[1] * size[2];
}

static double *zeros(int64_t count)
{
    double *memory = calloc((size_t)(count > 0 ? count : 1), sizeof(double));
    assert_non_null(memory);
    return memory;
}

static int64_t weights_of(const struct df_conv_shape *s)
{
    return (int64_t)s->out[0] * (s->in[0] / s->group) * s->window.kernel[0] * s->window.kernel[1];
}

/* One product of a weight, an input and an output cell after the other. */
static struct sums plain(const struct df_conv_shape *s, const float *x, const float *dy, const float *w,
                         const float *b, int64_t rows)
{
    const struct df_window *v = &s->window;
    const int64_t in_size = size3(s->in), out_size = size3(s->out), group_in = s->in[0] / s->group;
    const int64_t group_out = s->out[0] / s->group;
    const struct sums r = {zeros(rows * out_size), zeros(rows * in_size), zeros(weights_of(s)),
                           zeros(s->out[0])};
    for (int64_t row = 0; row < rows; row++)
        for (int64_t at = 0; at < out_size; at++) {
            const int64_t o = at / s->out[2] / s->out[1], h = at / s->out[2] % s->out[1], q = at % s->out[2];
            const double d = (double)dy[row * out_size + at];
            double sum = b != NULL ? (double)b[o] : 0;
            r.db[o] += d;
            for (int64_t c = 0; c < group_in; c++)
                for (int64_t ky = 0; ky < v->kernel[0]; ky++)
                    for (int64_t kx = 0; kx < v->kernel[1]; kx++) {
                        const int64_t ih = h * v->stride[0] - v->pad[0] + ky * v->dilation[0];
                        const int64_t iw = q * v->stride[1] - v->pad[1] + kx * v->dilation[1];
                        if (ih < 0 || ih >= s->in[1] || iw < 0 || iw >= s->in[2])
                            continue;
                        const int64_t k = ((o * group_in + c) * v->kernel[0] + ky) * v->kernel[1] + kx;
                        const int64_t i =
                            row * in_size + ((o / group_out * group_in + c) * s->in[1] + ih) * s->in[2] + iw;
                        sum += (double)w[k] * (double)x[i];
                        r.dx[i] += (double)w[k] * d;
                        r.dw[k] += d * (double)x[i];
                    }
            r.y[row * out_size + at] = sum;
        }
    return r;
}

static void drop(struct sums *r)
{
    free(r->y);
    free(r->dx);
    free(r->dw);
    free(r->db);
}

/* ---- Shapes -------------------------------------------------------------------------------------------- */

struct conv_case {
    const char *what;
    int32_t in[3], out_c, group, kernel[2], stride[2], pad[4], dilation[2], rows;
};

static struct df_conv_shape shape_of(const struct conv_case *c)
{
    struct df_conv_shape s = {.in = {c->in[0], c->in[1], c->in[2]}, .group = c->group};
    s.out[0] = c->out_c;
    for (int a = 0; a < 2; a++) {
        s.window.kernel[a] = c->kernel[a];
        s.window.stride[a] = c->stride[a];
        s.window.dilation[a] = c->dilation[a];
        s.out[1 + a] = (c->in[1 + a] + c->pad[a] + c->pad[a + 2] - c->dilation[a] * (c->kernel[a] - 1) - 1) /
                           c->stride[a] +
                       1;
    }
    memcpy(s.window.pad, c->pad, sizeof c->pad);
    return s;
}

static const struct conv_case cases[] = {
    {"lenet conv1", {1, 28, 28}, 6, 1, {5, 5}, {1, 1}, {0, 0, 0, 0}, {1, 1}, 9},
    {"lenet conv2", {6, 12, 12}, 16, 1, {5, 5}, {1, 1}, {0, 0, 0, 0}, {1, 1}, 11},
    {"caffe conv1", {1, 28, 28}, 20, 1, {5, 5}, {1, 1}, {0, 0, 0, 0}, {1, 1}, 2},
    {"vgg conv1", {1, 28, 28}, 64, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 3},
    {"vgg conv2 of few channels", {16, 14, 14}, 24, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 2},
    {"three channels", {3, 17, 19}, 11, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 5},
    {"5x5, three channels", {3, 13, 70}, 7, 1, {5, 5}, {1, 1}, {2, 2, 2, 2}, {1, 1}, 2},
    {"a plane of several tiles", {2, 45, 139}, 3, 1, {3, 3}, {1, 1}, {1, 0, 1, 2}, {1, 1}, 1},
    {"a tall plane", {2, 301, 5}, 3, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 2},
    {"many channels out", {5, 9, 10}, 150, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 2},
    {"many channels in", {131, 8, 8}, 9, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 3},
    {"4x4", {2, 10, 11}, 6, 1, {4, 4}, {1, 1}, {1, 2, 2, 1}, {1, 1}, 3},
    {"2x2", {3, 10, 11}, 6, 1, {2, 2}, {1, 1}, {0, 0, 1, 1}, {1, 1}, 3},
    {"3x4", {3, 10, 11}, 6, 1, {3, 4}, {1, 1}, {1, 1, 1, 2}, {1, 1}, 3},
    {"resnet's first", {3, 31, 31}, 16, 1, {7, 7}, {2, 2}, {3, 3, 3, 3}, {1, 1}, 2},
    {"alexnet's first", {3, 35, 35}, 8, 1, {11, 11}, {4, 4}, {2, 2, 2, 2}, {1, 1}, 2},
    {"3x3 stride 2, first", {3, 21, 18}, 8, 1, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}, 3},
    {"5x5 stride 2", {1, 21, 18}, 8, 1, {5, 5}, {2, 2}, {1, 2, 2, 1}, {1, 1}, 3},
    {"strides", {3, 11, 13}, 5, 1, {3, 3}, {2, 3}, {1, 1, 1, 1}, {1, 1}, 4},
    {"strides beyond the kernel", {5, 13, 11}, 7, 1, {2, 2}, {3, 4}, {0, 1, 1, 0}, {1, 1}, 3},
    {"stride and dilation", {2, 15, 15}, 8, 1, {3, 3}, {2, 2}, {2, 2, 2, 2}, {2, 2}, 3},
    {"stride 4, dilation 6", {7, 33, 30}, 8, 1, {3, 3}, {4, 4}, {6, 5, 4, 3}, {6, 6}, 2},
    {"dilation", {2, 12, 10}, 13, 1, {3, 3}, {1, 1}, {2, 1, 2, 1}, {2, 3}, 5},
    {"skewed pads", {2, 6, 9}, 4, 1, {3, 2}, {1, 2}, {2, 0, 1, 1}, {1, 1}, 33},
    {"1x1", {13, 5, 7}, 17, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}, 33},
    {"1x1, stride 2", {32, 9, 8}, 48, 1, {1, 1}, {2, 2}, {0, 0, 0, 0}, {1, 1}, 3},
    {"1x1, padded", {3, 4, 4}, 5, 1, {1, 1}, {1, 1}, {1, 0, 2, 1}, {1, 1}, 4},
    {"1x7", {4, 6, 11}, 20, 1, {1, 7}, {1, 1}, {0, 3, 0, 3}, {1, 1}, 3},
    {"7x1", {20, 11, 6}, 4, 1, {7, 1}, {1, 1}, {3, 0, 3, 0}, {1, 1}, 3},
    {"groups", {8, 7, 7}, 12, 4, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 3},
    {"groups of eight, stride 2", {32, 9, 9}, 32, 4, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}, 3},
    {"groups, dilated, skewed", {8, 12, 13}, 4, 2, {3, 2}, {1, 2}, {2, 1, 0, 3}, {2, 3}, 3},
    {"depthwise 3x3", {7, 9, 11}, 7, 7, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 5},
    {"depthwise 5x5", {3, 10, 9}, 3, 3, {5, 5}, {1, 1}, {2, 2, 2, 2}, {1, 1}, 3},
    {"depthwise 3x3, stride 2", {6, 9, 9}, 6, 6, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}, 3},
    {"depthwise 5x5, stride 2", {5, 10, 10}, 5, 5, {5, 5}, {2, 2}, {1, 1, 2, 2}, {1, 1}, 3},
    {"depthwise, two outputs", {9, 8, 8}, 18, 9, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 3},
    {"one weight, one cell", {1, 1, 1}, 1, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}, 33},
    {"kernel beyond the input", {2, 2, 2}, 3, 1, {5, 5}, {1, 1}, {2, 2, 2, 2}, {1, 1}, 3},
};
enum { CASES = sizeof cases / sizeof cases[0] };

/* ---- Forward and backward ------------------------------------------------------------------------------ */

typedef int path_fn(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream);

/* What a path makes of rows of `in`, between guards that it must not touch. The output of one row alone is
 * not aligned for vectors. */
static float *run_path(path_fn *path, const struct df_conv_walk *walk, const float *in, int64_t in_count,
                       const float *w, int64_t w_count, const float *b, int64_t rows, int64_t out_count)
{
    const int64_t front = rows > 1 ? GUARD : GUARD - 1, count = front + out_count + GUARD;
    float *all = host(count);
    test_fill_floats(all, count, 77, 3, 4);
    float *out = device(all, count), *at_in = device(in, in_count), *at_w = device(w, w_count);
    float *at_b = b != NULL ? device(b, (int64_t)walk->group * walk->out_c) : NULL;
    const struct df_conv_data data = {out + front, at_in, at_w, at_b, rows};
    ok(path(walk, &data, NULL));
    float *found = host(count);
    take(found, out, count);
    ok(cudaFree(at_in));
    ok(cudaFree(at_w));
    ok(cudaFree(at_b));
    test_same_floats("guard in front", found, all, front);
    test_same_floats("guard behind", found + front + out_count, all + front + out_count, GUARD);
    memmove(found, found + front, (size_t)out_count * sizeof(float));
    free(all);
    return found;
}

/* The public launchers as paths: they make the walk of this shape themselves. */
static const struct df_conv_shape *launcher_shape;

static int launcher_forward(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream)
{
    (void)walk;
    return df_conv_forward(launcher_shape, data->out, data->in, data->weight, data->bias, data->rows, stream);
}

static int launcher_backward(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream)
{
    (void)walk;
    return df_conv_backward(launcher_shape, data->out, data->in, data->weight, data->rows, stream);
}

static int narrow_of_many_rows(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream)
{
    return df_conv_narrow_as(walk, data, 1 << 20, stream);
}

static void check_walk(const struct conv_case *c, const struct df_conv_shape *s, int32_t backward,
                       const float *in, const float *w, const float *b, const double *expected,
                       int reached[4])
{
    const struct df_conv_walk walk = df_conv_walk_of(s, backward);
    const int64_t in_row = size3(backward ? s->out : s->in), out_row = size3(backward ? s->in : s->out);
    const int64_t rows = c->rows, terms = (int64_t)walk.in_c * s->window.kernel[0] * s->window.kernel[1];
    const struct {
        const char *name;
        path_fn *run;
        int32_t suits;
    } paths[] = {{"cells", df_conv_cells, 1},
                 {"depthwise", df_conv_depthwise, df_conv_suits_depthwise(&walk)},
                 {"narrow", df_conv_narrow, df_conv_suits_narrow(&walk)},
                 {"wide", df_conv_wide, 1},
                 {"narrow of many rows", narrow_of_many_rows, df_conv_suits_narrow(&walk)},
                 {"chosen", backward ? launcher_backward : launcher_forward, 1}};
    enum { PATHS = sizeof paths / sizeof paths[0] };
    float *cells = NULL;
    launcher_shape = s;
    for (int p = 0; p < PATHS; p++) {
        char what[160];
        if (!paths[p].suits)
            continue;
        snprintf(what, sizeof what, "%s, %s, %s", c->what, backward ? "backward" : "forward", paths[p].name);
        float *found =
            run_path(paths[p].run, &walk, in, rows * in_row, w, weights_of(s), b, rows, rows * out_row);
        if (p < 4)
            reached[p]++;
        near(what, found, expected, rows * out_row, terms);
        if (cells != NULL)
            same(what, found, cells, rows * out_row);
        /* The last row alone. */
        float *alone =
            run_path(paths[p].run, &walk, in + (rows - 1) * in_row, in_row, w, weights_of(s), b, 1, out_row);
        test_same_floats(what, alone, found + (rows - 1) * out_row, out_row);
        free(alone);
        if (cells == NULL)
            cells = found;
        else
            free(found);
    }
    free(cells);
}

/* ---- Weight gradients ---------------------------------------------------------------------------------- */

typedef int gradient_fn(const struct df_conv_shape *s, const struct df_conv_gradient *g, void *stream);

/* Parts of a path, [parts][weights + outputs]. */
static float *run_gradient(gradient_fn *path, const struct df_conv_shape *s, const float *x, const float *dy,
                           int64_t rows)
{
    const int64_t parts = (rows + DF_GRADIENT_ROWS - 1) / DF_GRADIENT_ROWS,
                  stride = weights_of(s) + s->out[0];
    float *out = device(NULL, parts * stride), *at_x = device(x, rows * size3(s->in));
    float *at_dy = device(dy, rows * size3(s->out)), *found = host(parts * stride);
    const struct df_conv_gradient g = {out, out + weights_of(s), stride, at_x, at_dy, rows};
    ok(path(s, &g, NULL));
    take(found, out, parts * stride);
    ok(cudaFree(at_x));
    ok(cudaFree(at_dy));
    return found;
}

static float *run_whole_gradient(const struct df_conv_shape *s, const float *x, const float *dy, int64_t rows,
                                 bool with_bias)
{
    const int64_t weights = weights_of(s), scratch_count = df_conv_gradient_scratch(s, rows);
    float *dw = device(NULL, weights), *db = device(NULL, s->out[0]), *found = host(weights + s->out[0]);
    float *at_x = device(x, rows * size3(s->in)), *at_dy = device(dy, rows * size3(s->out));
    float *scratch = scratch_count > 0 ? device(NULL, scratch_count) : NULL;
    ok(df_conv_weight_gradient(s, dw, with_bias ? db : NULL, at_x, at_dy, rows, scratch, NULL));
    take(found, dw, weights);
    take(found + weights, db, s->out[0]);
    ok(cudaFree(at_x));
    ok(cudaFree(at_dy));
    ok(cudaFree(scratch));
    return found;
}

static void check_gradient(const struct conv_case *c, const struct df_conv_shape *s, const float *x,
                           const float *dy, const struct sums *expected)
{
    const int64_t weights = weights_of(s), stride = weights + s->out[0], rows = c->rows;
    const int64_t parts = (rows + DF_GRADIENT_ROWS - 1) / DF_GRADIENT_ROWS,
                  terms = rows * s->out[1] * s->out[2];
    gradient_fn *const paths[] = {df_conv_gradient_lanes, df_conv_gradient_wide};
    char what[160];
    for (int p = 0; p < 2; p++) {
        snprintf(what, sizeof what, "%s, weight gradient, %s", c->what, p == 0 ? "lanes" : "wide");
        float *found = run_gradient(paths[p], s, x, dy, rows);
        /* A part is what its rows give alone. */
        for (int64_t part = 0; part < parts; part++) {
            const int64_t row = part * DF_GRADIENT_ROWS;
            const int64_t count = rows - row < DF_GRADIENT_ROWS ? rows - row : DF_GRADIENT_ROWS;
            float *alone = run_gradient(paths[p], s, x + row * size3(s->in), dy + row * size3(s->out), count);
            test_same_floats(what, found + part * stride, alone, stride);
            free(alone);
        }
        /* Added in their order they are the whole. */
        for (int64_t part = 1; part < parts; part++)
            for (int64_t i = 0; i < stride; i++)
                found[i] += found[part * stride + i];
        near(what, found, expected->dw, weights, terms);
        near(what, found + weights, expected->db, s->out[0], terms);
        if (df_conv_gradient_is_wide(s) == p) {
            float *whole = run_whole_gradient(s, x, dy, rows, true);
            test_same_floats(what, whole, found, stride);
            free(whole);
            whole = run_whole_gradient(s, x, dy, rows, false);
            test_same_floats(what, whole, found, weights);
            free(whole);
        }
        free(found);
    }
}

static void check_case(const struct conv_case *c, uint64_t seed, int reached[2][4])
{
    const struct df_conv_shape s = shape_of(c);
    float *x = filled(c->rows * size3(s.in), seed), *dy = filled(c->rows * size3(s.out), seed + 1);
    float *w = filled(weights_of(&s), seed + 2), *b = filled(s.out[0], seed + 3);
    struct sums r = plain(&s, x, dy, w, seed % 2 == 0 ? b : NULL, c->rows);
    check_walk(c, &s, 0, x, w, seed % 2 == 0 ? b : NULL, r.y, reached[0]);
    check_walk(c, &s, 1, dy, w, NULL, r.dx, reached[1]);
    check_gradient(c, &s, x, dy, &r);
    drop(&r);
    free(x);
    free(dy);
    free(w);
    free(b);
}

static void convolutions(void **state)
{
    (void)state;
    int reached[2][4] = {{0}};
    for (int i = 0; i < CASES; i++)
        check_case(&cases[i], 100 + (uint64_t)i, reached);
    for (int d = 0; d < 2; d++)
        for (int p = 0; p < 4; p++)
            assert_true(reached[d][p] > 1);
}

static uint64_t random_state;

static int32_t pick(int32_t low, int32_t high)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return low + (int32_t)((random_state >> 33) % (uint64_t)(high - low + 1));
}

static void random_convolutions(void **state)
{
    (void)state;
    enum { RANDOM_CASES = 60 };
    int reached[2][4] = {{0}};
    random_state = 5;
    for (int i = 0; i < RANDOM_CASES; i++) {
        const int32_t group = pick(0, 3) == 0 ? pick(2, 4) : 1, group_in = pick(1, 7),
                      group_out = pick(1, 11);
        struct conv_case c = {.group = group, .in = {group * group_in, pick(1, 14), pick(1, 14)}};
        c.out_c = group * group_out;
        c.rows = pick(0, 3) == 0 ? pick(9, 18) : pick(1, 3);
        for (int a = 0; a < 2; a++) {
            c.kernel[a] = pick(1, 5);
            c.stride[a] = pick(0, 1) ? 1 : pick(1, 4);
            c.dilation[a] = pick(0, 1) ? 1 : pick(1, 4);
            const int32_t reach = c.dilation[a] * (c.kernel[a] - 1);
            c.pad[a] = pick(0, reach);
            c.pad[a + 2] = pick(0, reach);
            while (c.in[1 + a] + c.pad[a] + c.pad[a + 2] <= reach)
                c.in[1 + a]++;
        }
        char what[160];
        snprintf(
            what, sizeof what,
            "random %d: in %dx%dx%d, out %d, group %d, kernel %dx%d, stride %dx%d, pad %d %d %d %d, dilation "
            "%dx%d, rows %d",
            i, c.in[0], c.in[1], c.in[2], c.out_c, group, c.kernel[0], c.kernel[1], c.stride[0], c.stride[1],
            c.pad[0], c.pad[1], c.pad[2], c.pad[3], c.dilation[0], c.dilation[1], c.rows);
        c.what = what;
        check_case(&c, 1000 + 4 * (uint64_t)i, reached);
    }
}

/* Enough cells for the larger tiles; few terms, so that it takes no time. */
static void many_cells(void **state)
{
    (void)state;
    static const struct conv_case large[] = {
        {"slim tile", {2, 61, 61}, 9, 1, {1, 3}, {1, 1}, {0, 0, 0, 1}, {1, 1}, 9},
        {"middle tile", {2, 65, 63}, 35, 1, {1, 2}, {1, 1}, {0, 1, 0, 0}, {1, 1}, 4},
        {"broad tile", {3, 65, 31}, 61, 1, {2, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}, 9},
        {"narrow, many samples", {1, 12, 12}, 6, 1, {5, 5}, {1, 1}, {0, 0, 0, 0}, {1, 1}, 1100},
    };
    for (int i = 0; i < 4; i++) {
        const struct df_conv_shape s = shape_of(&large[i]);
        const struct df_conv_walk walk = df_conv_walk_of(&s, 0);
        const int64_t rows = large[i].rows, count = rows * size3(s.out);
        path_fn *path = i < 3 ? df_conv_wide : df_conv_narrow;
        float *x = filled(rows * size3(s.in), 1), *w = filled(weights_of(&s), 2), *b = filled(s.out[0], 3);
        float *expected =
            run_path(df_conv_cells, &walk, x, rows * size3(s.in), w, weights_of(&s), b, rows, count);
        float *found = run_path(path, &walk, x, rows * size3(s.in), w, weights_of(&s), b, rows, count);
        same(large[i].what, found, expected, count);
        free(found);
        free(expected);
        free(x);
        free(w);
        free(b);
    }
}

/* More parts than are in flight at a time. */
static void many_parts(void **state)
{
    (void)state;
    const struct conv_case c = {"many parts", {1, 4, 4}, 2, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 1100};
    const struct df_conv_shape s = shape_of(&c);
    float *x = filled(c.rows * size3(s.in), 1), *dy = filled(c.rows * size3(s.out), 2),
          *w = filled(weights_of(&s), 3);
    struct sums r = plain(&s, x, dy, w, NULL, c.rows);
    check_gradient(&c, &s, x, dy, &r);
    assert_true(df_conv_gradient_scratch(&s, 1100) == df_conv_gradient_scratch(&s, 2000));
    assert_true(df_conv_gradient_scratch(&s, 8) == 0);
    /* No rows: no gradient. */
    float *none = run_whole_gradient(&s, x, dy, 0, true);
    for (int64_t i = 0; i < weights_of(&s) + s.out[0]; i++)
        assert_true(none[i] == 0);
    free(none);
    drop(&r);
    free(x);
    free(dy);
    free(w);
}

/* ---- Products ------------------------------------------------------------------------------------------ */

static float *run_product(int kind, int64_t in, int64_t out, const float *x, const float *dy, const float *w,
                          const float *b, int64_t rows)
{
    const int64_t counts[3] = {rows * out, rows * in, out * in + out};
    float *at_x = device(x, rows * in), *at_dy = device(dy, rows * out), *at_w = device(w, out * in);
    float *at_b = b != NULL ? device(b, out) : NULL, *result = device(NULL, counts[kind]);
    if (kind == 0)
        ok(df_gemm_forward(in, out, result, at_x, at_w, at_b, rows, NULL));
    else if (kind == 1)
        ok(df_gemm_backward(in, out, result, at_dy, at_w, rows, NULL));
    else
        ok(df_gemm_weight_gradient(in, out, result, b != NULL ? result + in * out : NULL, at_x, at_dy, rows,
                                   NULL));
    float *found = host(counts[kind]);
    take(found, result, counts[kind]);
    ok(cudaFree(at_x));
    ok(cudaFree(at_dy));
    ok(cudaFree(at_w));
    ok(cudaFree(at_b));
    return found;
}

/* k ascending, one fmaf a term: the contract itself. */
static void check_product(int64_t in, int64_t out, int64_t rows, bool with_bias)
{
    float *x = filled(rows * in, 1), *dy = filled(rows * out, 2), *w = filled(out * in, 3),
          *bias = filled(out, 4);
    const float *b = with_bias ? bias : NULL;
    float *y = host(rows * out), *dx = host(rows * in), *dw = host(out * in + out);
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t o = 0; o < out; o++) {
            float sum = b != NULL ? b[o] : 0;
            for (int64_t k = 0; k < in; k++)
                sum = fmaf(x[row * in + k], w[o * in + k], sum);
            y[row * out + o] = sum;
        }
        for (int64_t i = 0; i < in; i++) {
            float sum = 0;
            for (int64_t o = 0; o < out; o++)
                sum = fmaf(dy[row * out + o], w[o * in + i], sum);
            dx[row * in + i] = sum;
        }
    }
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i <= in; i++) {
            float sum = 0;
            for (int64_t row = 0; row < rows; row += DF_GRADIENT_ROWS) {
                float part = 0;
                for (int64_t r = row; r < rows && r < row + DF_GRADIENT_ROWS; r++)
                    part = i < in ? fmaf(dy[r * out + o], x[r * in + i], part) : part + dy[r * out + o];
                sum += part;
            }
            dw[i < in ? o * in + i : out * in + o] = sum;
        }
    const int64_t counts[3] = {rows * out, rows * in, out * in + (with_bias ? out : 0)};
    const float *expected[3] = {y, dx, dw};
    for (int kind = 0; kind < 3; kind++) {
        char what[120];
        snprintf(what, sizeof what, "product %lld to %lld, %lld rows, %s", (long long)in, (long long)out,
                 (long long)rows,
                 kind == 0   ? "forward"
                 : kind == 1 ? "backward"
                             : "weight gradient");
        float *found = run_product(kind, in, out, x, dy, w, b, rows);
        same(what, found, expected[kind], counts[kind]);
        free(found);
    }
    free(x);
    free(dy);
    free(w);
    free(bias);
    free(y);
    free(dx);
    free(dw);
}

static void products(void **state)
{
    (void)state;
    static const int32_t sizes[][3] = {
        {256, 84, 33},  {84, 10, 33},   {10, 10, 1},    {1, 1, 7},      {7, 1, 40},     {33, 17, 65},
        {130, 67, 31},  {3, 513, 9},    {5, 8200, 3},   {8200, 5, 3},   {3, 9, 32801},  {9, 3, 33001},
        {2, 40, 16391}, {40, 2, 16391}, {2, 61, 16385}, {61, 2, 16385}, {700, 1010, 5}, {1010, 701, 17}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        check_product(sizes[i][0], sizes[i][1], sizes[i][2], i % 3 != 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions), cmocka_unit_test(random_convolutions),
        cmocka_unit_test(many_cells),   cmocka_unit_test(many_parts),
        cmocka_unit_test(products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
