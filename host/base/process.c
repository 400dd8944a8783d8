/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

/* ---- words --------------------------------------------------------------------------------------------- */

dfal_status df_words_add(struct df_words *words, const char *word)
{
    DF_TRY(df_resize(&words->word, words->count ? (int64_t)words->count + 1 : 0, (int64_t)words->count + 2,
                     sizeof *words->word));
    DF_TRY(df_strdup(&words->word[words->count], word));
    words->count++;
    return DFAL_OK;
}

void df_words_clear(struct df_words *words)
{
    for (int32_t i = 0; i < words->count; i++)
        df_free(words->word[i]);
    df_free(words->word);
    *words = (struct df_words){0};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Copy one word to `out` (as long as the text at least); NULL: a quote or a backslash is left open. */
static const char *read_word(char *out, const char *at)
{
    char quote = 0;
    for (; *at && (quote || !is_blank(*at)); at++) {
        if (quote ? *at == quote : *at == '\'' || *at == '"') {
            quote = quote ? 0 : *at;
        } else if (*at == '\\' && (!quote || (quote == '"' && (at[1] == '"' || at[1] == '\\' || !at[1])))) {
            if (!*++at)
                return NULL;
            *out++ = *at;
        } else {
            *out++ = *at;
        }
    }
    *out = 0;
    return quote ? NULL : at;
}

dfal_status df_words_split(struct df_words *words, const char *text, dfal_status error)
{
    char *word = NULL;
    dfal_status status;
    *words = (struct df_words){0};
    DF_TRY(df_alloc(&word, (int64_t)strlen(text) + 1, 1));
    for (const char *at = text;;) {
        while (is_blank(*at))
            at++;
        if (!*at)
            break;
        at = read_word(word, at);
        if (!at) {
            status = df_fail(
                error,
                "the command '%s' has an open quote or ends in a backslash, expected words as a shell "
                "reads them",
                text);
            goto done;
        }
        DF_TRY_TO(done, status, df_words_add(words, word));
    }
    status =
        words->count
            ? DFAL_OK
            : df_fail(error, "the command '%s' has no words, expected a program and its arguments", text);
done:
    df_free(word);
    if (status != DFAL_OK)
        df_words_clear(words);
    return status;
}

/* ---- processes ----------------------------------------------------------------------------------------- */

/* Between dfal and the command stands a watcher: a child of dfal that starts the command and waits for it.
 * However dfal ends, its end of their line closes, and the watcher ends the command's whole group: a
 * parent-death signal alone would reach only the command itself, which is often a script around the program
 * that computes. Only the watcher, whose unreaped child keeps its number, sends signals to the group.
 *
 * From the fork on, nothing is called but what is safe after a fork of a process with threads. */
enum { MOMENT_MS = 20, GRACE_MS = 20000, SHORT_MOMENTS = 50 };

/* What comes back over the line, once. */
struct report {
    int failed; /* value: 1 errno, it was not started; 0 the wait status */
    int value;
};

static void tell(int line, int failed, int value)
{
    const struct report report = {failed, value};
    (void)!write(line, &report, sizeof report);
}

/* A command is no rank, even where the process that runs it is one: it would join the others, or, of dfal, be
 * refused as one of several that do the same. */
static void leave_ranks(void)
{
    static const char *const of_ranks[] = {"OMPI_", "PMIX_", "PMI_", "SLURM_STEP_NUM_TASKS="};
    char **kept = environ;
    for (char **variable = environ; variable != NULL && *variable != NULL; variable++) {
        bool own = true;
        for (size_t i = 0; i < sizeof of_ranks / sizeof *of_ranks; i++)
            own = own && strncmp(*variable, of_ranks[i], strlen(of_ranks[i])) != 0;
        if (own)
            *kept++ = *variable;
    }
    if (kept != NULL)
        *kept = NULL;
}

static void become(char *const *words, int line, pid_t watcher)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGPIPE, SIGXFSZ};
    sigset_t none;
    sigemptyset(&none);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_DFL);
    if (setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == watcher) {
        sigprocmask(SIG_SETMASK, &none, NULL);
        leave_ranks();
        execvp(words[0], words);
    }
    tell(line, 1, errno);
    _exit(127);
}

/* Of dfal's files the log stays, as both outputs, and the line: a lock or a pipe of a dead dfal is not to be
 * held. */
