/* SPDX-License-Identifier: Apache-2.0 */
/* Characters of text that comes from elsewhere: UTF-8, what may be shown to people, letters without case. */
#ifndef DF_BASE_CHARACTER_H
#define DF_BASE_CHARACTER_H

#include "dfal.h"

bool df_text_is_utf8(const char *text);
/* The next character of a text that comes from elsewhere: its bytes, 1 for a broken sequence. *fine: it may
 * be shown to people. Control characters (of ASCII and U+0080 to U+009F), marks that turn the direction of
 * writing, separators of lines and paragraphs and broken UTF-8 may not: a terminal obeys them, or shows a
 * text as another one. */
int df_text_next(const char *text, bool *fine);
/* The code point of a sequence that is not broken. */
uint32_t df_text_code(const char *character, int length);
/* Small letters for A to Z alone: tolower() and strcasecmp() ask the locale, where a Turkish I is no i. */
static inline int df_lower(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? letter + ('a' - 'A') : (unsigned char)letter;
}
bool df_same_but_case(const char *a, const char *b);
bool df_begins_but_case(const char *text, const char *with);

#endif
