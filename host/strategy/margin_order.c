/* SPDX-License-Identifier: Apache-2.0 */
/* The order of DeepFool margins: groups of statuses before each other. */
#include <math.h>
#include <string.h>

#include "store/scores.h"
#include "strategy/rank.h"
#include "strategy/view.h"

struct margins {
    const struct df_scores *scores;
    const char *unconverged;
    const int64_t *rows;
    struct df_power power;
    bool shared; /* what is UNSCORED is not known here: it is not among the first, or never queried */
};

int32_t df_margin_group(uint8_t status, const char *unconverged)
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
    case DFAL_SCORE_UNSCORED:
        return 4;
    default:
        return -1;
    }
}

/* A sample whose input or logits are not finite cannot be labelled into anything useful. */
static bool key_of(const void *user, int64_t i, struct df_rank_key *key)
{
    const struct margins *margins = user;
    const uint8_t status = margins->scores->status[i];
    const bool finite = status != DFAL_SCORE_NONFINITE;
    key->group = finite ? df_margin_group(status, margins->unconverged) : 0;
    key->score = finite ? df_power_key(&margins->power, (double)margins->scores->margin[i], DF_SMALLEST_FIRST,
                                       margins->rows[i])
                        : (double)NAN;
    return key->group >= 0 && !(margins->shared && status == DFAL_SCORE_UNSCORED);
}

dfal_status df_rank_margins(const struct df_view *view, const struct df_scores *scores, bool shared,
                            int64_t q, struct df_choices *choices)
{
    const struct margins margins = {.scores = scores,
                                    .unconverged = df_view_unconverged(view),
                                    .rows = df_view_rows(view),
                                    .power = df_power_of(view),
                                    .shared = shared};
    DF_TRY(df_rank_by_key(view, key_of, &margins, q, choices));
    for (int64_t i = 0; i < choices->count; i++)
        choices->list[i].score = (double)scores->margin[choices->list[i].candidate];
    return DFAL_OK;
}
