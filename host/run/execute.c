/* SPDX-License-Identifier: Apache-2.0 */
/* A run from its beginning to its report. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "job/job.h"
#include "run/directory_files.h"
#include "run/ranks.h"
#include "run/rounds.h"
#include "run/side.h"

/* What is read may lie in the run directory, but not as one of the files that a run writes. */
static dfal_status check_apart(const struct df_experiment *e, const char *dir, const char *config_path)
{
    const bool force = e->context->options.force;
    const char *const inputs[] = {config_path, e->config.train, e->config.test, e->config.network,
                                  e->config.transfer};
    DF_TRY(df_run_directory_apart(dir, force, inputs, sizeof inputs / sizeof *inputs));
    const struct df_network *const networks[] = {e->graph, e->transfer};
    for (int i = 0; i < 2; i++)
        if (networks[i])
            DF_TRY(df_run_directory_apart(dir, force, (const char *const *)networks[i]->files,
                                          networks[i]->file_count));
    return DFAL_OK;
}

/* What trains, for the log. */
static const char *training_text(const struct df_experiment *e)
{
    return e->training ? e->training : "trainer";
}

/* What rounds are trained from, for the log. */
static const char *init_text(const struct df_experiment *e)
{
    if (e->config.trainer.text[0])
        return "what the trainer takes";
    if (!strcmp(e->config.init, "previous"))
        return e->warm ? "the previous network, the first from the given weights"
                       : "the previous network, the first from scratch";
    return e->warm ? "the given weights" : "scratch";
}

/* A comparison of what does not run is told before days of work, not after. */
static dfal_status warn_primary(struct dfal_context *context, const struct df_run_config *config)
{
    struct df_run_pair pairs[DF_MAX_PAIRS];
    int32_t count;
    DF_TRY(df_run_primary(config, pairs, &count));
    for (int32_t i = 0; i < count; i++) {
        const bool ours = df_run_entry_find(config, pairs[i].ours) >= 0;
        if (ours && df_run_entry_find(config, pairs[i].theirs) >= 0)
            continue;
        df_say(context, DFAL_WARNING, "run.primary",
               DF_FIELDS(DF_TEXT("ours", pairs[i].ours), DF_TEXT("theirs", pairs[i].theirs)),
               "report.primary has '%s against %s', and %s is no entry of strategies", pairs[i].ours,
               pairs[i].theirs, ours ? pairs[i].theirs : pairs[i].ours);
    }
    return DFAL_OK;
}

/* On the rank that holds the directory: the log's last line, and what is published. */
static dfal_status end(struct df_experiment *e, dfal_status status, df_run_publish_fn *publish)
{
    struct dfal_context *context = e->context;
    if (status != DFAL_OK) /* only into the log: the caller gets the same sentence as the error */
        df_run_directory_event(
            &e->directory,
            &(struct dfal_event){.level = DFAL_WARNING, .name = "run.stop", .text = dfal_last_error()});
    else
        df_say(context, DFAL_INFO, "run.end", DF_NO_FIELDS, "all trials are finished");
    df_log_tee(context, NULL, NULL);
    if (e->directory.log_failed && status == DFAL_OK)
        df_say(context, DFAL_WARNING, "run.log", DF_NO_FIELDS,
               "%s/log.jsonl is incomplete: it could not be written", e->directory.path);
    if (status == DFAL_OK)
        return publish(context, e->directory.path);
    if (!context->kept_work)
        df_run_directory_abandon(&e->directory);
    return status;
}

