/* SPDX-License-Identifier: Apache-2.0 */
/* Candidates by their DeepFool margins, in groups of statuses. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "store/scores.h"
#include "strategy/rank.h"
#include "strategy/view.h"

struct margins {
    const struct df_scores *scores;
    const char *unconverged;
    const int64_t *rows;
    struct df_power power;
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
    return key->group >= 0;
}

/* A file of the closest rows says nothing of the order of those that it has not proven. */
static void warn_unproven(struct df_view *view, const struct margins *margins,
                          const struct df_choices *choices)
{
    const struct df_scores *scores = margins->scores;
    int64_t unproven = 0;
    double last = 0;
    for (int64_t i = 0; i < choices->count; i++) {
        const int64_t at = choices->list[i].candidate;
        last = df_margin_group(scores->status[at], margins->unconverged) == 0 ? (double)scores->margin[at]
                                                                              : (double)INFINITY;
    }
    for (int64_t i = 0; i < scores->count; i++)
        unproven += scores->status[i] == DFAL_SCORE_UNSCORED ||
                    (scores->status[i] == DFAL_SCORE_PRUNED && (double)scores->margin[i] < last);
    if (unproven > 0)
        df_say(
            df_view_context(view), DFAL_WARNING, "select.unproven",
            DF_FIELDS(DF_INT("rows", unproven), DF_INT("candidates", scores->count)),
            "the scores file is of the closest rows alone: %lld of %lld candidates may lie nearer than the "
            "last query",
            (long long)unproven, (long long)scores->count);
}

dfal_status df_rank_by_margin(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct margins margins = {
        .unconverged = df_view_unconverged(view), .rows = df_view_rows(view), .power = df_power_of(view)};
    /* Noise may bring any row to the front, and MAX_ITER that is kept has no bound. */
    if (margins.power.beta > 0 || !strcmp(margins.unconverged, "keep"))
        DF_TRY(df_view_margins(view, &margins.scores));
    else
        DF_TRY(df_view_closest(view, q, &margins.scores));
    DF_TRY(df_rank_by_key(view, key_of, &margins, q, choices));
    for (int64_t i = 0; i < choices->count; i++)
        choices->list[i].score = (double)margins.scores->margin[choices->list[i].candidate];
    if (df_view_has_scores(view))
        warn_unproven(view, &margins, choices);
    return DFAL_OK;
}
