/* SPDX-License-Identifier: Apache-2.0 */
/* Plans and tapes: values, gradients against finite differences in double, folding, the same bits in any
 * company. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "net/plan.h"
#include "support.h"
#include "support_device.h"
#include "support_gradient.h"
#include "support_network.h"

static const struct df_shape mnist = {1, 28, 28};

/* ---- Finite differences, ref64 -------------------------------------------------------------- */

static void test_differences(void **state)
{
    struct df_device *device = *state;
    struct df_network *lenet = test_model("lenet5", mnist, 10), *residual = test_residual(),
                      *chain = test_chain();
    test_input_gradient(device, lenet, 29);
    test_input_gradient(device, residual, 1);
    test_input_gradient(device, chain, 1);
    test_parameter_gradient(device, lenet, true, 12);
    test_parameter_gradient(device, residual, true, 40);
    test_parameter_gradient(device, chain, false, 40);
    test_parameter_gradient(device, chain, true, 40);
    df_network_destroy(lenet);
    df_network_destroy(residual);
    df_network_destroy(chain);
}

/* The last cotangents are the caller's memory and one value has many consumers: out = relu(a) + a with a = x
 * + x. */
static void test_shared_cotangent(void **state)
{
    struct df_device *device = *state;
    struct df_network *n;
    test_ok(df_network_create(&n, (struct df_shape){4, 1, 1}, 4));
    test_ok(df_network_add(n, NULL, "double", DF_NODE_ADD, (int32_t[]){DF_INPUT, DF_INPUT}, 2));
    test_ok(df_network_add(n, NULL, "relu", DF_NODE_RELU, (int32_t[]){0}, 1));
    test_ok(df_network_add(n, NULL, "sum", DF_NODE_ADD, (int32_t[]){1, 0}, 2));
    test_ok(df_network_add(n, NULL, "again", DF_NODE_ADD, (int32_t[]){2, 2}, 2));
    test_ok(df_network_infer(n));
    struct df_plan *plan;
    struct df_tape *tape;
    struct df_span dinput;
    const float x[4] = {1, -2, 3, -4}, cotangents[4] = {1, 10, 100, 1000}, logits[4] = {8, -8, 24, -16};
    const float gradient[4] = {8, 40, 800, 4000};
    const int32_t owner = 0;
    float found[4];
    test_ok(df_plan_create(&plan, device, n, DF_PLAN_INPUT_GRADIENT, true));
    test_ok(df_tape_create(&tape, plan, 0, 1, 1));
    test_ok(df_write(device, 0, df_tape_input(tape), x, 4));
    test_ok(df_write(device, 0, df_tape_cotangents(tape), cotangents, 4));
    test_ok(df_write(device, 0, df_tape_owners(tape), &owner, 1));
    test_ok(df_tape_forward(tape, 1));
    test_ok(df_read(device, 0, found, df_tape_logits(tape), 4));
    test_same_floats("logits", found, logits, 4);
    test_ok(df_tape_input_gradient(tape, 1, 1, &dinput));
    test_ok(df_read(device, 0, found, dinput, 4));
    test_same_floats("gradient", found, gradient, 4);
    test_ok(df_read(device, 0, found, df_tape_cotangents(tape), 4));
    test_same_floats("cotangents", found, cotangents, 4);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    df_network_destroy(n);
}

/* ---- Folding -------------------------------------------------------------------------------- */

/* Parameters of a folded network are rounded to float once: a few 2^-24. */
static void test_fold_values(void **state)
{
    test_fold_agrees(*state, test_model("lenet5", mnist, 10), 3e-7);
    test_fold_agrees(*state, test_residual(), 3e-7);
    test_fold_agrees(*state, test_chain(), 0.0);
    /* Small whole numbers: the products are exact, so are the logits. */
    struct df_network *whole = test_model("lenet5", mnist, 10);
    for (int32_t i = 0; i < whole->node_count; i++)
        for (int k = DF_WEIGHT; k <= DF_BIAS; k++)
            if (whole->nodes[i].parameter[k].data)
                test_fill_whole(whole->nodes[i].parameter[k].data, whole->nodes[i].parameter[k].count,
                                (uint64_t)(2 * i + k), -1, 1);
    test_fold_agrees(*state, whole, 1e-12);
}

