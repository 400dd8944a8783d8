/* SPDX-License-Identifier: Apache-2.0 */
/* One strategy in one trial, and the steps of its rounds. Inside the room only. */
#ifndef DF_RUN_BRANCH_H
#define DF_RUN_BRANCH_H

#include "run/experiment.h"
#include "run/external_trainer.h"
#include "run/shared.h"
#include "run/state.h"
#include "strategy/selection.h"

enum { DF_NOT_ASKED = -1 };

struct df_branch {
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
    int32_t *label;                      /* [rows of train] what the oracle said; DF_NOT_ASKED */
    struct df_text lines[DF_RUN_TABLES]; /* of the round, not written yet */
    int64_t round_row;                   /* of state: the first that the round has added */
    double select_seconds;
    int64_t statuses[DFAL_SCORE_STATUS_ROOM]; /* of the round's DeepFool runs */
    double round_begin;                       /* df_clock */
    struct df_run_side *side;
};

/* Is this the rank of its crew that says, writes and keeps? */
static inline bool df_branch_leads(const struct df_branch *branch)
{
    const struct df_comm *crew = branch->experiment->crew;
    return crew == NULL || crew->rank == 0;
}
/* Of everything that a round draws. */
uint64_t df_branch_seed(const struct df_branch *branch, int32_t round);
/* Keep in mind that it was the device, not a trainer, that could not go on. Returns status. */
dfal_status df_branch_on_device(struct df_experiment *experiment, dfal_status status);
/* The network of a round as a file. */
dfal_status df_branch_write_network(const struct df_branch *branch, const char *path, int32_t round);
/* Train a network on what is labelled, as the configuration trains, with the seeds of a round.
 *   keep  from the weights that it has */
dfal_status df_branch_fit(struct df_branch *branch, struct df_network *network, int32_t round, bool keep,
                          struct df_training_result *result);
/* Train the network of a round. */
dfal_status df_branch_train(struct df_branch *branch, int32_t round, struct df_training_result *result);

/* Label the first rows of a trial. */
dfal_status df_branch_add_initial(struct df_branch *branch);
/* How a round chooses so many queries, but for the rows that are labelled. */
dfal_status df_branch_choice(struct df_selection_options *options, const struct df_branch *branch,
                             int32_t round, int64_t count);
/* Choose, ask and add; *count 0: nobody is left. */
dfal_status df_branch_query(struct df_branch *branch, int32_t round, int64_t *count);

/* Where the configuration asks for it after this round, train the other network on what is labelled, too: a
 * line of transfer.csv. */
dfal_status df_branch_transfer(struct df_branch *branch, int32_t round);
/* Did a round that was not known to be the last do it? */
bool df_branch_transferred(const struct df_branch *branch);

/* One strategy in one trial, from its checkpoint (begun: it has one) to the last annotation. */
dfal_status df_rounds_run(struct df_experiment *experiment, struct df_run_side *side, int32_t trial,
                          int32_t strategy, bool begun);

#endif
