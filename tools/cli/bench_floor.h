/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do at most: the roofs beside a benchmark. */
#ifndef DFAL_TOOLS_BENCH_FLOOR_H
#define DFAL_TOOLS_BENCH_FLOOR_H

#include <stdint.h>

/* Float operations a second of `threads` threads doing nothing but fused multiply-adds in registers (AVX2).
 */
double bench_peak_operations(int32_t threads);
/* Bytes a second that `threads` threads read while copying a block larger than the caches. */
double bench_copy_bytes(int32_t threads);

#endif
