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

#define AT(field)        offsetof(struct session, field)
#define OPTION_AT(field) (offsetof(struct session, options) + offsetof(struct dfal_context_options, field))

const struct option global_options[] = {
    {"backend", 0, VALUE_TEXT, OPTION_AT(backend), "auto|cpu|cuda[:N]|ref|check:A:B",
     "which back end computes; check:A:B runs both and reports the first difference (default auto)", 0, 0,
     false},
    {"isa", 0, VALUE_CHOICE, OPTION_AT(isa), DFAL_ISAS,
     "vector instructions of the cpu back end (default auto)", 0, 0, false},
    {"threads", 0, VALUE_I64, AT(threads), "N",
     "worker threads (default: the least of the affinity mask, SLURM_CPUS_PER_TASK and the cgroup's quota)",
     1, 4096, false},
    {"memory", 0, VALUE_SIZE, OPTION_AT(memory), "SIZE",
     "bytes for work space, with K, M or G (default: half of what is available)", 0, 0, false},
    {"seed", 0, VALUE_SEED, AT(options), "S", "seed of everything random (default 1)", 0, 0, false},
    {"force", 0, VALUE_FLAG, OPTION_AT(force), NULL, "replace a finished output", 0, 0, false},
    {"allow-mixed", 0, VALUE_FLAG, OPTION_AT(allow_mixed), NULL,
     "continue or merge work of another version, back end or ISA; recorded in the output", 0, 0, false},
    {"config", 0, VALUE_TEXT, AT(config), "FILE.yaml", "the configuration of run", 0, 0, false},
    {"set", 0, VALUE_LIST, AT(set), "KEY.PATH=VALUE", "one setting of run, over the file's (repeatable)", 0,
     0, false},
    {"print-config", 0, VALUE_FLAG, AT(print_config), NULL, "print run's effective configuration and stop", 0,
     0, false},
    {"json", 0, VALUE_FLAG, AT(json), NULL, "results as one JSON document on stdout", 0, 0, false},
    {"log-format", 0, VALUE_CHOICE, AT(log_format), "text|json",
     "events on stderr as text or as one JSON object a line (default text)", 0, 0, false},
    {"quiet", 'q', VALUE_FLAG, AT(quiet), NULL, "only warnings and errors on stderr", 0, 0, false},
    {"verbose", 'v', VALUE_FLAG, AT(verbose), NULL, "more on stderr", 0, 0, false},
    {"help", 'h', VALUE_FLAG, AT(help), NULL, "print help and stop", 0, 0, false},
    {"version", 0, VALUE_FLAG, AT(version), NULL, "print version, compiler and libraries and stop", 0, 0,
     false},
    {"help-markdown", 0, VALUE_FLAG, AT(help_markdown), NULL, "docs/CLI.md", 0, 0, true},
    {"help-completion", 0, VALUE_FLAG, AT(completion), NULL, "the completion for bash", 0, 0, true},
};
const int32_t global_option_count = COUNT_OF(global_options);

const struct command *const commands[] = {
    &command_synth,  &command_import, &command_info,   &command_doctor,
    &command_train,  &command_eval,   &command_logits, &command_score,
    &command_merge,  &command_select, &command_run,    &command_status,
    &command_verify, &command_bench,  &command_report, NULL,
};

static _Thread_local char usage_text[ERROR_TEXT_SIZE];

dfal_status usage_error(struct session *session, dfal_status status, const char *format, ...)
{
    (void)session;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(usage_text, sizeof(usage_text), format, arguments);
    va_end(arguments);
    return status;
}

dfal_status usage_unknown(struct session *session, const char *what, const char *word,
                          const char *const *names, int32_t count)
{
    (void)session;
    dfal_unknown_word(usage_text, sizeof(usage_text), what, word, NULL, names, count);
    return DFAL_E_USAGE;
}

const char *usage_error_text(void)
{
    return usage_text;
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
    dfal_status status = session_open(session, command_line);
    if (status == DFAL_OK)
        status = parsed->command->run(session, parsed->args, parsed->operands, parsed->operand_count);
    return status;
}

int dfal_main(int argc, char **argv)
{
    struct session session = {.log_format = "text"};
    struct parsed parsed = {0};
    bool kept = false;
    standard_begin();
    /* One heap for all threads: nothing is allocated in a hot loop, and memory that one thread returns serves
     * the next. */
    mallopt(M_ARENA_MAX, 1);
    dfal_context_options_init(&session.options);
    char *command_line = join(argc, argv);
    dfal_status status = parse_arguments(&parsed, &session, argc, argv);
    if (status != DFAL_OK) {
        session_error(&session, status, parsed.error);
    } else {
        status = run_command(&session, &parsed, command_line != NULL ? command_line : "");
        kept = session.context != NULL && dfal_context_kept_work(session.context);
        if (status == DFAL_E_STOPPED && usage_text[0] == '\0')
            usage_error(&session, status, "%s: %s", dfal_last_error(),
                        kept ? "the same line continues from the finished work"
                             : "nothing was finished yet, so nothing is kept");
        if (status != DFAL_OK)
            session_error(&session, status, usage_text[0] != '\0' ? usage_text : dfal_last_error());
    }
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
