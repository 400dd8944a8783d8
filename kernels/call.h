/* SPDX-License-Identifier: Apache-2.0 */
/* How an op is called: raw pointers and plain numbers, the same struct on CPU and GPU. */
#ifndef DF_KERNELS_CALL_H
#define DF_KERNELS_CALL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define DF_FN static __host__ __device__ inline
#else
#define DF_FN static inline
#endif

/* The storage type: float, or double in the float64 reference (ref64). */
#ifndef DF_REAL_IS_DOUBLE
typedef float df_real;
#else
typedef double df_real;
#endif

enum { DF_MAX_OUT = 8, DF_MAX_IN = 8 };

enum df_op {
#define DF_OP(name, ...) DF_OP_##name,
#include "ops.def"
    DF_OP_COUNT
};

/* A window that moves over a plane; also a pooling op's geometry. */
struct df_window {
    int32_t kernel[2], stride[2], pad[4] /* top left bottom right */, dilation[2];
};

/* What the deepfool_* ops share. */
struct df_deepfool_params {
    int32_t slots;        /* S: slots of the state arrays that a list of slots points into */
    int32_t classes;      /* K: logits a row */
    int32_t candidates;   /* J: candidate classes a slot besides its own */
    int32_t first, count; /* candidates [first, first + count) in this call (choose, cotangent); cotangent of
                           * CROSSED slots: -1 and 1, the class of x */
    int32_t occupied;     /* slots 0..occupied-1 hold samples (count, settle, pair) */
    int32_t kept;         /* of them go on (pair) */
    int32_t max_iter;
    int32_t refine;   /* bisection steps after a flip, 0: none */
    int32_t clip;     /* foolbox: x is clipped to a box, the margin is the length of what is left */
    int32_t squared;  /* deepal: the margin is the squared norm */
    int32_t fail_inf; /* dfal2018: MAX_ITER's margin is +inf */
    int32_t plain;    /* iterate: 1 leaves the overshoot out (paper: linearise at x0 + r) */
    int32_t rounds;   /* sdf: projections at most; 0: the first class that is not the own one ends a walk */
    int32_t whole;    /* raw is a whole pool: a sample's row in it is its index (refill) */
    int64_t size;     /* D = C*H*W */
    double p;         /* of the perturbation's norm: 1, 2, INFINITY or any other >= 1 */
    double overshoot, floor;
};

/* a op b, where a and b are broadcast to the result's [channels, height, width]: a stride of 0 along what an
 * operand has only one of. */
enum df_join_kind { DF_JOIN_ADD, DF_JOIN_SUB, DF_JOIN_MUL, DF_JOIN_DIV };
struct df_join_params {
    int32_t kind;      /* enum df_join_kind */
    int32_t towards;   /* join_bwd: 0 the gradient of a, 1 of b */
    int64_t extent[3]; /* of the result: channels, height, width */
    int64_t a_stride[3], b_stride[3];
    int64_t a_size, b_size; /* values a row */
};

union df_params {
    double value; /* fill */
    struct {
        int32_t channels;
    } channel; /* affine_*: rows = planes, cols = H*W */
    struct {
        int64_t y_stride, y_begin, x_stride, x_begin;
    } cols; /* copy_cols */
    struct {
        uint64_t seed;
        int64_t step, first_row, plane; /* plane: values that share a draw; 0: 1 */
        double rate;
        int32_t shared, node;
    } dropout;
    struct {
        double rate, momentum;
    } sgd;
    struct {
        double beta1, beta2, epsilon;
    } adam;
    struct {
        struct df_window window;
        int32_t channels, in_h, in_w, out_h, out_w, count_pad;
    } pool;
    struct df_join_params
        join; /* join_fwd: rows = rows x channels; join_bwd: rows = rows x the operand's channels */
    struct {
        int32_t channels, in_h, in_w, pad[4]; /* top left bottom right; below 0: cut off */
        double value;
    } pad; /* rows = planes */
    struct {
        double alpha, beta;
    } slope; /* activations */
    struct {
        double low, high;
    } clip; /* the same two numbers, as clip calls them */
    struct {
        int32_t channels;
        int64_t plane;
        double epsilon, momentum;
    } bn; /* rows = channels, cols = samples */
    struct {
        int32_t channels, slopes; /* slopes: 1, or one a channel */
        int64_t plane;
    } prelu;
    struct {
        int32_t classes;
        double scale;
    } loss; /* softmax_loss, predict: dlogits are multiplied by scale */
    struct {
        int64_t rows; /* N */
    } choice;
    struct {
        int64_t size, count; /* D; centres of this call */
    } centre;
    struct {
        int64_t classes, size; /* K, D */
        uint64_t seed;         /* of this choice */
    } badge;
    struct df_deepfool_params deepfool;
};

/* What an op's function sees. Missing optional inputs are NULL. */
struct df_io {
    void *out[DF_MAX_OUT];
    const void *in[DF_MAX_IN];
    int64_t rows, cols; /* CELL: the cells; ITEM: rows items */
    union df_params p;
};

/* The sample row whose saved values cotangent row `row` reads. owner I32, NULL: the same row. */
DF_FN int64_t df_owner_row(const void *owner, int64_t row)
{
    return owner != NULL ? ((const int32_t *)owner)[row] : row;
}

/* A slot of the DeepFool driver. Values below DF_SLOT_REFINING are results (dfal.h: DFAL_SCORE_*). */
enum df_slot_status {
    DF_SLOT_REFINING = 252,
    DF_SLOT_EMPTY = 253,
    DF_SLOT_FRESH = 254,  /* x = x0, nothing observed yet */
    DF_SLOT_ACTIVE = 255, /* wants another step */
    DF_SLOT_CROSSED = 256 /* sdf: x is behind a boundary, onto which x0 wants to be projected */
};

#endif
