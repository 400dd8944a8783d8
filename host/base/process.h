/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody else's command: started without a shell in a process group of its own, and waited for. */
#ifndef DF_BASE_PROCESS_H
#define DF_BASE_PROCESS_H

#include "base/context.h"

/* A command line as words, as Python's shlex.split has it. Blanks part words; '...' takes everything as it
 * stands, in "..." a backslash takes a " or a backslash, outside of quotes it takes any character. Nothing
 * else means anything: no ~, variables, patterns or pipes. Free with df_words_clear. Errors   `error` an open
 * quote, no word */
struct df_words {
    char **word; /* [count + 1], the last NULL */
    int32_t count;
};
dfal_status df_words_split(struct df_words *words, const char *text, dfal_status error);
dfal_status df_words_add(struct df_words *words, const char *word);
void df_words_clear(struct df_words *words);

struct df_process_end {
    int code;     /* exit code; -1: died by `signal` */
    int signal;   /* 0: none */
    bool stopped; /* a stop of the context was handed on while it ran */
    bool expired; /* its seconds were over, and its group was killed */
};
/* Run the words to their end. Standard input is empty, both outputs go to log_fd. A stop of the context
 * reaches the group as the signal it came by; then the command is waited for as long as it takes. What it
 * leaves running in its group is killed, after a stop twenty seconds later. If this process dies, however,
 * the group gets SIGTERM and, twenty seconds later, SIGKILL (Linux).
 *   seconds  it may take, a tenth more or less; 0: as long as it takes
 * Errors   E_UNAVAILABLE it cannot be started, with the reason */
dfal_status df_process_run(struct df_process_end *end, const struct dfal_context *context,
                           const struct df_words *words, double seconds, int log_fd);

#endif
