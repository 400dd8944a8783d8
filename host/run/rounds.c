/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of active learning. In each trial every strategy starts from the same initial set and uses the
 * same seeds; a round selects, asks the oracle, adds rows and twins, trains (training.init: from scratch) and
 * evaluates. A round ends with its rows in the tables and then a checkpoint: whatever is killed between the
 * two is cut off and done again. */
#include "run/rounds.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "run/branch.h"
#include "run/class_table.h"
#include "run/curve.h"
#include "score/pass.h"

dfal_status df_run_state_path(char **out, const char *dir, const char *strategy, int32_t trial)
{
    return df_format(out, "%s/state/%s-%d.h5", dir, strategy, trial);
}

dfal_status df_run_network_path(char **out, const char *dir, const char *strategy, int32_t trial,
                                int32_t round)
{
    if (round < 0)
        return df_format(out, "%s/networks/%s-%d.h5", dir, strategy, trial);
    return df_format(out, "%s/networks/%s-%d-r%d.h5", dir, strategy, trial, round);
}

static void branch_close(struct df_branch *branch)
{
    df_run_state_clear(&branch->state);
    df_network_destroy(branch->network);
    df_external_trainer_close(&branch->trainer);
    df_free(branch->command_folder);
    df_free(branch->command_network);
    df_free(branch->state_path);
    df_free(branch->label);
    for (int t = 0; t < DF_RUN_TABLES; t++)
        df_text_clear(&branch->lines[t]);
}

static dfal_status save_network(struct df_branch *branch, int32_t round)
{
    struct df_experiment *e = branch->experiment;
    bool all = !strcmp(e->config.keep, "all");
    char *path = NULL;
    if (!strcmp(e->config.keep, "none") || (!all && !branch->state.finished))
        return DFAL_OK;
    DF_TRY(df_run_network_path(&path, e->directory.path, branch->name, branch->trial, all ? round : -1));
    const dfal_status status = df_branch_write_network(branch, path, round);
    df_free(path);
    return status;
}

/* ---- a command that chooses ---------------------------------------------------------------------------- */

static dfal_status command_open(struct df_branch *branch, const char *text)
{
    const struct df_experiment *e = branch->experiment;
    DF_TRY(df_run_directory_work(&branch->command_folder, e->directory.path, branch->name, branch->trial,
                                 "command"));
    DF_TRY(df_format(&branch->command_network, "%s/network.h5", branch->command_folder));
    branch->command = (struct df_command_place){.text = text,
                                                .folder = branch->command_folder,
                                                .network_path = branch->command_network,
                                                .pool_path = e->config.train};
    return DFAL_OK;
}

/* The checkpoint. A trainer's network stays the file that it wrote. */
static dfal_status save_state(struct df_branch *branch)
{
    const bool own = !branch->experiment->config.trainer.text[0];
    struct df_run_state *state = &branch->state;
    DF_TRY(df_run_state_save(state, own ? branch->network : NULL, branch->state_path));
    if (!own)
        df_external_trainer_sweep(&branch->trainer, state->finished ? state->round + 1 : state->round);
    return DFAL_OK;
}

/* The round is over: its rows, then the checkpoint that knows of them. */
static dfal_status commit(struct df_branch *branch)
{
    struct df_experiment *e = branch->experiment;
    struct df_run_state *state = &branch->state;
    dfal_status status;
    DF_TRY_TO(done, status, save_network(branch, state->round));
    for (int t = DF_RUN_TABLES; t-- > 0;) /* the curve last: who counts its lines finds the others there */
        if (branch->lines[t].size)
            DF_TRY_TO(done, status,
                      df_run_directory_append(&e->directory, (enum df_run_table)t, &branch->lines[t],
                                              &state->table_bytes[t]));
    DF_TRY_TO(done, status, save_state(branch));
    e->context->kept_work = true;
done:
    for (int t = 0; t < DF_RUN_TABLES; t++)
        df_text_clear(&branch->lines[t]);
    return status;
}

