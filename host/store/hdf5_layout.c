/* SPDX-License-Identifier: Apache-2.0 */
/* How a dataset is stored: in its header, in one piece, in chunks; through which filters, and what fills the
 * rest. */
#include "store/hdf5_header.h"

#include <string.h>

#include "base/memory.h"
#include "store/hdf5_newer.h"

enum { MOST_FILTERS = 32, MOST_VALUES = 4096, MOST_SIDES = 33 };
enum { FIXED_ARRAY = 3, GROWING_ARRAY = 4, TREE_INDEX = 5 };
static const uint64_t none = UINT64_MAX, chunk_limit = UINT32_MAX;

static bool check_sides(struct df_h5_header *header, struct df_h5_cursor *c, uint64_t sides, int bytes)
{
    uint64_t size = 1;
    header->sides = sides;
    if (sides < 2 || sides > MOST_SIDES || bytes < 1 || bytes > 8)
        return df_h5_header_refuse(header, "a chunk of an unknown shape");
    for (uint64_t i = 0; i < sides; i++) {
        header->element = df_h5_take(c, bytes);
        size = df_h5_times(size, header->element);
    }
    header->chunk = size;
    return (size > 0 && size <= chunk_limit) ||
           df_h5_header_refuse(header, "a chunk larger than 4 GiB, or of no size");
}

static bool check_extent(struct df_h5_header *header, uint64_t address, uint64_t size)
{
    return address == none || df_h5_inside(header->source, address, size) ||
           df_h5_header_refuse(header, "its bytes lie beyond the file's end");
}

static bool check_old_layout(struct df_h5_header *header, struct df_h5_cursor *c)
{
    uint64_t sides = df_h5_take(c, 1);
    header->layout = df_h5_take(c, 1);
    df_h5_skip(c, 5);
    if (sides < 1 || sides > MOST_SIDES || header->layout > DF_H5_CHUNKED)
        return df_h5_header_refuse(header, "a layout of an unknown kind");
    if (header->layout != DF_H5_COMPACT && !df_h5_header_leads(header, df_h5_take(c, 8)))
        return false;
    if (header->layout == DF_H5_CHUNKED)
        return check_sides(header, c, sides, 4);
    df_h5_skip(c, 4 * sides);
    if (header->layout == DF_H5_COMPACT) {
        header->stored = df_h5_take(c, 4);
        df_h5_skip(c, header->stored);
    }
    return true;
}

/* The chunk indices of HDF5 1.10. */
static bool check_index(struct df_h5_header *header, struct df_h5_cursor *c)
{
    static const uint8_t least[6] = {0, 0, 0, 1, 5, 0}; /* bytes of parameters that may not be 0 */
    uint64_t flags = df_h5_take(c, 1), sides = df_h5_take(c, 1), bytes = df_h5_take(c, 1);
    if (flags > 3)
        return df_h5_header_refuse(header, "a layout of an unknown kind");
    if (!check_sides(header, c, sides, (int)(bytes > 8 ? 0 : bytes)))
        return false;
    uint64_t kind = df_h5_take(c, 1);
    if (kind < 1 || kind > 5)
        return df_h5_header_refuse(header, "a chunk index of an unknown kind");
    if (kind == 1 && flags & 2) /* a single chunk, packed: its size and mask */
        df_h5_skip(c, 12);
    else if (kind == 5)
        df_h5_skip(c, 6);
    for (int i = 0; i < least[kind]; i++) {
        uint64_t value = df_h5_take(c, 1);
        if (value < 1 || value > 64)
            return df_h5_header_refuse(header, "a chunk index of an unknown kind");
    }
    header->index_kind = kind;
    header->index = df_h5_take(c, 8);
    return df_h5_header_leads(header, header->index);
}

