/* SPDX-License-Identifier: Apache-2.0 */
/* The dfal command: global options, the table of commands, exit codes. */
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "print.h"
#include "standard.h"

#define S struct session
const struct option global_options[] = {
    OPT(S, "backend", 0, VALUE_TEXT, options.backend, "auto|cpu|cuda[:LIST]|ref|check:A:B",
        "which back end computes; LIST: 0, or GPUs that share the work, 0,1,2 or all; check:A:B runs both "
        "and "
        "reports the first difference (default auto)"),
    OPT(S, "isa", 0, VALUE_CHOICE, options.isa, DFAL_ISAS,
        "vector instructions of the cpu back end (default auto)"),
    OPT(S, "threads", 0, VALUE_NUMBER, options.threads, "N",
        "worker threads (default: the least of the affinity mask, SLURM_CPUS_PER_TASK and the cgroup's "
        "quota)",
        NUMBER(I32, 1, 4096)),
    OPT(S, "memory", 0, VALUE_NUMBER, options.memory, "SIZE",
        "bytes for work space, with K, M or G (default: half of what is available)", NUMBER(BYTES)),
    OPT(S, "seed", 0, VALUE_NUMBER, options.seed, "S", "seed of everything random (default 1)", NUMBER(U64)),
    OPT(S, "force", 0, VALUE_FLAG, options.force, NULL, "replace a finished output"),
    OPT(S, "allow-mixed", 0, VALUE_FLAG, options.allow_mixed, NULL,
        "continue or merge work of another version, back end or ISA, or share work among GPUs of several "
        "models; "
        "recorded in the output"),
    OPT(S, "comm", 0, VALUE_CHOICE, comm, "auto|self|mpi",
        "are several processes the ranks of one job? auto: as mpirun or srun --mpi=pmix has started them; "
        "self: each has a job of its own",
        .only = "score, logits, select, run, synth, import, train, eval, merge, report"),
    OPT(S, "config", 0, VALUE_TEXT, config, "FILE.yaml", "the configuration of run", .only = "run"),
    OPT(S, "set", 0, VALUE_LIST, set, "KEY.PATH=VALUE", "one setting of run, over the file's (repeatable)",
        .only = "run"),
    OPT(S, "print-config", 0, VALUE_FLAG, print_config, NULL, "print run's effective configuration and stop",
        .only = "run"),
    OPT(S, "json", 0, VALUE_FLAG, json, NULL, "results as one JSON document on stdout"),
    OPT(S, "log-format", 0, VALUE_CHOICE, log_format, "text|json",
        "events on stderr as text or as one JSON object a line (default text)"),
    OPT(S, "quiet", 'q', VALUE_FLAG, quiet, NULL, "only warnings and errors on stderr"),
    OPT(S, "verbose", 'v', VALUE_FLAG, verbose, NULL, "more on stderr"),
    OPT(S, "help", 'h', VALUE_FLAG, help, NULL, "print help and stop"),
    OPT(S, "version", 0, VALUE_FLAG, version, NULL, "print version, compiler and libraries and stop"),
    OPT(S, "help-markdown", 0, VALUE_FLAG, help_markdown, NULL, "docs/CLI.md", .hidden = true),
    OPT(S, "help-completion", 0, VALUE_FLAG, completion, NULL, "the completion for bash", .hidden = true),
};
const int32_t global_option_count = COUNT_OF(global_options);

const struct command *const commands[] = {
    &command_synth,  &command_import, &command_info,  &command_doctor, &command_train, &command_eval,
    &command_logits, &command_score,  &command_merge, &command_select, &command_run,   &command_status,
    &command_submit, &command_verify, &command_bench, &command_report, NULL,
};

static _Thread_local char usage_text[ERROR_TEXT_SIZE];

dfal_status usage_error(dfal_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(usage_text, sizeof(usage_text), format, arguments);
    va_end(arguments);
    return status;
}