/* How well each class is known now, and how many labels of each the round has brought. */
static dfal_status tell_classes(struct df_branch *branch, int32_t round, const struct dfal_eval_result *eval)
{
    const struct df_experiment *e = branch->experiment;
    const struct df_classes names = df_classes_of_pool(branch->network, e->train);
    int64_t *queried;
    DF_TRY(df_alloc(&queried, e->train->class_count, sizeof *queried));
    for (int64_t i = branch->round_row; i < branch->state.count; i++)
        if (branch->state.rows[i].source == DF_ROW_POOL)
            queried[branch->state.rows[i].label]++;
    const struct df_class_round line = {.strategy = branch->name,
                                        .trial = branch->trial,
                                        .round = round,
                                        .network = branch->network,
                                        .eval = eval,
                                        .names = &names,
                                        .queried = queried,
                                        .class_count = e->train->class_count};
    df_class_lines(&branch->lines[DF_RUN_CLASSES], &line);
    df_free(queried);
    return branch->lines[DF_RUN_CLASSES].status;
}

static dfal_status finish_round(struct df_branch *branch, int32_t round, int64_t added)
{
    struct df_experiment *e = branch->experiment;
    struct df_run_state *state = &branch->state;
    struct df_training_result trained = {0};
    struct dfal_eval_result eval = {0};
    DF_TRY(df_branch_train(branch, round, &trained));
    const int64_t labelled = state->count;
    state->finished = state->annotations >= e->config.annotations || state->annotations >= e->eligible_count;
    const double transfer_begin = df_clock();
    DF_TRY(df_branch_transfer(branch, round));
    branch->round_begin += df_clock() - transfer_begin; /* it is none of the round's seconds */
    df_run_state_drop_pseudo(state);
    DF_TRY(df_branch_on_device(e, df_evaluate(e->context, e->device, branch->network, e->test, &eval, NULL)));
    if (round == 0)
        df_warn_nonfinite(e->context, e->test, &eval);
    double accuracy = eval.accuracy, loss = eval.loss;
    const dfal_status told = tell_classes(branch, round, &eval);
    dfal_eval_result_clear(&eval);
    DF_TRY(told);
    state->round = round;
    state->best_so_far = round && state->best_so_far > accuracy ? state->best_so_far : accuracy;
    struct df_curve_row row = {
        .trial = branch->trial,
        .round = round,
        .annotations = state->annotations,
        .labelled = labelled,
        .accuracy = accuracy,
        .best_so_far = state->best_so_far,
        .loss = loss,
        .train_seconds = trained.seconds,
        .select_seconds = branch->select_seconds,
        .steps = e->config.trainer.text[0] ? -1 : trained.steps,
        .round_seconds = df_clock() - branch->round_begin,
    };
    snprintf(row.strategy, sizeof row.strategy, "%s", branch->name);
    df_curve_statuses(row.statuses, branch->statuses);
    df_curve_line(&branch->lines[DF_RUN_CURVE], &row);
    DF_TRY(commit(branch));
    df_say(e->context, DFAL_INFO, "run.round",
           DF_FIELDS(DF_TEXT("strategy", row.strategy), DF_INT("trial", row.trial),
                     DF_INT("round", row.round), DF_INT("annotations", row.annotations),
                     DF_INT("labelled", row.labelled), DF_REAL("accuracy", row.accuracy),
                     DF_REAL("loss", row.loss), DF_REAL("train_seconds", row.train_seconds),
                     DF_REAL("select_seconds", row.select_seconds), DF_INT("steps", row.steps),
                     DF_REAL("round_seconds", row.round_seconds), DF_TEXT("statuses", row.statuses)),
           "trial %d, %s: %lld annotations, accuracy %.4f", row.trial, row.strategy,
           (long long)row.annotations, row.accuracy);
    df_run_advance_add(branch->advance, &row, added);
    return DFAL_OK;
}

/* ---- branches ------------------------------------------------------------------------------------------ */

