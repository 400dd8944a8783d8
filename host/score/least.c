/* SPDX-License-Identifier: Apache-2.0 */
#include "score/least.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/memory.h"
#include "comm/comm.h"

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

void df_least_sort(struct df_least *least)
{
    qsort(least->rows, (size_t)least->count, sizeof *least->rows, compare);
}

/* ---- Of several ranks --------------------------------------------------------------------------------- */

/* A row's key and index as bytes, from the one that decides first: the bits of keys that are 0 or more ascend
 * as they do. */
enum { KEY_BYTES = 8, BYTES = KEY_BYTES + 8, VALUES = 256 };

static int byte_of(const struct df_least_row *row, int place)
{
    const double key = row->key + 0.0; /* -0 becomes 0 */
    uint64_t bits;
    memcpy(&bits, &key, sizeof bits);
    if (place >= KEY_BYTES)
        bits = (uint64_t)row->index;
    return (int)(bits >> 8 * (7 - place % 8) & (VALUES - 1));
}

/* Sorted rows, of which [0, begin) are among the smallest, and [begin, end) share the bytes that were looked
 * at with the last of these. `left` of such rows of all ranks are among them. */
struct search {
    struct df_comm *comm;
    const struct df_least_row *rows;
    int64_t begin, end;
    double left;
};

static dfal_status sum(struct df_comm *comm, double *values, int64_t count)
{
    return comm ? df_comm_sum(comm, values, count) : DFAL_OK;
}

/* The next byte of the last one. *whole: all rows with these bytes are among the smallest. */
static dfal_status look_at_byte(struct search *search, int place, int *byte, bool *whole)
{
    double own[VALUES] = {0}, all[VALUES];
    int value = 0;
    for (int64_t i = search->begin; i < search->end; i++)
        own[byte_of(&search->rows[i], place)]++;
    memcpy(all, own, sizeof all);
    DF_TRY(sum(search->comm, all, VALUES));
    for (; all[value] < search->left; value++) {
        search->left -= all[value];
        search->begin += (int64_t)own[value];
    }
    search->end = search->begin + (int64_t)own[value];
    *whole = all[value] == search->left;
    *byte = value;
    return DFAL_OK;
}

/* Returns through *kept how many rows are among the smallest of all ranks, which have so many or more. */
static dfal_status find_last(struct search *search, int64_t *kept, double *last)
{
    uint64_t bits = 0;
    bool whole = false;
    for (int place = 0; place < KEY_BYTES || (place < BYTES && !whole); place++) {
        int byte;
        DF_TRY(look_at_byte(search, place, &byte, &whole));
        if (place < KEY_BYTES)
            bits = bits << 8 | (uint64_t)byte;
    }
    memcpy(last, &bits, sizeof bits);
    *kept = search->end;
    return DFAL_OK;
}

dfal_status df_least_agree(struct df_least *least, struct df_comm *comm, int64_t limit, double *last)
{
    struct search search = {comm, least->rows, 0, least->count, (double)limit};
    double count = (double)least->count;
    *last = (double)INFINITY;
    DF_TRY(sum(comm, &count, 1));
    if (limit == 0 || count < (double)limit)
        return DFAL_OK;
    df_least_sort(least);
    const dfal_status status = find_last(&search, &least->count, last);
    if (least->count == least->limit)
        df_heap_make(least->rows, least->limit, sizeof *least->rows, compare);
    return status;
}