bool df_h5_check_layout(struct df_h5_header *header, struct df_h5_cursor *c)
{
    uint64_t version = df_h5_take(c, 1);
    if (version < 1 || version > 4)
        return df_h5_header_refuse(header, "a layout of an unknown version");
    if (version < 3)
        return check_old_layout(header, c);
    header->layout = df_h5_take(c, 1);
    if (header->layout == DF_H5_COMPACT) {
        header->stored = df_h5_take(c, 2);
        df_h5_skip(c, header->stored);
        return true;
    }
    if (header->layout == DF_H5_CONTIGUOUS) {
        uint64_t address = df_h5_take(c, 8);
        return check_extent(header, address, df_h5_take(c, 8));
    }
    if (header->layout == DF_H5_VIRTUAL)
        return df_h5_header_refuse(header, "a virtual dataset, expected its bytes in the file");
    if (header->layout != DF_H5_CHUNKED)
        return df_h5_header_refuse(header, "a layout of an unknown kind");
    if (version == 4)
        return check_index(header, c);
    uint64_t sides = df_h5_take(c, 1);
    return df_h5_header_leads(header, df_h5_take(c, 8)) && check_sides(header, c, sides, 4);
}

bool df_h5_check_filters(struct df_h5_header *header, struct df_h5_cursor *c)
{
    uint64_t version = df_h5_take(c, 1), count = df_h5_take(c, 1);
    if (version < 1 || version > 2 || count > MOST_FILTERS)
        return df_h5_header_refuse(header, "filters of an unknown kind");
    header->packed = header->packed || count > 0;
    if (version == 1)
        df_h5_skip(c, 6);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t id = df_h5_take(c, 2), name = version == 1 || id >= 256 ? df_h5_take(c, 2) : 0;
        df_h5_skip(c, 2);
        uint64_t values = df_h5_take(c, 2);
        if (values > MOST_VALUES || name > df_h5_left(c) || (name && !memchr(c->at, 0, name)))
            return df_h5_header_refuse(header, "a filter is damaged");
        df_h5_skip(c, version == 1 ? df_h5_in_eights(name) : name);
        df_h5_skip(c, 4 * (version == 1 ? values + values % 2 : values));
    }
    return true;
}

bool df_h5_check_fill(struct df_h5_header *header, struct df_h5_cursor *c, bool old)
{
    bool there = true;
    uint64_t version = old ? 0 : df_h5_take(c, 1), size = 0;
    if (!old && (version < 1 || version > 3))
        return df_h5_header_refuse(header, "a fill value of an unknown kind");
    if (version == 1 || version == 2) {
        df_h5_skip(c, 2);
        there = df_h5_take(c, 1) != 0 || version == 1;
    } else if (version == 3) {
        there = df_h5_take(c, 1) & 32;
    }
    if (there)
        size = df_h5_take(c, 4);
    size = !old && version < 3 && size > INT32_MAX ? 0 : size; /* -1: none */
    if (header->fill[!old].there)
        return df_h5_header_refuse(header, "two fill values");
    header->fill[!old] = (struct fill){true, size, c->at};
    df_h5_skip(c, size);
    return true;
}

bool df_h5_check_external(struct df_h5_header *header, struct df_h5_cursor *c)
{
    df_h5_skip(c, 4);
    uint64_t room = df_h5_take(c, 2), used = df_h5_take(c, 2), heap = df_h5_take(c, 8);
    if (used > room || !df_h5_header_leads(header, heap))
        return df_h5_header_refuse(header, "a list of files is damaged");
    df_h5_skip(c, 24 * used);
    return true;
}

bool df_h5_check_entries(struct df_h5_header *header)
{
    const uint64_t packed_bytes = header->packed ? 4 + (uint64_t)df_h5_bytes_for(header->chunk << 8) : 0;
    const uint64_t sides = header->index_kind == TREE_INDEX ? header->sides - 1 : 0;
    const uint64_t least = 8 + packed_bytes + 8 * sides;
    uint8_t *head;
    if (header->index_kind < FIXED_ARRAY || header->index == none)
        return true;
    if (header->index_kind == TREE_INDEX)
        return df_h5_tree_walk(header->source, header->index,
                               header->packed ? DF_H5_PACKED_CHUNKS : DF_H5_CHUNKS, least, NULL, NULL);
    if (!df_h5_fetch(header->source, header->index, 8, &head))
        return false;
    const bool fits = head[5] == header->packed && head[6] >= least;
    df_free(head);
    return fits || df_h5_header_refuse(header, "an index whose entries are shorter than a chunk's");
}
