/* SPDX-License-Identifier: Apache-2.0 */
/* The fused engines of small networks against the same networks layer by layer: the same bits where dfal's
 * own kernels run the layers, as on the shim. A back end without such an engine, or with none for a network,
 * runs layers when it is asked for one. A row's bits depend neither on the rows beside it nor on how many of
 * its sample's cotangents are asked for together, nor, on a CPU, on the instruction set. */
#include "support.h"
#include "support_device.h"
#include "support_gradient.h"
#include "support_network.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu.h"
#include "base/memory.h"
#include "net/plan.h"

enum { ROWS = 7, COTANGENTS = 36 };
enum engine { CUDA = 1, CPU = 2 };

struct chain {
    struct df_shape input;
    const char *nodes; /* test_graph's words */
    int engines;       /* which fused engines is it a network for? */
};

/* The outputs of the last layer that has some. */
static int32_t classes_of(const struct chain *chain)
{
    const char *last = NULL;
    for (const char *at = chain->nodes; (at = strstr(at, "o=")); at++)
        last = at + 2;
    return (int32_t)strtol(last, NULL, 10);
}

struct result {
    float *logits, *gradient;
};

/* In every row but the first some pixels that are no numbers, elsewhere in each. */
static void poison(float *x, int64_t size)
{
    for (int64_t row = 1; row < ROWS; row++)
        for (int64_t i = 0; i < row; i++)
            x[row * size + (row * 37 + i * 11) % size] = NAN;
}

/* Logits of ROWS rows (poisoned or not) and COTANGENTS input gradients, `each` of a sample, of which
 * `together` are asked for together, `company` rows of other samples before them. */
static struct result run_on(struct df_device *device, const struct df_network *network, bool fused,
                            bool expected, int32_t company, int32_t each, int32_t together, bool poisoned)
{
    const int64_t rows = company + ROWS, size = df_shape_size(network->input), classes = network->class_count;
    struct df_plan *plan;
    struct df_tape *tape;
    struct result result;
    int32_t owner[COTANGENTS];
    test_ok(df_plan_create(&plan, device, network,
                           DF_PLAN_FORWARD | DF_PLAN_INPUT_GRADIENT | (fused ? DF_PLAN_FUSED : 0), false));
    assert_int_equal(df_plan_is_fused(plan), fused && expected);
    test_ok(df_tape_create(&tape, plan, 0, rows, COTANGENTS));
    test_ok(df_alloc(&result.logits, ROWS * classes, sizeof(float)));
    test_ok(df_alloc(&result.gradient, COTANGENTS * size, sizeof(float)));
    float *x = test_random_floats(ROWS * size, 5), *other = test_random_floats((company + 1) * size, 6);
    float *cotangents = test_random_floats(COTANGENTS * classes, 7);
    if (poisoned)
        poison(x, size);
    for (int32_t i = 0; i < COTANGENTS; i++)
        owner[i] = company + (i / each * 5 + 2) % ROWS;
    test_ok(df_write(device, 0, df_tape_input(tape), other, company * size));
    test_ok(df_write(device, 0, df_at(df_tape_input(tape), company * size), x, ROWS * size));
    test_ok(df_tape_forward(tape, rows));
    test_ok(
        df_read(device, 0, result.logits, df_at(df_tape_logits(tape), company * classes), ROWS * classes));
    test_ok(df_write(device, 0, df_tape_cotangents(tape), cotangents, COTANGENTS * classes));
    test_ok(df_write(device, 0, df_tape_owners(tape), owner, COTANGENTS));
    struct df_span dinput;
    test_ok(df_tape_input_gradient(tape, COTANGENTS, together, &dinput));
    test_ok(df_read(device, 0, result.gradient, dinput, COTANGENTS * size));
    df_free(x);
    df_free(other);
    df_free(cotangents);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    return result;
}

static struct result run(struct df_device *device, const struct df_network *network, bool fused,
                         bool expected, int32_t company, int32_t each, int32_t together)
{
    return run_on(device, network, fused, expected, company, each, together, false);
}

static void drop(struct result *result)
{
    df_free(result->logits);
    df_free(result->gradient);
}

#define POOL(name, from) name " MaxPool " from " k=2 s=2;"
#define RELU(name, from) name " Relu " from ";"
#define LOGITS(from)     "flat Flatten " from "; out Gemm flat o=5"

