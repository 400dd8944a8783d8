/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of the newer format's heaps and trees, in which groups keep many links, objects many attributes and datasets some
 * of their chunks. HDF5 compares their checksums; their numbers are what it makes tables of. */
#include "store/hdf5_check.h"

enum { MOST_DEPTH = 16, MOST_ROWS = 64 };
static const uint64_t none = UINT64_MAX, most_block = (uint64_t)1 << 30;

static bool power(uint64_t value, uint64_t most)
{
    return value > 0 && value <= most && (value & (value - 1)) == 0;
}

/* A heap of blocks that double in size, row by row. */
bool df_h5_check_block_heap(struct df_h5_source *source, uint64_t address, struct df_h5_cursor c)
{
    df_h5_skip(&c, 5);
    uint64_t id = df_h5_take(&c, 2), packed = df_h5_take(&c, 2);
    df_h5_skip(&c, 1);
    uint64_t most_object = df_h5_take(&c, 4);
    df_h5_skip(&c, 96);
    uint64_t width = df_h5_take(&c, 2), start = df_h5_take(&c, 8), most = df_h5_take(&c, 8);
    uint64_t bits = df_h5_take(&c, 2), rows = df_h5_take(&c, 2), root = df_h5_take(&c, 8),
             now = df_h5_take(&c, 2);
    if (c.past || packed || id < 3 || id > 64 || !power(width, 1024) || !power(most, most_block) ||
        !power(start, most) || most_object > most || bits < 8 || bits > 64 || rows > MOST_ROWS ||
        now > MOST_ROWS || (root != none && !df_h5_inside(source, root, now ? 16 : start)))
        return df_h5_refuse(source, "the heap at %llu is damaged", (unsigned long long)address);
    return true;
}

bool df_h5_check_block_tree(struct df_h5_source *source, uint64_t address, struct df_h5_cursor c)
{
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
