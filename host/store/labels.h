/* SPDX-License-Identifier: Apache-2.0 */
/* Label files (docs/FORMATS.md, "Labels"): CSV laid over a pool's own labels. */
#ifndef DF_STORE_LABELS_H
#define DF_STORE_LABELS_H

#include "store/pool.h"

struct df_csv;
struct dfal_context;

/* Lay files, in order, over pool->labels and pool->skipped. RFC 4180 with a header
 * `id,label[,annotator,seconds,status]` in any order; more columns are passed over, so are lines whose id,
 * label and status are all empty. The last line of an id wins, within a file and across files. status label
 * (or empty): the label as df_label_read knows it, -1 unknown; skip: no label, never asked again; unsure: no
 * label, but the row stays a candidate. A line with neither label nor status leaves its row as it is. An id 3
 * is found as 3.0, too. An id or class that QUERIES.csv guards by a ' is found with and without it. A pool
 * whose class_count is unknown gets the largest number + 1. Where a line contradicts an earlier one of
 * somebody else (another annotator, or none is named) the pool counts it in label_conflicts and keeps the
 * first as a sentence in label_conflict, and lines without a label and a file without any likewise.
 * Memory   52 bytes a row until it returns (36 of them only where the pool has ids)
 * Errors   E_NOINPUT; E_DATA names file and line: broken quoting, columns missing, an id unknown or empty,
 *          unknown class or status; or two rows of the pool with one id, or a row without */
dfal_status df_labels_overlay(struct df_pool *pool, const char *const *paths, int32_t count);
/* The row of an id that stands in a table's record, which may be guarded or have become a real: see above.
 * Errors   E_DATA names file and line: unknown (the nearest is named), or empty */
dfal_status df_csv_row(const struct df_csv *csv, struct df_pool *pool, int64_t *row, const char *id);
/* Say that samples may have their channels in the last axis. */
void df_warn_layout(struct dfal_context *context, const char *path, struct df_shape shape);
/* Say pool.layout, labels.conflict, labels.blank and labels.nothing where there is something to say. */
void df_labels_warn(struct dfal_context *context, const struct df_pool *pool);

#endif
