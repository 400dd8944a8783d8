/* SPDX-License-Identifier: Apache-2.0 */
/* One invocation: signals, the context, and what stderr shows of the library's events. */
#include "command.h"
#include "print.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

/* A signal handler can reach nothing but static storage. */
static dfal_context *volatile signal_context;
static volatile sig_atomic_t signal_seen;

/* How events are shown. A plain line every LINE_SECONDS where stderr is a file. */
enum { LINE_SECONDS = 30 };
struct log {
    struct session *session;
    bool terminal, json, colour, line_open;
    double last_line;
};

/* Other ranks have not come yet: there is nothing to finish and nothing to keep, and the same line goes on.
 * */
static void end_before_others(void)
{
    static const char text[] =
        "dfal: stopped by a signal before all ranks had begun: the same line begins again\n";
    const ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    _exit(dfal_status_exit_code(DFAL_E_STOPPED));
}

static void on_signal(int number)
{
    /* The second interrupt from a keyboard means it. */
    if (number == SIGINT && signal_seen == SIGINT) {
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
        return;
    }
    signal_seen = number;
    if (signal_context == NULL)
        return;
    dfal_context_stop_by(signal_context, number);
    if (dfal_context_is_joining(signal_context))
        end_before_others();
}

int session_signal(void)
{
    return signal_seen;
}

static double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static const char *level_name(dfal_level level)
{
    switch (level) {
    case DFAL_DEBUG:
        return "debug";
    case DFAL_PROGRESS:
        return "progress";
    case DFAL_WARNING:
        return "warning";
    case DFAL_INFO:
        break;
    }
    return "info";
}

static json_t *json_line(const char *level, const char *event, const char *text)
{
    char stamp[32];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &utc);
    return OBJECT("time", JSON(stamp), "level", JSON(level), "event", JSON(event), "text", JSON(text));
}

static void put_json(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9) | json_flags_for(stderr));
    if (text != NULL) {
        fprintf(stderr, "%s\n", text);
        free(text);
    }
    json_decref(line);
}

static void close_line(struct log *log)
{
    if (log->line_open)
        fputs("\r\033[K", stderr);
    log->line_open = false;
}

static void show_progress(struct log *log, const char *text)
{
    if (log->terminal) {
        struct winsize size;
        int width = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 10 ? size.ws_col - 1 : 79;
        fprintf(stderr, "\r\033[K%.*s", width, text);
        log->line_open = true;
    } else {
        fprintf(stderr, "%s\n", text);
    }
    fflush(stderr);
}

static void on_event(void *user, const struct dfal_event *event)
{
    struct log *log = user;
    const struct session *session = log->session;
    char sentence[SENTENCE_SIZE];
    if (session->hear != NULL)
        session->hear(session->hear_user, event);
    if (event->level == DFAL_DEBUG && !session->verbose)
        return;
    if (session->quiet && event->level != DFAL_WARNING)
        return;
    if (event->level == DFAL_PROGRESS && !log->terminal) {
        double now = clock_seconds();
        if (now - log->last_line < LINE_SECONDS)
            return;
        log->last_line = now;
    }
    if (log->json) {
        json_t *line = json_line(level_name(event->level), event->name, with_options(sentence, event->text));
        for (int32_t i = 0; i < event->field_count; i++)
            json_object_set_new(line, event->fields[i].key, field_json(&event->fields[i]));
        put_json(line);
        return;
    }
    if (event->level == DFAL_PROGRESS) {
        show_progress(log, event->text);
        return;
    }
    close_line(log);
    if (event->level == DFAL_WARNING)
        fprintf(stderr, "%swarning:%s %s\n", log->colour ? "\033[33m" : "", log->colour ? "\033[0m" : "",
                with_options(sentence, event->text));
    else
        fprintf(stderr, "%s\n", with_options(sentence, event->text));
}

void session_note(struct session *session, const char *format, ...)
{
    if (session->quiet || !is_speaker(session))
        return;
    char text[ERROR_TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    dfal_text_clean(text);
    const struct dfal_event event = {.level = DFAL_INFO, .name = "note", .text = text};
    on_event(session->log, &event);
}

void session_error(const struct session *session, dfal_status status, const char *said)
{
    char text[SENTENCE_SIZE];
    const char *sentence = with_options(text, said);
    if (session->log != NULL)
        close_line(session->log);
    if (strcmp(session->log_format, "json") == 0) {
        json_t *line = json_line("error", "error", sentence);
        json_object_set_new(line, "code", json_integer(dfal_status_exit_code(status)));
        put_json(line);
    } else {
        print_clean(stderr, "dfal: ", sentence, "\n");
    }
}

/* Threads where the user names none: no more than Slurm gave this task. */
static int32_t default_threads(void)
{
    const char *slurm = getenv("SLURM_CPUS_PER_TASK");
    int32_t cpus = dfal_cpu_count();
    if (slurm != NULL) {
        int64_t given;
        if (df_parse_whole(&given, slurm) && given >= 1 && given < cpus)
            return (int32_t)given;
    }
    return cpus;
}

dfal_status session_open(struct session *session, const char *command_line)
{
    const char *terminal = getenv("TERM"), *plain = getenv("NO_COLOR");
    session->log = calloc(1, sizeof(*session->log));
    if (session->log == NULL)
        return usage_error(DFAL_E_MEMORY, "out of memory at the start");
    session->log->session = session;
    session->log->json = strcmp(session->log_format, "json") == 0;
    session->log->terminal = isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0 &&
                             !session->quiet && !session->log->json;
    session->log->colour = session->log->terminal && (plain == NULL || plain[0] == '\0');
    session->log->last_line = clock_seconds();
    session->options.command_line = command_line;
    session->options.seed_given = is_given(session, "seed");
    session->options.event = on_event;
    session->options.event_user = session->log;
    if (!is_given(session, "threads"))
        session->options.threads = default_threads();
    dfal_status status = dfal_context_create(&session->context, &session->options);
    if (status != DFAL_OK)
        return status;
    signal_context = session->context;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    /* A terminal that is closed stops a command, but not one that was begun by nohup. */
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
    /* A write past ulimit -f is an error like a full disk, not a death that leaves temporaries. */
    signal(SIGXFSZ, SIG_IGN);
    return DFAL_OK;
}

void session_close(struct session *session)
{
    signal_context = NULL;
    if (session->log != NULL)
        close_line(session->log);
    dfal_context_destroy(session->context);
    session->context = NULL;
    free(session->log);
    session->log = NULL;
}
