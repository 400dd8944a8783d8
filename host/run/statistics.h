/* SPDX-License-Identifier: Apache-2.0 */
/* What a handful of trials allows one to say. */
#ifndef DF_RUN_STATISTICS_H
#define DF_RUN_STATISTICS_H

#include "base/status.h"

/* Mean and its standard error, sqrt(sum (x - mean)^2 / (n - 1) / n); the latter NAN for n < 2. */
void df_mean(const double *x, int32_t n, double *mean, double *standard_error);
/* P(|T| >= |t|) of Student's t with `freedom` degrees: I_{f/(f+t^2)}(f/2, 1/2) by Lentz's continued fraction
 * (Numerical Recipes 6.4; Abramowitz, Stegun 26.5.8, 26.7.1). NAN for freedom < 1. */
double df_t_two_sided(double t, double freedom);
/* Half the 95 % interval of a mean of n values with that standard error: Student's t; NAN for n < 2. */
double df_half_interval(double standard_error, int32_t n);
/* Paired differences a - b: mean, standard error and the two-sided p of the paired t test. p is NAN where
 * nothing can be tested: for n < 2, and where all differences are equal up to rounding, when the standard
 * error is 0. */
void df_paired_test(const double *a, const double *b, int32_t n, double *mean, double *standard_error,
                    double *p);

/* p values corrected for how many there are, Holm's step-down (S. Holm, A simple sequentially rejective
 * multiple test procedure, 1979): of m values the k-th smallest is multiplied by m - k + 1, none is less than
 * that of a smaller one, none more than 1. A NAN was not tested: it does not count and stays. */
void df_holm(double *corrected, const double *p, int32_t n);

#endif
