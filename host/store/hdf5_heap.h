/* SPDX-License-Identifier: Apache-2.0 */
/* The global heap, where HDF5 keeps strings of variable length. */
#ifndef DF_STORE_HDF5_HEAP_H
#define DF_STORE_HDF5_HEAP_H

#include "store/hdf5_source.h"

/* A file names a string by 16 bytes: its length, a collection, a number in it. */
enum { DF_H5_REFERENCE = 16 };
/* The bytes it names, valid until the next call; none where nothing was ever written. */
bool df_h5_heap_find(struct df_h5_source *source, const uint8_t reference[DF_H5_REFERENCE],
                     const uint8_t **bytes, uint64_t *size);
/* Give the collection back. */
void df_h5_heap_end(struct df_h5_source *source);

#endif
