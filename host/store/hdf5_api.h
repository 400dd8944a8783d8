/* SPDX-License-Identifier: Apache-2.0 */
/* HDF5, and the types of 1.10 where it is newer. */
#ifndef DF_STORE_HDF5_API_H
#define DF_STORE_HDF5_API_H

#define H5_USE_110_API
#include <hdf5.h>

#endif
