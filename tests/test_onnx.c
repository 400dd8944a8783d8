/* SPDX-License-Identifier: Apache-2.0 */
/* Each op that the ONNX reader lowers, against outputs worked out by hand, through the reference back end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "onnx_fixture.h"

static struct model m;

/* A model of one input x. */
static void begin(int opset, const char *dims)
{
    onnx_begin(&m, opset, dims);
}

static Onnx__NodeProto *node(const char *op, const char *inputs, const char *outputs)
{
    return model_node(&m, op, inputs, outputs);
}

/* The last op's value v, flattened to the output. */
static void flat(void)
{
    node("Flatten", "v", "y");
}

static void expect(const char *x, const char *logits)
{
    onnx_expect(&m, x, logits, NULL);
}

/* ---- Conv ------------------------------------------------------------------------------------ */

static void test_conv(void **state)
{
    (void)state;
    begin(13, "N 1 3 3");
    model_floats(&m, "w", "2 1 2 2", "1 1 1 1 1 0 0 0");
    model_floats(&m, "b", "2", "10 20");
    model_ints(&m, node("Conv", "x w b", "v"), "kernel_shape", "2 2");
    flat();
    expect("1 2 3 4 5 6 7 8 9", "22 26 34 38 21 22 24 25");
    static const struct {
        const char *how, *logits;
    } automatic[] = {
        {"SAME_UPPER", "12 9 15 9"}, {"SAME_LOWER", "1 5 11 28"}, {"VALID", "12"}, {"NOTSET", "12"}};
    for (int i = 0; i < 2; i++) {
        begin(13, "N 1 3 3");
        model_floats(&m, "w", "1 1 2 2", "1");
        Onnx__NodeProto *conv = node("Conv", "x w", "v");
        model_text(&m, conv, "auto_pad", automatic[i].how);
        model_ints(&m, conv, "strides", "2 2");
        flat();
        expect("1 2 3 4 5 6 7 8 9", automatic[i].logits);
    }
    for (int i = 2; i < 4; i++) { /* no pads: of 3 rows a stride of 2 leaves one window */
        begin(13, "N 1 3 3");
        model_floats(&m, "w", "2 1 2 2", "1");
        Onnx__NodeProto *conv = node("Conv", "x w", "v");
        model_text(&m, conv, "auto_pad", automatic[i].how);
        model_ints(&m, conv, "strides", "2 2");
        flat();
        expect("1 2 3 4 5 6 7 8 9", "12 12");
    }
    begin(13, "N 2 1 2");
    model_floats(&m, "w", "2 1 1 1", "2 3");
    Onnx__NodeProto *grouped = node("Conv", "x w", "v");
    model_int(&m, grouped, "group", 2);
    model_ints(&m, grouped, "pads", "0 1 0 0");
    flat();
    expect("1 2 3 4", "0 2 4 0 9 12");
    begin(13, "1 1 1 4");
    model_floats(&m, "w", "1 1 1 2", "1");
    model_ints(&m, node("Conv", "x w", "v"), "dilations", "1 2");
    flat();
    expect("1 2 3 4", "4 6");
}

/* ---- Products -------------------------------------------------------------------------------- */

