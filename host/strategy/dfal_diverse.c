/* SPDX-License-Identifier: Apache-2.0 */
/* DFAL for batches, which the discussion of Ducoffe, Precioso 2018 asks for: of the rho q smallest margins q
 * that are not all alike.
 *
 * Math     the shortlist is what `dfal` would query of rho q, no further than the group of statuses of the
 *          q-th. Of it, kcenter: k-center greedy on the features, the labelled rows being the first centres;
 *          facility: the greedy maximum of the sum over the shortlist of the largest similarity to a chosen
 *          one; classpair: by margin, at most ceil(q / m) of a pair of label and adversarial class, of which
 *          the shortlist has m, and where that is too few the others by margin
 * Ties     the seeded order
 * Memory   the features of the shortlist and of the labelled rows */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/scores.h"
#include "strategy/facility.h"
#include "strategy/k_center_device.h"
#include "strategy/rank.h"

/* The candidates of the smallest margins. */
struct shortlist {
    struct df_choices ranked;
    const struct df_scores *margins;
};

/* Where a worse group begins than that of the q-th: its rows have no place before all others are queried. */
static void cut(struct shortlist *list, int64_t q, const char *unconverged)
{
    const struct df_choice *ranked = list->ranked.list;
    int64_t end = q;
    if (list->ranked.count <= q)
        return;
    const int32_t group = df_margin_group(list->margins->status[ranked[q - 1].candidate], unconverged);
    while (end < list->ranked.count &&
           df_margin_group(list->margins->status[ranked[end].candidate], unconverged) == group)
        end++;
    list->ranked.count = end;
}

static dfal_status shorten(struct shortlist *list, struct df_view *view, int64_t q)
{
    const int64_t n = df_view_count(view), rho = df_view_integer(view, "rho"),
                  most = q > n / rho ? n : q * rho;
    DF_TRY(df_alloc(&list->ranked.list, most, sizeof *list->ranked.list));
    DF_TRY(df_rank_by_margin(view, most, &list->ranked));
    DF_TRY(df_view_closest(view, most, &list->margins));
    cut(list, q, df_view_unconverged(view));
    return DFAL_OK;
}

/* ---- by features --------------------------------------------------------------------------------------- */

static int compare_candidates(const void *a_, const void *b_)
{
    const struct df_choice *a = a_, *b = b_;
    return (a->candidate > b->candidate) - (a->candidate < b->candidate);
}

static dfal_status spread(struct df_view *view, const struct df_features *h, const int64_t *rows, int64_t q,
                          struct df_choices *choices)
{
    const bool facility = !strcmp(df_view_text(view, "diversify"), "facility");
    struct df_k_center_among among = {
        .from = {.context = df_view_context(view), .seed = df_view_seed(view), .rows = rows, .h = *h}};
    if (facility)
        return df_facility_greedy(&among.from, q, choices);
    DF_TRY(df_view_labelled_features(view, df_view_text(view, "node"), &among.before));
    return df_k_center_choose(view, &among, q, choices);
}

/* The shortlist in the order of the pool, because that is the order of features. */
static dfal_status choose_by_features(struct shortlist *list, struct df_view *view, int64_t q,
                                      struct df_choices *choices)
{
    const int64_t n = list->ranked.count;
    struct df_choice *in_pool = list->ranked.list;
    struct df_features h = {0};
    int64_t *rows = NULL;
    float *values = NULL;
    dfal_status status;
    qsort(in_pool, (size_t)n, sizeof *in_pool, compare_candidates);
    DF_TRY(df_alloc(&rows, n, sizeof *rows));
    for (int64_t i = 0; i < n; i++)
        rows[i] = df_view_rows(view)[in_pool[i].candidate];
    DF_TRY_TO(done, status, df_view_features_of_rows(view, df_view_text(view, "node"), rows, n, &values, &h));
    DF_TRY_TO(done, status, spread(view, &h, rows, q, choices));
    for (int64_t i = 0; i < choices->count; i++)
        choices->list[i] = in_pool[choices->list[i].candidate];
done:
    df_free(rows);
    df_free(values);
    return status;
}

