/* SPDX-License-Identifier: Apache-2.0 */
/* A table as data: a caption, headings, and rows that each begin with a name. It is drawn as HTML for the
 * page and as LaTeX for a paper. */
#ifndef DF_REPORT_REPORT_TABLE_H
#define DF_REPORT_REPORT_TABLE_H

#include "base/text.h"

enum { DF_TABLE_COLUMNS = 40 };

/* Zero-initialise; df_table_clear. Texts are plain, in UTF-8; an error is kept in `cells.status`. */
struct df_table {
    struct df_text caption;
    /* Headings, then rows of cells, each text ended by a zero byte. A byte in front of a row is one more than
     * the number of what it tells of, 0: it has none. */
    struct df_text cells;
    int32_t columns, rows;
    uint64_t words; /* bit c: column c holds words, not numbers */
    bool narrow;    /* in a narrow window each cell stands on a line of its own behind its heading */
};
void df_table_caption(struct df_table *table, const char *format, ...) DFAL_PRINTF(2, 3);
/* The next column; before the first row. */
void df_table_heading(struct df_table *table, const char *format, ...) DFAL_PRINTF(2, 3);
/* Begin a row. number   that of the strategy it tells of (df_report_number), which has a key; -1: none */
void df_table_row(struct df_table *table, int32_t number, const char *name);
/* The next cell of the row; "" leaves it empty. A row has as many as there are headings, its name included.
 */
void df_table_cell(struct df_table *table, const char *format, ...) DFAL_PRINTF(2, 3);
/* "82.77 +- 1.20" of fractions, in percent; without what is not finite. */
void df_table_percent(struct df_table *table, double mean, double spread);
/* "+5.21 +- 1.20", of fractions, in points. */
void df_table_difference(struct df_table *table, double difference, double spread);
void df_table_clear(struct df_table *table);

/* Append the table; nothing where it has no row. */
void df_table_html(struct df_text *page, const struct df_table *table);
/* Text as LaTeX has it: what means something to it is escaped, a control character is a space. */
void df_latex_text(struct df_text *text, const char *plain);
void df_table_latex(struct df_text *text, const struct df_table *table);

#endif
