/* SPDX-License-Identifier: Apache-2.0 */
#include "score/least.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/memory.h"

dfal_status df_least_open(struct df_least *least, int64_t limit)
{
    *least = (struct df_least){.limit = limit};
    return df_alloc(&least->rows, limit, sizeof *least->rows);
}

void df_least_close(struct df_least *least)
{
    df_free(least->rows);
    memset(least, 0, sizeof *least);
}

static int compare(const void *a, const void *b)
{
    const struct df_least_row *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

void df_least_add(struct df_least *least, double key, int64_t index)
{
    struct df_least_row *heap = least->rows;
    const struct df_least_row row = {key, index};
    if (least->count < least->limit) {
        heap[least->count++] = row;
        if (least->count == least->limit)
            df_heap_make(heap, least->limit, sizeof *heap, compare);
    } else if (least->limit > 0 && compare(&row, &heap[0]) < 0) {
        heap[0] = row;
        df_heap_sink(heap, least->limit, 0, sizeof *heap, compare);
    }
}

double df_least_limit(const struct df_least *least)
{
    return least->limit > 0 && least->count == least->limit ? least->rows[0].key : (double)INFINITY;
}

void df_least_sort(struct df_least *least)
{
    qsort(least->rows, (size_t)least->count, sizeof *least->rows, compare);
}
