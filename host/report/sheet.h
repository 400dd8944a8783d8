/* SPDX-License-Identifier: Apache-2.0 */
/* Contact sheet of a selection: each query with its twin and the difference, as a page or as one picture. */
#ifndef DF_REPORT_SHEET_H
#define DF_REPORT_SHEET_H

#include "report/query_tile.h"

enum { DF_SHEET_MOST = 500, DF_SHEET_SIDE = 112 };

struct df_sheet {
    struct df_pool *pool;
    const struct df_selection *selection;
    char *const *ids;     /* [selection->count] */
    const int32_t *label; /* [selection->count], -1 unknown */
    const char *strategy, *network;
    int64_t candidates;
    struct df_classes classes; /* as the pool counts them */
};
/* Errors   E_USAGE the name ends neither in .html nor in .png */
dfal_status df_sheet_check(const char *path);
/* Write over whatever is at path, atomically: the first DF_SHEET_MOST queries. .html: one page, nothing
 * loaded from elsewhere, no scripts; .png: a grid, captions in ASCII. */
dfal_status df_sheet_write(const char *path, const struct df_sheet *sheet, bool replace);

/* The two kinds, as bytes. */
dfal_status df_sheet_html(struct df_text *page, const struct df_sheet *sheet, struct df_tiles *tiles,
                          int64_t shown);
dfal_status df_sheet_png(struct df_text *bytes, const struct df_sheet *sheet, struct df_tiles *tiles,
                         int64_t shown);

#endif
