/* SPDX-License-Identifier: Apache-2.0 */
/* DeepFool's golden cases on every back end: closed forms first, then the same bits whatever the batch. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/rng.h"
#include "support_score.h"

enum { ROWS = 40, INPUTS = 37, CLASSES = 12 };

/* Relative to values of the size of the data, which is 1: float32 sums know a tiny difference no better. */
static void near(const char *what, double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance * fmax(fabs(expected), 0.1)))
        test_fail("%s: %.9g found, %.9g expected, tolerance %g", what, found, expected, tolerance);
}

static double dual_norm(const float *a, const float *b, int64_t n, double p)
{
    const double q = p == 1 ? INFINITY : isinf(p) ? 1 : p / (p - 1);
    double sum = 0;
    for (int64_t j = 0; j < n; j++) {
        const double e = fabs((double)a[j] - (double)b[j]);
        sum = isinf(q) ? fmax(sum, e) : sum + pow(e, q);
    }
    return isinf(q) ? sum : pow(sum, 1 / q);
}

struct affine {
    float weight[CLASSES * INPUTS], bias[CLASSES], x[ROWS * INPUTS];
    struct df_network *network;
};

static void affine_open(struct affine *a)
{
    test_fill_floats(a->weight, CLASSES * INPUTS, 1, -1, 1);
    test_fill_floats(a->bias, CLASSES, 2, -1, 1);
    test_fill_floats(a->x, ROWS * INPUTS, 3, -1, 1);
    a->network = test_affine_network(a->weight, a->bias, CLASSES, INPUTS);
}

/* Logits, label, and the nearest boundary among the first `classes` classes by logit. */
static void affine_expect(const struct affine *a, int64_t row, int32_t classes, double p, int *label,
                          int *other, double *gap, double *distance)
{
    double f[CLASSES];
    bool taken[CLASSES] = {false};
    for (int k = 0; k < CLASSES; k++) {
        f[k] = (double)a->bias[k];
        for (int j = 0; j < INPUTS; j++)
            f[k] += (double)a->weight[k * INPUTS + j] * (double)a->x[row * INPUTS + j];
    }
    *distance = INFINITY;
    for (int c = 0; c < classes; c++) {
        int top = -1;
        for (int k = 0; k < CLASSES; k++)
            if (!taken[k] && (top < 0 || f[k] > f[top]))
                top = k;
        taken[top] = true;
        if (c == 0) {
            *label = top;
            continue;
        }
        if (c == 1)
            *gap = f[*label] - f[top];
        const double d = (f[*label] - f[top]) /
                         dual_norm(a->weight + top * INPUTS, a->weight + *label * INPUTS, INPUTS, p);
        if (d < *distance) {
            *distance = d;
            *other = top;
        }
    }
}

/* An affine network's margin is analytic: one step, whatever the norm. */
static void affine_margins(void **state)
{
    struct affine a;
    affine_open(&a);
    const double norms[] = {2, INFINITY, 1, 3};
    const int32_t classes[] = {10, 3, 0, 2};
    for (size_t t = 0; t < 4; t++) {
        struct df_deepfool deepfool = test_preset("lts4");
        struct df_margin found[ROWS];
        float images[ROWS * INPUTS];
        deepfool.p = norms[t];
        deepfool.classes = classes[t];
        test_engine_f32(*state, a.network, a.x, ROWS, &deepfool, 0, found, images);
        for (int64_t i = 0; i < ROWS; i++) {
            int label = -1, other = -1;
            double gap = 0, distance = 0;
            affine_expect(&a, i, classes[t] ? classes[t] : CLASSES, norms[t], &label, &other, &gap,
                          &distance);
            assert_int_equal(found[i].status, DFAL_SCORE_OK);
            assert_int_equal(found[i].iterations, 1);
            assert_int_equal(found[i].label, label);
            assert_int_equal(found[i].adversarial_class, other);
            near("margin", (double)found[i].margin, 1.02 * (distance + 1e-4), 1e-5);
            near("first margin", (double)found[i].first_margin, distance, 1e-5);
            near("gap", (double)found[i].logit_gap, gap, 1e-5);
            double length = 0;
            for (int j = 0; j < INPUTS; j++) {
                const double e = fabs((double)images[i * INPUTS + j] - (double)a.x[i * INPUTS + j]);
                length = isinf(norms[t]) ? fmax(length, e) : length + pow(e, norms[t]);
            }
            near("length of the image's way", isinf(norms[t]) ? length : pow(length, 1 / norms[t]),
                 (double)found[i].margin, 1e-4);
        }
    }
    df_network_destroy(a.network);
}

