/* SPDX-License-Identifier: Apache-2.0 */
/* The closest q of a view's candidates. Where ranks make the selection together each looks at its part, they
 * agree on the q-th margin, and everybody learns of the rows within it: the rows that can be queried, and no
 * others. */
#include <math.h>

#include "base/memory.h"
#include "comm/comm.h"
#include "score/closest.h"
#include "strategy/rank.h"
#include "strategy/view_inside.h"

static bool is_worth(const struct df_view *view, int64_t q)
{
    const struct df_selection_options *options = view->options;
    return !options->scores && df_closest_check(&options->deepfool, df_view_unconverged(view)) == DFAL_OK &&
           (options->cascade || df_closest_is_worth(q, view->count));
}

static dfal_status look_at_all(struct df_closest *closest, const struct df_view *view)
{
    struct df_row_stream *stream = NULL;
    struct df_list_source source;
    df_closest_take(closest, view->rows, 0, view->count);
    df_list_source_init(&source, view->rows, view->count);
    DF_TRY(df_stream_open(&stream, view->pool, &source.source));
    const dfal_status status = df_closest_look(closest, stream);
    df_stream_close(stream);
    return status;
}

/* Of the rows of a view that is whole, or a part of `total` rows, the q closest of all. Leaves view->margins
 * as it is where the network has no bound. */
static dfal_status find_closest(struct df_view *view, int64_t q, int64_t total, double *radius)
{
    const struct df_selection_options *options = view->options;
    struct df_closest closest;
    struct df_deepfool_engine *engine = NULL;
    bool possible;
    dfal_status status;
    DF_TRY_TO(done, status,
              df_closest_open(&closest,
                              &(struct df_closest_spec){
                                  .context = view->context,
                                  .device = view->device,
                                  .network = view->network,
                                  .pool = view->pool,
                                  .deepfool = &options->deepfool,
                                  .comm = view->comm,
                                  .total = total,
                                  .room = view->count,
                                  .q = q,
                                  .cascade = options->cascade,
                                  .layers = !(options->how & DF_DEEPFOOL_FUSED),
                              },
                              &possible));
    if (!possible && options->cascade)
        DF_TRY_TO(done, status, df_closest_refuse(&closest));
    if (!possible)
        goto done;
    DF_TRY_TO(done, status, look_at_all(&closest, view));
    DF_TRY_TO(done, status,
              df_deepfool_create(&engine, view->context, view->device, view->network, view->pool,
                                 &options->deepfool, options->batch, options->how));
    DF_TRY_TO(done, status, df_closest_score(&closest, engine));
    *radius = closest.told.radius;
    view->own_margins = closest.scores;
    closest.scores = (struct df_scores){0};
    view->margins = &view->own_margins;
    view->some = true;
    view->closest = q;
done:
    df_deepfool_destroy(engine);
    df_closest_close(&closest);
    return status;
}

/* ---- Several ranks ------------------------------------------------------------------------------------- */

/* Of the part's rows that are ranked first those which may be among the first of all: where the q-th margin
 * is known, the rows within it. */
static int64_t take_near(const struct df_view *part, const struct df_choices *ranked, double radius,
                         struct df_margin *near)
{
    int64_t n = 0;
    for (int64_t i = 0; i < ranked->count; i++) {
        const struct df_margin margin = df_margin_load(part->margins, ranked->list[i].candidate);
        if ((double)margin.margin <= radius)
            near[n++] = margin;
    }
    return n;
}

/* What this rank knows of rows that are not its own is what it is sent. */
static dfal_status store_near(struct df_view *view, const struct df_margin *near, int64_t count)
{
    DF_TRY(df_scores_alloc(&view->own_margins, view->count));
    for (int64_t i = 0; i < view->count; i++)
        df_margin_store(&view->own_margins, i,
                        &(struct df_margin){
                            .index = view->rows[i], .status = DFAL_SCORE_UNSCORED, .adversarial_class = -1});
    for (int64_t i = 0; i < count; i++)
        df_margin_store(&view->own_margins, df_view_candidate(view, near[i].index), &near[i]);
    return DFAL_OK;
}

static dfal_status share_near(struct df_view *view, const struct df_margin *near, int64_t count)
{
    struct df_comm *comm = view->options->comm;
    int64_t *bytes, total = 0;
    void *all = NULL;
    dfal_status status;
    DF_TRY(df_alloc(&bytes, comm->size, sizeof *bytes));
    DF_TRY_TO(done, status, df_comm_gather(comm, &all, bytes, near, count * (int64_t)sizeof *near));
    for (int32_t r = 0; r < comm->size; r++)
        total += bytes[r] / (int64_t)sizeof *near;
    status = store_near(view, all, total);
done:
    df_free(all);
    df_free(bytes);
    return status;
}

/* How DeepFool ended on the rows of all, and how many of them are not finite. */
static dfal_status share_counts(struct df_view *view, const struct df_view *part, int64_t nonfinite)
{
    double counts[DFAL_SCORE_STATUS_ROOM + 1] = {0};
    for (int64_t i = 0; i < part->count; i++)
        counts[part->margins->status[i]]++;
    counts[DFAL_SCORE_STATUS_ROOM] = (double)nonfinite;
    DF_TRY(df_comm_sum(view->options->comm, counts, DFAL_SCORE_STATUS_ROOM + 1));
    for (int s = 0; s < DFAL_SCORE_STATUS_ROOM; s++)
        view->statuses[s] = (int64_t)counts[s];
    view->nonfinite = (int64_t)counts[DFAL_SCORE_STATUS_ROOM];
    return DFAL_OK;
}

static dfal_status find_together(struct df_view *view, struct df_view *part, int64_t q)
{
    struct df_choices ranked = {0};
    struct df_margin *near = NULL;
    const int64_t most = q < part->count ? q : part->count;
    double radius = (double)INFINITY;
    dfal_status status;
    DF_TRY(find_closest(part, q, view->count, &radius));
    if (!part->some)
        return DFAL_OK;
    DF_TRY_TO(done, status, df_alloc(&ranked.list, most, sizeof *ranked.list));
    DF_TRY_TO(done, status, df_alloc(&near, most, sizeof *near));
    DF_TRY_TO(done, status, df_rank_margins(part, part->margins, false, most, &ranked));
    DF_TRY_TO(done, status, share_near(view, near, take_near(part, &ranked, radius, near)));
    DF_TRY_TO(done, status, share_counts(view, part, ranked.nonfinite));
    view->margins = &view->own_margins;
    view->some = view->shared = true;
    view->closest = q;
done:
    df_free(ranked.list);
    df_free(near);
    return status;
}

dfal_status df_view_closest(struct df_view *view, int64_t q, const struct df_scores **margins)
{
    if (!view->margins && is_worth(view, q)) {
        struct df_view *part;
        double radius;
        DF_TRY(df_view_part(view, &part));
        DF_TRY(part == view ? find_closest(view, q, view->count, &radius) : find_together(view, part, q));
    }
    if (!view->some || q > view->closest)
        return df_view_margins(view, margins);
    *margins = view->margins;
    return DFAL_OK;
}

bool df_view_closest_shared(const struct df_view *view, int64_t *nonfinite)
{
    *nonfinite = view->nonfinite;
    return view->shared;
}
