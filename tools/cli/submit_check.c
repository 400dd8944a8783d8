/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a command can be a job: what would fail after hours in a queue is told before it is submitted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job_script.h"
#include "submit.h"

dfal_status submit_no_memory(void)
{
    return usage_error(DFAL_E_MEMORY, "out of memory while preparing a job");
}

/* ---- the command inside -------------------------------------------------------------------------------- */

const struct option *find_command_option(const struct command *command, const char *name)
{
    for (int32_t i = 0; i < command->option_count; i++)
        if (command->options[i].name != NULL && strcmp(command->options[i].name, name) == 0)
            return &command->options[i];
    return NULL;
}

const struct option *find_part_option(const struct command *command)
{
    const struct option *shard = find_command_option(command, "shard");
    return shard != NULL ? shard : find_command_option(command, "trial");
}

/* Global options in front of COMMAND are submit's, and most would do nothing there. */
static dfal_status check_globals(const struct session *session)
{
    static const char *const own[] = {"json", "quiet", "verbose", "log-format"};
    for (int32_t i = 0; i < session->given.count; i++) {
        const char *name = session->given.items[i];
        bool known = find_command_option(&command_submit, name) != NULL;
        for (int32_t k = 0; k < COUNT_OF(own); k++)
            known = known || strcmp(name, own[k]) == 0;
        if (!known)
            return usage_error(DFAL_E_USAGE, "--%s stands before the COMMAND of submit, expected it behind",
                               name);
    }
    return DFAL_OK;
}

/* On one node its GPUs are one process's, unless the words say otherwise: rows that one rank sends to the
 * others want one. */
static bool asks_for_ranks(const struct submit *submit)
{
    const struct option *feed = find_command_option(submit->parsed.command, "feed");
    if (is_given(&submit->inner, "comm") && strcmp(submit->inner.comm, "mpi") == 0)
        return true;
    if (feed == NULL || !is_given(&submit->inner, "feed"))
        return false;
    const void *field = (const char *)submit->parsed.args + feed->offset;
    return strcmp(*(const char *const *)field, "nccl") == 0;
}

/* What the words of COMMAND mean, by the tables that COMMAND itself is parsed with. */
static dfal_status parse_inside(struct submit *submit, const char *const *operands, int32_t count)
{
    char **argv = calloc((size_t)count + 2, sizeof *argv);
    if (argv == NULL)
        return submit_no_memory();
    memcpy(argv + 1, operands, (size_t)count * sizeof *argv);
    submit->inner.log_format = "text";
    dfal_context_options_init(&submit->inner.options);
    const dfal_status status = parse_arguments(&submit->parsed, &submit->inner, count + 1, argv);
    free(argv);
    const struct command *command = submit->parsed.command;
    if (status != DFAL_OK)
        return status;
    if (command == NULL)
        return usage_error(DFAL_E_USAGE, "submit needs the COMMAND of a job");
    if (strcmp(operands[0], command->name) != 0)
        return usage_error(DFAL_E_USAGE, "'%s' stands before %s, expected the COMMAND first", operands[0],
                           command->name);
    const struct option *output = find_command_option(command, "output");
    if (output != NULL)
        submit->out = *(const char *const *)(const void *)((char *)submit->parsed.args + output->offset);
    submit->ranks = submit->args->array == 0 && (submit->args->nodes > 1 || asks_for_ranks(submit));
    const struct option *part = find_part_option(command);
    submit->part_option = part != NULL ? part->name : NULL;
    return DFAL_OK;
}

static dfal_status check_array(const struct submit *submit)
{
    const struct command *command = submit->parsed.command;
    if (submit->args->nodes > 1)
        return usage_error(DFAL_E_USAGE, "--nodes is %d with --array, expected 1: a task has one node",
                           submit->args->nodes);
    if (submit->part_option == NULL)
        return usage_error(DFAL_E_USAGE,
                           "--array is %d, but %s has no --shard, expected a command with parts",
                           submit->args->array, command->name);
    if (submit->out == NULL)
        return usage_error(DFAL_E_USAGE, "--array is %d, but %s writes nothing here, expected -o",
                           submit->args->array, command->name);
    if (is_given(&submit->inner, submit->part_option))
        return usage_error(DFAL_E_USAGE, "--%s is given with --array, which gives each task its own",
                           submit->part_option);
    if (submit->inner.options.force)
        return usage_error(DFAL_E_USAGE, "--force is given with --array, expected the name of a new output");
    return is_given(&submit->inner, "range") ? check_rows(1, 1, submit->args->array) : DFAL_OK;
}