static const struct chain chains[] = {
    /* LeNet5, folded */
    {{1, 28, 28},
     "c Conv input o=6 k=5;" POOL("p", "c") RELU("r", "p") "d Conv r o=16 k=5;" POOL("q", "d")
         RELU("s", "q") "f Flatten s; g Gemm f o=84;" RELU("h", "g") "out Gemm h o=5",
     CUDA | CPU},
    /* the ReLU before the pool, padding, two products behind */
    {{3, 12, 14},
     "c Conv input o=8 k=3 p=1;" RELU("r", "c") POOL("p", "r") "d Conv p o=5 k=3 p=1;" RELU("s", "d")
         POOL("q", "s") "f Flatten q; g Gemm f o=9;" RELU("h", "g") "i Gemm h o=7;" RELU(
             "j", "i") "out Gemm j o=5",
     CUDA | CPU},
    /* odd sizes: pools leave a row and a column out */
    {{2, 13, 11},
     "c Conv input o=6 k=5 p=2;" POOL("p", "c") RELU("r", "p") "d Conv r o=1 k=3;" POOL("q", "d")
         RELU("s", "q") LOGITS("s"),
     CUDA | CPU},
    {{1, 24, 23},
     "c Conv input o=4 k=3 p=1;" POOL("p", "c") RELU("r", "p") "d Conv r o=12 k=3 p=1;" POOL("q", "d")
         RELU("s", "q") "e Conv s o=7 k=3 p=1;" POOL("t", "e") RELU("u", "t") LOGITS("u"),
     CUDA | CPU},
    /* weights that do not fit into shared memory beside the planes */
    {{1, 28, 28},
     "c Conv input o=20 k=5;" POOL("p", "c") RELU("r", "p") "d Conv r o=50 k=5;" POOL("q", "d") RELU("s", "q")
         LOGITS("s"),
     CUDA | CPU},
    /* one pixel is left; more padding than picture */
    {{1, 6, 6}, "c Conv input o=3 k=5;" POOL("p", "c") RELU("r", "p") LOGITS("r"), CUDA | CPU},
    {{1, 5, 5}, "c Conv input o=2 k=5 p=4;" POOL("p", "c") RELU("r", "p") LOGITS("r"), CUDA | CPU},
    /* not for a GPU: a kernel of seven, planes beyond shared memory, no pool; for no engine: a leaky unit, a
     * stride, two readers, products alone */
    {{1, 16, 16}, "c Conv input o=2 k=7;" POOL("p", "c") RELU("r", "p") LOGITS("r"), CPU},
    {{3, 64, 64}, "c Conv input o=32 k=3 p=1;" POOL("p", "c") RELU("r", "p") LOGITS("r"), CPU},
    {{1, 8, 8}, "c Conv input o=2 k=3;" RELU("r", "c") LOGITS("r"), CPU},
    {{1, 8, 8}, "c Conv input o=2 k=3;" POOL("p", "c") "r LeakyRelu p;" LOGITS("r"), 0},
    {{1, 9, 9}, "c Conv input o=2 k=3 s=2;" POOL("p", "c") RELU("r", "p") LOGITS("r"), 0},
    {{1, 8, 8}, "c Conv input o=2 k=3;" POOL("p", "c") RELU("r", "p") "a Add r,p;" LOGITS("a"), 0},
    {{1, 8, 8},
     "c Conv input o=2 k=3;" POOL("p", "c")
         RELU("r", "p") "f Flatten r; g Gemm f o=5; s Sigmoid g; out Mul g,s",
     0},
    {{1, 3, 3}, "f Flatten input; g Gemm f o=4;" RELU("h", "g") "out Gemm h o=5", 0},
    /* LeNet5-Caffe; without pools; two and three channels, and two classes; a pool without a ReLU, neither
     * between two convolutions, pads that differ, a kernel of one */
    {{1, 28, 28},
     "c Conv input o=20 k=5;" POOL("p", "c") "d Conv p o=50 k=5;" POOL(
         "q", "d") "f Flatten q; g Gemm f o=500;" RELU("h", "g") "out Gemm h o=10",
     CPU},
    {{1, 14, 13},
     "c Conv input o=8 k=3 p=1;" RELU("r", "c") "d Conv r o=8 k=3 p=1;" RELU("s", "d")
         POOL("q", "s") "e Conv q o=16 k=3;" RELU("t", "e") "f Flatten t; g Gemm f o=70;" RELU(
             "h", "g") "out Gemm h o=5",
     CPU},
    {{3, 64, 64},
     "c Conv input o=8 k=3 p=1;" POOL("p", "c") RELU("r", "p") "d Conv r o=16 k=3 p=1;" POOL("q", "d")
         RELU("s", "q") "f Flatten s; out Gemm f o=2",
     CPU},
    {{2, 9, 10},
     "c Conv input o=5 k=4 pads=0,1,2,1;" POOL(
         "p", "c") "d Conv p o=7 k=1; e Conv d o=9 k=2 pads=1,0,0,2;" RELU("t", "e") LOGITS("t"),
     CPU},
    {{1, 17, 6},
     "c Conv input o=64 k=2;" RELU("r", "c") "d Conv r o=64 k=3;" RELU("s", "d") LOGITS("s"),
     CPU},
    /* wide: minimal filtering of even and odd planes with and without a pool, channels and filters that are
     * no multiple of a block, a gathered convolution behind a narrow one and in front of one, a kernel of
     * five, no ReLU, a wide product; wide from the input on; a kernel of six, a few places */
    {{1, 14, 13},
     "c Conv input o=33 k=3 p=1;" RELU("r", "c") "d Conv r o=34 k=3 p=1;" RELU("s", "d")
         POOL("q", "s") "e Conv q o=35 k=3 p=1;" RELU("t", "e") "f Conv t o=5 k=5 pads=2,1,2,3;" POOL(
             "u", "f") "g Conv u o=40 k=1;" LOGITS("g"),
     CPU},
    {{2, 16, 12},
     "c Conv input o=40 k=3 p=1;" RELU("r", "c") "d Conv r o=66 k=3 p=1;" POOL("q", "d")
         RELU("s", "q") "f Flatten s; g Gemm f o=60;" RELU("h", "g") "out Gemm h o=10",
     CPU},
    {{40, 7, 6}, "c Conv input o=36 k=3 p=1;" RELU("r", "c") LOGITS("r"), CPU},
    {{1, 9, 9},
     "c Conv input o=35 k=6 p=2;" RELU("r", "c") "d Conv r o=65 k=3;" RELU("s", "d") LOGITS("s"),
     CPU},
    {{2, 3, 4}, "f Flatten input; out Gemm f o=5", 0},
    /* what a stage reads is not what the one before gives */
    {{1, 8, 8},
     "c Conv input o=4 k=3 p=1;" RELU("r", "c") "s Reshape r shape=64,2,2;" POOL("p", "s") LOGITS("p"),
     0},
    {{1, 8, 8},
     "c Conv input o=4 k=3 p=1;" RELU("r", "c") "s Reshape r shape=16,4,4; d Conv s o=3 k=3;" LOGITS("d"),
     0},
};

