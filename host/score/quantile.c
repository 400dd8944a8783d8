/* SPDX-License-Identifier: Apache-2.0 */
#include "score/quantile.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { BINS = 65536 };

static uint32_t bits_of(float value)
{
    uint32_t bits;
    value += 0.0F; /* -0 becomes 0 */
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

dfal_status df_quantiles_open(struct df_quantiles *quantiles)
{
    memset(quantiles, 0, sizeof *quantiles);
    DF_TRY(df_alloc(&quantiles->upper, BINS, sizeof *quantiles->upper));
    return df_alloc(&quantiles->lower, (int64_t)DF_QUANTILES * BINS, sizeof *quantiles->lower);
}

void df_quantiles_close(struct df_quantiles *quantiles)
{
    df_free(quantiles->upper);
    df_free(quantiles->lower);
    memset(quantiles, 0, sizeof *quantiles);
}

void df_quantiles_first(struct df_quantiles *quantiles, float value)
{
    quantiles->upper[bits_of(value) >> 16]++;
    quantiles->count++;
}

/* The bin of n counts in which the rank-th value (from 0) lies; *rank becomes its rank within the bin. */
static uint32_t bin_of(const int64_t *counts, int64_t *rank)
{
    uint32_t bin = 0;
    while (bin < BINS - 1 && *rank >= counts[bin])
        *rank -= counts[bin++];
    return bin;
}

void df_quantiles_turn(struct df_quantiles *quantiles)
{
    for (int q = 0; q < DF_QUANTILES; q++) {
        quantiles->rank[q] = (int64_t)((double)q / (DF_QUANTILES - 1) * (double)(quantiles->count - 1) + 0.5);
        quantiles->bin[q] = bin_of(quantiles->upper, &quantiles->rank[q]);
    }
}

void df_quantiles_second(struct df_quantiles *quantiles, float value)
{
    const uint32_t bits = bits_of(value);
    for (int q = 0; q < DF_QUANTILES; q++)
        if (bits >> 16 == quantiles->bin[q])
            quantiles->lower[(int64_t)q * BINS + (bits & 0xFFFF)]++;
}

void df_quantiles_values(const struct df_quantiles *quantiles, double values[DF_QUANTILES])
{
    for (int q = 0; q < DF_QUANTILES; q++) {
        int64_t rank = quantiles->rank[q];
        const uint32_t bits = quantiles->bin[q] << 16 | bin_of(quantiles->lower + (int64_t)q * BINS, &rank);
        float value;
        memcpy(&value, &bits, sizeof value);
        values[q] = quantiles->count > 0 ? (double)value : (double)NAN;
    }
}
