/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_merge: parts of whatever there are parts of. */
#include <errno.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "publish.h"
#include "run/part_merge.h"
#include "score/merge_files.h"

/* Folders alone are run directories, files alone scores or logits. What is missing is neither. */
static dfal_status look(bool *folders, const char *const *paths, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (access(paths[i], F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
            DF_FAIL(DFAL_E_NOINPUT, "%s: no such file or folder, expected a part to merge", paths[i]);
    *folders = df_folder_exists(paths[0]);
    for (int32_t i = 1; i < count; i++)
        if (df_folder_exists(paths[i]) != *folders)
            DF_FAIL(DFAL_E_DATA,
                    "%s is a folder and %s is none, expected run directories alone or files alone",
                    paths[*folders ? 0 : i], paths[*folders ? i : 0]);
    return DFAL_OK;
}

dfal_status dfal_merge(dfal_context *context, const char *out_path, const char *const *shard_paths,
                       int32_t shard_count)
{
    bool folders;
    if (shard_count < 1)
        DF_FAIL(DFAL_E_USAGE, "no shard to merge, expected at least one file of scores or logits, or one run "
                              "directory");
    context->kept_work = false;
    DF_TRY(look(&folders, shard_paths, shard_count));
    return folders ? df_run_merge(context, out_path, shard_paths, shard_count, df_run_publish)
                   : df_merge_files(context, out_path, shard_paths, shard_count);
}