static int take_files(int line, int log_fd)
{
    line = df_descriptor(line);
    log_fd = df_descriptor(log_fd);
    const int null_fd = df_descriptor(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (line < 0 || log_fd < 0 || null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 ||
        dup2(log_fd, 2) < 0)
        return -1;
    if (line > 3)
        (void)close_range(3, (unsigned)line - 1, 0);
    (void)close_range((unsigned)line + 1, ~0U, 0);
    return line;
}

/* Seen dead but not yet reaped, its number, and so its group's, belongs to nobody else. */
static bool has_ended(pid_t child)
{
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
}

static void watch(char *const *words, int given_line, int log_fd)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_DFL);
    setpgid(0, 0); /* what ends dfal's group is not to end this */
    const int line = take_files(given_line, log_fd);
    const pid_t watcher = getpid(), child = line < 0 ? -1 : fork();
    if (child == 0)
        become(words, line, watcher);
    if (child < 0) {
        tell(line < 0 ? given_line : line, 1, errno);
        _exit(127);
    }
    setpgid(child, child); /* whoever comes first */
    dup2(0, 1);            /* the log belongs to the command */
    dup2(0, 2);
    struct pollfd poll_line = {.fd = line, .events = POLLIN};
    int left = GRACE_MS / MOMENT_MS, status = 0;
    int young = SHORT_MOMENTS; /* a command of a few milliseconds is not to last a whole moment */
    bool stopped = false;
    while (!has_ended(child)) {
        unsigned char number;
        if (poll(&poll_line, 1, young > 0 ? 1 : MOMENT_MS) > 0) {
            stopped = true;
            if (read(line, &number, 1) == 1) {
                kill(-child, number);
            } else { /* dfal is dead */
                kill(-child, SIGTERM);
                poll_line.fd = -1;
                young = 0;
            }
        }
        young -= young > 0;
        if (poll_line.fd < 0 && --left == 0)
            kill(-child, SIGKILL);
    }
    if (!stopped)
        kill(-child, SIGKILL);
    waitpid(child, &status, 0);
    /* A script dies of a signal at once; what it has called may still be writing its checkpoint. */
    while (stopped && kill(-child, 0) == 0 && left-- > 0)
        poll(NULL, 0, MOMENT_MS);
    if (stopped)
        kill(-child, SIGKILL);
    tell(line, 0, status);
    _exit(0);
}

static dfal_status fail_start(const char *program, int error)
{
    DF_FAIL(DFAL_E_UNAVAILABLE, "%s cannot be started: %s", program, strerror(error));
}

dfal_status df_process_run(struct df_process_end *end, const struct dfal_context *context,
                           const struct df_words *words, double seconds, int log_fd)
{
    const char *program = words->word[0];
    struct report report;
    int line[2];
    *end = (struct df_process_end){.code = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line))
        return fail_start(program, errno);
    for (int side = 0; side < 2; side++)
        line[side] = df_descriptor(line[side]);
    if (line[0] < 0 || line[1] < 0) {
        const int error = errno;
        for (int side = 0; side < 2; side++)
            if (line[side] >= 0)
                close(line[side]);
        return fail_start(program, error);
    }
    const pid_t watcher = fork();
    const int fork_error = errno;
    if (watcher == 0) {
        close(line[0]);
        watch(words->word, line[1], log_fd);
    }
    close(line[1]);
    if (watcher < 0) {
        close(line[0]);
        return fail_start(program, fork_error);
    }
    struct pollfd poll_line = {.fd = line[0], .events = POLLIN};
    const double end_of_patience = df_clock() + seconds;
    for (int told = 0; poll(&poll_line, 1, 5 * MOMENT_MS) <= 0;) {
        end->expired |= seconds > 0 && df_clock() > end_of_patience;
        const int stop = end->expired ? SIGKILL : df_context_stop_signal(context);
        const unsigned char number = (unsigned char)stop;
        if (stop != told && send(line[0], &number, 1, MSG_NOSIGNAL) == 1)
            end->stopped |= !end->expired;
        told = stop;
    }
    const ssize_t got = recv(line[0], &report, sizeof report, MSG_WAITALL);
    close(line[0]);
    while (waitpid(watcher, NULL, 0) < 0 && errno == EINTR)
        ;
    if (got != (ssize_t)sizeof report)
        DF_FAIL(DFAL_E_UNAVAILABLE, "%s: the process that watched over it was killed, and it with that",
                program);
    if (report.failed)
        return fail_start(program, report.value);
    if (WIFEXITED(report.value))
        end->code = WEXITSTATUS(report.value);
    else
        end->signal = WTERMSIG(report.value);
    return DFAL_OK;
}
