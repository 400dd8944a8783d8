/* SPDX-License-Identifier: Apache-2.0 */
/* CSV as in RFC 4180 with a header, record by record. */
#ifndef DF_STORE_CSV_ROWS_H
#define DF_STORE_CSV_ROWS_H

#include "base/status.h"

enum { DF_CSV_COLUMNS = 8 };

/* A table being read. The caller fills the first part. */
struct df_csv {
    const char *path;
    const char *const *columns;                /* names looked for, in any order; others are passed over */
    int32_t count;                             /* of them, at most DF_CSV_COLUMNS */
    const char *header;                        /* for messages: "id,label[,status]" */
    dfal_status (*begin)(struct df_csv *csv);  /* after the header; NULL: nothing to do */
    dfal_status (*record)(struct df_csv *csv); /* after each record */
    void *user;
    /* filled in */
    int64_t line;                     /* of the record's first line, 1-based */
    int32_t position[DF_CSV_COLUMNS]; /* -1: the header has no such column */
    char *field[DF_CSV_COLUMNS]; /* of this record; NULL: missing. A callback may take one and leave NULL. */
    int32_t field_count, column_count; /* of this record; of the header */
};
/* Read a file of at most 1 GiB, with or without a byte-order mark.
 * Errors   E_NOINPUT; E_DATA with file and line: empty, broken quoting, a zero byte, a doubled column, more than 64;
 *          those of the callbacks */
dfal_status df_csv_read(struct df_csv *csv);

#endif
