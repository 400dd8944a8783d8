/* SPDX-License-Identifier: Apache-2.0 */
/* dfal score: the DeepFool margin of every sample. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "commands.h"
#include "print.h"

struct score_args {
    struct dfal_score_options score;
    struct pool_args pool;
    const char *out, *units, *refine;
    bool estimate;
};

static void init(void *user)
{
    struct score_args *args = user;
    dfal_score_options_init(&args->score);
}

static const char *const status_names[] = {
#define X(name, value, group) [value] = #name,
    DFAL_SCORE_STATUS_LIST(X)
#undef X
};

static double rate(double count, double seconds)
{
    return seconds > 0.0 ? count / seconds : NAN;
}

static dfal_status print_score_json(const struct dfal_score_result *result)
{
    json_t *status = json_object();
    for (int32_t i = 0; i < DFAL_SCORE_STATUS_COUNT; i++)
        json_object_set_new(status, status_names[i], JSON(result->status[i]));
    json_t *quantiles = json_array();
    for (int32_t i = 0; i < 5; i++)
        json_array_append_new(quantiles, JSON(result->margin_quantile[i]));
    return print_json(
        OBJECT(MEMBER(result, samples), MEMBER(result, seconds), MEMBER(result, start_seconds),
               MEMBER(result, scoring_seconds), MEMBER(result, writing_seconds), "samples_per_second",
               JSON(rate((double)result->samples, result->seconds)), "sample_iterations_per_second",
               JSON(rate((double)result->iterations, result->seconds)), MEMBER(result, iterations), "status",
               status, MEMBER(result, peak_memory_bytes), MEMBER(result, engine), MEMBER(result, isa),
               MEMBER(result, backend), "margin_quantiles", quantiles, MEMBER(result, accuracy),
               MEMBER(result, deepfool_samples), MEMBER(result, closest_margin), MEMBER(result, audited),
               MEMBER(result, audit_found), MEMBER(result, recall)));
}

static void print_score_text(const struct dfal_score_result *result)
{
    printf("%-12s %12s %8s\n", "status", "samples", "%");
    for (int32_t i = 0; i < DFAL_SCORE_STATUS_COUNT; i++)
        if (result->status[i] > 0 || i == DFAL_SCORE_OK)
            printf("%-12s %12" PRId64 " %8.3f\n", status_names[i], result->status[i],
                   result->samples > 0 ? 100.0 * (double)result->status[i] / (double)result->samples : 0.0);
    if (isfinite(result->margin_quantile[0]))
        printf("margin quantiles   0 %% %.6g   25 %% %.6g   50 %% %.6g   75 %% %.6g   100 %% %.6g\n",
               result->margin_quantile[0], result->margin_quantile[1], result->margin_quantile[2],
               result->margin_quantile[3], result->margin_quantile[4]);
    if (isfinite(result->accuracy))
        printf("accuracy           %.6f\n", result->accuracy);
    if (isfinite(result->closest_margin))
        printf("closest            margin %.6g of the last; DeepFool ran on %" PRId64 " samples\n",
               result->closest_margin, result->deepfool_samples);
    if (isfinite(result->recall))
        printf("recall             %.4f, estimated: of %" PRId64 " audited samples %" PRId64 " lie nearer\n",
               result->recall, result->audited, result->audit_found);
    printf("%" PRId64 " samples in %.2f s: %.1f samples/s, %.1f sample-iterations/s, %.1f MiB at most\n",
           result->samples, result->seconds, rate((double)result->samples, result->seconds),
           rate((double)result->iterations, result->seconds), (double)result->peak_memory_bytes / 1048576.0);
}

static dfal_status estimate(struct session *session, const struct score_args *args,
                            const char *const *operands)
{
    struct dfal_estimate_result r;
    char text[64];
    dfal_estimate_result_init(&r);
    dfal_status status = dfal_score_estimate(session->context, &r, operands[0], operands[1], &args->score);
    if (status != DFAL_OK)
        return status;
    if (session->json)
        return print_json(OBJECT(MEMBER(&r, samples), MEMBER(&r, timed_samples), MEMBER(&r, timed_seconds),
                                 MEMBER(&r, iterations_per_sample), MEMBER(&r, seconds),
                                 MEMBER(&r, samples_per_second), MEMBER(&r, output_bytes), MEMBER(&r, batch),
                                 MEMBER(&r, memory_bytes), MEMBER(&r, peak_memory_bytes)));
    printf("%-12s %" PRId64 " in about %s, %.1f samples/s\n", "samples", r.samples, duration(text, r.seconds),
           r.samples_per_second);
    printf("%-12s %.1f MiB\n", "output", (double)r.output_bytes / 1048576.0);
    printf("%-12s %" PRId64 " in flight, %.0f MiB at most\n", "memory", r.batch,
           (double)r.memory_bytes / 1048576.0);
    printf("%-12s %" PRId64 " samples spread over the rows, %.2f s, %.2f iterations each\n", "timed",
           r.timed_samples, r.timed_seconds, r.iterations_per_sample);
    return DFAL_OK;
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct score_args *args = user;
    struct dfal_score_result result;
    (void)count;
    dfal_score_result_init(&result);
    dfal_status status = check_rows(args->score.range_begin, args->score.range_end, args->score.shard_count);
    if (status != DFAL_OK)
        return status;
    args->score.refine = args->refine != NULL;
    args->score.units_raw = args->units != NULL && args->units[0] == 'r';
    args->score.pool = pool_args_options(&args->pool);
    if (args->estimate)
        return estimate(session, args, operands);
    status = dfal_score(session->context, &result, args->out, operands[0], operands[1], &args->score);
    if (status != DFAL_OK || !is_speaker(session))
        return status;
    if (session->json)
        status = print_score_json(&result);
    else
        print_score_text(&result);
    const char *const words[] = {"select", operands[0], operands[1], "--strategy", "dfal",       "--count",
                                 "10",     "--scores",  args->out,   "-o",         "queries.csv"};
    if (args->score.shard_count > 0)
        note_merge(session, args->score.shard_count, "SCORES.h5");
    else
        note_next(session, words, COUNT_OF(words));
    return status;
}

#define S struct score_args
static const struct option options[] = {
    OPT(S, "output", 'o', VALUE_TEXT, out, "SCORES.h5", "the scores file to write", .required = true,
        .unless = "estimate"),
    DEEPFOOL_OPTIONS(S, score),
    BATCH_OPTION(S, score),
    OPT(S, "refine", 0, VALUE_CHOICE, refine, "bisect",
        "20 forwards more a sample remove overshoot and floor from the margin"),
    ARITHMETIC_OPTIONS(S, score),
    ROW_OPTIONS(S, score),
    OPT(S, "adversarial", 0, VALUE_NUMBER, score.adversarial, "Q",
        "also write the adversarial images of the Q closest samples", NUMBER(I64, 1, NO_LIMIT)),
    OPT(S, "units", 0, VALUE_CHOICE, units, "network|raw",
        "margins in the network's input or in the pool's raw values (default network)"),
    OPT(S, "estimate", 0, VALUE_FLAG, estimate, NULL,
        "time 256 samples, on a GPU more, print how long the whole takes and how large the file gets, and "
        "stop"),
    POOL_OPTIONS(S, pool),
    OPT(S, "closest", 0, VALUE_NUMBER, score.closest, "Q",
        "find and prove the Q closest samples; DeepFool runs on those that may be among them, the others are "
        "PRUNED with a lower bound; takes 47 bytes of memory a sample",
        NUMBER(I64, 1, NO_LIMIT)),
    OPT(S, "cascade", 0, VALUE_FLAG, score.cascade, NULL,
        "with --closest: DeepFool on the 5 Q that a forward takes for the closest, and on a random hundredth "
        "of "
        "the others, from which the recall is estimated"),
};

const struct command command_score = {
    .name = "score",
    .operands = "NET POOL",
    .summary = "Measure the DeepFool margin of every sample",
    .text =
        "Finished parts of up to 16,384 rows, less where a network is slow, are kept in "
        "SCORES.h5.parts/, so that "
        "the same\nline continues after a kill, which costs the parts that were being worked on.\n"
        "With --json: {samples, seconds, start_seconds, scoring_seconds, writing_seconds, "
        "samples_per_second,\n"
        "sample_iterations_per_second, iterations, status: {NAME: n}, peak_memory_bytes, engine, isa, "
        "backend,\n"
        "margin_quantiles, accuracy, deepfool_samples, closest_margin, audited, audit_found, recall}; the "
        "last\n"
        "four are of --closest and --cascade.\n"
        "--closest begins anew after a kill, but for the parts that its end has written.\n"
        "with --estimate {samples, timed_samples, timed_seconds, iterations_per_sample, seconds,\n"
        "samples_per_second, output_bytes, batch, memory_bytes, peak_memory_bytes}.",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 2,
    .most = 2,
    .ranks = true,
    .size = sizeof(S),
    .init = init,
    .run = run,
};
