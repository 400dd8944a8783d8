/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/pseudo_labels.h"

#include <math.h>

#include "base/memory.h"
#include "score/row_values.h"
#include "strategy/power.h"
#include "strategy/selection_block.h"
#include "strategy/softmax.h"
#include "strategy/view_inside.h"

const struct df_strategy_option df_pseudo_label_options[] = {
    {.key = "threshold",
     .kind = DF_OPTION_NUMBER,
     .number = {.kind = DF_NUMBER_REAL, .low = 0, .high = 1e6},
     .standard = "0.05",
     .help = "candidates whose entropy is below it, in nats, get the predicted class for a label"},
    {.key = "decay",
     .kind = DF_OPTION_NUMBER,
     .number = {.kind = DF_NUMBER_REAL, .low = 0, .high = 1e6},
     .standard = "0",
     .help = "what the threshold loses each round of an experiment, down to 0"},
    DF_OPTION_POWER,
    {0},
};

dfal_status df_certain_by_entropy(struct df_view *view, bool *certain)
{
    const double *entropy;
    const double threshold =
        fmax(df_view_real(view, "threshold") - df_view_real(view, "decay") * (double)df_view_round(view), 0);
    DF_TRY(df_view_row_scores(view, df_softmax_entropy, &entropy));
    for (int64_t i = 0; i < view->count; i++)
        certain[i] = entropy[i] < threshold; /* a NaN is not */
    return DFAL_OK;
}

/* The labels of rows [0, m) of a block. */
static dfal_status label_block(const struct df_view *view, struct df_selection_block *block, int64_t m,
                               struct df_selection *selection)
{
    const int64_t k = view->network->class_count;
    DF_TRY(df_context_check_stop(view->context));
    DF_TRY(df_selection_block_look(block, view, m));
    for (int64_t i = 0; i < m; i++) {
        const int32_t predicted = (int32_t)df_row_largest(block->logits + i * k, k);
        const int32_t label = df_network_to_pool(view->network, predicted);
        if (!block->finite[i] || label < 0)
            continue;
        const int64_t at = selection->pseudo_count++;
        selection->pseudo_index[at] = block->rows[i];
        selection->pseudo_label[at] = label;
    }
    return DFAL_OK;
}

static dfal_status label(const struct df_view *view, const bool *certain, int64_t count,
                         struct df_selection *selection)
{
    struct df_selection_block block = {0};
    int64_t m = 0;
    dfal_status status;
    DF_TRY(df_alloc(&selection->pseudo_index, count, sizeof *selection->pseudo_index));
    DF_TRY(df_alloc(&selection->pseudo_label, count, sizeof *selection->pseudo_label));
    DF_TRY_TO(done, status, df_selection_block_open(&block, view, count));
    for (int64_t i = 0; i < view->count; i++) {
        if (certain[i])
            block.rows[m++] = view->rows[i];
        if (m < block.capacity)
            continue;
        DF_TRY_TO(done, status, label_block(view, &block, m, selection));
        m = 0;
    }
    status = m ? label_block(view, &block, m, selection) : DFAL_OK;
done:
    df_selection_block_close(&block);
    return status;
}

dfal_status df_pseudo_labels_find(struct df_view *view, struct df_selection *selection)
{
    df_certain_fn *find = view->options->strategy->certain;
    int64_t count = 0;
    bool *certain;
    dfal_status status;
    if (!find || !view->options->pseudo_labels)
        return DFAL_OK;
    DF_TRY(df_alloc(&certain, view->count, sizeof *certain));
    DF_TRY_TO(done, status, find(view, certain));
    for (int64_t i = 0; i < selection->count; i++)
        certain[df_row_position(view->rows, view->count, selection->index[i])] = false;
    for (int64_t i = 0; i < view->count; i++)
        count += certain[i];
    if (count)
        status = label(view, certain, count, selection);
done:
    df_free(certain);
    return status;
}
