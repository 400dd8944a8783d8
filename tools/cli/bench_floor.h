/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do at most: the roofs beside a benchmark. */
#ifndef DFAL_TOOLS_BENCH_FLOOR_H
#define DFAL_TOOLS_BENCH_FLOOR_H

#include <stdint.h>

/* Float operations a second of `threads` threads doing nothing but fused multiply-adds in registers, with the
 * widest vectors that are here; by their CPU time, and the fastest of some turns. */
double bench_peak_operations(int32_t threads);
/* Bytes a second, likewise, that `threads` threads read while copying a block larger than the caches. */
double bench_copy_bytes(int32_t threads);

#endif
