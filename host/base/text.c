/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"

static bool make_room(struct df_text *text, int64_t more)
{
    if (text->status == DFAL_OK && text->size + more + 1 > text->room) {
        int64_t room = text->room ? text->room : 256;
        while (room < text->size + more + 1)
            room *= 2;
        text->status = df_resize(&text->bytes, text->room, room, 1);
        if (text->status == DFAL_OK)
            text->room = room;
    }
    return text->status == DFAL_OK;
}

void df_text_append(struct df_text *text, const char *bytes, int64_t size)
{
    if (!make_room(text, size))
        return;
    memcpy(text->bytes + text->size, bytes, (size_t)size);
    text->size += size;
    text->bytes[text->size] = 0;
}

void df_text_add(struct df_text *text, const char *format, ...)
{
    char small[512];
    va_list arguments;
    va_start(arguments, format);
    int length = df_vprint(small, sizeof small, format, arguments);
    va_end(arguments);
    if (length < (int)sizeof small) {
        df_text_append(text, small, length);
        return;
    }
    if (!make_room(text, length))
        return;
    va_start(arguments, format);
    df_vprint(text->bytes + text->size, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->size += length;
}

dfal_status df_text_take(struct df_text *text, char **out)
{
    *out = NULL;
    df_text_append(text, "", 0);
    dfal_status status = text->status;
    if (status == DFAL_OK) {
        *out = text->bytes;
        text->bytes = NULL;
    }
    df_text_clear(text);
    return status;
}

void df_text_clear(struct df_text *text)
{
    df_free(text->bytes);
    *text = (struct df_text){0};
}

void df_text_number(struct df_text *text, double value)
{
    if (isinf(value))
        df_text_add(text, value > 0 ? "inf" : "-inf");
    else if (!isnan(value))
        df_text_add(text, "%.9g", value);
}

void df_text_csv(struct df_text *text, const char *field)
{
    const char *first =
        field + strspn(field, "'"); /* a guarded text is guarded again, so that labels.c can tell */
    const char *guard = *first && strchr("=+-@\t\r", *first) ? "'" : "";
    if (!strpbrk(field, ",\"\r\n")) {
        df_text_add(text, "%s%s", guard, field);
        return;
    }
    df_text_add(text, "\"%s", guard);
    for (const char *c = field; *c; c++)
        df_text_append(text, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    df_text_append(text, "\"", 1);
}

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

static const char replacement[] = "\xef\xbf\xbd";

void df_text_html(struct df_text *text, const char *field)
{
    for (const unsigned char *c = (const unsigned char *)field; *c;) {
        int length = utf8_length(c);
        if (*c == '&')
            df_text_add(text, "&amp;");
        else if (*c == '<')
            df_text_add(text, "&lt;");
        else if (*c == '>')
            df_text_add(text, "&gt;");
        else if (*c == '"')
            df_text_add(text, "&quot;");
        else if (*c == '\'')
            df_text_add(text, "&#39;");
        else if (!length || (*c < 32 && *c != '\n' && *c != '\t') || *c == 127)
            df_text_append(text, replacement, 3);
        else
            df_text_append(text, (const char *)c, length);
        c += length ? length : 1;
    }
}

void df_text_json(struct df_text *text, const char *field)
{
    df_text_append(text, "\"", 1);
    for (const unsigned char *c = (const unsigned char *)field; *c;) {
        int length = utf8_length(c);
        if (*c == '"' || *c == '\\')
            df_text_add(text, "\\%c", *c);
        else if (*c < 32)
            df_text_add(text, "\\u%04x", *c);
        else if (!length)
            df_text_append(text, replacement, 3);
        else
            df_text_append(text, (const char *)c, length);
        c += length ? length : 1;
    }
    df_text_append(text, "\"", 1);
}