dfal_status df_run_execute(struct dfal_context *context, const char *dir,
                           const struct dfal_run_options *options, const struct df_oracle_kind *oracles,
                           df_run_publish_fn *publish)
{
    struct df_experiment e = {0};
    struct df_identity identity = {0};
    struct df_run_set set = {0};
    char cause[DF_STOP_TEXT];
    dfal_status status;
    context->kept_work = false;
    DF_TRY_TO(done, status, df_experiment_open(&e, context, options, oracles));
    DF_TRY_TO(done, status, df_run_set_of_part(&set, &e.config, e.part));
    DF_TRY_TO(done, status, check_apart(&e, dir, options->config_path));
    DF_TRY_TO(done, status, df_experiment_identity(&e, context, &identity));
    DF_TRY_TO(done, status, df_run_ranks_agree(&e, &identity));
    if (e.comm->rank == 0)
        DF_TRY_TO(done, status,
                  df_run_directory_open(&e.directory, context, dir, &e.config, &identity, options->resume));
    status = df_run_ranks_join(&e, dir);
    if (status ==
        DFAL_OK) /* there is work: a directory that is finished was refused before its rows are read */
        status = df_experiment_feed(&e);
    if (status != DFAL_OK && e.comm->rank == 0)
        df_run_directory_abandon(&e.directory);
    if (status != DFAL_OK)
        goto done;
    if (e.comm->rank == 0)
        df_log_tee(context, df_run_directory_event, &e.directory);
    const char *network = e.config.trainer.text[0] ? e.config.trainer.text : e.config.network;
    df_say(context, DFAL_INFO, e.directory.resumed ? "run.resume" : "run.begin",
           DF_FIELDS(DF_TEXT("network", network), DF_TEXT("train", e.config.train),
                     DF_TEXT("test", e.config.test), DF_INT("annotations", e.config.annotations),
                     DF_INT("trials", e.config.trials), DF_TEXT("backend", e.device->info.backend),
                     DF_TEXT("training", training_text(&e)), DF_TEXT("isa", e.device->info.isa),
                     DF_INT("threads", context->threads), DF_TEXT("output", e.directory.path),
                     DF_TEXT("init", init_text(&e))),
           "%s: %s on %s, %lld annotations, %d strategies x %d trials, rounds trained from %s, back end %s, "
           "into %s",
           e.directory.resumed ? "continuing" : "experiment", network, e.config.train,
           (long long)e.config.annotations, e.config.strategy_count, e.config.trials, init_text(&e),
           e.device->info.backend, e.directory.path);
    DF_TRY_TO(done, status, warn_primary(context, &e.config));
    if (e.config.training.steps > 0 && e.config.training.patience > 0 && !e.config.trainer.text[0])
        df_say(context, DFAL_WARNING, "run.patience",
               DF_FIELDS(DF_INT("steps", e.config.training.steps),
                         DF_INT("patience", e.config.training.patience)),
               "training.patience %d may end a restart before its %lld steps, so that strategies differ in "
               "steps: "
               "training.patience 0 makes them equal",
               e.config.training.patience, (long long)e.config.training.steps);
    status = df_run_side_by_side(&e, &set);
    if (status == DFAL_E_UNAVAILABLE && context->kept_work && e.device_failed) {
        char sentence[DF_MESSAGE_SIZE];
        df_message_get(sentence);
        status = df_fail(DFAL_E_STOPPED, "%.800s: the finished rounds are kept", sentence);
    } else if (status == DFAL_E_STOPPED && context->kept_work &&
               df_context_stop_cause(context, cause) == DFAL_OK) {
        df_fail(status, "%s: stopped, the finished rounds are kept", e.directory.path);
    }
    if (e.comm->size > 1) /* nobody waits to see whether another rank has kept a round */
        context->kept_work = true;
    status = df_job_ended(context, status);
    if (e.comm->rank == 0)
        status = end(&e, status, publish);
    if (status == DFAL_OK && e.comm->barrier(e.comm) != DFAL_OK && e.comm->rank > 0)
        status = DFAL_E_STOPPED; /* before rank 0 had done */
done:
    status = df_job_ended(context, status);
    if (status == DFAL_E_STOPPED && df_run_directory_has_checkpoint(dir)) /* perhaps of an earlier start */
        context->kept_work = true;
    df_run_set_clear(&set);
    df_identity_clear(&identity);
    df_experiment_close(&e);
    return status;
}