/* Two classes and one input: f1 - f0 = x - 0.75 relu(x) - 1 has its kink at 0. */
static struct df_network *kink_network(void)
{
    const float weight1[] = {1, 1}, bias1[] = {10, 0}, weight2[] = {0, 0, 1, -0.75f}, bias2[] = {0, -11};
    return test_relu_network(weight1, bias1, 2, weight2, bias2, 2, 1);
}

static void kink(void **state)
{
    struct df_network *network = kink_network();
    const float x[] = {-1, 0};
    struct df_margin found[2];
    struct df_deepfool deepfool = test_preset("lts4");
    test_engine_f32(*state, network, x, 2, &deepfool, 0, found, NULL);
    double r = 2 + 1e-4;
    r += (1 - 0.25 * (-1 + 1.02 * r)) / 0.25 + 1e-4;
    assert_int_equal(found[0].iterations, 2);
    assert_int_equal(found[0].status, DFAL_SCORE_OK);
    near("margin over the kink", (double)found[0].margin, 1.02 * r, 1e-5);
    near("first margin", (double)found[0].first_margin, 2, 1e-6);
    near("the derivative of relu at 0 is 0", (double)found[1].first_margin, 1, 1e-6);

    /* paper: gradients and logits at x0 + r, no floor */
    deepfool = test_preset("paper");
    test_engine_f32(*state, network, x, 1, &deepfool, 0, found, NULL);
    r = 2;
    r += (1 - 0.25 * (-1 + r)) / 0.25;
    assert_int_equal(found[0].iterations, 2);
    near("paper's margin", (double)found[0].margin, 1.02 * r, 1e-5);

    /* one step is not enough: the partial norm, or no finite margin at all */
    deepfool = test_preset("lts4");
    deepfool.max_iter = 1;
    test_engine_f32(*state, network, x, 1, &deepfool, 0, found, NULL);
    assert_int_equal(found[0].status, DFAL_SCORE_MAX_ITER);
    assert_int_equal(found[0].adversarial_class, -1);
    near("partial margin", (double)found[0].margin, 1.02 * 2.0001, 1e-5);
    deepfool.max_iter = 0;
    test_engine_f32(*state, network, x, 1, &deepfool, 0, found, NULL);
    assert_int_equal(found[0].status, DFAL_SCORE_MAX_ITER);
    assert_true(found[0].margin == 0 && isinf(found[0].first_margin));
    deepfool = test_preset("dfal2018");
    deepfool.max_iter = 1;
    test_engine_f32(*state, network, x, 1, &deepfool, 0, found, NULL);
    assert_int_equal(found[0].status, DFAL_SCORE_MAX_ITER);
    assert_true(isinf(found[0].margin));

    /* bisection finds the boundary at 4, without eta and c */
    deepfool = test_preset("lts4");
    deepfool.refine = true;
    float image;
    test_engine_f32(*state, network, x, 1, &deepfool, 0, found, &image);
    assert_int_equal(found[0].status, DFAL_SCORE_OK);
    near("refined margin", (double)found[0].margin, 5, 2e-5);
    near("refined image", (double)image, 4, 2e-5);
    assert_true(found[0].margin >= 5 - 1e-5f);

    /* deepal: no overshoot, the squared norm */
    deepfool = test_preset("deepal");
    deepfool.max_iter = 1;
    test_engine_f32(*state, network, x, 1, &deepfool, 0, found, NULL);
    near("squared margin", (double)found[0].margin, 4, 1e-6);
    df_network_destroy(network);
}

/* sdf with 10 bisections, or with 20: so much may be left of the way, of which `length` is the whole. */
static void expect_sdf(const char *what, const struct df_margin *found, bool refined, double exact,
                       double length, int iterations)
{
    assert_int_equal(found->status, DFAL_SCORE_OK);
    assert_int_equal(found->iterations, iterations);
    const double rest = length / (refined ? 1 << 20 : 1 << 10), margin = (double)found->margin;
    if (!(margin >= exact * (1 - 1e-5) && margin <= (exact + rest) * (1 + 1e-5)))
        test_fail("%s: margin %.9g, expected %.9g to %.9g", what, margin, exact, exact + rest);
}

