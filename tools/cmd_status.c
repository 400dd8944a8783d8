/* SPDX-License-Identifier: Apache-2.0 */
/* dfal status: how far a job is. */
#include "commands.h"
#include "output.h"

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct facts facts;
    (void)user;
    (void)count;
    facts_begin(&facts, session->json);
    dfal_status status = dfal_progress(session->context, operands[0], facts_add, &facts);
    if (status != DFAL_OK) {
        facts_drop(&facts);
        return status;
    }
    return facts_end(&facts);
}

const struct command command_status = {
    .name = "status",
    .operands = "PATH",
    .summary = "Tell how far a score, train or run is; PATH is its output",
    .least = 1,
    .most = 1,
    .run = run,
};
