/* SPDX-License-Identifier: Apache-2.0 */
/* Networks as data: shapes, JSON, digests, initial weights, built-in models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "graph/node_type.h"
#include "models/models.h"
#include "support.h"
#include "support_network.h"

static const struct df_shape mnist = {1, 28, 28};

static struct df_network *parse(const char *json, struct df_shape input, int32_t classes)
{
    struct df_network *network;
    test_ok(df_graph_from_json(&network, json, strlen(json), input, classes, "net.h5"));
    return network;
}

static void assert_shape(struct df_shape found, int64_t c, int64_t h, int64_t w)
{
    assert_int_equal(found.c, c);
    assert_int_equal(found.h, h);
    assert_int_equal(found.w, w);
}

/* ---- Models -------------------------------------------------------------------------------- */

static void test_lenet5(void **state)
{
    (void)state;
    struct df_network *n;
    test_ok(df_model_create(&n, "lenet5", mnist, 10));
    static const char *const names[] = {"conv1", "relu1", "pool1", "drop1", "conv2",
                                        "relu2", "pool2", "drop2", "conv3", "flatten",
                                        "fc1",   "relu3", "fc2",   "drop3", "fc3"};
    assert_int_equal(n->node_count, 15);
    for (int32_t i = 0; i < n->node_count; i++)
        assert_string_equal(n->nodes[i].name, names[i]);
    assert_shape(n->nodes[0].out, 6, 24, 24);
    assert_shape(n->nodes[6].out, 16, 4, 4);
    assert_shape(n->nodes[8].out, 120, 4, 4);
    assert_shape(n->nodes[10].out, 84, 1, 1);
    assert_true(n->nodes[3].ratio == 0.25 && n->nodes[13].ratio == 0.5);
    /* 6*25+6, 16*6*25+16, 120*16+120, 84*1920+84, 10*84+10, 10*10+10 */
    assert_int_equal(df_network_parameter_count(n), 156 + 2416 + 2040 + 161364 + 850 + 110);
    assert_int_equal(df_network_find(n, "input"), DF_INPUT);
    assert_int_equal(df_network_find(n, "conv3"), 8);
    assert_int_equal(df_network_find(n, "conv4"), -2);
    assert_true(df_network_has(n, DF_NODE_DROPOUT) && !df_network_has(n, DF_NODE_BATCH_NORM));
    df_network_destroy(n);
}

static void test_vgg8(void **state)
{
    (void)state;
    struct df_network *n;
    test_ok(df_model_create(&n, "vgg8", mnist, 10));
    static const char *const parameters[] = {"conv1", "conv2", "conv3", "conv4",
                                             "conv5", "conv6", "fc1",   "fc2"};
    int32_t found = 0;
    for (int32_t i = 0; i < n->node_count; i++)
        if (n->nodes[i].parameter[DF_WEIGHT].data)
            assert_string_equal(n->nodes[i].name, parameters[found++]);
    assert_int_equal(found, 8);
    assert_shape(n->nodes[df_network_find(n, "conv6")].out, 512, 3, 3);
    assert_shape(n->nodes[df_network_find(n, "flatten")].out, 512, 1, 1);
    assert_shape(n->nodes[df_network_find(n, "fc1")].out, 4096, 1, 1);
    df_network_destroy(n);
    test_ok(df_model_create(&n, "vgg8", (struct df_shape){3, 64, 64}, 2));
    assert_shape(n->nodes[df_network_find(n, "flatten")].out, 8192, 1, 1);
    df_network_destroy(n);
}

static void test_model_errors(void **state)
{
    (void)state;
    struct df_network *n;
    test_error(df_model_create(&n, "lenet", mnist, 10), DFAL_E_USAGE, "lenet5");
    assert_null(n);
    test_error(df_model_create(&n, "lenet5", (struct df_shape){1, 15, 28}, 10), DFAL_E_SHAPE, "15x28");
    test_error(df_model_create(&n, "vgg8", mnist, 0), DFAL_E_DATA, "classes");
    assert_true(df_model_exists("vgg8") && !df_model_exists("alexnet"));
}

/* ---- Shapes -------------------------------------------------------------------------------- */

