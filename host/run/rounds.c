/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of active learning, of one strategy in one trial. In each trial every strategy starts from the
 * same initial set and uses the same seeds; a round selects, asks the oracle, adds rows and twins, trains
 * (training.init: from scratch) and evaluates. A round ends with its rows in the tables and then a
 * checkpoint: whatever is killed between the two is cut off and done again. */
#include "run/rounds.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "run/branch.h"
#include "run/class_table.h"
#include "run/curve.h"
#include "run/ranks.h"
#include "score/evaluate.h"
#include "score/pool_network.h"

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

static void clear_lines(struct df_branch *branch)
{
    for (int t = 0; t < DF_RUN_TABLES; t++)
        df_text_clear(&branch->lines[t]);
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
    clear_lines(branch);
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
static dfal_status commit(struct df_branch *branch, const struct df_run_round *round)
{
    dfal_status status;
    DF_TRY_TO(done, status, save_network(branch, branch->state.round));
    DF_TRY_TO(done, status, df_run_ranks_append(branch->experiment, branch->side, round));
    DF_TRY_TO(done, status, save_state(branch));
    df_context_job(branch->experiment->context)->kept_work = true;
done:
    clear_lines(branch);
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

/* The round's lines, and its checkpoint. */
static dfal_status tell_round(struct df_branch *branch, int32_t round, int64_t added, int64_t labelled,
                              const struct df_training_result *trained, const struct dfal_eval_result *eval)
{
    struct df_experiment *e = branch->experiment;
    struct df_run_state *state = &branch->state;
    const double accuracy = eval->accuracy, loss = eval->loss;
    if (round == 0)
        df_warn_nonfinite(e->context, e->test, eval);
    DF_TRY(tell_classes(branch, round, eval));
    state->best_so_far = round && state->best_so_far > accuracy ? state->best_so_far : accuracy;
    struct df_curve_row row = {
        .trial = branch->trial,
        .round = round,
        .annotations = state->annotations,
        .labelled = labelled,
        .accuracy = accuracy,
        .best_so_far = state->best_so_far,
        .loss = loss,
        .train_seconds = trained->seconds,
        .select_seconds = branch->select_seconds,
        .steps = e->config.trainer.text[0] ? -1 : trained->steps,
        .round_seconds = df_clock() - branch->round_begin,
    };
    snprintf(row.strategy, sizeof row.strategy, "%s", branch->name);
    df_curve_statuses(row.statuses, branch->statuses);
    df_curve_line(&branch->lines[DF_RUN_CURVE], &row);
    const struct df_run_round finished = {branch->lines, &row, added};
    DF_TRY(commit(branch, &finished));
    df_run_ranks_say(e, branch->side, &finished);
    return DFAL_OK;
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
    DF_TRY(df_branch_on_device(
        e, df_evaluate(e->context, e->device, branch->network, e->test, e->crew, &eval, NULL)));
    state->round = round;
    dfal_status status = DFAL_OK;
    if (df_branch_leads(branch))
        status = tell_round(branch, round, added, labelled, &trained, &eval);
    else
        clear_lines(branch);
    dfal_eval_result_clear(&eval);
    return status;
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

/* Room for what the trial will have labelled at its end. How many rows a strategy will label itself, for one
 * training at a time, nobody knows. */
static dfal_status reserve(struct df_branch *branch)
{
    const struct df_experiment *e = branch->experiment;
    const int64_t most =
        e->config.annotations < e->eligible_count ? e->config.annotations : e->eligible_count;
    return df_run_state_reserve(&branch->state, most, branch->options.twins ? most - e->config.initial : 0);
}

/* From the checkpoint (round -1: from the start) to the last annotation. */
static dfal_status branch_run(struct df_branch *branch)
{
    struct df_experiment *e = branch->experiment;
    struct df_run_state *state = &branch->state;
    if (!state->finished)
        DF_TRY(reserve(branch));
    if (state->round < 0) {
        DF_TRY(df_context_check_stop(e->context));
        branch->round_begin = df_clock();
        DF_TRY(df_branch_add_initial(branch));
        take_labels(branch);
        DF_TRY(finish_round(branch, 0, state->annotations));
    }
    while (!state->finished && !atomic_load(&branch->side->failed)) {
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
            if (df_branch_leads(branch))
                DF_TRY(commit(branch, &(struct df_run_round){.lines = branch->lines}));
            break;
        }
        DF_TRY(finish_round(branch, state->round + 1, count));
    }
    return DFAL_OK;
}

/* The rows of its checkpoint, and the network, which a trainer has written. */
static dfal_status load(struct df_branch *branch)
{
    struct df_experiment *e = branch->experiment;
    const bool own = !e->config.trainer.text[0];
    if (own)
        DF_TRY(df_network_copy(&branch->network, e->graph));
    DF_TRY(df_run_state_load(&branch->state, branch->network, e->train, branch->state_path));
    if (!own)
        DF_TRY(df_external_trainer_network(&branch->trainer, &branch->network, branch->state.round));
    take_labels(branch);
    return DFAL_OK;
}

dfal_status df_rounds_run(struct df_experiment *e, struct df_run_side *side, int32_t trial, int32_t strategy,
                          bool begun)
{
    struct df_branch branch;
    dfal_status status;
    DF_TRY_TO(done, status, branch_open(&branch, e, trial, strategy));
    branch.side = side;
    if (begun)
        DF_TRY_TO(done, status, load(&branch));
    if (begun && e->crew)
        DF_TRY_TO(done, status, df_run_ranks_resume(e->crew, branch.state_path, branch.state.round));
    status = branch_run(&branch);
done:
    branch_close(&branch);
    return status;
}
