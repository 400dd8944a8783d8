/* SPDX-License-Identifier: Apache-2.0 */
/* exp and exp - 1 for arguments that are not above 0, from + * fmaf and bits alone: the same bits on every
 * back end, and loops over it become vectors, which libm's expf forbids.
 *
 * Math     x = n ln 2 + r with n = round(x / ln 2), so |r| <= ln 2 / 2; exp(x) = 2^n exp(r). ln 2 is taken
 *          off in two parts, exp(r) is a polynomial of degree 6, 2^n is multiplied in two steps, since n
 *          reaches -150.
 * Error    1.1 ulp; for results below the smallest normal number half a step of 2^-149 more. 0 below -104. A
 *          NaN stays one.
 * Source   the polynomial is Cephes' expf (S. Moshier). */
#ifndef DF_KERNELS_EXPONENTIAL_H
#define DF_KERNELS_EXPONENTIAL_H

#include <math.h>
#include <string.h>

#include "call.h"

#ifdef DF_REAL_IS_DOUBLE
DF_FN df_real df_real_exp_negative(df_real x)
{
    return exp(x);
}

DF_FN df_real df_real_expm1_negative(df_real x)
{
    return expm1(x);
}
#else
/* 2^n for -126 <= n <= 127. */
DF_FN float df_power_of_two(int32_t n)
{
    const uint32_t bits = (uint32_t)(n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* exp(x) = 2^n (1 + part) for -104 <= x <= 0. */
struct df_exp_parts {
    float part;
    int32_t n;
};
DF_FN struct df_exp_parts df_exp_split(float x)
{
    struct df_exp_parts parts;
    /* Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits. */
    const float shifted = fmaf(x, 1.44269504F, 12582912.0F), whole = shifted - 12582912.0F;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    parts.n = (int32_t)((bits & 0x1ffU) ^ 0x100U) - 0x100; /* of a NaN: some number in range */
    const float r = fmaf(whole, 2.12194440e-4F, fmaf(whole, -0.693359375F, x));
    float sum = 1.9875691500e-4F;
    sum = fmaf(sum, r, 1.3981999507e-3F);
    sum = fmaf(sum, r, 8.3334519073e-3F);
    sum = fmaf(sum, r, 4.1665795894e-2F);
    sum = fmaf(sum, r, 1.6666665459e-1F);
    sum = fmaf(sum, r, 5.0000001201e-1F);
    parts.part = fmaf(sum, r * r, r);
    return parts;
}

DF_FN df_real df_real_exp_negative(df_real x)
{
    const struct df_exp_parts parts = df_exp_split(x < -104 ? -104 : x);
    const int32_t half = parts.n / 2;
    return (parts.part + 1) * df_power_of_two(half) * df_power_of_two(parts.n - half);
}

/* Within 1.5 ulp; -1 below -25; a zero keeps its sign. */
DF_FN df_real df_real_expm1_negative(df_real x)
{
    const struct df_exp_parts parts = df_exp_split(x < -50 ? -50 : x);
    const float power = df_power_of_two(parts.n);
    return x < 0 ? fmaf(parts.part, power, power - 1) : x;
}
#endif

#endif