static void test_gemm(void **state)
{
    struct df_network *network;
    (void)state;
    begin(11, "N 2 1 1");
    node("Flatten", "x", "f");
    model_floats(&m, "w", "2 3", "1 2 3 4 5 6");
    model_floats(&m, "c", "1 3", "1");
    Onnx__NodeProto *gemm = node("Gemm", "f w c", "y");
    model_real(&m, gemm, "alpha", 2.0);
    model_real(&m, gemm, "beta", 3.0);
    expect("1 10", "85 107 129");
    begin(11, "batch 2 1 1");
    node("Flatten", "x", "f");
    model_floats(&m, "w", "3 2", "1 2 3 4 5 6");
    model_int(&m, node("Gemm", "f w", "y"), "transB", 1);
    expect("1 10 2 0", "21 43 65 2 6 10");
    /* A product, then a sum: one Gemm that has the name of the sum. */
    begin(18, "batch 2 1 1");
    node("Flatten", "x", "f");
    model_floats(&m, "w", "3 2", "1 2 3 4 5 6");
    model_ints(&m, node("Transpose", "w", "t"), "perm", "1 0");
    node("MatMul", "f t", "p");
    model_floats(&m, "b", "3", "100 200 300");
    node("Add", "p b", "y");
    onnx_expect(&m, "1 10", "121 243 365", &network);
    assert_int_equal(network->node_count, 1);
    assert_int_equal(network->nodes[0].op, DF_NODE_GEMM);
    assert_string_equal(network->nodes[0].name, "y");
    df_network_destroy(network);
    /* The same where the product is read twice: nothing may be changed behind its back. */
    begin(18, "batch 2 1 1");
    node("Flatten", "x", "f");
    model_floats(&m, "w", "2 2", "1 0 0 1");
    node("MatMul", "f w", "p");
    model_floats(&m, "b", "2", "100 200");
    node("Add", "b p", "q");
    node("Add", "p q", "y");
    expect("1 10", "102 220");
    begin(18, "batch 2 1 1");
    node("Flatten", "x", "f");
    model_floats(&m, "w", "2 2", "1 0 0 1");
    node("MatMul", "f w", "p");
    node("Identity", "p", "i");
    node("Identity", "p", "j");
    model_floats(&m, "b", "2", "100 200");
    node("Add", "b i", "q");
    node("Add", "j q", "y");
    expect("1 10", "102 220");
}

/* Channels last and back: the columns of the weight are moved, not the values. */
static void test_transposed(void **state)
{
    (void)state;
    begin(13, "N 2 1 2");
    model_ints(&m, node("Transpose", "x", "t"), "perm", "0 2 3 1");
    model_longs(&m, "shape", "2", "0 -1");
    node("Reshape", "t shape", "f");
    model_floats(&m, "w", "4 2", "1 1 10 1 100 1 1000 1");
    node("MatMul", "f w", "y");
    expect("1 2 3 4", "4231 10");
    begin(13, "N 2 1 2");
    model_ints(&m, node("Transpose", "x", "t"), "perm", "0 2 3 1");
    node("Relu", "t", "r");
    model_floats(&m, "c", "2", "10 100"); /* along the channels, which are last now */
    node("Mul", "r c", "p");
    model_ints(&m, node("Transpose", "p", "v"), "perm", "0 3 1 2");
    flat();
    expect("1 2 3 4", "10 20 300 400");
    begin(13, "N 3 1 1");
    model_ints(&m, node("Transpose", "x", "v"), "perm", "0 2 3 1");
    node("Relu", "v", "w");
    node("Flatten", "w", "y");
    expect("1 2 3", "1 2 3");
}

