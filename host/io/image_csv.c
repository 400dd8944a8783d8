/* SPDX-License-Identifier: Apache-2.0 */
/* A list of pictures: header with `path` or `id` (or both) and, if wanted, `label`. */
#include <string.h>

#include "base/memory.h"
#include "io/image_list.h"
#include "store/csv_rows.h"
#include "store/label_text.h"

enum column { COLUMN_PATH, COLUMN_ID, COLUMN_LABEL, COLUMN_COUNT };

struct words {
    struct df_image_list *list;
    char **labels; /* [room] a word an entry, NULL: none */
    int64_t capacity;
};

static dfal_status begin(struct df_csv *csv)
{
    if (csv->position[COLUMN_PATH] < 0 && csv->position[COLUMN_ID] < 0)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: the header has no column 'path' or 'id', expected %s", csv->path,
                (long long)csv->line, csv->header);
    return DFAL_OK;
}

static dfal_status record(struct df_csv *csv)
{
    struct words *words = csv->user;
    struct df_image_list *list = words->list;
    const char *path = csv->field[COLUMN_PATH], *id = csv->field[COLUMN_ID];
    if (csv->field_count != csv->column_count) /* a path with a bare comma would be cut */
        DF_FAIL(DFAL_E_DATA, "%s:%lld: %d fields, expected the %d of the header", csv->path,
                (long long)csv->line, csv->field_count, csv->column_count);
    path = path ? path : id;
    id = id ? id : path;
    if (!path || !path[0] || !id[0])
        DF_FAIL(DFAL_E_DATA, "%s:%lld: an empty path or id, expected the name of a picture", csv->path,
                (long long)csv->line);
    DF_TRY(df_image_list_add(list, id, path, csv->line));
    DF_TRY(df_reserve(&words->labels, &words->capacity, list->capacity, sizeof *words->labels));
    const char *label = csv->field[COLUMN_LABEL];
    const bool blank = label && label[0] && !list->classes && df_label_form(label, NULL) == DF_LABEL_NONE;
    list->blanks += blank;
    if (label && label[0] && !blank) {
        words->labels[list->count - 1] = csv->field[COLUMN_LABEL];
        csv->field[COLUMN_LABEL] = NULL;
    }
    return DFAL_OK;
}

dfal_status df_image_list_parse(struct df_image_list *list, const char *path, bool *labelled)
{
    static const char *const names[COLUMN_COUNT] = {"path", "id", "label"};
    struct words words = {.list = list};
    struct df_csv csv = {
        .path = path,
        .columns = names,
        .count = COLUMN_COUNT,
        .header = "path[,id][,label]",
        .begin = begin,
        .record = record,
        .user = &words,
    };
    const char *slash = strrchr(path, '/');
    DF_TRY(df_format(&list->root, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : "."));
    dfal_status status = df_csv_read(&csv);
    *labelled = status == DFAL_OK && csv.position[COLUMN_LABEL] >= 0;
    if (status == DFAL_OK && list->count == 0)
        status = df_fail(DFAL_E_DATA, "%s lists no picture, expected a line each behind its header", path);
    if (*labelled && status == DFAL_OK)
        status = df_image_list_label(list, (const char *const *)words.labels, path, false);
    for (int64_t i = 0; i < words.capacity; i++)
        df_free(words.labels[i]);
    df_free(words.labels);
    return status;
}
