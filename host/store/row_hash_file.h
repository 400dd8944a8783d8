/* SPDX-License-Identifier: Apache-2.0 */
/* Row hashes in a file: dataset /row_hash. Internal to host/store; under the lock of HDF5. */
#ifndef DF_STORE_ROW_HASH_FILE_H
#define DF_STORE_ROW_HASH_FILE_H

#include "store/hdf5_file.h"
#include "store/row_hash.h"

/* The complete pieces; without any nothing is written. */
dfal_status df_row_hashes_write(struct df_h5 *h5, const struct df_row_hashes *hashes);
/* Pieces that the file does not tell of have no rows yet. Errors   E_DATA, E_SHAPE not what
 * df_row_hashes_write writes for a file of pool rows [begin, end) */
dfal_status df_row_hashes_read(struct df_h5 *h5, struct df_row_hashes *hashes, int64_t begin, int64_t end);

#endif