/* One windowed node over a plane, then whatever makes two classes of it. */
static struct df_shape window_shape(const char *attributes, const char *op, int64_t h, int64_t w)
{
    char json[600];
    snprintf(json, sizeof json,
             "{\"nodes\":[{\"name\":\"a\",\"op\":\"%s\",\"inputs\":[\"input\"],\"attributes\":{%s}},"
             "{\"name\":\"g\",\"op\":\"GlobalAveragePool\",\"inputs\":[\"a\"]}],\"output\":\"g\"}",
             op, attributes);
    struct df_network *n = parse(json, (struct df_shape){2, h, w}, 2);
    if (strcmp(op, "Conv") == 0) {
        n->nodes[0].parameter[DF_WEIGHT].dims[0] = 2;
        n->nodes[0].window.kernel[0] = 3;
        n->nodes[0].window.kernel[1] = 2;
    }
    test_ok(df_network_infer(n));
    struct df_shape shape = n->nodes[0].out;
    df_network_destroy(n);
    return shape;
}

static void test_shapes(void **state)
{
    (void)state;
    assert_shape(window_shape("", "Conv", 7, 7), 2, 5, 6);
    assert_shape(window_shape("\"strides\":[2,3],\"pads\":[1,0,2,1]", "Conv", 7, 7), 2, 4, 3);
    assert_shape(window_shape("\"dilations\":[2,3],\"group\":2", "Conv", 7, 7), 2, 3, 4);
    assert_shape(window_shape("\"kernel_shape\":[2,2],\"strides\":[2,2]", "MaxPool", 7, 6), 2, 3, 3);
    assert_shape(window_shape("\"kernel_shape\":[2,2],\"strides\":[2,2],\"ceil_mode\":1", "MaxPool", 7, 6), 2,
                 4, 3);
    assert_shape(
        window_shape("\"kernel_shape\":[3,3],\"strides\":[2,2],\"pads\":[1,1,1,1]", "AveragePool", 7, 8), 2,
        4, 4);
    /* A window that would begin in the padding behind the values is left out in ceil mode. */
    assert_shape(window_shape("\"kernel_shape\":[2,2],\"strides\":[3,3],\"pads\":[0,0,1,1],\"ceil_mode\":1",
                              "MaxPool", 6, 6),
                 2, 2, 2);
    /* In ceil mode a single window may be larger than the plane, as long as less than a stride of it is. */
    assert_shape(window_shape("\"kernel_shape\":[3,3],\"strides\":[2,2],\"ceil_mode\":1", "MaxPool", 2, 3), 2,
                 1, 1);
}

static void test_shape_errors(void **state)
{
    (void)state;
    static const struct {
        const char *json, *words;
        dfal_status status;
    } cases[] = {
        {"{\"nodes\":[{\"name\":\"p\",\"op\":\"MaxPool\",\"inputs\":[\"input\"],\"attributes\":{\"kernel_"
         "shape\":[9,9]}}],"
         "\"output\":\"p\"}",
         "does not fit", DFAL_E_SHAPE},
        {"{\"nodes\":[{\"name\":\"p\",\"op\":\"MaxPool\",\"inputs\":[\"input\"],\"attributes\":{\"kernel_"
         "shape\":[2,2],"
         "\"pads\":[2,0,0,0]}}],\"output\":\"p\"}",
         "less than the window", DFAL_E_SHAPE},
        {"{\"nodes\":[{\"name\":\"r\",\"op\":\"Relu\",\"inputs\":[\"input\"]}],\"output\":\"r\"}",
         "2 classes", DFAL_E_SHAPE},
        {"{\"nodes\":[{\"name\":\"g\",\"op\":\"Gemm\",\"inputs\":[\"input\"]}],\"output\":\"g\"}", "Flatten",
         DFAL_E_SHAPE},
        {"{\"nodes\":[{\"name\":\"g\",\"op\":\"AveragePool\",\"inputs\":[\"input\"],\"attributes\":{\"kernel_"
         "shape\":[3,4]}},{\"name\":\"a\",\"op\":\"Add\",\"inputs\":[\"g\",\"input\"]}],\"output\":\"a\"}",
         "'a' (Add) gets inputs of 2x2x1 and 2x4x4, expected equal shapes or 1", DFAL_E_SHAPE},
        {"{\"nodes\":[{\"name\":\"g\",\"op\":\"GlobalAveragePool\",\"inputs\":[\"input\"]},{\"name\":"
         "\"dead\","
         "\"op\":\"Relu\",\"inputs\":[\"g\"]}],\"output\":\"g\"}",
         "'dead' does not lead", DFAL_E_DATA},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct df_network *n = parse(cases[i].json, (struct df_shape){2, 4, 4}, 2);
        test_error(df_network_infer(n), cases[i].status, cases[i].words);
        df_network_destroy(n);
    }
}

