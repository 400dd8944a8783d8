/* SPDX-License-Identifier: Apache-2.0 */
/* Strategies and trials of an experiment side by side, as many as there are threads, or GPUs in the group,
 * each with a device and a context of its own: they share pools, tables and the log. Inside the room only. */
#ifndef DF_RUN_SIDE_H
#define DF_RUN_SIDE_H

#include "run/experiment.h"
#include "run/part.h"

/* Every branch of the set, from their checkpoints to the last annotation; then the tables are in order.
 * Order    nothing in the tables depends on how many run side by side, but for seconds
 * Memory   the whole limit is each one's: one that finds too little left is put aside and goes on alone,
 *          behind the others
 * Errors   those of the first, by trial and place in the list, of those that failed; E_STOPPED */
dfal_status df_run_side_by_side(struct df_experiment *experiment, const struct df_run_set *set);

/* What a branch takes at most, roughly: its rows, and its network in training. */
double df_run_branch_bytes(const struct df_experiment *experiment);
/* Threads of the index-th of so many workers: at least one, and the first ones have what is left over. */
int32_t df_run_side_threads(int32_t threads, int32_t workers, int32_t index);
/* How many of so many branches run at once in this process, and the experiment as the index-th of them sees
 * it, on threads of its own. Destroy the context, also after an error. */
int32_t df_run_side_workers(const struct df_experiment *experiment, int64_t branches);
dfal_status df_run_side_open(struct df_experiment *part, struct dfal_context **context,
                             const struct df_experiment *whole, int32_t index, int32_t threads);

#endif