static dfal_status check_command(const struct submit *submit)
{
    const struct command *command = submit->parsed.command;
    const struct session *inner = &submit->inner;
    if (command->at_once)
        return usage_error(DFAL_E_USAGE, "%s answers at once, expected a COMMAND with work for a job",
                           command->name);
    if (inner->help || inner->version || inner->print_config || inner->help_markdown || inner->completion)
        return usage_error(DFAL_E_USAGE,
                           "%s is asked for help, a version or its configuration, expected work for a job",
                           command->name);
    if (submit->args->nodes > 1 && submit->args->array == 0 && !command->ranks)
        return usage_error(DFAL_E_USAGE, "--nodes is %d, but %s has no ranks (--comm), expected 1%s",
                           submit->args->nodes, command->name,
                           submit->part_option != NULL ? " or --array N" : "");
    if (submit->args->nodes > 1 && is_given(inner, "comm") && strcmp(inner->comm, "self") == 0)
        return usage_error(
            DFAL_E_USAGE,
            "--nodes is %d with --comm self, so each node would do the whole job, expected --comm "
            "mpi, or one node",
            submit->args->nodes);
    return submit->args->array > 0 ? check_array(submit) : DFAL_OK;
}

/* ---- what a line of a file can hold -------------------------------------------------------------------- */

/* Slurm's: MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, DAYS-HOURS and with :MINUTES and :SECONDS. */
static bool is_time(const char *text)
{
    static const char *const forms[] = {"#", "#:#", "#:#:#", "#-#", "#-#:#", "#-#:#:#"};
    char form[16];
    size_t used = 0;
    for (const char *at = text; *at != '\0' && used + 1 < sizeof form;) {
        const size_t digits = strspn(at, "0123456789");
        form[used++] = digits > 0 ? '#' : *at;
        at += digits > 0 ? digits : 1;
    }
    form[used] = '\0';
    for (int32_t i = 0; i < COUNT_OF(forms); i++)
        if (strcmp(form, forms[i]) == 0)
            return true;
    return strcasecmp(text, "UNLIMITED") == 0 || strcasecmp(text, "INFINITE") == 0;
}

static bool is_size(const char *text)
{
    const size_t digits = strspn(text, "0123456789");
    return digits > 0 && (text[digits] == '\0' || (strchr("KMGT", text[digits]) && text[digits + 1] == '\0'));
}

static dfal_status check_limits(const struct submit_args *args)
{
    if (args->time != NULL && !is_time(args->time))
        return usage_error(DFAL_E_USAGE, "--time is '%s', expected minutes, 12:00:00 or 2-00:00:00",
                           args->time);
    if (args->mem != NULL && !is_size(args->mem))
        return usage_error(DFAL_E_USAGE, "--mem is '%s', expected a number with K, M, G or T, as 64G",
                           args->mem);
    return DFAL_OK;
}

static dfal_status check_words(const struct submit *submit, const char *const *operands, int32_t count)
{
    const struct submit_args *args = submit->args;
    const char *const held[] = {submit->folder,  args->mem,     args->time,
                                args->partition, args->account, args->container};
    for (int32_t i = 0; i < count + COUNT_OF(held); i++) {
        const char *word = i < count ? operands[i] : held[i - count];
        if (word != NULL && !job_can_hold(word))
            return usage_error(DFAL_E_USAGE,
                               "'%s' has a line break or another control character, expected words that one "
                               "line of a job file can hold",
                               word);
    }
    if (submit->out != NULL && strchr(submit->out, '\\') != NULL)
        return usage_error(DFAL_E_USAGE,
                           "the output %s has a backslash, which Slurm does not take in the name of a log",
                           submit->out);
    return DFAL_OK;
}