/* sdf where its ways are known. Two classes, f1 - f0 = h; x0 is 0 and h there below 0. */
static void projections(void **state)
{
    struct df_deepfool deepfool = test_preset("sdf");
    const float x[2] = {0, 0};
    struct df_margin found;
    float image[2];
    for (int refined = 0; refined < 2; refined++) {
        deepfool.refine = refined;
        /* h = x - 3 + 2 relu(x / 2 + y - 1 / 2): DeepFool runs along the first facet to (3.06, 0). The normal
         * of the second there leads to its nearest point, (1, 1). */
        const float weight1[] = {1, 0, 0.5f, 1}, bias1[] = {10, -0.5f};
        const float weight2[] = {0, 0, 1, 2}, bias2[] = {0, -13};
        struct df_network *network = test_relu_network(weight1, bias1, 2, weight2, bias2, 2, 2);
        test_engine_f32(*state, network, x, 1, &deepfool, 0, &found, image);
        expect_sdf("two facets", &found, refined, sqrt(2.0), 1.02 * 3.0001 / sqrt(2.0), 1);
        assert_int_equal(found.adversarial_class, 1);
        near("first margin", (double)found.first_margin, 3, 1e-6);
        near("x of the image", (double)image[0], (double)found.margin / sqrt(2.0), 1e-5);
        near("y of the image", (double)image[1], (double)image[0], 1e-5);
        df_network_destroy(network);

        /* h = x - 3 - relu(x - y - 2): over the corner (3, 1) the second facet's normal is (0, 1), and there
         * the first facet's class is still the own one: again and again, until the rounds are used up. The
         * nearest point is that of the first round. */
        const float corner1[] = {1, 0, 1, -1}, corner_bias1[] = {10, -2};
        const float corner2[] = {0, 0, 1, -1}, corner_bias2[] = {0, -13};
        network = test_relu_network(corner1, corner_bias1, 2, corner2, corner_bias2, 2, 2);
        test_engine_f32(*state, network, x, 1, &deepfool, 0, &found, image);
        const double end[2] = {1.02 * 3.0001, 1.02 * 1.0001};
        expect_sdf("a corner", &found, refined, sqrt(10.0), hypot(end[0], end[1]), 2 + 49);
        near("the image is at the corner", hypot((double)image[0], (double)image[1]), (double)found.margin,
             1e-5);
        df_network_destroy(network);

        /* h = 1 / 100 - relu(1 - x): behind the boundary it is flat, and there is no normal */
        const float flat1[] = {-1, 0}, flat_bias1[] = {1}, flat2[] = {0, -1}, flat_bias2[] = {0, 0.01f};
        network = test_relu_network(flat1, flat_bias1, 1, flat2, flat_bias2, 2, 2);
        test_engine_f32(*state, network, x, 1, &deepfool, 0, &found, NULL);
        expect_sdf("a flat", &found, refined, 0.99, 1.02 * 0.9901, 1);
        df_network_destroy(network);

        /* The corner, and a third class whose logit overflows where the first projection leads: the walk ends
         * with what it has found. */
        const float inf1[] = {1, 0, 1, -1, -1e30f, 1e30f}, inf_bias1[] = {10, -2, -5e29f};
        const float inf2[] = {0, 0, 0, 1, -1, 0, 0, 0, -1e30f}, inf_bias2[] = {0, -13, -100};
        network = test_relu_network(inf1, inf_bias1, 3, inf2, inf_bias2, 3, 2);
        test_engine_f32(*state, network, x, 1, &deepfool, 0, &found, NULL);
        expect_sdf("not finite", &found, refined, sqrt(10.0), hypot(end[0], end[1]), 2);
        assert_int_equal(found.label, 0);
        df_network_destroy(network);
    }
}

