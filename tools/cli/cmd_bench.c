/* SPDX-License-Identifier: Apache-2.0 */
/* dfal bench: how fast, with the floor beside it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_floor.h"
#include "bench_folder.h"
#include "bench_print.h"
#include "bench_table.h"
#include "bench_training.h"
#include "commands.h"
#include "print.h"

struct bench_args {
    struct dfal_score_options score;
    struct dfal_train_options train;
    struct pool_args pool;
    struct bench_table_options table;
    int64_t samples;
    int32_t repeat, batch; /* batch 0: not given */
};

static void init(void *user)
{
    struct bench_args *args = user;
    dfal_score_options_init(&args->score);
    dfal_train_options_init(&args->train);
    args->table =
        (struct bench_table_options){.queries = 10, .labelled = 100, .candidates = 800, .limit = 120};
    args->repeat = 3;
}

/* What the floor is reckoned from, picked out of dfal info's facts. */
struct sizes {
    double forward_operations, sample_bytes;
    int64_t pool_samples, class_count;
};

static void pick_size(void *user, const struct dfal_field *fact)
{
    struct sizes *sizes = user;
    if (strcmp(fact->key, "multiply_adds") == 0)
        sizes->forward_operations = 2.0 * (double)fact->integer;
    else if (strcmp(fact->key, "sample_bytes") == 0)
        sizes->sample_bytes = (double)fact->integer;
    else if (strcmp(fact->key, "samples") == 0)
        sizes->pool_samples = fact->integer;
    else if (strcmp(fact->key, "class_count") == 0)
        sizes->class_count = fact->integer;
}

/* Operations of one sample-iteration without sparsity: a forward and candidates - 1 input gradients of its
 * size. */
static double iteration_operations(const struct sizes *sizes, const struct bench_args *args)
{
    double candidates = (double)(args->score.classes > 0 ? args->score.classes : 10);
    if (args->score.classes == 0 || candidates > (double)sizes->class_count)
        candidates = (double)sizes->class_count;
    return sizes->forward_operations * candidates;
}

/* What this machine does at most. */
struct roofs {
    double operations, bytes; /* a second */
    double peak;              /* operations again; NAN: of the CPU, and not of the back end */
    int32_t threads;
};

/* One repetition beside them. */
struct speed {
    double samples, iterations, operations; /* a second; operations of a dense DeepFool */
    double peak_share, mean_iterations;
    double compute_floor, memory_floor; /* samples a second */
};

/* Opening and the tail of the file are no matter of speed. */
static struct speed speed_of(const struct dfal_score_result *result, const struct roofs *roofs,
                             const struct sizes *sizes, const struct bench_args *args)
{
    const double samples = (double)result->samples, mean = (double)result->iterations / samples;
    /* The last test of each sample is a forward alone. */
    const double work = mean * iteration_operations(sizes, args) + sizes->forward_operations;
    return (struct speed){
        .samples = samples / result->scoring_seconds,
        .iterations = (double)result->iterations / result->scoring_seconds,
        .operations = samples * work / result->scoring_seconds,
        .peak_share =
            bench_peak_share(samples * work, result->scoring_cpu_seconds, roofs->peak, roofs->threads),
        .mean_iterations = mean,
        .compute_floor = roofs->operations / work,
        .memory_floor = roofs->bytes / fmax(sizes->sample_bytes, 1.0),
    };
}

static json_t *case_json(const struct dfal_score_result *result, const struct speed *speed,
                         const struct roofs *roofs, int32_t repeat)
{
    return OBJECT("case", JSON("deepfool"), "repeat", JSON(repeat), MEMBER(result, samples), "seconds",
                  JSON(result->scoring_seconds), "cpu_seconds", JSON(result->scoring_cpu_seconds),
                  "samples_per_second", JSON(speed->samples), "sample_iterations_per_second",
                  JSON(speed->iterations), MEMBER(speed, mean_iterations), "dense_operations_per_second",
                  JSON(speed->operations), "peak_operations_per_second", JSON(roofs->peak),
                  MEMBER(speed, peak_share), MEMBER(roofs, threads), MEMBER(result, peak_memory_bytes),
                  "compute_floor_samples_per_second", JSON(speed->compute_floor),
                  "memory_floor_samples_per_second", JSON(speed->memory_floor), MEMBER(result, engine),
                  MEMBER(result, isa), MEMBER(result, backend));
}

