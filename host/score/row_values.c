/* SPDX-License-Identifier: Apache-2.0 */
#include "score/row_values.h"

#include <math.h>

#include "net/row_gradients.h"

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
    return sqrt(df_sum_of_squares(values, size));
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
