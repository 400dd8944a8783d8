/* SPDX-License-Identifier: Apache-2.0 */
/* Lower bounds of DeepFool margins: norms against closed forms and power iteration in double, bounds against
 * closed forms, against points looked for within them, and against DeepFool itself. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "score/bound.h"
#include "score/row_values.h"
#include "score/spectral.h"
#include "support_network.h"
#include "support_score.h"

/* ---- Norms --------------------------------------------------------------------------------------------- */

static double norm_of(const struct df_filters *filters, bool absolute)
{
    double norm;
    test_ok(df_spectral_norm(&norm, filters, absolute));
    return norm;
}

static void between(const char *what, double found, double low, double high)
{
    if (!(found >= low && found <= high))
        test_fail("%s: %.12g found, expected %.12g to %.12g", what, found, low, high);
}

static void test_norm_closed(void **state)
{
    (void)state;
    const float diagonal[] = {3, 0, 0, 0, -1, 0};
    between("diagonal", norm_of(&(struct df_filters){diagonal, 2, 3, {1, 1}}, false), 3, 3.01);
    const float centre[9] = {[4] = -2};
    between("shift", norm_of(&(struct df_filters){centre, 1, 1, {3, 3}}, false), 2, 2.02);
    const float sums[] = {1, 1, 1};
    between("sums", norm_of(&(struct df_filters){sums, 1, 1, {1, 3}}, false), 3, 3.03);
    const float difference[] = {1, -1};
    between("difference", norm_of(&(struct df_filters){difference, 1, 1, {2, 1}}, false), 2, 2.02);
    between("its magnitude", norm_of(&(struct df_filters){difference, 1, 1, {2, 1}}, true), 2, 2.01);
    /* |e^(it) + e^(2it) / 2| */
    const float uneven[] = {0, 1, 0.5f};
    between("uneven", norm_of(&(struct df_filters){uneven, 1, 1, {3, 1}}, false), 1.5, 1.515);
    const float zeros[18] = {0};
    between("zeros", norm_of(&(struct df_filters){zeros, 2, 1, {3, 3}}, false), 0, 0);
    assert_false(df_spectral_can(&(struct df_filters){zeros, 40, 33, {3, 3}}));
    assert_false(df_spectral_can(&(struct df_filters){zeros, 512, 32, {3, 3}}));
    assert_true(df_spectral_can(&(struct df_filters){zeros, 400, 32, {3, 3}}));
    assert_true(df_spectral_can(&(struct df_filters){zeros, 40, 33, {1, 1}}));
}

enum { SIDE = 24 };

/* y [out, SIDE, SIDE] = W x with zeros around, or its transpose. */
static void convolve(const struct df_filters *f, double *y, const double *x, bool transposed)
{
    const int32_t kh = f->kernel[0], kw = f->kernel[1];
    memset(y, 0, (size_t)((transposed ? f->in : f->out) * SIDE * SIDE) * sizeof *y);
    for (int64_t o = 0; o < f->out; o++)
        for (int64_t c = 0; c < f->in; c++)
            for (int32_t t = 0; t < kh * kw; t++) {
                const double w = (double)f->weight[(o * f->in + c) * kh * kw + t];
                const int32_t down = t / kw - kh / 2, right = t % kw - kw / 2;
                for (int32_t i = 0; i < SIDE; i++)
                    for (int32_t j = 0; j < SIDE; j++) {
                        const int32_t a = i + down, b = j + right;
                        if (a < 0 || b < 0 || a >= SIDE || b >= SIDE)
                            continue;
                        const int64_t at = (o * SIDE + i) * SIDE + j, from = (c * SIDE + a) * SIDE + b;
                        if (transposed)
                            y[from] += w * x[at];
                        else
                            y[at] += w * x[from];
                    }
            }
}

