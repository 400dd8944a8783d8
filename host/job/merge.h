/* SPDX-License-Identifier: Apache-2.0 */
/* Files of rows of parts of a pool become one. */
#ifndef DF_JOB_MERGE_H
#define DF_JOB_MERGE_H

#include "store/row_file.h"

struct df_merge_part {
    const char *path;
    struct df_rows_head head;
};
/* What a kind of file has beside its rows; each function may be NULL. Parts are in the order of their
 * rows. */
struct df_merge_client {
    /* One part after another, before its rows are written. */
    dfal_status (*look)(void *user, const struct df_merge_part *part, int32_t i,
                        struct df_rows_reader *reader);
    /* Every row is in the file. */
    dfal_status (*complete)(void *user, const struct df_merge_part *parts, int32_t count,
                            struct df_rows_writer *writer);
};
/* Write one file of all rows of `paths`, which are shards of one cut, or ranges that cover the pool. rows: of
 * the file.
 * Errors   E_CONFIG the parts are not of one identity; E_DATA rows are missing or there twice; E_EXISTS;
 *          E_STOPPED; E_IO */
dfal_status df_merge_rows(struct dfal_context *context, const char *out_path, const char *const *paths,
                          int32_t count, const struct df_rows_kind *kind,
                          const struct df_merge_client *client, void *user, int64_t *rows);

#endif
