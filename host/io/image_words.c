/* SPDX-License-Identifier: Apache-2.0 */
/* The labels of pictures from the words of a list or the names of folders. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/image_list.h"
#include "store/classes.h"
#include "store/label_text.h"

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static dfal_status name_classes(struct df_image_list *list, const char *const *words)
{
    const char **sorted;
    int64_t n = 0, kinds = 0;
    dfal_status status;
    DF_TRY(df_alloc(&sorted, list->count, sizeof *sorted));
    for (int64_t i = 0; i < list->count; i++)
        if (words[i])
            sorted[n++] = words[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_text);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || strcmp(sorted[i], sorted[kinds - 1]) != 0)
            sorted[kinds++] = sorted[i];
    DF_TRY_TO(done, status, df_alloc(&list->classes, kinds, sizeof *list->classes));
    list->class_count = (int32_t)(kinds <= DF_CLASS_LIMIT ? kinds : DF_CLASS_LIMIT + 1);
    for (int32_t i = 0; i < list->class_count; i++)
        DF_TRY_TO(done, status, df_strdup(&list->classes[i], sorted[i]));
    for (int64_t i = 0; i < list->count; i++) {
        const char **found =
            words[i] ? bsearch(&words[i], sorted, (size_t)kinds, sizeof *sorted, by_text) : NULL;
        list->entries[i].label = found ? (int32_t)(found - sorted) : -1;
    }
done:
    df_free(sorted);
    return status;
}

static dfal_status number_classes(struct df_image_list *list, const char *const *words)
{
    int32_t largest = -1;
    for (int64_t i = 0; i < list->count; i++) {
        int32_t number = -1;
        if (words[i])
            (void)df_label_form(words[i], &number);
        list->entries[i].label = number;
        largest = number > largest ? number : largest;
    }
    list->class_count = largest + 1;
    return DFAL_OK;
}

/* The classes are given. */
static dfal_status find_classes(struct df_image_list *list, const char *const *words, const char *source,
                                bool names_only)
{
    struct df_class_table table;
    dfal_status status = df_class_table_make(&table, list->classes, list->class_count);
    for (int64_t i = 0; i < list->count && status == DFAL_OK; i++) {
        struct df_image_entry *entry = &list->entries[i];
        if (!words[i])
            continue;
        status = df_label_read(&entry->label, &table, words[i], names_only ? 0 : list->class_count);
        if (status != DFAL_OK && entry->line > 0)
            (void)df_fail_prefix(status, "%s:%lld: ", source, (long long)entry->line);
        else if (status != DFAL_OK)
            (void)df_fail_prefix(status, "%s/%s: ", source, entry->id);
        list->blanks += entry->label == DF_LABEL_MISSING;
        if (entry->label == DF_LABEL_MISSING)
            entry->label = -1;
    }
    df_class_table_clear(&table);
    return status;
}

/* Whether the words are numbers, given in *numbers. Names among numbers would change what the numbers mean,
 * without a word: pandas alone makes 1.0 of 1, and one O for a 0 would make names of all. */
static dfal_status look_at_words(const struct df_image_list *list, const char *const *words,
                                 const char *source, bool *numbers)
{
    int64_t number = -1, code = -1, name = -1;
    for (int64_t i = 0; i < list->count; i++) {
        const enum df_label_form form = words[i] ? df_label_form(words[i], NULL) : DF_LABEL_NONE;
        int64_t *seen = form == DF_LABEL_NUMBER ? &number : form == DF_LABEL_CODE ? &code : &name;
        if (form != DF_LABEL_NONE && *seen < 0)
            *seen = i;
    }
    *numbers = code < 0 && name < 0;
    if (number < 0 || name < 0)
        return DFAL_OK;
    char shown[DF_SHOWN_TEXT], shown_number[DF_SHOWN_TEXT];
    DF_FAIL(DFAL_E_DATA,
            "%s:%lld: label '%s' is no number, that of line %lld is ('%s'), expected numbers or names alone; "
            "`class_names` FILE says what the classes are",
            source, (long long)list->entries[name].line, df_shown(shown, words[name]),
            (long long)list->entries[number].line, df_shown(shown_number, words[number]));
}

dfal_status df_image_list_label(struct df_image_list *list, const char *const *words, const char *source,
                                bool names_only)
{
    const bool given = list->classes != NULL;
    bool numbers = false, any = false;
    for (int64_t i = 0; i < list->count; i++)
        any = any || words[i];
    if (!given && !names_only)
        DF_TRY(look_at_words(list, words, source, &numbers));
    if (given)
        DF_TRY(find_classes(list, words, source, names_only));
    else if (numbers)
        DF_TRY(number_classes(list, words));
    else if (any)
        DF_TRY(name_classes(list, words));
    for (int64_t i = 0; i < list->count; i++)
        list->unlabelled += list->entries[i].label < 0;
    list->labelled = list->unlabelled < list->count;
    if (list->class_count == 1 || list->class_count > DF_CLASS_LIMIT)
        DF_FAIL(DFAL_E_DATA, "%s has %s, expected 2 to %d or no labels", source,
                list->class_count == 1 ? "one class" : "too many classes", DF_CLASS_LIMIT);
    return DFAL_OK;
}
