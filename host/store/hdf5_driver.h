/* SPDX-License-Identifier: Apache-2.0 */
/* The file driver behind every file dfal reads or writes with HDF5.
 * Writing: a write that fails is remembered and not told to HDF5, which on a full disk loses memory and
 * handles and crashes in its exit handler (seen with 1.10.8). Reading: each piece of metadata is checked
 * before HDF5 parses it (hdf5_check.h), bytes that are not there are an error, and closing never fails. */
#ifndef DF_STORE_HDF5_DRIVER_H
#define DF_STORE_HDF5_DRIVER_H

#include "base/status.h"
#include "store/hdf5_api.h"

struct df_h5_source;

/* Let files created with this access list be written by the driver; with fd >= 0 opened by a copy of it to be
 * read. Either way HDF5 locks nothing: the lock of whoever writes a file stands until it has its name.
 * Errors   E_INTERNAL HDF5 refuses */
dfal_status df_h5_driver_use(hid_t access, int fd);
/* errno of a read that failed since, even if no file came of it. */
int df_h5_driver_open_error(void);
/* errno of the first write that failed, 0: none. From then on nothing reaches the file. HDF5 keeps small
 * writes back until the file is flushed. */
int df_h5_driver_error(hid_t file);
/* Descriptor of an open file, -1: none. */
int df_h5_driver_descriptor(hid_t file);
/* Let nothing more reach the file. */
void df_h5_driver_stop(hid_t file);
/* Of a file that is read. */
struct df_h5_source *df_h5_driver_source(hid_t file);

#endif
