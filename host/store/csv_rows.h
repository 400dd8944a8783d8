/* SPDX-License-Identifier: Apache-2.0 */
/* CSV as in RFC 4180 with a header, record by record; also as spreadsheets of other countries write it. The
 * separator is the comma, semicolon or tab that gives the header most of the columns looked for (the comma
 * where none is better), or what a first line `sep=;` says; no row but the header is looked at. UTF-8, or
 * UTF-16 with a byte-order mark. */
#ifndef DF_STORE_CSV_ROWS_H
#define DF_STORE_CSV_ROWS_H

#include "base/status.h"

enum { DF_CSV_COLUMNS = 8, DF_CSV_FOUND = 256 };

/* A table being read. The caller fills the first part. */
struct df_csv {
    const char *path;
    const char *const *columns; /* names looked for, in any order; others are passed over */
    int32_t count;              /* of them, at most DF_CSV_COLUMNS */
    const char *header;         /* for messages: "id,label[,status]" */
    /* A first record without any of these names is no header: then the columns stand in their order. */
    bool may_be_bare;
    dfal_status (*begin)(struct df_csv *csv);  /* after the header; NULL: nothing to do */
    dfal_status (*record)(struct df_csv *csv); /* after each record */
    void *user;
    /* filled in */
    int64_t line;                     /* of the record's first line, 1-based */
    int32_t position[DF_CSV_COLUMNS]; /* -1: the header has no such column */
    char *field[DF_CSV_COLUMNS]; /* of this record; NULL: missing. A callback may take one and leave NULL. */
    int32_t field_count, column_count; /* of this record; of the header */
    char separator;
    char found[DF_CSV_FOUND]; /* names of the header's columns, shortened: "a, b, ..." */
};
/* Read a file of at most 1 GiB, block by block: a record of at most 4 MiB is held.
 * Errors   E_NOINPUT; E_DATA with file and line: empty, broken quoting, a zero byte, a doubled column, more
 *          than 64 columns, a record that is too long, an unknown separator; those of the callbacks */
dfal_status df_csv_read(struct df_csv *csv);

#endif
