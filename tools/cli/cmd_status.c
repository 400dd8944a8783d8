/* SPDX-License-Identifier: Apache-2.0 */
/* dfal status: how far a job is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "job_script.h"
#include "run_table.h"

/* Facts on their way, and whether they are those of a run. */
struct listener {
    struct facts facts;
    bool run, finished;
};

static void listen_to(void *user, const struct dfal_field *fact)
{
    struct listener *listener = user;
    if (fact->kind == DFAL_FIELD_TEXT && fact->text != NULL) {
        listener->run = listener->run || (strcmp(fact->key, "job") == 0 && strcmp(fact->text, "run") == 0);
        listener->finished =
            listener->finished || (strcmp(fact->key, "state") == 0 && strcmp(fact->text, "finished") == 0);
    }
    facts_add(&listener->facts, fact);
}

/* What was submitted and waits for its turn has left nothing but its job file. */
static bool waits(char **script, const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    return asprintf(script, "%.*s.sbatch", (int)length, path) >= 0 && job_script_exists(*script);
}

static void tell_waiting(struct listener *listener, const char *script)
{
    const struct dfal_field fields[] = {{.key = "job", .kind = DFAL_FIELD_TEXT, .text = "submit"},
                                        {.key = "script", .kind = DFAL_FIELD_TEXT, .text = script},
                                        {.key = "state", .kind = DFAL_FIELD_TEXT, .text = "not begun"}};
    for (int32_t i = 0; i < COUNT_OF(fields); i++)
        listen_to(listener, &fields[i]);
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct listener listener = {0};
    struct run_table printed = {0};
    json_t *table = NULL;
    (void)user;
    (void)count;
    facts_begin(&listener.facts, session->json);
    char *script = NULL;
    dfal_status status = dfal_progress(session->context, operands[0], listen_to, &listener);
    if (status == DFAL_E_NOINPUT && waits(&script, operands[0])) {
        tell_waiting(&listener, script);
        status = DFAL_OK;
    }
    free(script);
    const bool ended = listener.run && listener.finished;
    if (status == DFAL_OK && ended && session->json)
        status = run_table_json(&table, session, operands[0]);
    if (status != DFAL_OK) {
        facts_drop(&listener.facts);
        return status;
    }
    if (listener.run && session->json)
        json_object_set_new(listener.facts.object, "table", table != NULL ? table : json_null());
    status = facts_end(&listener.facts);
    if (status != DFAL_OK || !ended || session->json)
        return status;
    printf("\n");
    return dfal_run_table(session->context, operands[0], run_table_print, &printed);
}

const struct command command_status = {
    .name = "status",
    .operands = "PATH",
    .summary = "Tell how far a score, train or run is; PATH is its output",
    .text =
        "Of a run: time spent and left for all trials and strategies, and once it is finished its final "
        "table again;\n"
        "with --json under the key table, null before. Of an array: which shards are finished, begun and "
        "missing, as\n"
        "'sbatch --array' takes them; state is 'not merged' once all are finished. Of a job of 'dfal submit' "
        "that has\n"
        "left nothing yet: its script, and state 'not begun'.",
    .least = 1,
    .most = 1,
    .run = run,
    .at_once = true,
};
