/* SPDX-License-Identifier: Apache-2.0 */
/* Layers whose operands are rounded, a made-up one of each kind: for tests of one precision each. */
#ifndef DFAL_TESTS_SUPPORT_LAYER_H
#define DFAL_TESTS_SUPPORT_LAYER_H

#include "support_device.h"

/* A square window. */
#define TEST_WINDOW(kernel, stride, pad)                                                                     \
    {                                                                                                        \
        {kernel, kernel}, {stride, stride}, {pad, pad, pad, pad},                                            \
        {                                                                                                    \
            1, 1                                                                                             \
        }                                                                                                    \
    }

struct test_layer_case {
    const char *what;
    int in[3], out[3];
    struct df_window window;
    int group;
    bool is_gemm;
};

struct test_layer {
    const struct test_layer_case *c;
    struct df_layer_desc desc; /* forward and backward, blocks of 4 rows */
    struct df_layer *layer;
    int64_t in, out, weights; /* values of a row, of the weights */
    float *weight;            /* in [-weight_size, weight_size), and one far smaller */
    float *bias;              /* NULL: none */
    struct df_span bound[2];  /* what the layer reads of both */
};

enum test_layer_precision { TEST_LAYER_STRICT, TEST_LAYER_HALF, TEST_LAYER_SPLIT };

float *test_layer_floats(int64_t count); /* zeros */
void test_layer_create(struct test_layer *t, struct df_device *device, const struct test_layer_case *c,
                       enum test_layer_precision precision, double weight_size, bool biased);
void test_layer_destroy(struct test_layer *t, struct df_device *device);
/* y of x [rows, in], or dx of dy [rows, out]. */
void test_layer_run(const struct test_layer *t, struct df_device *device, bool backward, float *out,
                    const float *in, int64_t rows);
/* Add to out, of one row, all products of in and the weights: a forward's or a backward's, by the
 * definition. */
void test_layer_products(const struct test_layer_case *c, bool backward, double *out, const double *in,
                         const double *weight);
/* x times 2^shift, the largest of which comes into [2^(top - 1), 2^top). */
double *test_layer_scaled(const float *x, int64_t count, int top, int *shift);

#endif
