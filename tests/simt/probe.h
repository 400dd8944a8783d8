/* SPDX-License-Identifier: Apache-2.0 */
/* Launchers of kernels that are right, and of kernels that are wrong in one way each. Each returns a
 * cudaError_t. */
#ifndef DFAL_TESTS_SIMT_PROBE_H
#define DFAL_TESTS_SIMT_PROBE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { PROBE_BLOCK = 96 };

/* Each thread of a grid of blocks (2,3,2) of threads (5,4,3) writes 1000 * its block's number + its own. */
enum { PROBE_BLOCKS = 12, PROBE_THREADS = 60 };
int probe_index(int32_t *out, void *stream);
/* sums[b] = sum of block b's PROBE_BLOCK values, by a tree in shared memory. */
int probe_sum(int32_t *sums, const int32_t *values, int blocks, void *stream);
/* The same with dynamic shared memory of `bytes` and any number of threads. */
int probe_sum_dynamic(int32_t *sums, const int32_t *values, int threads, int64_t bytes, void *stream);
int probe_allow_shared(int64_t bytes);
/* One warp: eight results a lane, [8, 32]. */
int probe_warp(int32_t *out, void *stream);
/* 40 threads, a warp and a quarter: each gets the sum over its warp's first eight lanes. */
int probe_narrow_warp(int32_t *out, void *stream);
/* count[0] = threads of a block of 64 whose value is odd, count[1] = are all, count[2] = is any. */
int probe_vote(int32_t *count, const int32_t *values, void *stream);
/* Each of `blocks` * 64 threads adds its number to total[0] and takes the most into total[1]. */
int probe_atomic(int32_t *total, int blocks, void *stream);
/* out[0] and out[1]: what static and dynamic shared memory begin with. */
int probe_fresh_shared(float *out, void *stream);

/* One warp: d [16, 16] = a b, a [16, 16] and b by columns [16, 16] binary16, copied to shared memory in
 * a group each; the second half of b's last column is not wanted. seen [4, 32]: each lane's word
 * of a and of b when nothing was waited for, and when a was. */
int probe_tensor(float *d, uint32_t *seen, const uint16_t *a, const uint16_t *b, void *stream);

/* Wrong. Every thread of a block of 64 adds 1 to out[0] and waits for nobody before it doubles it. */
int probe_race(int32_t *out, void *stream);

enum probe_fault {
    PROBE_ENDS,          /* one thread leaves before __syncthreads */
    PROBE_OTHER_LINE,    /* a branch with a __syncthreads on either side */
    PROBE_OTHER_KIND,    /* half of a warp at __syncwarp, half at __syncthreads */
    PROBE_LANE_ENDS,     /* one lane leaves before a shuffle */
    PROBE_PRODUCT_ENDS,  /* and one before a product of the warp */
    PROBE_COPY_ENDS,     /* a thread that does not wait for its copy */
    PROBE_OTHER_MASK,    /* two lanes with different masks that name each other */
    PROBE_NOT_NAMED,     /* a mask without the lane itself */
    PROBE_ABSENT_SOURCE, /* a shuffle from a lane that takes no part */
    PROBE_PAST_MEMORY,   /* a write behind out */
    PROBE_PAST_STATIC,   /* a write behind static shared memory */
    PROBE_PAST_DYNAMIC,  /* a write behind dynamic shared memory */
    PROBE_LANES_RACE,    /* what another lane wrote is read behind a shuffle, which orders nothing */
    PROBE_WARPS_RACE,    /* what another warp reads is written without a barrier */
    PROBE_BLOCKS_RACE,   /* two blocks write the same word */
    PROBE_ATOMIC_RACE    /* a word that others change by an atomic is read */
};
/* out [64] */
int probe_fault(enum probe_fault fault, int32_t *out, void *stream);

/* What those races do, with what orders it: lanes, warps, and bytes side by side. out [64] */
int probe_ordered(int32_t *out, void *stream);

#ifdef __cplusplus
}
#endif

#endif
