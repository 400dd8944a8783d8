/* SPDX-License-Identifier: Apache-2.0 */
/* Shorthands for jobs that tell facts. */
#ifndef DF_API_FACTS_H
#define DF_API_FACTS_H

#include "base/text.h"

struct df_teller {
    dfal_fact_fn *fact;
    void *user;
};
void df_tell_int(const struct df_teller *teller, const char *key, int64_t value);
void df_tell_real(const struct df_teller *teller, const char *key, double value);
/* Without memory a text of 1,024 bytes or more is cut. */
void df_tell_text(const struct df_teller *teller, const char *key, const char *format, ...) DFAL_PRINTF(3, 4);

/* "file_bytes"; of a file that is gone nothing. */
void df_tell_bytes(const struct df_teller *teller, const char *path);

/* A list on its way: zero-initialise, add its texts, tell it. */
struct df_list {
    struct df_text text;
    int64_t count;
};
void df_list_add(struct df_list *list, const char *format, ...) DFAL_PRINTF(2, 3);
/* The list is empty afterwards. Errors   E_MEMORY */
dfal_status df_tell_list(const struct df_teller *teller, const char *key, struct df_list *list);
dfal_status df_tell_reals(const struct df_teller *teller, const char *key, const double *values,
                          int32_t count);
/* The words of "a, b, c". */
dfal_status df_tell_words(const struct df_teller *teller, const char *key, const char *words);

/* info_pool.c: facts of a pool; of the datasets of a table. options NULL: the defaults. */
dfal_status df_tell_pool(const struct df_teller *teller, struct dfal_context *context, const char *path,
                         const struct dfal_pool_options *options);
/* Class names; names NULL: nothing. */
dfal_status df_tell_classes(const struct df_teller *teller, char *const *names, int32_t count);
dfal_status df_tell_table(const struct df_teller *teller, const char *path);
/* info_table.c: facts of a table in CSV; of what another framework computed, and whether a file is that. */
dfal_status df_tell_csv(const struct df_teller *teller, const char *path);
dfal_status df_tell_reference(const struct df_teller *teller, const char *path);
bool df_looks_like_reference(const char *format, const char *path);

/* job_progress.c: facts of a run directory, of OUT.parts of a training or a score. */
dfal_status df_tell_run_folder(const struct df_teller *teller, const char *path);

#endif
