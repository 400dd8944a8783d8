/* SPDX-License-Identifier: Apache-2.0 */
#include "io/image_parts.h"

#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "store/table.h"

static const char format[] = "dfal-import-part";
enum { ROWS_MOST = 16384, BYTES_MOST = 32 << 20 };
enum {
    RANGE_BEGIN,
    RANGE_END,
    RANGE_PICTURES,
    RANGE_ROTATED,
    RANGE_GREY,
    RANGE_LOOK,
    RANGE_COUNT = RANGE_LOOK + 2
};

static dfal_status part_path(char **path, const struct df_image_parts *parts, int64_t i)
{
    return df_format(path, "%s/%06" PRId64 ".h5", parts->folder.folder, i);
}

int64_t df_image_part_rows(struct df_shape shape)
{
    int64_t rows = ROWS_MOST;
    while (rows > 1 && rows * df_shape_size(shape) > BYTES_MOST)
        rows /= 2;
    return rows;
}

void df_image_part_bounds(const struct df_image_parts *parts, int64_t i, int64_t *begin, int64_t *end)
{
    *begin = i * parts->rows;
    *end = *begin + parts->rows < parts->pictures ? *begin + parts->rows : parts->pictures;
}

static dfal_status compare(const char *configuration, const struct df_identity *ours, bool allow_mixed,
                           const char *path)
{
    struct df_identity theirs = {0};
    dfal_status status = df_identity_read(&theirs, configuration, path);
    if (status == DFAL_OK)
        status = df_identity_check(ours, &theirs, allow_mixed, DFAL_E_CONFIG, path, "; --force starts anew");
    df_identity_clear(&theirs);
    return status;
}

/* same: the files look as they did when the part was made. */
static dfal_status check(const struct df_image_parts *parts, int64_t i, const char *path, bool allow_mixed,
                         bool *same)
{
    struct df_row_sum look;
    struct df_column range = {"range", DF_COLUMN_I64, 1, {0}, NULL};
    char *configuration = NULL;
    int64_t begin, end;
    dfal_status status = df_table_read(path, format, &configuration, &range, 1);
    if (status == DFAL_OK)
        status = compare(configuration, parts->identity, allow_mixed, path);
    df_image_part_bounds(parts, i, &begin, &end);
    const int64_t *found = range.data;
    if (status == DFAL_OK &&
        (range.dims[0] != RANGE_COUNT || found[RANGE_BEGIN] != begin || found[RANGE_END] != end))
        status = df_fail(DFAL_E_DATA, "%s holds other pictures than %" PRId64 " to %" PRId64 " of the list",
                         path, begin, end - 1);
    if (status == DFAL_OK)
        status = df_image_list_look(parts->list, begin, end, &look);
    *same = status == DFAL_OK && (uint64_t)found[RANGE_LOOK] == look.high &&
            (uint64_t)found[RANGE_LOOK + 1] == look.low;
    df_free(configuration);
    df_free(range.data);
    return status;
}

static dfal_status look(struct df_image_parts *parts, bool allow_mixed)
{
    for (int64_t i = 0; i < parts->count; i++) {
        char *path = NULL;
        int64_t begin, end;
        DF_TRY(part_path(&path, parts, i));
        dfal_status status = DFAL_OK;
        if (df_file_exists(path)) {
            status = check(parts, i, path, allow_mixed, &parts->finished[i]);
            df_image_part_bounds(parts, i, &begin, &end);
            parts->finished_pictures += parts->finished[i] ? end - begin : 0;
        } else {
            df_file_sweep(path);
        }
        df_free(path);
        DF_TRY(status);
    }
    return DFAL_OK;
}

dfal_status df_image_parts_open(struct df_image_parts *parts, const char *out_path,
                                const struct df_identity *identity, const struct df_image_list *list,
                                struct df_shape shape, bool allow_mixed, bool force)
{
    *parts = (struct df_image_parts){
        .folder = DF_PARTS_NONE,
        .shape = shape,
        .pictures = list->count,
        .rows = df_image_part_rows(shape),
        .identity = identity,
        .list = list,
    };
    parts->count = (list->count + parts->rows - 1) / parts->rows;
    DF_TRY(df_alloc(&parts->finished, parts->count, sizeof *parts->finished));
    DF_TRY(df_parts_open(&parts->folder, out_path, df_parts_is_numbered, "an import's parts", force));
    dfal_status status = look(parts, allow_mixed);
    if (status != DFAL_OK && status != DFAL_E_MEMORY && force) {
        memset(parts->finished, 0, (size_t)parts->count * sizeof *parts->finished);
        parts->finished_pictures = 0;
        status = df_parts_clear(&parts->folder);
    }
    parts->ours = status == DFAL_OK;
    return status;
}

