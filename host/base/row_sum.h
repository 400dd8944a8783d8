/* SPDX-License-Identifier: Apache-2.0 */
/* What rows were: XXH3-128 of each row's bytes, seeded with its number, added modulo 2^128. So a sum depends
 * on which rows it is of and on nothing else: not on the order they came in, and the sums of two parts add up
 * to that of both. It finds rows that have changed; whoever wants two pools with one sum can make them. */
#ifndef DF_BASE_ROW_SUM_H
#define DF_BASE_ROW_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DF_ROW_SUM_NAME "xxh3-128"
struct df_row_sum {
    uint64_t high, low;
};
/* "xxh3-128:" and 32 digits. */
enum { DF_ROW_SUM_TEXT = 42 };
void df_row_sum_text(char text[DF_ROW_SUM_TEXT], struct df_row_sum sum);
static inline bool df_row_sum_same(struct df_row_sum a, struct df_row_sum b)
{
    return a.high == b.high && a.low == b.low;
}
void df_row_sum_add(struct df_row_sum *sum, struct df_row_sum other);
/* Row `number` of a pool. */
void df_row_sum_take(struct df_row_sum *sum, const void *row, size_t row_bytes, int64_t number);

#endif