/* From below: ||W x|| of the x that a few hundred steps of power iteration end with. */
static double power_iteration(const struct df_filters *f)
{
    const int64_t in = f->in * SIDE * SIDE, out = f->out * SIDE * SIDE;
    double *x, *y, length = 0;
    float *begin;
    test_ok(df_alloc(&x, in, sizeof *x));
    test_ok(df_alloc(&y, out, sizeof *y));
    test_ok(df_alloc(&begin, in, sizeof *begin));
    test_fill_floats(begin, in, 5, -1, 1);
    for (int64_t i = 0; i < in; i++)
        x[i] = (double)begin[i];
    for (int step = 0; step < 200; step++) {
        double square = 0, sum = 0;
        for (int64_t i = 0; i < in; i++)
            square += x[i] * x[i];
        for (int64_t i = 0; i < in; i++)
            x[i] /= sqrt(square);
        convolve(f, y, x, false);
        for (int64_t i = 0; i < out; i++)
            sum += y[i] * y[i];
        length = sqrt(sum);
        convolve(f, x, y, true);
    }
    df_free(x);
    df_free(y);
    df_free(begin);
    return length;
}

static void test_norm_power(void **state)
{
    (void)state;
    const struct df_filters shapes[] = {{.out = 5, .in = 3, .kernel = {3, 3}},
                                        {.out = 2, .in = 4, .kernel = {5, 5}},
                                        {.out = 3, .in = 3, .kernel = {2, 4}},
                                        {.out = 6, .in = 7, .kernel = {1, 1}}};
    float weight[256];
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        struct df_filters filters = shapes[s];
        test_fill_floats(weight, 256, 11 + s, -1, 1);
        filters.weight = weight;
        const double below = power_iteration(&filters);
        /* A plane of 24x24 is nearly endless. */
        between("convolution", norm_of(&filters, false), below * (1 - 1e-12), below * 1.1);
        assert_true(norm_of(&filters, true) >= norm_of(&filters, false) * 0.98);
    }
}

/* ---- Bounds -------------------------------------------------------------------------------------------- */

struct measured {
    int64_t count;
    struct df_bound_row *row;
};

/* Bounds of all rows of x [n, D], by layers in float64: a folded network on ref64 rounds nothing. */
static void measure(struct measured *m, const struct df_network *network, const float *x, int64_t n)
{
    struct df_device *device = test_device_open("ref", 1);
    struct df_network *folded;
    struct df_bound *bound;
    struct df_bound_space *space;
    struct df_plan *plan;
    struct df_tape *tape;
    struct df_span span;
    struct df_shape shape;
    test_ok(df_network_fold(&folded, network));
    test_ok(df_bound_create(&bound, folded));
    assert_null(df_bound_missing(bound));
    test_ok(df_bound_space_create(&space, bound));
    test_ok(df_plan_create(&plan, device, folded, DF_PLAN_FORWARD, false));
    test_ok(df_tape_create(&tape, plan, 0, n, 0));
    test_ok(df_tape_node(tape, df_bound_node(bound), &span, &shape));
    const int64_t size = df_plan_input_size(plan), features = df_shape_size(shape),
                  classes = network->class_count;
    float *values, *logits;
    test_ok(df_alloc(&values, n * features, sizeof *values));
    test_ok(df_alloc(&logits, n * classes, sizeof *logits));
    test_ok(df_write(device, 0, df_tape_input(tape), x, n * size));
    test_ok(df_tape_forward(tape, n));
    test_ok(df_read(device, 0, values, span, n * features));
    test_ok(df_read(device, 0, logits, df_tape_logits(tape), n * classes));
    m->count = n;
    test_ok(df_alloc(&m->row, n, sizeof *m->row));
    for (int64_t i = 0; i < n; i++)
        df_bound_measure(bound, space, &m->row[i], values + i * features,
                         (int32_t)df_row_largest(logits + i * classes, classes),
                         df_row_length(x + i * size, size));
    df_free(values);
    df_free(logits);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    df_bound_space_destroy(space);
    df_bound_destroy(bound);
    df_network_destroy(folded);
    df_device_close(device);
}

enum { ROWS = 60, INPUTS = 37, CLASSES = 5, HIDDEN = 20 };

