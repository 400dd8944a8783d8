/* SPDX-License-Identifier: Apache-2.0 */
/* dfal report: one page from run directories. */
#include "commands.h"
#include "output.h"

struct report_args {
    const char *out;
};

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct report_args *args = user;
    if (args->out == NULL)
        return usage_error(session, DFAL_E_USAGE, "report needs -o report.html");
    dfal_status status = dfal_report(session->context, args->out, operands, count);
    if (status == DFAL_OK && session->json)
        return print_json(json_pack("{s:s}", "output", args->out));
    return status;
}

#define S struct report_args
static const struct option options[] = {
    OPT(S, "output", 'o', VALUE_TEXT, out, "report.html", "the page to write (required)", 0, 0),
};

const struct command command_report = {
    .name = "report",
    .operands = "DIR...",
    .summary = "Draw curves, tables and pictures of queries and their twins from run directories",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = -1,
    .size = sizeof(S),
    .run = run,
};