static void test_batch_norm(void **state)
{
    (void)state;
    for (int flatten = 0; flatten < 2; flatten++) {
        begin(14, "N 2 1 1");
        if (flatten)
            node("Flatten", "x", "f");
        model_floats(&m, "s", "2", "2 3");
        model_floats(&m, "b", "2", "1 1");
        model_floats(&m, "mean", "2", "1 0");
        model_floats(&m, "var", "2", "4 1");
        model_real(&m, node("BatchNormalization", flatten ? "f s b mean var" : "x s b mean var", "v"),
                   "epsilon", 0.0);
        flat();
        expect("3 5", "3 16");
    }
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void test_activations(void **state)
{
    (void)state;
    begin(13, "N 3 1 1");
    node("Relu", "x", "v");
    flat();
    expect("-1 0 2", "0 0 2");
    begin(13, "N 3 1 1");
    model_real(&m, node("LeakyRelu", "x", "v"), "alpha", 0.5);
    flat();
    expect("-1 0 2", "-0.5 0 2");
    begin(9, "N 3 1 1");
    Onnx__NodeProto *clip = node("Clip", "x", "v");
    model_real(&m, clip, "min", -1.0);
    model_real(&m, clip, "max", 1.5);
    flat();
    expect("-3 0 2", "-1 0 1.5");
    begin(13, "N 3 1 1");
    model_floats(&m, "six", "", "6");
    node("Clip", "x - six", "v");
    flat();
    expect("-3 0 20", "-3 0 6");
    begin(13, "N 3 1 1");
    model_floats(&m, "zero", "", "0");
    node("Clip", "x zero", "v");
    flat();
    expect("-3 0 20", "0 0 20");
    begin(13, "N 3 1 1");
    node("Clip", "x", "u");
    node("Relu", "u", "v");
    flat();
    expect("-3 0 20", "0 0 20");
    begin(13, "N 2 1 1");
    node("Sigmoid", "x", "s");
    model_floats(&m, "two", "1", "2");
    node("Mul", "s two", "v");
    flat();
    expect("0 1.0986122887", "1 1.5");
    begin(13, "N 3 1 1");
    Onnx__NodeProto *hard = node("HardSigmoid", "x", "s");
    model_real(&m, hard, "alpha", 0.25);
    model_real(&m, hard, "beta", 0.5);
    node("Mul", "x s", "v");
    flat();
    expect("1 -8 4", "0.75 0 4");
    begin(14, "N 3 1 1");
    node("HardSwish", "x", "v");
    flat();
    expect("1 -4 5", "0.666666667 0 5");
    begin(13, "N 3 1 1");
    node("Tanh", "x", "v");
    flat();
    expect("-1 0 2", "-0.761594156 0 0.964027580");
    begin(13, "N 3 1 1");
    node("Softplus", "x", "v");
    flat();
    expect("-1 0 2", "0.313261688 0.693147181 2.12692801");
    begin(13, "N 3 1 1");
    node("Elu", "x", "v");
    flat();
    expect("-1 0 2", "-0.632120559 0 2");
    begin(13, "N 3 1 1");
    model_real(&m, node("Elu", "x", "v"), "alpha", 0.5);
    flat();
    expect("-1 0 2", "-0.316060279 0 2");
    begin(13, "N 3 1 1"); /* what PyTorch makes of its Hardtanh */
    model_floats(&m, "low", "", "-1");
    model_floats(&m, "high", "", "1");
    node("Clip", "x low high", "v");
    flat();
    expect("-3 0.5 2", "-1 0.5 1");
    begin(13, "N 3 1 1"); /* min above max: every value becomes max */
    model_floats(&m, "low", "", "2");
    model_floats(&m, "high", "", "-1");
    node("Clip", "x low high", "v");
    flat();
    expect("-3 0.5 20", "-1 -1 -1");
    begin(13, "N 3 1 1");
    model_floats(&m, "low", "", "inf");
    model_floats(&m, "high", "", "1.5");
    node("Clip", "x low high", "v");
    flat();
    expect("-3 0.5 20", "1.5 1.5 1.5");
    begin(20, "N 3 1 1");
    node("Gelu", "x", "v");
    flat();
    expect("-1 0 2", "-0.158655254 0 1.95449974");
    begin(20, "N 3 1 1");
    model_text(&m, node("Gelu", "x", "v"), "approximate", "none");
    flat();
    expect("-1 0 2", "-0.158655254 0 1.95449974");
    begin(20, "N 3 1 1");
    model_text(&m, node("Gelu", "x", "v"), "approximate", "tanh");
    flat();
    expect("-1 0 2", "-0.158808009 0 1.95459769");
    begin(16, "N 2 1 2");
    model_floats(&m, "slopes", "2 1 1", "0.25 -1");
    node("PRelu", "x slopes", "v");
    flat();
    expect("-4 1 -3 2", "-1 1 3 2");
    begin(16, "N 2 1 2");
    model_floats(&m, "slope", "1", "0.5");
    node("PRelu", "x slope", "v");
    flat();
    expect("-4 1 -3 2", "-2 1 -1.5 2");
    begin(13, "N 3 1 1"); /* what PyTorch makes of Gelu before opset 20 */
    model_floats(&m, "root", "", "1.41421354");
    model_floats(&m, "one", "", "1");
    model_floats(&m, "half", "", "0.5");
    node("Div", "x root", "d");
    node("Erf", "d", "e");
    node("Add", "e one", "a");
    node("Mul", "x a", "m");
    node("Mul", "m half", "v");
    flat();
    expect("-1 0 2", "-0.158655254 0 1.95449974");
    begin(13, "N 2 1 1");
    model_real(&m, node("Dropout", "x", "d -"), "seed", 0);
    node("Identity", "d", "i");
    model_int(&m, node("Cast", "i", "v"), "to", 1);
    flat();
    expect("1 2", "1 2");
    /* Outputs that are left out are none, and a training mode that is off is none. */
    begin(12, "N 2 1 1");
    model_floats(&m, "one", "2", "1");
    model_floats(&m, "zero", "2", "0");
    model_floats(&m, "ratio", "", "0.5");
    model_longs(&m, "no", "", "0");
    model_int(&m, node("Cast", "no", "off"), "to", 9);
    model_real(&m, node("BatchNormalization", "x one one zero one", "n - - - -"), "epsilon", 0.0);
    node("Dropout", "n ratio off", "v mask");
    flat();
    expect("1 2", "2 3");
}

static void test_joins(void **state)
{
    static const struct {
        const char *op, *logits;
    } cases[] = {{"Add", "8 -2"}, {"Sub", "0 -2"}, {"Mul", "16 0"}, {"Div", "1 0"}};
    (void)state;
    for (int i = 0; i < 4; i++) {
        begin(13, "N 2 1 1");
        node("Relu", "x", "r");
        node(cases[i].op, i < 3 ? "x r" : "r x", "v");
        flat();
        expect("4 -2", cases[i].logits);
    }
    begin(13, "N 2 1 2"); /* a channel's mean scales it */
    node("GlobalAveragePool", "x", "g");
    node("Mul", "x g", "v");
    flat();
    expect("1 3 2 4", "2 6 6 12");
    begin(13, "N 2 1 2"); /* a mean over channels is subtracted from all */
    Onnx__NodeProto *mean = node("ReduceMean", "x", "g");
    model_ints(&m, mean, "axes", "1");
    node("Sub", "x g", "v");
    flat();
    expect("1 3 2 5", "-0.5 -1 0.5 1");
}

static void test_constants(void **state)
{
    static const struct {
        const char *op, *dims, *values;
        bool first;
        const char *logits;
    } cases[] = {
        {"Add", "", "10", false, "11 12 13 14"},
        {"Add", "2 1 1", "10 20", true, "11 12 23 24"},
        {"Sub", "1 2 1 1", "1 2", false, "0 1 1 2"},
        {"Sub", "1", "5", true, "4 3 2 1"},
        {"Mul", "2 1 1", "10 100", true, "10 20 300 400"},
        {"Mul", "2", "10 100", false, "10 200 30 400"},
        {"Mul", "2 1 2", "1 2 3 4", false, "1 4 9 16"},
        {"Div", "2 1 1", "2 4", false, "0.5 1 0.75 1"},
        {"Div", "", "12", true, "12 6 4 3"},
        {"Div", "1 2", "12 24", true, "12 12 4 6"},
        {"Sub", "2 1 2", "9 8 7 6", true, "8 6 4 2"},
    };
    struct df_network *network;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(13, "N 2 1 2");
        model_floats(&m, "c", cases[i].dims, cases[i].values);
        node(cases[i].op, cases[i].first ? "c x" : "x c", "v");
        flat();
        expect("1 2 3 4", cases[i].logits);
    }
    /* A normalisation is one map. */
    begin(13, "N 2 1 2");
    model_floats(&m, "mean", "2 1 1", "1 2");
    model_floats(&m, "std", "2 1 1", "0.5 0.25");
    node("Sub", "x mean", "c");
    node("Div", "c std", "n");
    node("Relu", "n", "v");
    flat();
    onnx_expect(&m, "1 2 3 4", "0 2 4 8", &network);
    assert_int_equal(network->node_count, 3);
    assert_string_equal(network->nodes[0].name, "n");
    assert_true(network->nodes[0].epsilon == 0.0);
    df_network_destroy(network);
    /* What is computed of constants alone is a constant: 2 * (3 - 1) / 4 = 1 along the channels. */
    begin(13, "N 2 1 2");
    model_floats(&m, "two", "", "2");
    model_floats(&m, "three", "2 1 1", "3 5");
    model_floats(&m, "one", "1", "1");
    model_floats(&m, "four", "1 1 1", "4");
    node("Sub", "three one", "a");
    node("Mul", "two a", "b");
    node("Div", "b four", "c");
    node("Add", "c x", "v");
    flat();
    expect("1 2 3 4", "2 3 5 6");
}

