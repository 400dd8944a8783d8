/* SPDX-License-Identifier: Apache-2.0 */
/* A named array of a file. */
#ifndef DF_STORE_COLUMN_TYPE_H
#define DF_STORE_COLUMN_TYPE_H

#include <stdint.h>

enum df_column_type {
    DF_COLUMN_F32,
    DF_COLUMN_F64,
    DF_COLUMN_I32,
    DF_COLUMN_I64,
    DF_COLUMN_U8,
    DF_COLUMN_U16,
    DF_COLUMN_TEXT, /* rank 1; data is const char *const [count]; only written */
};
struct df_column {
    const char *name; /* path in the file, groups are made */
    enum df_column_type type;
    int32_t rank;
    int64_t dims[4];
    void *data;
};

#endif
