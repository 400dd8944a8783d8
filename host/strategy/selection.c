/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/selection.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compare.h"
#include "base/memory.h"
#include "score/row_values.h"
#include "strategy/pseudo_labels.h"
#include "strategy/selection_block.h"
#include "strategy/strategy.h"
#include "strategy/view_inside.h"

void df_selection_clear(struct df_selection *selection)
{
    df_free(selection->index);
    df_free(selection->score);
    df_free(selection->predicted);
    df_free(selection->adversarial_class);
    df_free(selection->confidence);
    df_free(selection->status);
    df_free(selection->twin);
    df_free(selection->pseudo_index);
    df_free(selection->pseudo_label);
    df_fields_clear(&selection->facts);
    *selection = (struct df_selection){0};
}

static void predict(const float *logits, int32_t k, int32_t *label, double *confidence)
{
    const int32_t best = (int32_t)df_row_largest(logits, k);
    double sum = 0;
    for (int32_t i = 0; i < k; i++)
        sum += exp((double)logits[i] - logits[best]);
    *label = best;
    *confidence = 1 / sum;
}

static dfal_status selection_alloc(struct df_selection *selection, int64_t q, int64_t size)
{
    selection->size = size;
    DF_TRY(df_alloc(&selection->index, q, sizeof *selection->index));
    DF_TRY(df_alloc(&selection->score, q, sizeof *selection->score));
    DF_TRY(df_alloc(&selection->predicted, q, sizeof *selection->predicted));
    DF_TRY(df_alloc(&selection->adversarial_class, q, sizeof *selection->adversarial_class));
    DF_TRY(df_alloc(&selection->confidence, q, sizeof *selection->confidence));
    return df_alloc(&selection->status, q, sizeof *selection->status);
}

/* The finite ones of m choices, in rank order. */
static dfal_status take_block(const struct df_view *view, struct df_selection_block *block,
                              const struct df_choice *choices, int64_t m, struct df_selection *selection)
{
    int64_t k = view->network->class_count;
    const struct df_scores *margins = view->margins;
    for (int64_t i = 0; i < m; i++)
        block->rows[i] = view->rows[choices[i].candidate];
    qsort(block->rows, (size_t)m, sizeof *block->rows, df_compare_integers);
    DF_TRY(df_selection_block_look(block, view, m));
    for (int64_t i = 0; i < m; i++) {
        int64_t at = df_row_position(block->rows, m, view->rows[choices[i].candidate]);
        const float *logits = block->logits + at * k;
        if (!block->finite[at]) {
            selection->nonfinite++;
            continue;
        }
        int64_t s = selection->count++;
        selection->index[s] = block->rows[at];
        selection->score[s] = choices[i].score;
        selection->adversarial_class[s] = margins ? margins->adversarial_class[choices[i].candidate] : -1;
        selection->status[s] = margins ? margins->status[choices[i].candidate] : DFAL_SCORE_OK;
        predict(logits, (int32_t)k, &selection->predicted[s], &selection->confidence[s]);
    }
    return DFAL_OK;
}

/* Those of choices [from, to), until the selection is full; returns through *to how far that was. */
static dfal_status take_choices(const struct df_view *view, struct df_selection_block *block,
                                const struct df_choices *choices, int64_t from, int64_t *to, int64_t q,
                                struct df_selection *selection)
{
    while (from < choices->count && selection->count < q) {
        int64_t m =
            q - selection->count < choices->count - from ? q - selection->count : choices->count - from;
        m = m < block->capacity ? m : block->capacity;
        DF_TRY(df_context_check_stop(view->context));
        DF_TRY(take_block(view, block, choices->list + from, m, selection));
        from += m;
    }
    *to = from;
    return DFAL_OK;
}

/* The best q whose input and logits are finite. A chosen one may turn out not to be; then the list is asked
 * for further on, which is why it must begin alike for every length. */
static dfal_status take_ranked(struct df_view *view, struct df_selection_block *block, int64_t q,
                               struct df_selection *selection)
{
    const struct df_strategy *strategy = view->options->strategy;
    struct df_choices choices = {0};
    int64_t next = 0;
    dfal_status status = DFAL_OK;
    for (int64_t want = q; selection->count < q && choices.count == next;) {
        df_free(choices.list);
        DF_TRY_TO(done, status, df_alloc(&choices.list, want, sizeof *choices.list));
        DF_TRY_TO(done, status, strategy->select(view, want, &choices));
        DF_TRY_TO(done, status, take_choices(view, block, &choices, next, &next, q, selection));
        if (choices.count < want || want == view->count)
            break;
        want = 2 * want + DF_BLOCK_ROWS < view->count ? 2 * want + DF_BLOCK_ROWS : view->count;
    }
    selection->nonfinite += choices.nonfinite;
done:
    df_free(choices.list);
    return status;
}

/* Leave out the choices that were not taken. */
static dfal_status exclude_others(struct df_view *view, const struct df_choices *choices,
                                  const struct df_selection *selection)
{
    int64_t *others, count = 0;
    DF_TRY(df_alloc(&others, choices->count, sizeof *others));
    for (int64_t i = 0, taken = 0; i < choices->count; i++) {
        const int64_t candidate = choices->list[i].candidate;
        if (taken < selection->count && selection->index[taken] == view->rows[candidate])
            taken++;
        else
            others[count++] = candidate;
    }
    qsort(others, (size_t)count, sizeof *others, df_compare_integers);
    const dfal_status status = df_view_exclude(view, others, count);
    df_free(others);
    return status;
}