/* ---- by pairs of classes ------------------------------------------------------------------------------- */

struct pair {
    int32_t label, adversarial_class;
    int64_t taken;
};

static int compare_pairs(const void *a_, const void *b_)
{
    const struct pair *a = a_, *b = b_;
    if (a->label != b->label)
        return a->label < b->label ? -1 : 1;
    return (a->adversarial_class > b->adversarial_class) - (a->adversarial_class < b->adversarial_class);
}

static struct pair pair_of(const struct shortlist *list, int64_t i)
{
    const int64_t candidate = list->ranked.list[i].candidate;
    return (struct pair){list->margins->label[candidate], list->margins->adversarial_class[candidate], 0};
}

/* Each pair once, ascending; their number is returned. */
static int64_t find_pairs(struct pair *pairs, const struct shortlist *list)
{
    int64_t count = 0;
    for (int64_t i = 0; i < list->ranked.count; i++)
        pairs[i] = pair_of(list, i);
    qsort(pairs, (size_t)list->ranked.count, sizeof *pairs, compare_pairs);
    for (int64_t i = 0; i < list->ranked.count; i++)
        if (!count || compare_pairs(&pairs[count - 1], &pairs[i]) != 0)
            pairs[count++] = pairs[i];
    return count;
}

static dfal_status choose_by_pairs(struct shortlist *list, int64_t q, struct df_choices *choices)
{
    const int64_t n = list->ranked.count;
    struct pair *pairs = NULL;
    int64_t left = 0;
    DF_TRY(df_alloc(&pairs, n, sizeof *pairs));
    const int64_t count = find_pairs(pairs, list), quota = count ? (q + count - 1) / count : 0;
    for (int64_t i = 0; i < n; i++) {
        const struct df_choice choice = list->ranked.list[i];
        const struct pair key = pair_of(list, i);
        struct pair *pair = bsearch(&key, pairs, (size_t)count, sizeof *pairs, compare_pairs);
        if (choices->count < q && pair->taken < quota) {
            pair->taken++;
            choices->list[choices->count++] = choice;
        } else {
            list->ranked.list[left++] = choice;
        }
    }
    for (int64_t i = 0; i < left && choices->count < q; i++)
        choices->list[choices->count++] = list->ranked.list[i];
    df_free(pairs);
    return DFAL_OK;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct shortlist list = {{0}, NULL};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, shorten(&list, view, q));
    status = strcmp(df_view_text(view, "diversify"), "classpair")
                 ? choose_by_features(&list, view, q, choices)
                 : choose_by_pairs(&list, q, choices);
    choices->nonfinite += list.ranked.nonfinite;
done:
    df_free(list.ranked.list);
    return status;
}

static const struct df_strategy_option options[] = {
    {.key = "diversify",
     .kind = DF_OPTION_CHOICE,
     .choices = "kcenter|facility|classpair",
     .standard = "kcenter",
     .help = "how the shortlist is thinned: far from the labelled and chosen rows, near to all of the "
             "shortlist, or few of each pair of label and adversarial class"},
    {.key = "rho",
     .kind = DF_OPTION_NUMBER,
     .number = {.kind = DF_NUMBER_I32, .low = 1, .high = 1000},
     .standard = "10",
     .help = "how many times longer the shortlist of smallest margins is than the queries"},
    DF_OPTION_NODE,
    {0},
};

const struct df_strategy df_strategy_dfal_diverse = {
    .name = "dfal-diverse",
    .summary = "of the smallest DeepFool margins some that differ, each with its adversarial twin",
    .asks = DF_ASKS_MARGINS | DF_ASKS_FEATURES,
    .twins = true,
    .set = true,
    .longer = "rho",
    .options = options,
    .select = choose,
};
