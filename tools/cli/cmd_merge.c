/* SPDX-License-Identifier: Apache-2.0 */
/* dfal merge: join shards. */
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
    OPT(S, "output", 'o', VALUE_TEXT, out, "SCORES.h5", "the file of scores or logits to write",
        .required = true),
};

const struct command command_merge = {
    .name = "merge",
    .operands = "SHARD.h5...",
    .summary = "Join the shards of a score or of logits; missing, doubled and foreign shards are named",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = -1,
    .size = sizeof(S),
    .run = run,
};
