/* SPDX-License-Identifier: Apache-2.0 */
#include "store/label_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/word.h"

enum { DIGITS_MOST = 7, NUMBER_TEXT = 16 };

size_t df_label_whole(const char *text)
{
    const size_t minus = text[0] == '-', size = minus + strspn(text + minus, "0123456789");
    const size_t zeros = size > minus && text[size] == '.' ? strspn(text + size + 1, "0") : 0;
    return zeros && !text[size + 1 + zeros] ? size : 0;
}

enum df_label_form df_label_form(const char *text, int32_t *number)
{
    const size_t minus = text[0] == '-', digits = strspn(text + minus, "0123456789");
    if (!text[0] || df_same_but_case(text, "nan") || strcmp(text, "<NA>") == 0)
        return DF_LABEL_NONE;
    const bool point = df_label_whole(text) > 0;
    if (digits == 0 || (text[minus + digits] && !point))
        return DF_LABEL_NAME;
    if (!minus && (digits > DIGITS_MOST || (text[0] == '0' && digits > 1)))
        return point ? DF_LABEL_NAME : DF_LABEL_CODE;
    if (minus && (digits > 1 || text[1] != '1'))
        return DF_LABEL_NAME;
    if (number)
        *number = minus ? -1 : (int32_t)strtol(text, NULL, 10);
    return DF_LABEL_NUMBER;
}

bool df_label_is_guarded(const char *text)
{
    size_t quotes = strspn(text, "'");
    return quotes && df_text_is_formula(text + quotes);
}

dfal_status df_class_table_make(struct df_class_table *table, char *const *names, int32_t count)
{
    *table = (struct df_class_table){.names = names, .count = count};
    for (int32_t i = 0; names && i < count; i++) {
        const enum df_label_form form = df_label_form(names[i], NULL);
        const bool number = form == DF_LABEL_NUMBER || form == DF_LABEL_CODE;
        table->numbered = table->numbered || (number && strtol(names[i], NULL, 10) != i);
    }
    return df_class_index_make(&table->index, names, count);
}

void df_class_table_clear(struct df_class_table *table)
{
    df_class_index_clear(&table->index);
    *table = (struct df_class_table){0};
}

static dfal_status fail_unknown(const struct df_class_table *table, const char *text, int32_t most)
{
    char expected[96];
    int used = snprintf(expected, sizeof expected, "%s", table->names ? "a class name" : "");
    if (most > 0 && table->numbered)
        snprintf(expected + used, sizeof expected - (size_t)used, " (numbers are names here), or -1");
    else if (most > 0)
        snprintf(expected + used, sizeof expected - (size_t)used, "%s0 to %d, or -1", used ? ", " : "",
                 most - 1);
    return df_fail_unknown(DFAL_E_DATA, "class", text, expected[0] ? expected : NULL,
                           (const char *const *)table->names, table->names ? (size_t)table->count : 0);
}

/* Whether a class can be told by its name: not an empty one, nor one that means a class before it. */
static bool has_own_name(const struct df_class_table *table, int32_t class)
{
    const char *name = class < table->count ? table->names[class] : "";
    return name[0] && df_class_index_find(&table->index, name) == class;
}

dfal_status df_label_read(int32_t *label, const struct df_class_table *table, const char *text, int32_t most)
{
    char plain[NUMBER_TEXT];
    int32_t number = 0;
    *label = df_label_is_guarded(text) ? df_class_index_find(&table->index, text + 1) : -1;
    if (*label < 0)
        *label = df_class_index_find(&table->index, text);
    if (*label >= 0)
        return DFAL_OK;
    if (most == 0)
        return fail_unknown(table, text, most);
    switch (df_label_form(text, &number)) {
    case DF_LABEL_NONE:
        *label = DF_LABEL_MISSING;
        return DFAL_OK;
    case DF_LABEL_NUMBER: /* "3.0" may stand for the name "3" */
        snprintf(plain, sizeof plain, "%d", number);
        *label = df_class_index_find(&table->index, plain);
        if (*label >= 0)
            return DFAL_OK;
        *label = number;
        if (number < 0 || (number < most && !(table->numbered && has_own_name(table, number))))
            return DFAL_OK;
        return fail_unknown(table, text, most);
    default:
        return fail_unknown(table, text, most);
    }
}

void df_label_line(struct df_text *text, const char *id, char *const *names, int32_t label,
                   const char *annotator)
{
    const char *name = names && label >= 0 ? names[label] : "";
    bool plain = name[0] != 0;
    for (int32_t i = 0; i < label && plain; i++)
        plain = strcmp(names[i], name) != 0;
    df_text_csv(text, id);
    df_text_add(text, ",");
    if (plain)
        df_text_csv(text, name);
    else
        df_text_add(text, "%d", label);
    if (annotator) {
        df_text_add(text, ",");
        df_text_csv(text, annotator);
    }
    df_text_add(text, "\n");
}
