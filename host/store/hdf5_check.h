/* SPDX-License-Identifier: Apache-2.0 */
/* What HDF5 is about to parse, looked at first. HDF5 1.10 believes nearly every size, count and address in a
 * file: one changed byte lets it read past a buffer, take gigabytes or go round for ever. dfal's file driver
 * sees each piece of metadata when HDF5 asks for it, and refuses what does not hold together. Raw samples are
 * not looked at.
 *
 * Functions are true when all is well; else source->why says what is not, or source->error is errno of the
 * medium. Addresses are HDF5's: they count from source->base. */
#ifndef DF_STORE_HDF5_CHECK_H
#define DF_STORE_HDF5_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* What kind of metadata HDF5 says it reads; the last is only the checks' own. */
enum df_h5_piece {
    DF_H5_SUPERBLOCK,
    DF_H5_TREE,
    DF_H5_HEADER,
    DF_H5_LOCAL_HEAP,
    DF_H5_CHILD /* of a tree of names */
};

struct df_h5_place {
    bool used;
    enum df_h5_piece piece;
    uint64_t address, value;
};

struct df_h5_collection;

struct df_h5_source {
    int fd;
    uint64_t base, size; /* of the address 0 in the file; bytes of the file that HDF5 has given out */
    uint32_t leaf_k, group_k, chunk_k;
    struct df_h5_place *known; /* a table of places (hdf5_known.c) */
    int64_t known_count, known_capacity;
    struct df_h5_collection *collection; /* the last one of the global heap */
    uint64_t heap_read, heap_credit;     /* bytes of collections, and what strings may cost */
    uint64_t raw_size;                   /* what a read of raw data may ask for; 0: anything */
    bool pages;                          /* of a chunk index, which have a checksum and no signature */
    int error;
    char why[160];
};

void df_h5_source_begin(struct df_h5_source *source, int fd, uint64_t size);
void df_h5_source_end(struct df_h5_source *source);
/* Where the file's superblock is; -1: nowhere. */
int64_t df_h5_find_superblock(int fd, int64_t size);

/* May HDF5 parse these bytes, read from this address? */
bool df_h5_check_piece(struct df_h5_source *source, enum df_h5_piece piece, uint64_t address,
                       const uint8_t *bytes, uint64_t size);

/* ---- For the checks themselves --------------------------------------------------------------- */

bool df_h5_refuse(struct df_h5_source *source, const char *format, ...) DFAL_PRINTF(2, 3);
/* Do these bytes lie in the file? */
bool df_h5_inside(const struct df_h5_source *source, uint64_t address, uint64_t size);
/* Bytes of the file, to be freed with df_free. */
bool df_h5_fetch(struct df_h5_source *source, uint64_t address, uint64_t size, uint8_t **bytes);
/* Remember a number under a kind and an address: of pieces that have no signature of their own their size,
 * since HDF5 may read them where something checked leads to them, and nowhere else. */
bool df_h5_remember(struct df_h5_source *source, enum df_h5_piece piece, uint64_t address, uint64_t value);
bool df_h5_recall(const struct df_h5_source *source, enum df_h5_piece piece, uint64_t address,
                  uint64_t *value);
/* Does something checked lead to this piece, or to the one that it is the end of? */
bool df_h5_leads_to(const struct df_h5_source *source, enum df_h5_piece piece, uint64_t address,
                    uint64_t size);

/* The checksum that stands behind metadata of the newer format: Bob Jenkins' lookup3. */
uint32_t df_h5_checksum(const uint8_t *bytes, uint64_t size);

/* The whole object header at an address; type, unless NULL, is what its datatype message says. */
struct df_h5_type {
    uint32_t class; /* as in the file: 0 integer, 1 float, 3 string, 9 variable length */
    uint64_t size;
    bool texts;    /* of variable length */
    bool variable; /* something of variable length is in it */
};
bool df_h5_check_header(struct df_h5_source *source, uint64_t address, int depth, struct df_h5_type *type);

/* Little-endian numbers from a run of bytes; behind its end there are zeros and `past` is set. */
struct df_h5_cursor {
    const uint8_t *at, *end;
    bool past;
};
static inline uint64_t df_h5_left(const struct df_h5_cursor *cursor)
{
    return (uint64_t)(cursor->end - cursor->at);
}
static inline void df_h5_skip(struct df_h5_cursor *cursor, uint64_t size)
{
    cursor->past = cursor->past || size > df_h5_left(cursor);
    cursor->at = cursor->past ? cursor->end : cursor->at + size;
}
static inline uint64_t df_h5_take(struct df_h5_cursor *cursor, int size)
{
    uint64_t value = 0;
    const uint8_t *from = cursor->at;
    df_h5_skip(cursor, (uint64_t)size);
    for (int i = 0; !cursor->past && i < size; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}
/* a * b, UINT64_MAX where that is too much. */
static inline uint64_t df_h5_times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* Bytes that begin with a known signature. */
typedef bool df_h5_check_fn(struct df_h5_source *source, uint64_t address, const uint8_t *bytes,
                            uint64_t size);
/* Heads of the newer format (hdf5_newer.h). */
df_h5_check_fn df_h5_check_block_heap, df_h5_check_block_tree, df_h5_check_growing_array, df_h5_check_array;

/* Messages of an object header (hdf5_type.c): the datatype and the dataspace at the cursor. */
bool df_h5_check_type(struct df_h5_source *source, struct df_h5_cursor *cursor, int depth,
                      struct df_h5_type *type);
bool df_h5_check_space(struct df_h5_source *source, struct df_h5_cursor *cursor, uint32_t *rank,
                       uint64_t *points);

#endif