static void test_fold_shapes(void **state)
{
    (void)state;
    struct df_network *network = test_model("lenet5", mnist, 10), *folded;
    test_ok(df_network_fold(&folded, network));
    static const char *const names[] = {"conv1", "relu1",   "pool1", "conv2", "relu2",
                                        "pool2", "flatten", "fc1",   "relu3", "fc3"};
    assert_int_equal(folded->node_count, 10);
    for (int32_t i = 0; i < 10; i++)
        assert_string_equal(folded->nodes[i].name, names[i]);
    assert_int_equal(folded->nodes[7].parameter[DF_WEIGHT].dims[0], 84);
    assert_int_equal(folded->nodes[7].parameter[DF_WEIGHT].dims[1], 256);
    assert_int_equal(folded->nodes[9].parameter[DF_WEIGHT].dims[1], 84);
    df_network_destroy(folded);
    df_network_destroy(network);
    /* A batch-norm goes into its convolution; the one behind a Concat through the average into the Gemm. */
    network = test_residual();
    test_ok(df_network_fold(&folded, network));
    assert_int_equal(df_network_find(folded, "stem"), -2);
    assert_int_equal(folded->nodes[df_network_find(folded, "bn1")].op, DF_NODE_CONV);
    assert_int_equal(folded->nodes[df_network_find(folded, "bn2")].op, DF_NODE_CONV);
    assert_int_equal(df_network_find(folded, "bn3"), -2);
    assert_int_equal(df_network_find(folded, "flatten"), -2);
    assert_int_equal(folded->node_count, network->node_count - 4);
    df_network_destroy(folded);
    df_network_destroy(network);
}

/* ---- The same bits -------------------------------------------------------------------------- */

static void test_company(void **state)
{
    test_same_in_company(*state, test_model("lenet5", mnist, 10), true);
    test_same_in_company(*state, test_model("lenet5", mnist, 10), false);
    test_same_in_company(*state, test_residual(), true);
    test_same_in_company(*state, test_chain(), true);
}

static void test_against_double(void **state)
{
    struct df_device *oracle;
    test_ok(df_device_open(&oracle, "ref64", "auto", 1));
    test_near_double(*state, oracle, test_model("lenet5", mnist, 10));
    test_near_double(*state, oracle, test_residual());
    test_near_double(*state, oracle, test_chain());
    df_device_close(oracle);
}

/* ---- Tapes ---------------------------------------------------------------------------------- */

static void test_nodes(void **state)
{
    struct df_device *device = *state;
    struct df_network *network = test_chain();
    struct df_plan *plan;
    struct df_tape *tape;
    struct df_span span;
    struct df_shape shape;
    enum { N = 3 };
    float *x = test_random_floats(N * 128, 1), *conv = test_random_floats(N * 256, 0),
          *relu = test_random_floats(N * 256, 0);
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_FORWARD, false));
    test_ok(df_tape_create(&tape, plan, 0, N, 0));
    test_ok(df_write(device, 0, df_tape_input(tape), x, N * 128));
    test_ok(df_tape_forward(tape, N));
    test_ok(df_tape_node(tape, "conv1", &span, &shape));
    assert_true(shape.c == 4 && shape.h == 8 && shape.w == 8);
    test_ok(df_read(device, 0, conv, span, N * 256));
    test_ok(df_tape_node(tape, "relu1", &span, &shape));
    test_ok(df_read(device, 0, relu, span, N * 256));
    int64_t negative = 0;
    for (int64_t i = 0; i < N * 256; i++) {
        negative += conv[i] < 0.0f;
        assert_true(relu[i] == (conv[i] > 0.0f ? conv[i] : 0.0f));
    }
    assert_true(negative > 50);
    test_ok(df_tape_node(tape, "flatten", &span, &shape));
    assert_true(shape.c == 24 && shape.h == 1 && shape.w == 1);
    /* Undrawn dropout is the identity: drop1 is pool1. */
    struct df_span pool;
    test_ok(df_tape_node(tape, "drop1", &span, &shape));
    test_ok(df_tape_node(tape, "pool1", &pool, &shape));
    assert_true(span.buffer == pool.buffer && span.offset == pool.offset);
    test_error(df_tape_node(tape, "conv9", &span, &shape), DFAL_E_USAGE, "'conv9'");
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_FORWARD, true));
    test_ok(df_tape_create(&tape, plan, 0, N, 0));
    test_error(df_tape_node(tape, "drop1", &span, &shape), DFAL_E_USAGE, "'drop1'");
    test_error(df_tape_node(tape, "conv1", &span, &shape), DFAL_E_USAGE, "'conv1'");
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    df_free(x);
    df_free(conv);
    df_free(relu);
    df_network_destroy(network);
}

