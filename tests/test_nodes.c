/* SPDX-License-Identifier: Apache-2.0 */
/* Every op in networks: alone, in the blocks that people build of them, broadcast in all directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "net/plan.h"
#include "support.h"
#include "support_device.h"
#include "support_gradient.h"
#include "support_network.h"

static const struct df_shape small = {2, 4, 5};
#define HEAD(from) ";flat Flatten " from ";head Gemm flat o=3"

/* input 2 x 4 x 5, 3 classes. Values reach beyond every bend: conv outputs lie in about [-2, 2], wide ones in
 * 8 times that. */
#define CONV "c Conv input o=3 k=3 p=1"
#define WIDE CONV ";w2 Add c,c;w4 Add w2,w2;wide Add w4,w4"
static const char *const networks[] = {
    /* one op */
    CONV ";x LeakyRelu c" HEAD("x"),
    CONV ";x LeakyRelu c alpha=0.3" HEAD("x"),
    CONV ";x LeakyRelu c alpha=-0.3" HEAD("x"),
    CONV ";x LeakyRelu c alpha=0" HEAD("x"),
    CONV ";x Clip c min=-0.25 max=0.5" HEAD("x"),
    CONV ";x Clip c min=0.125" HEAD("x"),
    CONV ";x Clip c max=0.125" HEAD("x"),
    CONV ";x Clip c" HEAD("x"),
    CONV ";x Sigmoid c" HEAD("x"),
    CONV ";x HardSigmoid c alpha=0.7" HEAD("x"),
    WIDE ";x HardSigmoid wide" HEAD("x"),
    WIDE ";x HardSwish wide" HEAD("x"),
    CONV ";x Tanh c" HEAD("x"),
    WIDE ";x Tanh wide" HEAD("x"),
    CONV ";x Softplus c" HEAD("x"),
    CONV ";x Elu c" HEAD("x"),
    CONV ";x Elu c alpha=0.3" HEAD("x"),
    CONV ";x Elu c alpha=-0.3" HEAD("x"),
    CONV ";x HardTanh c" HEAD("x"),
    CONV ";x HardTanh c min=-0.25 max=0.5" HEAD("x"),
    CONV ";x Gelu c" HEAD("x"),
    WIDE ";x Gelu wide" HEAD("x"),
    CONV ";x GeluTanh c" HEAD("x"),
    WIDE ";x GeluTanh wide" HEAD("x"),
    CONV ";x PRelu c" HEAD("x"),
    CONV ";x PRelu c o=1" HEAD("x"),
    CONV ";p PRelu c;x PRelu p o=1;g GlobalAveragePool x;y PRelu g" HEAD("y"),
    "x PRelu input" HEAD("x"),
    CONV ";x Erf c" HEAD("x"),
    WIDE ";x Erf wide" HEAD("x"),
    CONV ";x Sub c,input2;" HEAD("x"),
    CONV ";x Pad c pads=1,2,0,1 value=0.75" HEAD("x"),
    CONV ";x Pad c pads=-1,1,0,-2 value=-0.5" HEAD("x"),
    CONV ";x Reshape c shape=5,3,4;y Conv x o=2 k=2" HEAD("y"),
    /* the network's own input is what a gradient reads */
    "x HardSwish input" HEAD("x"),
    "x Mul input,input" HEAD("x"),
    "x LeakyRelu input alpha=-1" HEAD("x"),
    /* one value, twice an operand */
    CONV ";x Mul c,c" HEAD("x"),
    CONV ";x Add c,c;y Mul x,c;z Sub y,y;u Add z,c" HEAD("u"),
    CONV ";s Sigmoid c;x Div c,s;y Sub x,s;z Add y,s;u Mul z,s" HEAD("u"),
    CONV ";s Sigmoid c;x Div s,s;y Add x,c" HEAD("y"),
    /* aliases between an op and what it reads */
    CONV ";r Reshape c shape=3,5,4;x HardSwish r;f Flatten x;g Reshape f shape=3,4,5;y Mul g,c" HEAD("y"),
    CONV ";r Relu c;f Reshape r shape=4,5,3;x Sigmoid f;g Reshape x shape=3,4,5;y Mul g,r" HEAD("y"),
    CONV ";d Dropout c ratio=0.3;x HardSwish d;e Dropout x ratio=0.2;y Mul e,d" HEAD("y"),
    /* chains of pointwise ops: what may be overwritten is */
    CONV ";n BatchNormalization c;a Relu n;b LeakyRelu a;e Sigmoid b;f Clip e max=0.6" HEAD("f"),
    CONV ";n BatchNormalization c;m BatchNormalization n;a Clip m min=-0.5 max=0.5;b HardSwish a;"
         "e BatchNormalization b" HEAD("e"),
    CONV ";a Sigmoid c;b BatchNormalization a;e HardSigmoid b alpha=0.9;f LeakyRelu e alpha=-2" HEAD("f"),
    /* squeeze and excite, with either gate */
    CONV ";r Relu c;q GlobalAveragePool r;a Conv q o=2;b Relu a;e Conv b o=3;s Sigmoid e;x Mul r,s" HEAD("x"),
    CONV ";r HardSwish c;q GlobalAveragePool r;a Conv q o=2;b Relu a;e Conv b o=3;s HardSigmoid e alpha=0.3;"
         "x Mul s,r" HEAD("x"),
    /* inverted residual, ReLU6 */
    "a Conv input o=6;an BatchNormalization a;ar Clip an min=0 max=6;b Conv ar o=6 k=3 p=1 g=6;"
    "bn BatchNormalization b;br Clip bn min=0 max=0.75;e Conv br o=2;en BatchNormalization e;x Add "
    "en,input" HEAD("x"),
    /* SiLU */
    CONV ";n BatchNormalization c;s Sigmoid n;x Mul n,s;y Conv x o=2 k=2;t Sigmoid y;z Mul t,y" HEAD("z"),
    /* hard-swish between convolutions */
    CONV ";n BatchNormalization c;x HardSwish n;y Conv x o=4 k=2 s=2;z HardSwish y" HEAD("z"),
    /* dense block with its transition */
    "a Conv input o=3 k=3 p=1;n1 BatchNormalization a;r1 Relu n1;b1 Conv r1 o=4;m1 BatchNormalization b1;s1 "
    "Relu m1;"
    "g1 Conv s1 o=2 k=3 p=1;c1 Concat a,g1;n2 BatchNormalization c1;r2 Relu n2;b2 Conv r2 o=4;m2 "
    "BatchNormalization b2;"
    "s2 Relu m2;g2 Conv s2 o=2 k=3 p=1;c2 Concat a,g1,g2;n3 BatchNormalization c2;r3 Relu n3;t Conv r3 o=3;"
    "p AveragePool t k=2 s=2" HEAD("p"),
    /* batch-norms in front of convolutions, padded and not, and of a Gemm */
    "n BatchNormalization input;c Conv n o=3 k=3 p=1;m BatchNormalization c;r Relu m;l BatchNormalization "
    "r;e Conv l o=4 k=2;"
    "q BatchNormalization e;x Sigmoid q;y BatchNormalization x" HEAD("y"),
    "n BatchNormalization input;c Conv n o=4 k=2 g=2;r LeakyRelu c;m BatchNormalization r;q "
    "GlobalAveragePool m;"
    "head Gemm q o=3",
    /* padding, then a convolution, a pool */
    "a Pad input pads=1,0,2,1;c Conv a o=3 k=3;b Pad c pads=1,1,1,1 value=0.25;d Conv b o=3 k=3;r Relu d;"
    "e Pad r pads=0,1,0,1;p MaxPool e k=2 s=2" HEAD("p"),
};
enum { NETWORKS = sizeof networks / sizeof *networks };

