/* SPDX-License-Identifier: Apache-2.0 */
/* The first q of many candidates: a heap of q with the worst on top, so that memory does not grow with the pool. */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/rng.h"
#include "strategy/strategy.h"

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

static void sink(struct ranked *heap, int64_t n, int64_t at)
{
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= n)
            return;
        if (child + 1 < n && compare(&heap[child], &heap[child + 1]) < 0)
            child++;
        if (compare(&heap[at], &heap[child]) >= 0)
            return;
        struct ranked moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

dfal_status df_rank_by_key(df_rank_key_fn *key, const struct df_candidates *candidates, int64_t q,
                           struct df_choice *choices, int64_t *chosen)
{
    int64_t room = q < candidates->count ? q : candidates->count, n = 0;
    struct ranked *heap = NULL;
    *chosen = 0;
    DF_TRY(df_alloc(&heap, room, sizeof *heap));
    for (int64_t i = 0; i < candidates->count && room > 0; i++) {
        struct ranked one = {.row = candidates->index[i], .candidate = i};
        if (!key(candidates, i, &one.key) || isnan(one.key.score))
            continue;
        if (n == room && compare_keys(&one.key, &heap[0].key) > 0)
            continue;
        one.tie = df_random_bits(candidates->seed, DF_STREAM_TIES, (uint64_t)one.row);
        if (n < room) {
            heap[n++] = one;
            for (int64_t at = n / 2; n == room && at-- > 0;)
                sink(heap, n, at);
        } else if (compare(&one, &heap[0]) < 0) {
            heap[0] = one;
            sink(heap, n, 0);
        }
    }
    qsort(heap, (size_t)n, sizeof *heap, compare);
    for (int64_t i = 0; i < n; i++)
        choices[i] = (struct df_choice){.candidate = heap[i].candidate, .score = heap[i].key.score};
    *chosen = n;
    df_free(heap);
    return DFAL_OK;
}

static bool smallest(const struct df_candidates *candidates, int64_t i, struct df_rank_key *key)
{
    key->score = candidates->row_score[i];
    return true;
}

static bool largest(const struct df_candidates *candidates, int64_t i, struct df_rank_key *key)
{
    key->score = -candidates->row_score[i];
    return true;
}

dfal_status df_rank_smallest(const struct df_candidates *candidates, int64_t q, struct df_choice *choices,
                             int64_t *chosen)
{
    return df_rank_by_key(smallest, candidates, q, choices, chosen);
}

dfal_status df_rank_largest(const struct df_candidates *candidates, int64_t q, struct df_choice *choices,
                            int64_t *chosen)
{
    DF_TRY(df_rank_by_key(largest, candidates, q, choices, chosen));
    for (int64_t i = 0; i < *chosen; i++)
        choices[i].score = candidates->row_score[choices[i].candidate];
    return DFAL_OK;
}
