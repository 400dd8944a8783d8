/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes in ONNX files: reshapes, axes, and the arithmetic that exporters write around them, in which the
 * number of samples is a symbol. */
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

static void test_reshapes(void **state)
{
    static const char *const shapes[] = {"0 -1", "-1 4", "1 4", "0 4", "1 -1"};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        begin(13, i == 4 ? "1 2 1 2" : "N 2 1 2");
        model_longs(&m, "shape", "2", shapes[i]);
        node("Reshape", "x shape", "v");
        node("Relu", "v", "y"); /* the input alone is no network */
        expect("1 2 3 4", "1 2 3 4");
    }
    /* x.view(x.size(0), -1) as exporters write it. */
    begin(13, "batch 2 1 2");
    node("Shape", "x", "s");
    model_longs(&m, "zero", "", "0");
    model_longs(&m, "axis", "1", "0");
    node("Gather", "s zero", "n");
    node("Unsqueeze", "n axis", "n1");
    model_longs(&m, "rest", "1", "-1");
    model_int(&m, node("Concat", "n1 rest", "shape"), "axis", 0);
    node("Relu", "x", "r");
    node("Reshape", "r shape", "y");
    expect("1 2 3 4 5 6 7 8", "1 2 3 4 5 6 7 8");
    /* Channels times height times width from the shape, through floats and slices, times 1. */
    begin(13, "batch 2 1 2");
    node("Relu", "x", "r");
    node("Shape", "r", "s");
    model_longs(&m, "one", "1", "1");
    model_longs(&m, "two", "1", "2");
    model_longs(&m, "four", "1", "4");
    model_longs(&m, "zero", "1", "0");
    node("Slice", "s one two zero", "c");
    node("Slice", "s two four zero one", "hw");
    model_ints(&m, node("Constant", "", "i0"), "value_ints", "1");
    node("Gather", "hw i0", "w");
    model_int(&m, node("Cast", "c", "cf"), "to", 1);
    model_int(&m, node("Cast", "w", "wf"), "to", 1);
    node("Mul", "cf wf", "pf");
    model_int(&m, node("Cast", "pf", "p"), "to", 7);
    node("Slice", "s zero one zero", "n");
    node("Mul", "n one", "n1");
    node("Div", "n1 one", "n2");
    node("Add", "zero n2", "n3");
    node("Squeeze", "n3 zero", "n4");
    node("Unsqueeze", "n4 zero", "n5");
    model_int(&m, node("Concat", "n5 p", "shape"), "axis", 0);
    node("Reshape", "r shape", "y");
    expect("1 2 3 4 5 6 7 8", "1 2 3 4 5 6 7 8");
    /* Steps backwards: the last of [N, 2, 1, 2] first. */
    begin(15, "batch 2 1 2");
    node("Relu", "x", "r");
    model_int(&m, node("Shape", "r", "s"), "start", 1);
    model_longs(&m, "last", "1", "-1");
    model_longs(&m, "end", "1", "-9");
    model_longs(&m, "axis", "1", "0");
    model_longs(&m, "step", "1", "-2");
    node("Slice", "s last end axis step", "cw");
    model_int(&m, node("Concat", "axis cw", "shape"), "axis", 0);
    node("Reshape", "r shape", "q");
    node("Flatten", "q", "y");
    expect("1 2 3 4", "1 2 3 4");
}

/* What exporters make of a flattened value's shape: shape arithmetic in any type, on a value [N, 2, 3, 4].
 * The last word is the shape that a Reshape takes. */
static void begin_shape(void)
{
    begin(15, "batch 2 3 4");
    node("Relu", "x", "r");
    node("Shape", "r", "s");
    model_longs(&m, "zero", "1", "0");
    model_longs(&m, "one", "1", "1");
    model_longs(&m, "four", "1", "4");
}

static void cast(const char *from, const char *into, int type)
{
    model_int(&m, node("Cast", from, into), "to", type);
}

static void concat(const char *parts, const char *into)
{
    model_int(&m, node("Concat", parts, into), "axis", 0);
}

static void int32_constant(const char *name, const char *value)
{
    Onnx__TensorProto *tensor = model_longs(&m, name, "1", value);
    tensor->data_type = 6;
    tensor->n_int32_data = 1;
    tensor->int32_data = (int32_t *)(void *)tensor->int64_data;
    tensor->n_int64_data = 0;
}

