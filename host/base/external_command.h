/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody else's command that does a piece of dfal's work: a trainer, a strategy. It is called with the
 * words that a user gave and dfal's own options behind them. What it prints goes to a log, which is its lock,
 * too: the command's outputs are the very descriptor, so that one of an earlier start that still runs holds
 * it. */
#ifndef DF_BASE_EXTERNAL_COMMAND_H
#define DF_BASE_EXTERNAL_COMMAND_H

#include "base/process.h"

/* A command as it was given. */
enum { DF_COMMAND_TEXT = 1024 };
struct df_command {
    char text[DF_COMMAND_TEXT]; /* "": there is none */
    int64_t line; /* of the file that named it: it runs only where the caller allows commands; 0: no file */
};

struct df_external_command {
    struct dfal_context *context;
    const char *what;     /* "trainer": stands in messages */
    const char *command;  /* as the user wrote it */
    const char *log_path; /* where its words and its output are added */
    bool log_goes;        /* it is removed when the work has ended: no message names it */
    struct df_words words;
    /* filled in */
    int log;           /* -1: it was not begun */
    int64_t log_begin; /* where its output begins */
    bool started;
};
#define DF_EXTERNAL_COMMAND_NONE ((struct df_external_command){.log = -1})

/* The words of a call: the command's, then an option and its value each, those without a value left out. */
struct df_command_option {
    const char *name, *value;
};
dfal_status df_external_command_words(struct df_words *words, const char *command,
                                      const struct df_command_option *options, int32_t count);
/* A seed that any framework takes: 31 bits of it, as text. */
enum { DF_COMMAND_SEED = 16 };
void df_external_command_seed(char text[DF_COMMAND_SEED], uint64_t seed);

/* Take the log. Whoever holds it is waited for half a minute.
 * Errors   E_EXISTS a command of an earlier start still runs; E_STOPPED */
dfal_status df_external_command_begin(struct df_external_command *call);
/* Run it to its end.
 * Errors   E_STOPPED exit code 75 (context->kept_work is set: it asks to be called again), or a stop was
 *          handed on; E_UNAVAILABLE it cannot be started, or ends in another way, with the log's last
 *          lines */
dfal_status df_external_command_run(struct df_external_command *call);
/* The first size - 1 bytes that this call has printed, with a zero behind them; "" where the log cannot be
 * read. */
void df_external_command_output(const struct df_external_command *call, char *text, size_t size);
/* It ended well, but not with what is `expected` of it, for which the thread's message is the reason: one
 * sentence of all that, with the log's last lines. Returns status. */
dfal_status df_external_command_blame(const struct df_external_command *call, dfal_status status,
                                      const char *expected);
/* Let the log go, and forget the words. One that was not begun may be ended. */
void df_external_command_end(struct df_external_command *call);

#endif
