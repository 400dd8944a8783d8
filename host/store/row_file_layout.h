/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of readers and writers of rows. Internal to host/store. */
#ifndef DF_STORE_ROW_FILE_LAYOUT_H
#define DF_STORE_ROW_FILE_LAYOUT_H

#include "store/hdf5_file.h"
#include "store/row_file.h"

struct df_rows_reader {
    struct df_h5 h5;
    const struct df_rows_kind *kind;
    struct df_h5_data index, column[DF_ROWS_COLUMNS], id;
    int64_t count, pool_count;
    bool has_ids;
    char format[32];
};

#endif
