/* SPDX-License-Identifier: Apache-2.0 */
/* What a strategy has chosen by one network is learnt by another. */
#include "base/clock.h"
#include "base/memory.h"
#include "run/branch.h"
#include "score/evaluate.h"

bool df_branch_transferred(const struct df_branch *branch)
{
    const int64_t every = branch->experiment->config.transfer_every;
    return every && branch->state.annotations % every == 0;
}

static bool is_due(const struct df_branch *branch)
{
    return branch->experiment->transfer && (branch->state.finished || df_branch_transferred(branch));
}

static void tell(struct df_branch *branch, int32_t round, const struct df_training_result *trained,
                 double accuracy)
{
    const struct df_run_state *state = &branch->state;
    const struct df_experiment *e = branch->experiment;
    struct df_text *line = &branch->lines[DF_RUN_TRANSFER];
    df_text_csv(line, branch->name);
    df_text_add(line, ",%d,%d,%lld,%lld,", branch->trial, round, (long long)state->annotations,
                (long long)state->count);
    df_text_number(line, accuracy);
    df_text_add(line, "\n");
    df_say(e->context, DFAL_INFO, "run.transfer",
           DF_FIELDS(DF_TEXT("strategy", branch->name), DF_INT("trial", branch->trial),
                     DF_INT("round", round), DF_INT("annotations", state->annotations),
                     DF_TEXT("network", e->config.transfer), DF_REAL("accuracy", accuracy),
                     DF_REAL("train_seconds", trained->seconds)),
           "trial %d, %s: %lld annotations, %s learns them with accuracy %.4f", branch->trial, branch->name,
           (long long)state->annotations, e->config.transfer, accuracy);
}

dfal_status df_branch_transfer(struct df_branch *branch, int32_t round)
{
    struct df_experiment *e = branch->experiment;
    struct df_network *network = NULL;
    struct df_training_result trained = {0};
    struct dfal_eval_result eval = {0};
    dfal_status status;
    if (!is_due(branch))
        return DFAL_OK;
    const double begin = df_clock();
    DF_TRY_TO(done, status, df_network_copy(&network, e->transfer));
    DF_TRY_TO(done, status, df_branch_fit(branch, network, round, false, &trained));
    trained.seconds = df_clock() - begin;
    DF_TRY_TO(
        done, status,
        df_branch_on_device(e, df_evaluate(e->context, e->device, network, e->test, e->crew, &eval, NULL)));
    if (!df_branch_leads(branch))
        goto done;
    tell(branch, round, &trained, eval.accuracy);
    status = branch->lines[DF_RUN_TRANSFER].status;
done:
    dfal_eval_result_clear(&eval);
    df_network_destroy(network);
    return status;
}
