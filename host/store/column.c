/* SPDX-License-Identifier: Apache-2.0 */
#include "store/column.h"

size_t df_column_bytes(enum df_column_type type)
{
    static const size_t bytes[] = {
        [DF_COLUMN_F32] = 4, [DF_COLUMN_F64] = 8, [DF_COLUMN_I32] = 4, [DF_COLUMN_I64] = 8,
        [DF_COLUMN_U8] = 1,  [DF_COLUMN_U16] = 2, [DF_COLUMN_TEXT] = 0};
    return bytes[type];
}

bool df_column_is_real(enum df_column_type type)
{
    return type == DF_COLUMN_F32 || type == DF_COLUMN_F64;
}

hid_t df_column_file_type(enum df_column_type type)
{
    switch (type) {
    case DF_COLUMN_F32:
        return H5T_IEEE_F32LE;
    case DF_COLUMN_F64:
        return H5T_IEEE_F64LE;
    case DF_COLUMN_I32:
        return H5T_STD_I32LE;
    case DF_COLUMN_I64:
        return H5T_STD_I64LE;
    case DF_COLUMN_U16:
        return H5T_STD_U16LE;
    default:
        return H5T_STD_U8LE;
    }
}

hid_t df_column_memory_type(enum df_column_type type)
{
    switch (type) {
    case DF_COLUMN_F32:
        return H5T_NATIVE_FLOAT;
    case DF_COLUMN_F64:
        return H5T_NATIVE_DOUBLE;
    case DF_COLUMN_I32:
        return H5T_NATIVE_INT32;
    case DF_COLUMN_I64:
        return H5T_NATIVE_INT64;
    case DF_COLUMN_U16:
        return H5T_NATIVE_UINT16;
    default:
        return H5T_NATIVE_UINT8;
    }
}
