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
#include "run/class_table.h"
#include "run/curve.h"
#include "run/external_trainer.h"
#include "run/pace.h"
#include "store/network_file.h"
#include "strategy/selection.h"

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

enum { NOT_ASKED = -1 };

/* One strategy in one trial. */
struct branch {
    struct df_experiment *experiment;
    const struct df_strategy *strategy;
    const char *name; /* in the tables: of a command its own */
    struct df_strategy_config options;
    int32_t trial; /* from 1 */
    uint64_t seed; /* of the trial */
    struct df_run_state state;
    struct df_network *network;         /* of the last round */
    struct df_external_trainer trainer; /* somebody else's, where the configuration names one */
    struct df_command_place command;    /* that chooses; text NULL: dfal does */
    char *command_folder, *command_network;
    char *state_path;
    int32_t *label;                      /* [rows of train] what the oracle said; NOT_ASKED */
    struct df_text lines[DF_RUN_TABLES]; /* of the round, not written yet */
    int64_t round_row;                   /* of state: the first that the round has added */
    double select_seconds;
    double round_begin; /* df_clock */
    struct df_run_advance *advance;
};

static void branch_close(struct branch *branch)
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

static uint64_t round_seed(const struct branch *branch, int32_t round)
{
    return df_random_child(branch->seed, DF_STREAM_ROUND, (uint64_t)round);
}

/* Keep in mind that it was the device, not a trainer, that could not go on. */
static dfal_status on_device(struct df_experiment *e, dfal_status status)
{
    e->device_failed = e->device_failed || status == DFAL_E_UNAVAILABLE;
    return status;
}

/* The network of a round as a file. */
static dfal_status write_network(const struct branch *branch, const char *path, int32_t round)
{
    struct df_experiment *e = branch->experiment;
    const struct df_device_info *info = &e->device->info;
    const struct df_provenance provenance = {
        .command_line = e->context->options.command_line ? e->context->options.command_line : "",
        .configuration = "",
        .backend = info->backend,
        .engine = "layers",
        .isa = info->isa,
        .device = info->device,
        .seed = round_seed(branch, round),
        .trained_on = e->train->fingerprint,
    };
    return df_network_save(branch->network, path, true, &provenance);
}

static dfal_status save_network(struct branch *branch, int32_t round)
{
    struct df_experiment *e = branch->experiment;
    bool all = !strcmp(e->config.keep, "all");
    char *path = NULL;
    if (!strcmp(e->config.keep, "none") || (!all && !branch->state.finished))
        return DFAL_OK;
    DF_TRY(df_run_network_path(&path, e->directory.path, branch->name, branch->trial, all ? round : -1));
    const dfal_status status = write_network(branch, path, round);
    df_free(path);
    return status;
}

/* ---- a command that chooses ---------------------------------------------------------------------------- */

static dfal_status command_open(struct branch *branch, const char *text)
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

/* Choose; a command may read the network of the round before. */
static dfal_status choose(struct branch *branch, const int64_t *candidates, int64_t n,
                          struct df_selection_options *options, int32_t round, struct df_selection *selection)
{
    struct df_experiment *e = branch->experiment;
    if (!branch->command.text)
        return on_device(e, df_select(e->context, e->device, branch->network, e->train, candidates, n,
                                      options, selection));
    options->command = &branch->command;
    DF_TRY(write_network(branch, branch->command_network, round - 1));
    dfal_status status =
        df_select(e->context, e->device, branch->network, e->train, candidates, n, options, selection);
    if (!branch->command.at_fault)
        status = on_device(e, status);
    return status == DFAL_OK ? df_path_remove(branch->command_network) : status;
}

/* ---- a round's steps ----------------------------------------------------------------------------------- */

