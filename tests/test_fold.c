/* SPDX-License-Identifier: Apache-2.0 */
/* What folding makes of chains: which nodes are left, and with which numbers. Values in test_nodes and
 * test_plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/node_type.h"
#include "support.h"
#include "support_network.h"

/* input 2 x 4 x 6, 3 classes */
static struct df_network *folded(const char *text)
{
    struct df_network *network = test_graph((struct df_shape){2, 4, 6}, 3, text), *result;
    test_ok(df_network_fold(&result, network));
    df_network_destroy(network);
    return result;
}

/* "name:Op,..." of what is left, in order. */
static void left(const char *text, const char *expected)
{
    struct df_network *network = folded(text);
    char found[500] = "";
    for (int32_t i = 0; i < network->node_count; i++) {
        size_t at = strlen(found);
        snprintf(found + at, sizeof found - at, "%s%s:%s", i ? " " : "", network->nodes[i].name,
                 df_node_type(network->nodes[i].op)->name);
    }
    if (strcmp(found, expected) != 0)
        test_fail("%s is folded to %s, expected %s", text, found, expected);
    df_network_destroy(network);
}

#define END(from) ";f Flatten " from ";h Gemm f o=3"

static void test_norms(void **state)
{
    (void)state;
    left("c Conv input o=4 k=3;n BatchNormalization c;r Relu n" END("r"), "n:Conv r:Relu f:Flatten h:Gemm");
    /* Two in a row are one; behind a Relu they go on into the convolution or the Gemm behind them. */
    left("r Relu input;n BatchNormalization r;m BatchNormalization n;s Relu m" END("s"),
         "r:Relu m:BatchNormalization s:Relu f:Flatten h:Gemm");
    left("r Relu input;n BatchNormalization r;m BatchNormalization n;c Conv m o=4 k=3;s Relu c" END("s"),
         "r:Relu c:Conv s:Relu f:Flatten h:Gemm");
    left("r Relu input;n BatchNormalization r" END("n"), "r:Relu f:Flatten h:Gemm");
    left("r Relu input;n BatchNormalization r;v Reshape n shape=48,1,1;h Gemm v o=3",
         "r:Relu v:Flatten h:Gemm");
    left("r Relu input;n BatchNormalization r;q GlobalAveragePool n" END("q"),
         "r:Relu q:GlobalAveragePool h:Gemm");
    left("f Flatten input;g Gemm f o=5;n BatchNormalization g;r Relu n;m BatchNormalization r;h Gemm m o=3",
         "f:Flatten n:Gemm r:Relu h:Gemm");
    /* The padding behind a shift is not 0: it stays. */
    left("r Relu input;n BatchNormalization r;c Conv n o=4 k=3 p=1;s Relu c" END("s"),
         "r:Relu n:BatchNormalization c:Conv s:Relu f:Flatten h:Gemm");
    /* So does what somebody else reads. */
    left("c Conv input o=2;n BatchNormalization c;x Add n,c" END("x"),
         "c:Conv n:BatchNormalization x:Add f:Flatten h:Gemm");
    left("r Relu input;n BatchNormalization r;c Conv n o=2;x Add n,c" END("x"),
         "r:Relu n:BatchNormalization c:Conv x:Add f:Flatten h:Gemm");
    /* And one that is the output. */
    left("f Flatten input;h Gemm f o=3;r Relu h;n BatchNormalization r",
         "f:Flatten h:Gemm r:Relu n:BatchNormalization");
}

/* A batch-norm without a shift goes through a padding. */
static void test_scale(void **state)
{
    (void)state;
    struct df_network *network =
                          test_graph((struct df_shape){2, 4, 6}, 3,
                                     "r Relu input;n BatchNormalization r;c Conv n o=3 k=3 p=1 g=1;s Relu c;"
                                     "q GlobalAveragePool s"),
                      *result;
    struct df_parameter *p = network->nodes[1].parameter;
    for (int c = 0; c < 2; c++) {
        p[DF_MEAN].data[c] = p[DF_BIAS].data[c] = 0.0f;
        p[DF_VARIANCE].data[c] = 1.0f;
        p[DF_WEIGHT].data[c] = c ? -4.0f : 0.5f;
    }
    network->nodes[1].epsilon = 0.0;
    test_ok(df_network_fold(&result, network));
    assert_int_equal(result->node_count, 4);
    const struct df_parameter *before = &network->nodes[2].parameter[DF_WEIGHT],
                              *after = &result->nodes[1].parameter[DF_WEIGHT];
    assert_int_equal(after->count, 3 * 2 * 9);
    for (int64_t i = 0; i < after->count; i++)
        assert_true(after->data[i] == before->data[i] * (i / 9 % 2 ? -4.0f : 0.5f));
    test_same_floats("bias", result->nodes[1].parameter[DF_BIAS].data,
                     network->nodes[2].parameter[DF_BIAS].data, 3);
    df_network_destroy(network);
    df_network_destroy(result);
}

