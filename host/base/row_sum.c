/* SPDX-License-Identifier: Apache-2.0 */
#include "base/row_sum.h"

#include <inttypes.h>
#include <stdio.h>

/* Inlined, it uses the vectors that dfal is compiled for: the distribution's library has those of the oldest
 * x86-64. */
#define XXH_INLINE_ALL
#include <xxhash.h>

void df_row_sum_text(char text[DF_ROW_SUM_TEXT], struct df_row_sum sum)
{
    snprintf(text, DF_ROW_SUM_TEXT, DF_ROW_SUM_NAME ":%016" PRIx64 "%016" PRIx64, sum.high, sum.low);
}

void df_row_sum_add(struct df_row_sum *sum, struct df_row_sum other)
{
    sum->low += other.low;
    sum->high += other.high + (sum->low < other.low);
}

void df_row_sum_take(struct df_row_sum *sum, const void *row, size_t row_bytes, int64_t number)
{
    const XXH128_hash_t hash = XXH3_128bits_withSeed(row, row_bytes, (XXH64_hash_t)number);
    df_row_sum_add(sum, (struct df_row_sum){.high = hash.high64, .low = hash.low64});
}
