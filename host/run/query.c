/* SPDX-License-Identifier: Apache-2.0 */
/* What a round adds: the strategy's queries, their twins, and rows that it labels itself. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "run/branch.h"
#include "score/pool_network.h"

/* Choose; a command may read the network of the round before. */
static dfal_status choose(struct df_branch *branch, const int64_t *candidates, int64_t n,
                          struct df_selection_options *options, int32_t round, struct df_selection *selection)
{
    struct df_experiment *e = branch->experiment;
    if (!branch->command.text)
        return df_branch_on_device(e, df_select(e->context, e->device, branch->network, e->train, candidates,
                                                n, options, selection));
    options->command = &branch->command;
    DF_TRY(df_branch_write_network(branch, branch->command_network, round - 1));
    dfal_status status =
        df_select(e->context, e->device, branch->network, e->train, candidates, n, options, selection);
    if (!branch->command.at_fault)
        status = df_branch_on_device(e, status);
    return status == DFAL_OK ? df_path_remove(branch->command_network) : status;
}

dfal_status df_branch_add_initial(struct df_branch *branch)
{
    struct df_experiment *e = branch->experiment;
    int64_t n = e->config.initial, *rows = NULL;
    int32_t *labels = NULL;
    dfal_status status;
    struct df_draw draw = {0};
    DF_TRY_TO(done, status, df_draw_open(&draw, n, branch->seed, DF_STREAM_INITIAL));
    DF_TRY_TO(done, status, df_alloc(&rows, n, sizeof *rows));
    DF_TRY_TO(done, status, df_alloc(&labels, n, sizeof *labels));
    for (int64_t i = 0; i < e->eligible_count; i++)
        df_draw_add(&draw, i);
    df_draw_take(&draw, rows);
    for (int64_t i = 0; i < n; i++)
        rows[i] = e->eligible[rows[i]];
    DF_TRY_TO(done, status, e->oracle->ask(e->oracle, rows, labels, n));
    DF_TRY_TO(done, status, df_run_state_add_rows(&branch->state, e->train, rows, labels, n));
    branch->state.annotations = n;
done:
    df_draw_close(&draw);
    df_free(rows);
    df_free(labels);
    return status;
}

static dfal_status add_queries(struct df_branch *branch, const struct df_selection *selection, int32_t round)
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
static dfal_status add_pseudo(struct df_branch *branch, const struct df_selection *selection, int32_t round)
{
    struct df_experiment *e = branch->experiment;
    const int64_t n = selection->pseudo_count;
    const double bytes = (double)(branch->state.count + n) * (double)selection->size * sizeof(float);
    char what[64];
    int64_t known = 0, wrong = 0;
    if (!branch->strategy->certain)
        return DFAL_OK;
    snprintf(what, sizeof what, "%lld labelled and pseudo-labelled rows",
             (long long)(branch->state.count + n));
    if (!branch->state.twins_only)
        DF_TRY(df_context_check_memory(e->context, bytes, what, "label fewer by a smaller threshold"));
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

dfal_status df_branch_choice(struct df_selection_options *options, const struct df_branch *branch,
                             int32_t round, int64_t count)
{
    *options = (struct df_selection_options){
        .strategy = branch->strategy,
        .values = &branch->options.own,
        .count = count,
        .subsample = branch->options.subsample,
        .seed = df_branch_seed(branch, round),
        .twins = branch->options.twins,
        .how = DF_DEEPFOOL_FOLD | (branch->experiment->fused ? DF_DEEPFOOL_FUSED : 0),
        .round = round,
        .pseudo_labels = true,
        .comm = branch->experiment->crew,
        .alike = branch->experiment->crew != NULL,
    };
    return df_deepfool_preset(&options->deepfool, branch->options.deepfool);
}

dfal_status df_branch_query(struct df_branch *branch, int32_t round, int64_t *count)
{
    struct df_experiment *e = branch->experiment;
    int64_t *candidates = NULL, n = 0, left = e->config.annotations - branch->state.annotations;
    int64_t *labelled = NULL;
    int32_t *labels = NULL;
    struct df_selection selection = {0};
    struct df_selection_options options;
    dfal_status status;
    *count = 0;
    DF_TRY_TO(done, status,
              df_branch_choice(&options, branch, round, left < e->config.query ? left : e->config.query));
    DF_TRY_TO(done, status, df_alloc(&candidates, e->eligible_count, sizeof *candidates));
    DF_TRY_TO(done, status, df_alloc(&labelled, e->eligible_count, sizeof *labelled));
    DF_TRY_TO(done, status, df_alloc(&labels, e->eligible_count, sizeof *labels));
    for (int64_t i = 0; i < e->eligible_count; i++) {
        const int64_t row = e->eligible[i];
        if (branch->label[row] == DF_NOT_ASKED) {
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
    memcpy(branch->statuses, selection.statuses, sizeof branch->statuses);
    if (selection.nonfinite)
        df_say(e->context, DFAL_WARNING, "run.nonfinite",
               DF_FIELDS(DF_TEXT("strategy", branch->name), DF_INT("trial", branch->trial),
                         DF_INT("round", round), DF_INT("rows", selection.nonfinite)),
               "%s, trial %d, round %d: " DF_PASSED_OVER, branch->name, branch->trial, round,
               DF_PASSED_OVER_VALUES(selection.nonfinite));
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
