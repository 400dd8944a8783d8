/* SPDX-License-Identifier: Apache-2.0 */
/* Is this process one of several ranks? What mpirun or srun has put into the environment says so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "print.h"
#include "submit.h"

/* The variable's whole number; 0: there is none. */
static int64_t number_of(const char *variable)
{
    const char *text = getenv(variable);
    int64_t number;
    return text != NULL && df_parse_whole(&number, text) ? number : 0;
}

/* What has begun this process, with how many others like it. */
struct started {
    int64_t count;
    bool by_mpirun, together; /* they can be ranks */
};
static struct started look(void)
{
    const int64_t by_mpirun = number_of("OMPI_COMM_WORLD_SIZE"), by_srun = number_of("SLURM_STEP_NUM_TASKS");
    if (by_mpirun > 0) /* whose own daemons srun may have started */
        return (struct started){by_mpirun, true, true};
    return (struct started){by_srun, false, getenv("PMIX_RANK") != NULL};
}

static bool is_only_asked(const struct session *session)
{
    return is_given(session, "estimate") || session->print_config;
}

static bool has_output(const struct session *session)
{
    return (is_given(session, "output") || is_given(session, "confusion")) && !is_only_asked(session);
}

/* Has each of them a part of its own, as of --shard $((SLURM_PROCID + 1))/8? Of those that all have the same
 * one goes on, and the others are told. */
static bool is_own_part(const struct option *option, const void *args, const struct started *started)
{
    const int32_t *part = (const void *)((const char *)args + option->offset);
    return *part == number_of(started->by_mpirun ? "OMPI_COMM_WORLD_RANK" : "SLURM_PROCID");
}

/* Several processes, and each would take itself for the only one. */
static dfal_status refuse(const struct session *session, const struct command *command,
                          const struct started *started)
{
    const char *who = started->by_mpirun ? "processes of mpirun" : "tasks of this Slurm step";
    const char *launcher = started->together ? "" : "srun --mpi=pmix and ";
    const struct option *option = find_part_option(command);
    const char *part = option != NULL ? option->name : NULL;
    const long long count = (long long)started->count;
    if (!command->ranks)
        return usage_error(DFAL_E_UNAVAILABLE,
                           "%lld %s would each do the whole job: start %s once; --comm self takes them as "
                           "they are, each with an output of its own",
                           count, who, command->name);
    if (part != NULL && is_given(session, part))
        return usage_error(
            DFAL_E_UNAVAILABLE,
            "%lld %s would each do all that --%s names: start one, or let them share it by %s--comm mpi; "
            "--comm self takes them as they are, each with a --%s of its own",
            count, who, part, launcher, part);
    char own[64] = "";
    if (part != NULL)
        (void)snprintf(own, sizeof(own), ", each with a --%s K/%lld of its own", part, count);
    return usage_error(DFAL_E_UNAVAILABLE,
                       "%lld %s would each do the whole job: start them by srun --mpi=pmix, or start one; "
                       "--comm self takes them as they are%s",
                       count, who, own);
}

dfal_status choose_ranks(struct session *session, const struct command *command, const void *args)
{
    const struct started started = look();
    const bool given = strcmp(session->comm, "mpi") == 0, self = strcmp(session->comm, "self") == 0;
    const struct option *option = find_part_option(command);
    const bool part = option != NULL && is_given(session, option->name);
    session->options.comm = "self";
    if (given && !command->ranks)
        return usage_error(DFAL_E_USAGE,
                           "--comm is mpi, but %s is done by one process, expected auto or self",
                           command->name);
    if (self || (started.count <= 1 && !given))
        return DFAL_OK;
    if (given || (command->ranks && started.together && !part && !is_only_asked(session)))
        session->options.comm = "mpi";
    else if (has_output(session) && !(part && is_own_part(option, args, &started)))
        return refuse(session, command, &started);
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
