/* SPDX-License-Identifier: Apache-2.0 */
#include "base/character.h"

#include <string.h>

/* Bytes of the well-formed UTF-8 sequence at c, 0: broken. */
static int utf8_length(const unsigned char *c)
{
    if (c[0] < 0x80)
        return 1;
    int length = c[0] >= 0xf0 && c[0] < 0xf5   ? 4
                 : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
                 : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
                                               : 0;
    for (int i = 1; i < length; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf0 && c[1] < 0x90) ||
        (c[0] == 0xf4 && c[1] > 0x8f))
        return 0;
    return length;
}

bool df_text_is_utf8(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        int length = utf8_length(c);
        if (!length)
            return false;
        c += length;
    }
    return true;
}

uint32_t df_text_code(const char *character, int length)
{
    const unsigned char *c = (const unsigned char *)character;
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = c[0] & masks[length];
    for (int i = 1; i < length; i++)
        code = code << 6 | (c[i] & 0x3f);
    return code;
}

static bool may_be_shown(uint32_t code)
{
    static const uint32_t ranges[][2] = {{0, 0x1f},        {0x7f, 0x9f},     {0x61c, 0x61c},
                                         {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (code >= ranges[i][0] && code <= ranges[i][1])
            return false;
    return true;
}

int df_text_next(const char *text, bool *fine)
{
    const int length = utf8_length((const unsigned char *)text);
    *fine = length > 0 && may_be_shown(df_text_code(text, length));
    return length > 0 ? length : 1;
}

void dfal_text_clean(char *text)
{
    char *to = text;
    for (const char *c = text; *c;) {
        bool fine;
        const int length = df_text_next(c, &fine);
        memmove(to, fine ? c : "?", fine ? (size_t)length : 1);
        to += fine ? length : 1;
        c += length;
    }
    *to = 0;
}

bool df_begins_but_case(const char *text, const char *with)
{
    while (*with && df_lower(*text) == df_lower(*with))
        text++, with++;
    return !*with;
}

bool df_same_but_case(const char *a, const char *b)
{
    return df_begins_but_case(a, b) && !a[strlen(b)];
}