dfal_status usage_unknown(const char *before, const char *what, const char *word, const char *expected,
                          const char *const *names, int32_t count)
{
    char text[ERROR_TEXT_SIZE];
    dfal_unknown_word(text, sizeof(text), what, word, expected, names, count);
    return usage_error(DFAL_E_USAGE, "%.100s%s%.900s", before, before[0] != '\0' ? ": " : "", text);
}

/* The command line as it is recorded in outputs: words joined by blanks. */
static char *join(int argc, char **argv)
{
    size_t size = 1;
    for (int i = 0; i < argc; i++)
        size += strlen(argv[i]) + 1;
    char *text = calloc(1, size);
    if (text == NULL)
        return NULL;
    char *end = text;
    for (int i = 0; i < argc; i++) {
        if (i > 0)
            *end++ = ' ';
        end = stpcpy(end, i == 0 ? "dfal" : argv[i]);
    }
    return text;
}

static void print_version_fact(void *user, const struct dfal_field *fact)
{
    bool *done = user;
    if (strcmp(fact->key, "version") == 0)
        printf("dfal %s\n", fact->text);
    else if (!*done && fact->kind == DFAL_FIELD_TEXT && strncmp(fact->key, "cpu", 3) != 0)
        printf("%-12s %s\n", fact->key, fact->text);
    else
        *done = true;
}

static dfal_status print_version(struct session *session)
{
    bool done = false;
    dfal_status status = session_open(session, "dfal --version");
    if (status == DFAL_OK)
        status = dfal_doctor(session->context, print_version_fact, &done);
    return done ? DFAL_OK : status; /* whether a back end works is not the question */
}

static dfal_status run_command(struct session *session, struct parsed *parsed, const char *command_line)
{
    if (session->help_markdown) {
        print_markdown();
        return DFAL_OK;
    }
    if (session->completion) {
        print_completion();
        return DFAL_OK;
    }
    if (session->help) {
        if (parsed->command != NULL)
            print_command_help(parsed->command);
        else
            print_overview();
        return DFAL_OK;
    }
    if (session->version)
        return print_version(session);
    dfal_status status = choose_ranks(session, parsed->command, parsed->args);
    if (status == DFAL_OK)
        status = session_open(session, command_line);
    if (status == DFAL_OK)
        status = parsed->command->run(session, parsed->args, parsed->operands, parsed->operand_count);
    return status;
}

int dfal_main(int argc, char **argv)
{
    struct session session = {.log_format = "text", .comm = "auto"};
    struct parsed parsed = {0};
    standard_begin();
    /* One heap for all threads: nothing is allocated in a hot loop, and memory that one thread returns serves
     * the next. */
    mallopt(M_ARENA_MAX, 1);
    dfal_context_options_init(&session.options);
    char *command_line = join(argc, argv);
    dfal_status status = parse_arguments(&parsed, &session, argc, argv);
    if (status == DFAL_OK)
        status = run_command(&session, &parsed, command_line != NULL ? command_line : "");
    const bool kept = session.context != NULL && dfal_context_kept_work(session.context);
    if (status == DFAL_E_STOPPED && usage_text[0] == '\0')
        usage_error(status, "%s: %s", dfal_last_error(),
                    kept ? "the same line continues from the finished work"
                         : "nothing was finished yet, so nothing is kept");
    if (status != DFAL_OK && !is_told_by_rank_0(&session, dfal_last_error()))
        session_error(&session, status, usage_text[0] != '\0' ? usage_text : dfal_last_error());
    int exit_code = dfal_status_exit_code(status);
    session_close(&session);
    parsed_clear(&parsed, &session);
    free(command_line);
    if (status == DFAL_E_STOPPED && !kept && session_signal() != 0) {
        die_by(session_signal());
        return 128 + session_signal();
    }
    if (!standard_end() && status == DFAL_OK) {
        session_error(&session, DFAL_E_IO, "the results could not be written to the standard output");
        exit_code = dfal_status_exit_code(DFAL_E_IO);
    }
    return exit_code;
}