static dfal_status add_initial(struct branch *branch)
{
    struct df_experiment *e = branch->experiment;
    int64_t n = e->config.initial, *order = NULL, *rows = NULL;
    int32_t *labels = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&order, e->eligible_count, sizeof *order));
    DF_TRY_TO(done, status, df_alloc(&rows, n, sizeof *rows));
    DF_TRY_TO(done, status, df_alloc(&labels, n, sizeof *labels));
    DF_TRY_TO(done, status,
              df_random_permutation(order, e->eligible_count, branch->seed, DF_STREAM_INITIAL, 0));
    for (int64_t i = 0; i < n; i++)
        rows[i] = e->eligible[order[i]];
    DF_TRY_TO(done, status, e->oracle->ask(e->oracle, rows, labels, n));
    DF_TRY_TO(done, status, df_run_state_add_rows(&branch->state, e->train, rows, labels, n));
    branch->state.annotations = n;
done:
    df_free(order);
    df_free(rows);
    df_free(labels);
    return status;
}

static dfal_status add_queries(struct branch *branch, const struct df_selection *selection, int32_t round)
{
    struct df_experiment *e = branch->experiment;
    int32_t *labels = NULL;
    int64_t lost = 0;
    char *id = NULL;
    const struct df_classes classes = df_classes_of_pool(branch->network, e->train);
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&labels, selection->count, sizeof *labels));
    DF_TRY_TO(done, status, e->oracle->ask(e->oracle, selection->index, labels, selection->count));
    DF_TRY_TO(done, status,
              df_run_state_add_rows(&branch->state, e->train, selection->index, labels, selection->count));
    for (int64_t i = 0; i < selection->count; i++) {
        branch->label[selection->index[i]] = labels[i];
        DF_TRY_TO(done, status, df_pool_id(e->train, &id, selection->index[i]));
        struct dfal_query query = df_selection_query(selection, i, id, NULL, labels[i]);
        df_query_name(&query, &classes);
        df_text_csv(&branch->lines[DF_RUN_QUERIES], branch->name);
        df_text_add(&branch->lines[DF_RUN_QUERIES], ",%d,%d,", branch->trial, round);
        df_query_line(&branch->lines[DF_RUN_QUERIES], &query);
        df_free(id);
        id = NULL;
        if (selection->twin && selection->status[i] == DFAL_SCORE_OK)
            DF_TRY_TO(done, status,
                      df_run_state_add_twin(&branch->state, selection->index[i], labels[i],
                                            selection->adversarial_class[i],
                                            selection->twin + i * selection->size));
        else
            lost += selection->twin != NULL;
    }
    branch->state.annotations += selection->count;
    if (lost)
        df_say(e->context, DFAL_WARNING, "run.no_twin",
               DF_FIELDS(DF_TEXT("strategy", branch->name), DF_INT("trial", branch->trial),
                         DF_INT("round", round), DF_INT("queries", lost)),
               "%s, trial %d, round %d: %lld of %lld queries got no twin, DeepFool did not end with OK",
               branch->name, branch->trial, round, (long long)lost, (long long)selection->count);
done:
    df_free(labels);
    df_free(id);
    return status;
}

/* Rows that the strategy labels itself, for this round's training. */
static dfal_status add_pseudo(struct branch *branch, const struct df_selection *selection, int32_t round)
{
    struct df_experiment *e = branch->experiment;
    const int64_t n = selection->pseudo_count;
    const double bytes = (double)(branch->state.count + n) * (double)selection->size * sizeof(float);
    int64_t known = 0, wrong = 0;
    if (!branch->strategy->certain)
        return DFAL_OK;
    if (bytes > (double)e->context->memory && !branch->state.twins_only)
        DF_FAIL(DFAL_E_MEMORY,
                "%lld labelled and pseudo-labelled rows take %.0f MB, expected at most the %.0f MB of "
                "`memory`: a smaller threshold labels fewer",
                (long long)(branch->state.count + n), bytes / 1e6, (double)e->context->memory / 1e6);
    for (int64_t i = 0; i < n && e->train->labels; i++) {
        const int32_t truth = e->train->labels[selection->pseudo_index[i]];
        known += truth >= 0;
        wrong += truth >= 0 && truth != selection->pseudo_label[i];
    }
    df_say(e->context, DFAL_INFO, "run.pseudo",
           DF_FIELDS(DF_TEXT("strategy", branch->name), DF_INT("trial", branch->trial),
                     DF_INT("round", round), DF_INT("rows", n), DF_INT("known", known),
                     DF_INT("wrong", wrong)),
           "%s, trial %d, round %d: %lld rows get a pseudo-label, %lld of %lld whose label is known a wrong "
           "one",
           branch->name, branch->trial, round, (long long)n, (long long)wrong, (long long)known);
    return df_run_state_add_pseudo(&branch->state, e->train, selection->pseudo_index, selection->pseudo_label,
                                   n);
}

