/* SPDX-License-Identifier: Apache-2.0 */
/* The columns of a scores file, one list for writing and reading. Internal to host/store. */
#ifndef DF_STORE_SCORES_FILE_H
#define DF_STORE_SCORES_FILE_H

#include "store/hdf5_file.h"
#include "store/scores.h"

/* X(field of struct df_scores, C type, type in the file, type in memory, fill value) */
#define DF_SCORES_COLUMN_LIST(X)                                                                             \
    X(index, int64_t, H5T_STD_I64LE, H5T_NATIVE_INT64, -1)                                                   \
    X(margin, float, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, NAN)                                                  \
    X(status, uint8_t, H5T_STD_U8LE, H5T_NATIVE_UINT8, 255)                                                  \
    X(label, int32_t, H5T_STD_I32LE, H5T_NATIVE_INT32, -1)                                                   \
    X(adversarial_class, int32_t, H5T_STD_I32LE, H5T_NATIVE_INT32, -1)                                       \
    X(iterations, uint16_t, H5T_STD_U16LE, H5T_NATIVE_UINT16, 0)                                             \
    X(first_margin, float, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, NAN)                                            \
    X(logit_gap, float, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, NAN)

enum df_scores_column {
#define X(field, type, file, memory, fill) DF_SCORES_##field,
    DF_SCORES_COLUMN_LIST(X)
#undef X
        DF_SCORES_COLUMN_COUNT
};

struct df_scores_reader {
    struct df_h5 h5;
    struct df_h5_data column[DF_SCORES_COLUMN_COUNT], id;
    int64_t count, pool_count;
    bool has_ids;
};

#endif
