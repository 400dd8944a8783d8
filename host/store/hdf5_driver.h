/* SPDX-License-Identifier: Apache-2.0 */
/* The file driver behind every file dfal writes with HDF5. A write that fails is remembered and not told to HDF5,
 * which on a full disk loses memory and handles and crashes in its exit handler (seen with 1.10.8). */
#ifndef DF_STORE_HDF5_DRIVER_H
#define DF_STORE_HDF5_DRIVER_H

#include "store/hdf5_file.h"

/* Let files created with this access list be written by the driver, or files opened with it be read. Either way HDF5
 * locks nothing: the lock of whoever writes a file stands until it has its name.
 * Errors   E_INTERNAL HDF5 refuses */
dfal_status df_h5_driver_use(hid_t access);
/* errno of the first write that failed, 0: none. From then on nothing reaches the file.
 * HDF5 keeps small writes back until the file is flushed. */
int df_h5_driver_error(hid_t file);
/* Let nothing more reach the file. */
void df_h5_driver_stop(hid_t file);

#endif
