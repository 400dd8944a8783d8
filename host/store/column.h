/* SPDX-License-Identifier: Apache-2.0 */
/* Types of columns as HDF5 and C know them. Internal to host/store. */
#ifndef DF_STORE_COLUMN_H
#define DF_STORE_COLUMN_H

#include <stdbool.h>

#include "store/column_type.h"
#include "store/hdf5_api.h"

size_t df_column_bytes(enum df_column_type type); /* of a value; 0: of a text */
bool df_column_is_real(enum df_column_type type);
hid_t df_column_file_type(enum df_column_type type);
hid_t df_column_memory_type(enum df_column_type type);

#endif
