/* SPDX-License-Identifier: Apache-2.0 */
/* A solver of mixed integer programs: a program of its own, dfal-cbc (tools/solver), which is run as a child.
 * A solver that crashes, hangs or prints nonsense is an answer like another.
 *
 * Model and solution are files in memory that the child opens under /proc, so nothing is left behind by
 * whoever is killed. */
#ifndef DF_STRATEGY_SOLVER_H
#define DF_STRATEGY_SOLVER_H

#include <stdio.h>

#include "base/context.h"

enum df_solver_outcome {
    DF_SOLVER_FEASIBLE,
    DF_SOLVER_INFEASIBLE,
    DF_SOLVER_NODES,   /* undecided at the limit of nodes */
    DF_SOLVER_SECONDS, /* undecided when the time was over */
    DF_SOLVER_FAILED,  /* no answer: `reason` */
};

enum { DF_SOLVER_NAME = 64, DF_SOLVER_REASON = 256 };
struct df_solver {
    struct dfal_context *context;
    const char *program;
    int64_t nodes;             /* of the search tree of one model, at most */
    double end;                /* of df_clock: when no model may be solved any more */
    char name[DF_SOLVER_NAME]; /* what it calls itself, with its version; "": it has not answered yet */
};

struct df_solver_answer {
    enum df_solver_outcome outcome;
    int64_t nodes;
    int64_t *chosen; /* [count] numbers J of the columns yJ that are 1 */
    int64_t count;
    char reason[DF_SOLVER_REASON];
};
void df_solver_answer_clear(struct df_solver_answer *answer);

/* The solver of this build; NULL: there is none. df_free gives it back. */
dfal_status df_solver_find(char **program);

/* Write a model in the format MPS. Columns that are asked for are called yJ, J a number below `columns`. */
typedef void df_solver_model_fn(FILE *file, const void *model);
/* Solve one model. Clear the answer, whatever is returned.
 * Errors   E_STOPPED, E_MEMORY, E_IO: those of dfal itself */
dfal_status df_solver_run(struct df_solver *solver, df_solver_model_fn *write, const void *model,
                          int64_t columns, struct df_solver_answer *answer);

#endif
