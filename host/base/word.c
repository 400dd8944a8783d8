/* SPDX-License-Identifier: Apache-2.0 */
#include "base/word.h"

#include <stdio.h>
#include <string.h>

enum { MOST_WORDS = 32, MOST_TEXT = 512 };

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

static dfal_status fail(const char *what, const char *word, const char *const *names, size_t count)
{
    char list[MOST_TEXT] = "";
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                 i == 0          ? ""
                                 : i + 1 < count ? ", "
                                                 : " or ",
                                 names[i]);
    const char *nearest = df_nearest(word, names, count);
    DF_FAIL(DFAL_E_USAGE, "unknown %s '%s': expected %s%s%s%s", what, word, list,
            nearest ? "; nearest is '" : "", nearest ? nearest : "", nearest ? "'" : "");
}

dfal_status df_word(int32_t *index, const char *what, const char *word, const char *words)
{
    char list[MOST_TEXT];
    const char *names[MOST_WORDS];
    snprintf(list, sizeof list, "%s", words);
    const size_t count = cut(list, names);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], word ? word : "") == 0) {
            if (index)
                *index = (int32_t)i;
            return DFAL_OK;
        }
    }
    return fail(what, word ? word : "", names, count);
}
