/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: a status and one sentence. The first error wins: clean-up never overwrites it. */
#ifndef DF_BASE_STATUS_H
#define DF_BASE_STATUS_H

#include <stdarg.h>

#include "dfal.h"

/* Record the calling thread's message and return status. The message is a whole sentence that names the
 * file, the offending value and what was expected; no trailing full stop or newline. */
dfal_status df_fail(dfal_status status, const char *format, ...) DFAL_PRINTF(2, 3);
dfal_status df_fail_list(dfal_status status, const char *format, va_list arguments) DFAL_PRINTF(2, 0);
/* Put words in front of the recorded message ("train.h5: " ...). Returns status. */
dfal_status df_fail_prefix(dfal_status status, const char *format, ...) DFAL_PRINTF(2, 3);
dfal_status df_fail_prefix_list(dfal_status status, const char *format, va_list arguments) DFAL_PRINTF(2, 0);
/* Copy the message of one thread to another (thread_pool.c): text is at least DF_MESSAGE_SIZE bytes. */
enum { DF_MESSAGE_SIZE = 4096 };
void df_message_get(char *text);
void df_message_set(const char *text);

/* A text from a file as a message may show it: what may not be shown becomes ?, at most 80 bytes, then "...".
 * Returns text. */
enum { DF_SHOWN_TEXT = 84 };
const char *df_shown(char text[DF_SHOWN_TEXT], const char *from);

/* Record the message and return the status (written out, so that compilers and analysers see what is
 * returned). */
#define DF_FAIL(status, ...)                                                                                 \
    do {                                                                                                     \
        (void)df_fail((status), __VA_ARGS__);                                                                \
        return (status);                                                                                     \
    } while (0)
/* Return on error. */
#define DF_TRY(expression)                                                                                   \
    do {                                                                                                     \
        dfal_status df_status_ = (expression);                                                               \
        if (df_status_ != DFAL_OK)                                                                           \
            return df_status_;                                                                               \
    } while (0)
/* On error keep the status in `status` and go to the label, by custom `done`. */
#define DF_TRY_TO(label, status, expression)                                                                 \
    do {                                                                                                     \
        (status) = (expression);                                                                             \
        if ((status) != DFAL_OK)                                                                             \
            goto label;                                                                                      \
    } while (0)
/* In clean-up: keep the first error. */
#define DF_KEEP_FIRST(status, expression)                                                                    \
    do {                                                                                                     \
        dfal_status df_status_ = (expression);                                                               \
        if ((status) == DFAL_OK)                                                                             \
            (status) = df_status_;                                                                           \
    } while (0)

/* Give the candidate nearest to word by edit distance, NULL when none is within 40 % of its length + 1. What
 * begins with the word is one step away. */
const char *df_nearest(const char *word, const char *const *candidates, size_t count);
/* The same one candidate after another: begin with what df_nearest_begin gives; true: this one is the nearest
 * so far. */
int df_nearest_begin(const char *word);
bool df_nearest_offer(int *best, const char *word, const char *candidate);

#endif
