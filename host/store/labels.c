/* SPDX-License-Identifier: Apache-2.0 */
#include "store/labels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/csv_rows.h"

enum { CLASS_LIMIT = 1000000 };

enum column { COLUMN_ID, COLUMN_LABEL, COLUMN_STATUS, COLUMN_COUNT };
static const char *const column_names[COLUMN_COUNT] = {"id", "label", "status"};

struct overlay {
    struct df_pool *pool;
    int32_t largest;
};

/* By class name, else by number. */
static dfal_status find_class(const struct df_csv *csv, const char *text, int32_t *label)
{
    const struct df_pool *pool = ((const struct overlay *)csv->user)->pool;
    for (int32_t i = 0; pool->classes && i < pool->class_count; i++)
        if (strcmp(pool->classes[i], text) == 0) {
            *label = i;
            return DFAL_OK;
        }
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    int32_t limit = pool->counted_classes ? CLASS_LIMIT : pool->class_count;
    bool plain = text[0] == '-' ? strcmp(text, "-1") == 0
                                : text[0] >= '0' && text[0] <= '9' && (text[0] != '0' || !text[1]);
    if (!plain || *end || errno || number >= limit)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: unknown class '%s', expected %s0 to %d, or -1", csv->path,
                (long long)csv->line, text, pool->classes ? "a class name, " : "", limit - 1);
    *label = (int32_t)number;
    return DFAL_OK;
}

static dfal_status begin(struct df_csv *csv)
{
    for (int which = COLUMN_ID; which <= COLUMN_LABEL; which++)
        if (csv->position[which] < 0)
            DF_FAIL(DFAL_E_DATA, "%s:%lld: the header has no column '%s', expected %s", csv->path,
                    (long long)csv->line, column_names[which], csv->header);
    return DFAL_OK;
}

static dfal_status apply(struct df_csv *csv)
{
    struct overlay *overlay = csv->user;
    struct df_pool *pool = overlay->pool;
    const char *id = csv->field[COLUMN_ID], *label = csv->field[COLUMN_LABEL];
    const char *state = csv->field[COLUMN_STATUS];
    long long line = (long long)csv->line;
    int64_t row;
    if (!id || !label)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: %d fields, expected id and label", csv->path, line, csv->field_count);
    if (csv->field_count > csv->column_count) /* an id with a bare comma would get another's label */
        DF_FAIL(DFAL_E_DATA, "%s:%lld: %d fields, expected at most the %d of the header", csv->path, line,
                csv->field_count, csv->column_count);
    DF_TRY(df_pool_find(pool, &row, id));
    /* QUERIES.csv writes such an id behind a ', so that no spreadsheet takes it for a formula. */
    if (row < 0 && id[0] == '\'' && id[1] && strchr("=+-@\t\r", id[1]))
        DF_TRY(df_pool_find(pool, &row, id + 1));
    if (row < 0)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: id '%s' is not in %s", csv->path, line, id, pool->path);
    bool skip = state && strcmp(state, "skip") == 0, unsure = state && strcmp(state, "unsure") == 0;
    if (state && state[0] && !skip && !unsure && strcmp(state, "label") != 0)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: status '%s', expected label, skip or unsure", csv->path, line, state);
    int32_t class = -1;
    if (!skip && !unsure)
        DF_TRY(find_class(csv, label, &class));
    pool->labels[row] = class;
    pool->skipped[row] = skip;
    overlay->largest = class > overlay->largest ? class : overlay->largest;
    return DFAL_OK;
}

dfal_status df_labels_overlay(struct df_pool *pool, const char *path)
{
    struct overlay overlay = {.pool = pool, .largest = -1};
    struct df_csv csv = {
        .path = path,
        .columns = column_names,
        .count = COLUMN_COUNT,
        .header = "id,label[,annotator,seconds,status]",
        .begin = begin,
        .record = apply,
        .user = &overlay,
    };
    if (!pool->labels) {
        DF_TRY(df_alloc(&pool->labels, pool->count, sizeof *pool->labels));
        for (int64_t i = 0; i < pool->count; i++)
            pool->labels[i] = -1;
    }
    if (!pool->skipped)
        DF_TRY(df_alloc(&pool->skipped, pool->count, 1));
    DF_TRY(df_csv_read(&csv));
    if (pool->counted_classes && overlay.largest >= pool->class_count)
        pool->class_count = overlay.largest + 1;
    return DFAL_OK;
}