/* What ends a sample before it has crossed a boundary is what ends it with any preset. */
static void no_projection(void **state)
{
    struct df_network *network = kink_network();
    const float x[] = {-1, NAN};
    struct df_deepfool deepfool = test_preset("sdf");
    struct df_margin found[2];
    deepfool.max_iter = 1;
    test_engine_f32(*state, network, x, 2, &deepfool, 0, found, NULL);
    assert_int_equal(found[0].status, DFAL_SCORE_MAX_ITER);
    assert_int_equal(found[0].adversarial_class, -1);
    near("partial margin", (double)found[0].margin, 1.02 * 2.0001, 1e-5);
    assert_int_equal(found[1].status, DFAL_SCORE_NONFINITE);
    df_network_destroy(network);
    const float biases[2][3] = {{-3, 2, 1}, {2, 2, 2}};
    for (int i = 0; i < 2; i++) {
        network = test_affine_network(NULL, biases[i], 3, 1);
        test_engine_f32(*state, network, x, 1, &deepfool, 0, found, NULL);
        assert_int_equal(found[0].status, i ? DFAL_SCORE_TIE : DFAL_SCORE_ZERO_GRAD);
        df_network_destroy(network);
    }
}

/* Of every sample sdf's margin is at most that of the walk that it begins with, and its image is of the class
 * that it names: refined or not, with an overshoot or without, of all classes or of three. */
static void never_above(void **state)
{
    static const struct {
        double overshoot;
        int32_t classes;
        bool refine;
    } cases[] = {{0.02, 10, false}, {0.02, 3, false}, {0.3, 0, true}, {0, 10, false}};
    struct df_network *network = test_small_network(5, 10);
    const int64_t size = df_shape_size(network->input);
    float *x, *images;
    test_ok(df_alloc(&x, ROWS * size, sizeof *x));
    test_ok(df_alloc(&images, ROWS * size, sizeof *images));
    test_fill_floats(x, ROWS * size, 31, 0, 1);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct df_margin walk[ROWS], found[ROWS], there[ROWS];
        struct df_deepfool deepfool = test_preset("lts4");
        deepfool.overshoot = cases[c].overshoot;
        deepfool.classes = cases[c].classes;
        test_engine_f32(*state, network, x, ROWS, &deepfool, 0, walk, NULL);
        const int32_t rounds = test_preset("sdf").rounds;
        deepfool.rounds = rounds;
        deepfool.refine = cases[c].refine;
        memset(images, 0, (size_t)(ROWS * size) * sizeof *images);
        test_engine_f32(*state, network, x, ROWS, &deepfool, 7, found, images);
        test_engine_f32(*state, network, images, ROWS, &deepfool, 0, there, NULL);
        int smaller = 0, crossed = 0;
        for (int i = 0; i < ROWS; i++) {
            assert_int_equal(found[i].status, walk[i].status);
            assert_int_equal(found[i].label, walk[i].label);
            assert_true(found[i].first_margin == walk[i].first_margin);
            assert_true(found[i].iterations >= walk[i].iterations);
            assert_true(found[i].margin <= walk[i].margin);
            if (found[i].status != DFAL_SCORE_OK)
                continue;
            crossed++;
            smaller += (double)found[i].margin < 0.98 * (double)walk[i].margin;
            assert_int_not_equal(found[i].adversarial_class, found[i].label);
            assert_int_equal(there[i].label, found[i].adversarial_class);
        }
        assert_true(crossed > ROWS / 4 && smaller > ROWS / 8);
    }
    df_free(x);
    df_free(images);
    df_network_destroy(network);
}

/* foolbox: r grows unclipped, x is clipped, the margin is what is left of it. */
static void box(void **state)
{
    const float weight[] = {0, 0, 2, 1}, bias[] = {0, -2.5f}, x[] = {0.9f, 0.1f};
    struct df_network *network = test_affine_network(weight, bias, 2, 2);
    struct df_deepfool deepfool = test_preset("foolbox");
    struct df_margin found;
    float image[2];
    test_engine_f32(*state, network, x, 1, &deepfool, 0, &found, image);
    double r[2] = {0, 0}, at[2] = {(double)x[0], (double)x[1]};
    int steps = 0;
    for (; 2 * at[0] + at[1] - 2.5 <= 0 && steps < 50; steps++) {
        const double length = sqrt(5.0), d = (2.5 - 2 * at[0] - at[1]) / length + 1e-4;
        r[0] += d * 2 / length;
        r[1] += d / length;
        for (int j = 0; j < 2; j++)
            at[j] = fmin(1, fmax(0, (double)x[j] + 1.02 * r[j]));
    }
    assert_true(steps > 1);
    assert_int_equal(found.status, DFAL_SCORE_OK);
    assert_int_equal(found.iterations, steps);
    assert_true(image[0] == 1.0f);
    near("clipped image", (double)image[1], at[1], 1e-5);
    near("distance left", (double)found.margin, hypot(at[0] - (double)x[0], at[1] - (double)x[1]), 1e-5);
    df_network_destroy(network);
}

