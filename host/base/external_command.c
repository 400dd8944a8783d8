/* SPDX-License-Identifier: Apache-2.0 */
#include "base/external_command.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

enum { EXIT_STOPPED = 75, TAIL_BYTES = 480, PATIENCE_SECONDS = 30 };

dfal_status df_external_command_words(struct df_words *words, const char *command,
                                      const struct df_command_option *options, int32_t count)
{
    DF_TRY(df_words_split(words, command, DFAL_E_USAGE));
    for (int32_t i = 0; i < count; i++)
        if (options[i].value) {
            DF_TRY(df_words_add(words, options[i].name));
            DF_TRY(df_words_add(words, options[i].value));
        }
    return DFAL_OK;
}

void df_external_command_seed(char text[DF_COMMAND_SEED], uint64_t seed)
{
    snprintf(text, DF_COMMAND_SEED, "%llu", (unsigned long long)(seed & 0x7fffffffU));
}

/* ---- the log ------------------------------------------------------------------------------------------- */

dfal_status df_external_command_begin(struct df_external_command *call)
{
    static const struct timespec moment = {.tv_nsec = 100000000};
    char now[32];
    call->log = df_file_make(AT_FDCWD, call->log_path, O_WRONLY | O_APPEND);
    if (call->log < 0)
        return df_fail_errno(errno, true, call->log_path, "opening");
    for (const double begin = df_clock(); !df_file_lock(call->log); nanosleep(&moment, NULL)) {
        if (errno != EWOULDBLOCK)
            break; /* a file system without locks: nobody can tell whether an earlier start still runs */
        DF_TRY(df_context_check_stop(call->context));
        if (df_clock() - begin > PATIENCE_SECONDS)
            DF_FAIL(DFAL_E_EXISTS,
                    "%s: the %s of an earlier start still runs, expected it to be stopped first",
                    call->log_path, call->what);
    }
    df_time_iso(now);
    struct df_text text = {0};
    char *line = NULL;
    df_text_add(&text, "--- %s", now);
    for (int32_t i = 0; i < call->words.count; i++)
        df_text_add(&text, " %s", call->words.word[i]);
    DF_TRY(df_text_take(&text, &line));
    dfal_text_clean(line);
    dprintf(call->log, "%s\n", line);
    df_free(line);
    call->log_begin = lseek(call->log, 0, SEEK_END);
    return DFAL_OK;
}

void df_external_command_end(struct df_external_command *call)
{
    if (call->log >= 0)
        close(call->log);
    df_words_clear(&call->words);
    *call = DF_EXTERNAL_COMMAND_NONE;
}

void df_external_command_output(const struct df_external_command *call, char *text, size_t size)
{
    ssize_t got = 0;
    const int fd = open(call->log_path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        got = pread(fd, text, size - 1, call->log_begin);
        close(fd);
    }
    text[got > 0 ? got : 0] = 0;
}

/* The last lines that this call has printed as one: line ends become " | ", other control bytes blanks. */
static void read_tail(char text[2 * TAIL_BYTES], const struct df_external_command *call)
{
    char bytes[TAIL_BYTES];
    struct stat info;
    size_t used = 0;
    ssize_t got = 0;
    text[0] = 0;
    int fd = open(call->log_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!fstat(fd, &info)) {
        const int64_t last = info.st_size - TAIL_BYTES;
        got = pread(fd, bytes, TAIL_BYTES, last > call->log_begin ? last : call->log_begin);
    }
    close(fd);
    while (got > 0 && (unsigned char)bytes[got - 1] <= ' ')
        got--;
    for (ssize_t i = 0; i < got && used + 4 < 2 * TAIL_BYTES; i++) {
        if (bytes[i] == '\n')
            used += (size_t)snprintf(text + used, 4, " | ");
        else
            text[used++] = (char)((unsigned char)bytes[i] < ' ' || bytes[i] == 127 ? ' ' : bytes[i]);
    }
    text[used] = 0;
    if (!used)
        snprintf(text, 2 * TAIL_BYTES, "nothing");
}

/* What stands in front of the last lines. */
static const char *where(const struct df_external_command *call)
{
    return call->log_goes ? "it" : call->log_path;
}

/* ---- its end ------------------------------------------------------------------------------------------- */

static dfal_status judge(const struct df_external_command *call, const struct df_process_end *end)
{
    char tail[2 * TAIL_BYTES], how[64];
    if (end->code == 0)
        return DFAL_OK;
    if (end->code == EXIT_STOPPED)
        call->context->kept_work = true;
    if (end->code == EXIT_STOPPED || end->stopped)
        DF_FAIL(DFAL_E_STOPPED, "the %s '%.200s' was stopped", call->what, call->command);
    read_tail(tail, call);
    if (end->signal)
        snprintf(how, sizeof how, "died by signal %d (%s)", end->signal, strsignal(end->signal));
    else
        snprintf(how, sizeof how, "ended with exit code %d", end->code);
    DF_FAIL(DFAL_E_UNAVAILABLE, "the %s '%.200s' %s, expected 0; %s ends with: %s", call->what, call->command,
            how, where(call), tail);
}

dfal_status df_external_command_run(struct df_external_command *call)
{
    struct df_process_end end;
    DF_TRY(df_process_run(&end, call->context, &call->words, 0, call->log));
    call->started = true;
    return judge(call, &end);
}

dfal_status df_external_command_blame(const struct df_external_command *call, dfal_status status,
                                      const char *expected)
{
    char tail[2 * TAIL_BYTES], reason[DF_MESSAGE_SIZE];
    df_message_get(reason);
    read_tail(tail, call);
    return df_fail(status, "the %s '%.200s' ended with exit code 0, expected %s: %.400s; %s ends with: %s",
                   call->what, call->command, expected, reason, where(call), tail);
}