static dfal_status name_base(struct submit *submit)
{
    if (submit->out == NULL ? asprintf(&submit->base, "dfal-%s", submit->parsed.command->name) < 0
                            : (submit->base = strdup(submit->out)) == NULL)
        return submit_no_memory();
    for (size_t n = strlen(submit->base); n > 1 && submit->base[n - 1] == '/'; n--)
        submit->base[n - 1] = '\0';
    return DFAL_OK;
}

/* ---- inputs -------------------------------------------------------------------------------------------- */

static void ignore_fact(void *user, const struct dfal_field *fact)
{
    (void)user;
    (void)fact;
}

/* What is in a file is for the job to see. A name that is no file may be a built-in network. */
static dfal_status check_input(struct submit *submit, const char *path)
{
    if (access(path, F_OK) != 0)
        return dfal_info(submit->session->context, path, ignore_fact, NULL);
    return submit->args->container != NULL ? job_mounts_add(&submit->mounts, path) : DFAL_OK;
}

static dfal_status check_inputs(struct submit *submit)
{
    const struct command *command = submit->parsed.command;
    dfal_status status = DFAL_OK;
    for (int32_t i = command->first_word; i < submit->parsed.operand_count && status == DFAL_OK; i++)
        status = check_input(submit, submit->parsed.operands[i]);
    for (int32_t i = 0; i < command->option_count && status == DFAL_OK; i++) {
        const struct option *option = &command->options[i];
        if (!option->reads) /* its field is no path, and may be no pointer */
            continue;
        const void *field = (const char *)submit->parsed.args + option->offset;
        const bool many = option->kind == VALUE_LIST;
        const char *const *items =
            many ? (const char *const *)((const struct text_list *)field)->items : field;
        const int32_t count =
            many ? ((const struct text_list *)field)->count : items != NULL && *items != NULL;
        for (int32_t k = 0; k < count && status == DFAL_OK; k++)
            status = check_input(submit, items[k]);
    }
    if (status == DFAL_OK && submit->inner.config != NULL)
        status = check_input(submit, submit->inner.config);
    return status;
}

static void hear_samples(void *user, const struct dfal_field *fact)
{
    if (strcmp(fact->key, "samples") == 0)
        *(int64_t *)user = fact->integer;
}

/* The last word is the pool whose rows an array of shards takes apart. */
static dfal_status check_parts(const struct submit *submit)
{
    const struct parsed *parsed = &submit->parsed;
    const int32_t parts = submit->args->array;
    int64_t samples = 0;
    if (parts == 0 || strcmp(submit->part_option, "shard") != 0)
        return DFAL_OK;
    const char *pool = parsed->operands[parsed->operand_count - 1];
    const dfal_status status = dfal_info(submit->session->context, pool, hear_samples, &samples);
    if (status == DFAL_OK && samples > 0 && samples < parts)
        return usage_error(DFAL_E_USAGE, "--array is %d, but %s has %lld rows, expected at most as many",
                           parts, pool, (long long)samples);
    return status;
}

/* What COMMAND itself can tell of its words. */
static dfal_status ask_command(struct submit *submit)
{
    const struct command *command = submit->parsed.command;
    if (command->check == NULL)
        return check_parts(submit);
    submit->inner.context = submit->session->context;
    const dfal_status status = command->check(&submit->inner, submit->parsed.args, submit->parsed.operands,
                                              submit->parsed.operand_count, submit->args->array);
    submit->inner.context = NULL;
    return status;
}

/* ---- outputs ------------------------------------------------------------------------------------------- */

static void hear_state(void *user, const struct dfal_field *fact)
{
    if (strcmp(fact->key, "state") == 0 && fact->text != NULL)
        *(bool *)user = strcmp(fact->text, "finished") == 0;
}

/* What is no output of dfal's is for the job to refuse. */
static bool is_finished(const struct submit *submit, const char *path)
{
    bool finished = false;
    return access(path, F_OK) == 0 &&
           dfal_progress(submit->session->context, path, hear_state, &finished) == DFAL_OK && finished;
}

