/* SPDX-License-Identifier: Apache-2.0 */
#include "store/csv_rows.h"

#include <csv.h>
#include <stdio.h>
#include <string.h>

#include "base/kind.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/text_file.h"

enum { COLUMN_LIMIT = 64 };
static const size_t file_limit = (size_t)1 << 30, record_limit = (size_t)4 << 20;

/* libcsv's call backs cannot return an error, so the first one waits here. */
struct reader {
    struct df_csv *csv;
    struct csv_parser parser;
    int64_t line; /* a quoted field may span lines */
    size_t record_bytes;
    bool begun, header_done, line_ended;
    dfal_status status;
};

static int space_is_content(unsigned char c)
{
    (void)c;
    return 0; /* RFC 4180: blanks belong to the field */
}

/* Keep a column's name for messages. */
static void note_column(struct df_csv *csv, const char *text, size_t size)
{
    char name[DF_SHOWN_TEXT], shown[DF_SHOWN_TEXT];
    const size_t used = strlen(csv->found);
    snprintf(name, sizeof name, "%.*s", (int)(size < sizeof name ? size : sizeof name), text);
    df_shown(shown, name);
    if (used + strlen(shown) + 8 < sizeof csv->found)
        snprintf(csv->found + used, sizeof csv->found - used, "%s%s", used ? ", " : "", shown);
    else if (used < 4 || strcmp(csv->found + used - 3, "...") != 0)
        snprintf(csv->found + used, sizeof csv->found - used, ", ...");
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
    if (!reader->header_done)
        note_column(csv, text, size);
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

static dfal_status fail_parser(struct reader *reader)
{
    const bool memory = csv_error(&reader->parser) == CSV_ENOMEM;
    return df_fail(memory ? DFAL_E_MEMORY : DFAL_E_DATA, "%s:%lld: %s", reader->csv->path,
                   (long long)reader->line,
                   memory ? "no memory for the line" : "broken quoting, expected CSV as in RFC 4180");
}

/* libcsv counts no lines: it is fed line by line. A piece may end anywhere. */
static dfal_status feed(struct reader *reader, const char *text, size_t size)
{
    struct df_csv *csv = reader->csv;
    for (size_t at = 0; at < size && reader->status == DFAL_OK;) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t n = end ? (size_t)(end - text) - at + 1 : size - at;
        reader->line += reader->line_ended;
        reader->line_ended = end != NULL;
        if (csv->field_count == 0 && reader->parser.entry_pos == 0) {
            csv->line = reader->line;
            reader->record_bytes = 0;
        }
        if (n > record_limit - reader->record_bytes)
            DF_FAIL(DFAL_E_DATA, "%s:%lld: more than %zu bytes in a record, expected a table", csv->path,
                    (long long)csv->line, record_limit);
        reader->record_bytes += n;
        if (csv_parse(&reader->parser, text + at, n, on_field, on_record, reader) != n)
            return reader->status == DFAL_OK ? fail_parser(reader) : reader->status;
        at += n;
    }
    return reader->status;
}

/* How many of the columns looked for a header has when it is cut at a separator. */
struct header {
    const struct df_csv *csv;
    int32_t found;
    bool ended;
};

static void on_header_field(void *text, size_t size, void *user)
{
    struct header *header = user;
    for (int32_t which = 0; which < header->csv->count && !header->ended; which++)
        header->found += size == strlen(header->csv->columns[which]) &&
                         memcmp(text ? text : "", header->csv->columns[which], size) == 0;
}

static void on_header_end(int terminator, void *user)
{
    (void)terminator;
    ((struct header *)user)->ended = true;
}

