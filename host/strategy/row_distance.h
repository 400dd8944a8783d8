/* SPDX-License-Identifier: Apache-2.0 */
/* Distances and products of rows of floats. */
#ifndef DF_STRATEGY_ROW_DISTANCE_H
#define DF_STRATEGY_ROW_DISTANCE_H

#include <stdint.h>

/* ||a - b||^2 in double, its terms in the order of kernels/distance.h. */
double df_square_distance(const float *a, const float *b, int64_t size);

/* a . b, likewise. */
double df_dot_product(const float *a, const float *b, int64_t size);

#endif
