/* SPDX-License-Identifier: Apache-2.0 */
/* A command that chooses, and the folder beside QUERIES.csv in which it works. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "api/select_job.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"

dfal_status df_select_command_check(const struct df_select_job *job)
{
    struct df_words words;
    const dfal_status status = df_words_split(&words, job->options->strategy_command, DFAL_E_USAGE);
    df_words_clear(&words);
    return status;
}

dfal_status df_select_command_claim(struct df_select_job *job)
{
    if (!job->options->strategy_command)
        return DFAL_OK;
    DF_TRY(df_format(&job->command_folder, "%s.command", job->out_path));
    return df_claim_folder(&job->claim, job->command_folder, "folder of the command");
}

/* The command is started where dfal is, but may go elsewhere. */
static dfal_status absolute(char **out, const char *path)
{
    char whole[PATH_MAX];
    if (!realpath(path, whole))
        return df_fail_errno(errno, false, path, "finding");
    return df_strdup(out, whole);
}

dfal_status df_select_command_open(struct df_select_job *job)
{
    char *folder = NULL;
    if (!job->options->strategy_command)
        return DFAL_OK;
    DF_TRY(absolute(&job->command_network, job->network_name));
    DF_TRY(absolute(&job->command_pool, job->pool_path));
    DF_TRY(df_folder_create(job->command_folder));
    DF_TRY(absolute(&folder, job->command_folder));
    df_free(job->command_folder);
    job->command_folder = folder;
    job->command = (struct df_command_place){.text = job->options->strategy_command,
                                             .folder = job->command_folder,
                                             .network_path = job->command_network,
                                             .pool_path = job->command_pool,
                                             .goes = true};
    return DFAL_OK;
}

dfal_status df_select_command_close(struct df_select_job *job, dfal_status status)
{
    char sentence[DF_MESSAGE_SIZE];
    if (!job->options->strategy_command || (status == DFAL_E_STOPPED && job->context->kept_work))
        return status;
    df_message_get(sentence);
    const dfal_status removed = df_path_remove(job->command_folder);
    if (status == DFAL_OK)
        return removed;
    df_message_set(sentence);
    return status;
}
