/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/memory.h"
#include "io/image_list.h"

dfal_status df_image_list_add(struct df_image_list *list, const char *id, const char *path, int64_t line)
{
    if (list->count == list->room) {
        int64_t room = list->room ? 2 * list->room : 256;
        DF_TRY(df_resize(&list->entries, list->room, room, sizeof *list->entries));
        list->room = room;
    }
    struct df_image_entry *entry = &list->entries[list->count++];
    *entry = (struct df_image_entry){.label = -1, .line = line};
    DF_TRY(df_strdup(&entry->id, id));
    return path && strcmp(path, id) != 0 ? df_strdup(&entry->path, path) : DFAL_OK;
}
