/* SPDX-License-Identifier: Apache-2.0 */
/* Several ranks and one selection. Either they choose together, because the strategy spreads or needs the
 * smallest margins alone; or what it reads of every row is made by all of them, as a scores or a logits file
 * beside the output, from which rank 0 chooses. */
#include <stdlib.h>
#include <unistd.h>

#include "api/select_job.h"
#include "backend/backend.h"
#include "base/file.h"
#include "base/identity.h"
#include "base/memory.h"
#include "base/parts.h"
#include "comm/comm.h"
#include "score/closest.h"
#include "strategy/view.h"

/* Whether the smallest margins are found with less work than all: the same on every rank, as candidates and
 * network are. */
static dfal_status needs_closest(struct df_select_job *job, bool *closest)
{
    const struct dfal_select_options *options = job->options;
    const char *longer = job->strategy->longer;
    *closest = options->score->cascade;
    if (!(df_strategy_asks(job->strategy, &job->values) & DF_ASKS_MARGINS) || options->scores_path ||
        *closest || options->subsample > 0 || df_strategy_is_noisy(job->strategy, &job->values) ||
        df_closest_check(&job->deepfool, options->score->unconverged) != DFAL_OK)
        return DFAL_OK;
    const char *times = longer ? df_option_text(&job->values, job->strategy->options, longer) : "1";
    DF_TRY(df_select_open(job));
    if (!df_closest_is_worth(options->count, job->count / strtoll(times, NULL, 10)))
        return DFAL_OK;
    return df_closest_possible(job->network, false, closest);
}

/* What the strategy asks for that a job of all ranks writes; NULL: nothing. */
static const char *kind_of(const struct df_select_job *job)
{
    const struct dfal_select_options *options = job->options;
    const int asks = df_strategy_asks(job->strategy, &job->values);
    if (job->together || options->subsample > 0) /* of few rows there is little to share */
        return NULL;
    if (asks & DF_ASKS_MARGINS)
        return options->scores_path ? NULL : "scores";
    if (asks & (DF_ASKS_LOGITS | DF_ASKS_LOGIT_GAPS))
        return options->scores_path || options->logits_path ? NULL : "logits";
    return NULL;
}

static dfal_status write_scores(const struct df_select_job *job, const char *path)
{
    struct dfal_score_options options = *job->options->score;
    options.adversarial = 0;
    return dfal_score(job->context, NULL, path, job->network_name, job->pool_path, &options);
}

static dfal_status write_logits(const struct df_select_job *job, const char *path)
{
    struct dfal_logits_options options;
    dfal_logits_options_init(&options);
    options.pool = job->options->score->pool;
    return dfal_logits(job->context, path, job->network_name, job->pool_path, &options);
}

/* What decides whether there is a file to share; the rest is compared by the job that writes it. */
static dfal_status agree_on_file(const struct df_select_job *job, const char *kind)
{
    struct df_identity identity = {0};
    df_identity_add(&identity, "strategy", "%s", job->strategy->name);
    df_identity_add(&identity, "count", "%lld", (long long)job->options->count);
    df_identity_add(&identity, "subsample", "%lld", (long long)job->options->subsample);
    df_identity_add(&identity, "choosing", "%s", job->together ? "together" : "alone");
    df_identity_add(&identity, "file to share", "%s", kind ? kind : "none");
    const dfal_status status = df_comm_same(job->context->comm, &identity, false);
    df_identity_clear(&identity);
    return status;
}

/* ---- What a killed line has left ----------------------------------------------------------------------- */

static dfal_status remove_parts(const char *path)
{
    struct df_parts parts;
    DF_TRY(df_parts_open(&parts, path, df_parts_is_numbered, "parts of a selection's file", true));
    const dfal_status status = df_parts_clear(&parts);
    df_parts_close(&parts);
    return status;
}

/* Of the file that this line may share, or of the other one: only another line can have begun that. */
static dfal_status judge_parts(const struct df_select_job *job, const char *path, bool ours, bool *left)
{
    char *folder;
    df_parts_sweep(path);
    DF_TRY(df_format(&folder, "%s" DF_PARTS_SUFFIX, path));
    const bool there = df_folder_exists(folder);
    dfal_status status = DFAL_OK;
    if (there && !ours)
        status =
            job->context->options.force
                ? remove_parts(path)
                : df_fail(DFAL_E_CONFIG,
                          "%s is unfinished work of another selection into %s, expected none: finish that "
                          "line first, or use `force`",
                          folder, job->out_path);
    *left |= there && ours;
    df_free(folder);
    return status;
}

/* *left: there are parts of the file that this line may share. */
static dfal_status look_for_parts(const struct df_select_job *job, const char *kind, bool *left)
{
    static const char *const kinds[] = {"scores", "logits"};
    dfal_status status = DFAL_OK;
    *left = false;
    for (int k = 0; k < 2 && job->context->rank == 0 && status == DFAL_OK; k++) {
        char *path;
        DF_TRY(df_format(&path, "%s.%s.h5", job->out_path, kinds[k]));
        status = judge_parts(job, path, kind && kinds[k][0] == kind[0], left);
        df_free(path);
    }
    return status;
}

/* ---- Together or by a file ----------------------------------------------------------------------------- */

dfal_status df_select_share(struct df_select_job *job, const char **scores_path, const char **logits_path)
{
    const bool alone = job->context->comm->size == 1;
    bool closest = false, left;
    if (!alone)
        DF_TRY(needs_closest(job, &closest));
    job->together = !alone && (closest || job->strategy->spreads);
    const char *kind = kind_of(job);
    DF_TRY(agree_on_file(job, kind));
    DF_TRY(look_for_parts(job, kind, &left));
    if (kind == NULL || (alone && !left))
        return DFAL_OK;
    const bool scores = kind[0] == 's';
    DF_TRY(df_format(&job->shared, "%s.%s.h5", job->out_path, kind));
    if (job->context->rank == 0)
        (void)unlink(job->shared); /* of a line that was killed behind it, which may have been another */
    DF_TRY(scores ? write_scores(job, job->shared) : write_logits(job, job->shared));
    *(scores ? scores_path : logits_path) = job->shared;
    return DFAL_OK;
}

dfal_status df_select_agree(const struct df_select_job *job)
{
    struct df_identity identity = {0};
    const struct df_device *device = job->device;
    char isa[DF_ISA_TEXT];
    dfal_status status;
    df_device_isa(isa, device);
    df_identity_add(&identity, "dfal_version", "%s", DFAL_VERSION);
    df_identity_add(&identity, "backend", "%s", device->info.backend);
    df_identity_add(&identity, "isa", "%s", isa);
    df_identity_add(&identity, "library", "%s", device->info.library);
    DF_TRY_TO(done, status, df_select_describe(&identity, job));
    status = df_comm_same(job->context->comm, &identity, false);
done:
    df_identity_clear(&identity);
    return status;
}

void df_select_unshare(const struct df_select_job *job)
{
    if (job->shared && job->context->rank == 0)
        (void)unlink(job->shared);
}
