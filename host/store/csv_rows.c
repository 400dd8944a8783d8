/* SPDX-License-Identifier: Apache-2.0 */
#include "store/csv_rows.h"

#include <csv.h>
#include <string.h>

#include "base/file.h"
#include "base/kind.h"
#include "base/memory.h"

enum { COLUMN_LIMIT = 64 };
static const size_t file_limit = (size_t)1 << 30;

/* libcsv's call backs cannot return an error, so the first one waits here. */
struct reader {
    struct df_csv *csv;
    int64_t line; /* a quoted field may span lines */
    bool header_done;
    dfal_status status;
};

static int space_is_content(unsigned char c)
{
    (void)c;
    return 0; /* RFC 4180: blanks belong to the field */
}

static dfal_status take_field(struct reader *reader, const char *text, size_t size)
{
    struct df_csv *csv = reader->csv;
    const int32_t at = csv->field_count++;
    if (at >= COLUMN_LIMIT)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: more than %d columns", csv->path, (long long)reader->line,
                COLUMN_LIMIT);
    if (memchr(text, '\0', size))
        DF_FAIL(DFAL_E_DATA, "%s:%lld: a zero byte in column %d", csv->path, (long long)reader->line, at + 1);
    for (int32_t which = 0; which < csv->count; which++) {
        if (!reader->header_done) {
            if (size == strlen(csv->columns[which]) && memcmp(text, csv->columns[which], size) == 0) {
                if (csv->position[which] >= 0)
                    DF_FAIL(DFAL_E_DATA, "%s:%lld: column '%s' stands twice in the header", csv->path,
                            (long long)reader->line, csv->columns[which]);
                csv->position[which] = at;
            }
        } else if (csv->position[which] == at) {
            DF_TRY(df_alloc(&csv->field[which], (int64_t)size + 1, 1));
            memcpy(csv->field[which], text, size);
        }
    }
    return DFAL_OK;
}

static void clear_fields(struct df_csv *csv)
{
    for (int32_t which = 0; which < csv->count; which++) {
        df_free(csv->field[which]);
        csv->field[which] = NULL;
    }
    csv->field_count = 0;
}

static dfal_status end_record(struct reader *reader)
{
    struct df_csv *csv = reader->csv;
    if (reader->header_done)
        return csv->record(csv);
    reader->header_done = true;
    csv->column_count = csv->field_count;
    return csv->begin ? csv->begin(csv) : DFAL_OK;
}

static void on_field(void *text, size_t size, void *user)
{
    struct reader *reader = user;
    if (reader->status == DFAL_OK)
        reader->status = take_field(reader, text ? text : "", size);
}

static void on_record(int terminator, void *user)
{
    (void)terminator;
    struct reader *reader = user;
    if (reader->status == DFAL_OK)
        reader->status = end_record(reader);
    clear_fields(reader->csv);
}

/* libcsv counts no lines: it is fed line by line. */
static dfal_status parse(struct reader *reader, const char *text, size_t size)
{
    struct df_csv *csv = reader->csv;
    struct csv_parser parser;
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0)
        DF_FAIL(DFAL_E_MEMORY, "%s: no memory for the CSV reader", csv->path);
    csv_set_space_func(&parser, space_is_content);
    bool broken = false;
    for (size_t at = 0; at < size && reader->status == DFAL_OK && !broken;) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t n = end ? (size_t)(end - text) - at + 1 : size - at;
        if (csv->field_count == 0 && parser.entry_pos == 0)
            csv->line = reader->line;
        broken = csv_parse(&parser, text + at, n, on_field, on_record, reader) != n;
        at += n;
        reader->line += !broken && at < size;
    }
    if (!broken && reader->status == DFAL_OK)
        broken = csv_fini(&parser, on_field, on_record, reader) != 0;
    if (broken && reader->status == DFAL_OK)
        reader->status =
            df_fail(csv_error(&parser) == CSV_ENOMEM ? DFAL_E_MEMORY : DFAL_E_DATA, "%s:%lld: %s", csv->path,
                    (long long)reader->line,
                    csv_error(&parser) == CSV_ENOMEM ? "no memory for the line"
                                                     : "broken quoting, expected CSV as in RFC 4180");
    csv_free(&parser);
    return reader->status;
}

dfal_status df_csv_read(struct df_csv *csv)
{
    struct reader reader = {.csv = csv, .line = 1};
    dfal_status status;
    char *text = NULL;
    size_t size;
    csv->line = 1;
    csv->field_count = csv->column_count = 0;
    for (int32_t which = 0; which < csv->count; which++) {
        csv->position[which] = -1;
        csv->field[which] = NULL;
    }
    DF_TRY(df_refuse_kind(csv->path, "a text file with columns (CSV)"));
    DF_TRY(df_file_read(&text, &size, csv->path, file_limit));
    const size_t mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    status = parse(&reader, text + mark, size - mark);
    if (status == DFAL_OK && !reader.header_done)
        status = df_fail(DFAL_E_DATA, "%s is empty, expected the header %s", csv->path, csv->header);
    clear_fields(csv);
    df_free(text);
    return status;
}
