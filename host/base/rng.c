/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/memory.h"
#include "philox.h"

static uint64_t bits(uint64_t seed, enum df_stream stream, uint32_t salt, uint64_t index)
{
    uint32_t words[4];
    df_philox(words, seed, (uint32_t)stream, salt, index);
    return (uint64_t)words[1] << 32 | words[0];
}

uint64_t df_random_bits(uint64_t seed, enum df_stream stream, uint64_t index)
{
    return bits(seed, stream, 0, index);
}

double df_random_uniform(uint64_t seed, enum df_stream stream, uint64_t index)
{
    return (double)(bits(seed, stream, 0, index) >> 11) * 0x1p-53;
}

uint64_t df_random_child(uint64_t seed, enum df_stream stream, uint64_t index)
{
    return bits(seed, stream, 0, index);
}

struct df_card {
    uint64_t bits;
    int64_t index;
};

static int compare_cards(const void *a, const void *b)
{
    const struct df_card *x = a, *y = b;
    if (x->bits != y->bits)
        return x->bits < y->bits ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

dfal_status df_random_permutation(int64_t *order, int64_t n, uint64_t seed, enum df_stream stream,
                                  uint64_t salt)
{
    if (n < 0 || salt > UINT32_MAX)
        DF_FAIL(DFAL_E_INTERNAL,
                "cannot permute %" PRId64 " numbers with salt %" PRIu64
                ": expected a count >= 0 and a salt below 2^32",
                n, salt);
    struct df_card *cards;
    DF_TRY(df_alloc(&cards, n, sizeof *cards));
    for (int64_t i = 0; i < n; i++)
        cards[i] = (struct df_card){bits(seed, stream, (uint32_t)salt, (uint64_t)i), i};
    qsort(cards, (size_t)n, sizeof *cards, compare_cards);
    for (int64_t i = 0; i < n; i++)
        order[i] = cards[i].index;
    df_free(cards);
    return DFAL_OK;
}

dfal_status df_draw_open(struct df_draw *draw, int64_t limit, uint64_t seed, enum df_stream stream)
{
    *draw = (struct df_draw){.seed = seed, .stream = stream, .limit = limit};
    return df_alloc(&draw->cards, limit, sizeof *draw->cards);
}

void df_draw_add(struct df_draw *draw, int64_t index)
{
    const struct df_card card = {bits(draw->seed, draw->stream, 0, (uint64_t)index), index};
    if (draw->count < draw->limit) {
        draw->cards[draw->count++] = card;
        if (draw->count == draw->limit)
            df_heap_make(draw->cards, draw->count, sizeof card, compare_cards);
    } else if (draw->limit > 0 && compare_cards(&card, draw->cards) < 0) {
        draw->cards[0] = card;
        df_heap_sink(draw->cards, draw->count, 0, sizeof card, compare_cards);
    }
}

void df_draw_take(struct df_draw *draw, int64_t *order)
{
    qsort(draw->cards, (size_t)draw->count, sizeof *draw->cards, compare_cards);
    for (int64_t i = 0; i < draw->count; i++)
        order[i] = draw->cards[i].index;
    df_draw_close(draw);
}

void df_draw_close(struct df_draw *draw)
{
    df_free(draw->cards);
    draw->cards = NULL;
}
