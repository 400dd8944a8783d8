/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_select: the next queries of a pool into QUERIES.csv. */
#include <string.h>

#include "api/select_job.h"
#include "backend/backend.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/sized.h"
#include "job/job.h"
#include "score/closest.h"
#include "score/score.h"

void(dfal_select_options_init)(struct dfal_select_options *options, size_t size)
{
    const struct dfal_select_options defaults = {0};
    df_sized_init(options, size, &defaults, sizeof defaults);
}

static dfal_status take_strategy_options(struct df_select_job *job)
{
    const struct dfal_select_options *options = job->options;
    for (size_t i = 0; i < options->strategy_option_count; i++)
        if (df_option_assign(&job->values, job->strategy->options, options->strategy_options[i]) != DFAL_OK)
            return df_fail_prefix(DFAL_E_USAGE, "strategy %s: ", job->strategy->name);
    if (options->solver &&
        df_option_set(&job->values, job->strategy->options, "solver", options->solver) != DFAL_OK)
        return df_fail_prefix(DFAL_E_USAGE, "strategy %s: ", job->strategy->name);
    return DFAL_OK;
}

/* Before any work: whether it is there, and what it is. */
static dfal_status name_solver(struct df_select_job *job)
{
    if (!job->strategy->solver)
        return DFAL_OK;
    const dfal_status status = job->strategy->solver(job->solver, job->context, &job->values);
    return status == DFAL_OK || status == DFAL_E_STOPPED
               ? status
               : df_fail_prefix(status, "strategy %s: ", job->strategy->name);
}

/* "passes=10": what holds, for the log. */
static dfal_status tell_strategy_options(char **text, const struct df_select_job *job)
{
    struct df_text out = {0};
    for (const struct df_strategy_option *own = job->strategy->options; own && own->key; own++)
        df_text_add(&out, "%s%s=%s", out.size ? ", " : "", own->key,
                    df_option_text(&job->values, job->strategy->options, own->key));
    return df_text_take(&out, text);
}

/* A strategy by its name, or a command: one of the two. */
static dfal_status find_strategy(struct df_select_job *job)
{
    const char *name = job->options->strategy, *command = job->options->strategy_command;
    DF_TRY(df_strategy_find(&job->strategy, command && !name ? df_strategy_command.name : name));
    const bool commanded = job->strategy == &df_strategy_command;
    if (commanded && !command)
        DF_FAIL(DFAL_E_USAGE, "strategy %s has no command, expected `strategy_command` CMD",
                job->strategy->name);
    if (command && !commanded)
        DF_FAIL(DFAL_E_USAGE, "strategy %s and the command '%.200s' cannot both choose, expected one of them",
                job->strategy->name, command);
    return command ? df_select_command_check(job) : DFAL_OK;
}

/* How many, the selection's count says. */
static dfal_status check_closest(const struct df_select_job *job)
{
    const struct dfal_score_options *score = job->options->score;
    if (score->closest != 0)
        DF_FAIL(DFAL_E_USAGE, "closest is %lld, expected 0: a selection takes the closest of its count",
                (long long)score->closest);
    if (!score->cascade)
        return DFAL_OK;
    if (!(df_strategy_asks(job->strategy, &job->values) & DF_ASKS_MARGINS))
        DF_FAIL(DFAL_E_USAGE, "strategy %s asks for no margins, expected dfal or its kin for a cascade",
                job->strategy->name);
    if (df_strategy_is_noisy(job->strategy, &job->values))
        DF_FAIL(DFAL_E_USAGE,
                "option power draws from the margins of all candidates, expected none of it with "
                "a cascade");
    if (job->options->scores_path)
        DF_FAIL(DFAL_E_USAGE, "%s gives the margins, expected no scores file where a cascade finds them",
                job->options->scores_path);
    return df_closest_check(&job->deepfool, score->unconverged);
}

