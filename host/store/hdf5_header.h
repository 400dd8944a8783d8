/* SPDX-License-Identifier: Apache-2.0 */
/* An object header on its way through the checks: hdf5_header.c takes it apart, hdf5_type.c looks at types
 * and spaces, hdf5_layout.c at how a dataset's bytes are stored. Internal to hdf5_check.c and these. */
#ifndef DF_STORE_HDF5_HEADER_H
#define DF_STORE_HDF5_HEADER_H

#include "store/hdf5_source.h"

enum { DF_H5_MOST_BLOCKS = 1024 };
enum df_h5_layout { DF_H5_COMPACT = 0, DF_H5_CONTIGUOUS = 1, DF_H5_CHUNKED = 2, DF_H5_VIRTUAL = 3 };

struct df_h5_type {
    uint32_t class; /* as in the file: 0 integer, 1 float, 3 string, 9 variable length */
    uint64_t size;
    bool texts;    /* of variable length */
    bool variable; /* something of variable length is in it */
};
/* The whole object header at an address; type, unless NULL, is what its datatype message says. */
bool df_h5_check_header(struct df_h5_source *source, uint64_t address, int depth, struct df_h5_type *type);

/* What one message says that another must agree with. */
struct df_h5_header {
    struct df_h5_source *source;
    uint64_t address;
    int depth;
    bool newer; /* "OHDR" */
    uint64_t flags;
    struct block {
        uint64_t address, size;
    } block[DF_H5_MOST_BLOCKS];
    int blocks;
    bool has_type, has_space, has_layout;
    struct df_h5_type type;
    uint32_t rank;
    uint64_t points;
    struct fill {
        bool there;
        uint64_t size;
        const uint8_t *bytes;                /* in one of the copies */
    } fill[2];                               /* of the older kind, of the newer */
    uint64_t layout, sides, element, stored; /* stored: bytes of a compact dataset */
    uint64_t chunk, index_kind, index; /* bytes of a chunk; how the chunks are found, 0: the older way */
    bool packed;
    uint8_t *copy[DF_H5_MOST_BLOCKS];
};

/* Padded to a multiple of eight. */
static inline uint64_t df_h5_in_eights(uint64_t size)
{
    return (size + 7) / 8 * 8;
}

/* "the object header at 96: ..." */
static inline bool df_h5_header_refuse(const struct df_h5_header *header, const char *what)
{
    return df_h5_refuse(header->source, "the object header at %llu: %s", (unsigned long long)header->address,
                        what);
}
/* An address that may be missing. */
static inline bool df_h5_header_leads(const struct df_h5_header *header, uint64_t address)
{
    return address == UINT64_MAX || df_h5_inside(header->source, address, 8) ||
           df_h5_header_refuse(header, "an address beyond the file's end");
}

/* The messages (hdf5_type.c) that tell what a dataset holds: the datatype and the dataspace at the cursor. */
bool df_h5_check_type(struct df_h5_source *source, struct df_h5_cursor *cursor, int depth,
                      struct df_h5_type *type);
bool df_h5_check_space(struct df_h5_source *source, struct df_h5_cursor *cursor, uint32_t *rank,
                       uint64_t *points);

/* The messages that tell how bytes are stored, at the cursor. */
bool df_h5_check_layout(struct df_h5_header *header, struct df_h5_cursor *c);
bool df_h5_check_filters(struct df_h5_header *header, struct df_h5_cursor *c);
bool df_h5_check_external(struct df_h5_header *header, struct df_h5_cursor *c);
/* old: a fill value of the older kind */
bool df_h5_check_fill(struct df_h5_header *header, struct df_h5_cursor *c, bool old);
/* Behind all messages: HDF5 takes as many bytes from an entry of a chunk index as the dataset needs, whatever
 * the index says that it has. */
bool df_h5_check_entries(struct df_h5_header *header);

#endif
