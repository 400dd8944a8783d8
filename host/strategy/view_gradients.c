/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients by a network's parameters, of a view's candidates. */
#include "base/memory.h"
#include "score/pass.h"
#include "score/row_values.h"
#include "strategy/strategy.h"
#include "strategy/view_inside.h"

struct gradients_sink {
    const struct df_view *view;
    df_gradients_fn *fn;
    void *user;
    int64_t alike; /* rows that look like probabilities */
};

static dfal_status put(void *user, int64_t row, const struct df_gradients *gradients)
{
    struct gradients_sink *sink = user;
    const int64_t at = df_row_position(sink->view->rows, sink->view->count, row);
    if (at < 0)
        DF_FAIL(DFAL_E_INTERNAL, "gradients of row %lld came back that were not asked for", (long long)row);
    sink->alike += df_row_like_probabilities(gradients->logits, sink->view->network->class_count);
    return sink->fn(sink->user, at, gradients);
}

/* Of a run of the candidates. */
static dfal_status run(struct gradients_sink *sink, const struct df_gradients_spec *spec,
                       struct df_comm_share share)
{
    const struct df_view *view = sink->view;
    struct df_list_source source;
    struct df_progress progress;
    df_list_source_init(&source, view->rows + share.begin, share.count);
    df_progress_begin(&progress, view->context, "select.gradients", "samples", share.count, 0);
    const struct df_pass_spec pass = {
        .context = view->context,
        .device = view->device,
        .network = view->network,
        .pool = view->pool,
        .gradients = spec,
        .progress = &progress,
    };
    const dfal_status status = df_forward_source(&pass, &source.source, NULL, NULL);
    df_progress_end(&progress);
    return status;
}

dfal_status df_view_gradients(struct df_view *view, const struct df_gradients_ask *ask, df_gradients_fn *fn,
                              void *user)
{
    struct gradients_sink sink = {.view = view, .fn = fn, .user = user};
    struct df_gradients_spec spec = {.count = ask->count,
                                     .cotangents = ask->cotangents,
                                     .vectors = ask->vectors,
                                     .put = put,
                                     .user = &sink};
    uint8_t *chosen;
    if (!view->count)
        return DFAL_OK;
    DF_TRY(df_layers_choose(&chosen, view->network, ask->layers));
    spec.chosen = chosen;
    const struct df_comm_share all = {0, view->count},
                               share = ask->scores ? df_view_share(view, view->count) : all;
    const dfal_status status = run(&sink, &spec, share);
    df_free(chosen);
    DF_TRY(status);
    double alike = (double)sink.alike;
    if (ask->scores && view->sharers)
        DF_TRY(df_comm_sum(view->sharers, &alike, 1));
    DF_TRY(df_view_check_alike(view, (int64_t)alike, view->count));
    return ask->scores ? df_view_exchange(view, ask->scores, view->count, sizeof *ask->scores) : DFAL_OK;
}
