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
    if (text->status == DFAL_OK)
        text->status = df_grow(&text->bytes, &text->capacity, text->size + more + 1, 1, 256);
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

void df_text_add_list(struct df_text *text, const char *format, va_list arguments)
{
    char small[512];
    va_list again;
    va_copy(again, arguments);
    const int length = df_vprint(small, sizeof small, format, arguments);
    if (length < (int)sizeof small) {
        df_text_append(text, small, length);
    } else if (make_room(text, length)) {
        df_vprint(text->bytes + text->size, (size_t)length + 1, format, again);
        text->size += length;
    }
    va_end(again);
}

void df_text_add(struct df_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    df_text_add_list(text, format, arguments);
    va_end(arguments);
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

bool df_text_is_formula(const char *field)
{
    static const char *const wide[] = {"\uff1d", "\uff0b", "\uff0d", "\uff20"};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (strncmp(field, wide[i], 3) == 0)
            return true;
    return *field && strchr("=+-@\t\r", *field);
}

void df_text_csv(struct df_text *text, const char *field)
{
    const char *first =
        field + strspn(field, "'"); /* a guarded text is guarded again, so that labels.c can tell */
    const char *guard = df_text_is_formula(first) ? "'" : "";
    if (!strpbrk(field, ",\"\r\n")) {
        df_text_add(text, "%s%s", guard, field);
        return;
    }
    df_text_add(text, "\"%s", guard);
    for (const char *c = field; *c; c++)
        df_text_append(text, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    df_text_append(text, "\"", 1);
}

static const char replacement[] = "\xef\xbf\xbd";

void df_text_html(struct df_text *text, const char *field)
{
    bool fine;
    int length;
    for (const char *c = field; *c; c += length) {
        length = df_text_next(c, &fine);
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
        else if (fine || *c == '\n' || *c == '\t')
            df_text_append(text, c, length);
        else
            df_text_append(text, replacement, 3);
    }
}

void df_text_json(struct df_text *text, const char *field)
{
    bool fine;
    int length;
    df_text_append(text, "\"", 1);
    for (const char *c = field; *c; c += length) {
        length = df_text_next(c, &fine);
        if (*c == '"' || *c == '\\')
            df_text_add(text, "\\%c", *c);
        else if (fine)
            df_text_append(text, c, length);
        else if (length == 1 && (unsigned char)*c > 127)
            df_text_append(text, replacement, 3);
        else
            df_text_add(text, "\\u%04x", df_text_code(c, length));
    }
    df_text_append(text, "\"", 1);
}
