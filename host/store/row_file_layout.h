/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of readers and writers of rows. Internal to host/store. */
#ifndef DF_STORE_ROW_FILE_LAYOUT_H
#define DF_STORE_ROW_FILE_LAYOUT_H

#include "store/hdf5_file.h"
#include "store/row_file.h"

/* A head as it stands in a file, in its order: X(attribute, field of struct df_rows_head), for TEXT a char[],
 * for GIVEN one that is left out where it is "", for LONG a char * that is left out where it is NULL. */
/* clang-format off */
#define DF_ROWS_HEAD_TEXTS(TEXT, GIVEN, LONG)                                                             \
    TEXT(network_sha256, network_sha256) TEXT(pool_fingerprint, pool_fingerprint)                         \
    TEXT(dfal_version, version) TEXT(backend, backend) TEXT(engine, engine) TEXT(isa, isa)                \
    TEXT(precision, precision) TEXT(library, library) TEXT(device, device) GIVEN(units, units)            \
    LONG(configuration, configuration) LONG(command_line, command_line) LONG(network, network_path)       \
    LONG(pool, pool_path) GIVEN(mixed, mixed)
/* Behind them integers, X(attribute and field, least, most). */
#define DF_ROWS_HEAD_INTEGERS(X)                                                                          \
    X(pool_count, 1, INT64_MAX) X(range_begin, 0, head->pool_count)                                       \
    X(range_end, head->range_begin, head->pool_count) X(shard, 0, INT32_MAX) X(shard_count, 0, INT32_MAX)
/* clang-format on */

struct df_rows_reader {
    struct df_h5 h5;
    const struct df_rows_kind *kind;
    struct df_h5_data index, column[DF_ROWS_COLUMNS], id;
    int64_t count, pool_count;
    bool has_ids;
    char format[32];
};

#endif
