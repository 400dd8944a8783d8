/* SPDX-License-Identifier: Apache-2.0 */
/* What a selection chooses from, and what is known of it already. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/select_job.h"
#include "backend/backend.h"
#include "base/identity.h"
#include "base/memory.h"
#include "graph/json_text.h"
#include "score/pool_network.h"
#include "store/labels.h"

void df_select_close(struct df_select_job *job)
{
    for (int64_t i = 0; job->ids && i < job->selection.count; i++)
        df_free(job->ids[i]);
    df_free(job->ids);
    df_free(job->label);
    df_selection_clear(&job->selection);
    df_free(job->candidates);
    df_free(job->labelled_rows);
    df_free(job->labelled_labels);
    df_table_close(job->logits);
    df_scores_clear(&job->scores);
    df_rows_head_clear(&job->head);
    df_network_destroy(job->network);
    df_free(job->truth);
    df_pool_close(job->pool);
    df_claim_end(&job->claim);
    df_free(job->journal);
    df_free(job->command_folder);
    df_free(job->command_network);
    df_free(job->command_pool);
    df_free(job->shared);
}

static bool all_labelled(const struct df_pool *pool)
{
    for (int64_t i = 0; i < pool->count; i++)
        if (!pool->labels || pool->labels[i] < 0)
            return false;
    return true;
}

/* Where the pool itself knows every label there is nothing left to ask: then its labels are the oracle's, and
 * the rows that count as labelled are those of the label files. */
static dfal_status open_pool(struct df_select_job *job)
{
    const struct dfal_pool_options *options = job->options->score->pool;
    struct dfal_pool_options without = *options;
    without.label_files = NULL;
    without.label_file_count = 0;
    DF_TRY(df_pool_open(&job->pool, job->context, job->pool_path, &without));
    if (!all_labelled(job->pool)) {
        if (!options->label_file_count)
            return DFAL_OK;
        df_pool_close(job->pool);
        job->pool = NULL;
        DF_TRY(df_pool_open(&job->pool, job->context, job->pool_path, options));
        df_labels_warn(job->context, job->pool);
        return DFAL_OK;
    }
    job->truth = job->pool->labels;
    job->pool->labels = NULL;
    DF_TRY(df_alloc(&job->pool->labels, job->pool->count, sizeof *job->pool->labels));
    for (int64_t i = 0; i < job->pool->count; i++)
        job->pool->labels[i] = -1;
    DF_TRY(df_labels_overlay(job->pool, options->label_files, options->label_file_count));
    df_labels_warn(job->context, job->pool);
    df_say(
        job->context, DFAL_INFO, "select.simulated", DF_FIELDS(DF_TEXT("pool", job->pool_path)),
        "%s knows the label of every row: they are taken for the oracle's, rows of label files are left out",
        job->pool_path);
    return DFAL_OK;
}

/* The rows that are not labelled or skipped, and a number for those that are: it does not matter who labelled
 * them, in which order or as what. */
static dfal_status find_candidates(struct df_select_job *job)
{
    const struct df_pool *pool = job->pool;
    struct df_digest digest;
    char text[DF_DIGEST_TEXT];
    DF_TRY(df_alloc(&job->candidates, pool->count, sizeof *job->candidates));
    DF_TRY(df_alloc(&job->labelled_rows, pool->count, sizeof *job->labelled_rows));
    DF_TRY(df_alloc(&job->labelled_labels, pool->count, sizeof *job->labelled_labels));
    df_digest_begin(&digest);
    for (int64_t i = 0; i < pool->count; i++) {
        const bool skipped = pool->skipped && pool->skipped[i],
                   labelled = pool->labels && pool->labels[i] >= 0;
        if (!labelled && !skipped) {
            job->candidates[job->count++] = i;
            continue;
        }
        df_digest_add_i64(&digest, i);
        if (!skipped) {
            job->labelled_labels[job->labelled_row_count] = pool->labels[i];
            job->labelled_rows[job->labelled_row_count++] = i;
        }
    }
    df_digest_end(&digest, text);
    text[16] = 0;
    job->labelled = job->count < pool->count ? strtoull(text, NULL, 16) : 0;
    if (!job->count)
        DF_FAIL(DFAL_E_DATA,
                "%s: every one of its %lld rows is labelled or skipped, expected some to choose from",
                pool->path, (long long)pool->count);
    return DFAL_OK;
}