/* Choose, ask and add; *count 0: nobody is left. */
static dfal_status query(struct branch *branch, int32_t round, int64_t *count)
{
    struct df_experiment *e = branch->experiment;
    int64_t *candidates = NULL, n = 0, left = e->config.annotations - branch->state.annotations;
    int64_t *labelled = NULL;
    int32_t *labels = NULL;
    struct df_selection selection = {0};
    struct df_selection_options options = {
        .strategy = branch->strategy,
        .values = &branch->options.own,
        .count = left < e->config.query ? left : e->config.query,
        .subsample = branch->options.subsample,
        .seed = round_seed(branch, round),
        .twins = branch->options.twins,
        .how = DF_DEEPFOOL_FOLD | (e->fused ? DF_DEEPFOOL_FUSED : 0),
        .round = round,
        .pseudo_labels = true,
    };
    dfal_status status;
    *count = 0;
    DF_TRY_TO(done, status, df_deepfool_preset(&options.deepfool, branch->options.deepfool));
    DF_TRY_TO(done, status, df_alloc(&candidates, e->eligible_count, sizeof *candidates));
    DF_TRY_TO(done, status, df_alloc(&labelled, e->eligible_count, sizeof *labelled));
    DF_TRY_TO(done, status, df_alloc(&labels, e->eligible_count, sizeof *labels));
    for (int64_t i = 0; i < e->eligible_count; i++) {
        const int64_t row = e->eligible[i];
        if (branch->label[row] == NOT_ASKED) {
            candidates[n++] = row;
            continue;
        }
        labels[options.labelled_row_count] = branch->label[row];
        labelled[options.labelled_row_count++] = row;
    }
    options.labelled_rows = labelled;
    options.labelled_labels = labels;
    if (!n)
        goto done;
    DF_TRY_TO(done, status, choose(branch, candidates, n, &options, round, &selection));
    *count = selection.count;
    branch->select_seconds = selection.seconds;
    if (selection.nonfinite)
        df_say(e->context, DFAL_WARNING, "run.nonfinite",
               DF_FIELDS(DF_TEXT("strategy", branch->name), DF_INT("trial", branch->trial),
                         DF_INT("round", round), DF_INT("rows", selection.nonfinite)),
               "%s, trial %d, round %d: %lld candidates were passed over, an input or a logit is not finite",
               branch->name, branch->trial, round, (long long)selection.nonfinite);
    if (selection.count) {
        DF_TRY_TO(done, status, add_queries(branch, &selection, round));
        status = add_pseudo(branch, &selection, round);
    }
done:
    df_free(candidates);
    df_free(labelled);
    df_free(labels);
    df_selection_clear(&selection);
    return status;
}

/* The network that a round's training begins with: the last round's, or that of the configuration, whose
 * weights count where *keep is set. */
static dfal_status begin_network(struct branch *branch, int32_t round, bool *keep)
{
    struct df_experiment *e = branch->experiment;
    const bool previous = round > 0 && !strcmp(e->config.init, "previous");
    *keep = previous || e->warm;
    if (previous)
        return DFAL_OK;
    df_network_destroy(branch->network);
    return df_network_copy(&branch->network, e->graph);
}

