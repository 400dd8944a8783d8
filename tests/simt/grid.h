/* SPDX-License-Identifier: Apache-2.0 */
/* Between the shim's own files. */
#ifndef DFAL_TESTS_SIMT_GRID_H
#define DFAL_TESTS_SIMT_GRID_H

#include "simt.h"

enum simt_order { SIMT_ASCENDING, SIMT_DESCENDING, SIMT_RANDOM };

/* What DF_SIMT_ORDER says now. */
enum simt_order simt_order_now();

/* Run every block of a grid, on this thread. One at a time in a process: the caller holds a lock. */
void simt_run_grid(const struct simt_grid &grid);

/* Say it on stderr and abort: a program that is wrong on a GPU has no result. */
[[noreturn]] void simt_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
