/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "commands.h"
#include "job_script.h"
#include "print.h"

const struct dfal_pool_options *pool_args_options(struct pool_args *args)
{
    args->options.size = sizeof args->options; /* the other defaults are zeros */
    args->options.label_files = args->labels.items;
    args->options.label_file_count = args->labels.count;
    return &args->options;
}

dfal_status check_rows(int64_t range_begin, int64_t range_end, int32_t shard_count)
{
    if (shard_count > 0 && (range_begin != 0 || range_end >= 0))
        return usage_error(DFAL_E_USAGE, "--range and --shard exclude each other; give one of them");
    return DFAL_OK;
}

void note_next(struct session *session, const char *const *words, int32_t count)
{
    char *line = job_bash_line("next: dfal", words, count, "");
    if (line != NULL)
        session_note(session, "%s", line);
    free(line);
}

void note_merge(struct session *session, int32_t shard_count, const char *file)
{
    session_note(session, "next, once all %d shards are there: dfal merge SHARD.h5... -o %s", shard_count,
                 file);
}
