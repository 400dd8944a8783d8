/* SPDX-License-Identifier: Apache-2.0 */
/* One self-contained page about run directories, and the curve for a terminal. */
#ifndef DF_REPORT_REPORT_H
#define DF_REPORT_REPORT_H

#include "base/log.h"
#include "report/report_run.h"
#include "store/classes.h"

/* Write the page, with replace over whatever is at path, atomically; at most DF_REPORT_RUNS runs. No scripts,
 * nothing loaded from elsewhere. A pool that is no longer where the configuration says costs its pictures,
 * and the page says so. */
dfal_status df_report_write(struct dfal_context *context, const char *path, const char *const *dirs,
                            int32_t count, bool replace);

/* Open a page up to the text of its lead paragraph, which the caller ends with "</p></header>"; close it.
 * Both texts are HTML. */
void df_page_begin(struct df_text *page, const char *title, const char *heading);
void df_page_end(struct df_text *page, bool dated);

/* Parts of the page. number tells sections apart in ids. */
void df_report_section(struct df_text *page, struct dfal_context *context, const struct df_report_run *run,
                       int32_t number);
/* Inline SVG: mean accuracy over annotations with a band of one standard error; twice, of which the reader's
 * page shows the one that its width is for. df_plot_runs: all runs in one. */
dfal_status df_plot_curve(struct df_text *page, const struct df_report_run *run, int32_t number);
dfal_status df_plot_runs(struct df_text *page, const struct df_report_run *runs, int32_t count);
/* Figures of queries beside their twins and the difference. */
dfal_status df_report_queries(struct df_text *page, const struct df_report_run *run);

/* A class by its name, else its number. */
void df_page_class(struct df_text *page, const struct df_classes *classes, int32_t class);
/* Append a PNG data URI of [C, H, W] bytes; C is 1 or 3. */
dfal_status df_picture_uri(struct df_text *page, const unsigned char *planes, int64_t c, int64_t h,
                           int64_t w);

#endif
