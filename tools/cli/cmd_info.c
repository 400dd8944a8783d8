/* SPDX-License-Identifier: Apache-2.0 */
/* dfal info: what a file or a run directory holds. */
#include "commands.h"
#include "print.h"

struct info_args {
    struct pool_args pool;
};

/* A pool option says that the file is one. */
static bool names_pool(const struct dfal_pool_options *pool)
{
    return pool->samples_name != NULL || pool->labels_name != NULL || pool->layout != NULL ||
           pool->label_file_count > 0 || pool->hdf5_plugins;
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct info_args *args = user;
    struct facts facts;
    (void)count;
    facts_begin(&facts, session->json);
    dfal_status status =
        names_pool(pool_args_options(&args->pool))
            ? dfal_info_pool(session->context, operands[0], pool_args_options(&args->pool), facts_add, &facts)
            : dfal_info(session->context, operands[0], facts_add, &facts);
    if (status != DFAL_OK) {
        facts_drop(&facts);
        return status;
    }
    return facts_end(&facts);
}

#define S struct info_args
static const struct option options[] = {POOL_OPTIONS(S, pool)};

const struct command command_info = {
    .name = "info",
    .operands = "FILE",
    .summary = "Tell what a pool, network, scores file, table, reference, ONNX file or run directory holds",
    .text = "The options are for pools: with --labels it counts what is labelled and skipped. With --json "
            "lists, such as\n"
            "class names, are arrays of strings, whole; a line of the table holds as many as it can. Of "
            "tables in CSV and\n"
            "references of verify it tells under next what they are for.",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = 1,
    .size = sizeof(S),
    .run = run,
    .at_once = true,
};