static bool on(const char *name)
{
    return strncmp(test_backend(), name, strlen(name)) == 0;
}

/* The engine that this back end has for a chain; a wrapper has none. */
static bool is_fused(const struct chain *chain)
{
    return (chain->engines & CUDA && (on("cuda") || on("dlopen"))) || (chain->engines & CPU && on("cpu"));
}

static void compare(const struct chain *chain, const float *found, const float *expected, int64_t count)
{
    if (on("cuda")) /* products of many inputs and outputs are cuBLAS's */
        test_near(chain->nodes, found, expected, count, 1e-5);
    else if (on("cpu") && is_fused(chain)) /* the layers are oneDNN's in part */
        test_near(chain->nodes, found, expected, count, 1e-5);
    else
        test_same_floats(chain->nodes, found, expected, count);
}

static void same(const char *what, const struct result *found, const struct result *expected,
                 const struct df_network *network)
{
    test_same_floats(what, found->logits, expected->logits, (int64_t)ROWS * network->class_count);
    test_same_floats(what, found->gradient, expected->gradient, COTANGENTS * df_shape_size(network->input));
}

/* A chain of layers and fused, with so many cotangents of a sample. */
static void agree(struct df_device *device, const struct chain *chain, int32_t each)
{
    const bool engine = is_fused(chain);
    struct df_network *network = test_graph(chain->input, classes_of(chain), chain->nodes);
    const int64_t size = df_shape_size(network->input);
    struct result layers = run(device, network, false, false, 0, each, each),
                  alone = run(device, network, true, engine, 0, each, each),
                  company = run(device, network, true, engine, 9, each, each);
    compare(chain, alone.logits, layers.logits, (int64_t)ROWS * network->class_count);
    compare(chain, alone.gradient, layers.gradient, COTANGENTS * size);
    same("in company", &company, &alone, network);
    if (each > 1) {
        struct result single = run(device, network, true, engine, 0, each, 1);
        same("one at a time", &single, &alone, network);
        drop(&single);
    }
    drop(&layers);
    drop(&alone);
    drop(&company);
    df_network_destroy(network);
}

/* Several cotangents of a sample may go another way than single ones: as many as it takes at a time, fewer,
 * more. */
