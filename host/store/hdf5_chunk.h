/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks. HDF5 1.10 hands on what a packed chunk unpacks to, and copies a whole chunk out of it however short
 * it is. So each is unpacked here once, before HDF5 does, and its size is looked at. */
#ifndef DF_STORE_HDF5_CHUNK_H
#define DF_STORE_HDF5_CHUNK_H

#include "store/hdf5_file.h"

/* Describe the chunks of a dataset that was just opened; packing stays NULL where there are none.
 * Errors   E_DATA a filter whose unpacked size cannot be known, without leave for plugins */
dfal_status df_h5_packing_create(const struct df_h5 *h5, struct df_h5_data *data, hid_t creation);
/* Has a chunk to be unpacked? */
bool df_h5_packed(const struct df_h5_data *data);
void df_h5_packing_destroy(struct df_h5_packing *packing);
/* Look at every chunk that holds one of these rows and was not looked at before.
 * Errors   E_DATA "... unpacks to 3 bytes, expected 200704"; E_IO */
dfal_status df_h5_chunks_check(const struct df_h5 *h5, const struct df_h5_data *data, int64_t begin,
                               int64_t count);

#endif