/* A set of q, all finite. One that is not makes the others another set: it is chosen again without it. */
static dfal_status take_set(struct df_view *view, struct df_selection_block *block, int64_t q,
                            struct df_selection *selection)
{
    const struct df_strategy *strategy = view->options->strategy;
    struct df_choices choices = {0};
    int64_t end = 0;
    dfal_status status;
    DF_TRY(df_alloc(&choices.list, q, sizeof *choices.list));
    for (;;) {
        const int64_t want = q < view->count ? q : view->count;
        selection->count = 0;
        DF_TRY_TO(done, status, strategy->select(view, want, &choices));
        DF_TRY_TO(done, status, take_choices(view, block, &choices, 0, &end, want, selection));
        if (selection->count == choices.count)
            break;
        DF_TRY_TO(done, status, exclude_others(view, &choices, selection));
    }
    selection->nonfinite += choices.nonfinite;
    selection->facts = choices.facts;
    choices.facts = (struct df_fields){0};
done:
    df_fields_clear(&choices.facts);
    df_free(choices.list);
    return status;
}

static dfal_status take_best(struct df_view *view, int64_t q, struct df_selection *selection)
{
    struct df_selection_block block = {0};
    dfal_status status;
    DF_TRY_TO(done, status, df_selection_block_open(&block, view, q));
    status = view->options->strategy->set ? take_set(view, &block, q, selection)
                                          : take_ranked(view, &block, q, selection);
done:
    df_selection_block_close(&block);
    return status;
}

/* Twins of the first n chosen. */
static int64_t twins_of(const struct df_selection_options *options, int64_t n)
{
    if (!options->twins)
        return 0;
    return options->twins_limit > 0 && options->twins_limit < n ? options->twins_limit : n;
}

/* Before the long work, not after it. */
static dfal_status check_twins(const struct df_view *view, int64_t twins)
{
    const double bytes = (double)twins * (double)df_shape_size(view->pool->shape) * sizeof(float);
    char what[64];
    snprintf(what, sizeof what, "%lld twins", (long long)twins);
    return df_context_check_memory(view->context, bytes, what, "choose fewer");
}

static dfal_status find_twins(const struct df_view *view, struct df_selection *selection)
{
    int64_t n = twins_of(view->options, selection->count);
    if (!n)
        return DFAL_OK;
    DF_TRY(df_alloc(&selection->twin, n * selection->size, sizeof *selection->twin));
    selection->twin_count = n;
    return df_view_twins(view, selection);
}

/* What is told of a selection is about the pool: its labels, its label files. */
static void count_like_pool(const struct df_network *network, struct df_selection *selection)
{
    for (int64_t i = 0; i < selection->count; i++) {
        selection->predicted[i] = df_network_to_pool(network, selection->predicted[i]);
        selection->adversarial_class[i] = df_network_to_pool(network, selection->adversarial_class[i]);
    }
}

/* Of the rows that DeepFool ran on; those that were proven farther, or not looked at, are none of them. */
static void count_statuses(const struct df_view *view, struct df_selection *selection)
{
    const struct df_scores *margins = view->margins;
    const uint8_t *status = margins ? margins->status : selection->status;
    const int64_t count = margins ? margins->count : selection->twin_count;
    for (int64_t i = 0; i < count; i++)
        if (status[i] < DFAL_SCORE_STATUS_ROOM && status[i] != DFAL_SCORE_PRUNED &&
            status[i] != DFAL_SCORE_UNSCORED)
            selection->statuses[status[i]]++;
    for (int s = 0; view->shared && s < DFAL_SCORE_STATUS_ROOM; s++)
        if (s != DFAL_SCORE_PRUNED && s != DFAL_SCORE_UNSCORED)
            selection->statuses[s] = view->statuses[s];
}

dfal_status df_select(struct dfal_context *context, struct df_device *device,
                      const struct df_network *network, struct df_pool *pool, const int64_t *candidates,
                      int64_t n, const struct df_selection_options *options, struct df_selection *selection)
{
    struct df_view view = {
        .context = context, .device = device, .network = network, .pool = pool, .options = options};
    if (options->alike && options->comm->size > 1)
        view.sharers = options->comm;
    double begin = df_clock();
    dfal_status status;
    *selection = (struct df_selection){0};
    DF_TRY_TO(done, status, df_strategy_check_network(options->strategy, options->values, network));
    DF_TRY_TO(done, status, df_view_open(&view, candidates, n));
    int64_t q = options->count < view.count ? options->count : view.count;
    DF_TRY_TO(done, status, check_twins(&view, twins_of(options, q)));
    DF_TRY_TO(done, status, selection_alloc(selection, q, df_shape_size(pool->shape)));
    if (!view.count)
        goto done;
    DF_TRY_TO(done, status, take_best(&view, q, selection));
    DF_TRY_TO(done, status, find_twins(&view, selection));
    count_statuses(&view, selection);
    DF_TRY_TO(done, status, df_pseudo_labels_find(&view, selection));
    count_like_pool(network, selection);
done:
    selection->seconds = df_clock() - begin;
    df_view_close(&view);
    if (status != DFAL_OK)
        df_selection_clear(selection);
    return status;
}
