/* SPDX-License-Identifier: Apache-2.0 */
#include "score/row_values.h"

#include <math.h>

bool df_row_is_finite(const float *values, int64_t size)
{
    for (int64_t i = 0; i < size; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

int64_t df_row_largest(const float *values, int64_t size)
{
    int64_t best = 0;
    for (int64_t i = 1; i < size; i++)
        if (values[i] > values[best])
            best = i;
    return best;
}

double df_row_length(const float *values, int64_t size)
{
    enum { SUMS = 8 };
    double sum[SUMS] = {0}, whole = 0;
    int64_t j = 0;
    for (; j + SUMS <= size; j += SUMS)
        for (int i = 0; i < SUMS; i++)
            sum[i] += (double)values[j + i] * (double)values[j + i];
    for (int i = 0; j < size; i++, j++)
        sum[i] += (double)values[j] * (double)values[j];
    for (int i = 0; i < SUMS; i++)
        whole += sum[i];
    return sqrt(whole);
}

bool df_row_like_probabilities(const float *values, int64_t size)
{
    double sum = 0;
    for (int64_t i = 0; i < size; i++) {
        if (!(values[i] >= 0 && values[i] <= 1))
            return false;
        sum += (double)values[i];
    }
    return fabs(sum - 1) <= 1e-5;
}
