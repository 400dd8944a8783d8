/* SPDX-License-Identifier: Apache-2.0 */
/* dfal status: how far a job is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* What was submitted and has no output yet has left its job file, and a log once it began. False: there is no
 * such file. */
static bool tell_submitted(struct listener *listener, const char *path)
{
    char *script = NULL, *log = NULL;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    const bool named = asprintf(&script, "%.*s.sbatch", (int)length, path) >= 0 &&
                       asprintf(&log, "%.*s.log", (int)length, path) >= 0;
    const bool found = named && job_script_exists(script);
    if (found) {
        const bool begun = access(log, F_OK) == 0;
        const struct dfal_field fields[] = {
            {.key = "job", .kind = DFAL_FIELD_TEXT, .text = "submit"},
            {.key = "script", .kind = DFAL_FIELD_TEXT, .text = script},
            {.key = "log", .kind = DFAL_FIELD_TEXT, .text = begun ? log : NULL},
            {.key = "state", .kind = DFAL_FIELD_TEXT, .text = begun ? "begun" : "not begun"}};
        for (int32_t i = 0; i < COUNT_OF(fields); i++)
            if (fields[i].text != NULL)
                listen_to(listener, &fields[i]);
    }
    free(script);
    free(log);
    return found;
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct listener listener = {0};
    struct run_table printed = {0};
    json_t *table = NULL;
    (void)user;
    (void)count;
    facts_begin(&listener.facts, session->json);
    dfal_status status = dfal_progress(session->context, operands[0], listen_to, &listener);
    if (status == DFAL_E_NOINPUT && tell_submitted(&listener, operands[0]))
        status = DFAL_OK;
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
        "left no output yet: its script, and state 'not begun', or its log, too, and 'begun'.\n"
        "at_work of an unfinished output: yes while a job is at work on it, no when none is; it is left out "
        "where that\n"
        "cannot be known, as on a network's file system, on which another host may be at work. Before its "
        "first "
        "part is\n"
        "finished a job is 'unknown', and note says what to do.",
    .least = 1,
    .most = 1,
    .run = run,
    .at_once = true,
};
