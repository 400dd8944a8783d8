/* SPDX-License-Identifier: Apache-2.0 */
/* dfal info: what a file or a run directory holds. */
#include "commands.h"
#include "output.h"

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct facts facts;
    (void)user;
    (void)count;
    facts_begin(&facts, session->json);
    dfal_status status = dfal_info(session->context, operands[0], facts_add, &facts);
    if (status != DFAL_OK) {
        json_decref(facts.object);
        return status;
    }
    return facts_end(&facts);
}

const struct command command_info = {
    .name = "info",
    .operands = "FILE",
    .summary = "Tell what a pool, network, scores file or run directory holds",
    .least = 1,
    .most = 1,
    .run = run,
};