static struct df_network *network_at(int i)
{
    char text[4000];
    /* A second operand of the convolution's shape, for the one that wants it. */
    const char *wants = strstr(networks[i], "input2;");
    if (!wants)
        return test_graph(small, 3, networks[i]);
    snprintf(text, sizeof text, "input2 Conv input o=3 k=1;%.*sinput2%s", (int)(wants - networks[i]),
             networks[i], wants + strlen("input2;"));
    return test_graph(small, 3, text);
}

static void test_input_gradients(void **state)
{
    for (int i = 0; i < NETWORKS; i++) {
        struct df_network *network = network_at(i);
        test_input_gradient(*state, network, 1);
        df_network_destroy(network);
    }
}

static void test_parameter_gradients(void **state)
{
    for (int i = 0; i < NETWORKS; i++) {
        struct df_network *network = network_at(i);
        if (!df_network_has(network, DF_NODE_BATCH_NORM)) /* frozen, they have no gradients */
            test_parameter_gradient(*state, network, false, 12);
        test_parameter_gradient(*state, network, true, 12);
        df_network_destroy(network);
    }
}

static void test_folds(void **state)
{
    for (int i = 0; i < NETWORKS; i++)
        test_fold_agrees(*state, network_at(i), 1e-6);
}

static void test_company(void **state)
{
    for (int i = 0; i < NETWORKS; i++) {
        test_same_in_company(*state, network_at(i), true);
        test_same_in_company(*state, network_at(i), false);
    }
}

static void test_against_double(void **state)
{
    struct df_device *oracle;
    test_ok(df_device_open(&oracle, "ref64", "auto", 1));
    for (int i = 0; i < NETWORKS; i++)
        test_near_double(*state, oracle, network_at(i));
    df_device_close(oracle);
}

/* ---- Broadcasting ---------------------------------------------------------------------------- */

/* A value of 3 x 4 x 5 with the extents of `mask` kept and the others 1, in (0, 1) so that it can divide. */
static void add_operand(char *text, size_t size, const char *name, int mask)
{
    size_t at = strlen(text);
    snprintf(text + at, size - at, "%sc Conv input o=%d k=%d,%d;%s Sigmoid %sc;", name, mask & 1 ? 3 : 1,
             mask & 2 ? 1 : 4, mask & 4 ? 1 : 5, name, name);
}

