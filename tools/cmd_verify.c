/* SPDX-License-Identifier: Apache-2.0 */
/* dfal verify: a scores file recomputed in float64. */
#include <inttypes.h>
#include <stdio.h>

#include "commands.h"
#include "output.h"

struct verify_args {
    struct dfal_pool_options pool;
    struct text_list labels;
    int64_t samples;
};

static void init(void *user)
{
    struct verify_args *args = user;
    args->samples = 64;
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct verify_args *args = user;
    struct dfal_verify_result result = {0};
    if (count == 2)
        return usage_error(session, DFAL_E_USAGE, "verify needs SCORES.h5, or SCORES.h5 NET POOL");
    args->pool.label_files = args->labels.items;
    args->pool.label_file_count = args->labels.count;
    dfal_status status =
        dfal_verify_scores(session->context, &result, operands[0], count > 1 ? operands[1] : NULL,
                           count > 1 ? operands[2] : NULL, args->samples, &args->pool);
    if (result.samples == 0)
        return status;
    if (session->json) {
        dfal_status printed = print_json(json_pack(
            "{s:I, s:o, s:I, s:o, s:b}", "samples", (json_int_t)result.samples, "largest_relative_error",
            real_or_null(result.largest_relative_error), "disagreements", (json_int_t)result.disagreements,
            "tolerance", real_or_null(result.tolerance), "ok", status == DFAL_OK));
        return status != DFAL_OK ? status : printed;
    }
    printf("%-24s %" PRId64 "\n%-24s %.3g\n%-24s %.3g\n%-24s %" PRId64 "\n", "samples", result.samples,
           "largest relative error", result.largest_relative_error, "tolerance", result.tolerance,
           "disagreements", result.disagreements);
    return status;
}

#define S struct verify_args
static const struct option options[] = {
    OPT(S, "samples", 0, VALUE_I64, samples, "N", "samples to recompute, drawn by --seed (default 64)", 1,
        NO_LIMIT),
    POOL_OPTIONS(S, pool, labels),
    OPT_LATER("against", VALUE_LATER, "REF.h5"),
};

const struct command command_verify = {
    .name = "verify",
    .operands = "SCORES.h5 [NET POOL]",
    .summary = "Recompute samples of a scores file in float64; over tolerance is exit code 65",
    .text = "Without NET and POOL those recorded in the scores file are read.\n"
            "With --json: {samples, largest_relative_error, disagreements, tolerance, ok}.",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = 3,
    .size = sizeof(S),
    .init = init,
    .run = run,
};