static void fused_and_layers(void **state)
{
    static const int32_t each[] = {1, 6, 9, 12, 18};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++)
        for (size_t e = 0; e < (is_fused(&chains[i]) ? sizeof each / sizeof *each : 1); e++)
            agree(*state, &chains[i], each[e]);
}

/* In a flat region the four values of a window are equal, and its gradient goes to the first of them,
 * whichever engine has computed them. */
static void ties(void **state)
{
    const struct chain chain = {{1, 16, 16},
                                "c Conv input o=32 k=3 p=1;" RELU("r", "c") "d Conv r o=32 k=3 p=1;" RELU(
                                    "s", "d") POOL("p", "s") LOGITS("p"),
                                CPU};
    enum { SIDE = 16, SIZE = SIDE * SIDE, CLASSES = 5 };
    struct df_network *network = test_graph(chain.input, CLASSES, chain.nodes);
    float x[SIZE], gradient[2][SIZE];
    for (int i = 0; i < SIZE; i++) /* flat quarters; one with stripes, whose windows tie in pairs */
        x[i] = i < SIZE / 2 ? i % SIDE < SIDE / 2 ? 0.7F : 0.1F : i % SIDE < SIDE / 2 ? 0.3F : (float)(i % 2);
    for (int fused = 0; fused < 2; fused++) {
        const float cotangent[CLASSES] = {1, -1};
        const int32_t owner = 0;
        struct df_plan *plan;
        struct df_tape *tape;
        struct df_span dinput;
        test_ok(df_plan_create(&plan, *state, network,
                               DF_PLAN_FORWARD | DF_PLAN_INPUT_GRADIENT | (fused ? DF_PLAN_FUSED : 0),
                               false));
        assert_int_equal(df_plan_is_fused(plan), fused && is_fused(&chain));
        test_ok(df_tape_create(&tape, plan, 0, 1, 1));
        test_ok(df_write(*state, 0, df_tape_input(tape), x, SIZE));
        test_ok(df_tape_forward(tape, 1));
        test_ok(df_write(*state, 0, df_tape_cotangents(tape), cotangent, CLASSES));
        test_ok(df_write(*state, 0, df_tape_owners(tape), &owner, 1));
        test_ok(df_tape_input_gradient(tape, 1, 1, &dinput));
        test_ok(df_read(*state, 0, gradient[fused], dinput, SIZE));
        df_tape_destroy(tape);
        df_plan_destroy(plan);
    }
    test_near("ties", gradient[1], gradient[0], SIZE, 1e-5);
    df_network_destroy(network);
}

/* Where both hold a NaN they agree, and a 0 stands for it. Gives how many that are. */
static int64_t settle(float *a, float *b, int64_t count)
{
    int64_t settled = 0;
    for (int64_t i = 0; i < count; i++)
        if (isnan(a[i]) && isnan(b[i])) {
            a[i] = b[i] = 0;
            settled++;
        }
    return settled;
}

/* What is no number goes no further than a ReLU, and no window chooses it that holds a number: in every
 * engine. Only where a chain has no ReLU does one reach the logits. */
static void no_numbers(void **state)
{
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        const struct chain *chain = &chains[i];
        if (!is_fused(chain))
            continue;
        struct df_network *network = test_graph(chain->input, classes_of(chain), chain->nodes);
        const int64_t classes = network->class_count, size = df_shape_size(network->input);
        struct result layers = run_on(*state, network, false, false, 0, 4, 4, true),
                      fused = run_on(*state, network, true, true, 0, 4, 4, true);
        const int64_t lost = settle(fused.logits, layers.logits, ROWS * classes);
        if (lost > 0 && strstr(chain->nodes, "r Relu"))
            test_fail("%s: %lld logits are no numbers", chain->nodes, (long long)lost);
        compare(chain, fused.logits, layers.logits, ROWS * classes);
        compare(chain, fused.gradient, layers.gradient, COTANGENTS * size);
        drop(&layers);
        drop(&fused);
        df_network_destroy(network);
    }
}

static void instruction_sets(void **state)
{
    struct df_cpu_device *cpu = *state;
    if (!on("cpu") || cpu->isa != DF_CPU_AVX512)
        return;
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        struct df_network *network = test_graph(chains[i].input, classes_of(&chains[i]), chains[i].nodes);
        struct result wide, narrow;
        if (!is_fused(&chains[i])) {
            df_network_destroy(network);
            continue;
        }
        wide = run(&cpu->head, network, true, true, 12, 4, 4);
        cpu->isa = DF_CPU_AVX2;
        narrow = run(&cpu->head, network, true, true, 12, 4, 4);
        cpu->isa = DF_CPU_AVX512;
        same(chains[i].nodes, &narrow, &wide, network);
        drop(&wide);
        drop(&narrow);
        df_network_destroy(network);
    }
}

