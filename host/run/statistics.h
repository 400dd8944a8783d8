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
/* Paired differences a - b: mean, standard error and the two-sided p of the paired t test. All differences
 * equal: p is 1 where they are 0, else 0. NAN for n < 2. */
void df_paired_test(const double *a, const double *b, int32_t n, double *mean, double *standard_error,
                    double *p);

#endif