/* Numbers as `sbatch --array` takes them: "1-3,7". */
static void add_numbers(FILE *to, int32_t first, int32_t last)
{
    fprintf(to, "%s%d", ftell(to) > 0 ? "," : "", first);
    if (last > first)
        fprintf(to, "-%d", last);
}

/* A task whose shard is finished would fail, and the merge would never begin; and whether that shard is of
 * the same network and pool, its name does not tell. */
static dfal_status check_shards(const struct submit *submit)
{
    enum { LIST_LIMIT = 1000 }; /* a message has room for that */
    const int32_t shards = submit->args->array;
    const char *ending = strcmp(submit->part_option, "shard") == 0 ? ".h5" : "";
    char *folder = NULL, *missing = NULL;
    size_t size = 0;
    int32_t finished = 0, first = 0; /* of those in a row that are missing; 0: none is */
    dfal_status status = DFAL_OK;
    FILE *to = open_memstream(&missing, &size);
    if (to == NULL || asprintf(&folder, "%s.shards", submit->base) < 0) {
        if (to != NULL)
            fclose(to);
        free(missing);
        return submit_no_memory();
    }
    for (int32_t k = 1; k <= shards; k++) {
        char *path = NULL;
        const bool made = asprintf(&path, "%s/%d-of-%d%s", folder, k, shards, ending) >= 0;
        const bool missing_one = !made || !is_finished(submit, path);
        if (made)
            free(path);
        finished += !missing_one;
        if (!missing_one && first > 0)
            add_numbers(to, first, k - 1);
        first = !missing_one ? 0 : first > 0 ? first : k;
    }
    if (first > 0)
        add_numbers(to, first, shards);
    fclose(to);
    if (finished == shards)
        status = usage_error(DFAL_E_EXISTS,
                             "%s has all %d shards, expected none: 'sbatch %s.merge.sbatch' joins them",
                             folder, shards, submit->base);
    else if (finished > 0)
        status = usage_error(DFAL_E_EXISTS,
                             "%s has %d of %d shards, expected none: 'sbatch --array=%s %s.sbatch' computes "
                             "the others%s, then 'sbatch %s.merge.sbatch' joins them all",
                             folder, finished, shards, size > LIST_LIMIT ? "NUMBERS" : missing, submit->base,
                             size > LIST_LIMIT ? " ('dfal status' tells the NUMBERS)" : "", submit->base);
    free(folder);
    free(missing);
    return status;
}

static dfal_status check_outputs(const struct submit *submit)
{
    if (submit->out == NULL || submit->inner.options.force)
        return DFAL_OK;
    if (is_finished(submit, submit->base))
        return usage_error(DFAL_E_EXISTS, "%s exists and is finished, expected a new output or --force",
                           submit->base);
    return submit->args->array > 0 ? check_shards(submit) : DFAL_OK;
}

dfal_status submit_check(struct submit *submit, const char *const *operands, int32_t count)
{
    dfal_status status = check_globals(submit->session);
    if (status == DFAL_OK)
        status = parse_inside(submit, operands, count);
    if (status == DFAL_OK)
        status = check_command(submit);
    if (status == DFAL_OK && getcwd(submit->folder, sizeof submit->folder) == NULL)
        status = usage_error(DFAL_E_IO, "the folder in which submit was called has no name");
    if (status == DFAL_OK)
        status = check_words(submit, operands, count);
    if (status == DFAL_OK)
        status = check_limits(submit->args);
    if (status == DFAL_OK)
        status = name_base(submit);
    if (status == DFAL_OK && submit->args->container != NULL)
        status = job_mounts_add_folder(&submit->mounts, submit->folder);
    if (status == DFAL_OK && submit->args->container != NULL)
        status = job_mounts_add(&submit->mounts, submit->base);
    if (status == DFAL_OK)
        status = check_inputs(submit);
    if (status == DFAL_OK)
        status = ask_command(submit);
    return status == DFAL_OK ? check_outputs(submit) : status;
}
