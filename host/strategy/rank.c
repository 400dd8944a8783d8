/* SPDX-License-Identifier: Apache-2.0 */
/* The first q of many candidates: a heap of q with the worst on top, so that memory does not grow with the
 * pool. */
#include <math.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/memory.h"
#include "base/rng.h"
#include "strategy/rank.h"
#include "strategy/view.h"

struct ranked {
    struct df_rank_key key;
    uint64_t tie;
    int64_t row, candidate;
};

static int compare_keys(const struct df_rank_key *a, const struct df_rank_key *b)
{
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    return (a->score > b->score) - (a->score < b->score);
}

_Static_assert(sizeof(struct ranked) <= DF_HEAP_ELEMENT, "it fits into a heap");

static int compare(const void *a_, const void *b_)
{
    const struct ranked *a = a_, *b = b_;
    int by_key = compare_keys(&a->key, &b->key);
    if (by_key)
        return by_key;
    if (a->tie != b->tie)
        return a->tie < b->tie ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

dfal_status df_rank_by_key(const struct df_view *view, df_rank_key_fn *key, const void *user, int64_t q,
                           struct df_choices *choices)
{
    const int64_t count = df_view_count(view), capacity = q < count ? q : count, *rows = df_view_rows(view);
    const uint64_t seed = df_view_seed(view);
    struct ranked *heap = NULL;
    int64_t n = 0;
    choices->count = choices->nonfinite = 0;
    DF_TRY(df_alloc(&heap, capacity, sizeof *heap));
    for (int64_t i = 0; i < count; i++) {
        struct ranked one = {.row = rows[i], .candidate = i};
        if (!key(user, i, &one.key))
            continue;
        if (isnan(one.key.score)) {
            choices->nonfinite++;
            continue;
        }
        if (!capacity || (n == capacity && compare_keys(&one.key, &heap[0].key) > 0))
            continue;
        one.tie = df_tie(seed, one.row);
        if (n < capacity) {
            heap[n++] = one;
            if (n == capacity)
                df_heap_make(heap, n, sizeof *heap, compare);
        } else if (compare(&one, &heap[0]) < 0) {
            heap[0] = one;
            df_heap_sink(heap, n, 0, sizeof *heap, compare);
        }
    }
    qsort(heap, (size_t)n, sizeof *heap, compare);
    for (int64_t i = 0; i < n; i++)
        choices->list[i] = (struct df_choice){.candidate = heap[i].candidate, .score = heap[i].key.score};
    choices->count = n;
    df_free(heap);
    return DFAL_OK;
}

struct scored {
    const double *scores;
    const int64_t *rows;
    enum df_rank_first first;
    struct df_power power;
};

static bool key_of(const void *user, int64_t i, struct df_rank_key *key)
{
    const struct scored *scored = user;
    key->score = df_power_key(&scored->power, scored->scores[i], scored->first, scored->rows[i]);
    return true;
}

dfal_status df_rank_by_score(const struct df_view *view, const double *scores, enum df_rank_first first,
                             int64_t q, struct df_choices *choices)
{
    const struct scored scored = {scores, df_view_rows(view), first, df_power_of(view)};
    DF_TRY(df_rank_by_key(view, key_of, &scored, q, choices));
    for (int64_t i = 0; i < choices->count; i++)
        choices->list[i].score = scores[choices->list[i].candidate];
    return DFAL_OK;
}
