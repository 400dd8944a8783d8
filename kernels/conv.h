/* SPDX-License-Identifier: Apache-2.0 */
/* Launchers of the layer ops on a GPU: dfal's own convolutions (conv.cu, conv_gradient.cu) and products
 * (product.cu).
 *
 * Shapes   x [rows, in], y [rows, out], weight [out[0], in[0] / group, kernel] (product: [out, in]), bias
 *          [out[0]]; float32, NCHW, device memory. dx has x's shape, dy y's, dw weight's, db bias's. Outputs
 *          overlap no input.
 * Order    forward: the bias, then (channel, ky, kx) ascending; backward: 0, then (out channel, ky, kx)
 *          ascending; one fmaf a term. Every path for a shape has these same bits, so a path may be chosen by
 *          anything. Weight gradients: sub-batches of DF_GRADIENT_ROWS rows, each summed in an order that
 *          depends on the shape alone, then the sub-batches in ascending order. Nothing depends on the grid,
 *          the device, or timing, nor (forward, backward) on rows or where a row stands.
 * Traps    A tap in the padding may be multiplied, and a value beside the window by 0: where a weight or a
 *          value is infinite or NaN, its neighbours' sums may be NaN, on some paths.
 * Returns  a cudaError_t, 0 when everything was queued on `stream` (a cudaStream_t). Nothing is allocated and
 *          nothing waited for; rows 0 is fine. */
#ifndef DF_KERNELS_CONV_H
#define DF_KERNELS_CONV_H

#include "call.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DF_GRADIENT_ROWS = 8 };

/* The numbers of a df_layer_desc (host/backend/backend.h). A sample and the weights are fewer than 2^31
 * values each. */
struct df_conv_shape {
    int32_t in[3], out[3]; /* channels, height, width */
    struct df_window window;
    int32_t group;
};

/* y = conv(x) + bias; bias NULL: zeros. */
int df_conv_forward(const struct df_conv_shape *shape, float *y, const float *x, const float *weight,
                    const float *bias, int64_t rows, void *stream);
/* dx from dy. */
int df_conv_backward(const struct df_conv_shape *shape, float *dx, const float *dy, const float *weight,
                     int64_t rows, void *stream);
/* dw and db from x and dy; db NULL: not wanted. scratch: as many floats as df_conv_gradient_scratch says,
 * private to the stream until the work is done; more rows never need less. */
int64_t df_conv_gradient_scratch(const struct df_conv_shape *shape, int64_t rows);
int df_conv_weight_gradient(const struct df_conv_shape *shape, float *dw, float *db, const float *x,
                            const float *dy, int64_t rows, float *scratch, void *stream);

/* The product y = x weight' + bias of x [rows, in] and weight [out, in]; no scratch memory. */
int df_gemm_forward(int64_t in, int64_t out, float *y, const float *x, const float *weight, const float *bias,
                    int64_t rows, void *stream);
int df_gemm_backward(int64_t in, int64_t out, float *dx, const float *dy, const float *weight, int64_t rows,
                     void *stream);
int df_gemm_weight_gradient(int64_t in, int64_t out, float *dw, float *db, const float *x, const float *dy,
                            int64_t rows, void *stream);

#ifdef __cplusplus
}
#endif

#endif
