/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients by parameters, row by row: against finite differences in double, their lengths, chosen nodes, the
 * same bits in any company. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "net/row_gradients.h"
#include "support.h"
#include "support_device.h"
#include "support_gradient.h"
#include "support_network.h"

static const struct df_shape mnist = {1, 28, 28};

/* Samples, and cotangents of theirs in disorder: more than a library call takes, but few of a network whose
 * gradients are long. */
enum { SAMPLES = 3, ROWS = 70, FEW_ROWS = 7, LONG = 10000 };
static int32_t owners[ROWS];

/* Every network twice as it is: no value of a parameter enters twice, so that logits are linear in each. */
static struct df_network *multilinear(void)
{
    return test_graph((struct df_shape){2, 7, 6}, 3,
                      "conv Conv input o=5 k=3 p=1; bn BatchNormalization conv; pool AveragePool bn k=2 s=2;"
                      "side Conv pool o=6 k=2 p=1; bn2 BatchNormalization side; all GlobalAveragePool bn2;"
                      "flat Flatten all; fc Gemm flat o=7; bn3 BatchNormalization fc; out Gemm bn3 o=3");
}

static struct df_network *sloped(void)
{
    return test_graph((struct df_shape){2, 6, 6}, 4,
                      "conv Conv input o=4 k=3 s=2 p=1; bend PRelu conv; flat Flatten bend; fc Gemm flat o=9;"
                      "bend2 PRelu fc; drop Dropout bend2 ratio=0.5; out Gemm drop o=4");
}

struct bench {
    struct df_device *device;
    int32_t queue;
    int64_t size; /* of a gradient */
    int rows;     /* ROWS or FEW_ROWS */
    struct df_plan *plan;
    struct df_tape *tape;
    struct df_row_gradients *gradients;
    float *x, *cotangents; /* of SAMPLES, of ROWS */
    double squares[ROWS];
    float *vectors;
};

static void bench_open(struct bench *b, struct df_device *device, int32_t queue,
                       const struct df_network *network, const uint8_t *chosen, bool vectors)
{
    *b = (struct bench){.device = device, .queue = queue};
    test_ok(df_plan_create(&b->plan, device, network, DF_PLAN_ROW_GRADIENT, false));
    b->rows = df_plan_parameter_size(b->plan) > LONG ? FEW_ROWS : ROWS;
    test_ok(df_tape_create(&b->tape, b->plan, queue, SAMPLES, b->rows));
    test_ok(df_row_gradients_create(&b->gradients, b->tape, chosen, vectors));
    b->size = df_row_gradients_size(b->plan, chosen);
    b->x = test_random_floats(SAMPLES * df_plan_input_size(b->plan), 1);
    b->cotangents = test_random_floats((int64_t)b->rows * network->class_count, 3);
    b->vectors = test_random_floats(b->rows * b->size, 0);
}

static void bench_close(struct bench *b)
{
    df_row_gradients_destroy(b->gradients);
    df_tape_destroy(b->tape);
    df_plan_destroy(b->plan);
    df_free(b->x);
    df_free(b->cotangents);
    df_free(b->vectors);
}

/* n rows of the samples from `sample` on, of the cotangents from `row` on. */
static void bench_run(struct bench *b, int64_t samples, int64_t sample, int64_t n, int64_t row,
                      const int32_t *owner, bool vectors)
{
    const int64_t size = df_plan_input_size(b->plan), classes = df_plan_class_count(b->plan);
    test_ok(df_write(b->device, b->queue, df_tape_input(b->tape), b->x + sample * size, samples * size));
    test_ok(df_tape_forward(b->tape, samples));
    test_ok(df_row_gradients_run(b->gradients, n, b->cotangents + row * classes, owner, b->squares,
                                 vectors ? b->vectors : NULL));
}

static uint8_t *all_nodes(const struct df_network *network)
{
    uint8_t *chosen;
    test_ok(df_alloc(&chosen, network->node_count, 1));
    memset(chosen, 1, (size_t)network->node_count);
    return chosen;
}

/* ---- Finite differences, ref64 -------------------------------------------------------------- */

static void losses_of(struct bench *b, int64_t parameter, float value, double *losses)
{
    double logits[SAMPLES * 16];
    const int64_t classes = df_plan_class_count(b->plan);
    test_ok(df_write(b->device, 0, df_at(df_plan_parameters(b->plan), parameter), &value, 1));
    test_ok(df_plan_rebind(b->plan, 0));
    test_ok(df_tape_forward(b->tape, SAMPLES));
    test_read_f64(b->device, logits, df_tape_logits(b->tape), SAMPLES * classes);
    for (int i = 0; i < b->rows; i++) {
        losses[i] = 0;
        for (int64_t k = 0; k < classes; k++)
            losses[i] += (double)b->cotangents[i * classes + k] * logits[owners[i] * classes + k];
    }
}

/* The slopes of all rows' losses along one parameter. A long step where the logits are linear in it; else a
 * step may cross a kink, and smaller ones are tried. */