static void test_parameter_shapes(void **state)
{
    (void)state;
    struct df_network *n;
    test_ok(df_model_create(&n, "lenet5", mnist, 10));
    n->nodes[4].parameter[DF_WEIGHT].dims[1] = 5;
    test_error(df_network_infer(n), DFAL_E_SHAPE, "conv2/weight");
    n->nodes[4].parameter[DF_WEIGHT].dims[1] = 6;
    test_ok(df_network_infer(n));
    n->nodes[4].group = 4;
    test_error(df_network_infer(n), DFAL_E_SHAPE, "4 groups");
    n->nodes[4].group = 1;
    n->nodes[0].parameter[DF_BIAS].data[3] = NAN;
    test_error(df_network_check_finite(n, "net.h5"), DFAL_E_DATA, "net.h5: element 3 of conv1/bias");
    df_network_destroy(n);
}

/* Joins broadcast, reshapes keep the number of values, paddings leave something of the input. input 2 x 4 x
 * 6 */
static void test_op_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t c, h, w;
    } good[] = {
        {"x LeakyRelu input", 2, 4, 6},
        {"x Clip input", 2, 4, 6},
        {"x Sigmoid input", 2, 4, 6},
        {"x HardSigmoid input", 2, 4, 6},
        {"x HardSwish input", 2, 4, 6},
        {"x Tanh input", 2, 4, 6},
        {"x Softplus input", 2, 4, 6},
        {"x Elu input", 2, 4, 6},
        {"x HardTanh input", 2, 4, 6},
        {"x Gelu input", 2, 4, 6},
        {"x GeluTanh input", 2, 4, 6},
        {"x PRelu input", 2, 4, 6},
        {"x PRelu input o=1", 2, 4, 6},
        {"x Erf input", 2, 4, 6},
        {"x Pad input pads=1,2,3,4", 2, 8, 12},
        {"x Pad input pads=-1,2,-2,-4", 2, 1, 4},
        {"x Reshape input shape=6,8,1", 6, 8, 1},
        {"g GlobalAveragePool input;x Mul g,input", 2, 4, 6},
        {"g GlobalAveragePool input;x Div input,g", 2, 4, 6},
        {"a AveragePool input k=4,1;b AveragePool input k=1,6;x Sub a,b", 2, 4, 6},
        {"c Conv input o=1;x Add input,c", 2, 4, 6},
        {"c Conv input o=1 k=4,6;x Sub c,c", 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[300];
        snprintf(text, sizeof text, "%s;flat Flatten x;head Gemm flat o=3", good[i].text);
        struct df_network *n = test_graph((struct df_shape){2, 4, 6}, 3, text);
        assert_shape(n->nodes[df_network_find(n, "x")].out, good[i].c, good[i].h, good[i].w);
        df_network_destroy(n);
    }
}

