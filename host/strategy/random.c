/* SPDX-License-Identifier: Apache-2.0 */
/* Uniform without replacement: the candidates in the order of their own random numbers, so that the list's
 * order, and who else stands in it, moves nobody. */
#include <math.h>

#include "base/rng.h"
#include "strategy/strategy.h"

static bool key_of(const struct df_candidates *candidates, int64_t i, struct df_rank_key *key)
{
    key->score = df_random_uniform(candidates->seed, DF_STREAM_RANDOM, (uint64_t)candidates->index[i]);
    return true;
}

static dfal_status rank(const struct df_candidates *candidates, int64_t q, struct df_choice *choices,
                        int64_t *chosen)
{
    DF_TRY(df_rank_by_key(key_of, candidates, q, choices, chosen));
    for (int64_t i = 0; i < *chosen; i++)
        choices[i].score = NAN;
    return DFAL_OK;
}

const struct df_strategy df_strategy_random = {
    .name = "random",
    .summary = "uniform without replacement",
    .needs = DF_NEED_NOTHING,
    .rank = rank,
};