static void check_slopes(struct bench *b, int64_t parameter, float at, int64_t element, double scale,
                         bool linear)
{
    double up[ROWS], down[ROWS], worst = INFINITY;
    for (int power = linear ? 1 : 11; power <= (linear ? 1 : 20) && !(worst <= 2e-6 * scale); power += 3) {
        const float high = at + ldexpf(1.0f, -power), low = at - ldexpf(1.0f, -power);
        losses_of(b, parameter, high, up);
        losses_of(b, parameter, low, down);
        worst = 0;
        for (int i = 0; i < b->rows; i++)
            worst = fmax(worst, fabs((up[i] - down[i]) / ((double)high - (double)low) -
                                     (double)b->vectors[i * b->size + element]));
    }
    losses_of(b, parameter, at, up);
    if (!(worst <= 2e-6 * scale))
        test_fail("parameter %lld: a slope is off by %.3g of %.3g", (long long)parameter, worst, scale);
}

/* Nodes that do not learn are chosen, too, and have no part in it. */
static void check_differences(struct df_device *device, struct df_network *network, const uint8_t *chosen,
                              int64_t samples, bool linear)
{
    struct bench b;
    int64_t flat = 0, element = 0;
    bench_open(&b, device, 0, network, chosen, true);
    bench_run(&b, SAMPLES, 0, b.rows, 0, owners, true);
    double scale = 0;
    for (int64_t i = 0; i < b.rows * b.size; i++)
        scale = fmax(scale, fabs((double)b.vectors[i]));
    for (int32_t n = 0; n < network->node_count; n++) {
        const struct df_parameter *blocks = network->nodes[n].parameter;
        for (int k = DF_WEIGHT; k <= DF_BIAS; k++) {
            const bool part = chosen[n] && df_node_learns(&network->nodes[n]);
            const int64_t stride = blocks[k].count / samples + 1;
            for (int64_t i = 0; part && i < blocks[k].count; i += stride)
                check_slopes(&b, flat + i, blocks[k].data[i], element + i, scale, linear);
            flat += blocks[k].count;
            element += part ? blocks[k].count : 0;
        }
    }
    assert_true(scale > 1e-2 && element == b.size && flat == df_plan_parameter_size(b.plan));
    bench_close(&b);
}

static void test_differences(void **state)
{
    struct df_network *const networks[] = {test_model("lenet5", mnist, 10), test_residual(), test_chain(),
                                           sloped(), multilinear()};
    for (int i = 0; i < 5; i++) {
        uint8_t *chosen = all_nodes(networks[i]);
        /* A frozen batch-norm's map is rounded to float32, whatever the device: too coarse for small
         * steps. */
        for (int32_t n = 0; n < networks[i]->node_count; n++)
            chosen[n] = i == 4 || networks[i]->nodes[n].op != DF_NODE_BATCH_NORM;
        check_differences(*state, networks[i], chosen, 12, i == 4);
        df_free(chosen);
        df_network_destroy(networks[i]);
    }
}

/* ---- The same numbers, however they are asked for -------------------------------------------- */

static void check_lengths(const struct bench *b)
{
    for (int i = 0; i < b->rows; i++) {
        double sum = 0;
        for (int64_t j = 0; j < b->size; j++)
            sum += (double)b->vectors[i * b->size + j] * (double)b->vectors[i * b->size + j];
        if (!(fabs(b->squares[i] - sum) <= 1e-6 * sum) || !(sum > 1e-3))
            test_fail("row %d: the square is %.9g, of the gradient %.9g", i, b->squares[i], sum);
    }
}

/* One row and its sample alone, on another queue, without gradients: the same squares to the bit; and with
 * them. */
static void check_alone(struct bench *all, struct df_device *device, const struct df_network *network,
                        const uint8_t *chosen)
{
    struct bench one, lengths;
    bench_open(&one, device, device->queue_count - 1, network, chosen, true);
    bench_open(&lengths, device, device->queue_count - 1, network, chosen, false);
    const int step = all->rows > FEW_ROWS ? 11 : 2;
    for (int i = 0; i < all->rows; i += step) {
        const int32_t zero = 0;
        bench_run(&one, 1, owners[i], 1, i, &zero, true);
        bench_run(&lengths, 1, owners[i], 1, i, &zero, false);
        test_same_floats("gradient", one.vectors, all->vectors + i * all->size, all->size);
        assert_true(one.squares[0] == all->squares[i] && lengths.squares[0] == all->squares[i]);
    }
    bench_close(&one);
    bench_close(&lengths);
}

/* The gradient by some nodes is their part of the whole. */
static void check_part(const struct bench *all, struct df_device *device, const struct df_network *network)
{
    uint8_t *some = all_nodes(network);
    struct bench part;
    for (int32_t n = 0, learners = 0; n < network->node_count; n++)
        some[n] = df_node_learns(&network->nodes[n]) && learners++ % 2 == 1;
    bench_open(&part, device, 0, network, some, true);
    bench_run(&part, SAMPLES, 0, FEW_ROWS, 0, owners, true);
    int64_t at = 0, own = 0;
    for (int32_t n = 0; n < network->node_count; n++) {
        const struct df_node *node = &network->nodes[n];
        const int64_t count =
            df_node_learns(node) ? node->parameter[DF_WEIGHT].count + node->parameter[DF_BIAS].count : 0;
        for (int i = 0; some[n] && i < FEW_ROWS; i++)
            test_same_floats(node->name, part.vectors + i * part.size + own,
                             all->vectors + i * all->size + at, count);
        at += count;
        own += some[n] ? count : 0;
    }
    assert_true(own == part.size && at == all->size && own > 0 && own < at);
    bench_close(&part);
    df_free(some);
}

