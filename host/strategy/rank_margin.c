/* SPDX-License-Identifier: Apache-2.0 */
/* Candidates by the DeepFool margins that a view finds. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "store/scores.h"
#include "strategy/rank.h"
#include "strategy/view.h"

/* A file of the closest rows says nothing of the order of those that it has not proven. */
static void warn_unproven(struct df_view *view, const struct df_scores *scores,
                          const struct df_choices *choices)
{
    const char *unconverged = df_view_unconverged(view);
    int64_t unproven = 0;
    double last = 0;
    for (int64_t i = 0; i < choices->count; i++) {
        const int64_t at = choices->list[i].candidate;
        last = df_margin_group(scores->status[at], unconverged) == 0 ? (double)scores->margin[at]
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
    const struct df_scores *scores;
    int64_t nonfinite;
    /* Noise may bring any row to the front, and MAX_ITER that is kept has no bound. */
    if (df_power_of(view).beta > 0 || !strcmp(df_view_unconverged(view), "keep"))
        DF_TRY(df_view_margins(view, &scores));
    else
        DF_TRY(df_view_closest(view, q, &scores));
    const bool shared = df_view_closest_shared(view, &nonfinite);
    DF_TRY(df_rank_margins(view, scores, shared, q, choices));
    if (shared)
        choices->nonfinite = nonfinite;
    if (df_view_has_scores(view))
        warn_unproven(view, scores, choices);
    return DFAL_OK;
}