/* weight / sqrt(variance + epsilon) and the shift, twice, rounded once. */
static void test_two_norms(void **state)
{
    (void)state;
    struct df_network *network = test_graph(
                          (struct df_shape){2, 4, 6}, 2,
                          "n BatchNormalization input;m BatchNormalization n epsilon=0.25;s Relu m;"
                          "q GlobalAveragePool s"),
                      *result;
    test_ok(df_network_fold(&result, network));
    assert_int_equal(result->node_count, 3);
    const struct df_node *node = &result->nodes[0];
    assert_string_equal(node->name, "m");
    assert_true(node->epsilon == 0.0);
    for (int c = 0; c < 2; c++) {
        double scale = 1.0, shift = 0.0;
        for (int i = 0; i < 2; i++) {
            const struct df_parameter *p = network->nodes[i].parameter;
            double factor = (double)p[DF_WEIGHT].data[c] /
                            sqrt((double)p[DF_VARIANCE].data[c] + network->nodes[i].epsilon);
            shift = (shift - (double)p[DF_MEAN].data[c]) * factor + (double)p[DF_BIAS].data[c];
            scale *= factor;
        }
        assert_true(fabs((double)node->parameter[DF_WEIGHT].data[c] - scale) <= 6e-8 * fabs(scale));
        assert_true(fabs((double)node->parameter[DF_BIAS].data[c] - shift) <= 6e-8 * (1.0 + fabs(shift)));
        assert_true(node->parameter[DF_MEAN].data[c] == 0.0f && node->parameter[DF_VARIANCE].data[c] == 1.0f);
    }
    df_network_destroy(network);
    df_network_destroy(result);
}

static void test_shapes(void **state)
{
    (void)state;
    left("c Conv input o=2 k=3;a Reshape c shape=4,4,1;b Reshape a shape=4,1,4;d Reshape b shape=2,2,4;r "
         "Relu d" END("r"),
         "c:Conv r:Relu f:Flatten h:Gemm");
    left("a Reshape input shape=6,4,2;b Flatten a;r Relu b;g Reshape r shape=6,4,2;s Sigmoid g" END("s"),
         "b:Flatten r:Relu g:Reshape s:Sigmoid f:Flatten h:Gemm");
    /* The first of the chain stays where somebody else reads it. */
    left("a Reshape input shape=4,4,3;b Reshape a shape=2,4,6;x Add b,input;y Reshape a shape=2,4,6;z Mul "
         "x,y" END("z"),
         "x:Add z:Mul f:Flatten h:Gemm");
    left("a Flatten input;r Relu a;b Flatten r;h Gemm b o=3", "a:Flatten r:Relu h:Gemm");
    left("d Dropout input;e Dropout d;x Add d,e" END("x"), "x:Add f:Flatten h:Gemm");
    left("a Concat input;r Clip a;x Add r,a" END("x"), "x:Add f:Flatten h:Gemm");
    left("r Clip input min=0;s Clip r min=0 max=6;t Clip s min=-1" END("t"),
         "r:Relu s:Clip t:Clip f:Flatten h:Gemm");
    /* Nothing is left of the identity but its own node. */
    struct df_network *network = test_graph((struct df_shape){3, 1, 1}, 3, "f Flatten input;d Dropout f"),
                      *result;
    test_ok(df_network_fold(&result, network));
    assert_int_equal(result->node_count, 1);
    df_network_destroy(network);
    df_network_destroy(result);
}

