/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/row_distance.h"

#include "distance.h" /* kernels */

double df_square_distance(const float *a, const float *b, int64_t size)
{
    return df_strided_square_distance(a, 1, b, 1, size);
}

double df_dot_product(const float *a, const float *b, int64_t size)
{
    enum { LANES = 16 };
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= size; i += LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] += (double)a[i + k] * (double)b[i + k];
    for (; i < size; i++)
        sum += (double)a[i] * (double)b[i];
    for (int k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}
