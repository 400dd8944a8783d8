/* SPDX-License-Identifier: Apache-2.0 */
/* The class names of a pool of pictures, in the order that somebody's network knows them. */
#include <string.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/memory.h"
#include "io/image_list.h"

enum { NAMES_MOST = 100000, NAMES_BYTES = 16 << 20 };

static dfal_status read_names(char ***names, int32_t *count, char *text, const char *path)
{
    int32_t lines = 0;
    for (const char *at = text; *at; at++)
        lines += *at == '\n' || at[1] == 0;
    DF_TRY(df_alloc(names, lines, sizeof **names));
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        const bool last = *end == 0;
        char *stop = end > line && end[-1] == '\r' ? end - 1 : end;
        if (!last)
            *end++ = 0;
        *stop = 0;
        if (!*line && !*end)
            break; /* an empty line at the end */
        if (!*line)
            DF_FAIL(DFAL_E_DATA, "%s:%d: an empty line, expected the name of a class", path, *count + 1);
        for (int32_t i = 0; i < *count; i++)
            if (strcmp((*names)[i], line) == 0)
                DF_FAIL(DFAL_E_DATA, "%s:%d: '%s' stands in line %d as well, expected each name once", path,
                        *count + 1, line, i + 1);
        if (*count == NAMES_MOST)
            DF_FAIL(DFAL_E_DATA, "%s: more than %d lines, expected a name a class", path, NAMES_MOST);
        DF_TRY(df_strdup(&(*names)[*count], line));
        ++*count;
    }
    if (*count < 2)
        DF_FAIL(DFAL_E_DATA, "%s: %d class name%s, expected at least two", path, *count,
                *count == 1 ? "" : "s");
    return DFAL_OK;
}

static int32_t find(char *const *names, int32_t count, const char *name)
{
    for (int32_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

/* The list's labels, which count its own names, become those of the given ones. */
static dfal_status translate(struct df_image_list *list, char *const *names, int32_t count, const char *path)
{
    for (int64_t i = 0; i < list->count; i++) {
        struct df_image_entry *entry = &list->entries[i];
        if (entry->label < 0)
            continue;
        if (!list->classes && entry->label >= count)
            DF_FAIL(DFAL_E_DATA, "%s has label %d, expected one of the %d classes of %s", entry->id,
                    entry->label, count, path);
        if (!list->classes)
            continue;
        const char *own = list->classes[entry->label];
        entry->label = find(names, count, own);
        if (entry->label < 0)
            DF_FAIL(DFAL_E_DATA, "%s is of class '%s', expected one of the %d classes of %s", entry->id, own,
                    count, path);
    }
    return DFAL_OK;
}

dfal_status df_image_list_name(struct df_image_list *list, const char *path)
{
    char *text = NULL, **names = NULL;
    size_t size;
    int32_t count = 0;
    dfal_status status;
    DF_TRY_TO(done, status, df_file_read(&text, &size, path, NAMES_BYTES));
    if (strlen(text) != size) {
        status = df_fail(DFAL_E_DATA, "%s holds a zero byte, expected a class name a line", path);
        goto done;
    }
    DF_TRY_TO(done, status, read_names(&names, &count, text, path));
    DF_TRY_TO(done, status, translate(list, names, count, path));
    for (int32_t i = 0; list->classes && i < list->class_count; i++)
        df_free(list->classes[i]);
    df_free(list->classes);
    list->classes = names;
    list->class_count = count;
    names = NULL;
done:
    for (int32_t i = 0; names && i < count; i++)
        df_free(names[i]);
    df_free(names);
    df_free(text);
    return status;
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
