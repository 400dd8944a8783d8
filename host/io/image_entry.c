/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/memory.h"
#include "io/image_list.h"

dfal_status df_image_list_add(struct df_image_list *list, const char *id, const char *path, int64_t line)
{
    DF_TRY(df_grow(&list->entries, &list->capacity, list->count + 1, sizeof *list->entries, 256));
    struct df_image_entry *entry = &list->entries[list->count++];
    *entry = (struct df_image_entry){.label = -1, .line = line};
    DF_TRY(df_strdup(&entry->id, id));
    return path && strcmp(path, id) != 0 ? df_strdup(&entry->path, path) : DFAL_OK;
}
