/* SPDX-License-Identifier: Apache-2.0 */
/* The job files of a submission: what goes into which line of a template. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job_script.h"
#include "submit.h"

static dfal_status add_word(struct text_list *list, const char *word)
{
    const char **items = realloc(list->items, (size_t)(list->count + 1) * sizeof *items);
    if (items == NULL)
        return submit_no_memory();
    items[list->count++] = word;
    list->items = items;
    return DFAL_OK;
}

/* How many words -o takes from this one on; 0: it is another. */
static int32_t output_words(const char *word)
{
    if (strcmp(word, "-o") == 0 || strcmp(word, "--output") == 0)
        return 2;
    return strncmp(word, "--output=", 9) == 0 || strncmp(word, "-o", 2) == 0 ? 1 : 0;
}

/* COMMAND, what submit adds to it, and its arguments as they were given; of an array without the output,
 * since each task has its own. */
static dfal_status make_words(struct submit *submit, const char *const *operands, int32_t count)
{
    const struct submit_args *args = submit->args;
    bool may_be_option = true;
    dfal_status status = add_word(&submit->words, operands[0]);
    if (status == DFAL_OK && args->gpus > 1 && !submit->ranks && !is_given(&submit->inner, "backend"))
        status = add_word(&submit->words, "--backend=cuda:all");
    if (status == DFAL_OK && submit->ranks && !is_given(&submit->inner, "comm"))
        status = add_word(&submit->words, "--comm=mpi");
    for (int32_t i = 1; i < count && status == DFAL_OK; i++) {
        const int32_t left_out = may_be_option && args->array > 0 ? output_words(operands[i]) : 0;
        may_be_option = may_be_option && strcmp(operands[i], "--") != 0;
        if (left_out == 0)
            status = add_word(&submit->words, operands[i]);
        else
            i += left_out - 1;
    }
    return status;
}

/* The program for bash: this one, or the container's. */
static char *program(const struct submit *submit)
{
    char path[4096];
    if (submit->args->container != NULL)
        return strdup("dfal");
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    return job_bash_word(path);
}

/* ---- lines --------------------------------------------------------------------------------------------- */

static void set_text(struct job_settings *settings, const char *key, const char *text)
{
    if (text != NULL)
        job_take(settings, key, job_sbatch_value(text));
}

static void set_number(struct job_settings *settings, const char *key, int32_t number)
{
    if (number > 0)
        job_set(settings, key, "%d", number);
}

static void set_launcher(struct job_settings *settings, const struct submit *submit, bool ranks,
                         bool with_gpus)
{
    const struct submit_args *args = submit->args;
    const char *ending = args->container != NULL ? strrchr(args->container, '.') : NULL;
    const bool apptainer = ending != NULL && strcmp(ending, ".sif") == 0;
    const char *more = !ranks      ? ""
                       : with_gpus ? " --mpi=pmix --kill-on-bad-exit=1 --gpus-per-task=1"
                                   : " --mpi=pmix --kill-on-bad-exit=1";
    if (args->container == NULL) {
        job_set(settings, "launcher", "(srun%s)", more);
        return;
    }
    char *image = job_bash_word(args->container), *folder = job_bash_word(submit->folder),
         *mounts = job_mounts_word(&submit->mounts, !apptainer);
    if (image == NULL || folder == NULL || mounts == NULL) {
        job_take(settings, "launcher", NULL);
    } else if (apptainer) {
        job_set(settings, "launcher", "(srun%s)", more);
        job_set(settings, "container", "(apptainer exec%s --bind %s --pwd %s %s)", with_gpus ? " --nv" : "",
                mounts, folder, image);
    } else {
        job_set(settings, "launcher",
                "(srun%s --container-image=%s --container-mounts=%s --container-workdir=%s)", more, image,
                mounts, folder);
    }
    free(image);
    free(folder);
    free(mounts);
}

/* An option, or what was measured; NULL: neither. */
static const char *given_or(const char *given, const char *measured)
{
    return given != NULL || measured[0] == '\0' ? given : measured;
}

