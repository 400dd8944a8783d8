/* SPDX-License-Identifier: Apache-2.0 */
/* Which solver the strategy coreset runs: what its option `solver` names. */
#ifndef DF_STRATEGY_CORESET_SOLVER_H
#define DF_STRATEGY_CORESET_SOLVER_H

#include "strategy/solver.h"

struct df_coreset_solver {
    struct df_solver solver; /* its program is NULL: there is none */
    bool automatic;          /* nobody asked for this one: without it, or where it fails, there is none */
    char *own;
    struct df_words words;
};
/* text: auto, cbc, none, or a command. Limits are the caller's to set.
 * Errors   E_UNAVAILABLE cbc is not in this build; E_USAGE no command (df_solver_split) */
dfal_status df_coreset_solver_open(struct df_coreset_solver *solver, struct dfal_context *context,
                                   const char *text);
void df_coreset_solver_close(struct df_coreset_solver *solver);

/* The name and version of the solver that text names, for the identity of what it shapes; "none" where there
 * is none. It is asked to solve a model of three columns, at most a minute long.
 * Errors   also E_UNAVAILABLE it cannot be started, or does not solve that; but for one that nobody asked
 *          for */
dfal_status df_coreset_solver_name(char *name, size_t size, struct dfal_context *context, const char *text);

#endif
