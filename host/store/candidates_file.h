/* SPDX-License-Identifier: Apache-2.0 */
/* What a command that chooses gets to read (docs/FORMATS.md, "Strategy command"): the candidates of one
 * selection and the labelled rows. Values are written as they come, so that no array of them is ever held. */
#ifndef DF_STORE_CANDIDATES_FILE_H
#define DF_STORE_CANDIDATES_FILE_H

#include "store/pool.h"

/* Everything is borrowed until the file is finished. */
struct df_candidates_head {
    int64_t queries; /* the command is asked for */
    int32_t class_count;
    uint64_t seed;
    int32_t round;
    const char *network, *pool, *node;
    char *const *classes; /* [class_count] as the logits count them; NULL: they have no names */
};
struct df_candidates_rows {
    const int64_t *rows; /* [count] of the pool, ascending */
    int64_t count;
};
enum df_candidates_values { DF_CANDIDATES_LOGITS, DF_CANDIDATES_FEATURES, DF_CANDIDATES_LABELLED_FEATURES };

struct df_candidates_writer;
/* labels [labelled->count], -1: not known. size: values of a row's features. */
dfal_status df_candidates_create(struct df_candidates_writer **out, const char *path,
                                 const struct df_candidates_head *head,
                                 const struct df_candidates_rows *candidates,
                                 const struct df_candidates_rows *labelled, const int32_t *labels,
                                 int64_t size);
/* Values of rows [at, at + count) of the candidates or the labelled rows, in any order. */
dfal_status df_candidates_put(struct df_candidates_writer *writer, enum df_candidates_values which,
                              int64_t at, int64_t count, const float *values);
/* Ids of the next candidates. */
dfal_status df_candidates_put_ids(struct df_candidates_writer *writer, int64_t at, int64_t count,
                                  char *const *ids);
/* Publish; frees the writer in every case. */
dfal_status df_candidates_finish(struct df_candidates_writer *writer);
void df_candidates_abandon(struct df_candidates_writer *writer); /* NULL is fine */

#endif