/* Of a Gemm alone the bound is the distance itself but for rounding: min gap / ||w_l - w_k||. */
static void test_affine(void **state)
{
    (void)state;
    float weight[CLASSES * INPUTS], bias[CLASSES], x[ROWS * INPUTS];
    struct measured m;
    test_fill_floats(weight, CLASSES * INPUTS, 1, -1, 1);
    test_fill_floats(bias, CLASSES, 2, -1, 1);
    test_fill_floats(x, ROWS * INPUTS, 3, -1, 1);
    struct df_network *network = test_affine_network(weight, bias, CLASSES, INPUTS);
    measure(&m, network, x, ROWS);
    for (int64_t i = 0; i < ROWS; i++) {
        double f[CLASSES], nearest = INFINITY;
        int best = 0;
        for (int k = 0; k < CLASSES; k++) {
            f[k] = (double)bias[k];
            for (int j = 0; j < INPUTS; j++)
                f[k] += (double)weight[k * INPUTS + j] * (double)x[i * INPUTS + j];
            best = f[k] > f[best] ? k : best;
        }
        for (int k = 0; k < CLASSES; k++) {
            double square = 0;
            for (int j = 0; j < INPUTS; j++)
                square += pow((double)weight[best * INPUTS + j] - (double)weight[k * INPUTS + j], 2);
            if (k != best)
                nearest = fmin(nearest, (f[best] - f[k]) / sqrt(square));
        }
        between("affine bound", m.row[i].least, fmax(0, nearest * 0.999 - 1e-4), nearest);
        between("affine estimate", (double)m.row[i].estimate, nearest * 0.9999, nearest * 1.0001);
    }
    df_free(m.row);
    df_network_destroy(network);
}

static int class_of(const float *weight1, const float *bias1, const float *weight2, const float *bias2,
                    const double *x)
{
    double f[CLASSES], h[HIDDEN];
    int best = 0;
    for (int u = 0; u < HIDDEN; u++) {
        h[u] = (double)bias1[u];
        for (int j = 0; j < INPUTS; j++)
            h[u] += (double)weight1[u * INPUTS + j] * x[j];
        h[u] = h[u] > 0 ? h[u] : 0;
    }
    for (int k = 0; k < CLASSES; k++) {
        f[k] = (double)bias2[k];
        for (int u = 0; u < HIDDEN; u++)
            f[k] += (double)weight2[k * HIDDEN + u] * h[u];
        best = f[k] > f[best] ? k : best;
    }
    return best;
}

/* Of a hidden layer: no point of another class is found within the bound, in double, on the lines towards
 * each other row, which is where other classes are; and where no hidden unit may change within the distance
 * to the tangent's boundary the bound is that distance. */
static void test_hidden(void **state)
{
    (void)state;
    float weight1[HIDDEN * INPUTS], bias1[HIDDEN], weight2[CLASSES * HIDDEN], bias2[CLASSES],
        x[ROWS * INPUTS];
    struct measured m;
    int64_t proven = 0;
    test_fill_floats(weight1, HIDDEN * INPUTS, 1, -1, 1);
    test_fill_floats(bias1, HIDDEN, 2, -1, 1);
    test_fill_floats(weight2, CLASSES * HIDDEN, 3, -1, 1);
    test_fill_floats(bias2, CLASSES, 4, -1, 1);
    test_fill_floats(x, ROWS * INPUTS, 5, -1, 1);
    struct df_network *network = test_relu_network(weight1, bias1, HIDDEN, weight2, bias2, CLASSES, INPUTS);
    measure(&m, network, x, ROWS);
    for (int64_t i = 0; i < ROWS; i++) {
        double at[INPUTS], nearest = INFINITY;
        for (int j = 0; j < INPUTS; j++)
            at[j] = (double)x[i * INPUTS + j];
        const int own = class_of(weight1, bias1, weight2, bias2, at);
        for (int64_t other = 0; other < ROWS; other++) {
            double square = 0, part = 1;
            for (int j = 0; j < INPUTS; j++)
                square += pow((double)x[other * INPUTS + j] - (double)x[i * INPUTS + j], 2);
            for (double step = 0.5; step > 1e-9; step /= 2) {
                for (int j = 0; j < INPUTS; j++)
                    at[j] = (double)x[i * INPUTS + j] +
                            (part - step) * ((double)x[other * INPUTS + j] - (double)x[i * INPUTS + j]);
                part -= class_of(weight1, bias1, weight2, bias2, at) != own ? step : 0;
            }
            for (int j = 0; j < INPUTS; j++)
                at[j] = (double)x[i * INPUTS + j] +
                        part * ((double)x[other * INPUTS + j] - (double)x[i * INPUTS + j]);
            if (other != i && class_of(weight1, bias1, weight2, bias2, at) != own)
                nearest = fmin(nearest, part * sqrt(square));
        }
        between("bound", m.row[i].least, 0, nearest);
        proven += m.row[i].least > 0;
    }
    assert_true(proven > ROWS * 9 / 10);
    df_free(m.row);
    df_network_destroy(network);
}