static void print_case(const struct dfal_score_result *result, const struct speed *speed,
                       const struct roofs *roofs, int32_t repeat)
{
    printf("deepfool %d  %" PRId64 " samples  %.3f s  %.3f CPU s  %.1f samples/s  "
           "%.1f sample-iterations/s  mean %.3f it",
           repeat, result->samples, result->scoring_seconds, result->scoring_cpu_seconds, speed->samples,
           speed->iterations, speed->mean_iterations);
    bench_print_share(speed->operations, speed->peak_share, roofs->peak, roofs->threads);
    printf("  threads %d  %.1f MiB  compute roof %.1f samples/s  memory roof %.3g samples/s  %s %s %s\n",
           roofs->threads, (double)result->peak_memory_bytes / 1048576.0, speed->compute_floor,
           speed->memory_floor, result->backend, result->engine, result->isa);
}

/* The roofs are measured last: their memory is none of score's. */
static dfal_status print_cases(struct session *session, const struct bench_args *args,
                               const struct sizes *sizes, const struct dfal_score_result *results)
{
    const int32_t threads = session->options.threads;
    struct roofs roofs = {
        .operations = bench_peak_operations(threads), .bytes = bench_copy_bytes(threads), .threads = threads};
    roofs.peak = bench_peak_for(results[0].backend, roofs.operations);
    json_t *rows = session->json ? json_array() : NULL;
    for (int32_t i = 0; i < args->repeat; i++) {
        const struct speed speed = speed_of(&results[i], &roofs, sizes, args);
        if (session->json)
            json_array_append_new(rows, case_json(&results[i], &speed, &roofs, i + 1));
        else
            print_case(&results[i], &speed, &roofs, i + 1);
    }
    return session->json ? print_json(rows) : DFAL_OK;
}

static dfal_status bench_deepfool(struct session *session, struct bench_args *args, const char *net,
                                  const char *pool)
{
    struct sizes sizes = {0};
    struct bench_folder folder;
    char out[BENCH_PATH];
    dfal_status status = dfal_info(session->context, pool, pick_size, &sizes);
    if (status != DFAL_OK)
        return status;
    int64_t pool_samples = sizes.pool_samples;
    status = dfal_info(session->context, net, pick_size, &sizes);
    if (status != DFAL_OK)
        return status;
    args->score.range_begin = 0;
    args->score.range_end = args->samples < pool_samples ? args->samples : pool_samples;
    struct dfal_score_result *results = calloc((size_t)args->repeat, sizeof(*results));
    if (results == NULL)
        return usage_error(DFAL_E_MEMORY, "out of memory");
    status = bench_folder_make(&folder);
    if (status != DFAL_OK) {
        free(results);
        return status;
    }
    bench_folder_file(out, &folder, "scores.h5");
    for (int32_t i = 0; status == DFAL_OK && i < args->repeat; i++) {
        unlink(out);
        dfal_score_result_init(&results[i]);
        status = dfal_score(session->context, &results[i], out, net, pool, &args->score);
    }
    bench_folder_remove(&folder);
    if (status == DFAL_OK)
        status = print_cases(session, args, &sizes, results);
    free(results);
    return status;
}

/* ---- the kinds ----------------------------------------------------------------------------------------- */

static dfal_status run_deepfool(struct session *session, struct bench_args *args, const char *const *operands)
{
    if (args->samples == 0)
        args->samples = 1000;
    return bench_deepfool(session, args, operands[0], operands[1]);
}

static dfal_status run_train(struct session *session, struct bench_args *args, const char *const *operands)
{
    if (args->batch > 0)
        args->train.batch = args->batch;
    args->train.pool = args->score.pool;
    return bench_train(session, operands[0], operands[1], args->repeat, &args->train);
}

static dfal_status run_ops(struct session *session, struct bench_args *args, const char *const *operands)
{
    return bench_ops(session, operands[0], args->samples, args->repeat);
}

static dfal_status run_table(struct session *session, struct bench_args *args, const char *kind,
                             const char *const *operands)
{
    if (!is_given(session, "deepfool"))
        args->score.preset = "dfal2018"; /* the paper's */
    args->table.score = &args->score;
    args->table.repeat = args->repeat;
    return bench_table(session, kind, operands[0], operands[1], &args->table);
}

static dfal_status run_coreset(struct session *session, struct bench_args *args, const char *const *operands)
{
    return run_table(session, args, "coreset", operands);
}

static dfal_status run_table3(struct session *session, struct bench_args *args, const char *const *operands)
{
    return run_table(session, args, "table3", operands);
}

/* Operands that are not given are NULL. */
static const struct kind {
    const char *name, *operands;
    int32_t counts[2]; /* either of these */
    dfal_status (*run)(struct session *session, struct bench_args *args, const char *const *operands);
} kinds[] = {
    {"deepfool", "NET POOL", {2, 2}, run_deepfool},
    {"train", "NET POOL", {2, 2}, run_train},
    {"ops", "one NET, or none", {0, 1}, run_ops},
    {"coreset", "NET POOL", {2, 2}, run_coreset},
    {"table3", "NET TRAIN-POOL, or neither", {0, 2}, run_table3},
};

