/* SPDX-License-Identifier: Apache-2.0 */
/* DFAL (Ducoffe, Precioso 2018, arXiv:1802.09841): the smallest DeepFool margins among the candidates; each
 * query brings its adversarial twin, labelled like its source, at the price of one annotation. */
#include <string.h>

#include "strategy/strategy.h"

/* Group of a status in the order of a scores file; -1: never queried. A sample whose input or logits are not
 * finite cannot be labelled into anything useful. */
static int group_of(uint8_t status, const char *unconverged)
{
    switch (status) {
    case DFAL_SCORE_OK:
    case DFAL_SCORE_TIE:
        return 0;
    case DFAL_SCORE_MAX_ITER:
        if (!strcmp(unconverged, "keep"))
            return 0;
        return strcmp(unconverged, "exclude") ? 1 : -1;
    case DFAL_SCORE_ZERO_GRAD:
        return 2;
    case DFAL_SCORE_PRUNED:
        return 3;
    default:
        return -1;
    }
}

static bool key_of(const struct df_candidates *candidates, int64_t i, struct df_rank_key *key)
{
    const struct df_scores *margins = candidates->margins;
    key->group = group_of(margins->status[i], candidates->unconverged ? candidates->unconverged : "last");
    key->score = (double)margins->margin[i];
    return key->group >= 0;
}

static dfal_status rank(const struct df_candidates *candidates, int64_t q, struct df_choice *choices,
                        int64_t *chosen)
{
    return df_rank_by_key(key_of, candidates, q, choices, chosen);
}

const struct df_strategy df_strategy_dfal = {
    .name = "dfal",
    .summary = "smallest DeepFool margin, each query with its adversarial twin",
    .needs = DF_NEED_MARGINS,
    .twins = true,
    .rank = rank,
};