/* Candidates that the network has learned. Which rows trained it no file tells, only how many, or not even
 * that; where as many are left out they may be just those. */
static void warn_trained_on(const struct df_select_job *job)
{
    const int64_t trained = job->network->trained_rows, left_out = job->pool->count - job->count;
    char consequence[200];
    if (left_out > 0 && left_out >= trained)
        return;
    if (trained > 0)
        snprintf(
            consequence, sizeof consequence,
            "at least %lld of the %lld candidates are among these, expected their labels in `label_files`",
            (long long)(trained - left_out), (long long)job->count);
    else
        snprintf(consequence, sizeof consequence,
                 "they are among the %lld candidates, expected their labels in `label_files`",
                 (long long)job->count);
    df_warn_trained_on(job->context, job->network_name, job->network, job->pool, true, consequence);
}

/* Scores and logits must be those of this network over this pool; of theirs NULL is what the file does not
 * say.
 *   network, pool  where they lay when the file was made */
static dfal_status check_origin(const struct df_select_job *job, const char *path, const char *network_sha256,
                                const char *pool_fingerprint, const char *network, const char *pool)
{
    struct df_identity ours = {0}, theirs = {0};
    char *hint = NULL;
    dfal_status status;
    df_identity_add(&ours, "network_sha256", "%s", job->network_sha256);
    df_identity_add(&ours, "pool_fingerprint", "%s", job->pool->fingerprint);
    if (network_sha256)
        df_identity_add(&theirs, "network_sha256", "%s", network_sha256);
    if (pool_fingerprint)
        df_identity_add(&theirs, "pool_fingerprint", "%s", pool_fingerprint);
    const bool told = network && network[0] && pool && pool[0];
    DF_TRY_TO(done, status,
              df_format(&hint, " for %s and %s%s%s%s%s", job->network_name, job->pool_path,
                        told ? "; it was made from " : "", told ? network : "", told ? " and " : "",
                        told ? pool : ""));
    status = df_identity_check(&ours, &theirs, false, DFAL_E_DATA, path, hint);
done:
    df_free(hint);
    df_identity_clear(&ours);
    df_identity_clear(&theirs);
    return status;
}

/* The rows themselves, of which a fingerprint only knows a thousand. */
static dfal_status check_rows(const struct df_select_job *job, const char *path,
                              const struct df_row_hashes *rows, int64_t count)
{
    if (job->options->trust_rows || job->context->rank > 0) /* rank 0 looks */
        return DFAL_OK;
    DF_TRY(df_row_hashes_check(job->context, job->pool, rows, path, DFAL_E_DATA));
    df_row_hashes_say(job->context, count - df_row_hashes_known(rows), path);
    return DFAL_OK;
}

/* ---- scores ------------------------------------------------------------------------------------------ */

/* What --deepfool and its kin ask for must be what the file holds, unless nothing was asked for. */
static dfal_status compare_deepfool(const struct df_select_job *job, const struct df_deepfool *asked)
{
    char *ours = NULL, *default_json = NULL, *theirs = NULL;
    struct df_identity wanted = {0}, made = {0};
    struct dfal_score_options defaults;
    struct df_deepfool deepfool;
    const char *unconverged = job->options->score->unconverged, *path = job->options->scores_path;
    dfal_status status;
    dfal_score_options_init(&defaults);
    DF_TRY_TO(done, status, df_deepfool_from_options(&deepfool, &defaults));
    DF_TRY_TO(done, status, df_deepfool_to_json(&default_json, &deepfool, unconverged));
    DF_TRY_TO(done, status, df_deepfool_to_json(&ours, asked, unconverged));
    DF_TRY_TO(done, status, df_deepfool_from_json(&deepfool, job->head.configuration));
    DF_TRY_TO(done, status, df_deepfool_to_json(&theirs, &deepfool, unconverged));
    if (strcmp(ours, default_json) && strcmp(ours, theirs)) {
        DF_TRY_TO(done, status, df_identity_json(&wanted, ours, path));
        DF_TRY_TO(done, status, df_identity_json(&made, theirs, path));
        status = df_identity_check(&wanted, &made, false, DFAL_E_CONFIG, path, "");
    }
done:
    df_identity_clear(&wanted);
    df_identity_clear(&made);
    df_free(theirs);
    df_free(ours);
    df_free(default_json);
    return status;
}

