/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/strategy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"

const struct df_strategy *const df_strategies[] = {&df_strategy_dfal, &df_strategy_random, NULL};

const char *const df_strategy_known[] = {
    "random", "entropy",  "least-confidence", "margin",  "logit-gap", "bald",  "batchbald", "ceal",
    "egl",    "egl-last", "coreset-greedy",   "coreset", "qbdc",      "badge", "dfal",      "dfal-diverse",
    NULL,
};

int32_t df_strategy_known_index(const char *name)
{
    for (int32_t i = 0; df_strategy_known[i]; i++)
        if (!strcmp(df_strategy_known[i], name))
            return i;
    return -1;
}

dfal_status df_strategy_find(const struct df_strategy **out, const char *name)
{
    *out = NULL;
    for (int i = 0; df_strategies[i]; i++) {
        if (!strcmp(df_strategies[i]->name, name)) {
            *out = df_strategies[i];
            return DFAL_OK;
        }
    }
    if (df_strategy_known_index(name) >= 0)
        DF_FAIL(DFAL_E_UNAVAILABLE, "strategy '%s' is not in this version, expected dfal or random", name);
    size_t count = 0;
    while (df_strategy_known[count])
        count++;
    const char *near = df_nearest(name, df_strategy_known, count);
    if (near)
        DF_FAIL(DFAL_E_USAGE, "unknown strategy '%s', did you mean '%s'?", name, near);
    DF_FAIL(DFAL_E_USAGE, "unknown strategy '%s', expected dfal or random", name);
}

struct ranked {
    double score;
    uint64_t tie;
    int64_t row, candidate;
};

static int compare(const void *a_, const void *b_)
{
    const struct ranked *a = a_, *b = b_;
    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    if (a->tie != b->tie)
        return a->tie < b->tie ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

dfal_status df_rank_by_score(const double *score, bool descending, const struct df_candidates *candidates,
                             int64_t q, struct df_choice *choices, int64_t *chosen)
{
    int64_t n = 0;
    struct ranked *ranked = NULL;
    *chosen = 0;
    DF_TRY(df_alloc(&ranked, candidates->count, sizeof *ranked));
    for (int64_t i = 0; i < candidates->count; i++) {
        if (isnan(score[i]))
            continue;
        ranked[n++] = (struct ranked){
            .score = descending ? -score[i] : score[i],
            .tie = df_random_bits(candidates->seed, DF_STREAM_TIES, (uint64_t)candidates->index[i]),
            .row = candidates->index[i],
            .candidate = i,
        };
    }
    qsort(ranked, (size_t)n, sizeof *ranked, compare);
    *chosen = n < q ? n : q;
    for (int64_t i = 0; i < *chosen; i++)
        choices[i] =
            (struct df_choice){.candidate = ranked[i].candidate, .score = score[ranked[i].candidate]};
    df_free(ranked);
    return DFAL_OK;
}

void dfal_strategies(dfal_fact_fn *fact, void *user)
{
    for (int i = 0; df_strategies[i]; i++) {
        struct dfal_field field = {
            .key = df_strategies[i]->name, .kind = DFAL_FIELD_TEXT, .text = df_strategies[i]->summary};
        fact(user, &field);
    }
}