dfal_status df_select_take_options(struct df_select_job *job)
{
    const struct dfal_select_options *options = job->options;
    DF_TRY(find_strategy(job));
    DF_TRY(take_strategy_options(job));
    if (options->count < 1)
        DF_FAIL(DFAL_E_USAGE, "count is %lld, expected at least 1", (long long)options->count);
    if (options->subsample < 0)
        DF_FAIL(DFAL_E_USAGE, "subsample is %lld, expected at least 1, or all",
                (long long)options->subsample);
    DF_TRY(df_deepfool_from_options(&job->deepfool, options->score));
    return check_closest(job);
}

static dfal_status check_options(struct df_select_job *job)
{
    const struct dfal_select_options *options = job->options;
    DF_TRY(df_select_take_options(job));
    if (options->pseudo_labels_path && !job->strategy->certain)
        DF_FAIL(DFAL_E_USAGE,
                "strategy %s labels nothing itself, expected ceal or another one with `threshold` "
                "for `pseudo_labels_path`",
                job->strategy->name);
    DF_TRY(df_strategy_check_files(job->strategy, &job->values, options->scores_path, options->logits_path));
    DF_TRY(name_solver(job));
    return df_select_check_outputs(job);
}

struct df_selection_options df_select_selection(struct df_select_job *job)
{
    const struct dfal_select_options *options = job->options;
    const bool leads = job->context->rank == 0;
    return (struct df_selection_options){
        .strategy = job->strategy,
        .values = &job->values,
        .count = options->count,
        .subsample = options->subsample,
        .deepfool = job->deepfool,
        .unconverged = options->score->unconverged,
        .seed = job->context->options.seed,
        .batch = options->score->batch,
        .how = df_score_how(options->score),
        .cascade = options->score->cascade,
        .scores = options->scores_path && (df_strategy_asks(job->strategy, &job->values) &
                                           (DF_ASKS_MARGINS | DF_ASKS_LOGIT_GAPS))
                      ? &job->scores
                      : NULL,
        .logits = job->logits,
        .twins = leads && (options->twins_path || (options->sheet_path && job->strategy->twins)),
        .twins_limit = options->twins_path ? 0 : DF_SHEET_MOST,
        .labelled_rows = job->labelled_rows,
        .labelled_row_count = job->labelled_row_count,
        .labelled_labels = job->labelled_labels,
        .pseudo_labels = leads && options->pseudo_labels_path != NULL,
        .labelled = job->labelled,
        .command = options->strategy_command ? &job->command : NULL,
        .comm = job->together ? job->context->comm : NULL,
    };
}

static dfal_status choose(struct df_select_job *job)
{
    const struct df_selection_options selection = df_select_selection(job);
    DF_TRY(df_select(job->context, job->device, job->network, job->pool, job->candidates, job->count,
                     &selection, &job->selection));
    const int64_t excluded =
        !strcmp(selection.unconverged, "exclude") ? job->selection.statuses[DFAL_SCORE_MAX_ITER] : 0;
    if (job->selection.nonfinite)
        df_say(job->context, DFAL_WARNING, "select.nonfinite",
               DF_FIELDS(DF_INT("rows", job->selection.nonfinite)), DF_PASSED_OVER,
               DF_PASSED_OVER_VALUES(job->selection.nonfinite));
    if (!job->selection.count && excluded > 0 && !job->selection.nonfinite)
        DF_FAIL(DFAL_E_DATA,
                "%s: none of the %lld candidates has a margin: all ended with MAX_ITER, which `unconverged` "
                "exclude leaves out",
                job->pool->path, (long long)job->count);
    if (!job->selection.count && excluded > 0)
        DF_FAIL(DFAL_E_DATA,
                "%s: none of the %lld candidates has a margin: %lld ended with MAX_ITER, which `unconverged` "
                "exclude leaves out, the others are not finite",
                job->pool->path, (long long)job->count, (long long)excluded);
    if (!job->selection.count)
        DF_FAIL(DFAL_E_DATA, "%s: none of the %lld candidates is finite, expected some to choose from",
                job->pool->path, (long long)job->count);
    const int64_t asked = selection.count, subsample = selection.subsample,
                  candidates = subsample > 0 && subsample < job->count ? subsample : job->count;
    /* A command that names fewer than there are has been told of already. */
    if (job->selection.count < asked &&
        (!selection.command || job->selection.count + job->selection.nonfinite >= candidates))
        df_say(job->context, DFAL_WARNING, "select.few",
               DF_FIELDS(DF_INT("count", job->selection.count), DF_INT("asked", asked)),
               "only %lld of %lld queries could be chosen: no more candidates",
               (long long)job->selection.count, (long long)asked);
    return DFAL_OK;
}

