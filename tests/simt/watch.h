/* SPDX-License-Identifier: Apache-2.0 */
/* Every access of a kernel to memory, looked at: a build with DFAL_SIMT_WATCH compiles the kernels with
 * -fsanitize=thread, whose calls before each access end in watch.cpp instead of ThreadSanitizer.
 *
 * A race stops the program: two threads access the same bytes, one of them writes, not both by an atomic,
 * and nothing orders them. What orders: a __syncthreads, for threads of a block; a __syncwarp that names
 * both, for lanes of a warp (a shuffle or a vote orders no memory); the end of a kernel, for all. Blocks of a
 * kernel are never ordered.
 * Limits   of the threads that have read a word since it was written two are remembered, and two of those
 *          that have changed it by an atomic; accesses of one word in parts (1 or 2 bytes) and as a whole
 *          are not compared with each other; those of an odd size count as whole words. Not seen are calls
 *          of memcpy and memset that the compiler leaves as calls, what the host copies or clears, and
 *          kernels of two streams that nothing orders. What stands in the program's .bss counts as a
 *          block's own, so a kernel must not write to a __device__ variable. */
#ifndef DFAL_TESTS_SIMT_WATCH_H
#define DFAL_TESTS_SIMT_WATCH_H

#include "grid.h"

#ifdef DF_SIMT_WATCH
enum { simt_watches = 1 };
/* A kernel begins, with so many threads a block and bytes of dynamic shared memory; then each block. */
void simt_watch_grid(unsigned threads, size_t shared);
void simt_watch_block();
/* All threads of the block have met; the lanes of a warp, which begins at thread `first`, have. */
void simt_watch_barrier();
void simt_watch_warp(unsigned first, unsigned lanes);
#else
enum { simt_watches = 0 };
static inline void simt_watch_grid(unsigned, size_t)
{
}
static inline void simt_watch_block()
{
}
static inline void simt_watch_barrier()
{
}
static inline void simt_watch_warp(unsigned, unsigned)
{
}
#endif

#endif
