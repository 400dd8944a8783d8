/* SPDX-License-Identifier: Apache-2.0 */
/* dfal synth: the embedded data set. */
#include "commands.h"
#include "print.h"

struct synth_args {
    struct dfal_synth_options synth;
    const char *out;
};

static void init(void *user)
{
    struct synth_args *args = user;
    dfal_synth_options_init(&args->synth);
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct synth_args *args = user;
    (void)operands;
    (void)count;
    dfal_status status = dfal_synth(session->context, args->out, &args->synth);
    if (status == DFAL_OK && session->json)
        return print_json(OBJECT("output", JSON(args->out), "samples", JSON(args->synth.count)));
    return status;
}

#define S struct synth_args
static const struct option options[] = {
    OPT(S, "output", 'o', VALUE_TEXT, out, "POOL.h5", "the pool to write", .required = true),
    OPT(S, "count", 'n', VALUE_NUMBER, synth.count, "N", "samples", NUMBER(I64, 1, 1e9), .required = true),
    OPT(S, "class-count", 0, VALUE_NUMBER, synth.class_count, "C", "draw the digits 0 to C-1 (default 10)",
        NUMBER(I32, 2, 10)),
    OPT(S, "size", 0, VALUE_NUMBER, synth.side, "PIXELS", "height and width (default 28)",
        NUMBER(I32, 8, 1024)),
    OPT(S, "split", 0, VALUE_CHOICE, synth.split, DFAL_SPLITS,
        "which of two disjoint random streams (default train)"),
};

const struct command command_synth = {
    .name = "synth",
    .operands = "",
    .summary = "Write the embedded data set: procedurally drawn digits, labelled, reproducible from --seed",
    .options = options,
    .option_count = COUNT_OF(options),
    .size = sizeof(S),
    .init = init,
    .run = run,
};
