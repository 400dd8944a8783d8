/* SPDX-License-Identifier: Apache-2.0 */
#include "facts.h"

#include "base/number.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void df_tell_int(const struct df_teller *teller, const char *key, int64_t value)
{
    const struct dfal_field field = {.key = key, .kind = DFAL_FIELD_INT, .integer = value};
    teller->fact(teller->user, &field);
}

void df_tell_real(const struct df_teller *teller, const char *key, double value)
{
    const struct dfal_field field = {.key = key, .kind = DFAL_FIELD_REAL, .real = value};
    teller->fact(teller->user, &field);
}

void df_tell_text(const struct df_teller *teller, const char *key, const char *format, ...)
{
    char few[1024];
    struct df_text whole = {0};
    const char *text = few;
    va_list arguments;
    va_start(arguments, format);
    const int length = df_vprint(few, sizeof few, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof few) {
        va_start(arguments, format);
        df_text_add_list(&whole, format, arguments);
        va_end(arguments);
        text = whole.status == DFAL_OK ? whole.bytes : few; /* without memory it is cut */
    }
    const struct dfal_field field = {.key = key, .kind = DFAL_FIELD_TEXT, .text = text};
    teller->fact(teller->user, &field);
    df_text_clear(&whole);
}

void df_tell_bytes(const struct df_teller *teller, const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0)
        df_tell_int(teller, "file_bytes", status.st_size);
}

void df_list_add(struct df_list *list, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    df_text_add_list(&list->text, format, arguments);
    va_end(arguments);
    df_text_append(&list->text, "", 1);
    list->count++;
}

dfal_status df_tell_list(const struct df_teller *teller, const char *key, struct df_list *list)
{
    struct dfal_field field = {.key = key, .kind = DFAL_FIELD_LIST, .integer = list->count, .text = ""};
    const dfal_status status = list->text.status;
    if (list->count > 0)
        field.text = list->text.bytes;
    if (status == DFAL_OK)
        teller->fact(teller->user, &field);
    df_text_clear(&list->text);
    *list = (struct df_list){0};
    return status;
}

dfal_status df_tell_reals(const struct df_teller *teller, const char *key, const double *values,
                          int32_t count)
{
    struct df_list list = {0};
    for (int32_t i = 0; i < count; i++)
        df_list_add(&list, "%.9g", values[i]);
    return df_tell_list(teller, key, &list);
}

dfal_status df_tell_words(const struct df_teller *teller, const char *key, const char *words)
{
    struct df_list list = {0};
    while (*words) {
        const char *end = strstr(words, ", ");
        const size_t length = end ? (size_t)(end - words) : strlen(words);
        df_list_add(&list, "%.*s", (int)length, words);
        words += length + (end ? 2 : 0);
    }
    return df_tell_list(teller, key, &list);
}