/* What a job and its merge have in common. */
static void set_common(struct job_settings *settings, const struct submit *submit, const char *name,
                       const char *log_ending)
{
    const struct submit_args *args = submit->args;
    job_set(settings, "--job-name", "dfal-%s", name);
    job_take(settings, "--output", job_log_value(submit->base, log_ending));
    set_text(settings, "--chdir", submit->folder);
    set_text(settings, "--time", given_or(args->time, submit->time));
    set_text(settings, "--partition", args->partition);
    set_text(settings, "--account", args->account);
    if (args->max_restarts >= 0)
        job_set(settings, "max_restarts", "%d", args->max_restarts);
    if (args->array > 0) {
        job_set(settings, "shards", "%d", args->array);
        job_take(settings, "out", job_bash_word(submit->base));
        job_set(settings, "ending", "%s", strcmp(submit->part_option, "shard") == 0 ? ".h5" : "");
    }
}

static void set_command(struct job_settings *settings, const struct submit *submit)
{
    char part[64] = "", *first = program(submit);
    if (submit->args->array > 0)
        snprintf(part, sizeof part, " --%s \"$task/$shards\" -o \"$part\"", submit->part_option);
    char *words = first != NULL ? job_bash_line(first, submit->words.items, submit->words.count, part) : NULL;
    if (words != NULL)
        job_set(settings, "command", "(%s)", words);
    else
        job_take(settings, "command", NULL);
    free(first);
    free(words);
}

static dfal_status write_job(struct submit *submit, const char *line)
{
    const struct submit_args *args = submit->args;
    const char *name = submit->parsed.command->name;
    const bool array = args->array > 0, ranks = submit->ranks;
    const bool own = strcmp(name, "run") == 0 || strcmp(name, "bench") == 0; /* else as a score */
    struct job_settings settings = {0};
    set_common(&settings, submit, name, array ? ".%a.log" : ".log");
    set_launcher(&settings, submit, ranks, args->gpus > 0);
    set_command(&settings, submit);
    set_number(&settings, "--nodes", args->nodes);
    set_number(&settings, "--ntasks-per-node", ranks && args->gpus > 0 ? args->gpus : 1);
    set_number(&settings, "--gpus-per-node", args->gpus);
    set_number(&settings, "--cpus-per-task", args->cpus);
    set_text(&settings, "--mem", given_or(args->mem, submit->mem));
    if (array)
        job_set(&settings, "--array", "1-%d", args->array);
    const dfal_status status =
        job_script_fill(&submit->text, array ? "score-array" : (own ? name : "score"), line, &settings);
    job_settings_clear(&settings);
    return status;
}

static dfal_status write_merge(struct submit *submit, const char *line)
{
    struct job_settings settings = {0};
    char *first = program(submit);
    set_common(&settings, submit, "merge", ".log");
    set_launcher(&settings, submit, false, false);
    if (first != NULL)
        job_set(&settings, "command", "(%s merge -o \"$out\" \"${parts[@]}\")", first);
    else
        job_take(&settings, "command", NULL);
    free(first);
    const dfal_status status = job_script_fill(&submit->merge_text, "merge", line, &settings);
    job_settings_clear(&settings);
    return status;
}

dfal_status submit_write(struct submit *submit, const char *const *operands, int32_t count)
{
    char *line = job_bash_line("dfal submit ... --", operands, count, "");
    dfal_status status = line != NULL ? make_words(submit, operands, count) : submit_no_memory();
    if (status == DFAL_OK &&
        (asprintf(&submit->script, "%s.sbatch", submit->base) < 0 ||
         asprintf(&submit->merge_script, "%s.merge.sbatch", submit->base) < 0 ||
         asprintf(&submit->log, "%s%s.log", submit->base, submit->args->array > 0 ? ".%a" : "") < 0))
        status = submit_no_memory();
    if (status == DFAL_OK)
        status = write_job(submit, line);
    if (status == DFAL_OK && submit->args->array > 0)
        status = write_merge(submit, line);
    free(line);
    return status;
}

void submit_clear(struct submit *submit)
{
    char *const texts[] = {submit->base, submit->script,       submit->log,
                           submit->text, submit->merge_script, submit->merge_text};
    for (int32_t i = 0; i < COUNT_OF(texts); i++)
        free(texts[i]);
    free(submit->words.items);
    job_mounts_clear(&submit->mounts);
    parsed_clear(&submit->parsed, &submit->inner);
}
