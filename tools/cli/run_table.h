/* SPDX-License-Identifier: Apache-2.0 */
/* The final table of a run, for people and as JSON: what run, status and report print. */
#ifndef DFAL_TOOLS_RUN_TABLE_H
#define DFAL_TOOLS_RUN_TABLE_H

#include "print.h"

/* Both take rows as a dfal_run_row_fn. Columns are printed with their heading above the first row. */
void run_table_add(void *array, const struct dfal_run_row *row); /* a json_t array */
struct run_table {
    int32_t rows;
};
void run_table_print(void *table, const struct dfal_run_row *row); /* a struct run_table, zero at first */
/* The array of a run directory. On error *array is NULL. */
dfal_status run_table_json(json_t **array, struct session *session, const char *dir);

#endif
