/* SPDX-License-Identifier: Apache-2.0 */
/* Squared distances and products of two rows.
 *
 * Order   term i goes to accumulator i % 16, those behind the last whole sixteen to one of their own; then
 *         the latter, and accumulators 0 to 15 are added to it. All in double */
#ifndef DF_KERNELS_DISTANCE_H
#define DF_KERNELS_DISTANCE_H

#include "call.h"

/* ||a - b||^2 of `size` values, which lie a_step and b_step apart. */
DF_FN double df_strided_square_distance(const df_real *a, int64_t a_step, const df_real *b, int64_t b_step,
                                        int64_t size)
{
    enum { LANES = 16 };
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= size; i += LANES)
        for (int k = 0; k < LANES; k++) {
            const double d = (double)a[(i + k) * a_step] - (double)b[(i + k) * b_step];
            lane[k] += d * d;
        }
    for (; i < size; i++) {
        const double d = (double)a[i * a_step] - (double)b[i * b_step];
        sum += d * d;
    }
    for (int k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

/* a . b, likewise. */
DF_FN double df_strided_product(const df_real *a, int64_t a_step, const df_real *b, int64_t b_step,
                                int64_t size)
{
    enum { LANES = 16 };
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= size; i += LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] += (double)a[(i + k) * a_step] * (double)b[(i + k) * b_step];
    for (; i < size; i++)
        sum += (double)a[i * a_step] * (double)b[i * b_step];
    for (int k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

#endif
