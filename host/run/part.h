/* SPDX-License-Identifier: Apache-2.0 */
/* Which of an experiment's branches a process runs; a branch is one strategy in one trial. Branches do not
 * know of each other, so that any division of them gives the same rows: a part of `run --trial K/N` is one,
 * what the ranks of one job share may be another. */
#ifndef DF_RUN_PART_H
#define DF_RUN_PART_H

#include "base/identity.h"
#include "run/config.h"

/* Trials 1 + number, 1 + number + count, ... of an experiment; count 0: all of them. */
struct df_run_part {
    int32_t number, count;
};
/* Branches, trial by trial, in a trial as the strategies are listed: the order of all tables. */
struct df_run_set {
    struct df_run_member {
        int32_t trial, strategy; /* from 1; as it is listed */
    } * members;
    int64_t count;
};
/* Clear the set, also after an error. Errors   E_USAGE the part is none of a cut of so many trials */
dfal_status df_run_set_of_part(struct df_run_set *set, const struct df_run_config *config,
                               struct df_run_part part);
void df_run_set_clear(struct df_run_set *set);
/* How many trials of a strategy it has. */
int32_t df_run_set_trials(const struct df_run_set *set, int32_t strategy);

/* The part as a key of the identity of what is run, which the whole has not. */
#define DF_RUN_PART_KEY "part"
void df_run_part_add(struct df_identity *identity, struct df_run_part part);
/* That of a run directory. Errors   E_DATA a damaged identity */
dfal_status df_run_part_read(struct df_run_part *part, const char *dir);

#endif
