/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels for test_simt.c (probe.h). */
#include "probe.h"

#include "mma.h" /* kernels */

static __device__ int32_t thread_number()
{
    return (int32_t)(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
}

__global__ void write_index(int32_t *out)
{
    const int32_t block = (int32_t)(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z));
    out[block * PROBE_THREADS + thread_number()] = 1000 * block + thread_number();
}

int probe_index(int32_t *out, void *stream)
{
    DF_LAUNCH(write_index, dim3(2, 3, 2), dim3(5, 4, 3), 0, stream, out);
    return df_launched();
}

static __device__ void sum_tree(int32_t *sum, int32_t *part, int32_t value)
{
    const unsigned t = threadIdx.x;
    part[t] = value;
    __syncthreads();
    for (unsigned left = blockDim.x; left > 1; left = (left + 1) / 2) {
        const unsigned half = (left + 1) / 2;
        if (t + half < left)
            part[t] += part[t + half];
        __syncthreads();
    }
    if (t == 0)
        *sum = part[0];
}

__global__ void sum_static(int32_t *sums, const int32_t *values)
{
    __shared__ int32_t part[PROBE_BLOCK];
    sum_tree(&sums[blockIdx.x], part, values[blockIdx.x * PROBE_BLOCK + threadIdx.x]);
}

int probe_sum(int32_t *sums, const int32_t *values, int blocks, void *stream)
{
    DF_LAUNCH(sum_static, (unsigned)blocks, PROBE_BLOCK, 0, stream, sums, values);
    return df_launched();
}

__global__ void sum_dynamic(int32_t *sums, const int32_t *values)
{
    DF_SHARED(int32_t, part);
    sum_tree(&sums[blockIdx.x], part, values[blockIdx.x * blockDim.x + threadIdx.x]);
}

int probe_sum_dynamic(int32_t *sums, const int32_t *values, int threads, int64_t bytes, void *stream)
{
    DF_LAUNCH(sum_dynamic, 2, (unsigned)threads, (size_t)bytes, stream, sums, values);
    return df_launched();
}

