/* SPDX-License-Identifier: Apache-2.0 */
/* Small HDF5 files of named arrays: logits, twins, training states. Written whole, atomically. */
#ifndef DF_STORE_TABLE_H
#define DF_STORE_TABLE_H

#include "store/column_type.h"
#include "store/pool.h"

/* format: value of the root attribute ("dfal-logits", "dfal-twins", "dfal-state"); configuration is kept as a
 * string dataset so that its length does not matter. */
dfal_status df_table_write(const char *path, const char *format, const char *configuration,
                           const struct df_column *columns, int32_t count, bool force);
/* Read named columns; data is allocated (df_free). Errors   E_DATA foreign, column missing, type or rank
 * differs */
dfal_status df_table_read(const char *path, const char *format, char **configuration,
                          struct df_column *columns, int32_t count);
/* Read a column of reals [rows, size] a few rows at a time; configuration is fresh (df_free).
 * Errors   E_DATA foreign, column missing or of another type; E_SHAPE another number of rows or values */
struct df_table_reader;
dfal_status df_table_open(struct df_table_reader **out, const char *path, const char *format,
                          char **configuration, const char *column, int64_t rows, int64_t size);
dfal_status df_table_take(struct df_table_reader *reader, int64_t begin, int64_t count, float *values);
struct df_row_hashes;
/* Of a table with a row for every row of a pool. To be closed by df_row_hashes_close. */
dfal_status df_table_take_hashes(struct df_table_reader *reader, struct df_row_hashes *rows);
void df_table_close(struct df_table_reader *reader); /* NULL is fine */
/* Visit every dataset in order of names: name without a leading /, what "[60000, 10] f32". At most 1,000. */
typedef void df_table_entry_fn(void *user, const char *name, const char *what);
dfal_status df_table_list(const char *path, df_table_entry_fn *visit, void *user);
/* What kind of file: "dfal-pool", ... ; "" an HDF5 file of another kind. Errors   E_NOINPUT; E_DATA not HDF5
 */
dfal_status df_file_format(char format[32], const char *path);

#endif
