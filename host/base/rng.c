/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include <inttypes.h>
#include <stdlib.h>

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

struct card {
    uint64_t bits;
    int64_t index;
};

static int compare_cards(const void *a, const void *b)
{
    const struct card *x = a, *y = b;
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
    struct card *cards;
    DF_TRY(df_alloc(&cards, n, sizeof *cards));
    for (int64_t i = 0; i < n; i++)
        cards[i] = (struct card){bits(seed, stream, (uint32_t)salt, (uint64_t)i), i};
    qsort(cards, (size_t)n, sizeof *cards, compare_cards);
    for (int64_t i = 0; i < n; i++)
        order[i] = cards[i].index;
    df_free(cards);
    return DFAL_OK;
}