int probe_allow_shared(int64_t bytes)
{
    return (int)cudaFuncSetAttribute(sum_dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
}

__global__ void exchange(int32_t *out)
{
    const int32_t lane = (int32_t)threadIdx.x, all = -1;
    int32_t row = 0;
    out[32 * row++ + lane] = __shfl_sync(all, 10 * lane, 7);
    out[32 * row++ + lane] = __shfl_sync(all, 10 * lane, lane + 1, 8);
    out[32 * row++ + lane] = __shfl_up_sync(all, 10 * lane, 3, 16);
    out[32 * row++ + lane] = __shfl_down_sync(all, 10 * lane, 3, 16);
    out[32 * row++ + lane] = __shfl_xor_sync(all, 10 * lane, 5);
    out[32 * row++ + lane] = (int32_t)(__shfl_xor_sync(all, 0.5 + lane, 1) * 2);
    /* Two halves at barriers of their own, the upper one more often. */
    const unsigned half = lane < 16 ? 0x0000ffffU : 0xffff0000U;
    int32_t sum = lane;
    for (int32_t bit = 8; bit > 0; bit /= 2)
        sum += __shfl_xor_sync(half, sum, bit);
    if (lane >= 16)
        for (int32_t i = 0; i < 3; i++)
            __syncwarp(half);
    out[32 * row++ + lane] = sum;
    __syncwarp();
    const unsigned odd = __ballot_sync(all, lane & 1);
    out[32 * row++ + lane] = odd == 0xaaaaaaaaU && __any_sync(all, lane == 31) && !__any_sync(all, 0) &&
                             __all_sync(all, lane < 32) && !__all_sync(all, lane < 31);
}

int probe_warp(int32_t *out, void *stream)
{
    DF_LAUNCH(exchange, 1, 32, 0, stream, out);
    return df_launched();
}

__global__ void sum_first_lanes(int32_t *out)
{
    int32_t sum = (int32_t)threadIdx.x;
    for (int32_t bit = 4; bit > 0; bit /= 2)
        sum += __shfl_xor_sync(0xffffffffU, sum, bit);
    out[threadIdx.x] = __shfl_sync(0xffffffffU, sum, 0);
}

int probe_narrow_warp(int32_t *out, void *stream)
{
    DF_LAUNCH(sum_first_lanes, 1, 40, 0, stream, out);
    return df_launched();
}

__global__ void vote(int32_t *count, const int32_t *values)
{
    const int odd = values[threadIdx.x] & 1;
    const int odds = __syncthreads_count(odd), all = __syncthreads_and(odd), any = __syncthreads_or(odd);
    if (threadIdx.x == 63) {
        count[0] = odds;
        count[1] = all;
        count[2] = any;
    }
}

int probe_vote(int32_t *count, const int32_t *values, void *stream)
{
    DF_LAUNCH(vote, 1, 64, 0, stream, count, values);
    return df_launched();
}

__global__ void gather_total(int32_t *total)
{
    const int32_t number = (int32_t)(blockIdx.x * blockDim.x + threadIdx.x);
    atomicAdd(&total[0], number);
    atomicMax(&total[1], number);
}

int probe_atomic(int32_t *total, int blocks, void *stream)
{
    DF_LAUNCH(gather_total, (unsigned)blocks, 64, 0, stream, total);
    return df_launched();
}

__global__ void read_fresh(float *out)
{
    __shared__ float fixed[4];
    DF_SHARED(float, open);
    out[0] = fixed[threadIdx.x];
    out[1] = open[threadIdx.x];
    __syncthreads();
    fixed[threadIdx.x] = open[threadIdx.x] = 1;
}

int probe_fresh_shared(float *out, void *stream)
{
    DF_LAUNCH(read_fresh, 1, 1, 4 * sizeof(float), stream, out);
    return df_launched();
}

__global__ void multiply(float *d, uint32_t *seen, const uint16_t *a, const uint16_t *b)
{
    __shared__ __align__(16) uint16_t part[2][16][16]; /* a by rows, b by columns */
    const int lane = (int)threadIdx.x, line = lane / 2, half = lane % 2 * 8;
    uint32_t row[4], column[4];
    float sum[2][4] = {};
    df_copy_begin(&part[0][line][half], a + 16 * line + half, true);
    df_copy_group();
    df_copy_begin(&part[1][line][half], b + 16 * line + half, lane != 31);
    df_copy_group();
    for (int waited = 0; waited < 2; waited++) {
        for (int i = 0; i < 2; i++)
            memcpy(&seen[(2 * waited + i) * 32 + lane], &part[i][line][half], sizeof *seen);
        if (waited == 0)
            df_copy_wait<1>();
    }
    df_copy_wait<0>();
    __syncwarp();
    df_load_matrices(row, &part[0][lane % 16][lane / 16 * 8]);
    df_load_matrices(column, &part[1][lane / 16 * 8 + lane % 8][lane / 8 % 2 * 8]);
    for (int n = 0; n < 2; n++) {
        const uint32_t own[2] = {column[2 * n], column[2 * n + 1]};
        df_mma(sum[n], row, own);
        for (int i = 0; i < 4; i++)
            d[(lane / 4 + i / 2 * 8) * 16 + n * 8 + lane % 4 * 2 + i % 2] = sum[n][i];
    }
}

int probe_tensor(float *d, uint32_t *seen, const uint16_t *a, const uint16_t *b, void *stream)
{
    DF_LAUNCH(multiply, 1, 32, 0, stream, d, seen, a, b);
    return df_launched();
}

__global__ void race(int32_t *out)
{
    __shared__ int32_t last;
    last = (int32_t)threadIdx.x;
    out[threadIdx.x] = last;
    __syncthreads();
    if (threadIdx.x == 0)
        out[0] = last;
}

int probe_race(int32_t *out, void *stream)
{
    DF_LAUNCH(race, 1, 64, 0, stream, out);
    return df_launched();
}

__global__ void fault_in_block(enum probe_fault fault, int32_t *out)
{
    __shared__ int32_t part[64];
    DF_SHARED(int32_t, open);
    int32_t *volatile hidden = part; /* from the compiler, whose own check of bounds would come first */
    int32_t *const fixed = hidden;
    const unsigned t = threadIdx.x, full = 0xffffffffU;
    if (fault == PROBE_ENDS && blockIdx.x == 1 && t == 40)
        return;
    if (fault == PROBE_OTHER_LINE && t >= 32)
        __syncthreads();
    else if (fault == PROBE_OTHER_KIND && t == 3)
        __syncwarp();
    else
        __syncthreads();
    if ((fault == PROBE_LANE_ENDS || fault == PROBE_PRODUCT_ENDS) && t == 33)
        return;
    if (fault == PROBE_COPY_ENDS && t == 17)
        df_copy_begin(open, out, true);
    if (fault == PROBE_COPY_ENDS)
        return;
    if (fault == PROBE_PRODUCT_ENDS) {
        const uint32_t words[4] = {}, two[2] = {};
        float sum[4] = {};
        df_mma(sum, words, two);
    }
    if (fault == PROBE_OTHER_MASK && t == 1)
        __syncwarp(0x3);
    if (fault == PROBE_LANE_ENDS || fault == PROBE_OTHER_MASK)
        out[t] = __shfl_sync(full, (int32_t)t, 5);
    if (fault == PROBE_NOT_NAMED)
        __syncwarp(full << 1);
    if (fault == PROBE_ABSENT_SOURCE && t < 16)
        out[t] = __shfl_sync(0x0000ffffU, (int32_t)t, 16);
    fixed[t + (fault == PROBE_PAST_STATIC)] = (int32_t)t;
    open[t + (fault == PROBE_PAST_DYNAMIC)] = (int32_t)t;
    __syncthreads();
    out[t + (fault == PROBE_PAST_MEMORY)] = __shfl_sync(full, fixed[t] + open[63 - t], 5);
}

/* fault PROBE_ENDS: none. */
__global__ void meet(enum probe_fault fault, int32_t *out)
{
    __shared__ int32_t part[64];
    const unsigned t = threadIdx.x, full = 0xffffffffU;
    part[t] = (int32_t)t;
    if (fault == PROBE_LANES_RACE)
        (void)__shfl_sync(full, (int32_t)t, 0);
    else
        __syncwarp();
    const int32_t neighbour = part[t ^ 1];
    if (fault != PROBE_WARPS_RACE)
        __syncthreads();
    part[63 - t] = neighbour;
    __syncthreads();
    if (t < 32 && (blockIdx.x == 0 || fault == PROBE_BLOCKS_RACE))
        out[t] = part[t];
    atomicAdd(&out[32], 1);
    if (fault == PROBE_ATOMIC_RACE && t == 17) /* who changed it last, too, may not know of the others */
        out[62 + blockIdx.x] = out[32];
    if (blockIdx.x == 0)
        ((int8_t *)(out + 34))[t] = (int8_t)t;
}

int probe_ordered(int32_t *out, void *stream)
{
    DF_LAUNCH(meet, 2, 64, 0, stream, PROBE_ENDS, out);
    return df_launched();
}

int probe_fault(enum probe_fault fault, int32_t *out, void *stream)
{
    if (fault >= PROBE_LANES_RACE) {
        DF_LAUNCH(meet, 2, 64, 0, stream, fault, out);
        return df_launched();
    }
    DF_LAUNCH(fault_in_block, 2, 64, 64 * sizeof(int32_t), stream, fault, out);
    return df_launched();
}
