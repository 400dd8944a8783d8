/* SPDX-License-Identifier: Apache-2.0 */
/* A GPU's instructions for products of small matrices, which all lanes of a warp call together, and for a
 * thread's copies that need no registers. Under the shim they are functions of simt.h.
 *
 * Fragments  lane l has, with g = l / 4 and t = 2 (l % 4), of A [16][16]: a[0] row g, columns t and t + 1;
 *            a[1] row g + 8; a[2] and a[3] the same rows, columns t + 8 and t + 9. Of B [16][8], two binary16
 *            of a column: b[0] rows t and t + 1 of column g, b[1] rows t + 8 and t + 9. Of C and D [16][8]:
 *            c[0] and c[1] row g, columns t and t + 1; c[2] and c[3] row g + 8. The lower half of a word has
 *            the smaller index.
 * Source     PTX ISA 9.0, "Warp-level matrix instructions", mma.m16n8k16 and ldmatrix; "Data movement",
 *            cp.async. */
#ifndef DF_KERNELS_MMA_H
#define DF_KERNELS_MMA_H

#include "cuda_launch.h"

/* c += a b: products of binary16 are exact, sums are float32's size; how a tensor core rounds them is its
 * own. */
static __device__ inline void df_mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#ifdef DF_SIMT
    simt_mma(c, a, b);
#else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* Four matrices of 8 lines of 16 bytes: lane l names line l % 8 of matrix l / 8, in shared memory at a
 * multiple of 16 bytes. word[i] of lane l: bytes 4 (l % 4) to 4 (l % 4) + 3 of line l / 4 of matrix i. */
static __device__ inline void df_load_matrices(uint32_t (&word)[4], const void *line)
{
#ifdef DF_SIMT
    simt_load_matrices(word, line);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(line))
                 : "memory");
#endif
}

/* 16 bytes from global to shared memory, both at multiples of 16; wanted false: zeros, and no byte is read,
 * so that `from` may be any address: the source then has the size 0 (PTX), as in CUTLASS's copies with zero
 * fill. They are there for this thread once df_copy_wait has waited for their group, and for others behind a
 * barrier. */
static __device__ inline void df_copy_begin(void *to, const void *from, bool wanted)
{
#ifdef DF_SIMT
    simt_copy_begin(to, from, wanted);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"((uint32_t)__cvta_generic_to_shared(to)), "l"(from), "r"(wanted ? 16U : 0U)
                 : "memory");
#endif
}

/* What this thread has begun since the last call is a group. */
static __device__ inline void df_copy_group()
{
#ifdef DF_SIMT
    simt_copy_group();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/* Wait for all of this thread's groups but the newest `left`. */
template <int left> static __device__ inline void df_copy_wait()
{
#ifdef DF_SIMT
    simt_copy_wait(left);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
#endif
}

#endif
