/* SPDX-License-Identifier: Apache-2.0 */
/* What one row of values tells by itself. */
#ifndef DF_SCORE_ROW_VALUES_H
#define DF_SCORE_ROW_VALUES_H

#include <stdbool.h>
#include <stdint.h>

bool df_row_is_finite(const float *values, int64_t size);
/* The place of the largest value, the lowest index of equal ones. */
int64_t df_row_largest(const float *values, int64_t size);
/* l2, in double and eight interleaved sums; finite where every value is. */
double df_row_length(const float *values, int64_t size);
/* All in [0, 1], with sum 1 +- 1e-5? Where as many rows as DF_PROBABILITY_ROWS or more are,
 * and every one that was looked at is, they are no logits. */
bool df_row_like_probabilities(const float *values, int64_t size);
enum { DF_PROBABILITY_ROWS = 16 };

#endif
