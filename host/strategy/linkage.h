/* SPDX-License-Identifier: Apache-2.0 */
/* Average linkage (UPGMA): a hierarchy of clusters of few rows. */
#ifndef DF_STRATEGY_LINKAGE_H
#define DF_STRATEGY_LINKAGE_H

#include "base/status.h"

struct dfal_context;

/* Distances of all pairs are kept: 4 n^2 bytes. */
double df_linkage_bytes(int64_t n);
/* Merge the two nearest clusters of rows [n], each of size finite numbers, until there are `clusters`, or
 * until no two are 0 apart where that leaves fewer: the distance of two clusters is the mean of those of
 * their rows. labels [n]: of its cluster the lowest row.
 * Ties     of equally distant clusters by the order of rows alone
 * Errors   E_STOPPED, E_MEMORY */
dfal_status df_average_linkage(int64_t *labels, struct dfal_context *context, const float *const *rows,
                               int64_t n, int64_t size, int64_t clusters);

#endif
