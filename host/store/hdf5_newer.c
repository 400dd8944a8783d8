/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of the newer format's arrays, in which datasets keep their chunks. HDF5 compares their checksums;
 * their numbers are what it makes tables of and counts to. */
#include "store/hdf5_newer.h"

static const uint64_t none = UINT64_MAX;

/* Elements that lie in the file, each of so many bytes. */
static bool hold(const struct df_h5_source *source, uint64_t count, uint64_t element)
{
    return element > 0 && count <= (source->size - source->base) / element;
}

/* An array that grows: blocks of elements, each twice as many as the one before in the end. HDF5 goes to the
 * largest index that was set, one by one. */
bool df_h5_check_growing_array(struct df_h5_source *source, uint64_t address, const uint8_t *bytes,
                               uint64_t size)
{
    struct df_h5_cursor c = {bytes, bytes + size, false};
    df_h5_skip(&c, 6);
    uint64_t element = df_h5_take(&c, 1), bits = df_h5_take(&c, 1), in_index = df_h5_take(&c, 1),
             in_block = df_h5_take(&c, 1), blocks = df_h5_take(&c, 1), page_bits = df_h5_take(&c, 1);
    df_h5_skip(&c, 32);
    uint64_t last = df_h5_take(&c, 8), there = df_h5_take(&c, 8), index = df_h5_take(&c, 8);
    const uint64_t most = bits >= 1 && bits < 64 ? (uint64_t)1 << bits : UINT64_MAX;
    if (c.past || bits < 1 || bits > 64 || there > most || !df_h5_is_power(in_block, 128) ||
        !df_h5_is_power(blocks, 128) || page_bits > (bits < 32 ? bits : 32) ||
        1 + bits < (uint64_t)df_h5_log(in_block) + 2 * (uint64_t)df_h5_log(blocks) ||
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
