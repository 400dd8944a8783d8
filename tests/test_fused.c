/* SPDX-License-Identifier: Apache-2.0 */
/* The fused engine of small networks against the same networks layer by layer: the same bits where dfal's own
 * kernels run the layers, as on the shim. A back end without such an engine runs layers when it is asked for
 * one. */
#include "support.h"
#include "support_device.h"
#include "support_gradient.h"
#include "support_network.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

#include "base/memory.h"
#include "net/plan.h"

enum { ROWS = 7, COTANGENTS = 36, CLASSES = 5 };

struct chain {
    struct df_shape input;
    const char *nodes; /* test_graph's words */
    bool fused;        /* is it a network for the fused engine? */
};

struct result {
    float *logits, *gradient;
};

/* Logits of ROWS rows and COTANGENTS input gradients, `each` of a sample, `company` rows of other samples
 * before them. */
static struct result run(struct df_device *device, const struct df_network *network, bool fused,
                         bool expected, int32_t company, int32_t each)
{
    const int64_t rows = company + ROWS, size = df_shape_size(network->input);
    struct df_plan *plan;
    struct df_tape *tape;
    struct result result;
    int32_t owner[COTANGENTS];
    test_ok(df_plan_create(&plan, device, network,
                           DF_PLAN_FORWARD | DF_PLAN_INPUT_GRADIENT | (fused ? DF_PLAN_FUSED : 0), false));
    assert_int_equal(df_plan_is_fused(plan), fused && expected);
    test_ok(df_tape_create(&tape, plan, 0, rows, COTANGENTS));
    test_ok(df_alloc(&result.logits, ROWS * CLASSES, sizeof(float)));
    test_ok(df_alloc(&result.gradient, COTANGENTS * size, sizeof(float)));
    float *x = test_random_floats(ROWS * size, 5), *other = test_random_floats((company + 1) * size, 6);
    float *cotangents = test_random_floats(COTANGENTS * CLASSES, 7);
    for (int32_t i = 0; i < COTANGENTS; i++)
        owner[i] = company + (i / each * 5 + 2) % ROWS;
    test_ok(df_write(device, 0, df_tape_input(tape), other, company * size));
    test_ok(df_write(device, 0, df_at(df_tape_input(tape), company * size), x, ROWS * size));
    test_ok(df_tape_forward(tape, rows));
    test_ok(df_read(device, 0, result.logits, df_at(df_tape_logits(tape), (int64_t)company * CLASSES),
                    (int64_t)ROWS * CLASSES));
    test_ok(df_write(device, 0, df_tape_cotangents(tape), cotangents, (int64_t)COTANGENTS * CLASSES));
    test_ok(df_write(device, 0, df_tape_owners(tape), owner, COTANGENTS));
    struct df_span dinput;
    test_ok(df_tape_input_gradient(tape, COTANGENTS, each, &dinput));
    test_ok(df_read(device, 0, result.gradient, dinput, COTANGENTS * size));
    df_free(x);
    df_free(other);
    df_free(cotangents);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    return result;
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
     true},
    /* the ReLU before the pool, padding, two products behind */
    {{3, 12, 14},
     "c Conv input o=8 k=3 p=1;" RELU("r", "c") POOL("p", "r") "d Conv p o=5 k=3 p=1;" RELU("s", "d")
         POOL("q", "s") "f Flatten q; g Gemm f o=9;" RELU("h", "g") "i Gemm h o=7;" RELU(
             "j", "i") "out Gemm j o=5",
     true},
    /* odd sizes: pools leave a row and a column out */
    {{2, 13, 11},
     "c Conv input o=6 k=5 p=2;" POOL("p", "c") RELU("r", "p") "d Conv r o=1 k=3;" POOL("q", "d")
         RELU("s", "q") LOGITS("s"),
     true},
    {{1, 24, 23},
     "c Conv input o=4 k=3 p=1;" POOL("p", "c") RELU("r", "p") "d Conv r o=12 k=3 p=1;" POOL("q", "d")
         RELU("s", "q") "e Conv s o=7 k=3 p=1;" POOL("t", "e") RELU("u", "t") LOGITS("u"),
     true},
    /* weights that do not fit into shared memory beside the planes */
    {{1, 28, 28},
     "c Conv input o=20 k=5;" POOL("p", "c") RELU("r", "p") "d Conv r o=50 k=5;" POOL("q", "d") RELU("s", "q")
         LOGITS("s"),
     true},
    /* one pixel is left; more padding than picture */
    {{1, 6, 6}, "c Conv input o=3 k=5;" POOL("p", "c") RELU("r", "p") LOGITS("r"), true},
    {{1, 5, 5}, "c Conv input o=2 k=5 p=4;" POOL("p", "c") RELU("r", "p") LOGITS("r"), true},
    /* not for this engine: a kernel of seven, planes beyond shared memory, no pool, a leaky unit, a stride,
     * two readers */
    {{1, 16, 16}, "c Conv input o=2 k=7;" POOL("p", "c") RELU("r", "p") LOGITS("r"), false},
    {{3, 64, 64}, "c Conv input o=32 k=3 p=1;" POOL("p", "c") RELU("r", "p") LOGITS("r"), false},
    {{1, 8, 8}, "c Conv input o=2 k=3;" RELU("r", "c") LOGITS("r"), false},
    {{1, 8, 8}, "c Conv input o=2 k=3;" POOL("p", "c") "r LeakyRelu p;" LOGITS("r"), false},
    {{1, 9, 9}, "c Conv input o=2 k=3 s=2;" POOL("p", "c") RELU("r", "p") LOGITS("r"), false},
    {{1, 8, 8}, "c Conv input o=2 k=3;" POOL("p", "c") RELU("r", "p") "a Add r,p;" LOGITS("a"), false},
    {{1, 8, 8},
     "c Conv input o=2 k=3;" POOL("p", "c")
         RELU("r", "p") "f Flatten r; g Gemm f o=5; s Sigmoid g; out Mul g,s",
     false},
    {{1, 3, 3}, "f Flatten input; g Gemm f o=4;" RELU("h", "g") "out Gemm h o=5", false},
};

