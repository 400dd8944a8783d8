/* SPDX-License-Identifier: Apache-2.0 */
/* CUDA C++ as g++ sees it: what a kernel may say, run on one CPU thread.
 *
 * A launch runs its blocks one after another. A thread of a block is a fibre: it runs until it ends or waits.
 * Whoever waits at a barrier (__syncthreads, __syncwarp, shuffles and votes) goes on when all that the
 * barrier names have come. The program is stopped with the kernel's name, block and thread when
 *   - a thread ends, or waits somewhere else, while others wait for it: "somewhere else" is another kind of
 *   barrier, mask
 *     or source line;
 *   - a lane names a mask without itself, or reads a lane that takes no part;
 *   - a thread ends while copies of its own are under way.
 * DF_SIMT_ORDER=ascending|descending|random:SEED is the order of blocks, and of threads between two
 * barriers: results that differ are a race. With DF_SIMT_WATCH (watch.h) every access of memory is looked
 * at, a race stops the program, and switching:SEED may change threads between any two accesses. Shared
 * memory begins as NaN (not a template's: gcc 12 has it in no section), device memory too (runtime.cpp);
 * both lie between red zones for AddressSanitizer.
 * Traps   a thread that spins until another one writes spins for ever: there is no preemption. */
#ifndef DFAL_TESTS_SIMT_SIMT_H
#define DFAL_TESTS_SIMT_SIMT_H

#ifndef __cplusplus
#error "kernels are C++: C code includes cuda_runtime.h"
#endif

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>
#include <type_traits>

#include "include/cuda_runtime.h"

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
/* One block runs at a time, so a block's shared memory may be static; its section is what a launch fills. */
#define __shared__ static __attribute__((section("simt_shared")))

/* ---- Types --------------------------------------------------------------------------------------------- */

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
static inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

/* ---- Where a thread stands ----------------------------------------------------------------------------- */

struct simt_here {
    uint3 thread, block;
    dim3 block_dim, grid_dim;
    unsigned lane; /* in its warp of 32 */
    void *shared;  /* dynamic shared memory */
};
extern struct simt_here simt_here;

#define threadIdx (simt_here.thread)
#define blockIdx  (simt_here.block)
#define blockDim  (simt_here.block_dim)
#define gridDim   (simt_here.grid_dim)

/* The launch's dynamic shared memory; nvcc says `extern __shared__ float name[]`. */
static inline void *simt_dynamic_shared()
{
    return simt_here.shared;
}

/* ---- Barriers ------------------------------------------------------------------------------------------ */

enum simt_wait {
    SIMT_SYNCTHREADS,
    SIMT_SYNCTHREADS_COUNT,
    SIMT_SYNCTHREADS_AND,
    SIMT_SYNCTHREADS_OR,
    SIMT_SYNCWARP,
    SIMT_SHUFFLE,
    SIMT_BALLOT,
    SIMT_ANY,
    SIMT_ALL,
    SIMT_TENSOR,
};
/* Wait for the block (of each thread the value) or for the lanes of mask (of each lane its value, and whose
 * it wants); returns the thread's share of the outcome. */
uint64_t simt_wait_block(enum simt_wait wait, uint64_t value, const char *file, int line);
uint64_t simt_wait_warp(enum simt_wait wait, unsigned mask, uint64_t value, unsigned source, const char *file,
                        int line);

#define SIMT_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

static inline void __syncthreads(SIMT_PLACE)
{
    simt_wait_block(SIMT_SYNCTHREADS, 0, file, line);
}
static inline int __syncthreads_count(int predicate, SIMT_PLACE)
{
    return (int)simt_wait_block(SIMT_SYNCTHREADS_COUNT, predicate != 0, file, line);
}
static inline int __syncthreads_and(int predicate, SIMT_PLACE)
{
    return (int)simt_wait_block(SIMT_SYNCTHREADS_AND, predicate != 0, file, line);
}
static inline int __syncthreads_or(int predicate, SIMT_PLACE)
{
    return (int)simt_wait_block(SIMT_SYNCTHREADS_OR, predicate != 0, file, line);
}
static inline void __syncwarp(unsigned mask = 0xffffffffU, SIMT_PLACE)
{
    simt_wait_warp(SIMT_SYNCWARP, mask, 0, 0, file, line);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_PLACE)
{
    return (unsigned)simt_wait_warp(SIMT_BALLOT, mask, predicate != 0, 0, file, line);
}
static inline int __any_sync(unsigned mask, int predicate, SIMT_PLACE)
{
    return (int)simt_wait_warp(SIMT_ANY, mask, predicate != 0, 0, file, line);
}
static inline int __all_sync(unsigned mask, int predicate, SIMT_PLACE)
{
    return (int)simt_wait_warp(SIMT_ALL, mask, predicate != 0, 0, file, line);
}

template <class T>
static inline T simt_shuffle(unsigned mask, T value, int source, const char *file, int line)
{
    static_assert(std::is_arithmetic<T>::value && sizeof(T) >= 4, "what CUDA shuffles");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = simt_wait_warp(SIMT_SHUFFLE, mask, bits, (unsigned)source, file, line);
    memcpy(&value, &bits, sizeof value);
    return value;
}
template <class T> static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, SIMT_PLACE)
{
    const int lane = (int)simt_here.lane;
    return simt_shuffle(mask, value, (lane & -width) + (source & (width - 1)), file, line);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_PLACE)
{
    const int lane = (int)simt_here.lane, source = lane - (int)delta;
    return simt_shuffle(mask, value, source < (lane & -width) ? lane : source, file, line);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_PLACE)
{
    const int lane = (int)simt_here.lane, source = lane + (int)delta;
    return simt_shuffle(mask, value, source >= (lane & -width) + width ? lane : source, file, line);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, SIMT_PLACE)
{
    const int lane = (int)simt_here.lane, source = lane ^ bits;
    return simt_shuffle(mask, value, source >= (lane & -width) + width ? lane : source, file, line);
}