static void no_gradient(void **state)
{
    struct df_network *network = test_affine_network(NULL, (const float[]){-3, 2, 1}, 3, 4);
    const float x[4] = {1, 2, 3, 4};
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_margin found;
    test_engine_f32(*state, network, x, 1, &deepfool, 0, &found, NULL);
    assert_int_equal(found.status, DFAL_SCORE_ZERO_GRAD);
    assert_true(isinf(found.margin) && found.margin > 0 && isinf(found.first_margin));
    assert_int_equal(found.iterations, 0);
    assert_int_equal(found.label, 1);
    assert_int_equal(found.adversarial_class, -1);
    assert_true(found.logit_gap == 1);
    df_network_destroy(network);

    network = test_affine_network(NULL, (const float[]){2, 2, 2}, 3, 4);
    test_engine_f32(*state, network, x, 1, &deepfool, 0, &found, NULL);
    assert_int_equal(found.status, DFAL_SCORE_TIE);
    assert_true(found.margin == 0 && found.first_margin == 0 && found.logit_gap == 0);
    assert_int_equal(found.label, 0);
    assert_int_equal(found.adversarial_class, 1);
    df_network_destroy(network);
}

/* Rows 1 and 3 of the weights are the same and win everywhere. */
static void doubled_class(void **state)
{
    const float weight[] = {0, 0, 1, 1, 0, 0, 1, 1}, bias[] = {0, 5, 0, 5}, x[] = {1, 1, 2, 0.5f};
    struct df_network *network = test_affine_network(weight, bias, 4, 2);
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_margin found[2];
    test_engine_f32(*state, network, x, 2, &deepfool, 0, found, NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(found[i].status, DFAL_SCORE_TIE);
        assert_int_equal(found[i].label, 1);
        assert_int_equal(found[i].adversarial_class, 3);
        assert_true(found[i].margin == 0);
    }
    df_network_destroy(network);
}

static void expect_nonfinite(const struct df_margin *found)
{
    assert_int_equal(found->status, DFAL_SCORE_NONFINITE);
    assert_int_equal(found->label, -1);
    assert_int_equal(found->adversarial_class, -1);
    assert_int_equal(found->iterations, 0);
    assert_true(isinf(found->margin) && found->margin > 0 && isinf(found->first_margin) &&
                isinf(found->logit_gap));
}

static void not_finite(void **state)
{
    struct affine a;
    affine_open(&a);
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_margin clean[ROWS], found[ROWS];
    test_engine_f32(*state, a.network, a.x, ROWS, &deepfool, 7, clean, NULL);
    a.x[5 * INPUTS + 3] = NAN;
    a.x[9 * INPUTS] = INFINITY;
    a.x[10 * INPUTS + 36] = -INFINITY;
    test_engine_f32(*state, a.network, a.x, ROWS, &deepfool, 7, found, NULL);
    for (int64_t i = 0; i < ROWS; i++) {
        if (i == 5 || i == 9 || i == 10)
            expect_nonfinite(&found[i]);
        else
            test_same_margins("a neighbour of a NaN", &clean[i], &found[i], 1, NULL);
    }
    df_network_destroy(a.network);

    /* the pixel does not reach the logits: relu turns a NaN into 0, the look at x0 still finds it */
    struct df_network *network = kink_network();
    const float x[] = {NAN, -1};
    test_engine_f32(*state, network, x, 2, &deepfool, 0, found, NULL);
    expect_nonfinite(&found[0]);
    assert_int_equal(found[1].status, DFAL_SCORE_OK);
    df_network_destroy(network);

    network = test_affine_network(NULL, (const float[]){1, INFINITY, 0}, 3, 1);
    test_engine_f32(*state, network, x + 1, 1, &deepfool, 0, found, NULL);
    expect_nonfinite(&found[0]);
    df_network_destroy(network);
}

