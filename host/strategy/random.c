/* SPDX-License-Identifier: Apache-2.0 */
/* Uniform without replacement: the candidates in the order of their own random numbers, so that the list's
 * order, and who else stands in it, moves nobody. */
#include <math.h>

#include "base/rng.h"
#include "strategy/rank.h"
#include "strategy/view.h"

static bool key_of(const void *user, int64_t i, struct df_rank_key *key)
{
    const struct df_view *view = user;
    key->score = df_random_uniform(df_view_seed(view), DF_STREAM_RANDOM, (uint64_t)df_view_rows(view)[i]);
    return true;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    DF_TRY(df_rank_by_key(view, key_of, view, q, choices));
    for (int64_t i = 0; i < choices->count; i++)
        choices->list[i].score = NAN;
    return DFAL_OK;
}

const struct df_strategy df_strategy_random = {
    .name = "random",
    .summary = "uniform without replacement",
    .select = choose,
};
