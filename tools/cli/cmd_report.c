/* SPDX-License-Identifier: Apache-2.0 */
/* dfal report: one page from run directories. */
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "run_table.h"

struct report_args {
    const char *out, *latex;
};

static dfal_status print_document(struct session *session, const char *out, const char *const *dirs,
                                  int32_t count)
{
    json_t *runs = json_array(), *table = NULL;
    dfal_status status = DFAL_OK;
    for (int32_t i = 0; i < count && status == DFAL_OK; i++) {
        status = run_table_json(&table, session, dirs[i]);
        if (status == DFAL_OK)
            json_array_append_new(runs, OBJECT("run", JSON(dirs[i]), "table", table));
    }
    if (status == DFAL_OK)
        return print_json(OBJECT("output", JSON(out), "runs", runs));
    json_decref(runs);
    return status;
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct report_args *args = user;
    if (args->latex && !strcmp(args->latex, args->out))
        return usage_error(DFAL_E_USAGE, "--latex and --output are both %s, expected two files", args->out);
    /* Both or none: a page that stands would refuse the line that is right at last. */
    const bool stood = args->latex && access(args->latex, F_OK) == 0;
    dfal_status status = DFAL_OK;
    if (args->latex)
        status = dfal_report_latex(session->context, args->latex, operands, count);
    if (status == DFAL_OK) {
        status = dfal_report(session->context, args->out, operands, count);
        if (status != DFAL_OK && args->latex && !stood)
            (void)unlink(args->latex);
    }
    if (status == DFAL_OK && session->json)
        return print_document(session, args->out, operands, count);
    return status;
}

#define S struct report_args
static const struct option options[] = {
    OPT(S, "output", 'o', VALUE_TEXT, out, "report.html", "the page to write", .required = true),
    OPT(S, "latex", 0, VALUE_TEXT, latex, "TABLES.tex", "write the page's tables as LaTeX, too"),
};

const struct command command_report = {
    .name = "report",
    .operands = "DIR...",
    .summary = "Draw curves, tables and pictures of queries and their twins from run directories",
    .text =
        "Several runs share one chart, each named by its folder and by what differs in its configuration.\n"
        "Tables tell accuracies on the way with 95 % intervals, the highest mean beside the paper's where\n"
        "the configuration has report.paper, the annotations to the full set's accuracy (report.full_set),\n"
        "what another network learns from the same rows (transfer), seconds a round, the classes that were\n"
        "asked for, and the queries that strategies have in common.\n"
        "--json: {output, runs}, of each run its folder and the final table as run --json prints it.",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = -1,
    .size = sizeof(S),
    .run = run,
};
