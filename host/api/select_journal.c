/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <unistd.h>

#include "api/select_job.h"
#include "base/file.h"
#include "base/identity.h"
#include "base/memory.h"

enum { MOST = 1 << 20 };

dfal_status df_select_journal_path(char **path, const struct df_select_job *job)
{
    return df_format(path, "%s.unfinished", job->out_path);
}

/* A path may hold a line end: as JSON it stays one line. */
static void add_text(struct df_identity *identity, const char *key, const char *value)
{
    struct df_text text = {0};
    df_text_json(&text, value ? value : "");
    DF_KEEP_FIRST(identity->status, text.status);
    df_identity_add(identity, key, "%s", text.bytes);
    df_text_clear(&text);
}

dfal_status df_select_describe(struct df_identity *identity, const struct df_select_job *job)
{
    const struct dfal_select_options *options = job->options;
    char *deepfool = NULL;
    DF_TRY(df_deepfool_to_json(&deepfool, &job->deepfool, options->score->unconverged));
    add_text(identity, "strategy", job->strategy->name);
    if (options->strategy_command)
        add_text(identity, "command", options->strategy_command);
    for (const struct df_strategy_option *own = job->strategy->options; own && own->key; own++) {
        char key[64];
        snprintf(key, sizeof key, "option.%s", own->key);
        add_text(identity, key, df_option_text(&job->values, job->strategy->options, own->key));
    }
    if (job->strategy->solver) {
        add_text(identity, "solver", job->solver);
        df_identity_recent(identity, "solver");
    }
    df_identity_add(identity, "count", "%lld", (long long)options->count);
    df_identity_add(identity, "subsample", "%lld", (long long)options->subsample);
    df_identity_add(identity, "seed", "%llu", (unsigned long long)job->context->options.seed);
    df_identity_add(identity, "candidates", "%lld", (long long)job->count);
    df_identity_add(identity, "labelled", "%016llx", (unsigned long long)job->labelled);
    add_text(identity, "network", job->network_sha256);
    add_text(identity, "pool", job->pool->fingerprint);
    df_identity_add(identity, "deepfool", "%s", deepfool);
    if (options->score->cascade)
        add_text(identity, "cascade", "yes");
    add_text(identity, "scores", options->scores_path);
    add_text(identity, "logits", options->logits_path);
    add_text(identity, "twins", options->twins_path);
    add_text(identity, "sheet", options->sheet_path);
    add_text(identity, "pseudo_labels", options->pseudo_labels_path);
    df_free(deepfool);
    return identity->status;
}

dfal_status df_select_journal_write(const struct df_select_job *job)
{
    struct df_identity ours = {0};
    struct df_text text = {0};
    char *path = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_select_journal_path(&path, job));
    DF_TRY_TO(done, status, df_select_describe(&ours, job));
    DF_TRY_TO(done, status, df_identity_write(&text, &ours));
    status = df_file_write(path, text.bytes, (size_t)text.size);
done:
    df_free(path);
    df_text_clear(&text);
    df_identity_clear(&ours);
    return status;
}

void df_select_journal_remove(const struct df_select_job *job)
{
    char *path = NULL;
    if (df_select_journal_path(&path, job) == DFAL_OK)
        unlink(path);
    df_free(path);
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
    struct df_identity ours = {0}, theirs = {0};
    char *path = NULL, *text = NULL;
    size_t size = 0;
    dfal_status status;
    *found = false;
    DF_TRY_TO(done, status, df_select_journal_path(&path, job));
    df_file_sweep(path);
    if (!df_file_exists(path) || job->context->options.force)
        goto done;
    DF_TRY_TO(done, status, df_file_read(&text, &size, path, MOST));
    DF_TRY_TO(done, status, df_identity_read(&theirs, text, path));
    DF_TRY_TO(done, status, df_select_describe(&ours, job));
    DF_TRY_TO(done, status,
              df_identity_check(&ours, &theirs, false, DFAL_E_CONFIG, path,
                                ": finish that line first, or use `force`"));
    *found = true;
done:
    df_free(path);
    df_free(text);
    df_identity_clear(&ours);
    df_identity_clear(&theirs);
    return status;
}