static void test_op_shape_errors(void **state)
{
    (void)state;
#define ONE(op, attributes)                                                                                  \
    "{\"nodes\":[{\"name\":\"x\",\"op\":\"" op "\",\"inputs\":[\"input\"],\"attributes\":{" attributes       \
    "}}],\"output\":\"x\"}"
#define TWO(op)                                                                                              \
    "{\"nodes\":[{\"name\":\"p\",\"op\":\"AveragePool\",\"inputs\":[\"input\"],\"attributes\":{\"kernel_"    \
    "shape\":[1,"                                                                                            \
    "2]}},{\"name\":\"x\",\"op\":\"" op "\",\"inputs\":[\"input\",\"p\"]}],\"output\":\"x\"}"
    static const struct {
        const char *json, *words;
    } cases[] = {
        {TWO("Add"),
         "Node 'x' (Add) gets inputs of 2x4x4 and 2x4x3, expected equal shapes or 1 where they differ"},
        {TWO("Sub"), "(Sub) gets inputs of 2x4x4 and 2x4x3"},
        {TWO("Mul"), "(Mul) gets inputs of 2x4x4 and 2x4x3"},
        {TWO("Div"), "(Div) gets inputs of 2x4x4 and 2x4x3"},
        {ONE("Reshape", "\"shape\":[2,4,3]"),
         "Node 'x' (Reshape) turns an input of 2x4x4 into 2x4x3, expected the same number of values"},
        {ONE("Reshape", "\"shape\":[65535,65535,65535]"), "into 65535x65535x65535"},
        {ONE("Pad", "\"pads\":[-4,0,1,0]"), "Node 'x' (Pad) has pads -4, 0, 1 and 0 on an input of 2x4x4, "
                                            "expected some of the input to be left"},
        {ONE("Pad", "\"pads\":[1,0,-4,0]"), "pads 1, 0, -4 and 0"},
        {ONE("Pad", "\"pads\":[0,-2,0,-2]"), "pads 0, -2, 0 and -2"},
        {ONE("Pad", "\"pads\":[65535,65535,65535,65535]"), "expected at most"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct df_network *n = parse(cases[i].json, (struct df_shape){2, 4, 4}, 2);
        test_error(df_network_infer(n), DFAL_E_SHAPE, cases[i].words);
        df_network_destroy(n);
    }
    struct df_network *n = test_graph((struct df_shape){2, 1, 1}, 2, "n BatchNormalization input epsilon=0");
    n->nodes[0].parameter[DF_VARIANCE].data[1] = 0.0f;
    test_error(df_network_infer(n), DFAL_E_DATA,
               "Element 1 of n/variance is 0 and epsilon is 0, expected a sum above 0 to divide by");
    df_network_destroy(n);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void test_canonical(void **state)
{
    (void)state;
    struct df_network *n =
        parse(" {\"output\": \"d\", \"nodes\": [ "
              "{\"op\":\"Dropout\",\"name\":\"d\",\"inputs\":[\"b\"],\"attributes\":{\"ratio\":"
              "0.25}}, "
              "{\"name\":\"b\",\"op\":\"BatchNormalization\",\"inputs\":[\"c\"]},{\"name\":\"c\",\"inputs\":["
              "\"input\"],"
              "\"op\":\"Conv\",\"attributes\":{\"pads\":[0,1,2,3]}}]}",
              (struct df_shape){1, 4, 4}, 2);
    char *json;
    test_ok(df_graph_to_json(&json, n));
    assert_string_equal(
        json,
        "{\"nodes\":[{\"attributes\":{\"dilations\":[1,1],\"group\":1,\"pads\":[0,1,2,3],\"strides\":[1,1]},"
        "\"inputs\":[\"input\"],\"name\":\"c\",\"op\":\"Conv\"},{\"attributes\":{\"epsilon\":1e-05},"
        "\"inputs\":[\"c\"],"
        "\"name\":\"b\",\"op\":\"BatchNormalization\"},{\"attributes\":{\"ratio\":0.25},\"inputs\":[\"b\"],"
        "\"name\":\"d\","
        "\"op\":\"Dropout\"}],\"output\":\"d\"}");
    df_free(json);
    df_network_destroy(n);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int32_t i = 0; df_model_names[i]; i++) {
        struct df_network *n, *again;
        char *json, *json_again;
        test_ok(df_model_create(&n, df_model_names[i], mnist, 10));
        test_ok(df_graph_to_json(&json, n));
        again = parse(json, mnist, 10);
        test_ok(df_graph_to_json(&json_again, again));
        assert_string_equal(json, json_again);
        for (int32_t k = 0; k < n->node_count; k++) {
            again->nodes[k].parameter[DF_WEIGHT].dims[0] = n->nodes[k].parameter[DF_WEIGHT].dims[0];
            if (n->nodes[k].op == DF_NODE_CONV)
                again->nodes[k].window = n->nodes[k].window;
        }
        test_ok(df_network_infer(again));
        char digest[65], digest_again[65];
        df_network_digest(digest, n);
        df_network_digest(digest_again, again);
        assert_string_equal(digest, digest_again);
        df_free(json);
        df_free(json_again);
        df_network_destroy(n);
        df_network_destroy(again);
    }
}

/* Every attribute of the ops; what is open is not written; numbers are the shortest that read back. */
static void test_attributes(void **state)
{
    (void)state;
    struct df_network *n = test_graph(
        (struct df_shape){2, 3, 4}, 2,
        "a LeakyRelu input;b LeakyRelu a alpha=-0.1;d HardSigmoid b;e HardSigmoid d "
        "alpha=0.16666667 beta=-1e-7;"
        "f Clip e;g Clip f min=-0.5;h Clip g max=3.4028234663852886e38;i Clip h min=0 max=6;"
        "j Pad i pads=-1,2,-1,4 value=-2.5;k Reshape j shape=2,10,1;l HardSwish k;m Sigmoid l;o "
        "Mul m,l;p Div o,m;"
        "q Sub p,o;s Elu q;t Elu s alpha=0.5;u HardTanh t;v HardTanh u min=-2 max=0.5;w Softplus v;"
        "r GlobalAveragePool w");
    static const char *const expected[] = {
        "{\"alpha\":0.01},\"inputs\":[\"input\"],\"name\":\"a\",\"op\":\"LeakyRelu\"",
        "{\"alpha\":-0.1},",
        "{\"alpha\":0.2,\"beta\":0.5},\"inputs\":[\"b\"],\"name\":\"d\",\"op\":\"HardSigmoid\"",
        "{\"alpha\":0.16666667,\"beta\":-1e-07},",
        "{},\"inputs\":[\"e\"],\"name\":\"f\",\"op\":\"Clip\"",
        "{\"min\":-0.5},",
        "{\"max\":3.4028234663852886e+38},",
        "{\"max\":6.0,\"min\":0.0},",
        "{\"pads\":[-1,2,-1,4],\"value\":-2.5},\"inputs\":[\"i\"],\"name\":\"j\",\"op\":\"Pad\"",
        "{\"shape\":[2,10,1]},\"inputs\":[\"j\"],\"name\":\"k\",\"op\":\"Reshape\"",
        "{},\"inputs\":[\"k\"],\"name\":\"l\",\"op\":\"HardSwish\"",
        "{},\"inputs\":[\"l\"],\"name\":\"m\",\"op\":\"Sigmoid\"",
        "{},\"inputs\":[\"m\",\"l\"],\"name\":\"o\",\"op\":\"Mul\"",
        "{},\"inputs\":[\"o\",\"m\"],\"name\":\"p\",\"op\":\"Div\"",
        "{},\"inputs\":[\"p\",\"o\"],\"name\":\"q\",\"op\":\"Sub\"",
        "{\"alpha\":1.0},\"inputs\":[\"q\"],\"name\":\"s\",\"op\":\"Elu\"",
        "{\"alpha\":0.5},",
        "{\"max\":1.0,\"min\":-1.0},\"inputs\":[\"t\"],\"name\":\"u\",\"op\":\"HardTanh\"",
        "{\"max\":0.5,\"min\":-2.0},",
        "{},\"inputs\":[\"v\"],\"name\":\"w\",\"op\":\"Softplus\"",
    };
    char *json, *json_again;
    test_ok(df_graph_to_json(&json, n));
    const char *at = json;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const char *found = strstr(at, expected[i]);
        if (!found)
            test_fail("%s does not stand where it should in %s", expected[i], json);
        at = found;
    }
    struct df_network *again = parse(json, n->input, 2);
    test_ok(df_network_infer(again));
    test_ok(df_graph_to_json(&json_again, again));
    assert_string_equal(json, json_again);
    assert_true(isinf(again->nodes[5].max) && again->nodes[5].min == -0.5 &&
                again->nodes[6].max == (double)FLT_MAX);
    df_free(json);
    df_free(json_again);
    df_network_destroy(n);
    df_network_destroy(again);
}

