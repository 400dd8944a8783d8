/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_merge: files of rows of parts of a pool into one. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "score/logits.h"
#include "score/scores_merge.h"

dfal_status dfal_merge(dfal_context *context, const char *out_path, const char *const *shard_paths,
                       int32_t shard_count)
{
    char format[32];
    int64_t rows = 0;
    if (shard_count < 1)
        DF_FAIL(DFAL_E_USAGE, "no shard to merge, expected at least one file of scores or logits");
    context->kept_work = false;
    DF_TRY(df_file_format(format, shard_paths[0]));
    if (strcmp(format, "dfal-logits") == 0)
        DF_TRY(df_logits_merge(context, out_path, shard_paths, shard_count, &rows));
    else
        DF_TRY(df_scores_merge(context, out_path, shard_paths, shard_count, &rows));
    df_say(context, DFAL_INFO, "merge.end",
           DF_FIELDS(DF_INT("shards", shard_count), DF_INT("samples", rows), DF_TEXT("output", out_path)),
           "%d shards, %" PRId64 " samples, output %s", shard_count, rows, out_path);
    return DFAL_OK;
}
