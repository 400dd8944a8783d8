/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of an object that has many: they lie in a heap of blocks that double in size, row by row, and a
 * tree names them. */
#include "store/hdf5_newer.h"

#include <string.h>

#include "base/memory.h"

enum { HEAD = 146, BLOCK_HEAD = 13, MANAGED = 0, LARGE = 1 };
static const uint64_t none = UINT64_MAX, most_block = (uint64_t)1 << 30;

struct heap {
    struct df_h5_source *source;
    uint64_t address, id_bytes, most_object, large_tree, free_list, space, used, next, objects, large_size,
        large;
    uint64_t width, start, most, bits, rows_at_start, root, rows;
    int offset_bytes, length_bytes;
    df_h5_message_fn *check;
    void *user;
    uint64_t kind;   /* of the tree that is walked */
    uint64_t walked; /* bytes of its messages */
};

static bool damaged(const struct heap *heap)
{
    return df_h5_refuse(heap->source, "the heap at %llu is damaged", (unsigned long long)heap->address);
}

/* An address, or none where there is nothing to be found: HDF5 closes a file by removing trees that hold
 * nothing. */
static bool leads(const struct heap *heap, uint64_t address, uint64_t size, bool needed)
{
    return address == none ? !needed : needed && df_h5_inside(heap->source, address, size);
}

/* HDF5 subtracts these from each other without a sign. */
static bool fits_rows(const struct heap *heap)
{
    const uint64_t first = (uint64_t)df_h5_log(heap->start) + (uint64_t)df_h5_log(heap->width);
    const uint64_t most = first <= heap->bits ? heap->bits - first + 1 : 0;
    return (uint64_t)df_h5_log(heap->most) <= heap->bits && heap->rows <= most && heap->rows_at_start <= most;
}

static bool is_sound(const struct heap *heap)
{
    const uint64_t whole = heap->source->size - heap->source->base;
    return heap->id_bytes >= 3 && heap->id_bytes <= 64 && df_h5_is_power(heap->width, 1024) &&
           df_h5_is_power(heap->most, most_block) && df_h5_is_power(heap->start, heap->most) &&
           heap->most_object <= heap->most && heap->bits >= 8 && heap->bits <= 64 && fits_rows(heap) &&
           heap->used <= whole && heap->used <= heap->space && heap->next <= heap->space &&
           heap->objects <= heap->used && heap->large <= whole && heap->large_size <= whole &&
           leads(heap, heap->root, heap->rows ? 16 : heap->start, heap->used > 0) &&
           leads(heap, heap->large_tree, 38, heap->large > 0) &&
           (heap->free_list == none || df_h5_inside(heap->source, heap->free_list, 16));
}

static bool open_heap(struct heap *heap)
{
    uint8_t *bytes;
    if (!df_h5_fetch(heap->source, heap->address, HEAD, &bytes))
        return false;
    struct df_h5_cursor c = {bytes, bytes + HEAD, false};
    bool ok = memcmp(bytes, "FRHP", 4) == 0;
    df_h5_skip(&c, 5);
    heap->id_bytes = df_h5_take(&c, 2);
    ok = ok && df_h5_take(&c, 2) == 0; /* not packed */
    df_h5_skip(&c, 1);
    heap->most_object = df_h5_take(&c, 4);
    df_h5_skip(&c, 8);
    heap->large_tree = df_h5_take(&c, 8);
    df_h5_skip(&c, 8);
    heap->free_list = df_h5_take(&c, 8);
    heap->space = df_h5_take(&c, 8);
    heap->used = df_h5_take(&c, 8);
    heap->next = df_h5_take(&c, 8);
    heap->objects = df_h5_take(&c, 8);
    heap->large_size = df_h5_take(&c, 8);
    heap->large = df_h5_take(&c, 8);
    df_h5_skip(&c, 16);
    heap->width = df_h5_take(&c, 2);
    heap->start = df_h5_take(&c, 8);
    heap->most = df_h5_take(&c, 8);
    heap->bits = df_h5_take(&c, 2);
    heap->rows_at_start = df_h5_take(&c, 2);
    heap->root = df_h5_take(&c, 8);
    heap->rows = df_h5_take(&c, 2);
    df_free(bytes);
    if (!ok || !is_sound(heap))
        return damaged(heap);
    heap->offset_bytes = (int)(heap->bits + 7) / 8;
    const int block = df_h5_bytes_for(heap->most), object = df_h5_bytes_for(heap->most_object);
    heap->length_bytes = block < object ? block : object;
    return true;
}

bool df_h5_check_block_heap(struct df_h5_source *source, uint64_t address, const uint8_t *bytes,
                            uint64_t size)
{
    (void)bytes, (void)size;
    struct heap heap = {.source = source, .address = address};
    return open_heap(&heap);
}

/* HDF5 subtracts from an object's place where its block says that it begins. */
static bool check_block(const struct heap *heap, uint64_t block, const char *name, uint64_t begin)
{
    uint8_t *bytes;
    const uint64_t size = BLOCK_HEAD + (uint64_t)heap->offset_bytes;
    if (!df_h5_fetch(heap->source, block, size, &bytes))
        return false;
    struct df_h5_cursor c = {bytes, bytes + size, false};
    bool ok = memcmp(bytes, name, 4) == 0;
    df_h5_skip(&c, 5);
    ok = ok && df_h5_take(&c, 8) == heap->address;
    ok = ok && df_h5_take(&c, heap->offset_bytes) == begin;
    df_free(bytes);
    return ok || damaged(heap);
}

