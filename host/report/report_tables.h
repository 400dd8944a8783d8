/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of one run. Each is filled by a function of its own; one that has nothing to say has no row. */
#ifndef DF_REPORT_REPORT_TABLES_H
#define DF_REPORT_REPORT_TABLES_H

#include "report/report_run.h"
#include "report/report_table.h"

typedef dfal_status df_report_table_fn(struct df_table *table, const struct df_report_run *run);
df_report_table_fn df_report_final;          /* after the last round */
df_report_table_fn df_report_primary;        /* the comparisons it was made for */
df_report_table_fn df_report_area;           /* the mean accuracy on the way */
df_report_table_fn df_report_accuracy;       /* at some numbers of annotations */
df_report_table_fn df_report_highest;        /* the highest mean up to there: the paper's table 1 */
df_report_table_fn df_report_against_random; /* the differences to random there */
df_report_table_fn df_report_needed;         /* annotations to the full set's accuracy: its table 2 */
df_report_table_fn df_report_transfer;       /* another network on the same rows: its table 4 */
df_report_table_fn df_report_statuses;       /* how DeepFool ended */
df_report_table_fn df_report_seconds;        /* what a round took: the measure of its table 3 */
df_report_table_fn df_report_balance;        /* classes of the queries */
df_report_table_fn df_report_overlap;        /* queries that two strategies have in common */

#define DF_SIGNIFICANT "significant by the paired t test, Holm, 5 %"
/* Why a strategy was not tested against random. */
const char *df_report_not_tested(const struct dfal_run_row *row);
/* Why a comparison in so many trials was not tested. */
const char *df_report_untested(int32_t compared);
/* The cell of a column DF_SIGNIFICANT; reason: why there is no test, where p is NAN. */
void df_report_test(struct df_table *table, double p, double corrected, const char *reason);

/* Append one table to the page. */
dfal_status df_report_table(struct df_text *page, const struct df_report_run *run, df_report_table_fn *fill);
/* Append all but the final one, below headings. */
dfal_status df_report_tables(struct df_text *page, const struct df_report_run *run);
/* Append all as LaTeX. */
dfal_status df_report_latex(struct df_text *text, const struct df_report_run *run);

#endif
