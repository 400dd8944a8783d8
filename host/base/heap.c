/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"

#include <string.h>

void df_heap_sink(void *heap, int64_t count, int64_t at, size_t size, df_compare_fn *compare)
{
    char *base = heap, moved[DF_HEAP_ELEMENT];
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && compare(base + (size_t)child * size, base + (size_t)(child + 1) * size) < 0)
            child++;
        char *upper = base + (size_t)at * size, *lower = base + (size_t)child * size;
        if (compare(upper, lower) >= 0)
            return;
        memcpy(moved, upper, size);
        memcpy(upper, lower, size);
        memcpy(lower, moved, size);
        at = child;
    }
}

void df_heap_make(void *heap, int64_t count, size_t size, df_compare_fn *compare)
{
    for (int64_t at = count / 2; at-- > 0;)
        df_heap_sink(heap, count, at, size, compare);
}
