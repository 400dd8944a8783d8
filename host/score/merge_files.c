/* SPDX-License-Identifier: Apache-2.0 */
#include "score/merge_files.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "score/logits.h"
#include "score/scores_merge.h"

dfal_status df_merge_files(struct dfal_context *context, const char *out_path, const char *const *paths,
                           int32_t count)
{
    char format[32];
    int64_t rows = 0;
    DF_TRY(df_file_format(format, paths[0]));
    if (strcmp(format, "dfal-logits") == 0)
        DF_TRY(df_logits_merge(context, out_path, paths, count, &rows));
    else
        DF_TRY(df_scores_merge(context, out_path, paths, count, &rows));
    df_say(context, DFAL_INFO, "merge.end",
           DF_FIELDS(DF_INT("shards", count), DF_INT("samples", rows), DF_TEXT("output", out_path)),
           "%d shards, %" PRId64 " samples, output %s", count, rows, out_path);
    return DFAL_OK;
}