/* sha256 of graph and parameters as they were before there were other ops: files keep their networks'
 * names. */
static void test_digest_stays(void **state)
{
    (void)state;
    static const struct {
        const char *name, *digest;
    } cases[] = {{"lenet5", "418b20db41a046b2cdd49fb38c163fb77fa9bdc4042e96a33a708d9953810ffc"},
                 {"vgg8", "25147195352f9d1474e98e84f6cc621090a3becb625502fbdb5768abf4dea1de"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct df_network *n;
        char digest[65];
        test_ok(df_model_create(&n, cases[i].name, mnist, 10));
        test_ok(df_network_initialise(n, 1));
        df_network_digest(digest, n);
        assert_string_equal(digest, cases[i].digest);
        df_network_destroy(n);
    }
}

/* A program that embeds dfal may have set a locale with a decimal comma. */
static void test_locale(void **state)
{
    (void)state;
    static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "de_AT.UTF-8",
                                          "pt_BR.UTF-8", "ru_RU.UTF-8", "ps_AF"};
    struct df_network *n = test_graph((struct df_shape){2, 1, 1}, 2, "a LeakyRelu input alpha=0.125"), *again;
    char *plain, *json;
    test_ok(df_graph_to_json(&plain, n));
    for (size_t i = 0; i < sizeof locales / sizeof *locales; i++) {
        if (!setlocale(LC_ALL, locales[i]))
            continue;
        test_ok(df_graph_to_json(&json, n));
        again = parse(json, n->input, 2);
        setlocale(LC_ALL, "C");
        assert_string_equal(json, plain);
        assert_true(again->nodes[0].alpha == 0.125);
        df_free(json);
        df_network_destroy(again);
    }
    df_free(plain);
    df_network_destroy(n);
}