/* x -> (relu(x), 1 - relu(x) / 2): the bend at 0 counts for nothing where x stays above it. */
static void test_bend(void **state)
{
    (void)state;
    const float weight1[] = {1}, bias1[] = {0}, weight2[] = {1, -0.5f}, bias2[] = {0, 1};
    const float x[] = {1, 0.9f, -0.5f, -1};
    struct measured m;
    struct df_network *network = test_relu_network(weight1, bias1, 1, weight2, bias2, 2, 1);
    measure(&m, network, x, 4);
    /* relu(x) = 2/3 is the boundary. */
    between("from 1", m.row[0].least, 0.3333, 1.0 / 3);
    between("from 0.9", m.row[1].least, 0.2332, 0.9 - 2.0 / 3);
    between("from below", m.row[2].least, 0.5 + 0.6665, 0.5 + 2.0 / 3);
    between("from far below", m.row[3].least, 1 + 0.6665, 1 + 2.0 / 3);
    df_free(m.row);
    df_network_destroy(network);
}

/* Two convolutions that multiply by 2 and by 3, with what is positive between them, and a Gemm: the distance
 * is gap / (6 ||w_0 - w_1||), and the norms' bounds are within a few per cent. */
static void test_chain_closed(void **state)
{
    (void)state;
    enum { SIDE_OF = 4, PIXELS = SIDE_OF * SIDE_OF };
    struct df_network *network = test_graph(
        (struct df_shape){1, SIDE_OF, SIDE_OF}, 2,
        "a Conv input o=1 k=3 p=1;b Relu a;c Conv b o=1 k=3 p=1;d Relu c;e Flatten d;f Gemm e o=2");
    const float factor[] = {2, 3};
    float x[4 * PIXELS];
    struct measured m;
    int32_t convs = 0;
    for (int32_t i = 0; i < network->node_count; i++) {
        struct df_node *node = &network->nodes[i];
        struct df_parameter *weight = &node->parameter[DF_WEIGHT], *bias = &node->parameter[DF_BIAS];
        for (int64_t j = 0; j < bias->count; j++)
            bias->data[j] = 0;
        for (int64_t j = 0; node->op == DF_NODE_CONV && j < 9; j++)
            weight->data[j] = j == 4 ? factor[convs] : 0;
        convs += node->op == DF_NODE_CONV;
        for (int64_t j = 0; node->op == DF_NODE_GEMM && j < 2 * PIXELS; j++)
            weight->data[j] = j < PIXELS ? 1 : -1;
    }
    test_fill_floats(x, 4 * PIXELS, 3, 1, 2);
    measure(&m, network, x, 4);
    for (int64_t i = 0; i < 4; i++) {
        double sum = 0;
        for (int64_t j = 0; j < PIXELS; j++)
            sum += 12 * (double)x[i * PIXELS + j];
        const double distance = sum / (6 * 2 * sqrt(PIXELS));
        between("chain", m.row[i].least, distance * 0.95, distance);
    }
    df_free(m.row);
    df_network_destroy(network);
}

/* ---- Against DeepFool ---------------------------------------------------------------------------------- */

enum { POOL = 300 };

/* Every margin that DeepFool ends with lies beyond the bound, whatever the preset, and the nearest rows are
 * near the front of the estimate's order. */
