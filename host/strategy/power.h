/* SPDX-License-Identifier: Apache-2.0 */
/* Gumbel noise on a score (Kirsch et al. 2021, arXiv:2106.12059, "power"): the best of a score are often much
 * alike, and noise spreads a batch. */
#ifndef DF_STRATEGY_POWER_H
#define DF_STRATEGY_POWER_H

#include "strategy/strategy.h"

/* The row of strategies that give each row a score of its own; the ranking takes it from there. */
#define DF_OPTION_POWER                                                                                      \
    {                                                                                                        \
        .key = "power", .kind = DF_OPTION_NUMBER,                                                            \
        .number = {.kind = DF_NUMBER_REAL, .low = 0, .low_open = true, .high = 1e6}, .standard = "",         \
        .help = "draw rows with chances that go with this power of the score, by Gumbel noise on its "       \
                "logarithm; not given: the best rows"                                                        \
    }

enum df_rank_first { DF_SMALLEST_FIRST, DF_LARGEST_FIRST };

struct df_power {
    double beta; /* 0: none is given */
    uint64_t seed;
};
struct df_power df_power_of(const struct df_view *view);
/* Where a row ranks, the smallest first: its score, negated where the largest is first. With a power -log s -
 * G / beta where the largest is first and log s - G / beta where the smallest is, so that the chance of the
 * next rank goes with s^beta or s^-beta; G = -log(-log(1 - u)), u uniform by (seed, row). NAN stays.
 * Order    nothing of another row enters */
double df_power_key(const struct df_power *power, double score, enum df_rank_first first, int64_t row);

#endif