static bool on(const char *name)
{
    return strncmp(test_backend(), name, strlen(name)) == 0;
}

static void compare(const char *what, const float *found, const float *expected, int64_t count)
{
    if (on("cuda")) /* products of many inputs and outputs are cuBLAS's */
        test_near(what, found, expected, count, 1e-5);
    else
        test_same_floats(what, found, expected, count);
}

/* A chain of layers and fused, with so many cotangents of a sample. */
static void agree(struct df_device *device, const struct chain *chain, int32_t each)
{
    const bool engine = on("cuda") || on("dlopen");
    struct df_network *network = test_graph(chain->input, CLASSES, chain->nodes);
    const int64_t size = df_shape_size(network->input);
    struct result layers = run(device, network, false, false, 0, each), first = {0};
    for (int32_t company = 0; company < 10; company += 9) {
        struct result fused = run(device, network, true, engine && chain->fused, company, each);
        compare(chain->nodes, fused.logits, layers.logits, (int64_t)ROWS * CLASSES);
        compare(chain->nodes, fused.gradient, layers.gradient, COTANGENTS * size);
        if (company == 0) {
            first = fused;
            continue;
        }
        test_same_floats("in company", fused.logits, first.logits, (int64_t)ROWS * CLASSES);
        test_same_floats("in company", fused.gradient, first.gradient, COTANGENTS * size);
        drop(&fused);
    }
    drop(&first);
    drop(&layers);
    df_network_destroy(network);
}

/* Several cotangents of a sample may go another way than single ones: as many as it takes at a time, fewer,
 * more. */
static void fused_and_layers(void **state)
{
    static const int32_t each[] = {1, 6, 9, 12};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++)
        for (size_t e = 0; e < sizeof each / sizeof *each; e++)
            agree(*state, &chains[i], each[e]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fused_and_layers)};
    return test_on_backends(argc, argv, "cpu", tests, sizeof tests / sizeof *tests);
}
