/* SPDX-License-Identifier: Apache-2.0 */
/* Exact quartiles of non-negative floats in constant memory, by two passes over the values: such floats are
 * ordered as their bits are, so the first pass counts by the upper 16 bits and the second by the lower 16 of
 * the bins that matter. */
#ifndef DF_SCORE_QUANTILE_H
#define DF_SCORE_QUANTILE_H

#include "base/status.h"

enum { DF_QUANTILES = 5 }; /* 0, 25, 50, 75, 100 % */

struct df_quantiles {
    int64_t count;
    int64_t *upper;             /* [65536] */
    int64_t *lower;             /* [DF_QUANTILES, 65536] */
    int64_t rank[DF_QUANTILES]; /* within its bin, after df_quantiles_turn */
    uint32_t bin[DF_QUANTILES];
};
dfal_status df_quantiles_open(struct df_quantiles *quantiles);
void df_quantiles_close(struct df_quantiles *quantiles);
void df_quantiles_first(struct df_quantiles *quantiles, float value); /* pass 1 */
void df_quantiles_turn(struct df_quantiles *quantiles);               /* between the passes */
void df_quantiles_second(struct df_quantiles *quantiles,
                         float value); /* pass 2, the same values in any order */
/* The values; NAN where there were none. */
void df_quantiles_values(const struct df_quantiles *quantiles, double values[DF_QUANTILES]);

#endif