/* Masks: the rate, the scale, one mask for all rows when shared, and dependence on the row alone. */
static void test_dropout(void **state)
{
    struct df_device *device = *state;
    struct df_network *network = test_model("lenet5", mnist, 10);
    struct df_plan *plan;
    struct df_tape *tape;
    struct df_span drop, pool;
    struct df_shape shape;
    enum { N = 20, SIZE = 864 };
    float *x = test_random_floats(784, 1), *whole = test_random_floats(N * SIZE, 0),
          *kept = test_random_floats(N * SIZE, 0);
    float *later = test_random_floats(N * SIZE, 0);
    struct df_dropout dropout = {.seed = 3, .step = 5};
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_FORWARD, false));
    test_ok(df_tape_create(&tape, plan, 0, N, 0));
    for (int64_t i = 0; i < N; i++)
        test_ok(df_write(device, 0, df_at(df_tape_input(tape), i * 784), x, 784));
    test_ok(df_tape_forward_dropout(tape, N, &dropout));
    test_ok(df_tape_node(tape, "drop1", &drop, &shape));
    test_ok(df_tape_node(tape, "pool1", &pool, &shape));
    test_ok(df_read(device, 0, whole, pool, N * SIZE));
    test_ok(df_read(device, 0, kept, drop, N * SIZE));
    int64_t alive = 0, dropped = 0;
    for (int64_t i = 0; i < N * SIZE; i++) {
        if (whole[i] == 0.0f)
            continue;
        alive++;
        dropped += kept[i] == 0.0f;
        assert_true(kept[i] == 0.0f || kept[i] == whole[i] * (float)(1.0 / 0.75));
    }
    double rate = (double)dropped / (double)alive;
    assert_true(alive > 4000 && fabs(rate - 0.25) < 5.0 * sqrt(0.1875 / (double)alive));
    assert_true(memcmp(kept, kept + SIZE, SIZE * sizeof *kept) != 0);
    dropout.first_row = 7;
    test_ok(df_tape_forward_dropout(tape, N - 7, &dropout));
    test_ok(df_read(device, 0, later, drop, (N - 7) * SIZE));
    test_same_floats("rows from 7 on", later, kept + 7 * SIZE, (N - 7) * SIZE);
    dropout = (struct df_dropout){.seed = 3, .step = 5, .shared = true};
    test_ok(df_tape_forward_dropout(tape, N, &dropout));
    test_ok(df_read(device, 0, kept, drop, N * SIZE));
    for (int64_t i = 1; i < N; i++)
        test_same_floats("shared mask", kept + i * SIZE, kept, SIZE);
    df_free(x);
    df_free(whole);
    df_free(kept);
    df_free(later);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    df_network_destroy(network);
}

static void test_sizes(void **state)
{
    struct df_device *device = *state;
    struct df_network *network = test_model("lenet5", mnist, 10);
    struct df_plan *plan;
    struct df_tape *tape;
    struct df_span dinput;
    struct df_plan_memory memory;
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_INPUT_GRADIENT, true));
    assert_int_equal(df_plan_block_rows(plan), device->wide ? 1024 : 64);
    assert_int_equal(df_plan_class_count(plan), 10);
    df_plan_memory(plan, &memory);
    /* Input, the three ReLUs, two of them behind their pools, and the logits in floats; the positions of two
     * pools. */
    assert_int_equal(memory.row, 4 * (784 + 864 + 256 + 84 + 10) + 4 * (864 + 256));
    assert_int_equal(memory.cotangent, 4 * (784 + 10) + 4);
    /* Two slots of a chain: 3456 behind the first pool, 864 in front of the second convolution. */
    int64_t parameters = 156 + 2416 + 84 * 256 + 84 + 10 * 84 + 10;
    assert_int_equal(memory.shared, 16 * parameters);
    assert_int_equal(memory.chunk_row, 4 * (3456 + 864));
    /* No allocation once a tape has run. */
    test_ok(df_tape_create(&tape, plan, 0, 100, 300));
    for (int i = 0; i < 3; i++) {
        int64_t before = df_alloc_total();
        test_ok(df_tape_forward(tape, 100));
        test_ok(df_tape_input_gradient(tape, 300, 1, &dinput));
        if (i > 0)
            assert_int_equal(df_alloc_total(), before);
    }
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    df_network_destroy(network);
    test_ok(df_network_create(&network, (struct df_shape){1, 1024, 512}, 2));
    test_ok(df_network_add(network, NULL, "pool", DF_NODE_GLOBAL_AVERAGE_POOL, (int32_t[]){DF_INPUT}, 1));
    test_ok(df_network_add(network, NULL, "two", DF_NODE_CONCAT, (int32_t[]){0, 0}, 2));
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_FORWARD, true));
    assert_int_equal(df_plan_block_rows(plan), device->wide ? 128 : 16); /* 2 MiB a row */
    df_plan_destroy(plan);
    df_network_destroy(network);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest doubles[] = {
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_fold_values),
        cmocka_unit_test(test_fold_shapes),
    };
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_shared_cotangent), cmocka_unit_test(test_company),
        cmocka_unit_test(test_against_double),   cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_dropout),          cmocka_unit_test(test_sizes),
    };
    char *none[] = {argv[0], "ref64", NULL};
    int failed = test_on_backends(2, none, "ref64", doubles, sizeof doubles / sizeof *doubles);
    int others = test_on_backends(argc, argv, "ref,cpu", all, sizeof all / sizeof *all);
    return failed ? failed : others;
}
