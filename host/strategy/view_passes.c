/* SPDX-License-Identifier: Apache-2.0 */
/* Stochastic passes over a view's rows: dropout is drawn, batch-norm stays frozen. */
#include "base/log.h"
#include "base/rng.h"
#include "score/pass.h"
#include "strategy/view_inside.h"

struct passes_sink {
    const int64_t *rows; /* [count] ascending */
    int64_t count, size; /* size: T x values of a pass */
    double *scores;      /* all that is kept; NULL: more is */
    df_view_pass_fn *fn;
    void *user;
};

static dfal_status put_rows(void *user, const int64_t *index, const float *values, int64_t n)
{
    const struct passes_sink *sink = user;
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = df_row_position(sink->rows, sink->count, index[i]);
        if (at < 0)
            DF_FAIL(DFAL_E_INTERNAL, "passes of row %lld came back that were not asked for",
                    (long long)index[i]);
        DF_TRY(sink->fn(sink->user, at, values + i * sink->size));
    }
    return DFAL_OK;
}

static dfal_status run(const struct df_view *view, const struct df_network *network, struct passes_sink *sink,
                       const struct df_pass_drawing *drawing)
{
    struct df_list_source source;
    struct df_progress progress;
    sink->size = drawing->passes * network->class_count;
    const struct df_comm_share all = {0, sink->count},
                               share = sink->scores ? df_view_share(view, sink->count) : all;
    if (!sink->count)
        return DFAL_OK;
    df_list_source_init(&source, sink->rows + share.begin, share.count);
    df_progress_begin(&progress, view->context, "select.passes", "samples", share.count, 0);
    const struct df_pass_spec pass = {
        .context = view->context,
        .device = view->device,
        .network = network,
        .pool = view->pool,
        .drawing = drawing,
        .progress = &progress,
    };
    const dfal_status status = df_forward_source(&pass, &source.source, put_rows, sink);
    df_progress_end(&progress);
    DF_TRY(status);
    return sink->scores ? df_view_exchange(view, sink->scores, sink->count, sizeof *sink->scores) : DFAL_OK;
}

static struct df_pass_drawing drawing_of(const struct df_view *view, int64_t passes, enum df_masks masks,
                                         double ratio)
{
    return (struct df_pass_drawing){
        .passes = passes,
        .seed = df_random_child(view->options->seed, DF_STREAM_PASSES, 0),
        .shared = masks != DF_MASKS_OWN,
        .filters = masks == DF_MASKS_FILTERS,
        .ratio = ratio,
    };
}

dfal_status df_view_passes(struct df_view *view, int64_t passes, enum df_masks masks, double ratio,
                           double *scores, df_view_pass_fn *fn, void *user)
{
    struct passes_sink sink = {
        .rows = view->rows, .count = view->count, .scores = scores, .fn = fn, .user = user};
    const struct df_pass_drawing drawing = drawing_of(view, passes, masks, ratio);
    return run(view, view->network, &sink, &drawing);
}

struct df_last_layer df_view_last_layer(const struct df_view *view)
{
    const struct df_node *gemm = &view->network->nodes[df_network_last_layer(view->network)];
    const struct df_parameter *weight = &gemm->parameter[DF_WEIGHT];
    return (struct df_last_layer){.size = weight->count / view->network->class_count,
                                  .weight = weight->data,
                                  .bias = gemm->parameter[DF_BIAS].data};
}

/* A pass of the network without its last layer: the masks of the other nodes stay as they are. */
dfal_status df_view_last_layer_passes(struct df_view *view, int64_t passes, enum df_masks masks, double ratio,
                                      bool labelled, double *scores, df_view_pass_fn *fn, void *user)
{
    const int32_t gemm = df_network_last_layer(view->network);
    struct passes_sink sink = {.rows = labelled ? view->options->labelled_rows : view->rows,
                               .count = labelled ? view->options->labelled_row_count : view->count,
                               .scores = scores,
                               .fn = fn,
                               .user = user};
    const struct df_pass_drawing drawing = drawing_of(view, passes, masks, ratio);
    struct df_network *cut;
    DF_TRY(df_network_cut(&cut, view->network, view->network->nodes[gemm].inputs[0]));
    const dfal_status status = run(view, cut, &sink, &drawing);
    df_network_destroy(cut);
    return status;
}