/* ---- Pools ----------------------------------------------------------------------------------- */

static void test_pools(void **state)
{
    Onnx__NodeProto *pool;
    (void)state;
    begin(13, "N 1 3 3");
    pool = node("MaxPool", "x", "v");
    model_ints(&m, pool, "kernel_shape", "2 2");
    model_ints(&m, pool, "strides", "2 2");
    model_int(&m, pool, "ceil_mode", 1);
    flat();
    expect("1 2 3 4 5 6 7 8 9", "5 6 8 9");
    begin(13, "N 1 3 3");
    pool = node("MaxPool", "x", "v");
    model_ints(&m, pool, "kernel_shape", "1 2");
    model_ints(&m, pool, "dilations", "1 2");
    flat();
    expect("1 2 3 9 5 6 7 8 1", "3 9 7");
    for (int average = 0; average < 2; average++) { /* a window that is larger than the plane */
        begin(13, "N 1 2 5");
        pool = node(average ? "AveragePool" : "MaxPool", "x", "v");
        model_ints(&m, pool, "kernel_shape", "3 3");
        model_ints(&m, pool, "strides", "2 2");
        model_int(&m, pool, "ceil_mode", 1);
        flat();
        expect("1 2 3 4 5 6 7 8 9 10", average ? "4.5 6.5" : "8 10");
    }
    for (int count = 0; count < 2; count++) {
        begin(13, "N 1 2 2");
        pool = node("AveragePool", "x", "v");
        model_ints(&m, pool, "kernel_shape", "2 2");
        model_ints(&m, pool, "strides", "2 2");
        model_ints(&m, pool, "pads", "1 1 1 1");
        model_int(&m, pool, "count_include_pad", count);
        flat();
        expect("4 8 12 16", count ? "1 2 3 4" : "4 8 12 16");
    }
    begin(19, "N 1 1 4");
    pool = node("AveragePool", "x", "v");
    model_ints(&m, pool, "kernel_shape", "1 2");
    model_ints(&m, pool, "dilations", "1 2");
    flat();
    expect("1 2 3 4", "2 3");
    begin(13, "N 2 2 2");
    node("GlobalAveragePool", "x", "v");
    flat();
    expect("1 2 3 4 5 6 7 9", "2.5 6.75");
    begin(13, "N 2 2 2");
    node("GlobalMaxPool", "x", "y");
    expect("1 2 3 4 5 6 7 9", "4 9");
}

