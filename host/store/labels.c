/* SPDX-License-Identifier: Apache-2.0 */
#include "store/labels.h"

#include <csv.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

enum { COLUMN_LIMIT = 64, CLASS_LIMIT = 1000000 };
static const size_t file_limit = (size_t)1 << 30;

enum column { COLUMN_ID, COLUMN_LABEL, COLUMN_STATUS, COLUMN_COUNT };
static const char *const column_names[COLUMN_COUNT] = {"id", "label", "status"};

/* One parse; libcsv's call backs cannot return an error, so the first one waits here. */
struct reader {
    struct df_pool *pool;
    const char *path;
    int64_t line, record_line; /* 1-based; a quoted field may span lines */
    bool header_done;
    int32_t position[COLUMN_COUNT]; /* -1: no such column */
    int32_t field_count;            /* of the record so far */
    int32_t column_count;           /* of the header */
    char *field[COLUMN_COUNT];
    int32_t largest;
    dfal_status status;
};

static int space_is_content(unsigned char c)
{
    (void)c;
    return 0; /* RFC 4180: blanks belong to the field */
}

static dfal_status take_field(struct reader *reader, const char *text, size_t size)
{
    int32_t at = reader->field_count++;
    if (at >= COLUMN_LIMIT)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: more than %d columns", reader->path, (long long)reader->line,
                COLUMN_LIMIT);
    if (memchr(text, '\0', size))
        DF_FAIL(DFAL_E_DATA, "%s:%lld: a zero byte in column %d", reader->path, (long long)reader->line,
                at + 1);
    for (int which = 0; which < COLUMN_COUNT; which++) {
        if (!reader->header_done) {
            if (size == strlen(column_names[which]) && memcmp(text, column_names[which], size) == 0) {
                if (reader->position[which] >= 0)
                    DF_FAIL(DFAL_E_DATA, "%s:%lld: column '%s' stands twice in the header", reader->path,
                            (long long)reader->line, column_names[which]);
                reader->position[which] = at;
            }
        } else if (reader->position[which] == at) {
            DF_TRY(df_alloc(&reader->field[which], (int64_t)size + 1, 1));
            memcpy(reader->field[which], text, size);
        }
    }
    return DFAL_OK;
}

/* By class name, else by number. */
static dfal_status find_class(struct reader *reader, const char *text, int32_t *label)
{
    const struct df_pool *pool = reader->pool;
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
        DF_FAIL(DFAL_E_DATA, "%s:%lld: unknown class '%s', expected %s0 to %d, or -1", reader->path,
                (long long)reader->record_line, text, pool->classes ? "a class name, " : "", limit - 1);
    *label = (int32_t)number;
    return DFAL_OK;
}

static dfal_status apply(struct reader *reader)
{
    struct df_pool *pool = reader->pool;
    const char *id = reader->field[COLUMN_ID], *label = reader->field[COLUMN_LABEL];
    const char *state = reader->field[COLUMN_STATUS];
    long long line = (long long)reader->record_line;
    int64_t row;
    if (!id || !label)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: %d fields, expected id and label", reader->path, line,
                reader->field_count);
    if (reader->field_count > reader->column_count) /* an id with a bare comma would get another's label */
        DF_FAIL(DFAL_E_DATA, "%s:%lld: %d fields, expected at most the %d of the header", reader->path, line,
                reader->field_count, reader->column_count);
    DF_TRY(df_pool_find(pool, &row, id));
    /* QUERIES.csv writes such an id behind a ', so that no spreadsheet takes it for a formula. */
    if (row < 0 && id[0] == '\'' && id[1] && strchr("=+-@\t\r", id[1]))
        DF_TRY(df_pool_find(pool, &row, id + 1));
    if (row < 0)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: id '%s' is not in %s", reader->path, line, id, pool->path);
    bool skip = state && strcmp(state, "skip") == 0, unsure = state && strcmp(state, "unsure") == 0;
    if (state && state[0] && !skip && !unsure && strcmp(state, "label") != 0)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: status '%s', expected label, skip or unsure", reader->path, line,
                state);
    int32_t class = -1;
    if (!skip && !unsure)
        DF_TRY(find_class(reader, label, &class));
    pool->labels[row] = class;
    pool->skipped[row] = skip;
    reader->largest = class > reader->largest ? class : reader->largest;
    return DFAL_OK;
}

