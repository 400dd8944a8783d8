/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a bound: bound.c reads the network, bound_row.c measures a sample. */
#ifndef DF_SCORE_BOUND_INSIDE_H
#define DF_SCORE_BOUND_INSIDE_H

#include <math.h>

#include "score/bound.h"

enum { DF_BOUND_WHY = 192 };

struct df_bound {
    char why[DF_BOUND_WHY]; /* "": the bound is proven */
    const char *node;
    int64_t size, hidden; /* of the node; hidden units of the tail, 0: it is one Gemm */
    int32_t classes;
    const float *first, *first_bias;   /* [hidden, size], [hidden]; the network's own */
    const float *last, *last_bias;     /* [classes, hidden or size], [classes] */
    float *turned;                     /* [size, hidden] the first, with a sample's units side by side */
    double *sides;                     /* [hidden, classes] the last, with a unit's classes side by side */
    double *lengths;                   /* [hidden] of the rows of the first */
    double *products;                  /* [hidden, hidden] of those rows with each other */
    double *rounding, *rounding_fixed; /* [classes] of a logit: a unit of the node's length, and beside it */
    /* The node's values of two inputs at a distance R, as any engine computes them, are at most slope R +
     * shift length + fixed apart; length: of the first. */
    double slope, shift, fixed;
};

/* Sums of n products round by at most this part of the sum of their magnitudes, in any order; inf: it is not
 * bounded. */
static inline double df_rounding(int64_t n)
{
    const double unit = 1.0 / (1 << 24), sum = (double)n * unit;
    return sum < 0.5 ? sum / (1 - sum) : INFINITY;
}

#endif
