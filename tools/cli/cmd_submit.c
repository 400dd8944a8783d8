/* SPDX-License-Identifier: Apache-2.0 */
/* dfal submit: a command as a Slurm job. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_script.h"
#include "print.h"
#include "sbatch.h"
#include "submit.h"

static void init(void *user)
{
    struct submit_args *args = user;
    args->nodes = 1;
    args->max_restarts = -1;
}

/* The numbers that Slurm gave; 0: none. */
struct jobs {
    int64_t job, merge;
};

static json_t *job_or_null(int64_t job)
{
    return job > 0 ? json_integer(job) : json_null();
}

static dfal_status print_result(const struct submit *submit, const struct jobs *jobs)
{
    const bool array = submit->args->array > 0;
    if (submit->session->json)
        return print_json(OBJECT("job", job_or_null(jobs->job), "script", JSON(submit->script), "log",
                                 JSON(submit->log), "merge_job", job_or_null(jobs->merge), "merge_script",
                                 array ? JSON(submit->merge_script) : json_null()));
    if (submit->args->dry_run) {
        printf("%s%s", submit->text, array ? submit->merge_text : "");
        return DFAL_OK;
    }
    printf("job          %" PRId64 "\n", jobs->job);
    print_clean(stdout, "script       ", submit->script, "\n");
    print_clean(stdout, "log          ", submit->log, array ? ", %a is the number of the task\n" : "\n");
    if (array) {
        printf("merge job    %" PRId64 ", when all tasks have ended well\n", jobs->merge);
        print_clean(stdout, "its script   ", submit->merge_script, "\n");
        printf("watch        squeue -j %" PRId64 ",%" PRId64 "\n", jobs->job, jobs->merge);
    } else {
        printf("watch        squeue -j %" PRId64 "\n", jobs->job);
    }
    char *word = submit->out != NULL ? job_bash_word(submit->base) : NULL;
    if (word != NULL)
        print_clean(stdout, "             dfal status ", word, "\n");
    free(word);
    return DFAL_OK;
}

/* People see what they submit. */
static void show(const struct submit *submit, const char *text)
{
    if (!submit->session->quiet && strcmp(submit->session->log_format, "text") == 0)
        fputs(text, stderr);
}

static dfal_status hand_over(const struct submit *submit, struct jobs *jobs)
{
    const bool array = submit->args->array > 0;
    dfal_status status = job_script_save(submit->script, submit->text);
    if (status == DFAL_OK && array)
        status = job_script_save(submit->merge_script, submit->merge_text);
    if (status != DFAL_OK)
        return status;
    show(submit, submit->text);
    status = sbatch(&jobs->job, submit->script, 0);
    if (status != DFAL_OK || !array)
        return status;
    show(submit, submit->merge_text);
    status = sbatch(&jobs->merge, submit->merge_script, jobs->job);
    if (status != DFAL_OK)
        session_note(submit->session, "the array is job %" PRId64 " and runs without its merge", jobs->job);
    return status;
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct submit submit = {.session = session, .args = user};
    struct jobs jobs = {0};
    dfal_status status = submit_check(&submit, operands, count);
    if (status == DFAL_OK)
        status = submit_estimate(&submit, operands, count);
    if (status == DFAL_OK)
        status = submit_write(&submit, operands, count);
    if (status == DFAL_OK && !submit.args->dry_run)
        status = hand_over(&submit, &jobs);
    if (status == DFAL_OK)
        status = print_result(&submit, &jobs);
    submit_clear(&submit);
    return status;
}

#define S struct submit_args
static const struct option options[] = {
    OPT(S, "nodes", 0, VALUE_NUMBER, nodes, "N",
        "nodes (default 1); several have a rank for each GPU (--comm)", NUMBER(I32, 1, 65536)),
    OPT(S, "gpus", 0, VALUE_NUMBER, gpus, "N",
        "GPUs of each node; several on one node are --backend cuda:all (default none)", NUMBER(I32, 1, 1024)),
    OPT(S, "cpus", 0, VALUE_NUMBER, cpus, "N", "CPUs of each process (default: the cluster's)",
        NUMBER(I32, 1, 65536)),
    OPT(S, "mem", 0, VALUE_TEXT, mem, "SIZE", "memory of each node, as 64G (default: the cluster's)"),
    OPT(S, "time", 0, VALUE_TEXT, time, "LIMIT", "as 12:00:00 or 2-00:00:00 (default: the cluster's)"),
    OPT(S, "estimate", 0, VALUE_FLAG, estimate, NULL,
        "measure COMMAND on this machine for some seconds (score, run), and ask for twice that where --time "
        "or "
        "--mem is not given"),
    OPT(S, "partition", 0, VALUE_TEXT, partition, "NAME", "partition (default: the cluster's)"),
    OPT(S, "account", 0, VALUE_TEXT, account, "NAME",
        "whose time on the cluster is used, as sbatch --account (default: yours)"),
    OPT(S, "array", 0, VALUE_NUMBER, array, "N",
        "N independent jobs of a node each, every one with a part of the work, and a job that joins them",
        NUMBER(I32, 2, 1000000)),
    OPT(S, "container", 0, VALUE_TEXT, container, "IMAGE",
        "run in this image by Pyxis, or by Apptainer where the name ends in .sif"),
    OPT(S, "max-restarts", 0, VALUE_NUMBER, max_restarts, "N",
        "how often a job is requeued that was stopped (default 3; run 10, bench 0)", NUMBER(I32, 0, 1000)),
    OPT(S, "dry-run", 0, VALUE_FLAG, dry_run, NULL, "print the job files; write and submit nothing"),
};

const struct command command_submit = {
    .name = "submit",
    .operands = "COMMAND ARGUMENT...",
    .summary = "Run a command as a Slurm job",
    .text =
        "The options of submit stand before COMMAND, everything behind it is COMMAND's: dfal submit --gpus 4 "
        "score\n"
        "net.h5 pool.h5 -o scores.h5. Checks its words, that its inputs are there and that its output is not "
        "finished,\n"
        "writes OUT.sbatch beside the output, shows it, calls sbatch, and prints the number of the job and "
        "how "
        "to\n"
        "watch it. 'sbatch OUT.sbatch' submits it again, after a change, too. The log is OUT.log. A job that "
        "ends with\n"
        "exit code 75 is requeued and goes on. An array writes OUT.shards/K-of-N.h5 with logs OUT.K.log, "
        "and\n"
        "OUT.merge.sbatch joins them when all have ended well. A command without an output has its files "
        "here, "
        "as\n"
        "dfal-bench.sbatch. --json: {job, script, log, merge_job, merge_script}; null where there is none. "
        "docs/CLUSTER.md\n"
        "has the rest, and share/dfal/slurm the job files to fill in by hand.",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = -1,
    .size = sizeof(S),
    .init = init,
    .run = run,
    .at_once = true,
    .holds_command = true,
};
