/* SPDX-License-Identifier: Apache-2.0 */
/* Logits files: the rows that one forward gives. */
#ifndef DF_SCORE_LOGITS_H
#define DF_SCORE_LOGITS_H

#include "store/row_file.h"

/* What to merge logits files of parts of a pool as: the node and its shape as the first of them tells it.
 * Errors   as df_merge_rows */
dfal_status df_logits_merge(struct dfal_context *context, const char *out_path, const char *const *paths,
                            int32_t count, int64_t *rows);

#endif
