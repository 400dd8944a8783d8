/* SPDX-License-Identifier: Apache-2.0 */
/* dfal logits: logits or a node's activations of every row. */
#include "commands.h"
#include "output.h"

struct logits_args {
    struct pool_args pool;
    const char *out, *node;
};

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct logits_args *args = user;
    (void)count;
    if (args->out == NULL)
        return usage_error(session, DFAL_E_USAGE, "logits needs -o LOGITS.h5");
    dfal_status status = dfal_logits(session->context, args->out, operands[0], operands[1], args->node,
                                     pool_args_options(&args->pool));
    if (status == DFAL_OK && session->json)
        return print_json(json_pack("{s:s, s:s}", "output", args->out, "dataset",
                                    args->node != NULL ? args->node : "logits"));
    return status;
}

#define S struct logits_args
static const struct option options[] = {
    OPT(S, "output", 'o', VALUE_TEXT, out, "LOGITS.h5", "the file to write (required)", 0, 0),
    OPT(S, "node", 0, VALUE_TEXT, node, "NAME", "this node's activations instead of the logits", 0, 0),
    POOL_OPTIONS(S, pool),
};

const struct command command_logits = {
    .name = "logits",
    .operands = "NET POOL",
    .summary = "Write the logits [N,K] f32, or a node's activations, of every row",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 2,
    .most = 2,
    .size = sizeof(S),
    .run = run,
};