void df_image_parts_close(struct df_image_parts *parts, bool keep)
{
    char message[DF_MESSAGE_SIZE]; /* a clean-up never hides the error before it */
    df_message_get(message);
    if (parts->ours && (!keep || parts->finished_pictures == 0))
        (void)df_parts_clear(&parts->folder);
    df_message_set(message);
    df_parts_close(&parts->folder);
    df_free(parts->finished);
    *parts = (struct df_image_parts){.folder = DF_PARTS_NONE};
}

dfal_status df_image_part_write(struct df_image_parts *parts, int64_t i, const struct df_image_part *part)
{
    const struct df_shape shape = parts->shape;
    int64_t range[RANGE_COUNT] = {part->begin,
                                  part->end,
                                  parts->pictures,
                                  part->rotated,
                                  part->grey,
                                  (int64_t)part->look.high,
                                  (int64_t)part->look.low};
    const struct df_column columns[] = {
        {"range", DF_COLUMN_I64, 1, {RANGE_COUNT}, range},
        {"samples", DF_COLUMN_U8, 4, {part->good, shape.c, shape.h, shape.w}, part->samples},
        {"index", DF_COLUMN_I64, 1, {part->good}, part->index},
        {"bad", DF_COLUMN_I64, 1, {part->bad}, part->bad_index},
        {"reasons", DF_COLUMN_U8, 1, {part->reason_bytes}, part->reasons},
    };
    struct df_text configuration = {0};
    char *path = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, part_path(&path, parts, i));
    DF_TRY_TO(done, status, df_identity_write(&configuration, parts->identity));
    DF_TRY_TO(
        done, status,
        df_table_write(path, format, configuration.bytes, columns, sizeof columns / sizeof columns[0], true));
    parts->finished[i] = true;
    parts->finished_pictures += part->end - part->begin;
done:
    df_text_clear(&configuration);
    df_free(path);
    return status;
}

/* Whether the places in a part are ascending and inside it. */
static bool ascending(const int64_t *index, int64_t count, int64_t begin, int64_t end)
{
    for (int64_t i = 0; i < count; i++)
        if (index[i] < (i > 0 ? index[i - 1] + 1 : begin) || index[i] >= end)
            return false;
    return true;
}

static bool is_sound(const struct df_image_part *part, const struct df_column *samples, struct df_shape shape)
{
    int64_t texts = 0;
    for (int64_t i = 0; i < part->reason_bytes; i++)
        texts += part->reasons[i] == '\0';
    if (part->good + part->bad != part->end - part->begin || texts != part->bad ||
        !ascending(part->index, part->good, part->begin, part->end) ||
        !ascending(part->bad_index, part->bad, part->begin, part->end))
        return false;
    return !samples || (samples->dims[0] == part->good && samples->dims[1] == shape.c &&
                        samples->dims[2] == shape.h && samples->dims[3] == shape.w);
}

dfal_status df_image_part_read(const struct df_image_parts *parts, int64_t i, struct df_image_part *part,
                               bool samples)
{
    struct df_column columns[] = {
        {"index", DF_COLUMN_I64, 1, {0}, NULL},  {"bad", DF_COLUMN_I64, 1, {0}, NULL},
        {"reasons", DF_COLUMN_U8, 1, {0}, NULL}, {"range", DF_COLUMN_I64, 1, {0}, NULL},
        {"samples", DF_COLUMN_U8, 4, {0}, NULL},
    };
    char *path = NULL;
    *part = (struct df_image_part){0};
    DF_TRY(part_path(&path, parts, i));
    dfal_status status = df_table_read(path, format, NULL, columns, samples ? 5 : 4);
    if (status == DFAL_OK) {
        df_image_part_bounds(parts, i, &part->begin, &part->end);
        part->index = columns[0].data;
        part->good = columns[0].dims[0];
        part->bad_index = columns[1].data;
        part->bad = columns[1].dims[0];
        part->reasons = columns[2].data;
        part->reason_bytes = columns[2].dims[0];
        const int64_t *range = columns[3].data;
        const bool counted = columns[3].dims[0] == RANGE_COUNT;
        part->rotated = counted ? range[RANGE_ROTATED] : 0;
        part->grey = counted ? range[RANGE_GREY] : 0;
        df_free(columns[3].data);
        part->samples = columns[4].data;
        if (!counted || !is_sound(part, samples ? &columns[4] : NULL, parts->shape)) {
            df_image_part_clear(part);
            status =
                df_fail(DFAL_E_DATA, "%s is not whole: remove it, and the same line makes it again", path);
        }
    }
    df_free(path);
    return status;
}

void df_image_part_clear(struct df_image_part *part)
{
    df_free(part->samples);
    df_free(part->index);
    df_free(part->bad_index);
    df_free(part->reasons);
    memset(part, 0, sizeof *part);
}
