/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DF_SCORE_SCORES_MERGE_H
#define DF_SCORE_SCORES_MERGE_H

#include "base/context.h"

/* df_merge_rows for scores files. */
dfal_status df_scores_merge(struct dfal_context *context, const char *out_path, const char *const *paths,
                            int32_t count, int64_t *rows);

#endif