static dfal_status branch_open(struct df_branch *branch, struct df_experiment *e, int32_t trial,
                               int32_t strategy)
{
    *branch = (struct df_branch){
        .experiment = e,
        .strategy = df_run_strategy(&e->config, strategy),
        .name = e->config.strategy[strategy].name,
        .options = df_run_strategy_options(&e->config, strategy),
        .trial = trial,
        .seed = df_random_child(e->config.seed, DF_STREAM_TRIAL, (uint64_t)trial),
        .state = {.round = -1,
                  .size = df_shape_size(e->train->shape),
                  .twins_only = e->config.trainer.text[0] != 0},
    };
    const struct df_command *command = &e->config.strategy[strategy].command;
    if (command->text[0])
        DF_TRY(command_open(branch, command->text));
    DF_TRY(df_run_state_path(&branch->state_path, e->directory.path, branch->name, trial));
    branch->trainer = (struct df_external_trainer){
        .command = e->config.trainer.text,
        .pool_path = e->config.train,
        .pool = e->train,
        .init = e->graph ? e->config.network : "",
    };
    if (e->config.trainer.text[0])
        DF_TRY(
            df_external_trainer_open(&branch->trainer, e->context, e->directory.path, branch->name, trial));
    DF_TRY(df_alloc(&branch->label, e->train->count, sizeof *branch->label));
    for (int64_t i = 0; i < e->train->count; i++)
        branch->label[i] = DF_NOT_ASKED;
    return DFAL_OK;
}

static void take_labels(struct df_branch *branch)
{
    for (int64_t i = 0; i < branch->state.count; i++)
        if (branch->state.rows[i].source == DF_ROW_POOL)
            branch->label[branch->state.rows[i].index] = branch->state.rows[i].label;
}

/* From the checkpoint (round -1: from the start) to the last annotation. */
static dfal_status branch_run(struct df_branch *branch, const struct df_run_state *tables)
{
    struct df_experiment *e = branch->experiment;
    struct df_run_state *state = &branch->state;
    if (state->round < 0) {
        memcpy(state->table_bytes, tables->table_bytes, sizeof state->table_bytes);
        DF_TRY(df_context_check_stop(e->context));
        branch->round_begin = df_clock();
        DF_TRY(df_branch_add_initial(branch));
        take_labels(branch);
        DF_TRY(finish_round(branch, 0, state->annotations));
    }
    while (!state->finished) {
        int64_t count = 0;
        DF_TRY(df_context_check_stop(e->context));
        branch->round_begin = df_clock();
        branch->round_row = state->count;
        DF_TRY(df_branch_query(branch, state->round + 1, &count));
        if (!count) {
            state->finished = true;
            df_say(e->context, DFAL_WARNING, "run.exhausted",
                   DF_FIELDS(DF_TEXT("strategy", branch->name), DF_INT("trial", branch->trial),
                             DF_INT("annotations", state->annotations)),
                   "trial %d, %s ends at %lld annotations: no candidate is left", branch->trial, branch->name,
                   (long long)state->annotations);
            if (!df_branch_transferred(branch))
                DF_TRY(df_branch_transfer(branch, state->round));
            DF_TRY(commit(branch));
            break;
        }
        DF_TRY(finish_round(branch, state->round + 1, count));
    }
    return DFAL_OK;
}