static void test_means(void **state)
{
    static const struct {
        const char *axes, *logits;
        int keep;
    } cases[] = {
        {"2 3", "2.5 6.5", 1},       {"-1 -2", "2.5 6.5", 0}, {"1", "3 4 5 6", 0}, {"2", "2 3 6 7", 1},
        {"3", "1.5 3.5 5.5 7.5", 0}, {"1 3", "3.5 5.5", 1},   {"1 2", "4 5", 0},   {"3 1", "3.5 5.5", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int input = 0; input < 2; input++) {
            begin(input ? 18 : 13, "N 2 2 2");
            Onnx__NodeProto *mean = node("ReduceMean", input ? "x axes" : "x", "v");
            model_int(&m, mean, "keepdims", cases[i].keep);
            if (input)
                model_longs(&m, "axes", strchr(cases[i].axes, ' ') ? "2" : "1", cases[i].axes);
            else
                model_ints(&m, mean, "axes", cases[i].axes);
            flat();
            expect("1 2 3 4 5 6 7 8", cases[i].logits);
        }
}

/* ---- Pads and joins --------------------------------------------------------------------------- */

static void test_pads(void **state)
{
    Onnx__NodeProto *pad;
    (void)state;
    begin(10, "N 1 1 2");
    pad = node("Pad", "x", "v");
    model_ints(&m, pad, "pads", "0 0 1 0 0 0 0 1");
    model_real(&m, pad, "value", 9.0);
    flat();
    expect("1 2", "9 9 9 1 2 9");
    begin(13, "N 2 1 2"); /* channels, as residual networks on CIFAR do */
    model_longs(&m, "pads", "8", "0 1 0 0 0 1 0 1");
    node("Pad", "x pads", "v");
    flat();
    expect("1 2 3 4", "0 0 0 1 2 0 3 4 0 0 0 0");
    begin(18, "N 1 1 4"); /* below zero: cut off */
    model_longs(&m, "pads", "2", "-1 -1");
    model_longs(&m, "axes", "1", "-1");
    model_floats(&m, "c", "", "5");
    model_text(&m, node("Pad", "x pads c axes", "v"), "mode", "constant");
    flat();
    expect("1 2 3 4", "2 3");
}

static void test_concat(void **state)
{
    (void)state;
    begin(13, "N 1 1 2");
    node("Relu", "x", "r");
    model_int(&m, node("Concat", "x r x", "v"), "axis", 1);
    flat();
    expect("1 -2", "1 -2 1 0 1 -2");
    begin(13, "N 2 1 1");
    node("Flatten", "x", "f");
    node("Relu", "f", "r");
    model_int(&m, node("Concat", "r f", "y"), "axis", -1);
    expect("1 -2", "1 0 1 -2");
    begin(13, "N 1 2 1");
    node("Relu", "x", "r");
    model_int(&m, node("Concat", "r x", "v"), "axis", 2);
    flat();
    expect("1 -2", "1 0 1 -2");
}

/* ---- Constants ------------------------------------------------------------------------------- */

static void test_literals(void **state)
{
    Onnx__NodeProto *made;
    (void)state;
    begin(13, "N 2 1 1");
    made = node("Constant", "", "a");
    model_real(&m, made, "value_float", 10.0);
    made = node("Constant", "", "b");
    model_attribute(&m, made, "value")->t = model_tensor(&m, 1, "2 1 1", "1 2");
    made = node("Constant", "", "c");
    Onnx__AttributeProto *floats = model_attribute(&m, made, "value_floats");
    static float three[1] = {3.0f};
    floats->floats = three;
    floats->n_floats = 1;
    made = node("Constant", "", "d");
    model_int(&m, made, "value_int", 2);
    model_int(&m, node("Cast", "d", "e"), "to", 11);
    made = node("Constant", "", "shape");
    model_ints(&m, made, "value_ints", "2 1 1");
    made = node("ConstantOfShape", "shape", "f");
    model_attribute(&m, made, "value")->t = model_tensor(&m, 1, "1", "1000");
    node("Add", "x a", "v1");  /* + 10 */
    node("Mul", "v1 b", "v2"); /* * 1, 2 */
    node("Add", "v2 c", "v3"); /* + 3 */
    node("Mul", "v3 e", "v4"); /* * 2 */
    node("Add", "v4 f", "v");
    flat();
    expect("1 2", "1028 1054");
    /* Identities of initializers, which old files list as inputs too. */
    begin(9, "N 2 1 1");
    m.proto.ir_version = 3;
    model_floats(&m, "w", "2 2 1 1", "1 2 3 4");
    model_floats(&m, "b", "2", "10 20");
    model_input(&m, "w", 1, "2 2 1 1");
    model_input(&m, "b", 1, "2");
    node("Identity", "b", "b1");
    node("Identity", "b1", "b2");
    node("Conv", "x w b2", "c");
    node("Conv", "c w b1", "v");
    flat();
    expect("1 2", "87 189");
}

static void test_types(void **state)
{
    static const struct {
        int type, count;
        int32_t words[2];
        double values[2];
    } cases[] = {
        {10, 2, {0x3c00, 0xc100}, {1, -2.5}}, {16, 2, {0x3f80, 0xc020}, {1, -2.5}}, {6, 2, {1, -3}, {1, -3}}};
    (void)state;
    for (int i = 0; i < 3; i++) {
        begin(13, "N 2 1 1");
        Onnx__TensorProto *w = model_floats(&m, "w", "2 1 1", "0");
        w->data_type = cases[i].type;
        w->has_raw_data = false;
        w->int32_data = (int32_t[]){cases[i].words[0], cases[i].words[1]};
        w->n_int32_data = 2;
        model_int(&m, node("Cast", "w", "c"), "to", 1);
        node("Mul", "x c", "v");
        flat();
        char text[64];
        snprintf(text, sizeof text, "%g %g", cases[i].values[0], cases[i].values[1]);
        expect("1 1", text);
    }
    begin(13, "N 2 1 1");
    Onnx__TensorProto *w = model_floats(&m, "w", "2 1 1", "0");
    w->data_type = 11;
    w->has_raw_data = false;
    w->double_data = (double[]){0.5, -4.0};
    w->n_double_data = 2;
    node("Mul", "x w", "v");
    flat();
    expect("1 1", "0.5 -4");
    begin(13, "N 2 1 1"); /* half a subnormal: 2^-24 */
    w = model_floats(&m, "w", "2 1 1", "0");
    w->data_type = 10;
    uint16_t halves[2] = {1, 0x7bff};
    w->raw_data.data = (uint8_t *)halves;
    w->raw_data.len = sizeof halves;
    node("Mul", "x w", "v");
    flat();
    expect("16777216 1", "1 65504");
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void test_softmax(void **state)
{
    char path[TEST_PATH];
    struct df_network *network;
    struct df_onnx_facts facts;
    (void)state;
    for (int opset = 11; opset < 14; opset += 2) {
        begin(opset, "N 2 1 1");
        node("Relu", "x", "r");
        node("Flatten", "r", "f");
        node(opset < 13 ? "Softmax" : "LogSoftmax", "f", "s");
        node("Identity", "s", "y");
        test_join(path, onnx_folder, "m.onnx");
        model_write(&m, path);
        test_ok(df_onnx_load(&network, &facts, path));
        assert_true(facts.softmax_cut);
        assert_int_equal(facts.opset, opset);
        assert_int_equal(facts.node_count, 4);
        assert_string_equal(facts.producer, "builder 1");
        assert_string_equal(facts.input, "x");
        assert_string_equal(facts.output, "y");
        assert_true(strncmp(facts.ops, "Flatten (1), Identity (1)", 25) == 0);
        df_onnx_facts_clear(&facts);
        df_network_destroy(network);
        expect("1 3", "1 3");
    }
}

static void test_names(void **state)
{
    static const char *const expected[] = {"block.0.Relu", "block.0.Relu_2", "input_", "a?b", "y"};
    struct df_network *network;
    (void)state;
    begin(13, "N 2 1 1");
    node("Relu", "x", "/block/0/Relu");
    node("Relu", "/block/0/Relu", "block.0.Relu");
    node("Relu", "block.0.Relu", "input");
    node("Relu", "input", "a\tb");
    node("Relu", "a\tb", "y");
    onnx_expect(&m, "1 3", "1 3", &network);
    assert_int_equal(network->node_count, 5);
    for (int i = 0; i < 5; i++)
        assert_string_equal(network->nodes[i].name, expected[i]);
    df_network_destroy(network);
}

static void test_scaling(void **state)
{
    struct df_network *network;
    (void)state;
    begin(13, "N 2 1 1");
    node("Relu", "x", "y");
    onnx_expect(&m, "1 3", "1 3", &network);
    assert_int_equal(network->affine_count, 0);
    df_network_destroy(network);
    begin(13, "N 2 1 1");
    node("Relu", "x", "y");
    model_metadata(&m, "dfal.scale", "0.5, 0.25");
    model_metadata(&m, "dfal.offset", "-1");
    onnx_expect(&m, "1 3", "1 3", &network);
    assert_int_equal(network->affine_count, 2);
    assert_true(network->scale[0] == 0.5 && network->scale[1] == 0.25);
    assert_true(network->offset[0] == -1.0 && network->offset[1] == -1.0);
    df_network_destroy(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_transposed),  cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_activations), cmocka_unit_test(test_joins),
        cmocka_unit_test(test_constants),   cmocka_unit_test(test_pools),
        cmocka_unit_test(test_means),       cmocka_unit_test(test_pads),
        cmocka_unit_test(test_concat),      cmocka_unit_test(test_literals),
        cmocka_unit_test(test_types),       cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_scaling),
    };
    return cmocka_run_group_tests(tests, onnx_setup, onnx_teardown);
}
