/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "api/select_job.h"
#include "base/file.h"
#include "base/memory.h"

enum { MOST = 1 << 20 };

dfal_status df_select_journal_path(char **path, const struct df_select_job *job)
{
    return df_format(path, "%s.unfinished", job->out_path);
}

static void put_line(struct df_text *text, const char *key, const char *value)
{
    df_text_add(text, "%s ", key);
    df_text_json(text, value ? value : "");
    df_text_add(text, "\n");
}

/* What shapes the files. Label files count by what they leave to choose from. */
static dfal_status describe(char **out, const struct df_select_job *job)
{
    const struct dfal_select_options *options = job->options;
    struct df_text text = {0};
    char *deepfool = NULL;
    DF_TRY(df_deepfool_to_json(&deepfool, &job->deepfool, options->score->unconverged));
    put_line(&text, "strategy", job->strategy->name);
    df_text_add(&text, "count %lld\nsubsample %lld\nseed %llu\ncandidates %lld\nlabelled %016llx\n",
                (long long)options->count, (long long)options->subsample,
                (unsigned long long)job->context->options.seed, (long long)job->count,
                (unsigned long long)job->labelled);
    put_line(&text, "network", job->network_sha256);
    put_line(&text, "pool", job->pool->fingerprint);
    put_line(&text, "deepfool", deepfool);
    put_line(&text, "scores", options->scores_path);
    put_line(&text, "logits", options->logits_path);
    put_line(&text, "twins", options->twins_path);
    put_line(&text, "sheet", options->sheet_path);
    df_free(deepfool);
    return df_text_take(&text, out);
}

dfal_status df_select_journal_write(const struct df_select_job *job)
{
    char *path = NULL, *text = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_select_journal_path(&path, job));
    DF_TRY_TO(done, status, describe(&text, job));
    status = df_file_write(path, text, strlen(text));
done:
    df_free(path);
    df_free(text);
    return status;
}

void df_select_journal_remove(const struct df_select_job *job)
{
    char *path = NULL;
    if (df_select_journal_path(&path, job) == DFAL_OK)
        unlink(path);
    df_free(path);
}

static int line_length(const char *text)
{
    const char *end = strchr(text, '\n');
    return end ? (int)(end - text) : (int)strlen(text);
}

static dfal_status compare(const char *path, const char *theirs, const char *ours)
{
    while (*theirs && *ours) {
        int a = line_length(theirs), b = line_length(ours);
        if (a != b || memcmp(theirs, ours, (size_t)a))
            DF_FAIL(DFAL_E_CONFIG,
                    "%s tells of an unfinished selection with %.*s, expected %.*s: finish that line first, "
                    "or use "
                    "--force",
                    path, a, theirs, b, ours);
        theirs += a + (theirs[a] != 0);
        ours += b + (ours[b] != 0);
    }
    if (*theirs || *ours)
        DF_FAIL(DFAL_E_CONFIG, "%s is cut short, expected what an unfinished selection asked for: remove it",
                path);
    return DFAL_OK;
}

bool df_select_journal_exists(const struct df_select_job *job)
{
    char *path = NULL;
    bool exists = df_select_journal_path(&path, job) == DFAL_OK && df_file_exists(path);
    df_free(path);
    return exists;
}

dfal_status df_select_journal_find(const struct df_select_job *job, bool *found)
{
    char *path = NULL, *theirs = NULL, *ours = NULL;
    size_t size = 0;
    dfal_status status;
    *found = false;
    DF_TRY_TO(done, status, df_select_journal_path(&path, job));
    df_file_sweep(path);
    if (!df_file_exists(path) || job->context->options.force)
        goto done;
    DF_TRY_TO(done, status, df_file_read(&theirs, &size, path, MOST));
    DF_TRY_TO(done, status, describe(&ours, job));
    DF_TRY_TO(done, status, compare(path, theirs, ours));
    *found = true;
done:
    df_free(path);
    df_free(theirs);
    df_free(ours);
    return status;
}
