/* SPDX-License-Identifier: Apache-2.0 */
/* Whole scores files in one call, for tests. Needs df_store. */
#ifndef DFAL_TESTS_SCORES_FILE_H
#define DFAL_TESTS_SCORES_FILE_H

#include "store/scores.h"

/* The head, and the rows with all columns and ids unless scores is NULL; to be cleared by the caller. */
static inline dfal_status test_scores_read(const char *path, struct df_rows_head *head,
                                           struct df_scores *scores)
{
    struct df_rows_reader *reader;
    dfal_status status = DFAL_OK;
    if (scores)
        *scores = (struct df_scores){0};
    DF_TRY(df_rows_open(&reader, head, path, &df_scores_kind));
    if (scores)
        status = df_rows_take(reader, 0, df_rows_count(reader), true, &scores->rows);
    df_rows_close(reader);
    if (status != DFAL_OK)
        df_rows_head_clear(head);
    return status;
}

/* A finished part: rows [begin, begin + scores->count), without hashes of its rows. */
static inline dfal_status test_scores_write(const char *path, const struct df_rows_head *head,
                                            const struct df_scores *scores)
{
    const struct df_rows *rows = &scores->rows;
    return df_rows_write_parts(&path, head, &rows, NULL, 1);
}

#endif
