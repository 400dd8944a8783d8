/* SPDX-License-Identifier: Apache-2.0 */
/* dfal logits: logits or a node's activations of every row. */
#include "commands.h"
#include "print.h"

struct logits_args {
    struct pool_args pool;
    struct dfal_logits_options logits;
    const char *out;
};

static void init(void *user)
{
    struct logits_args *args = user;
    dfal_logits_options_init(&args->logits);
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct logits_args *args = user;
    (void)count;
    dfal_status status =
        check_rows(args->logits.range_begin, args->logits.range_end, args->logits.shard_count);
    if (status != DFAL_OK)
        return status;
    args->logits.pool = pool_args_options(&args->pool);
    status = dfal_logits(session->context, args->out, operands[0], operands[1], &args->logits);
    if (status == DFAL_OK && args->logits.shard_count > 0)
        note_merge(session, args->logits.shard_count, "LOGITS.h5");
    if (status == DFAL_OK && session->json && is_speaker(session))
        return print_json(OBJECT("output", JSON(args->out), "dataset",
                                 JSON(args->logits.node != NULL ? args->logits.node : "logits")));
    return status;
}

#define S struct logits_args
static const struct option options[] = {
    OPT(S, "output", 'o', VALUE_TEXT, out, "LOGITS.h5", "the file to write", .required = true),
    OPT(S, "node", 0, VALUE_TEXT, logits.node, "NAME", "this node's activations instead of the logits"),
    ROW_OPTIONS(S, logits),
    POOL_OPTIONS(S, pool),
};

const struct command command_logits = {
    .name = "logits",
    .operands = "NET POOL",
    .summary = "Write the logits [N,K] f32, or a node's activations, of every row",
    .text = "Finished parts are kept in LOGITS.h5.parts/, so that the same line continues after a kill.",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 2,
    .most = 2,
    .ranks = true,
    .size = sizeof(S),
    .init = init,
    .run = run,
};