static void against_deepfool(const struct df_network *network, const char *preset, uint64_t seed)
{
    char folder[TEST_PATH], path[TEST_PATH];
    const int64_t size = df_shape_size(network->input);
    struct df_pool *pool;
    struct df_margin margins[POOL];
    struct measured m;
    float *x;
    double share = 0;
    int64_t ended = 0;
    test_folder_create(folder);
    test_join(path, folder, "pool.h5");
    test_ok(df_alloc(&x, POOL * size, sizeof *x));
    test_fill_floats(x, POOL * size, seed, 0, 1);
    test_pool_f32(path, x, POOL, network->input, network->class_count, NULL);
    struct dfal_context *context = test_context(test_backend(), 1);
    struct df_device *device = test_device_open(test_backend(), 1);
    test_ok(df_pool_open(&pool, context, path, NULL));
    const struct df_deepfool deepfool = test_few_rounds(preset);
    test_engine(context, device, network, pool, &deepfool, 0, margins, NULL);
    measure(&m, network, x, POOL);
    for (int64_t i = 0; i < POOL; i++) {
        if (margins[i].status != DFAL_SCORE_OK)
            continue;
        if (!(m.row[i].least <= (double)margins[i].margin))
            test_fail("%s, row %lld: bound %.9g, margin %.9g", preset, (long long)i, m.row[i].least,
                      (double)margins[i].margin);
        share += m.row[i].least / (double)margins[i].margin;
        ended++;
    }
    if (ended > 0 && !(share / (double)ended > 0.01))
        test_fail("%s: the bounds are %g of the margins in the mean", preset, share / (double)ended);
    df_free(m.row);
    df_free(x);
    df_pool_close(pool);
    df_device_close(device);
    dfal_context_destroy(context);
    test_folder_remove(folder);
}

static void test_deepfool(void **state)
{
    (void)state;
    const char *const presets[] = {"lts4", "paper", "dfal2018", "foolbox", "sdf"};
    struct df_network *networks[] = {
        test_small_network(3, 6),
        test_graph((struct df_shape){2, 9, 7}, 4,
                   "conv1 Conv input o=5 k=3 p=1;relu1 Relu conv1;pool1 MaxPool relu1 k=2 s=2;"
                   "conv2 Conv pool1 o=6 k=2 s=2 p=1;relu2 Relu conv2;flat Flatten relu2;fc1 Gemm flat o=12;"
                   "relu3 Relu fc1;fc2 Gemm relu3 o=7;relu4 Relu fc2;fc3 Gemm relu4 o=4"),
    };
    for (size_t n = 0; n < sizeof networks / sizeof *networks; n++) {
        for (size_t p = 0; p < sizeof presets / sizeof *presets; p++)
            against_deepfool(networks[n], presets[p], 7 + n);
        df_network_destroy(networks[n]);
    }
}

/* ---- Networks without ---------------------------------------------------------------------------------- */

static void missing(const char *graph, const char *words, const char *node)
{
    struct df_network *network = test_graph((struct df_shape){2, 8, 8}, 3, graph), *folded;
    struct df_bound *bound;
    test_ok(df_network_fold(&folded, network));
    test_ok(df_bound_create(&bound, folded));
    if (!df_bound_missing(bound) || !strstr(df_bound_missing(bound), words))
        test_fail("'%s' found, expected '%s'", df_bound_missing(bound), words);
    assert_string_equal(df_bound_node(bound), node);
    df_bound_destroy(bound);
    df_network_destroy(folded);
    df_network_destroy(network);
}

static void test_missing(void **state)
{
    (void)state;
    missing("a Conv input o=2 k=3 p=1;b Add a,input;c Relu b;f Flatten c;g Gemm f o=3",
            "node b joins 2 values", "f");
    missing("a Conv input o=4 k=3 g=2;c Relu a;f Flatten c;g Gemm f o=3", "convolution a", "f");
    missing("a Conv input o=2 k=3;c Sigmoid a;f Flatten c;g Gemm f o=5;h Relu g;i Gemm h o=3", "node c is no",
            "f");
    missing("c MaxPool input k=3 s=1;f Flatten c;g Gemm f o=3", "share nothing", "f");
    struct df_network *network =
        test_graph((struct df_shape){2, 8, 8}, 3, "a Conv input o=3 k=8;r Relu a;f Flatten r");
    struct df_bound *bound;
    test_ok(df_bound_create(&bound, network));
    assert_string_equal(df_bound_missing(bound), "its last layer, r, is no Gemm");
    assert_null(df_bound_node(bound));
    df_bound_destroy(bound);
    df_network_destroy(network);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm_closed), cmocka_unit_test(test_norm_power),
        cmocka_unit_test(test_affine),      cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_bend),        cmocka_unit_test(test_chain_closed),
        cmocka_unit_test(test_deepfool),    cmocka_unit_test(test_missing),
    };
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