static dfal_status begin_parser(struct csv_parser *parser, const char *path, char separator)
{
    if (csv_init(parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0)
        DF_FAIL(DFAL_E_MEMORY, "%s: no memory for the CSV reader", path);
    csv_set_space_func(parser, space_is_content);
    csv_set_delim(parser, (unsigned char)separator);
    csv_set_blk_size(parser, 4096);
    return DFAL_OK;
}

/* Columns looked for in the first line, cut at this separator. */
static dfal_status count_header(const struct df_csv *csv, const char *text, size_t size, char separator,
                                int32_t *found)
{
    const char *end = memchr(text, '\n', size);
    struct header header = {.csv = csv};
    struct csv_parser parser;
    size = end ? (size_t)(end - text) + 1 : size;
    DF_TRY(begin_parser(&parser, csv->path, separator));
    /* what is wrong with the header is told when it is read */
    (void)csv_parse(&parser, text, size, on_header_field, on_header_end, &header);
    (void)csv_fini(&parser, on_header_field, on_header_end, &header);
    csv_free(&parser);
    *found = header.found;
    return DFAL_OK;
}

static dfal_status sniff(struct df_csv *csv, const char *text, size_t size)
{
    static const char separators[] = {',', ';', '\t'};
    int32_t best = -1, found;
    for (size_t i = 0; i < sizeof separators; i++) {
        DF_TRY(count_header(csv, text, size, separators[i], &found));
        if (found > best) {
            best = found;
            csv->separator = separators[i];
        }
    }
    return DFAL_OK;
}

/* A first line `sep=;`, as Excel writes and obeys it; *size 0: there is none. */
static dfal_status declared(struct df_csv *csv, const char *text, size_t *size)
{
    const size_t all = *size, quote = all > 0 && text[0] == '"';
    *size = 0;
    if (all < quote + 6 || !df_begins_but_case(text + quote, "sep="))
        return DFAL_OK;
    size_t at = quote + 5;
    if (quote && text[at] == '"')
        at++;
    if (at < all && text[at] == '\r')
        at++;
    if (at >= all || text[at] != '\n')
        return DFAL_OK;
    if (text[quote + 4] == '\0' || !strchr(",;\t|", text[quote + 4]))
        DF_FAIL(DFAL_E_DATA,
                "%s:1: '%.5s', expected a comma, a semicolon, a tab or a | behind sep=", csv->path,
                text + quote);
    csv->separator = text[quote + 4];
    *size = at + 1;
    return DFAL_OK;
}

static dfal_status take_bare(struct reader *reader, const char *text, size_t size)
{
    struct df_csv *csv = reader->csv;
    int32_t found;
    DF_TRY(count_header(csv, text, size, csv->separator, &found));
    if (found)
        return DFAL_OK;
    reader->header_done = true;
    csv->column_count = csv->count;
    for (int32_t which = 0; which < csv->count; which++)
        csv->position[which] = which;
    return csv->begin ? csv->begin(csv) : DFAL_OK;
}

static dfal_status begin_table(struct reader *reader, const char *text, size_t size, size_t *at)
{
    struct df_csv *csv = reader->csv;
    *at = size;
    DF_TRY(declared(csv, text, at));
    reader->line += *at > 0;
    if (*at == 0)
        DF_TRY(sniff(csv, text, size));
    if (csv->may_be_bare)
        DF_TRY(take_bare(reader, text + *at, size - *at));
    DF_TRY(begin_parser(&reader->parser, csv->path, csv->separator));
    reader->begun = true;
    return DFAL_OK;
}

static dfal_status read_table(struct reader *reader, struct df_text_file *file)
{
    const char *text;
    size_t size, at;
    for (;;) {
        DF_TRY(df_text_file_next(file, &text, &size));
        if (size == 0)
            break;
        at = 0;
        if (!reader->begun)
            DF_TRY(begin_table(reader, text, size, &at));
        DF_TRY(feed(reader, text + at, size - at));
    }
    if (reader->begun && csv_fini(&reader->parser, on_field, on_record, reader) != 0 &&
        reader->status == DFAL_OK)
        return fail_parser(reader);
    DF_TRY(reader->status);
    if (!reader->header_done)
        DF_FAIL(DFAL_E_DATA, "%s is empty, expected the header %s", reader->csv->path, reader->csv->header);
    return DFAL_OK;
}

dfal_status df_csv_read(struct df_csv *csv)
{
    struct reader reader = {.csv = csv, .line = 1};
    struct df_text_file file = DF_TEXT_FILE_NONE;
    dfal_status status;
    csv->line = 1;
    csv->field_count = csv->column_count = 0;
    csv->separator = ',';
    csv->found[0] = 0;
    for (int32_t which = 0; which < csv->count; which++) {
        csv->position[which] = -1;
        csv->field[which] = NULL;
    }
    DF_TRY(df_refuse_kind(csv->path, "a text file with columns (CSV)"));
    DF_TRY_TO(done, status, df_text_file_open(&file, csv->path, file_limit));
    status = read_table(&reader, &file);
done:
    if (reader.begun)
        csv_free(&reader.parser);
    clear_fields(csv);
    df_text_file_close(&file);
    return status;
}