/* The labelled rows as the network counts their classes; NULL: as the pool does. */
static dfal_status count_like_network(struct df_training_row **rows, const struct branch *branch)
{
    const struct df_run_state *state = &branch->state;
    *rows = NULL;
    if (!branch->network->from_pool)
        return DFAL_OK;
    DF_TRY(df_alloc(rows, state->count, sizeof **rows));
    for (int64_t i = 0; i < state->count; i++) {
        (*rows)[i] = state->rows[i];
        (*rows)[i].label = df_network_from_pool(branch->network, state->rows[i].label);
    }
    return DFAL_OK;
}

static dfal_status train(struct branch *branch, int32_t round, struct df_training_result *result)
{
    struct df_experiment *e = branch->experiment;
    struct df_run_state *state = &branch->state;
    struct df_training_options options = e->config.training;
    struct df_training_row *rows = NULL;
    const bool grouped = strcmp(e->config.split, "rows") != 0;
    int64_t *unit = NULL;
    dfal_status status;
    options.seed = round_seed(branch, round);
    double begin = df_clock();
    if (e->config.trainer.text[0]) {
        df_network_destroy(branch->network);
        branch->network = NULL;
        DF_TRY(df_external_trainer_run(&branch->trainer, &branch->network, state, round, options.seed));
        result->seconds = df_clock() - begin;
        return DFAL_OK;
    }
    DF_TRY_TO(done, status, begin_network(branch, round, &options.keep_initial));
    DF_TRY_TO(done, status, count_like_network(&rows, branch));
    DF_TRY_TO(done, status, df_alloc(&unit, state->count, sizeof *unit));
    df_run_state_units(state, grouped, unit);
    const struct df_training_set set = {.count = state->count,
                                        .size = state->size,
                                        .rows = rows ? rows : state->rows,
                                        .x = state->x,
                                        .unit = unit};
    status = on_device(
        e, df_train(e->context, e->device, branch->network, &set, &options, NULL, NULL, NULL, result));
done:
    df_free(unit);
    df_free(rows);
    result->seconds = df_clock() - begin;
    return status;
}

/* The checkpoint. A trainer's network stays the file that it wrote. */
static dfal_status save_state(struct branch *branch)
{
    const bool own = !branch->experiment->config.trainer.text[0];
    struct df_run_state *state = &branch->state;
    DF_TRY(df_run_state_save(state, own ? branch->network : NULL, branch->state_path));
    if (!own)
        df_external_trainer_sweep(&branch->trainer, state->finished ? state->round + 1 : state->round);
    return DFAL_OK;
}

