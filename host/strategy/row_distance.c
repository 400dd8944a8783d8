/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/row_distance.h"

#include "distance.h" /* kernels */

double df_square_distance(const float *a, const float *b, int64_t size)
{
    return df_strided_square_distance(a, 1, b, 1, size);
}

double df_dot_product(const float *a, const float *b, int64_t size)
{
    return df_strided_product(a, 1, b, 1, size);
}