#define NODE(name, op, inputs) "{\"name\":\"" name "\",\"op\":\"" op "\",\"inputs\":[" inputs "]}"
#define GRAPH(nodes)           "{\"nodes\":[" nodes "],\"output\":\"a\"}"

static void test_bad_graphs(void **state)
{
    (void)state;
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"", "not JSON"},
        {"{\"nodes\":", "not JSON"},
        {"[]", "not a JSON object"},
        {"{\"nodes\":[],\"output\":\"a\"}", "0 nodes"},
        {"{\"nodes\":{},\"output\":\"a\"}", "list 'nodes'"},
        {"{\"nodes\":[],\"output\":\"a\",\"outputs\":1}",
         "the graph: unknown key 'outputs': expected nodes or output; nearest is 'output'"},
        {"{\"nodes\":[],\"nodes\":[],\"output\":\"a\"}", "not JSON"},
        {GRAPH("7"), "node 0 of the graph is not an object"},
        {GRAPH("{\"op\":\"Relu\"}"), "has no name"},
        {GRAPH(NODE("", "Relu", "\"input\"")), "named ''"},
        {GRAPH(NODE("a/b", "Relu", "\"input\"")), "'a/b'"},
        {GRAPH(NODE("..", "Relu", "\"input\"")), "'..'"},
        {GRAPH(NODE("input", "Relu", "\"input\"")), "not 'input'"},
        {GRAPH("{\"name\":\"a\\u0000b\",\"op\":\"Relu\",\"inputs\":[\"input\"]}"), "not JSON"},
        {GRAPH(NODE("a", "Relu", "\"input\"") "," NODE("a", "Relu", "\"input\"")), "two nodes named 'a'"},
        {GRAPH(NODE("a", "Relux", "\"input\"")), "node 'a': unknown op 'Relux': expected "},
        {GRAPH(NODE("a", "Relux", "\"input\"")), "; nearest is 'Relu'"},
        {GRAPH("{\"name\":\"a\",\"inputs\":[\"input\"]}"), "node 'a' has no op"},
        {GRAPH(NODE("a", "Relu", "\"b\"")), "input 'b', which no node"},
        {GRAPH(NODE("a", "Relu", "7")), "input 0 of node 'a' is not a string"},
        {GRAPH(NODE("a", "Relu", "")), "0 inputs"},
        {GRAPH(NODE("a", "Relu", "\"input\",\"input\"")), "2 inputs"},
        {GRAPH(NODE("a", "Add", "\"input\"")), "1 inputs"},
        {GRAPH(NODE("a", "Relu", "\"a\"")), "depends on itself"},
        {GRAPH(NODE("a", "Relu", "\"b\"") "," NODE("b", "Relu", "\"c\"") "," NODE("c", "Relu", "\"a\"")),
         "depends on itself"},
        {GRAPH(NODE("b", "Relu", "\"input\"")), "output 'a'"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Relu\",\"inputs\":[\"input\"],\"attribute\":{}}"),
         "node 'a': unknown key 'attribute': expected attributes, inputs, name or op; nearest is "
         "'attributes'"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Relu\",\"inputs\":[\"input\"],\"attributes\":{\"alpha\":1}}"),
         "unknown key 'alpha': expected none"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Relu\",\"inputs\":[\"input\"],\"attributes\":[]}"), "not an object"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Conv\",\"inputs\":[\"input\"],\"attributes\":{\"stride\":[1,1]}}"),
         "unknown key 'stride': expected "},
        {GRAPH("{\"name\":\"a\",\"op\":\"Conv\",\"inputs\":[\"input\"],\"attributes\":{\"stride\":[1,1]}}"),
         "; nearest is 'strides'"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Conv\",\"inputs\":[\"input\"],\"attributes\":{\"strides\":[1]}}"),
         "'strides' of node 'a' is not a list of 2"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Conv\",\"inputs\":[\"input\"],\"attributes\":{\"strides\":[0,1]}}"),
         "'strides' of node 'a' is 0, expected 1 to 65535"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Conv\",\"inputs\":[\"input\"],\"attributes\":{\"group\":1.5}}"),
         "'group' of node 'a' is not an integer"},
        {GRAPH(
             "{\"name\":\"a\",\"op\":\"Conv\",\"inputs\":[\"input\"],\"attributes\":{\"group\":4294967297}}"),
         "4294967297"},
        {GRAPH("{\"name\":\"a\",\"op\":\"MaxPool\",\"inputs\":[\"input\"]}"),
         "lacks the attribute 'kernel_shape'"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Dropout\",\"inputs\":[\"input\"],\"attributes\":{\"ratio\":1.0}}"),
         "'ratio' of node 'a'"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Concat\",\"inputs\":[\"input\"],\"attributes\":{\"axis\":\"1\"}}"),
         "'axis' of node 'a' is not an integer"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Reshape\",\"inputs\":[\"input\"]}"), "lacks the attribute 'shape'"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Reshape\",\"inputs\":[\"input\"],\"attributes\":{\"shape\":[1,-1,2]}"
               "}"),
         "'shape' of node 'a' is -1, expected 1 to 65535"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Pad\",\"inputs\":[\"input\"],\"attributes\":{\"value\":1}}"),
         "lacks the attribute 'pads'"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Pad\",\"inputs\":[\"input\"],\"attributes\":{\"pads\":[0,0,0,-65536]"
               "}}"),
         "'pads' of node 'a' is -65536, expected -65535 to 65535"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Clip\",\"inputs\":[\"input\"],\"attributes\":{\"max\":3.5e38}}"),
         "'max' of node 'a' is not a number of at least -3.40282e+38 and below 3.40282e+38"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Clip\",\"inputs\":[\"input\"],\"attributes\":{\"min\":null}}"),
         "'min' of node 'a' is not a number"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Clip\",\"inputs\":[\"input\"],\"attributes\":{\"minimum\":0}}"),
         "unknown key 'minimum'"},
        {GRAPH("{\"name\":\"a\",\"op\":\"LeakyRelu\",\"inputs\":[\"input\"],\"attributes\":{\"alpha\":\"0,"
               "1\"}}"),
         "'alpha' of node 'a' is not a number"},
        {GRAPH("{\"name\":\"a\",\"op\":\"Dropout\",\"inputs\":[\"input\"],\"attributes\":{\"ratio\":-0.5}}"),
         "'ratio' of node 'a' is not a number of at least 0 and below 1"},
        {GRAPH(NODE("a", "Mul", "\"input\"")), "node 'a' (Mul) has 1 inputs, expected a list of 2"},
        {GRAPH(NODE("a", "HardSwich", "\"input\"")), "node 'a': unknown op 'HardSwich': expected "},
        {GRAPH(NODE("a", "HardSwich", "\"input\"")), "; nearest is 'HardSwish'"},
        {"[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]", "deeper than 16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct df_network *n = (struct df_network *)1;
        test_error(df_graph_from_json(&n, cases[i].json, strlen(cases[i].json), mnist, 2, "net.h5"),
                   DFAL_E_DATA, cases[i].words);
        assert_null(n);
        assert_non_null(strstr(dfal_last_error(), "net.h5"));
    }
}