#define S       struct bench_args
#define SCORING "deepfool, coreset, table3"
static const struct option options[] = {
    OPT(S, "samples", 0, VALUE_NUMBER, samples, "N",
        "deepfool, ops: rows of the pool, from its beginning (default 1000; ops: random ones, 64, on a GPU "
        "16384)",
        NUMBER(I64, 1, NO_LIMIT), .only = "deepfool, ops"),
    OPT(S, "repeat", 0, VALUE_NUMBER, repeat, "R",
        "how often (default 3; train: epochs; ops: the fastest counts; coreset, table3: the median)",
        NUMBER(I32, 1, 10000)),
    OPT(S, "batch", 0, VALUE_NUMBER, batch, "B",
        "train: samples of a step (default 32); deepfool, coreset, table3: " BATCH_HELP,
        NUMBER(I32, 1, 16777216), .only = "deepfool, train, coreset, table3"),
    OPT(S, "subset", 0, VALUE_NUMBER, train.subset, "N",
        "train: on N labelled rows drawn by --seed (default: all)", NUMBER(I64, 1, NO_LIMIT),
        .only = "train"),
    OPT(S, "restarts", 0, VALUE_NUMBER, train.restarts, "R",
        "train: R restarts, side by side where dfal train has them so (default 1)", NUMBER(I32, 1, 10000),
        .only = "train"),
    OPT(S, "optimizer", 0, VALUE_CHOICE, train.optimizer, DFAL_OPTIMIZERS,
        "train: how weights follow their gradients (default adam)", .only = "train"),
    OPT(S, "lr", 0, VALUE_NUMBER, train.learning_rate, "RATE", "train: learning rate (default 1e-3)",
        NUMBER(REAL, 0, 1e6), .only = "train"),
    OPT(S, "queries", 0, VALUE_NUMBER, table.queries, "Q", "coreset, table3: how many to choose (default 10)",
        NUMBER(I64, 1, NO_LIMIT), .only = "coreset, table3"),
    OPT(S, "labelled", 0, VALUE_NUMBER, table.labelled, "L",
        "coreset, table3: labelled rows, those of train --subset L with the same seed (default 100)",
        NUMBER(I64, 0, 1000000000), .only = "coreset, table3"),
    OPT(S, "candidates", 0, VALUE_NUMBER, table.candidates, "M",
        "coreset, table3: rows to choose from, drawn among the others (default 800)",
        NUMBER(I64, 1, 1000000000), .only = "coreset, table3"),
    OPT(S, "outliers", 0, VALUE_NUMBER, table.outliers, "N",
        "coreset, table3: candidates that a program with robustness may leave out (default 1 % of M)",
        NUMBER(I64, 0, 1000000000), .only = "coreset, table3"),
    OPT(S, "limit", 0, VALUE_NUMBER, table.limit, "SECONDS",
        "coreset, table3: ends a search of program sener, and no case begins a pass later (default 120)",
        NUMBER(I64, 1, 1000000), .only = "coreset, table3"),
    OPT(S, "growth", 0, VALUE_FLAG, table.growth, NULL,
        "coreset, table3: also L/10, 3 L and 10 L labelled rows, 10 M and 75 M candidates",
        .only = "coreset, table3"),
    OPT(S, "solver", 0, VALUE_TEXT, table.solver, "CMD",
        "coreset, table3: the programs of CORE-SET once more, solved by this command, as of select",
        .only = "coreset, table3"),
    DEEPFOOL_OPTIONS(S, score, .only = SCORING),
    ARITHMETIC_OPTIONS(S, score, .only = SCORING),
    POOL_OPTIONS(S, pool),
};

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct bench_args *args = user;
    const char *names[COUNT_OF(kinds)], *own[2] = {NULL};
    int32_t at = 0;
    for (int32_t i = 0; i < COUNT_OF(kinds); i++)
        names[i] = kinds[i].name;
    while (at < COUNT_OF(kinds) && strcmp(operands[0], names[at]) != 0)
        at++;
    if (at == COUNT_OF(kinds))
        return usage_unknown("", "benchmark", operands[0], NULL, names, COUNT_OF(kinds));
    const struct kind *kind = &kinds[at];
    if (count - 1 > kind->counts[1])
        return usage_error(DFAL_E_USAGE, "bench %s takes %s, '%s' is one too many", kind->name,
                           kind->operands, operands[kind->counts[1] + 1]);
    if (count - 1 != kind->counts[0] && count - 1 != kind->counts[1])
        return usage_error(DFAL_E_USAGE, "bench %s needs %s", kind->name, kind->operands);
    const dfal_status status = check_belongs(session, options, COUNT_OF(options), "bench ", kind->name);
    if (status != DFAL_OK)
        return status;
    for (int32_t i = 1; i < count; i++)
        own[i - 1] = operands[i];
    args->score.pool = pool_args_options(&args->pool);
    args->score.batch = args->batch > 0 ? args->batch : args->score.batch;
    if (!is_given(session, "outliers"))
        args->table.outliers = args->table.candidates / 100;
    return kind->run(session, args, own);
}

