/* SPDX-License-Identifier: Apache-2.0 */
/* What a job asks for, from what COMMAND measures of itself here: it is run with --estimate. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "print.h"
#include "submit.h"

/* Asked for is twice what was measured, for a node that is slower or busy, and not less than this. */
static const double margin = 2, least_seconds = 600, step_seconds = 300, least_gigabytes = 2;

enum { ANSWER_BYTES = 1 << 16 };

static double number_of(const json_t *answer, const char *key)
{
    return json_number_value(json_object_get(answer, key));
}

static bool need_gpu(const struct submit *submit)
{
    return submit->args->gpus > 0 && !is_given(&submit->inner, "backend");
}

/* What COMMAND said on stderr: shown where it ended well; else its last sentence goes into `why`. */
static void pass_on(FILE *said, bool well, char *why, size_t size)
{
    char line[SENTENCE_SIZE];
    rewind(said);
    while (fgets(line, sizeof line, said) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (well)
            fprintf(stderr, "%s\n", line);
        else if (strncmp(line, "dfal: ", 6) == 0)
            snprintf(why, size, "%.*s", (int)size - 1, line + 6);
    }
}

/* words: COMMAND --estimate --json, with its own words. *answer: for json_decref; NULL: `why` tells. */
static void ask(json_t **answer, char *why, size_t size, char *const *words)
{
    char *text = malloc(ANSWER_BYTES);
    FILE *said = tmpfile();
    int ended = 0;
    const int error =
        text != NULL && said != NULL ? child_output(words, text, ANSWER_BYTES, fileno(said), &ended) : errno;
    snprintf(why, size, "%s", strerror(error));
    if (error == 0) {
        child_ended(why, size, words[1], ended);
        pass_on(said, why[0] == '\0', why, size);
        *answer = why[0] == '\0' ? json_loads(text, 0, NULL) : NULL;
    }
    if (said != NULL)
        fclose(said);
    free(text);
}

static dfal_status measure(json_t **answer, const struct submit *submit, const char *const *operands,
                           int32_t count)
{
    const char **words = calloc((size_t)count + 8, sizeof *words);
    char why[SENTENCE_SIZE];
    int32_t used = 0;
    *answer = NULL;
    if (words == NULL)
        return submit_no_memory();
    words[used++] = "/proc/self/exe";
    words[used++] = operands[0];
    words[used++] = "--estimate";
    words[used++] = "--json";
    words[used++] = "--quiet";
    if (need_gpu(submit))
        words[used++] = "--backend=cuda";
    memcpy(words + used, operands + 1, ((size_t)count - 1) * sizeof *words);
    ask(answer, why, sizeof why, (char *const *)words);
    free(words);
    if (*answer != NULL)
        return DFAL_OK;
    return usage_error(
        DFAL_E_UNAVAILABLE,
        "--estimate measures on this machine: %s; expected --time and --mem, or a machine like the "
        "job's: srun %s... dfal %s ... --estimate",
        why[0] != '\0' ? why : "it told nothing", need_gpu(submit) ? "--gpus=1 " : "", operands[0]);
}

/* What is measured is one process on one GPU, or on this machine's CPUs. */
static double parts_of(const struct submit_args *args)
{
    const int32_t nodes = args->array > 0 ? args->array : args->nodes;
    return (double)nodes * (args->gpus > 1 ? args->gpus : 1);
}

static void time_text(char *text, size_t size, double seconds)
{
    const int64_t minutes = (int64_t)(ceil(fmax(seconds, least_seconds) / step_seconds) * step_seconds / 60);
    const int64_t days = minutes / 1440;
    if (days > 0)
        snprintf(text, size, "%" PRId64 "-%02" PRId64 ":%02" PRId64 ":00", days, minutes / 60 % 24,
                 minutes % 60);
    else
        snprintf(text, size, "%02" PRId64 ":%02" PRId64 ":00", minutes / 60, minutes % 60);
}

dfal_status submit_estimate(struct submit *submit, const char *const *operands, int32_t count)
{
    const struct submit_args *args = submit->args;
    const struct command *command = submit->parsed.command;
    json_t *answer;
    char told[64];
    if (!args->estimate || (args->time != NULL && args->mem != NULL))
        return DFAL_OK;
    if (find_command_option(command, "estimate") == NULL)
        return usage_error(DFAL_E_USAGE, "--estimate is given, but %s has none, expected --time and --mem",
                           command->name);
    const dfal_status status = measure(&answer, submit, operands, count);
    if (status != DFAL_OK)
        return status;
    const double seconds = number_of(answer, "seconds"),
                 ranks = submit->ranks && args->gpus > 1 ? args->gpus : 1,
                 bytes = fmax(number_of(answer, "memory_bytes"), number_of(answer, "peak_memory_bytes"));
    json_decref(answer);
    time_text(submit->time, sizeof submit->time, margin * seconds / parts_of(args));
    snprintf(submit->mem, sizeof submit->mem, "%.0fG",
             fmax(ceil(margin * ranks * bytes / 1073741824.0), least_gigabytes));
    session_note(submit->session,
                 "%s takes about %s here, in one process, and %.0f MiB: asked for are %s and %s",
                 command->name, duration(told, seconds), bytes / 1048576.0,
                 args->time != NULL ? args->time : submit->time, args->mem != NULL ? args->mem : submit->mem);
    return DFAL_OK;
}