/* The round is over: its rows, then the checkpoint that knows of them. */
static dfal_status commit(struct branch *branch, const struct df_curve_row *row)
{
    struct df_experiment *e = branch->experiment;
    struct df_run_state *state = &branch->state;
    dfal_status status;
    DF_TRY_TO(done, status, save_network(branch, row->round));
    df_curve_line(&branch->lines[DF_RUN_CURVE], row);
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
static dfal_status tell_classes(struct branch *branch, int32_t round, const struct dfal_eval_result *eval)
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

static dfal_status finish_round(struct branch *branch, int32_t round, int64_t added)
{
    struct df_experiment *e = branch->experiment;
    struct df_run_state *state = &branch->state;
    struct df_training_result trained = {0};
    struct dfal_eval_result eval = {0};
    DF_TRY(train(branch, round, &trained));
    const int64_t labelled = state->count;
    df_run_state_drop_pseudo(state);
    DF_TRY(on_device(e, df_evaluate(e->context, e->device, branch->network, e->test, &eval, NULL)));
    if (round == 0)
        df_warn_nonfinite(e->context, e->test, &eval);
    double accuracy = eval.accuracy, loss = eval.loss;
    const dfal_status told = tell_classes(branch, round, &eval);
    dfal_eval_result_clear(&eval);
    DF_TRY(told);
    state->round = round;
    state->best_so_far = round && state->best_so_far > accuracy ? state->best_so_far : accuracy;
    state->finished = state->annotations >= e->config.annotations || state->annotations >= e->eligible_count;
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
    DF_TRY(commit(branch, &row));
    df_say(e->context, DFAL_INFO, "run.round",
           DF_FIELDS(DF_TEXT("strategy", row.strategy), DF_INT("trial", row.trial),
                     DF_INT("round", row.round), DF_INT("annotations", row.annotations),
                     DF_INT("labelled", row.labelled), DF_REAL("accuracy", row.accuracy),
                     DF_REAL("loss", row.loss), DF_REAL("train_seconds", row.train_seconds),
                     DF_REAL("select_seconds", row.select_seconds), DF_INT("steps", row.steps),
                     DF_REAL("round_seconds", row.round_seconds)),
           "trial %d, %s: %lld annotations, accuracy %.4f", row.trial, row.strategy,
           (long long)row.annotations, row.accuracy);
    df_run_advance_add(branch->advance, &row, added);
    return DFAL_OK;
}

/* ---- branches ------------------------------------------------------------------------------------------ */

static dfal_status branch_open(struct branch *branch, struct df_experiment *e, int32_t trial,
                               int32_t strategy)
{
    *branch = (struct branch){
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
        branch->label[i] = NOT_ASKED;
    return DFAL_OK;
}

static void take_labels(struct branch *branch)
{
    for (int64_t i = 0; i < branch->state.count; i++)
        if (branch->state.rows[i].source == DF_ROW_POOL)
            branch->label[branch->state.rows[i].index] = branch->state.rows[i].label;
}

/* From the checkpoint (round -1: from the start) to the last annotation. */
static dfal_status branch_run(struct branch *branch, const struct df_run_state *tables)
{
    struct df_experiment *e = branch->experiment;
    struct df_run_state *state = &branch->state;
    if (state->round < 0) {
        memcpy(state->table_bytes, tables->table_bytes, sizeof state->table_bytes);
        DF_TRY(df_context_check_stop(e->context));
        branch->round_begin = df_clock();
        DF_TRY(add_initial(branch));
        take_labels(branch);
        DF_TRY(finish_round(branch, 0, state->annotations));
    }
    while (!state->finished) {
        int64_t count = 0;
        DF_TRY(df_context_check_stop(e->context));
        branch->round_begin = df_clock();
        branch->round_row = state->count;
        DF_TRY(query(branch, state->round + 1, &count));
        if (!count) {
            state->finished = true;
            df_say(e->context, DFAL_WARNING, "run.exhausted",
                   DF_FIELDS(DF_TEXT("strategy", branch->name), DF_INT("trial", branch->trial),
                             DF_INT("annotations", state->annotations)),
                   "trial %d, %s ends at %lld annotations: no candidate is left", branch->trial, branch->name,
                   (long long)state->annotations);
            DF_TRY(save_network(branch, state->round));
            DF_TRY(save_state(branch));
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
            struct branch branch;
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
    const char *const inputs[] = {config_path, e->config.train, e->config.test, e->config.network};
    DF_TRY(df_run_directory_apart(dir, force, inputs, sizeof inputs / sizeof *inputs));
    return e->graph ? df_run_directory_apart(dir, force, (const char *const *)e->graph->files,
                                             e->graph->file_count)
                    : DFAL_OK;
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
                     DF_TEXT("isa", e.device->info.isa), DF_INT("threads", context->threads),
                     DF_TEXT("output", e.directory.path), DF_TEXT("init", init_text(&e))),
           "%s: %s on %s, %lld annotations, %d strategies x %d trials, rounds trained from %s, back end %s, "
           "into %s",
           e.directory.resumed ? "continuing" : "experiment", network, e.config.train,
           (long long)e.config.annotations, e.config.strategy_count, e.config.trials, init_text(&e),
           e.device->info.backend, e.directory.path);
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
