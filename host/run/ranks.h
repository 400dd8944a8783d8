/* SPDX-License-Identifier: Apache-2.0 */
/* An experiment's branches over several ranks. They are claimed; rank 0 holds the run directory and writes
 * its tables, to which the others tell the lines of their rounds; checkpoints and networks are files of a
 * branch, which whoever runs it writes: of a crew the first. Inside the room only. */
#ifndef DF_RUN_RANKS_H
#define DF_RUN_RANKS_H

#include "run/experiment.h"
#include "run/shared.h"

/* Collective. Are all ranks about to run the same? Errors   E_CONFIG, the first difference named */
dfal_status df_run_ranks_agree(const struct df_experiment *experiment, const struct df_identity *identity);
/* Collective. Ranks behind rank 0 join the directory that it has opened. Errors   E_IO they do not see it */
dfal_status df_run_ranks_join(struct df_experiment *experiment, const char *dir);

/* Collective. Where `branches` that are not finished are fewer than the ranks, each is run by a crew: ranks
 * behind one another, whose numbers differ by at most one, and experiment->crew is this rank's. *mine: which
 * branch it runs; -1: there are enough, and ranks claim them. End it, also after an error. */
dfal_status df_run_ranks_crew(struct df_experiment *experiment, int64_t branches, int64_t *mine);
void df_run_ranks_crew_end(struct df_experiment *experiment);
/* Collective of a crew: have all read the same checkpoint at path? Nobody goes on before.
 * Errors   E_IO they see different files */
dfal_status df_run_ranks_resume(struct df_comm *crew, const char *path, int32_t round);

/* A finished round. */
struct df_run_round {
    const struct df_text *lines;    /* [DF_RUN_TABLES] */
    const struct df_curve_row *row; /* NULL: a round that was told has got more lines */
    int64_t annotations;            /* that it has added */
};
/* Put a round's lines into the tables, the curve's last: who counts its lines finds the others there. */
dfal_status df_run_ranks_append(struct df_experiment *experiment, struct df_run_side *side,
                                const struct df_run_round *round);
/* Say that a round is finished, on rank 0; of another rank's it was said when its lines came. */
void df_run_ranks_say(struct df_experiment *experiment, struct df_run_side *side,
                      const struct df_run_round *round);

/* While it listens rank 0 takes the rounds of others. */
struct df_run_listener {
    struct df_experiment *experiment;
    struct df_run_side *side;
};
void df_run_ranks_listen(struct df_run_listener *listener);
void df_run_ranks_end(const struct df_run_listener *listener);

#endif