/* One of the addresses in a block of pointers. */
static bool follow(const struct heap *heap, uint64_t *block, uint64_t entry)
{
    uint8_t *pointer;
    if (!df_h5_fetch(heap->source, *block + BLOCK_HEAD + (uint64_t)heap->offset_bytes + 8 * entry, 8,
                     &pointer))
        return false;
    struct df_h5_cursor c = {pointer, pointer + 8, false};
    *block = df_h5_take(&c, 8);
    df_free(pointer);
    return true;
}

/* The place of the heap's byte `offset` in the file, and how many of its block follow. A block of pointers
 * has rows of `width` blocks: one of the start's size, one more of it, then twice the one before. Those too
 * large are again blocks of pointers. */
static bool place_of(const struct heap *heap, uint64_t offset, uint64_t *address, uint64_t *left)
{
    uint64_t block = heap->root, rows = heap->rows, size = heap->start, begin = 0;
    const int first = df_h5_log(heap->start) + df_h5_log(heap->width);
    while (rows > 0) {
        const uint64_t within = offset - begin;
        const int row = within >> first ? df_h5_log(within >> first) + 1 : 0;
        const uint64_t row_begin = row ? (uint64_t)1 << (first + row - 1) : 0;
        if ((uint64_t)row >= rows)
            return damaged(heap);
        if (!check_block(heap, block, "FHIB", begin))
            return false;
        size = row ? heap->start << (row - 1) : heap->start;
        const uint64_t column = (within - row_begin) / size;
        if (!follow(heap, &block, (uint64_t)row * heap->width + column))
            return false;
        begin += row_begin + column * size;
        rows = size <= heap->most ? 0 : (uint64_t)(df_h5_log(size) - first + 1);
    }
    if (offset - begin >= size || !df_h5_inside(heap->source, block, size))
        return damaged(heap);
    *address = block + (offset - begin);
    *left = size - (offset - begin);
    return check_block(heap, block, "FHDB", begin);
}

static bool check_message(const struct heap *heap, uint64_t address, uint64_t size)
{
    uint8_t *bytes;
    if (!df_h5_fetch(heap->source, address, size, &bytes))
        return false;
    struct df_h5_cursor message = {bytes, bytes + size, false};
    bool ok = heap->check(heap->user, &message);
    if (ok && message.past)
        ok = df_h5_refuse(heap->source, "a message of the heap at %llu is cut off",
                          (unsigned long long)heap->address);
    df_free(bytes);
    return ok;
}

/* A record's heap id: a byte of flags, then offset and length. */
static bool check_record(void *user, const uint8_t *record)
{
    static const int id_at[] = {[DF_H5_LINK_NAMES] = 4,
                                [DF_H5_LINK_ORDER] = 8,
                                [DF_H5_ATTRIBUTE_NAMES] = 0,
                                [DF_H5_ATTRIBUTE_ORDER] = 0};
    struct heap *heap = user;
    struct df_h5_cursor c = {record + id_at[heap->kind], record + id_at[heap->kind] + heap->id_bytes, false};
    const uint64_t flags = df_h5_take(&c, 1);
    if (flags == LARGE << 4)
        return true; /* checked through the tree of large ones */
    uint64_t offset = df_h5_take(&c, heap->offset_bytes), length = df_h5_take(&c, heap->length_bytes),
             address = 0, left = 0;
    const bool shared = heap->kind >= DF_H5_ATTRIBUTE_NAMES && record[heap->id_bytes] & 2;
    if (flags != MANAGED << 4 || c.past || shared || length == 0 || offset >= heap->space)
        return damaged(heap);
    heap->walked += length; /* no two are the same bytes */
    if (heap->walked > heap->space)
        return damaged(heap);
    if (!place_of(heap, offset, &address, &left))
        return false;
    return length <= left ? check_message(heap, address, length) : damaged(heap);
}

static bool check_large(void *user, const uint8_t *record)
{
    struct heap *heap = user;
    struct df_h5_cursor c = {record, record + 16, false};
    const uint64_t address = df_h5_take(&c, 8), length = df_h5_take(&c, 8);
    heap->walked += length;
    if (length > heap->large_size || heap->walked > heap->large_size)
        return damaged(heap);
    return check_message(heap, address, length);
}

bool df_h5_dense_walk(struct df_h5_source *source, uint64_t heap_address, uint64_t tree, uint64_t kind,
                      df_h5_message_fn *check, void *user)
{
    static const uint64_t record_bytes[] = {[DF_H5_LINK_NAMES] = 11,
                                            [DF_H5_LINK_ORDER] = 15,
                                            [DF_H5_ATTRIBUTE_NAMES] = 17,
                                            [DF_H5_ATTRIBUTE_ORDER] = 13};
    struct heap heap = {
        .source = source, .address = heap_address, .check = check, .user = user, .kind = kind};
    if (!open_heap(&heap))
        return false;
    if (heap.id_bytes != (kind >= DF_H5_ATTRIBUTE_NAMES ? 8 : 7))
        return damaged(&heap);
    if (heap.large > 0 &&
        !df_h5_tree_walk(source, heap.large_tree, DF_H5_LARGE_OBJECTS, 24, check_large, &heap))
        return false;
    heap.walked = 0;
    return df_h5_tree_walk(source, tree, kind, record_bytes[kind], check_record, &heap);
}