static void test_company(void **state)
{
    struct df_device *oracle;
    test_ok(df_device_open(&oracle, "ref64", "auto", 1));
    struct df_network *const networks[] = {test_model("lenet5", mnist, 10), test_residual(), test_chain(),
                                           sloped(), multilinear()};
    for (int i = 0; i < 5; i++) {
        uint8_t *chosen = all_nodes(networks[i]);
        struct bench all, exact;
        bench_open(&all, *state, 0, networks[i], chosen, true);
        bench_run(&all, SAMPLES, 0, all.rows, 0, owners, true);
        check_lengths(&all);
        bench_open(&exact, oracle, 0, networks[i], chosen, true);
        bench_run(&exact, SAMPLES, 0, exact.rows, 0, owners, true);
        test_near("gradients of rows", all.vectors, exact.vectors, all.rows * all.size, 1e-5);
        check_alone(&all, *state, networks[i], chosen);
        check_part(&all, *state, networks[i]);
        bench_close(&exact);
        bench_close(&all);
        df_free(chosen);
        df_network_destroy(networks[i]);
    }
    df_device_close(oracle);
}

/* ---- Memory, refusals ------------------------------------------------------------------------ */

static void test_sizes(void **state)
{
    struct df_device *device = *state;
    struct df_network *network = test_model("lenet5", mnist, 10);
    uint8_t *chosen = all_nodes(network);
    struct bench b;
    struct df_plan_memory memory;
    bench_open(&b, device, 0, network, chosen, false);
    df_plan_memory(b.plan, &memory);
    assert_int_equal(b.size, df_plan_parameter_size(b.plan));
    assert_int_equal(memory.cotangent, 4 * 10 + 4);
    /* The second convolution, there and on the host; of a product's length neither. */
    assert_int_equal(df_row_gradients_bytes(b.plan, chosen, false), 4 * (2416 + 2416));
    assert_int_equal(df_row_gradients_bytes(b.plan, chosen, true), 4 * 2 * (84 * 1920 + 84));
    for (int i = 0; i < 3; i++) { /* No allocation once it has run. */
        const int64_t before = df_alloc_total();
        bench_run(&b, SAMPLES, 0, 2, 0, owners, false);
        if (i > 0)
            assert_int_equal(df_alloc_total(), before);
    }
    bench_close(&b);
    df_free(chosen);
    df_network_destroy(network);
}

static void test_refused(void **state)
{
    struct df_device *device = *state;
    struct df_network *network = test_chain();
    uint8_t *chosen = all_nodes(network);
    struct df_row_gradients *gradients = NULL;
    struct df_plan *plan;
    struct df_tape *tape;
    struct bench b;
    const struct df_dropout dropout = {.seed = 1};
    test_error(df_plan_create(&plan, device, network, DF_PLAN_ROW_GRADIENT, true), DFAL_E_INTERNAL,
               "asked for with folding");
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_TRAIN, false));
    test_ok(df_tape_create(&tape, plan, 0, SAMPLES, 0));
    test_error(df_row_gradients_create(&gradients, tape, chosen, true), DFAL_E_INTERNAL,
               "asked of a plan that has none");
    assert_null(gradients);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    bench_open(&b, device, 0, network, chosen, false);
    test_ok(df_tape_forward_dropout(b.tape, SAMPLES, &dropout));
    test_error(df_row_gradients_run(b.gradients, ROWS, b.cotangents, owners, b.squares, NULL),
               DFAL_E_INTERNAL, "expected one without");
    test_ok(df_tape_forward(b.tape, SAMPLES));
    test_error(df_row_gradients_run(b.gradients, ROWS + 1, b.cotangents, owners, b.squares, NULL),
               DFAL_E_INTERNAL, "71 cotangents of gradients of rows run on a tape of 70");
    bench_close(&b);
    df_free(chosen);
    df_network_destroy(network);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest doubles[] = {cmocka_unit_test(test_differences)};
    const struct CMUnitTest all[] = {cmocka_unit_test(test_company), cmocka_unit_test(test_sizes),
                                     cmocka_unit_test(test_refused)};
    for (int32_t i = 0; i < ROWS; i++)
        owners[i] = i * 5 / 2 % SAMPLES;
    char *none[] = {argv[0], "ref64", NULL};
    const bool asked = argc > 1; /* for a back end, by which no finite difference changes */
    int failed = asked ? 0 : test_on_backends(2, none, "ref64", doubles, sizeof doubles / sizeof *doubles);
    int others = test_on_backends(argc, argv, "ref,cpu", all, sizeof all / sizeof *all);
    return failed ? failed : others;
}
