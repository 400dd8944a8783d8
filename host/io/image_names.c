/* SPDX-License-Identifier: Apache-2.0 */
/* The class names of a pool of pictures, in the order that somebody's network knows them. */
#include <string.h>

#include "base/digest.h"
#include "base/memory.h"
#include "base/text_file.h"
#include "io/image_list.h"
#include "store/classes.h"

enum { NAMES_MOST = 100000, NAMES_BYTES = 16 << 20 };

/* A class a line, so lines are numbered like classes, from 1. */
static dfal_status check_once(const struct df_image_list *list, const char *path)
{
    struct df_class_index index = {0};
    dfal_status status = df_class_index_make(&index, list->classes, list->class_count);
    for (int32_t i = 0; i < list->class_count && status == DFAL_OK; i++) {
        const int32_t first = df_class_index_find(&index, list->classes[i]);
        if (first != i)
            status = df_fail(DFAL_E_DATA, "%s:%d: '%s' stands in line %d as well, expected each name once",
                             path, i + 1, list->classes[i], first + 1);
    }
    df_class_index_clear(&index);
    return status;
}

/* Empty lines at the end are passed over. */
static dfal_status read_names(struct df_image_list *list, char *text, const char *path)
{
    int32_t lines = 0, line_number = 0, empty = 0;
    for (const char *at = text; *at; at++)
        lines += *at == '\n' || at[1] == 0;
    DF_TRY(df_alloc(&list->classes, lines, sizeof *list->classes));
    for (char *line; (line = df_text_line(&text)) != NULL;) {
        line_number++;
        if (!*line) {
            empty = empty ? empty : line_number;
            continue;
        }
        if (empty)
            DF_FAIL(DFAL_E_DATA, "%s:%d: an empty line, expected the name of a class", path, empty);
        if (list->class_count == NAMES_MOST)
            DF_FAIL(DFAL_E_DATA, "%s: more than %d lines, expected a name a class", path, NAMES_MOST);
        DF_TRY(df_strdup(&list->classes[list->class_count], line));
        list->class_count++;
    }
    if (list->class_count < 2)
        DF_FAIL(DFAL_E_DATA, "%s: %d class name%s, expected at least two", path, list->class_count,
                list->class_count == 1 ? "" : "s");
    return DFAL_OK;
}

dfal_status df_image_list_name(struct df_image_list *list, const char *path)
{
    char *text;
    size_t size;
    DF_TRY(df_text_file_read(&text, &size, path, NAMES_BYTES));
    dfal_status status = read_names(list, text, path);
    df_free(text);
    return status == DFAL_OK ? check_once(list, path) : status;
}

void df_image_list_classes_digest(const struct df_image_list *list, char text[65])
{
    struct df_digest digest;
    df_digest_begin(&digest);
    df_digest_add_i64(&digest, list->class_count);
    for (int32_t i = 0; list->classes && i < list->class_count; i++)
        df_digest_add_text(&digest, list->classes[i]);
    for (int64_t i = 0; i < list->count; i++)
        df_digest_add_i64(&digest, list->entries[i].label);
    df_digest_end(&digest, text);
}