/* Candidates and the file's rows are both ascending. A row that is not there is no reason to pass it over. */
static dfal_status check_covered(const struct df_select_job *job)
{
    const struct df_scores *scores = &job->scores;
    int64_t missing = 0, first = -1;
    for (int64_t i = 0, at = 0; i < job->count; i++) {
        while (at < scores->count && scores->index[at] < job->candidates[i])
            at++;
        if (at < scores->count && scores->index[at] == job->candidates[i])
            continue;
        first = missing++ ? first : job->candidates[i];
    }
    if (missing)
        DF_FAIL(DFAL_E_DATA,
                "%s has no margin of %lld of the %lld candidates, the first is row %lld of %s, expected all "
                "of them",
                job->options->scores_path, (long long)missing, (long long)job->count, (long long)first,
                job->pool->path);
    return DFAL_OK;
}

/* The columns that a strategy or its queries look at: of a pool of 1e9 rows each byte a row is a gigabyte. */
static unsigned columns_for(int asks)
{
    unsigned columns = 0;
    if (asks & DF_ASKS_MARGINS)
        columns |= 1U << DF_SCORES_margin | 1U << DF_SCORES_label | 1U << DF_SCORES_adversarial_class;
    if (asks & DF_ASKS_LOGIT_GAPS)
        columns |= 1U << DF_SCORES_logit_gap;
    return columns;
}

static dfal_status take_scores(struct df_select_job *job)
{
    const char *path = job->options->scores_path;
    const int asks = df_strategy_asks(job->strategy, &job->values);
    DF_TRY(df_scores_read_columns(path, &job->head, columns_for(asks), &job->scores));
    DF_TRY(check_origin(job, path, job->head.network_sha256, job->head.pool_fingerprint,
                        job->head.network_path, job->head.pool_path));
    for (int64_t i = 0; i < job->scores.count; i++)
        if (i ? job->scores.index[i] <= job->scores.index[i - 1] : job->scores.index[0] < 0)
            DF_FAIL(DFAL_E_DATA, "%s: /index[%lld] is %lld, expected ascending rows", path, (long long)i,
                    (long long)job->scores.index[i]);
    if (asks & (DF_ASKS_MARGINS | DF_ASKS_LOGIT_GAPS))
        DF_TRY(check_covered(job));
    DF_TRY(compare_deepfool(job, &job->deepfool));
    DF_TRY(check_rows(job, path, &job->scores.hashes, job->scores.count));
    return df_deepfool_from_json(&job->deepfool, job->head.configuration);
}

/* ---- logits ------------------------------------------------------------------------------------------ */

static dfal_status take_logits(struct df_select_job *job)
{
    const char *path = job->options->logits_path;
    struct df_identity made = {0};
    char *configuration = NULL;
    DF_TRY(df_table_open(&job->logits, path, "dfal-logits", &configuration, "logits", job->pool->count,
                         job->network->class_count));
    dfal_status status = df_identity_json(&made, configuration, path);
    if (status == DFAL_OK)
        status = check_origin(job, path, df_identity_value(&made, "network_sha256"),
                              df_identity_value(&made, "pool_fingerprint"), NULL, NULL);
    df_identity_clear(&made);
    df_free(configuration);
    DF_TRY(status);
    struct df_row_hashes rows;
    DF_TRY(df_table_take_hashes(job->logits, &rows));
    status = check_rows(job, path, &rows, job->pool->count);
    df_row_hashes_close(&rows);
    return status;
}

dfal_status df_select_open(struct df_select_job *job)
{
    if (job->pool)
        return DFAL_OK;
    DF_TRY(open_pool(job));
    DF_TRY(df_network_for_pool(&job->network, job->context, job->network_name, job->pool));
    DF_TRY(df_claim_inputs(&job->claim, (const char *const *)job->network->files, job->network->file_count));
    DF_TRY(df_strategy_check_network(job->strategy, &job->values, job->network));
    df_network_digest(job->network_sha256, job->network);
    DF_TRY(find_candidates(job));
    warn_trained_on(job);
    return df_context_device(job->context, &job->device);
}

dfal_status df_select_take_files(struct df_select_job *job)
{
    if (job->options->scores_path)
        DF_TRY(take_scores(job));
    return job->options->logits_path ? take_logits(job) : DFAL_OK;
}
