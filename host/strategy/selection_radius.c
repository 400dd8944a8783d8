/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "graph/network.h"
#include "strategy/coreset_cover.h"
#include "strategy/k_center.h"
#include "strategy/selection.h"
#include "strategy/view_inside.h"

/* Every candidate meets the labelled rows, then those chosen one by one. */
static dfal_status meet_chosen(struct df_k_center *center, const struct df_view *view, const int64_t *chosen,
                               int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        center->next = df_row_position(view->rows, view->count, chosen[i]);
        if (center->next < 0)
            DF_FAIL(DFAL_E_INTERNAL, "row %lld was chosen and is no candidate", (long long)chosen[i]);
        DF_TRY(df_k_center_pick(center));
    }
    return DFAL_OK;
}

static dfal_status measure(struct df_view *view, const struct df_selection *selection, double *radius)
{
    const struct df_strategy_option *table = view->options->strategy->options;
    const int64_t outliers = df_option_find(table, "outliers") ? df_view_integer(view, "outliers") : 0;
    struct df_k_center_among among;
    struct df_k_center center = {0};
    dfal_status status;
    DF_TRY(df_k_center_of_view(&among, view, df_view_own_text(view, "node")));
    DF_TRY_TO(done, status, df_k_center_begin(&center, &among, selection->count));
    DF_TRY_TO(done, status, meet_chosen(&center, view, selection->index, selection->count));
    *radius = sqrt(df_cover_largest(center.nearest, among.from.h.count, outliers));
done:
    df_k_center_end(&center);
    return status;
}

dfal_status df_selection_radius(struct dfal_context *context, struct df_device *device,
                                const struct df_network *network, struct df_pool *pool,
                                const int64_t *candidates, int64_t n,
                                const struct df_selection_options *options,
                                const struct df_selection *selection, double *radius)
{
    struct df_view view = {
        .context = context, .device = device, .network = network, .pool = pool, .options = options};
    *radius = NAN;
    dfal_status status = df_view_open(&view, candidates, n);
    if (status == DFAL_OK && (df_view_own_text(&view, "node")[0] || df_network_has(network, DF_NODE_GEMM)))
        status = measure(&view, selection, radius);
    df_view_close(&view);
    return status;
}
