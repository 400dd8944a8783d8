/* SPDX-License-Identifier: Apache-2.0 */
/* Margins of a view's candidates, and twins of those that were chosen. */
#include <string.h>

#include "base/memory.h"
#include "store/row_rank.h"
#include "strategy/view_inside.h"

/* Margins by position in ascending rows. */
struct margin_sink {
    struct df_margin_sink sink;
    const int64_t *rows;
    int64_t n;
    struct df_scores *scores;
};

/* Twins by position in rank order, from the first of this rank's share. */
struct twin_sink {
    struct df_margin_sink sink;
    struct df_row_ranks ranks;
    int64_t first;
    struct df_selection *selection;
};

static dfal_status put_margin(struct df_margin_sink *self, const struct df_margin *margin,
                              const float *adversarial)
{
    struct margin_sink *sink = (struct margin_sink *)self;
    (void)adversarial;
    int64_t at = df_row_position(sink->rows, sink->n, margin->index);
    if (at < 0)
        DF_FAIL(DFAL_E_INTERNAL, "a margin of row %lld came back that was not asked for",
                (long long)margin->index);
    df_margin_store(sink->scores, at, margin);
    return DFAL_OK;
}

static dfal_status put_twin(struct df_margin_sink *self, const struct df_margin *margin,
                            const float *adversarial)
{
    const struct twin_sink *sink = (struct twin_sink *)self;
    struct df_selection *selection = sink->selection;
    const int64_t rank = df_row_rank(&sink->ranks, margin->index), i = sink->first + rank;
    if (rank < 0)
        DF_FAIL(DFAL_E_INTERNAL, "a twin of row %lld came back that was not asked for",
                (long long)margin->index);
    selection->adversarial_class[i] = margin->adversarial_class;
    selection->status[i] = margin->status;
    if (adversarial && margin->status == DFAL_SCORE_OK)
        memcpy(selection->twin + i * selection->size, adversarial, (size_t)selection->size * sizeof(float));
    return DFAL_OK;
}

static dfal_status run_deepfool(const struct df_view *view, const int64_t *rows, int64_t n,
                                struct df_margin_sink *sink, const char *what)
{
    struct df_deepfool_engine *engine = NULL;
    struct df_row_stream *stream = NULL;
    struct df_list_source source;
    struct df_progress progress;
    dfal_status status;
    df_progress_begin(&progress, view->context, what, "samples", n, 0);
    df_list_source_init(&source, rows, n);
    DF_TRY_TO(done, status,
              df_deepfool_create(&engine, view->context, view->device, view->network, view->pool,
                                 &view->options->deepfool, view->options->batch, view->options->how));
    source.source.numbers = !df_deepfool_wants_rows(engine);
    DF_TRY_TO(done, status, df_stream_open(&stream, view->pool, &source.source));
    status = df_deepfool_run(engine, stream, sink, &progress);
done:
    df_stream_close(stream);
    df_deepfool_destroy(engine);
    df_progress_end(&progress);
    return status;
}

/* Ranks that share run DeepFool on a part of the rows each. */
static dfal_status compute_margins(struct df_view *view)
{
    struct df_scores *scores = &view->own_margins;
    const struct df_comm_share share = df_view_share(view, view->count);
    struct margin_sink sink = {
        .sink = {.put = put_margin}, .rows = view->rows, .n = view->count, .scores = scores};
    DF_TRY(run_deepfool(view, view->rows + share.begin, share.count, &sink.sink, "select.margins"));
#define X(field, type, file, fill)                                                                           \
    DF_TRY(df_view_exchange(view, scores->field, view->count, sizeof *scores->field));
    DF_SCORES_COLUMN_LIST(X)
#undef X
    return DFAL_OK;
}

dfal_status df_view_margins(struct df_view *view, const struct df_scores **margins)
{
    *margins = NULL;
    if (view->some) { /* more are asked for than are known */
        df_scores_clear(&view->own_margins);
        view->margins = NULL;
        view->some = view->shared = false;
    }
    if (!view->margins && view->options->scores) {
        DF_TRY(df_scores_keep(view->options->scores, view->rows, view->count));
        view->margins = view->options->scores;
    }
    if (!view->margins) {
        DF_TRY(df_scores_alloc(&view->own_margins, view->count));
        view->margins = &view->own_margins;
        DF_TRY(compute_margins(view));
    }
    *margins = view->margins;
    return DFAL_OK;
}

bool df_view_has_scores(const struct df_view *view)
{
    return view->options->scores != NULL;
}

dfal_status df_view_twins(const struct df_view *view, struct df_selection *selection)
{
    const int64_t n = selection->twin_count;
    const struct df_comm_share share = df_view_share(view, n);
    struct twin_sink sink = {
        .sink = {.put = put_twin, .wants_adversarial = true}, .first = share.begin, .selection = selection};
    DF_TRY(df_row_ranks_open(&sink.ranks, selection->index + share.begin, share.count));
    const dfal_status status = run_deepfool(view, sink.ranks.rows, share.count, &sink.sink, "select.twins");
    df_row_ranks_close(&sink.ranks);
    DF_TRY(status);
    DF_TRY(df_view_exchange(view, selection->adversarial_class, n, sizeof *selection->adversarial_class));
    DF_TRY(df_view_exchange(view, selection->status, n, sizeof *selection->status));
    return df_view_exchange(view, selection->twin, n, (size_t)selection->size * sizeof *selection->twin);
}
