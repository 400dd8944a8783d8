/* SPDX-License-Identifier: Apache-2.0 */
/* Files of rows of parts of a pool into one. */
#ifndef DF_SCORE_MERGE_FILES_H
#define DF_SCORE_MERGE_FILES_H

#include "base/status.h"

/* paths [count], at least one: scores, or logits. Errors   those of dfal_merge */
dfal_status df_merge_files(struct dfal_context *context, const char *out_path, const char *const *paths,
                           int32_t count);

#endif
