/* SPDX-License-Identifier: Apache-2.0 */
#include "base/word.h"

#include <stdio.h>
#include <string.h>

enum { MOST_WORDS = 32, MOST_TEXT = 512 };
/* A sentence has room for two words of DF_SHOWN_TEXT and what stands between them and a list. */
enum { LIST_TEXT = DF_MESSAGE_SIZE - 256 };

/* Cut the copy of a list in place. */
static size_t cut(char *list, const char *names[MOST_WORDS])
{
    size_t count = 0;
    for (char *rest = list; rest && count < MOST_WORDS;) {
        names[count++] = rest;
        rest = strchr(rest, '|');
        if (rest)
            *rest++ = '\0';
    }
    return count;
}

const char *df_names_text(char *text, size_t size, const char *const *names, size_t count)
{
    enum { ROOM = 8 }; /* ", ..." */
    size_t used = 0;
    snprintf(text, size, "none");
    for (size_t i = 0; i < count; i++) {
        const char *before = i == 0 ? "" : i + 1 < count ? ", " : " or ";
        if (used + strlen(before) + strlen(names[i]) + ROOM > size) {
            snprintf(text + used, size - used, ", ...");
            return text;
        }
        used += (size_t)snprintf(text + used, size - used, "%s%s", before, names[i]);
    }
    return text;
}

void dfal_unknown_word(char *text, size_t size, const char *what, const char *word, const char *expected,
                       const char *const *names, int32_t count)
{
    char list[LIST_TEXT], shown[DF_SHOWN_TEXT], shown_nearest[DF_SHOWN_TEXT];
    const size_t most = count > 0 ? (size_t)count : 0;
    const char *nearest = df_nearest(word, names, most);
    if (!expected)
        df_names_text(list, sizeof list, names, most);
    snprintf(text, size, "unknown %s '%s': expected %s%s%s%s", what, df_shown(shown, word),
             expected ? expected : list, nearest ? "; nearest is '" : "",
             nearest ? df_shown(shown_nearest, nearest) : "", nearest ? "'" : "");
}

dfal_status df_fail_unknown(dfal_status status, const char *what, const char *word, const char *expected,
                            const char *const *names, size_t count)
{
    char text[DF_MESSAGE_SIZE];
    dfal_unknown_word(text, sizeof text, what, word, expected, names,
                      count < INT32_MAX ? (int32_t)count : INT32_MAX);
    return df_fail(status, "%s", text);
}

/* Its place among them; count: it is none. */
static size_t place_of(const char *const *names, size_t count, const char *word)
{
    size_t at = 0;
    while (at < count && strcmp(names[at], word) != 0)
        at++;
    return at;
}

bool df_word_is_one(const char *word, const char *words)
{
    char list[MOST_TEXT];
    const char *names[MOST_WORDS];
    snprintf(list, sizeof list, "%s", words);
    const size_t count = cut(list, names);
    return place_of(names, count, word) < count;
}

dfal_status df_word(int32_t *index, const char *what, const char *word, const char *words)
{
    char list[MOST_TEXT];
    const char *names[MOST_WORDS];
    snprintf(list, sizeof list, "%s", words);
    const size_t count = cut(list, names), at = place_of(names, count, word ? word : "");
    if (at < count) {
        if (index)
            *index = (int32_t)at;
        return DFAL_OK;
    }
    return df_fail_unknown(DFAL_E_USAGE, what, word ? word : "", NULL, names, count);
}

void df_word_expectation(char *text, size_t size, const char *words)
{
    size_t used = (size_t)snprintf(text, size, "one of ");
    for (const char *c = words; *c && used + 3 < size; c++) {
        text[used++] = *c == '|' ? ',' : *c;
        if (*c == '|')
            text[used++] = ' ';
    }
    text[used] = 0;
}