/* Probabilities instead of logits are refused from 16 rows on. */
static void probabilities(void **state)
{
    struct df_network *network = test_affine_network(NULL, (const float[]){0.25f, 0.5f, 0.25f}, 3, 2);
    float x[2 * ROWS] = {0};
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_margin found[ROWS];
    test_engine_f32(*state, network, x, 15, &deepfool, 0, found, NULL);
    char folder[TEST_PATH], path[TEST_PATH];
    test_folder_create(folder);
    test_join(path, folder, "pool.h5");
    test_pool_f32(path, x, 16, network->input, 3, NULL);
    struct dfal_context *context = test_context("ref", 1);
    struct df_pool *pool;
    struct df_deepfool_engine *engine;
    test_ok(df_pool_open(&pool, NULL, path, NULL));
    for (int64_t batch = 0; batch < 8; batch += 3)
        test_error(df_deepfool_create(&engine, context, *state, network, pool, &deepfool, batch, true),
                   DFAL_E_DATA, "probabilities");
    df_pool_close(pool);
    dfal_context_destroy(context);
    test_folder_remove(folder);
    df_network_destroy(network);
}

/* More candidate classes than rows of a library call: candidates come in pieces. */
static void many_classes(void **state)
{
    enum { MANY = 150, D = 11, N = 6 };
    float weight[MANY * D], bias[MANY], x[N * D];
    test_fill_floats(weight, MANY * D, 21, -1, 1);
    test_fill_floats(bias, MANY, 22, -1, 1);
    test_fill_floats(x, N * D, 23, -1, 1);
    struct df_network *network = test_affine_network(weight, bias, MANY, D);
    struct df_deepfool deepfool = test_preset("lts4");
    deepfool.classes = 0;
    struct df_margin found[N];
    test_engine_f32(*state, network, x, N, &deepfool, 0, found, NULL);
    for (int i = 0; i < N; i++) {
        double f[MANY], best = INFINITY;
        int label = 0, other = -1;
        for (int k = 0; k < MANY; k++) {
            f[k] = (double)bias[k];
            for (int j = 0; j < D; j++)
                f[k] += (double)weight[k * D + j] * (double)x[i * D + j];
            label = f[k] > f[label] ? k : label;
        }
        for (int k = 0; k < MANY; k++) {
            const double d = (f[label] - f[k]) / dual_norm(weight + k * D, weight + label * D, D, 2);
            if (k != label && d < best) {
                best = d;
                other = k;
            }
        }
        assert_int_equal(found[i].adversarial_class, other);
        near("margin", (double)found[i].margin, 1.02 * (best + 1e-4), 1e-5);
    }
    df_network_destroy(network);
}

/* Margins in the pool's units are the network's, times 255 for scale 1/255; the way is the same. */
static void raw_units(void **state)
{
    char folder[TEST_PATH], path[TEST_PATH];
    test_folder_create(folder);
    test_join(path, folder, "pool.h5");
    struct df_network *network = test_small_network(3, 10);
    test_pool_u8(path, ROWS, network->input, 10, 1, NULL);
    struct dfal_context *context = test_context("ref", 1);
    struct df_pool *pool;
    test_ok(df_pool_open(&pool, NULL, path, NULL));
    struct df_deepfool deepfool = test_preset("lts4");
    deepfool.floor = 0;
    struct df_margin plain[ROWS], raw[ROWS];
    test_engine(context, *state, network, pool, &deepfool, 0, plain, NULL);
    deepfool.units_raw = true;
    test_engine(context, *state, network, pool, &deepfool, 0, raw, NULL);
    for (int i = 0; i < ROWS; i++) {
        assert_int_equal(plain[i].status, raw[i].status);
        near("first margin in raw units", (double)raw[i].first_margin, 255 * (double)plain[i].first_margin,
             1e-5);
        near("margin in raw units", (double)raw[i].margin, 255 * (double)plain[i].margin, 1e-3);
    }
    df_pool_close(pool);
    dfal_context_destroy(context);
    df_network_destroy(network);
    test_folder_remove(folder);
}

