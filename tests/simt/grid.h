/* SPDX-License-Identifier: Apache-2.0 */
/* Between the shim's own files. */
#ifndef DFAL_TESTS_SIMT_GRID_H
#define DFAL_TESTS_SIMT_GRID_H

#include "simt.h"

enum simt_order { SIMT_ASCENDING, SIMT_DESCENDING, SIMT_RANDOM, SIMT_SWITCHING };

/* What DF_SIMT_ORDER says now. */
enum simt_order simt_order_now();

/* Run every block of a grid, on this thread. One at a time in a process: the caller holds a lock. */
void simt_run_grid(const struct simt_grid &grid);

/* The thread of the block that runs, or -1: none does, on this thread of the host. */
extern thread_local int simt_current;

/* A block of so many threads begins: no copy is under way (tensor.cpp). */
void simt_begin_block(unsigned threads);
bool simt_copies_left(unsigned thread); /* that it has not waited for */

/* Does the address lie on the stack of the thread that runs? */
bool simt_is_own_stack(const void *address);

/* In the order switching:SEED, now and then let another thread of the block go on. */
void simt_may_switch();

/* "thread (1,0,0)", and where the running one stands: "kernel K, block (0,0,0)". */
struct simt_words {
    char text[256];
};
struct simt_words simt_say_thread(unsigned thread);
struct simt_words simt_say_block();

/* Say it on stderr and abort: a program that is wrong on a GPU has no result. */
[[noreturn]] void simt_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
