/* SPDX-License-Identifier: Apache-2.0 */
/* Upper bounds of spectral norms: by how much at most a product or a convolution lengthens a vector. They are
 * proven, not estimated, and lie a few per cent above the norm. */
#ifndef DF_SCORE_SPECTRAL_H
#define DF_SCORE_SPECTRAL_H

#include "base/status.h"

/* A convolution's weight [out, in, kernel[0], kernel[1]]; a product has a kernel of 1x1. */
struct df_filters {
    const float *weight;
    int64_t out, in;
    int32_t kernel[2];
};
/* Is the narrower side so narrow that the norm is worth its time? */
bool df_spectral_can(const struct df_filters *filters);
/* At least the norm of x -> W x on planes of any size, with any zeros around them, stride and dilation.
 * absolute: of |W|.
 * Errors   E_MEMORY
 * Source   The convolution of endless planes has the norm sup over theta of the largest singular value of
 *          W(theta) = sum over taps of W_t e^(i t theta) (Sedghi, Gupta, Long 2019, arXiv:1805.10408, for
 *          circular ones). Zeros around a plane, strides and ends only take inputs and outputs away from
 *          it. For unit vectors u, v the function u* W(theta) v is, turned by a phase, of exponential type
 *          (k - 1) / 2 in each theta, so within a distance d of its maximum M it is at least
 *          M cos((k - 1) d / 2) (Duffin, Schaeffer 1938). A grid of n points therefore finds at least
 *          cos((k - 1) pi / 2n) of it in each direction. At a point the norm is bounded by
 *          ||(W* W)^(2^t)||_F^(1 / 2^(t + 1)) (Delattre et al. 2023, arXiv:2305.16173). */
dfal_status df_spectral_norm(double *norm, const struct df_filters *filters, bool absolute);

#endif