static struct df_network *broadcast(const char *op, int a, int b)
{
    char text[500] = "";
    add_operand(text, sizeof text, "a", a);
    add_operand(text, sizeof text, "b", b);
    size_t at = strlen(text);
    snprintf(text + at, sizeof text - at, "x %s a,b" HEAD("x"), op);
    return test_graph(small, 3, text);
}

static const char *const joins[] = {"Add", "Sub", "Mul", "Div"};

static void test_broadcast_gradients(void **state)
{
    for (int op = 0; op < 4; op++)
        for (int pair = 0; pair < 64; pair++) {
            struct df_network *network = broadcast(joins[op], pair & 7, pair >> 3);
            const struct df_shape out = network->nodes[df_network_find(network, "x")].out;
            const int both = (pair & 7) | pair >> 3;
            assert_int_equal(out.c, both & 1 ? 3 : 1);
            assert_int_equal(out.h, both & 2 ? 4 : 1);
            assert_int_equal(out.w, both & 4 ? 5 : 1);
            test_input_gradient(*state, network, 3);
            if (pair % 3 == 0)
                test_parameter_gradient(*state, network, true, 4);
            df_network_destroy(network);
        }
}

static void test_broadcast_company(void **state)
{
    static const int pairs[][2] = {{7, 1}, {1, 7}, {7, 0}, {0, 7}, {6, 1}, {5, 2}, {3, 6}, {7, 7}, {4, 3}};
    struct df_device *oracle;
    test_ok(df_device_open(&oracle, "ref64", "auto", 1));
    for (int op = 0; op < 4; op++)
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
            test_same_in_company(*state, broadcast(joins[op], pairs[i][0], pairs[i][1]), true);
            test_near_double(*state, oracle, broadcast(joins[op], pairs[i][0], pairs[i][1]));
        }
    df_device_close(oracle);
}

/* ---- Memory --------------------------------------------------------------------------------- */

static int64_t row_floats(struct df_device *device, const char *text)
{
    struct df_network *network = test_graph((struct df_shape){1, 4, 4}, 2, text);
    struct df_plan *plan;
    struct df_plan_memory memory;
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_INPUT_GRADIENT, true));
    df_plan_memory(plan, &memory);
    df_plan_destroy(plan);
    df_network_destroy(network);
    assert_int_equal(memory.row % 4, 0);
    return memory.row / 4;
}

/* What is kept a row: the input, the logits, and what gradients read. c has 16 values. */
static void test_memory(void **state)
{
    enum { ENDS = 16 + 2 };
#define TO(from) ";q GlobalAveragePool " from ";head Gemm q o=2"
#define ONE      "c Conv input o=1;"
    static const struct {
        const char *text;
        int64_t kept;
    } cases[] = {
        {ONE "x Sigmoid c" TO("x"), 16},          /* its output */
        {ONE "x Clip c min=0 max=6" TO("x"), 16}, /* likewise */
        {ONE "x LeakyRelu c" TO("x"), 16},        /* likewise */
        {ONE "x HardSwish c" TO("x"), 16},        /* its input */
        {ONE "x Tanh c" TO("x"), 16},
        {ONE "x Softplus c" TO("x"), 16},
        {ONE "x Elu c" TO("x"), 16},
        {ONE "x HardTanh c" TO("x"), 16},
        {ONE "x Gelu c" TO("x"), 16},
        {ONE "x GeluTanh c" TO("x"), 16},
        {ONE "x PRelu c" TO("x"), 16},
        {ONE "x Erf c" TO("x"), 16},
        {ONE "x Sigmoid c;y Mul x,c" TO("y"), 32}, /* both operands */
        {ONE "x Relu c;n BatchNormalization x;y Relu n" TO("y"), 32},
        {ONE "n Concat c,input;m BatchNormalization n;y Relu m" TO("y"), 32}, /* one memory for all three */
        {ONE "x Reshape c shape=16,1,1;y Relu x;z Reshape y shape=1,4,4" TO("z"), 16},
        {ONE "x Add c,input;y Sub x,input;z Pad y pads=1,1,1,1;p AveragePool z k=6;"
             "u Sub p,input" TO("u"),
         0},
        {ONE "x HardSwish c;y HardSwish x" TO("y"), 32},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (row_floats(*state, cases[i].text) != ENDS + cases[i].kept)
            test_fail("%s keeps %lld values, expected %lld", cases[i].text,
                      (long long)row_floats(*state, cases[i].text) - ENDS, (long long)cases[i].kept);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest doubles[] = {
        cmocka_unit_test(test_input_gradients),
        cmocka_unit_test(test_parameter_gradients),
        cmocka_unit_test(test_folds),
        cmocka_unit_test(test_broadcast_gradients),
    };
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_company),
        cmocka_unit_test(test_against_double),
        cmocka_unit_test(test_broadcast_company),
        cmocka_unit_test(test_memory),
    };
    char *none[] = {argv[0], "ref64", NULL};
    int failed = test_on_backends(2, none, "ref64", doubles, sizeof doubles / sizeof *doubles);
    int others = test_on_backends(argc, argv, "ref,cpu", all, sizeof all / sizeof *all);
    return failed ? failed : others;
}