/* The same bits for every batch, order of the pool and preset. */
static void same_bits(void **state)
{
    static const char *const presets[] = {"lts4", "paper", "dfal2018", "foolbox", "deepal", "sdf"};
    static const int64_t batches[] = {1, 7, 64, 4096};
    enum { N = 90 };
    char folder[TEST_PATH], path[TEST_PATH], mixed_path[TEST_PATH];
    test_folder_create(folder);
    test_join(path, folder, "pool.h5");
    test_join(mixed_path, folder, "mixed.h5");
    struct df_network *network = test_small_network(5, 10);
    int64_t order[N];
    test_ok(df_random_permutation(order, N, 7, DF_STREAM_SHUFFLE, 0));
    test_pool_u8(path, N, network->input, 10, 1, NULL);
    test_pool_u8(mixed_path, N, network->input, 10, 1, order);
    struct dfal_context *context = test_context("ref", 1);
    struct df_pool *pool, *mixed;
    test_ok(df_pool_open(&pool, NULL, path, NULL));
    test_ok(df_pool_open(&mixed, NULL, mixed_path, NULL));
    for (size_t p = 0; p < sizeof presets / sizeof *presets; p++) {
        struct df_deepfool deepfool = test_few_rounds(presets[p]);
        deepfool.refine = p == 0;
        struct df_margin first[N], found[N];
        test_engine(context, *state, network, pool, &deepfool, 0, first, NULL);
        int64_t steps = 0;
        for (int i = 0; i < N; i++)
            steps += first[i].iterations;
        assert_true(steps > N);
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            test_engine(context, *state, network, pool, &deepfool, batches[b], found, NULL);
            test_same_margins(presets[p], first, found, N, NULL);
        }
        test_engine(context, *state, network, mixed, &deepfool, 13, found, NULL);
        test_same_margins("permuted pool", first, found, N, order);
    }
    df_pool_close(pool);
    df_pool_close(mixed);
    dfal_context_destroy(context);
    df_network_destroy(network);
    test_folder_remove(folder);
}

/* The same bits however many queues a device has. */
static void more_queues(void **state)
{
    struct df_device *device = *state;
    char folder[TEST_PATH], path[TEST_PATH];
    test_folder_create(folder);
    test_join(path, folder, "pool.h5");
    struct df_network *network = test_small_network(5, 10);
    test_pool_u8(path, ROWS, network->input, 10, 1, NULL);
    struct dfal_context *context = test_context("ref", 1);
    struct df_pool *pool;
    test_ok(df_pool_open(&pool, NULL, path, NULL));
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_margin first[ROWS], found[ROWS];
    test_engine(context, device, network, pool, &deepfool, 0, first, NULL);
    for (int32_t queues = 1; queues <= 3; queues++) {
        struct df_device *other = test_device_open(test_backend(), queues);
        test_engine(context, other, network, pool, &deepfool, 0, found, NULL);
        test_same_margins("more queues", first, found, ROWS, NULL);
        df_device_close(other);
    }
    df_pool_close(pool);
    dfal_context_destroy(context);
    df_network_destroy(network);
    test_folder_remove(folder);
}

/* Once an engine has run, another run takes no memory. */
struct count_sink {
    struct df_margin_sink sink;
    int64_t begin, last;
};
static dfal_status count_put(struct df_margin_sink *self, const struct df_margin *margin,
                             const float *adversarial)
{
    (void)margin;
    (void)adversarial;
    struct count_sink *sink = (struct count_sink *)self;
    if (sink->begin < 0)
        sink->begin = df_alloc_total();
    sink->last = df_alloc_total();
    return DFAL_OK;
}

static void warm_engine(void **state)
{
    char folder[TEST_PATH], path[TEST_PATH];
    test_folder_create(folder);
    test_join(path, folder, "pool.h5");
    struct df_network *network = test_small_network(5, 10);
    test_pool_u8(path, 200, network->input, 10, 1, NULL);
    struct dfal_context *context = test_context("ref", 1);
    struct df_pool *pool;
    test_ok(df_pool_open(&pool, NULL, path, NULL));
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_deepfool_engine *engine;
    test_ok(df_deepfool_create(&engine, context, *state, network, pool, &deepfool, 16, true));
    for (int run = 0; run < 2; run++) {
        struct count_sink sink = {.sink.put = count_put, .begin = -1};
        struct df_range_source range;
        struct df_row_stream *stream;
        df_range_source_init(&range, 0, pool->count, 16);
        test_ok(df_stream_open(&stream, pool, &range.source));
        test_ok(df_deepfool_run(engine, stream, &sink.sink, NULL));
        df_stream_close(stream);
        if (run == 1)
            assert_int_equal(sink.last, sink.begin);
    }
    df_deepfool_destroy(engine);
    df_pool_close(pool);
    dfal_context_destroy(context);
    df_network_destroy(network);
    test_folder_remove(folder);
}

