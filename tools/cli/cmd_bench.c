/* SPDX-License-Identifier: Apache-2.0 */
/* dfal bench: how fast, with the floor beside it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench_floor.h"
#include "bench_print.h"
#include "commands.h"
#include "print.h"

struct bench_args {
    struct dfal_score_options score;
    struct pool_args pool;
    int64_t samples;
    int32_t repeat;
};

static void init(void *user)
{
    struct bench_args *args = user;
    dfal_score_options_init(&args->score);
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

static void print_case(struct session *session, json_t *rows, int32_t repeat,
                       const struct dfal_score_result *result, double compute_floor, double memory_floor)
{
    /* Opening and the tail of the file are no matter of speed. */
    double rate = (double)result->samples / result->scoring_seconds;
    double steps = (double)result->iterations / result->scoring_seconds;
    double mean = (double)result->iterations / (double)result->samples;
    if (session->json) {
        json_array_append_new(
            rows, OBJECT("case", JSON("deepfool"), "repeat", JSON(repeat), MEMBER(result, samples), "seconds",
                         JSON(result->scoring_seconds), "samples_per_second", JSON(rate),
                         "sample_iterations_per_second", JSON(steps), "mean_iterations", JSON(mean),
                         MEMBER(result, peak_memory_bytes), "compute_floor_samples_per_second",
                         JSON(compute_floor), "memory_floor_samples_per_second", JSON(memory_floor),
                         MEMBER(result, engine), MEMBER(result, isa), MEMBER(result, backend)));
        return;
    }
    printf("deepfool %d  %" PRId64
           " samples  %.3f s  %.1f samples/s  %.1f sample-iterations/s  mean %.3f it  "
           "%.1f MiB  compute roof %.1f samples/s  memory roof %.3g samples/s  %s %s %s\n",
           repeat, result->samples, result->scoring_seconds, rate, steps, mean,
           (double)result->peak_memory_bytes / 1048576.0, compute_floor, memory_floor, result->backend,
           result->engine, result->isa);
}

/* The roofs are measured last: their memory is none of score's. */
static dfal_status print_cases(struct session *session, const struct bench_args *args,
                               const struct sizes *sizes, const struct dfal_score_result *results)
{
    const int32_t threads = session->options.threads;
    double operations = bench_peak_operations(threads), bytes = bench_copy_bytes(threads);
    json_t *rows = session->json ? json_array() : NULL;
    for (int32_t i = 0; i < args->repeat; i++) {
        double steps = (double)results[i].iterations / (double)results[i].samples;
        /* The last test of each sample is a forward alone. */
        double work = steps * iteration_operations(sizes, args) + sizes->forward_operations;
        print_case(session, rows, i + 1, &results[i], operations / work,
                   bytes / fmax(sizes->sample_bytes, 1.0));
    }
    return session->json ? print_json(rows) : DFAL_OK;
}

static dfal_status bench_deepfool(struct session *session, struct bench_args *args, const char *net,
                                  const char *pool)
{
    struct sizes sizes = {0};
    char folder[] = "/tmp/dfal-bench-XXXXXX", out[64];
    dfal_status status = dfal_info(session->context, pool, pick_size, &sizes);
    if (status != DFAL_OK)
        return status;
    int64_t pool_samples = sizes.pool_samples;
    status = dfal_info(session->context, net, pick_size, &sizes);
    if (status != DFAL_OK)
        return status;
    args->score.range_begin = 0;
    args->score.range_end = args->samples < pool_samples ? args->samples : pool_samples;
    args->score.pool = pool_args_options(&args->pool);
    struct dfal_score_result *results = calloc((size_t)args->repeat, sizeof(*results));
    if (results == NULL || mkdtemp(folder) == NULL) {
        free(results);
        return usage_error(DFAL_E_EXISTS, "%s: cannot make a temporary folder", folder);
    }
    snprintf(out, sizeof(out), "%s/scores.h5", folder);
    for (int32_t i = 0; status == DFAL_OK && i < args->repeat; i++) {
        unlink(out);
        dfal_score_result_init(&results[i]);
        status = dfal_score(session->context, &results[i], out, net, pool, &args->score);
    }
    unlink(out);
    rmdir(folder);
    if (status == DFAL_OK)
        status = print_cases(session, args, &sizes, results);
    free(results);
    return status;
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    static const char *const kinds[] = {"deepfool", "ops"};
    static const char *const later[] = {"train", "coreset", "table3"};
    struct bench_args *args = user;
    for (int32_t i = 0; i < COUNT_OF(later); i++)
        if (strcmp(operands[0], later[i]) == 0)
            return usage_error(DFAL_E_UNAVAILABLE, "bench %s is not in this version", operands[0]);
    if (strcmp(operands[0], "ops") == 0) {
        if (count > 2)
            return usage_error(DFAL_E_USAGE, "bench ops takes one NET, '%s' is one too many", operands[2]);
        return bench_ops(session, count == 2 ? operands[1] : NULL, args->samples, args->repeat);
    }
    if (strcmp(operands[0], "deepfool") != 0)
        return usage_unknown("", "benchmark", operands[0], NULL, kinds, COUNT_OF(kinds));
    if (count != 3)
        return usage_error(DFAL_E_USAGE, "bench deepfool needs NET POOL");
    if (args->samples == 0)
        args->samples = 1000;
    return bench_deepfool(session, args, operands[1], operands[2]);
}

#define S struct bench_args
static const struct option options[] = {
    OPT(S, "samples", 0, VALUE_NUMBER, samples, "N",
        "rows of the pool, from its beginning (default 1000; ops: random ones, 64, on a GPU 16384)",
        NUMBER(I64, 1, NO_LIMIT)),
    OPT(S, "repeat", 0, VALUE_NUMBER, repeat, "R", "how often (default 3; ops: the fastest counts)",
        NUMBER(I32, 1, 10000)),
    DEEPFOOL_OPTIONS(S, score),
    ARITHMETIC_OPTIONS(S, score),
    POOL_OPTIONS(S, pool),
};

const struct command command_bench = {
    .name = "bench",
    .operands = "deepfool NET POOL | ops [NET]",
    .summary = "Measure the speed of score, or of every op, with the machine's roofs beside it",
    .text =
        "deepfool prints one line a repetition, its time from the first row to the last. The compute roof is "
        "the fused\n"
        "multiply-adds this machine does, measured in the same run, over those of a dense DeepFool; the "
        "memory roof is its\n"
        "copy speed over the bytes of a sample.\n"
        "`tools/bench-deepfool` runs the batched PyTorch loop on the same rows.\n"
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
        "in the same run.",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = 3,
    .size = sizeof(S),
    .init = init,
    .run = run,
};
