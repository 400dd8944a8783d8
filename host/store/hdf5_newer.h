/* SPDX-License-Identifier: Apache-2.0 */
/* What HDF5 1.8 and 1.10 brought: trees of records (hdf5_tree.c), heaps of blocks that double in size
 * (hdf5_dense.c), arrays (hdf5_newer.c). */
#ifndef DF_STORE_HDF5_NEWER_H
#define DF_STORE_HDF5_NEWER_H

#include "store/hdf5_source.h"

/* Bytes that begin with the signature of a head of these. */
typedef bool df_h5_check_fn(struct df_h5_source *source, uint64_t address, const uint8_t *bytes,
                            uint64_t size);
df_h5_check_fn df_h5_check_block_heap, df_h5_check_block_tree, df_h5_check_growing_array, df_h5_check_array;

/* Kinds of trees, by what their records are. */
enum {
    DF_H5_LARGE_OBJECTS = 1,
    DF_H5_LINK_NAMES = 5,
    DF_H5_LINK_ORDER = 6,
    DF_H5_ATTRIBUTE_NAMES = 8,
    DF_H5_ATTRIBUTE_ORDER = 9,
    DF_H5_CHUNKS = 10,
    DF_H5_PACKED_CHUNKS = 11,
    DF_H5_ANY_TREE = 255
};
/* Walk a tree whose records have so many bytes at least; visit NULL: only that it holds together. */
typedef bool df_h5_record_fn(void *user, const uint8_t *record);
bool df_h5_tree_walk(struct df_h5_source *source, uint64_t address, uint64_t kind, uint64_t least_record,
                     df_h5_record_fn *visit, void *user);

/* Every message of a heap that a tree of one of the kinds 5 to 9 names, and the large ones beside the
 * heap. */
typedef bool df_h5_message_fn(void *user, struct df_h5_cursor *message);
bool df_h5_dense_walk(struct df_h5_source *source, uint64_t heap, uint64_t tree, uint64_t kind,
                      df_h5_message_fn *check, void *user);

/* Bytes that HDF5 writes numbers up to a limit with. */
int df_h5_bytes_for(uint64_t limit);

/* Is it a power of two, at most `most`? */
static inline bool df_h5_is_power(uint64_t value, uint64_t most)
{
    return value > 0 && value <= most && (value & (value - 1)) == 0;
}
/* Of a number above 0, rounded down. */
static inline int df_h5_log(uint64_t value)
{
    return 63 - __builtin_clzll(value);
}

#endif
