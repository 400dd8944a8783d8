/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do at most: the roofs beside a benchmark. */
#ifndef DFAL_TOOLS_BENCH_FLOOR_H
#define DFAL_TOOLS_BENCH_FLOOR_H

#include <stdint.h>

/* Float operations a second of `threads` threads doing nothing but fused multiply-adds in registers, with the
 * widest vectors that are here; by their CPU time, and the fastest of some turns. */
double bench_peak_operations(int32_t threads);
/* These where the back end is "cpu"; NAN: they are no roof of another's. */
double bench_peak_for(const char *backend, double operations);
/* What part of the peak of `threads` threads was used while so many CPU seconds passed: seconds that others
 * took of the machine, or in which a thread waited, do not count. */
double bench_peak_share(double operations, double cpu_seconds, double peak, int32_t threads);
/* "  dense 90.1 GFLOP/s  45.0 % of the peak of 97.1 a thread"; a peak that is NAN: only the first. */
void bench_print_share(double operations_per_second, double share, double peak, int32_t threads);
/* Bytes a second, likewise, that `threads` threads, 16 at most, read while copying a block larger than the
 * caches. */
double bench_copy_bytes(int32_t threads);

#endif
