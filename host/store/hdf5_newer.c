/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of the newer format's heaps, trees and arrays, in which groups keep many links, objects many attributes and datasets
 * some of their chunks. HDF5 compares their checksums; their numbers are what it makes tables of and counts to. */
#include "store/hdf5_check.h"

enum { MOST_DEPTH = 16, MOST_ROWS = 64 };
static const uint64_t none = UINT64_MAX, most_block = (uint64_t)1 << 30;

static bool power(uint64_t value, uint64_t most)
{
    return value > 0 && value <= most && (value & (value - 1)) == 0;
}

/* An address, or none where there is nothing to be found: HDF5 closes a file by removing trees that hold nothing. */
static bool leads(const struct df_h5_source *source, uint64_t address, uint64_t size, bool needed)
{
    return address == none ? !needed : needed && df_h5_inside(source, address, size);
}

/* A heap of blocks that double in size, row by row. Objects too large for it lie in the file, and a tree knows where. */
bool df_h5_check_block_heap(struct df_h5_source *source, uint64_t address, const uint8_t *bytes,
                            uint64_t size)
{
    struct df_h5_cursor c = {bytes, bytes + size, false};
    df_h5_skip(&c, 5);
    uint64_t id = df_h5_take(&c, 2), packed = df_h5_take(&c, 2);
    df_h5_skip(&c, 1);
    uint64_t most_object = df_h5_take(&c, 4);
    df_h5_skip(&c, 8);
    uint64_t large_tree = df_h5_take(&c, 8);
    df_h5_skip(&c, 8);
    uint64_t free_list = df_h5_take(&c, 8), space = df_h5_take(&c, 8), used = df_h5_take(&c, 8),
             next = df_h5_take(&c, 8), objects = df_h5_take(&c, 8), large_size = df_h5_take(&c, 8),
             large = df_h5_take(&c, 8);
    df_h5_skip(&c, 16);
    uint64_t width = df_h5_take(&c, 2), start = df_h5_take(&c, 8), most = df_h5_take(&c, 8);
    uint64_t bits = df_h5_take(&c, 2), rows = df_h5_take(&c, 2), root = df_h5_take(&c, 8),
             now = df_h5_take(&c, 2);
    const uint64_t whole = source->size - source->base;
    if (c.past || packed || id < 3 || id > 64 || !power(width, 1024) || !power(most, most_block) ||
        !power(start, most) || most_object > most || bits < 8 || bits > 64 || rows > MOST_ROWS ||
        now > MOST_ROWS || used > whole || used > space || next > space || objects > used ||
        !leads(source, root, now ? 16 : start, used > 0) || !leads(source, large_tree, 38, large > 0) ||
        large_size > whole || large > whole || (free_list != none && !df_h5_inside(source, free_list, 16)))
        return df_h5_refuse(source, "the heap at %llu is damaged", (unsigned long long)address);
    return true;
}

bool df_h5_check_block_tree(struct df_h5_source *source, uint64_t address, const uint8_t *bytes,
                            uint64_t size)
{
    struct df_h5_cursor c = {bytes, bytes + size, false};
    df_h5_skip(&c, 5);
    uint64_t kind = df_h5_take(&c, 1), node = df_h5_take(&c, 4), record = df_h5_take(&c, 2),
             depth = df_h5_take(&c, 2);
    df_h5_skip(&c, 2);
    uint64_t root = df_h5_take(&c, 8), of_root = df_h5_take(&c, 2), all = df_h5_take(&c, 8);
    const uint64_t whole = source->size - source->base;
    if (c.past || kind > 11 || node < 64 || node > most_block || record < 4 || record > node / 4 ||
        depth > MOST_DEPTH || of_root > node / record || all > whole / record ||
        (root == none ? all > 0 : !df_h5_inside(source, root, node)))
        return df_h5_refuse(source, "the tree at %llu is damaged", (unsigned long long)address);
    return true;
}

/* Elements that lie in the file, each of so many bytes. */
static bool hold(const struct df_h5_source *source, uint64_t count, uint64_t element)
{
    return element > 0 && count <= (source->size - source->base) / element;
}

/* An array that grows: blocks of elements, each twice as many as the one before in the end. HDF5 goes to the largest index
 * that was set, one by one. */
bool df_h5_check_growing_array(struct df_h5_source *source, uint64_t address, const uint8_t *bytes,
                               uint64_t size)
{
    struct df_h5_cursor c = {bytes, bytes + size, false};
    df_h5_skip(&c, 6);
    uint64_t element = df_h5_take(&c, 1), bits = df_h5_take(&c, 1), in_index = df_h5_take(&c, 1),
             in_block = df_h5_take(&c, 1), blocks = df_h5_take(&c, 1), page_bits = df_h5_take(&c, 1);
    df_h5_skip(&c, 32);
    uint64_t last = df_h5_take(&c, 8), there = df_h5_take(&c, 8), index = df_h5_take(&c, 8);
    if (c.past || bits < 1 || bits > 64 || !power(in_block, 128) || !power(blocks, 128) ||
        page_bits > (bits < 32 ? bits : 32) || (in_block >> 1) >> (bits - 1) ||
        !hold(source, there, element) || last > there || in_index > 255 ||
        (index != none && !df_h5_inside(source, index, 18)))
        return df_h5_refuse(source, "the array at %llu is damaged", (unsigned long long)address);
    return true;
}

/* An array of a fixed number of elements. */
bool df_h5_check_array(struct df_h5_source *source, uint64_t address, const uint8_t *bytes, uint64_t size)
{
    struct df_h5_cursor c = {bytes, bytes + size, false};
    df_h5_skip(&c, 6);
    uint64_t element = df_h5_take(&c, 1), page_bits = df_h5_take(&c, 1), count = df_h5_take(&c, 8),
             block = df_h5_take(&c, 8);
    if (c.past || page_bits < 1 || page_bits > 32 || element == 0 || count == 0 ||
        (block != none && (!hold(source, count, element) || !df_h5_inside(source, block, 18))))
        return df_h5_refuse(source, "the array at %llu is damaged", (unsigned long long)address);
    return true;
}
