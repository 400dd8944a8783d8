/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a run directory as its checkpoints have it. While a run goes on its lines stand in the order
 * in which rounds ended, those of strategies and trials that run side by side in between each other; whoever
 * is killed leaves lines of a round that no checkpoint knows of. */
#ifndef DF_RUN_TABLES_H
#define DF_RUN_TABLES_H

#include "run/directory.h"

/* What the checkpoint of one strategy in one trial says. */
struct df_run_place {
    const char *strategy; /* borrowed */
    int32_t trial, round; /* the last finished one; -1: none */
    int64_t annotations;
    int32_t source; /* of the directories that are joined, the one whose tables have it; else 0 */
};
/* Put the tables in order: strategies and trials as they are listed, trial by trial, each with its rounds,
 * without lines of any other. A table that is in order is left alone, another is replaced in one step.
 * Errors   E_DATA a table lacks a round that a checkpoint knows of */
dfal_status df_run_tables_settle(struct df_run_directory *directory, const struct df_run_place *places,
                                 int64_t count);
/* Fill the tables of a new directory with those of finished ones, in the same order: what one run of all
 * places would have written.
 *   dirs  what the places' sources count
 * Errors   E_DATA a table that is not whole, or is of other rounds than the checkpoints */
dfal_status df_run_tables_join(struct df_run_directory *directory, const char *const *dirs, int32_t dir_count,
                               const struct df_run_place *places, int64_t count);

#endif
