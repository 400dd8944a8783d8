/* SPDX-License-Identifier: Apache-2.0 */
/* Operands in IEEE binary16 for input gradients of half precision (docs/NUMERICS.md, "--precision fast"):
 * rounding and scales, written once for CPU and GPU, and the launchers that convert on a GPU.
 *
 * Math     A layer's weights, as a whole, and each row of dy are multiplied by a power of two and rounded to
 *          the nearest binary16, ties to even. Weights: the largest magnitude comes to lie in [1, 2). A row
 *          of dy: in [2^place, 2^(place+1)), where a value of dx has at most 2^(13-place) terms
 *          (df_half_place). So no sum of products passes 2^15 and dx, too, fits a binary16 (its largest is
 *          65504); what lies 2^-14 of the largest operand or above keeps 11 significant bits at the least
 *          where place is 0 or more. dx is scaled back exactly, but for results below the smallest normal
 *          float.
 * Edges    The largest magnitude is that of the finite values. A row without any but zeros, NaN and
 *          infinities keeps the scale 1. NaN and infinities stay what they are: they reach dx as they do in
 *          float32.
 * Order    None matters: a maximum of integers, and one value at a time. A row's scale comes from that row
 *          alone. */
#ifndef DF_KERNELS_HALF_H
#define DF_KERNELS_HALF_H

#include <string.h>

#include "call.h"

DF_FN uint32_t df_float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

DF_FN float df_float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The nearest binary16, ties to even; from 65520 on infinity; of any NaN 0x7fff, as a GPU's instruction has
 * it. */
DF_FN uint16_t df_half_of(float x)
{
#ifdef __CUDA_ARCH__
    uint16_t half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(x));
    return half;
#else
    const uint32_t bits = df_float_bits(x), sign = bits >> 16 & 0x8000U, size = bits & 0x7fffffffU;
    if (size > 0x7f800000U)
        return 0x7fff;
    if (size >= 0x477ff000U)
        return (uint16_t)(sign | 0x7c00U);
    if (size < 0x38800000U) /* below 2^-14, where binary16 has steps of 2^-24: so has float32 from 0.5 to 1 */
        return (uint16_t)(sign | (df_float_bits(df_float_of(size) + 0.5F) - 0x3f000000U));
    return (uint16_t)(sign | ((size - 0x38000000U + 0xfffU + (size >> 13 & 1U)) >> 13));
#endif
}

DF_FN float df_half_value(uint16_t half)
{
#ifdef __CUDA_ARCH__
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(half));
    return x;
#else
    const uint32_t sign = (uint32_t)(half & 0x8000U) << 16, size = half & 0x7fffU;
    if (size >= 0x7c00U)
        return df_float_of(sign | 0x7f800000U | (size & 0x3ffU) << 13);
    if (size < 0x400U) /* a multiple of 2^-24 */
        return df_float_of(sign | df_float_bits((float)size * 0x1p-24F));
    return df_float_of(sign | ((size << 13) + 0x38000000U));
#endif
}

/* 2^n for n <= 127, 0 below -149. */
DF_FN float df_half_power(int32_t n)
{
    return n >= -126 ? df_float_of((uint32_t)(n + 127) << 23) : n >= -149 ? df_float_of(1U << (n + 149)) : 0;
}

/* Where a row's largest magnitude is brought when a value of dx has `terms` terms: 2^place. */
DF_FN int32_t df_half_place(int64_t terms)
{
    int32_t place = 13;
    while (place > -48 && INT64_C(1) << (13 - place) < terms)
        place--;
    return place;
}

/* Bits of |x| where x is finite, else 0: what the largest is sought of. */
DF_FN uint32_t df_half_magnitude(float x)
{
    const uint32_t size = df_float_bits(x) & 0x7fffffffU;
    return size < 0x7f800000U ? size : 0;
}

/* The power of two that brings the largest magnitude to 2^place, as an exponent of at most 127. */
DF_FN int32_t df_half_shift(uint32_t largest, int32_t place)
{
    const int32_t shift = place + 127 - (int32_t)(largest >> 23);
    return largest == 0 ? 0 : shift < 127 ? shift : 127;
}

DF_FN uint16_t df_half_scaled(float x, int32_t shift)
{
    return df_half_of(x * df_half_power(shift));
}

/* x 2^-(a + b), the scales of both operands taken off: in two steps, since the sum passes a float's
 * exponents. */
DF_FN float df_half_unscaled(float x, int32_t a, int32_t b)
{
    const int32_t shift = -(a + b), first = shift / 2, second = shift - first;
    return x * df_half_power(first < 127 ? first : 127) * df_half_power(second < 127 ? second : 127);
}

/* Launchers. Arrays are in device memory; shift has one number a row. Each returns a cudaError_t, 0: queued
 * on `stream` (a cudaStream_t). Rows 0 is fine. */
#ifdef __cplusplus
extern "C" {
#endif

/* The shift of each row of x [rows, size]. */
int df_half_shifts(int32_t *shift, const float *x, int64_t rows, int64_t size, int32_t place, void *stream);

/* half [rows, plane, channels] of x [rows, channels, plane]; row r is scaled by shift[r * step] (step 0: one
 * for all). */
int df_half_pack(uint16_t *half, const float *x, const int32_t *shift, int64_t step, int64_t rows,
                 int64_t channels, int64_t plane, void *stream);

/* The same values as floats, where they stood: rounded [rows, size] of x [rows, size]. */
int df_half_round(float *rounded, const float *x, const int32_t *shift, int64_t step, int64_t rows,
                  int64_t size, void *stream);

/* dx [rows, channels, plane] of half [rows, plane, channels], scaled back. */
int df_half_unpack(float *dx, const uint16_t *half, const int32_t *shift, const int32_t *weight_shift,
                   int64_t rows, int64_t channels, int64_t plane, void *stream);

/* Scale dx [rows, size] back where it stands. */
int df_half_rescale(float *dx, const int32_t *shift, const int32_t *weight_shift, int64_t rows, int64_t size,
                    void *stream);

#ifdef __cplusplus
}
#endif

#endif
