/* SPDX-License-Identifier: Apache-2.0 */
/* A small network of convolutions, each with a ReLU and a 2x2 max-pool behind it, and products: what lies
 * before the first product is one kernel forwards and one backwards (fused.cu), and its activations live in
 * shared memory.
 *
 * Shapes   x [rows, D]; features [rows, F], the last pool's values, or their gradients; kept [samples,
 *          kept_size] U8 (host/backend/backend.h: df_fused_kept_size). packed: shape->packed floats, made by
 *          df_fused_pack.
 * Order    that of conv.h: a fused network has the bits of the same network layer by layer, where own kernels
 *          run them.
 * Ways     fused.cu for any cotangents; the backward of fused_pooled.cu for several cotangents of a sample
 *          where its tables fit into the shared memory of the GPU. Both give the same bits, but for a
 *          gradient that is not finite, whose row has more values that are not finite the second way.
 * Work     a thread carries a patch of P x P pixels of up to 6 channels through all channels of the other
 *          side: a value loaded serves all of its taps, a weight all of its pixels. The backward spreads a
 *          pooled gradient over its window's plane first: three of four values are zeros, but the walk is
 *          without branches.
 * Traffic  x and features once, a byte a pooled value. */
#ifndef DF_KERNELS_FUSED_H
#define DF_KERNELS_FUSED_H

#include "call.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DF_FUSED_CONVS = 3 };
enum { DF_POOLED_COTANGENTS = 9, DF_POOLED_THREADS = 384 }; /* of a thread, of a block at most */

/* One convolution with its ReLU and pool, stride 1, a square kernel of 3 or 5. Sizes in values. */
struct df_fused_conv {
    int32_t in[3], out[3]; /* channels, height, width; out: behind the pool */
    int32_t kernel, pad;
    int32_t kept_at;                                 /* of its bytes in a row of kept */
    int32_t weight_at, bias_at;                      /* in the network's parameters */
    int32_t forward_at, backward_at, packed_bias_at; /* in packed */
    int32_t forward_group, backward_group, patch;    /* channels a thread carries; patch: of the backward */
    int32_t forward_line, forward_plane;             /* the input with its padding, as the forward reads it */
    int32_t backward_line, backward_plane; /* dy spread out, with what the kernel reaches beyond it */
    int32_t pooled_line, pooled_codes_at, pooled_at; /* fused_pooled.cu: a row of codes; where codes and
                                                      * shifted kernels begin */
};

struct df_fused_shape {
    struct df_fused_conv conv[DF_FUSED_CONVS];
    int32_t count;
    int32_t input, features, kept_size;                             /* a row's */
    int32_t packed;                                                 /* floats */
    int32_t forward_buffer[2], backward_planes, backward_buffer[2]; /* shared memory of a row */
    int32_t shared_most, multiprocessors; /* of the GPU: bytes of shared memory a block may have */
    /* fused_pooled.cu: floats of all shifted kernels, behind packed; where a sample's zeros lie and floats to
     * the next sample; codes of a sample; samples of a block, 0: not this way */
    int32_t pooled_weights, pooled_zeros, pooled_stride, pooled_codes, pooled_parts;
};

/* Fill in everything behind kept_at of every convolution and the shape's sizes but kept_size and what is the
 * GPU's. 0: not a network for these kernels; from the shape alone. */
int32_t df_fused_plan(struct df_fused_shape *shape);
void df_fused_pooled_plan(struct df_fused_shape *shape); /* a part of it */

/* Each returns a cudaError_t, 0: queued on the stream (a cudaStream_t). */
int df_fused_pack(const struct df_fused_shape *shape, float *packed, const float *parameters, void *stream);
int df_fused_pooled_pack(const struct df_fused_shape *shape, float *packed, const float *parameters,
                         void *stream); /* a part of it */
int df_fused_forward(const struct df_fused_shape *shape, float *features, uint8_t *kept, const float *x,
                     const float *packed, int64_t rows, void *stream);
/* dx of the features' gradients; row i belongs to sample owner[i] of kept. */
int df_fused_backward(const struct df_fused_shape *shape, float *dx, const float *features,
                      const uint8_t *kept, const int32_t *owner, const float *packed, int64_t rows,
                      void *stream);
/* The same where rows [i each, (i + 1) each) have one owner and pooled_parts is not 0. rows: whole
 * samples. */
int df_fused_pooled_backward(const struct df_fused_shape *shape, float *dx, const float *features,
                             const uint8_t *kept, const int32_t *owner, const float *packed, int64_t rows,
                             int32_t each, void *stream);
/* A product's ReLU. forward: y [rows, cols] in place, and its bytes from kept_at on; backward: dy in
 * place. */
int df_fused_relu_forward(float *y, uint8_t *kept, int32_t kept_size, int32_t kept_at, int64_t rows,
                          int32_t cols, void *stream);
int df_fused_relu_backward(float *dy, const uint8_t *kept, const int32_t *owner, int32_t kept_size,
                           int32_t kept_at, int64_t rows, int32_t cols, void *stream);

#ifdef __cplusplus
}
#endif

#endif