/* A long chain written backwards is sorted without recursion; one node more than allowed is refused. */
static void test_many_nodes(void **state)
{
    (void)state;
    for (int32_t count = DF_MAX_NODES; count <= DF_MAX_NODES + 1; count++) {
        char *json;
        size_t size = (size_t)count * 64 + 64, at = 0;
        test_ok(df_alloc(&json, (int64_t)size, 1));
        at += (size_t)snprintf(json + at, size - at, "{\"nodes\":[");
        for (int32_t i = count - 1; i >= 0; i--) {
            char input[16] = "input";
            if (i > 0)
                snprintf(input, sizeof input, "n%d", i - 1);
            at += (size_t)snprintf(json + at, size - at,
                                   "%s{\"name\":\"n%d\",\"op\":\"Relu\",\"inputs\":[\"%s\"]}",
                                   i == count - 1 ? "" : ",", i, input);
        }
        snprintf(json + at, size - at, "],\"output\":\"n%d\"}", count - 1);
        struct df_network *n;
        dfal_status status =
            df_graph_from_json(&n, json, strlen(json), (struct df_shape){2, 1, 1}, 2, "net.h5");
        if (count <= DF_MAX_NODES) {
            test_ok(status);
            test_ok(df_network_infer(n));
            assert_string_equal(n->nodes[0].name, "n0");
            assert_string_equal(n->nodes[count - 1].name, "n9999");
        } else {
            test_error(status, DFAL_E_DATA, "10001 nodes");
        }
        df_network_destroy(n);
        df_free(json);
    }
}

