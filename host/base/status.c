/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "base/character.h"
#include "base/number.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_message[DF_MESSAGE_SIZE];

static const struct status_row {
    dfal_status status;
    int exit_code;
    const char *name;
} status_rows[] = {
#define X(name, value, exit_code, text) {DFAL_##name, exit_code, #name},
    DFAL_STATUS_LIST(X)
#undef X
};

static const struct status_row *find_row(dfal_status status)
{
    for (size_t i = 0; i < sizeof status_rows / sizeof *status_rows; i++)
        if (status_rows[i].status == status)
            return &status_rows[i];
    return NULL;
}

const char *dfal_version(void)
{
    return DFAL_VERSION;
}

const char *dfal_status_name(dfal_status status)
{
    const struct status_row *row = find_row(status);
    return row ? row->name : "unknown status";
}

int dfal_status_exit_code(dfal_status status)
{
    const struct status_row *row = find_row(status);
    return row ? row->exit_code : 70;
}

const char *dfal_last_error(void)
{
    return last_message;
}

/* Format through a buffer of its own: an argument may be the last message itself. */
static void record(const char *after, const char *format, va_list arguments)
{
    char words[DF_MESSAGE_SIZE], whole[DF_MESSAGE_SIZE];
    df_vprint(words, sizeof words, format, arguments);
    int length = snprintf(whole, sizeof whole, "%s%s", words, after);
    (void)length; /* a sentence that is too long is cut */
    dfal_text_clean(whole);
    memcpy(last_message, whole, sizeof last_message);
}

dfal_status df_fail_list(dfal_status status, const char *format, va_list arguments)
{
    record("", format, arguments);
    return status;
}

dfal_status df_fail_prefix_list(dfal_status status, const char *format, va_list arguments)
{
    record(last_message, format, arguments);
    return status;
}

dfal_status df_fail(dfal_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    df_fail_list(status, format, arguments);
    va_end(arguments);
    return status;
}

dfal_status df_fail_prefix(dfal_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    df_fail_prefix_list(status, format, arguments);
    va_end(arguments);
    return status;
}

void df_message_get(char *text)
{
    memcpy(text, last_message, DF_MESSAGE_SIZE);
}

void df_message_set(const char *text)
{
    snprintf(last_message, sizeof last_message, "%s", text);
}

enum { WORD_LIMIT = 64 };

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Edit distance with swaps of neighbours (optimal string alignment), letters without case. */
static int edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int table[WORD_LIMIT + 1][WORD_LIMIT + 1];
    for (size_t i = 0; i <= a_length; i++)
        table[i][0] = (int)i;
    for (size_t j = 0; j <= b_length; j++)
        table[0][j] = (int)j;
    for (size_t i = 1; i <= a_length; i++) {
        for (size_t j = 1; j <= b_length; j++) {
            int x = df_lower(a[i - 1]), y = df_lower(b[j - 1]);
            int best = table[i - 1][j - 1] + (x != y);
            best = smaller(best, smaller(table[i - 1][j], table[i][j - 1]) + 1);
            if (i > 1 && j > 1 && x == df_lower(b[j - 2]) && y == df_lower(a[i - 2]))
                best = smaller(best, table[i - 2][j - 2] + 1);
            table[i][j] = best;
        }
    }
    return table[a_length][b_length];
}

int df_nearest_begin(const char *word)
{
    return (int)(0.4 * (double)strnlen(word, 1 << 20) + 1.0) + 1;
}

bool df_nearest_offer(int *best, const char *word, const char *candidate)
{
    const bool named = *word;
    /* What both begin and end with costs nothing: names of files are longer than what differs in them. */
    while (*word && df_lower(*word) == df_lower(*candidate))
        word++, candidate++;
    size_t a = strlen(word), b = strlen(candidate);
    if (named && a == 0 && b > 0)
        b = 1; /* an abbreviation means what begins like it */
    for (; a && b && df_lower(word[a - 1]) == df_lower(candidate[b - 1]); a--)
        b--;
    if (a > WORD_LIMIT || b > WORD_LIMIT || (a > b ? a - b : b - a) >= (size_t)*best)
        return false;
    const int distance = edit_distance(word, a, candidate, b);
    if (distance >= *best)
        return false;
    *best = distance;
    return true;
}

const char *df_nearest(const char *word, const char *const *candidates, size_t count)
{
    const char *nearest = NULL;
    int best = df_nearest_begin(word);
    for (size_t i = 0; i < count; i++)
        if (df_nearest_offer(&best, word, candidates[i]))
            nearest = candidates[i];
    return nearest;
}

const char *df_shown(char text[DF_SHOWN_TEXT], const char *from)
{
    size_t used = 0;
    bool fine;
    for (int length; *from; from += length, used++) {
        length = df_text_next(from, &fine);
        if (used + (size_t)length > DF_SHOWN_TEXT - 4)
            break;
        memcpy(text + used, fine ? from : "?", fine ? (size_t)length : 1);
        used += fine ? (size_t)length - 1 : 0;
    }
    memcpy(text + used, *from ? "..." : "", *from ? 4 : 1);
    return text;
}
