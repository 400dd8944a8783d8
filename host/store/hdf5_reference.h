/* SPDX-License-Identifier: Apache-2.0 */
/* Strings of variable length, as the file names them. HDF5 1.10 follows a reference into the global heap
 * without looking at what is there, so it is asked for the reference itself. */
#ifndef DF_STORE_HDF5_REFERENCE_H
#define DF_STORE_HDF5_REFERENCE_H

#include "store/hdf5_api.h"
#include "store/hdf5_heap.h"

struct df_h5;

/* A memory type under which attributes and datasets of such strings are read: DF_H5_REFERENCE bytes an
 * element, to be followed below. To be closed; negative: HDF5 refuses it. */
hid_t df_h5_reference_type(void);
/* A fresh string of what a reference names; the format says whose it is, for the message.
 * Errors   E_DATA "a.h5: row 3 of dataset 'ids' cannot be read: ..."; E_IO */
dfal_status df_h5_follow(const struct df_h5 *h5, const uint8_t reference[DF_H5_REFERENCE], char **text,
                         const char *format, ...) DFAL_PRINTF(4, 5);

#endif
