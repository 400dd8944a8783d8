/* SPDX-License-Identifier: Apache-2.0 */
/* Places of a file that something checked leads to, in a table by address. */
#include "store/hdf5_source.h"

#include <errno.h>

#include "base/memory.h"

/* What HDF5 reads of headers and heaps before it knows how long they are; the rest follows. */
enum { FIRST_READ = 512, LEAST_CAPACITY = 64 };

static struct df_h5_place *slot_of(struct df_h5_place *table, int64_t capacity, enum df_h5_piece piece,
                                   uint64_t address)
{
    uint64_t at = (address * 0x9e3779b97f4a7c15u ^ (uint64_t)piece) >> 20;
    for (;; at++) {
        struct df_h5_place *place = &table[at & (uint64_t)(capacity - 1)];
        if (!place->used || (place->piece == piece && place->address == address))
            return place;
    }
}

static bool grow(struct df_h5_source *source)
{
    const int64_t capacity = source->known_capacity ? 2 * source->known_capacity : LEAST_CAPACITY;
    struct df_h5_place *table;
    if (df_alloc(&table, capacity, sizeof *table) != DFAL_OK) {
        source->error = ENOMEM;
        return false;
    }
    for (int64_t i = 0; i < source->known_capacity; i++)
        if (source->known[i].used)
            *slot_of(table, capacity, source->known[i].piece, source->known[i].address) = source->known[i];
    df_free(source->known);
    source->known = table;
    source->known_capacity = capacity;
    return true;
}

bool df_h5_remember(struct df_h5_source *source, enum df_h5_piece piece, uint64_t address, uint64_t value)
{
    if (2 * source->known_count >= source->known_capacity && !grow(source))
        return false;
    struct df_h5_place *place = slot_of(source->known, source->known_capacity, piece, address);
    source->known_count += !place->used;
    *place = (struct df_h5_place){true, piece, address, value};
    return true;
}

bool df_h5_recall(const struct df_h5_source *source, enum df_h5_piece piece, uint64_t address,
                  uint64_t *value)
{
    if (!source->known_capacity)
        return false;
    const struct df_h5_place *place = slot_of(source->known, source->known_capacity, piece, address);
    *value = place->value;
    return place->used;
}

bool df_h5_leads_to(const struct df_h5_source *source, enum df_h5_piece piece, uint64_t address,
                    uint64_t size)
{
    uint64_t whole;
    if (df_h5_recall(source, piece, address, &whole))
        return size <= whole;
    return address >= FIRST_READ && df_h5_recall(source, piece, address - FIRST_READ, &whole) &&
           whole >= FIRST_READ && size <= whole - FIRST_READ;
}
