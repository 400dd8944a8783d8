/* SPDX-License-Identifier: Apache-2.0 */
/* dfal merge: join shards, or the parts of a run. */
#include "commands.h"
#include "print.h"

struct merge_args {
    const char *out;
};

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct merge_args *args = user;
    dfal_status status = dfal_merge(session->context, args->out, operands, count);
    if (status == DFAL_OK && session->json)
        return print_json(OBJECT("output", JSON(args->out), "shards", JSON(count)));
    return status;
}

#define S struct merge_args
static const struct option options[] = {
    OPT(S, "output", 'o', VALUE_TEXT, out, "OUT",
        "the file of scores or logits, or the run directory, to write", .required = true),
};

const struct command command_merge = {
    .name = "merge",
    .operands = "SHARD.h5...|DIR...",
    .summary = "Join the shards of a score or of logits, or the parts of a run",
    .text = "Shards and parts that are missing, doubled, unfinished or of another job are named. Run "
            "directories of "
            "run --trial\n"
            "become one, with the tables, networks, state and page that a run of all trials would have had; "
            "killed before,\n"
            "the same line begins anew.",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = -1,
    .size = sizeof(S),
    .run = run,
};
