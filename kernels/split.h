/* SPDX-License-Identifier: Apache-2.0 */
/* Products at float32's grade on tensor cores, which multiply binary16: each operand is the sum of two
 * (docs/NUMERICS.md, "--precision split"). Splitting is written once for CPU and GPU; the launchers pack the
 * parts and run convolutions and products of them on a GPU.
 *
 * Math     An operand, weights as a whole and a row of x or dy each by itself, is multiplied by a power of
 *          two that brings its largest magnitude into [2^14, 2^15). Of a scaled value v the high part is the
 *          nearest binary16, and the low part the nearest one of the rest, which float32 holds exactly: 22
 *          significant bits where v is 2^-16 of the largest or above, and an error of 2^-25 below. A
 *          product a b is high(a) high(b) + high(a) low(b) + low(a) high(b): low low, at most 2^-22 of it,
 *          is left out.
 * Order    Channels are taken 16 at a time, tap by tap, in units: a unit's three products of parts are summed
 *          by the tensor core from 0, small ones first, and the sum is added to those before in float32. So a
 *          row's bits are its own, whatever stands beside it and however tiles are cut; but how a tensor core
 *          rounds inside a unit is the GPU model's.
 * Edges    The largest magnitude is that of the finite values. NaN and infinities have no low part. A value
 *          in whose sum one of them stands is NaN or infinite, not always as in float32, and a weight that is
 *          infinite or NaN is multiplied by the padding's zeros, too.
 * Source   Ootomo, Yokota 2022, arXiv:2203.03341, section 4: the three products, and a sum outside of the
 *          tensor core, which truncates. */
#ifndef DF_KERNELS_SPLIT_H
#define DF_KERNELS_SPLIT_H

#include "conv.h"
#include "half.h"

enum {
    DF_SPLIT_PLACE = 14, /* of df_half_shift */
    DF_SPLIT_UNIT = 16,  /* channels that a tensor core sums at a time */
};

/* The parts of x times 2^shift. */
DF_FN void df_split(float x, int32_t shift, uint16_t *high, uint16_t *low)
{
    const float v = x * df_half_power(shift);
    *high = df_half_of(v);
    *low = (*high & 0x7c00U) == 0x7c00U ? 0 : df_half_of(v - df_half_value(*high));
}

DF_FN int64_t df_split_units(int64_t channels)
{
    return (channels + DF_SPLIT_UNIT - 1) / DF_SPLIT_UNIT;
}

/* Numbers of an array of so many values a channel, packed. */
DF_FN int64_t df_split_count(int64_t values, int64_t channels)
{
    return values * df_split_units(channels) * 2 * DF_SPLIT_UNIT;
}

/* Launchers. Arrays are in device memory, packed ones at multiples of 256 bytes. Each returns a cudaError_t,
 * 0: queued on `stream` (a cudaStream_t). Rows 0 is fine. */
#ifdef __cplusplus
extern "C" {
#endif

/* packed [rows, H W, units, 2, 16] of x [rows, channels, H W], channels behind the last one 0; shift [rows]
 * as df_half_shifts has it with DF_SPLIT_PLACE. */
int df_split_pack(uint16_t *packed, const float *x, const int32_t *shift, int64_t rows, int64_t channels,
                  int64_t plane, void *stream);
/* packed [taps, O, units of C, 2, 16] of weight [O, C, taps]; backward: [taps, C, units of O, 2, 16]. One
 * shift for all. */
int df_split_pack_weights(uint16_t *packed, const float *weight, const int32_t *shift, int64_t outputs,
                          int64_t channels, int64_t taps, int32_t backward, void *stream);
/* y = conv(x) + bias of packed x and weights, or, backward, dx of packed dy; float32, plain NCHW. The shape's
 * group is 1; a product is a 1x1 convolution. bias NULL: zeros. */
int df_split_conv(const struct df_conv_shape *shape, int32_t backward, float *out, const uint16_t *in,
                  const int32_t *in_shift, const uint16_t *weight, const int32_t *weight_shift,
                  const float *bias, int64_t rows, void *stream);

#ifdef __cplusplus
}
#endif

#endif