/* All branches in order; finished ones are passed over, the first that is not is loaded, later ones start. */
static dfal_status run_branches(struct df_experiment *e, struct df_run_advance *advance)
{
    struct df_run_state last = {.round = -1};
    bool cut = false;
    for (int32_t trial = 1; trial <= e->config.trials; trial++) {
        for (int32_t s = 0; s < e->config.strategy_count; s++) {
            struct df_branch branch;
            struct df_run_state seen = {.round = -1};
            dfal_status status;
            DF_TRY_TO(next, status, branch_open(&branch, e, trial, s));
            branch.advance = advance;
            DF_TRY_TO(next, status, df_run_state_peek(&seen, branch.state_path));
            if (seen.round >= 0) {
                e->context->kept_work = true;
                last = seen;
                advance->done += seen.annotations;
            }
            if (seen.finished)
                goto next;
            if (!cut) {
                cut = true;
                DF_TRY_TO(next, status, df_run_directory_cut(&e->directory, last.table_bytes));
                DF_TRY_TO(next, status, df_run_advance_resume(advance, e->directory.path));
            }
            if (seen.round >= 0) {
                if (!e->config.trainer.text[0])
                    DF_TRY_TO(next, status, df_network_copy(&branch.network, e->graph));
                DF_TRY_TO(next, status,
                          df_run_state_load(&branch.state, branch.network, e->train, branch.state_path));
                if (e->config.trainer.text[0])
                    DF_TRY_TO(
                        next, status,
                        df_external_trainer_network(&branch.trainer, &branch.network, branch.state.round));
                take_labels(&branch);
            }
            status = branch_run(&branch, &last);
            memcpy(last.table_bytes, branch.state.table_bytes, sizeof last.table_bytes);
        next:
            branch_close(&branch);
            if (status != DFAL_OK)
                return status;
        }
    }
    return cut ? DFAL_OK : df_run_directory_cut(&e->directory, last.table_bytes);
}

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
static const char *training_text(const struct df_experiment *e, const struct df_identity *identity)
{
    const char *engine = df_identity_value(identity, "training");
    return e->config.trainer.text[0] ? "trainer" : engine ? engine : "layers";
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

dfal_status df_run_execute(struct dfal_context *context, const char *dir,
                           const struct dfal_run_options *options, const struct df_oracle_kind *oracles,
                           df_run_publish_fn *publish)
{
    struct df_experiment e = {0};
    struct df_identity identity = {0};
    struct df_run_advance advance;
    dfal_status status;
    context->kept_work = false;
    DF_TRY_TO(done, status, df_experiment_open(&e, context, options, oracles));
    DF_TRY_TO(done, status, check_apart(&e, dir, options->config_path));
    DF_TRY_TO(done, status, df_experiment_identity(&e, context, &identity));
    DF_TRY_TO(done, status,
              df_run_directory_open(&e.directory, context, dir, &e.config, &identity, options->resume));
    df_log_tee(context, df_run_directory_event, &e.directory);
    const char *network = e.config.trainer.text[0] ? e.config.trainer.text : e.config.network;
    df_say(context, DFAL_INFO, e.directory.resumed ? "run.resume" : "run.begin",
           DF_FIELDS(DF_TEXT("network", network), DF_TEXT("train", e.config.train),
                     DF_TEXT("test", e.config.test), DF_INT("annotations", e.config.annotations),
                     DF_INT("trials", e.config.trials), DF_TEXT("backend", e.device->info.backend),
                     DF_TEXT("training", training_text(&e, &identity)), DF_TEXT("isa", e.device->info.isa),
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
    df_run_advance_begin(&advance, context, &e.config, e.eligible_count);
    status = run_branches(&e, &advance);
    df_run_advance_end(&advance);
    if (status == DFAL_E_UNAVAILABLE && context->kept_work && e.device_failed) {
        char sentence[DF_MESSAGE_SIZE];
        df_message_get(sentence);
        status = df_fail(DFAL_E_STOPPED, "%.800s: the finished rounds are kept", sentence);
    } else if (status == DFAL_E_STOPPED && context->kept_work) {
        df_fail(status, "%s: stopped, the finished rounds are kept", e.directory.path);
    }
    if (status != DFAL_OK) /* only into the log: the caller gets the same sentence as the error */
        df_run_directory_event(
            &e.directory,
            &(struct dfal_event){.level = DFAL_WARNING, .name = "run.stop", .text = dfal_last_error()});
    else
        df_say(context, DFAL_INFO, "run.end", DF_NO_FIELDS, "all trials are finished");
    df_log_tee(context, NULL, NULL);
    if (e.directory.log_failed && status == DFAL_OK)
        df_say(context, DFAL_WARNING, "run.log", DF_NO_FIELDS,
               "%s/log.jsonl is incomplete: it could not be written", e.directory.path);
    if (status != DFAL_OK && !context->kept_work)
        df_run_directory_abandon(&e.directory);
    if (status == DFAL_OK)
        status = publish(context, dir);
done:
    df_identity_clear(&identity);
    df_experiment_close(&e);
    return status;
}