static void expect_shape(const char *shape)
{
    char rows[3 * 24 * 4] = "";
    for (int i = 0; i < 48; i++)
        snprintf(rows + strlen(rows), sizeof rows - strlen(rows), "%s%d", i ? " " : "", i);
    char words[32];
    snprintf(words, sizeof words, "r %s", shape);
    node("Reshape", words, "y");
    expect(rows, rows);
}

static void test_batch_in_shapes(void **state)
{
    (void)state;
    /* tf2onnx: the shape in int32, its first number and a constant of that type, back to int64. */
    begin_shape();
    cast("s", "narrow", 6);
    node("Slice", "narrow zero one zero", "n");
    int32_constant("rest", "24");
    concat("n rest", "both");
    cast("both", "shape", 7);
    expect_shape("shape");
    /* The same through float and double, rounded on the way. */
    begin_shape();
    cast("s", "real", 1);
    node("Slice", "real zero one zero", "n");
    cast("n", "wide", 11);
    node("Floor", "wide", "down");
    node("Ceil", "down", "up");
    cast("up", "whole", 6);
    int32_constant("rest", "-1");
    concat("whole rest", "both");
    cast("both", "shape", 7);
    expect_shape("shape");
    /* TensorFlow 1: -1 and the product of all sizes but the first, in int32; with the batch it is divided out
     * again. */
    for (int with = 0; with < 2; with++) {
        begin_shape();
        cast("s", "narrow", 6);
        node("Slice", with ? "narrow zero four zero" : "narrow one four zero", "sizes");
        model_int(&m, node("ReduceProd", "sizes", "product"), "keepdims", 1);
        node("Slice", "narrow zero one zero", "n");
        node("Div", "product n", "over");
        model_longs(&m, "minus", "1", "-1");
        cast("minus", "open", 6);
        concat(with ? "open over" : "open product", "both");
        cast("both", "shape", 7);
        expect_shape("shape");
    }
    /* N groups of 2: multiples of the batch, taken back; computed and stored numbers of both widths side by
     * side. */
    begin_shape();
    model_longs(&m, "two", "1", "2");
    int32_constant("three", "3");
    node("Slice", "s zero one zero", "n");
    node("Mul", "n two", "n2");
    node("Add", "n2 four", "more");
    node("Sub", "more four", "less");
    node("Div", "less two", "again");
    node("Mul", "three three", "nine");
    node("Div", "nine three", "rows");
    concat("again three rows four", "flipped");
    model_longs(&m, "order", "4", "0 2 3 1");
    node("Gather", "flipped order", "mixed");
    model_longs(&m, "places", "3", "0 1 2");
    node("Gather", "mixed places", "taken");
    model_longs(&m, "last", "1", "2");
    concat("taken last", "shape");
    node("Reshape", "r shape", "v");
    flat();
    expect("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23",
           "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23");
    /* Values of a batch over the batch. */
    begin_shape();
    node("Size", "r", "size");
    node("Slice", "s zero one zero", "n");
    node("Div", "size n", "rest");
    concat("n rest", "shape");
    expect_shape("shape");
    /* A column of sizes, turned and made a row again. */
    begin_shape();
    model_longs(&m, "column", "2", "4 1");
    node("Reshape", "s column", "c");
    model_ints(&m, node("Transpose", "c", "t"), "perm", "1 0");
    model_ints(&m, node("Constant", "", "first"), "value_ints", "0");
    node("Squeeze", "t first", "row");
    node("Reshape", "r row", "v");
    flat();
    expect("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23",
           "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23");
}

static void test_axes(void **state)
{
    struct df_network *network;
    (void)state;
    begin(11, "N 3 1 1");
    node("Relu", "x", "r");
    model_ints(&m, node("Squeeze", "r", "s"), "axes", "2 3");
    model_ints(&m, node("Unsqueeze", "s", "u"), "axes", "1 -1");
    node("Squeeze", "u", "y");
    onnx_expect(&m, "1 2 3", "1 2 3", &network);
    assert_int_equal(network->node_count, 1); /* nothing of it costs anything */
    df_network_destroy(network);
    begin(13, "N 2 1 2");
    node("Relu", "x", "r");
    model_int(&m, node("Flatten", "r", "y"), "axis", -3);
    expect("1 2 3 4", "1 2 3 4");
    begin(13, "N 1 1 2"); /* [N, K, 1, 1] are logits too */
    model_floats(&m, "w", "3 1 1 2", "1 0 0 1 1 1");
    node("Conv", "x w", "y");
    expect("5 7", "5 7 12");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reshapes),
        cmocka_unit_test(test_batch_in_shapes),
        cmocka_unit_test(test_axes),
    };
    return cmocka_run_group_tests(tests, onnx_setup, onnx_teardown);
}
