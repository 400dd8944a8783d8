/* SPDX-License-Identifier: Apache-2.0 */
/* One `dfal submit` on its way: what is asked for, what it comes to, and the job files of it. */
#ifndef DFAL_TOOLS_SUBMIT_H
#define DFAL_TOOLS_SUBMIT_H

#include "commands.h"
#include "job_mounts.h"

struct submit_args {
    int32_t nodes, gpus, cpus, array, max_restarts; /* 0 and -1: not given */
    const char *mem, *time, *partition, *account, *container;
    bool estimate, dry_run;
};

struct submit {
    struct session *session;
    const struct submit_args *args;
    /* submit_check.c */
    struct session inner; /* what the words of COMMAND say, as COMMAND itself is parsed */
    struct parsed parsed;
    const char *out; /* what COMMAND writes; NULL: nothing */
    bool ranks;      /* several processes do it together: on several nodes, or where the words ask for it */
    const char *part_option; /* of an array: "shard" or "trial" */
    char folder[4096];       /* where this command was called: the job's, too */
    struct job_mounts mounts;
    char *base; /* the job's files are base.sbatch, base.log: the output, or dfal-COMMAND */
    char time[32],
        mem[32]; /* submit_estimate.c: what is asked for where the options say nothing; "": no more */
    /* submit_write.c */
    struct text_list words; /* of the job: COMMAND and its arguments */
    char *script, *log, *text;
    char *merge_script, *merge_text; /* of an array */
};

/* Look whether COMMAND makes sense as this job, whether its inputs are there and its output is not finished.
 * Errors   E_USAGE; E_NOINPUT; E_EXISTS; E_MEMORY */
dfal_status submit_check(struct submit *submit, const char *const *operands, int32_t count);
/* With --estimate: measure COMMAND, and fill in the time and memory that are not given.
 * Errors   E_USAGE COMMAND has no --estimate; E_UNAVAILABLE it does not measure here; E_MEMORY */
dfal_status submit_estimate(struct submit *submit, const char *const *operands, int32_t count);
/* Fill in the job files. */
dfal_status submit_write(struct submit *submit, const char *const *operands, int32_t count);
void submit_clear(struct submit *submit);

/* The option of a command by that name, or NULL. */
const struct option *find_command_option(const struct command *command, const char *name);
/* --shard or --trial of a command that has parts, else NULL. */
const struct option *find_part_option(const struct command *command);
dfal_status submit_no_memory(void);

#endif
