/* SPDX-License-Identifier: Apache-2.0 */
/* dfal doctor: what works here and what does not. The environment is the tool's part: the library reads none.
 */
#include <stdlib.h>

#include "commands.h"
#include "print.h"

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    static const char *const variables[] = {"SLURM_CPUS_PER_TASK", "HDF5_USE_FILE_LOCKING",
                                            "HDF5_PLUGIN_PATH", "OMP_NUM_THREADS"};
    struct facts facts;
    (void)user;
    (void)operands;
    (void)count;
    facts_begin(&facts, session->json);
    dfal_status status = dfal_doctor(session->context, facts_add, &facts);
    if (status != DFAL_OK && status != DFAL_E_UNAVAILABLE) {
        facts_drop(&facts);
        return status;
    }
    for (int32_t i = 0; i < COUNT_OF(variables); i++) {
        const char *value = getenv(variables[i]);
        const struct dfal_field fact = {
            .key = variables[i], .kind = DFAL_FIELD_TEXT, .text = value != NULL ? value : "not set"};
        facts_add(&facts, &fact);
    }
    /* What was found is told all the same: it is the diagnosis. */
    const dfal_status told = facts_end(&facts);
    return status != DFAL_OK ? status : told;
}

const struct command command_doctor = {
    .name = "doctor",
    .operands = "",
    .summary = "Tell versions, devices, CPU features, libraries, file locking and limits",
    .text = "Exits with 69 where the back end that --backend names does not work here, having told "
            "everything; auto works where the\n"
            "cpu does.",
    .run = run,
    .at_once = true,
};