static void options(void **state)
{
    (void)state;
    struct dfal_score_options o;
    struct df_deepfool deepfool, again;
    dfal_score_options_init(&o);
    test_ok(df_deepfool_from_options(&deepfool, &o));
    assert_string_equal(deepfool.preset, "lts4");
    assert_true(deepfool.overshoot == 0.02 && deepfool.floor == 1e-4 && deepfool.max_iter == 50);
    o.preset = "foolbocks";
    test_error(df_deepfool_from_options(&deepfool, &o), DFAL_E_USAGE, "nearest is 'foolbox'");
    o.preset = "foolbox";
    o.norm = INFINITY;
    o.max_iter = 7;
    o.overshoot = 0.5;
    o.classes = 0;
    o.refine = o.units_raw = true;
    test_ok(df_deepfool_from_options(&deepfool, &o));
    char *json, *json_again;
    test_ok(df_deepfool_to_json(&json, &deepfool, "keep"));
    test_ok(df_deepfool_from_json(&again, json));
    test_ok(df_deepfool_to_json(&json_again, &again, "keep"));
    assert_string_equal(json, json_again);
    assert_true(isinf(again.p) && again.max_iter == 7 && again.overshoot == 0.5 && again.classes == 0 &&
                again.refine && again.units_raw && again.clip && !again.squared);
    df_free(json_again);
    test_error(df_deepfool_from_json(&again, "{}"), DFAL_E_DATA, "configuration");
    test_error(df_deepfool_from_json(&again, "["), DFAL_E_DATA, "JSON");
    static const char *const words[][3] = {{"\"raw\"", "\"rau\"", "'rau', expected raw or network"},
                                           {"\"linf\"", "\"l2\"", "the norm is no number"},
                                           {"\"linf\"", "null", "the norm is no number"},
                                           {"\"linf\"", "0.5", "the norm is 0.5"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char changed[512];
        const char *at = strstr(json, words[i][0]);
        assert_non_null(at);
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - json), json, words[i][1],
                 at + strlen(words[i][0]));
        test_error(df_deepfool_from_json(&again, changed), DFAL_E_DATA, words[i][2]);
    }
    df_free(json);
    struct {
        double norm, overshoot;
        int32_t max_iter, classes;
    } const bad[] = {{0.5, 0, 1, 2}, {NAN, 0, 1, 2},   {2, -1, 1, 2}, {2, INFINITY, 1, 2},
                     {2, 0, -2, 2},  {2, 0, 70000, 2}, {2, 0, 1, 1},  {2, 0, 1, -2}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o.norm = bad[i].norm;
        o.overshoot = bad[i].overshoot;
        o.max_iter = bad[i].max_iter;
        o.classes = bad[i].classes;
        test_error(df_deepfool_from_options(&deepfool, &o), DFAL_E_USAGE, "expected");
    }

    /* sdf: one norm, as many steps as fit their column in all rounds, and JSON that knows the rounds */
    o.preset = "sdf";
    o.norm = 2;
    o.max_iter = 1310;
    o.overshoot = 0.5;
    o.classes = 0;
    o.refine = o.units_raw = true;
    test_ok(df_deepfool_from_options(&deepfool, &o));
    test_ok(df_deepfool_to_json(&json, &deepfool, "last"));
    test_ok(df_deepfool_from_json(&again, json));
    assert_true(again.rounds == 50 && again.max_iter == 1310 && again.refine && again.p == 2);
    df_free(json);
    o.max_iter = 1311;
    test_error(df_deepfool_from_options(&deepfool, &o), DFAL_E_USAGE,
               "max-iter is 1311, expected 0 to 1310 steps a round");
    o.max_iter = -1;
    for (int n = 0; n < 3; n++) {
        o.norm = n == 0 ? INFINITY : n == 1 ? 1 : 3;
        test_error(df_deepfool_from_options(&deepfool, &o), DFAL_E_USAGE,
                   "expected l2: preset 'sdf' projects in that norm alone");
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options),     cmocka_unit_test(affine_margins), cmocka_unit_test(kink),
        cmocka_unit_test(box),         cmocka_unit_test(no_gradient),    cmocka_unit_test(doubled_class),
        cmocka_unit_test(not_finite),  cmocka_unit_test(probabilities),  cmocka_unit_test(many_classes),
        cmocka_unit_test(raw_units),   cmocka_unit_test(same_bits),      cmocka_unit_test(more_queues),
        cmocka_unit_test(warm_engine), cmocka_unit_test(projections),    cmocka_unit_test(no_projection),
        cmocka_unit_test(never_above),
    };
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
