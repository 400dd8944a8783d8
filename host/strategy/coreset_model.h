/* SPDX-License-Identifier: Apache-2.0 */
/* The integer programs of CORE-SET as models for a solver (solver.h). Column yJ is 1: candidate J, or column
 * J of a stage, is a centre. Neither has an objective: a model is feasible or it is not. */
#ifndef DF_STRATEGY_CORESET_MODEL_H
#define DF_STRATEGY_CORESET_MODEL_H

#include <stdio.h>

#include "strategy/coreset_cover.h"

/* Covering, of a struct df_cover_stage with a row:  y_j in {0,1}, z_i in [0,1] only with outliers
 *     sum_{j covers i} y_j + z_i >= 1,  sum_j y_j <= b,  sum_i z_i <= outliers */
void df_cover_write(FILE *file, const void *stage);

/* Program (6) of Sener and Savarese 2018 at one radius, over the points that are finite: labelled rows, then
 * candidates.  u_j (y_j of a candidate), w_ij, x_ij in {0,1}
 *     sum_j u_j = labelled + b,  u_j = 1 of the labelled,  sum_j w_ij = 1,  w_ij <= u_j,
 *     w_ij = x_ij where i and j are farther apart than the radius,  sum_ij x_ij <= outliers */
enum { DF_SENER_POINTS = 1000 };
struct df_sener {
    int64_t labelled, count; /* points */
    const float **features;  /* [count] of each point */
    int64_t *candidate;      /* [count] -1: labelled */
    int64_t size, budget, outliers;
    double square; /* the radius */
};
/* Errors   E_USAGE more than DF_SENER_POINTS points */
dfal_status df_sener_make(struct df_sener *sener, const struct df_cover *cover);
void df_sener_clear(struct df_sener *sener);
void df_sener_write(FILE *file, const void *sener);

#endif