/* A queue takes its memory once. */
static void memory_is_taken_once(void **state)
{
    struct df_device *device = *state;
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        struct df_network *network = test_graph(chains[i].input, classes_of(&chains[i]), chains[i].nodes);
        struct df_plan *plan;
        struct df_tape *tape;
        struct df_span dinput;
        test_ok(df_plan_create(&plan, device, network,
                               DF_PLAN_FORWARD | DF_PLAN_INPUT_GRADIENT | DF_PLAN_FUSED, false));
        test_ok(df_tape_create(&tape, plan, 0, ROWS, ROWS));
        int64_t made = 0;
        for (int turn = 0; turn < 2; turn++) {
            made = df_alloc_total();
            test_ok(df_tape_forward(tape, ROWS));
            test_ok(df_tape_input_gradient(tape, ROWS, 1, &dinput));
            made = df_alloc_total() - made;
        }
        if (df_plan_is_fused(plan))
            assert_int_equal(made, 0);
        df_tape_destroy(tape);
        df_plan_destroy(plan);
        df_network_destroy(network);
    }
}

/* What a product reads, out of the same forward: the values that layers give, and no other logits. */
static void tap(struct df_device *device, const struct chain *chain, const char *node, bool expected)
{
    struct df_network *network = test_graph(chain->input, classes_of(chain), chain->nodes);
    const int64_t size = df_shape_size(network->input), classes = network->class_count;
    struct df_plan *plans[3];
    struct df_tape *tape;
    struct df_span span;
    struct df_shape shape;
    float *x = test_random_floats(ROWS * size, 5), *logits[3] = {0}, *values[2] = {0};
    int64_t count = 0;
    test_ok(df_plan_create(&plans[0], device, network, DF_PLAN_FORWARD, false));
    test_ok(df_plan_create_tapped(&plans[1], device, network, node));
    test_ok(df_plan_create(&plans[2], device, network, DF_PLAN_FORWARD | DF_PLAN_FUSED, false));
    if ((plans[1] != NULL) != expected)
        test_fail("%s: node %s is %s, expected otherwise", chain->nodes, node,
                  plans[1] ? "tapped" : "not tapped");
    for (int i = 0; plans[1] && i < 3; i++) {
        test_ok(df_tape_create(&tape, plans[i], 0, ROWS, 0));
        test_ok(df_write(device, 0, df_tape_input(tape), x, ROWS * size));
        test_ok(df_tape_forward(tape, ROWS));
        test_ok(df_alloc(&logits[i], ROWS * classes, sizeof(float)));
        test_ok(df_read(device, 0, logits[i], df_tape_logits(tape), ROWS * classes));
        if (i < 2) {
            test_ok(df_tape_node(tape, node, &span, &shape));
            count = ROWS * df_shape_size(shape);
            test_ok(df_alloc(&values[i], count, sizeof(float)));
            test_ok(df_read(device, 0, values[i], span, count));
        }
        df_tape_destroy(tape);
    }
    if (plans[1]) {
        compare(chain, values[1], values[0], count);
        test_same_floats(chain->nodes, logits[1], logits[2], ROWS * classes);
    }
    for (int i = 0; i < 3; i++) {
        df_free(logits[i]);
        df_plan_destroy(plans[i]);
    }
    df_free(values[0]);
    df_free(values[1]);
    df_free(x);
    df_network_destroy(network);
}

static void taps(void **state)
{
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        struct df_network *network = test_graph(chains[i].input, classes_of(&chains[i]), chains[i].nodes);
        for (int32_t n = 0; n < network->node_count; n++) {
            const struct df_node *node = &network->nodes[n];
            if (node->op == DF_NODE_GEMM && node->inputs[0] != DF_INPUT)
                tap(*state, &chains[i], network->nodes[node->inputs[0]].name,
                    on("cpu") && is_fused(&chains[i]));
        }
        /* A convolution's values before its pool are nowhere. */
        if (is_fused(&chains[i]) && network->nodes[1].op == DF_NODE_MAX_POOL)
            tap(*state, &chains[i], network->nodes[0].name, false);
        df_network_destroy(network);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fused_and_layers),     cmocka_unit_test(ties),
        cmocka_unit_test(no_numbers),           cmocka_unit_test(instruction_sets),
        cmocka_unit_test(memory_is_taken_once), cmocka_unit_test(taps)};
    return test_on_backends(argc, argv, "cpu", tests, sizeof tests / sizeof *tests);
}
