/* SPDX-License-Identifier: Apache-2.0 */
/* A solver of mixed integer programs, run as a child: dfal-cbc, a program of dfal's own (tools/solver), or
 * anybody's command. A solver that crashes, hangs or prints nonsense is an answer like another.
 *
 * Model and solution of dfal-cbc are files in memory that it opens under /proc, so nothing is left behind by
 * whoever is killed. Others want names that end in .mps and .sol: a folder under /tmp (base/scratch.h). */
#ifndef DF_STRATEGY_SOLVER_H
#define DF_STRATEGY_SOLVER_H

#include <stdio.h>

#include "base/process.h"
#include "base/scratch.h"

enum df_solver_outcome {
    DF_SOLVER_FEASIBLE,
    DF_SOLVER_INFEASIBLE,
    DF_SOLVER_NODES,   /* undecided at the limit of nodes */
    DF_SOLVER_SECONDS, /* undecided when the time was over */
    DF_SOLVER_FAILED,  /* no answer: `reason` */
};

enum { DF_SOLVER_NAME = 128, DF_SOLVER_REASON = 512 };
struct df_solver {
    struct dfal_context *context;
    const char *program; /* the path of dfal-cbc, or of a program that is called in the same way */
    /* NULL, or somebody's command (df_solver_split), of which `program` is the first word then */
    const struct df_words *command;
    int64_t nodes;             /* of the search tree of one model, at most */
    double end;                /* of df_clock: when no model may be solved any more */
    char name[DF_SOLVER_NAME]; /* what it calls itself, with its version; "": it has not answered yet */
    struct df_scratch scratch; /* of a command, from its first model on */
};
void df_solver_close(struct df_solver *solver);

struct df_solver_answer {
    enum df_solver_outcome outcome;
    int64_t nodes; /* 0: a command does not tell */
    /* [count] numbers J of the columns yJ that are 1, ascending. A command may give some with any outcome,
     * and they need not solve the model. */
    int64_t *chosen;
    int64_t count;
    char reason[DF_SOLVER_REASON];
};
void df_solver_answer_clear(struct df_solver_answer *answer);

/* The solver of this build; NULL: there is none. df_free gives it back. */
dfal_status df_solver_find(char **program);

/* A command as words (df_words_split). {model}, {solution}, {nodes} and {seconds} in them stand for the
 * model's path, where the solution is to be, and the two limits; without any of these all four come behind
 * them.
 * Errors   `error` no words, an open quote; one of these without {model} or {solution} */
dfal_status df_solver_split(struct df_words *words, const char *text, dfal_status error);

/* Write a model in the format MPS. Columns that are asked for are called yJ, J a number below `columns`. */
typedef void df_solver_model_fn(FILE *file, const void *model);
/* Solve one model. Clear the answer, whatever is returned.
 * Errors   E_STOPPED, E_MEMORY, E_IO, E_EXISTS: those of dfal itself */
dfal_status df_solver_run(struct df_solver *solver, df_solver_model_fn *write, const void *model,
                          int64_t columns, struct df_solver_answer *answer);

#endif