/* What a rank behind 0 does of a selection: its part where they choose together; then it waits for the
 * output. */
static dfal_status follow(struct df_select_job *job)
{
    struct df_comm *comm = job->context->comm;
    if (job->together) {
        DF_TRY(df_select_open(job));
        DF_TRY(df_select_take_files(job));
        const struct df_selection_options selection = df_select_selection(job);
        DF_TRY(df_select_agree(job));
        DF_TRY(df_select(job->context, job->device, job->network, job->pool, job->candidates, job->count,
                         &selection, &job->selection));
    }
    return comm->barrier(comm);
}

dfal_status dfal_select(dfal_context *context, const char *out_path, const char *network,
                        const char *pool_path, const struct dfal_select_options *given, dfal_query_fn *query,
                        void *user)
{
    struct dfal_select_options own;
    const struct dfal_select_options *options = &own;
    struct df_score_options score;
    struct df_select_job job = {.context = context,
                                .options = options,
                                .out_path = out_path,
                                .network_name = network,
                                .pool_path = pool_path};
    double begin = df_clock();
    char *strategy_options = NULL;
    struct df_comm *comm;
    dfal_status status;
    dfal_select_options_init(&own);
    DF_TRY(df_sized_take(&own, sizeof own, given, "dfal_select_options"));
    DF_TRY(df_score_options_take(&score, own.score));
    own.score = &score.score;
    context->kept_work = false;
    DF_TRY_TO(done, status, df_context_comm(context, &comm));
    DF_TRY_TO(done, status, comm->rank == 0 ? check_options(&job) : df_select_take_options(&job));
    DF_TRY_TO(done, status, df_select_share(&job, &own.scores_path, &own.logits_path));
    if (comm->rank > 0) {
        status = follow(&job);
        goto done;
    }
    DF_TRY_TO(done, status, df_select_open(&job));
    DF_TRY_TO(done, status, df_select_take_files(&job));
    DF_TRY_TO(done, status, df_select_check_unfinished(&job));
    if (job.together)
        DF_TRY_TO(done, status, df_select_agree(&job));
    DF_TRY_TO(done, status, tell_strategy_options(&strategy_options, &job));
    df_say(context, DFAL_INFO, "select.begin",
           DF_FIELDS(DF_TEXT("strategy", job.strategy->name), DF_TEXT("options", strategy_options),
                     DF_TEXT("network", network), DF_TEXT("pool", pool_path), DF_INT("candidates", job.count),
                     DF_INT("count", options->count), DF_INT("subsample", options->subsample),
                     DF_TEXT("deepfool", job.deepfool.preset), DF_TEXT("backend", job.device->info.backend),
                     DF_TEXT("output", out_path)),
           "%s: %lld of %lld candidates of %s, network %s, back end %s, into %s", job.strategy->name,
           (long long)options->count, (long long)job.count, pool_path, network, job.device->info.backend,
           out_path);
    status = df_select_command_open(&job);
    if (status == DFAL_OK)
        status = choose(&job);
    DF_TRY_TO(done, status, df_select_command_close(&job, status));
    DF_TRY_TO(done, status, df_select_write(&job, query, user));
    df_say(context, DFAL_INFO, "select.end",
           DF_FIELDS(DF_INT("count", job.selection.count), DF_REAL("seconds", df_clock() - begin)),
           "%lld queries in %s", (long long)job.selection.count, out_path);
    (void)comm->barrier(comm); /* the queries have their name: no other rank can take that back */
done:
    df_select_unshare(&job);
    status = df_job_ended(context, status);
    df_free(strategy_options);
    df_select_close(&job);
    return status;
}
