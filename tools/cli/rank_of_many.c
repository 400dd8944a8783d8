/* SPDX-License-Identifier: Apache-2.0 */
/* Is this process one of several ranks? What mpirun or srun has put into the environment says so. */
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "print.h"

/* The variable's whole number; 0: there is none. */
static int64_t number_of(const char *variable)
{
    const char *text = getenv(variable);
    int64_t number;
    return text != NULL && df_parse_whole(&number, text) ? number : 0;
}

dfal_status choose_ranks(struct session *session, const struct command *command)
{
    const int64_t by_mpirun = number_of("OMPI_COMM_WORLD_SIZE"), by_srun = number_of("SLURM_STEP_NUM_TASKS");
    /* Each process has a part to itself, or is asked about one process. */
    const bool alone =
        is_given(session, "shard") || is_given(session, "trial") || is_given(session, "estimate");
    session->options.comm = "self";
    if (!command->ranks || strcmp(session->comm, "self") == 0)
        return DFAL_OK;
    if (strcmp(session->comm, "mpi") == 0 || (by_mpirun > 1 && !alone) ||
        (by_srun > 1 && !alone && getenv("PMIX_RANK") != NULL))
        session->options.comm = "mpi";
    else if (by_srun > 1 && !alone)
        return usage_error(DFAL_E_UNAVAILABLE,
                           "%lld tasks of this Slurm step would each do the whole job: start them by srun "
                           "--mpi=pmix, or give each a --shard K/%lld; --comm self takes them as they are",
                           (long long)by_srun, (long long)by_srun);
    return DFAL_OK;
}

bool is_speaker(const struct session *session)
{
    return session->context == NULL || dfal_context_rank(session->context) == 0;
}

/* Rank 0 says, too, what ended another one, and the others need not; of rank 0 itself they do. */
bool is_told_by_rank_0(const struct session *session, const char *sentence)
{
    return !is_speaker(session) && strncmp(sentence, "rank ", 5) == 0 && strncmp(sentence, "rank 0 ", 7) != 0;
}