const struct command command_bench = {
    .name = "bench",
    .operands = "deepfool NET POOL | train NET POOL | ops [NET] | table3 [NET TRAIN-POOL] | coreset NET POOL",
    .summary = "Measure the speed of score, of train, of every op with the machine's roofs beside it, or of "
               "strategies",
    .text =
        "deepfool prints a line a repetition: seconds from the first row to the last, and CPU seconds of\n"
        "all threads. Dense operations are those of a DeepFool that saves none: a forward and an input\n"
        "gradient as large for each other class in an iteration, and a forward at the end, of the folded\n"
        "network, two for each multiply-add. The peak is the fused multiply-adds that threads of this\n"
        "machine do, by their CPU time, measured in the same run. Its share is what of the CPU seconds\n"
        "the dense operations would take at the peak, so that nothing counts that others take of the\n"
        "machine; an engine that leaves out what is zero may pass it. The compute roof is the peak over\n"
        "the operations of a sample, the memory roof the copy speed over its bytes.\n"
        "--json: a list of {case, repeat, samples, seconds, cpu_seconds, samples_per_second,\n"
        "sample_iterations_per_second, mean_iterations, dense_operations_per_second,\n"
        "peak_operations_per_second, peak_share, threads, peak_memory_bytes,\n"
        "compute_floor_samples_per_second, memory_floor_samples_per_second, engine, isa, backend}.\n"
        "`tools/bench-deepfool` runs other people's DeepFools on the same rows.\n"
        "train trains NET, a built-in name or a file whose graph is taken, on the labelled rows of POOL\n"
        "from initial weights, as the command train does, and leaves no file. A line a repetition, which\n"
        "is an epoch of every restart; the first ones are left out. Dense operations are those of a\n"
        "forward and of two backwards as large, of the network as it is trained. A restart of a small\n"
        "chain has one thread: --restarts 2 fills two of them.\n"
        "--json: a list of {case, repeat, samples, steps, seconds, cpu_seconds, samples_per_second,\n"
        "steps_per_second, dense_operations_per_second, peak_operations_per_second, peak_share, batch,\n"
        "restarts, threads, peak_memory_bytes, engine, isa, backend}.\n"
        "`tools/bench-train` runs PyTorch's training of the same network in turn with it.\n"
        "ops runs DeepFool and training steps of lenet5 and vgg8, or of NET, on one queue of the back end, "
        "waits "
        "for each\n"
        "call and prints a line an op and shape: time of a pass, bytes (each operand once) and their share "
        "of "
        "the copy\n"
        "speed, above 100 % where a cache serves, and for convolutions and products operations and their "
        "share "
        "of the largest\n"
        "product's speed, and what runs them: oneDNN, cuDNN, cuBLAS (with what it chose) or own kernels. "
        "Both roofs are measured "
        "in the same run.\n"
        "table3 is Table 3 of the paper: the seconds in which every strategy of this build chooses 10\n"
        "queries of 800 candidates beside 100 labelled rows. Network and pool are open; all else counts:\n"
        "forwards, features, distances, twins. A line a case: median, fastest and slowest pass; CPU\n"
        "seconds, the solver's included; the radius reached, computed anew from the chosen rows; for the\n"
        "programs of CORE-SET whether it is proven, radii tried, models that the solver got, nodes of\n"
        "its search tree and solver; and the paper's seconds (Xeon E5-2670 v3, GTX TITAN X). sener is\n"
        "program (6) of Sener and Savarese, coreset the covering form, coreset-swap greedy centres made\n"
        "better one by one; robust programs leave outliers out. Program (6) takes at most 1,000 rows:\n"
        "with 8,000 it would have 64 million binary variables. CBC works on one thread. With --solver the\n"
        "programs have a second line each, such as sener-own, by that command, on as many threads as it\n"
        "says: HiGHS beside CBC is --solver \"python3 examples/solver_highs.py\". Without NET and\n"
        "TRAIN-POOL digits are drawn, and a lenet5 is trained on the labelled ones. --growth tells of\n"
        "each program whether it slows down with more rows, and at which size DFAL overtakes it. What a\n"
        "strategy cannot do with this network, or at this size, its line says.\n"
        "coreset is the same of the programs of CORE-SET alone.\n"
        "--json of both: one object {case, network, pool, drawn, queries, labelled, candidates,\n"
        "outliers, repeat, limit_seconds, deepfool, backend, isa, device, threads, seed, version, rows,\n"
        "ratios, growth}; FORMATS.md says more.",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = 3,
    .size = sizeof(S),
    .init = init,
    .run = run,
    .first_word = true,
};