static void field_end(void *text, size_t size, void *user)
{
    struct reader *reader = user;
    if (reader->status == DFAL_OK)
        reader->status = take_field(reader, text ? text : "", size);
}

static dfal_status end_header(struct reader *reader)
{
    for (int which = COLUMN_ID; which <= COLUMN_LABEL; which++)
        if (reader->position[which] < 0)
            DF_FAIL(DFAL_E_DATA,
                    "%s:%lld: the header has no column '%s', expected id,label[,annotator,seconds,status]",
                    reader->path, (long long)reader->record_line, column_names[which]);
    reader->header_done = true;
    reader->column_count = reader->field_count;
    return DFAL_OK;
}

static void record_end(int terminator, void *user)
{
    (void)terminator;
    struct reader *reader = user;
    if (reader->status == DFAL_OK)
        reader->status = reader->header_done ? apply(reader) : end_header(reader);
    for (int which = 0; which < COLUMN_COUNT; which++) {
        df_free(reader->field[which]);
        reader->field[which] = NULL;
    }
    reader->field_count = 0;
}

/* libcsv counts no lines: it is fed line by line. */
static dfal_status parse(struct reader *reader, const char *text, size_t size)
{
    struct csv_parser parser;
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0)
        DF_FAIL(DFAL_E_MEMORY, "%s: no memory for the CSV reader", reader->path);
    csv_set_space_func(&parser, space_is_content);
    bool broken = false;
    for (size_t at = 0; at < size && reader->status == DFAL_OK && !broken;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t n = end ? (size_t)(end - text) - at + 1 : size - at;
        if (reader->field_count == 0 && parser.entry_pos == 0)
            reader->record_line = reader->line;
        broken = csv_parse(&parser, text + at, n, field_end, record_end, reader) != n;
        at += n;
        reader->line += !broken && at < size;
    }
    if (!broken && reader->status == DFAL_OK)
        broken = csv_fini(&parser, field_end, record_end, reader) != 0;
    if (broken && reader->status == DFAL_OK)
        reader->status =
            df_fail(csv_error(&parser) == CSV_ENOMEM ? DFAL_E_MEMORY : DFAL_E_DATA, "%s:%lld: %s",
                    reader->path, (long long)reader->line,
                    csv_error(&parser) == CSV_ENOMEM ? "no memory for the line"
                                                     : "broken quoting, expected CSV as in RFC 4180");
    csv_free(&parser);
    return reader->status;
}

dfal_status df_labels_overlay(struct df_pool *pool, const char *path)
{
    struct reader reader = {.pool = pool, .path = path, .line = 1, .position = {-1, -1, -1}, .largest = -1};
    dfal_status status;
    char *text = NULL;
    size_t size;
    DF_TRY(df_file_read(&text, &size, path, file_limit));
    if (!pool->labels) {
        DF_TRY_TO(done, status, df_alloc(&pool->labels, pool->count, sizeof *pool->labels));
        for (int64_t i = 0; i < pool->count; i++)
            pool->labels[i] = -1;
    }
    if (!pool->skipped)
        DF_TRY_TO(done, status, df_alloc(&pool->skipped, pool->count, 1));
    size_t mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    DF_TRY_TO(done, status, parse(&reader, text + mark, size - mark));
    if (!reader.header_done) {
        status = df_fail(DFAL_E_DATA, "%s is empty, expected the header id,label[,annotator,seconds,status]",
                         path);
        goto done;
    }
    if (pool->counted_classes && reader.largest >= pool->class_count)
        pool->class_count = reader.largest + 1;
done:
    df_free(text);
    for (int which = 0; which < COLUMN_COUNT; which++)
        df_free(reader.field[which]);
    return status;
}
