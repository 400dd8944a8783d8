/* SPDX-License-Identifier: Apache-2.0 */
/* Stochastic passes over a view's candidates: dropout is drawn, batch-norm stays frozen. */
#include "base/log.h"
#include "base/rng.h"
#include "score/pass.h"
#include "strategy/view_inside.h"

struct passes_sink {
    const struct df_view *view;
    int64_t size; /* T * K */
    df_view_pass_fn *fn;
    void *user;
};

static dfal_status put_rows(void *user, const int64_t *index, const float *values, int64_t n)
{
    const struct passes_sink *sink = user;
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = df_row_position(sink->view->rows, sink->view->count, index[i]);
        if (at < 0)
            DF_FAIL(DFAL_E_INTERNAL, "passes of row %lld came back that were not asked for",
                    (long long)index[i]);
        DF_TRY(sink->fn(sink->user, at, values + i * sink->size));
    }
    return DFAL_OK;
}

dfal_status df_view_passes(struct df_view *view, int64_t passes, enum df_masks masks, double ratio,
                           df_view_pass_fn *fn, void *user)
{
    struct passes_sink sink = {
        .view = view, .size = passes * view->network->class_count, .fn = fn, .user = user};
    const struct df_pass_drawing drawing = {
        .passes = passes,
        .seed = df_random_child(view->options->seed, DF_STREAM_PASSES, 0),
        .shared = masks != DF_MASKS_OWN,
        .filters = masks == DF_MASKS_FILTERS,
        .ratio = ratio,
    };
    struct df_list_source source;
    struct df_progress progress;
    if (!view->count)
        return DFAL_OK;
    df_list_source_init(&source, view->rows, view->count);
    df_progress_begin(&progress, view->context, "select.passes", "samples", view->count, 0);
    const struct df_pass_spec pass = {
        .context = view->context,
        .device = view->device,
        .network = view->network,
        .pool = view->pool,
        .drawing = &drawing,
        .progress = &progress,
    };
    const dfal_status status = df_forward_source(&pass, &source.source, put_rows, &sink);
    df_progress_end(&progress);
    return status;
}
