/* SPDX-License-Identifier: Apache-2.0 */
/* Ranking candidates, with ties by their seeded order. */
#ifndef DF_STRATEGY_RANK_H
#define DF_STRATEGY_RANK_H

#include "base/rng.h"
#include "strategy/power.h"

struct df_scores;

/* What orders rows of the pool that are equal otherwise, ascending; then the row. */
static inline uint64_t df_tie(uint64_t seed, int64_t row)
{
    return df_random_bits(seed, DF_STREAM_TIES, (uint64_t)row);
}

/* Where a candidate ranks: by group, then by score. */
struct df_rank_key {
    int32_t group;
    double score;
};
/* False: the candidate is left out. Called once or more for each. */
typedef bool df_rank_key_fn(const void *user, int64_t candidate, struct df_rank_key *key);
/* The first q candidates by ascending key; a NAN score is passed over and counted.
 * Order    the result does not depend on the order of the candidates; the list of a larger q begins with that
 *          of a smaller
 * Ties   by df_tie(seed, row of the pool), then row
 * Memory   40 bytes a choice, none a candidate */
dfal_status df_rank_by_key(const struct df_view *view, df_rank_key_fn *key, const void *user, int64_t q,
                           struct df_choices *choices);
/* The same by scores [n], with the noise of an option "power" where one is given. */
dfal_status df_rank_by_score(const struct df_view *view, const double *scores, enum df_rank_first first,
                             int64_t q, struct df_choices *choices);
/* The same by DeepFool margin, smallest first, groups of statuses before each other: what `dfal` queries. */
dfal_status df_rank_by_margin(struct df_view *view, int64_t q, struct df_choices *choices);
/* The same of these margins [n]; shared: what is UNSCORED is left out, as others know it to be farther
 * (df_view_closest_shared). */
dfal_status df_rank_margins(const struct df_view *view, const struct df_scores *scores, bool shared,
                            int64_t q, struct df_choices *choices);
/* The same by the entropy of the softmax, largest first: what `entropy` queries. */
dfal_status df_rank_by_entropy(struct df_view *view, int64_t q, struct df_choices *choices);
/* The group of a status, in the order of a scores file; -1: never queried. */
int32_t df_margin_group(uint8_t status, const char *unconverged);

#endif