/* ---- Products of small matrices, copies without registers (kernels/mma.h) ------------------------------ */

/* What a lane gives the others of its warp; all of them meet, which orders nothing in memory. */
struct simt_deposit {
    float a[8], b[4];
    const void *line;
};
struct simt_deposits {
    unsigned first, turn;
    const simt_deposit &operator[](unsigned lane) const; /* until this lane's next instruction but one */
};
struct simt_deposits simt_meet(const simt_deposit &own, const char *file, int line);

/* Both binary16 of each word. */
static inline void simt_halves(float *to, const uint32_t *words, unsigned count)
{
    for (unsigned i = 0; i < 2 * count; i++) {
        const uint16_t bits = (uint16_t)(words[i / 2] >> 16 * (i % 2));
        _Float16 value;
        memcpy(&value, &bits, sizeof value);
        to[i] = (float)value;
    }
}

/* Sums in double, rounded once: a tensor core cuts more off. */
static inline void simt_mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], SIMT_PLACE)
{
    simt_deposit deposit = {};
    simt_halves(deposit.a, a, 4);
    simt_halves(deposit.b, b, 2);
    const simt_deposits all = simt_meet(deposit, file, line);
    const unsigned row = simt_here.lane / 4 * 4, column = simt_here.lane % 4 * 8;
    for (unsigned i = 0; i < 4; i++) {
        double sum = (double)c[i];
        for (unsigned k = 0; k < 16; k++) { /* column k of A, row k of B: lane k % 8 / 2 of four */
            const unsigned lane = k % 8 / 2, half = k % 2;
            sum += (double)all[row + lane].a[4 * (k / 8) + 2 * (i / 2) + half] *
                   (double)all[column + i % 2 * 4 + lane].b[2 * (k / 8) + half];
        }
        c[i] = (float)sum;
    }
}

static inline void simt_load_matrices(uint32_t (&word)[4], const void *row, SIMT_PLACE)
{
    const simt_deposits all = simt_meet({{}, {}, row}, file, line);
    for (unsigned i = 0; i < 4; i++)
        word[i] = ((const uint32_t *)all[8 * i + simt_here.lane / 4].line)[simt_here.lane % 4];
}

/* A copy is made when it is waited for; until then there is NaN. The values are those of its beginning. */
struct alignas(16) simt_quad {
    uint32_t word[4];
};
struct simt_copy {
    simt_quad *to, value;
};
void simt_copy_remember(const simt_copy &copy);
void simt_copy_group();
/* The next one of this thread's groups but the newest `left`. */
bool simt_copy_take(unsigned left, simt_copy *copy);

static inline void simt_copy_begin(void *to, const void *from, bool wanted)
{
    simt_copy copy = {(simt_quad *)to, {{0, 0, 0, 0}}};
    if (wanted)
        copy.value = *(const simt_quad *)from;
    *copy.to = {{~0U, ~0U, ~0U, ~0U}};
    simt_copy_remember(copy);
}
static inline void simt_copy_wait(unsigned left)
{
    simt_copy copy;
    while (simt_copy_take(left, &copy))
        *copy.to = copy.value;
}

/* ---- Atomics: no other thread runs in between ---------------------------------------------------------- */

#ifdef DF_SIMT_WATCH
/* Not instrumented, so not inlined either. */
#define SIMT_ATOMIC __attribute__((no_sanitize("thread")))
void simt_watch_atomic(const void *address, size_t size, const void *place);
#else
#define SIMT_ATOMIC
static inline void simt_watch_atomic(const void *, size_t, const void *)
{
}
#endif

template <class T, class V> SIMT_ATOMIC static inline T atomicAdd(T *at, V value)
{
    simt_watch_atomic(at, sizeof *at, __builtin_return_address(0)); /* who calls it */
    const T old = *at;
    *at = (T)(old + (T)value);
    return old;
}
template <class T, class V> SIMT_ATOMIC static inline T atomicMax(T *at, V value)
{
    simt_watch_atomic(at, sizeof *at, __builtin_return_address(0)); /* who calls it */
    const T old = *at;
    *at = old < (T)value ? (T)value : old;
    return old;
}

/* ---- Functions ----------------------------------------------------------------------------------------- */

static inline int __popc(unsigned bits)
{
    return __builtin_popcount(bits);
}

/* ---- Launches ------------------------------------------------------------------------------------------ */

struct simt_grid {
    const char *name; /* of the kernel */
    dim3 blocks, threads;
    size_t shared; /* bytes of dynamic shared memory */
    std::function<void()> thread;
};
/* Queue it; what is wrong with it becomes cudaGetLastError's. */
void simt_queue_grid(const simt_grid &grid, const void *kernel, cudaStream_t stream);

/* kernel<<<blocks, threads, shared, stream>>>(given...) */
template <class... Parameters, class... Given>
void simt_launch(const char *name, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, size_t shared,
                 cudaStream_t stream, Given... given)
{
    const std::tuple<Parameters...> values(given...);
    simt_queue_grid({name, blocks, threads, shared, [=] { std::apply(kernel, values); }},
                    reinterpret_cast<const void *>(kernel), stream);
}

template <class... P>
static inline cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), enum cudaFuncAttribute attr, int value)
{
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), attr, value);
}

#endif