/* ---- Digest, copies, initial weights -------------------------------------------------------- */

static void test_digest(void **state)
{
    (void)state;
    struct df_network *n, *copy;
    char first[65], second[65];
    test_ok(df_model_create(&n, "lenet5", mnist, 10));
    test_ok(df_network_initialise(n, 1));
    test_ok(df_network_copy(&copy, n));
    df_network_digest(first, n);
    df_network_digest(second, copy);
    assert_int_equal(strlen(first), 64);
    assert_string_equal(first, second);
    copy->nodes[14].parameter[DF_BIAS].data[9] = 1e-30f;
    df_network_digest(second, copy);
    assert_string_not_equal(first, second);
    copy->nodes[14].parameter[DF_BIAS].data[9] = 0.0f;
    copy->nodes[3].ratio = 0.3;
    df_network_digest(second, copy);
    assert_string_not_equal(first, second);
    df_network_destroy(n);
    df_network_destroy(copy);
}

static void test_initialise(void **state)
{
    (void)state;
    struct df_network *n, *other;
    test_ok(df_model_create(&n, "lenet5", mnist, 10));
    test_ok(df_network_initialise(n, 1));
    static const struct {
        const char *name;
        double fans;
    } layers[] = {
        {"conv1", 25 + 150}, {"conv2", 150 + 400}, {"conv3", 16 + 120}, {"fc1", 1920 + 84}, {"fc3", 20}};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        const struct df_node *node = &n->nodes[df_network_find(n, layers[i].name)];
        const struct df_parameter *w = &node->parameter[DF_WEIGHT];
        double limit = sqrt(6.0 / layers[i].fans), mean = 0.0, square = 0.0, most = 0.0;
        for (int64_t j = 0; j < w->count; j++) {
            mean += (double)w->data[j] / (double)w->count;
            square += (double)w->data[j] * (double)w->data[j] / (double)w->count;
            most = fmax(most, fabs((double)w->data[j]));
        }
        assert_true(most <= limit && most > 0.9 * limit);
        /* Uniform: variance limit^2 / 3; five standard errors. */
        assert_true(fabs(mean) < 5.0 * limit / sqrt(3.0 * (double)w->count));
        assert_true(fabs(square / (limit * limit / 3.0) - 1.0) < 5.0 / sqrt((double)w->count));
        for (int64_t j = 0; j < node->parameter[DF_BIAS].count; j++)
            assert_true(node->parameter[DF_BIAS].data[j] == 0.0f);
    }
    /* The same seed gives the same bits; another number of classes changes nothing before the layer that has
     * it. */
    test_ok(df_model_create(&other, "lenet5", mnist, 5));
    test_ok(df_network_initialise(other, 1));
    test_same_floats("conv2", other->nodes[4].parameter[DF_WEIGHT].data,
                     n->nodes[4].parameter[DF_WEIGHT].data, 2400);
    test_ok(df_network_initialise(other, 2));
    assert_true(other->nodes[4].parameter[DF_WEIGHT].data[0] != n->nodes[4].parameter[DF_WEIGHT].data[0]);
    df_network_destroy(n);
    df_network_destroy(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lenet5),       cmocka_unit_test(test_vgg8),
        cmocka_unit_test(test_model_errors), cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_shape_errors), cmocka_unit_test(test_parameter_shapes),
        cmocka_unit_test(test_canonical),    cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bad_graphs),   cmocka_unit_test(test_many_nodes),
        cmocka_unit_test(test_digest),       cmocka_unit_test(test_initialise),
        cmocka_unit_test(test_op_shapes),    cmocka_unit_test(test_op_shape_errors),
        cmocka_unit_test(test_attributes),   cmocka_unit_test(test_digest_stays),
        cmocka_unit_test(test_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