static void test_pads(void **state)
{
    (void)state;
    struct df_network *network =
        folded("a Pad input pads=1,2,3,4;b Pad a pads=0,1,0,1;c Conv b o=3 k=3 p=1;q GlobalAveragePool c");
    assert_int_equal(network->node_count, 2);
    const int32_t *pad = network->nodes[0].window.pad;
    assert_true(pad[0] == 2 && pad[1] == 4 && pad[2] == 4 && pad[3] == 6);
    df_network_destroy(network);
    left("a Pad input pads=1,0,0,0 value=0.5;c Conv a o=3 k=3;q GlobalAveragePool c",
         "a:Pad c:Conv q:GlobalAveragePool");
    left("a Pad input pads=1,0,-1,0;c Conv a o=3 k=3;q GlobalAveragePool c",
         "a:Pad c:Conv q:GlobalAveragePool");
    left("a Pad input pads=1,0,0,0;c Conv a o=3;d Conv a o=3;x Mul c,d;q GlobalAveragePool x",
         "a:Pad c:Conv d:Conv x:Mul q:GlobalAveragePool");
    left("a Pad input pads=1,0,0,0;m MaxPool a k=2" END("m"), "a:Pad m:MaxPool f:Flatten h:Gemm");
    left("a Pad input pads=0,0,0,0;m MaxPool a k=2" END("m"), "m:MaxPool f:Flatten h:Gemm");
}

/* What a pool takes the largest of is rectified behind it. */
static void test_rectified_pools(void **state)
{
    (void)state;
    left("c Conv input o=3 k=3 p=1;r Relu c;m MaxPool r k=2;n MaxPool m k=2 s=2" END("n"),
         "c:Conv r:MaxPool m:MaxPool n:Relu f:Flatten h:Gemm");
    left("c Conv input o=3;r Clip c min=0 max=6;m MaxPool r k=2" END("m"),
         "c:Conv r:MaxPool m:Clip f:Flatten h:Gemm");
    left("c Conv input o=3;r Clip c min=0.5;m MaxPool r k=2" END("m"),
         "c:Conv r:Clip m:MaxPool f:Flatten h:Gemm");
    left("c Conv input o=3;r LeakyRelu c;m MaxPool r k=2" END("m"),
         "c:Conv r:LeakyRelu m:MaxPool f:Flatten h:Gemm");
    left("c Conv input o=3;r Relu c;m MaxPool r k=2;n AveragePool r k=2;x Mul m,n" END("x"),
         "c:Conv r:Relu m:MaxPool n:AveragePool x:Mul f:Flatten h:Gemm");
    struct df_network *network = folded("c Conv input o=3;r Relu c;m MaxPool r k=2 s=2" END("m"));
    const struct df_node *pool = &network->nodes[1], *relu = &network->nodes[2];
    assert_true(pool->inputs[0] == 0 && relu->inputs[0] == 1 && network->nodes[3].inputs[0] == 2);
    assert_true(pool->out.h == 2 && relu->out.h == 2 && relu->out.w == 3 && pool->window.kernel[1] == 2);
    df_network_destroy(network);
}

/* Never more multiply-adds than before: 24 positions; two (5 2 + 3 5) against one (3 2) a position. */
static void test_products(void **state)
{
    (void)state;
    left("c Conv input o=5" END("c"), "f:Flatten h:Gemm");
    left("f Flatten input;g Gemm f o=40;h Gemm g o=3", "f:Flatten h:Gemm");
    /* 48 -> 2 -> 3: 96 + 6 against 144. */
    left("f Flatten input;g Gemm f o=2;h Gemm g o=3", "f:Flatten g:Gemm h:Gemm");
    /* 2 -> 1 at 24 positions, then 24 -> 3: 48 + 72 against 144. */
    left("c Conv input o=1" END("c"), "c:Conv f:Flatten h:Gemm");
    left("c Conv input o=5 p=1" END("c"), "c:Conv f:Flatten h:Gemm");
    left("c Conv input o=6 g=2" END("c"), "c:Conv f:Flatten h:Gemm");
}

/* Folding what is folded changes nothing. */
static void test_again(void **state)
{
    (void)state;
    struct df_network *network = test_residual(), *once, *twice;
    char first[65], second[65];
    test_ok(df_network_fold(&once, network));
    test_ok(df_network_fold(&twice, once));
    df_network_digest(first, once);
    df_network_digest(second, twice);
    assert_string_equal(first, second);
    df_network_destroy(network);
    df_network_destroy(once);
    df_network_destroy(twice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norms),     cmocka_unit_test(test_scale),
        cmocka_unit_test(test_two_norms), cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_pads),      cmocka_unit_test(test_products),
        cmocka_unit_test(test_again),     cmocka_unit_test(test_rectified_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
