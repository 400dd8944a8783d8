/* SPDX-License-Identifier: Apache-2.0 */
/* What anybody's solver of integer programs leaves: a solution with names and values of columns, as CBC,
 * GLPK, HiGHS, SCIP and Gurobi write it, and a log. Nothing in it is taken for true but how the solver says
 * that its search ended. */
#ifndef DF_STRATEGY_SOLVER_TEXT_H
#define DF_STRATEGY_SOLVER_TEXT_H

#include <stdio.h>

#include "base/status.h"

/* How a search ended, in the solver's own words. */
enum df_solver_word {
    DF_WORD_NONE,
    DF_WORD_SOLVED,
    DF_WORD_INFEASIBLE,
    DF_WORD_NODES,   /* a limit, but that of time */
    DF_WORD_SECONDS, /* the limit of time */
};

/* A line that has the column yJ as a word and a number behind it gives a value to column J. Of the other
 * lines the first counts that tells how a search ended. */
struct df_solver_solution {
    int64_t columns; /* in */
    bool *chosen;    /* in, zeroed [columns]: those that are 1 */
    enum df_solver_word word;
    int64_t values;     /* columns that are told, as often as they are */
    int64_t fractional; /* a column that is neither 0 nor 1; -1: none is */
    int64_t foreign;    /* a number J that no column has; -1: none is told */
};
/* Read at most `limit` bytes. */
void df_solver_read_solution(struct df_solver_solution *solution, FILE *file, int64_t limit);

enum { DF_SOLVER_VERSION = 64, DF_SOLVER_LINE = 160 };
struct df_solver_log {
    enum df_solver_word word;        /* the last that is told */
    char version[DF_SOLVER_VERSION]; /* the first line with a version, up to it; "": there is none */
    char last[DF_SOLVER_LINE];       /* the last line that says anything */
};
void df_solver_read_log(struct df_solver_log *log, FILE *file);

#endif
