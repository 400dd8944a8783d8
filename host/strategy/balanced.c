/* SPDX-License-Identifier: Apache-2.0 */
/* Another strategy's ranking with the predicted classes evened out: each pick is the best remaining candidate
 * of the class that has the fewest labelled and chosen samples. A labelled sample counts for its label, a
 * chosen one for its predicted class.
 *
 * Ties     of classes: the lowest; of candidates: as the other strategy orders them
 * Memory   40 bytes a candidate: all of them are ranked */
#include <math.h>

#include "base/memory.h"
#include "strategy/rank.h"
#include "strategy/softmax.h"
#include "strategy/view.h"

struct balanced {
    struct df_choices ranked; /* all candidates, as the other strategy ranks them */
    const double *predicted;  /* [n] */
    int32_t class_count;
    int64_t *count; /* [class_count] labelled and chosen */
    int64_t *next;  /* [class_count + 1] place in order of each class's best remaining; where the last ends */
    int64_t *end;   /* [class_count] of each class in order */
    int64_t *order; /* places in ranked.list by class, each class in the order of its ranks */
};

static void end(struct balanced *b)
{
    df_free(b->ranked.list);
    df_free(b->count);
    df_free(b->next);
    df_free(b->end);
    df_free(b->order);
}

static int32_t class_of(const struct balanced *b, int64_t place)
{
    return (int32_t)b->predicted[b->ranked.list[place].candidate];
}

static dfal_status count_labelled(struct balanced *b, const struct df_view *view)
{
    const int64_t n = df_view_labelled_count(view);
    int32_t *classes;
    DF_TRY(df_alloc(&classes, n, sizeof *classes));
    df_view_labelled_classes(view, classes);
    for (int64_t i = 0; i < n; i++)
        if (classes[i] >= 0)
            b->count[classes[i]]++;
    df_free(classes);
    return DFAL_OK;
}

/* Candidates whose logits are not finite have no class. They come to stand at the end, where nobody looks. */
static dfal_status rank_all(struct balanced *b, struct df_view *view)
{
    const struct df_strategy *of;
    const int64_t n = df_view_count(view);
    DF_TRY(df_strategy_find(&of, df_view_text(view, "of")));
    DF_TRY(df_alloc(&b->ranked.list, n, sizeof *b->ranked.list));
    DF_TRY(df_view_row_scores(view, df_softmax_predicted, &b->predicted));
    DF_TRY(of->select(view, n, &b->ranked));
    int64_t kept = 0;
    for (int64_t i = 0; i < b->ranked.count; i++)
        if (!isnan(b->predicted[b->ranked.list[i].candidate]))
            b->ranked.list[kept++] = b->ranked.list[i];
    b->ranked.nonfinite += b->ranked.count - kept;
    b->ranked.count = kept;
    return DFAL_OK;
}

static dfal_status sort_by_class(struct balanced *b)
{
    DF_TRY(df_alloc(&b->next, b->class_count + 1, sizeof *b->next));
    DF_TRY(df_alloc(&b->end, b->class_count, sizeof *b->end));
    DF_TRY(df_alloc(&b->order, b->ranked.count, sizeof *b->order));
    for (int64_t i = 0; i < b->ranked.count; i++)
        b->next[class_of(b, i) + 1]++;
    for (int32_t k = 0; k < b->class_count; k++) {
        b->next[k + 1] += b->next[k];
        b->end[k] = b->next[k];
    }
    for (int64_t i = 0; i < b->ranked.count; i++)
        b->order[b->end[class_of(b, i)]++] = i;
    return DFAL_OK;
}

/* -1: nobody is left. */
static int32_t rarest(const struct balanced *b)
{
    int32_t best = -1;
    for (int32_t k = 0; k < b->class_count; k++)
        if (b->next[k] < b->end[k] && (best < 0 || b->count[k] < b->count[best]))
            best = k;
    return best;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct balanced b = {.class_count = df_view_class_count(view)};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, df_alloc(&b.count, b.class_count, sizeof *b.count));
    DF_TRY_TO(done, status, count_labelled(&b, view));
    DF_TRY_TO(done, status, rank_all(&b, view));
    DF_TRY_TO(done, status, sort_by_class(&b));
    for (int32_t k; choices->count < q && (k = rarest(&b)) >= 0; b.count[k]++)
        choices->list[choices->count++] = b.ranked.list[b.order[b.next[k]++]];
    choices->nonfinite = b.ranked.nonfinite;
done:
    end(&b);
    return status;
}

static const struct df_strategy_option options[] = {
    {.key = "of",
     .kind = DF_OPTION_CHOICE,
     .choices = "margin|entropy|least-confidence|logit-gap|dfal|bald|egl-last|nearest-other|random",
     .standard = "margin",
     .help = "the strategy whose ranking is evened out"},
    DF_OPTION_NODE,
    DF_OPTION_PASSES("stochastic passes of bald"),
    DF_OPTION_POWER,
    {0},
};

static int asks_of_other(const struct df_option_values *values)
{
    return df_strategies[df_strategy_known_index(df_option_text(values, options, "of"))]->asks;
}

const struct df_strategy df_strategy_balanced = {
    .name = "balanced",
    .summary = "another strategy's ranking, its predicted classes evened out",
    .asks = DF_ASKS_LOGITS,
    .options = options,
    .select = choose,
    .asks_besides = asks_of_other,
};
