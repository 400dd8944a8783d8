/* SPDX-License-Identifier: Apache-2.0 */
#include "run/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"

/* ---- words ------------------------------------------------------------------------------------------------- */

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
        } else if (*at == '\\' && quote != '\'') {
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

/* ---- processes --------------------------------------------------------------------------------------------- */

/* Between fork and exec: nothing but calls that are safe after a fork of a process with threads. */
static void become(char *const *words, int log_fd, int report_fd, pid_t parent)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGPIPE, SIGXFSZ};
    sigset_t none;
    sigemptyset(&none);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null_fd = open("/dev/null", O_RDONLY);
    if (setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent && null_fd >= 0 &&
        dup2(null_fd, 0) >= 0 && dup2(log_fd, 1) >= 0 && dup2(log_fd, 2) >= 0)
        execvp(words[0], words);
    const int error = errno;
    (void)!write(report_fd, &error, sizeof error);
    _exit(127);
}

static dfal_status fail_start(const char *program, int error)
{
    DF_FAIL(DFAL_E_UNAVAILABLE, "%s cannot be started: %s", program, strerror(error));
}

static dfal_status start(pid_t *child, const struct df_words *words, int log_fd)
{
    int report[2], error = 0;
    const pid_t parent = getpid();
    if (pipe2(report, O_CLOEXEC))
        return fail_start(words->word[0], errno);
    *child = fork();
    if (*child == 0)
        become(words->word, log_fd, report[1], parent);
    const int fork_error = errno;
    close(report[1]);
    if (*child < 0) {
        close(report[0]);
        return fail_start(words->word[0], fork_error);
    }
    setpgid(*child, *child); /* whoever comes first */
    ssize_t got;
    do
        got = read(report[0], &error, sizeof error);
    while (got < 0 && errno == EINTR);
    close(report[0]);
    if (got != (ssize_t)sizeof error)
        return DFAL_OK;
    while (waitpid(*child, NULL, 0) < 0 && errno == EINTR)
        ;
    return fail_start(words->word[0], error);
}

dfal_status df_process_run(struct df_process_end *end, const struct dfal_context *context,
                           const struct df_words *words, int log_fd)
{
    static const struct timespec moment = {.tv_nsec = 20000000};
    siginfo_t info;
    pid_t child;
    int code = 0;
    *end = (struct df_process_end){.code = -1};
    DF_TRY(start(&child, words, log_fd));
    /* Seen dead but not yet reaped, its number, and so its group's, belongs to nobody else. */
    for (;;) {
        memset(&info, 0, sizeof info);
        if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child)
            break;
        if (!end->stopped && atomic_load(&context->stop)) {
            end->stopped = true;
            kill(-child, SIGTERM);
        }
        nanosleep(&moment, NULL);
    }
    kill(-child, SIGKILL);
    while (waitpid(child, &code, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(code))
        end->code = WEXITSTATUS(code);
    else
        end->signal = WTERMSIG(code);
    return DFAL_OK;
}
