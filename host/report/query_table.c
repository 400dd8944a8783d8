/* SPDX-License-Identifier: Apache-2.0 */
/* Reads back queries.csv of a run directory (RFC 4180). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"
#include "report/report_run.h"
#include "store/classes.h"

#define MAX_TABLE ((size_t)1 << 30)
/* Tables of earlier versions end with the adversarial class. */
enum { COLUMNS = 13, LEAST_COLUMNS = 11, LABEL_NAME = 12 };

/* Cut the record at *at into fields in place, of which those behind the columns are passed over, and missing
 * ones are empty; false: it is cut short or has fewer than the least. */
static bool take_record(char **at, char *fields[COLUMNS])
{
    char *from = *at, *empty; /* the end of the last field */
    int count = 0;
    for (;;) {
        char *to = from, *begin = from;
        bool quoted = *from == '"';
        if (quoted)
            from++;
        for (;; from++) {
            if (!*from)
                return false;
            if (quoted && *from == '"' && from[1] == '"')
                from++;
            else if (quoted && *from == '"') {
                quoted = false;
                continue;
            } else if (!quoted && (*from == ',' || *from == '\n'))
                break;
            *to++ = *from;
        }
        char end = *from++;
        *to = 0;
        empty = to;
        if (count < COLUMNS)
            fields[count++] = begin;
        if (end == '\n')
            break;
    }
    *at = from;
    const bool enough = count >= LEAST_COLUMNS;
    while (count < COLUMNS)
        fields[count++] = empty;
    return enough;
}

/* False: a number is none, or one that cannot be. */
static bool take_numbers(struct df_query_row *row, char *fields[COLUMNS])
{
    static const struct df_number count = {.kind = DF_NUMBER_I32, .low = 1, .high = INT32_MAX},
                                  round = {.kind = DF_NUMBER_I32, .low = 0, .high = INT32_MAX},
                                  index = {.kind = DF_NUMBER_I64, .low = 0, .high = DF_NUMBER_NO_LIMIT},
                                  class = {.kind = DF_NUMBER_I32, .low = -1, .high = DF_CLASS_LIMIT};
    return df_number_parse(&count, fields[1], &row->trial) &&
           df_number_parse(&round, fields[2], &row->round) &&
           df_number_parse(&count, fields[3], &row->rank) &&
           df_number_parse(&index, fields[5], &row->index) &&
           df_number_parse(&class, fields[7], &row->predicted) &&
           df_number_parse(&class, fields[9], &row->label) &&
           df_number_parse(&class, fields[10], &row->adversarial_class);
}

dfal_status df_query_table_read(struct df_query_table *table, const char *dir)
{
    char *path = NULL, *text = NULL, *fields[COLUMNS];
    size_t size = 0;
    int64_t lines = 0;
    dfal_status status;
    *table = (struct df_query_table){0};
    DF_TRY_TO(done, status, df_format(&path, "%s/queries.csv", dir));
    DF_TRY_TO(done, status, df_file_read(&text, &size, path, MAX_TABLE));
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    DF_TRY_TO(done, status, df_alloc(&table->rows, lines + 1, sizeof *table->rows));
    char *at = text;
    if (!take_record(&at, fields) || strcmp(fields[0], "strategy")) {
        status = df_fail(DFAL_E_DATA, "%s: its header is not that of a query table", path);
        goto done;
    }
    while (*at && take_record(&at, fields)) {
        struct df_query_row *row = &table->rows[table->count];
        snprintf(row->strategy, sizeof row->strategy, "%.31s", fields[0]);
        table->count++;
        DF_TRY_TO(done, status, df_strdup(&row->id, fields[4]));
        DF_TRY_TO(done, status, df_strdup(&row->label_name, fields[LABEL_NAME]));
        if (!take_numbers(row, fields)) {
            status = df_fail(DFAL_E_DATA, "%s: query %lld is not a row of a query table", path,
                             (long long)table->count);
            goto done;
        }
        row->score = fields[6][0] ? df_parse_real(fields[6], NULL) : (double)NAN;
        row->confidence = df_parse_real(fields[8], NULL);
    }
done:
    df_free(path);
    df_free(text);
    if (status != DFAL_OK)
        df_query_table_clear(table);
    return status;
}

void df_query_table_clear(struct df_query_table *table)
{
    for (int64_t i = 0; i < table->count; i++) {
        df_free(table->rows[i].id);
        df_free(table->rows[i].label_name);
    }
    df_free(table->rows);
    *table = (struct df_query_table){0};
}
