/* SPDX-License-Identifier: Apache-2.0 */
/* Label files (cli.md, "Labels"): CSV laid over a pool's own labels. */
#ifndef DF_STORE_LABELS_H
#define DF_STORE_LABELS_H

#include "store/pool.h"

/* Lay a file over pool->labels and pool->skipped. RFC 4180 with a header `id,label[,annotator,seconds,status]` in any
 * order; more columns are ignored. The last line of an id wins. status label: the label by class name, else by
 * number, -1 unknown; skip: no label, never asked again; unsure: no label. A pool whose class_count is unknown
 * gets the largest number + 1.
 * Errors   E_NOINPUT; E_DATA names file and line: broken quoting, columns missing, unknown id, class or status */
dfal_status df_labels_overlay(struct df_pool *pool, const char *path);

#endif
