/* SPDX-License-Identifier: Apache-2.0 */
/* A file whose metadata is looked at before HDF5 parses it (hdf5_check.h): its bytes, what is known of it and
 * what is wrong with it.
 *
 * Functions are true when all is well; else source->why says what is not, or source->error is errno of the
 * medium. Addresses are HDF5's: they count from source->base. */
#ifndef DF_STORE_HDF5_SOURCE_H
#define DF_STORE_HDF5_SOURCE_H

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

/* Where the file's superblock is; -1: nowhere. */
int64_t df_h5_find_superblock(int fd, int64_t size);

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

#endif
