/* SPDX-License-Identifier: Apache-2.0 */
/* dfal status: how far a job is. */
#include <string.h>

#include "commands.h"
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

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct listener listener = {0};
    struct run_table printed = {0};
    json_t *table = NULL;
    (void)user;
    (void)count;
    facts_begin(&listener.facts, session->json);
    dfal_status status = dfal_progress(session->context, operands[0], listen_to, &listener);
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
    .text = "Of a run: time spent and left for all trials and strategies, and once it is finished its final "
            "table again;\n"
            "with --json under the key table, null before.",
    .least = 1,
    .most = 1,
    .run = run,
};
