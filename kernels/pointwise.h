/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise ops: df_<op>_at(io, row, col) computes cell (row, col) of io->rows x io->cols.
 *
 * Shapes   [rows, cols] means element row * cols + col. Types are df_real unless I32 or U8 is written.
 * Order    none: every cell stands alone, so any driver gives the same bits (class E).
 * Alias    an output may be the same memory as an input of the same shape, unless the text says otherwise.
 * Traps    comparisons with a NaN are false: relu_fwd turns a NaN into 0, the other activations leave it a NaN. Who
 * needs to know looks at the input. */
#ifndef DF_KERNELS_POINTWISE_H
#define DF_KERNELS_POINTWISE_H

#include <math.h>

#include "call.h"
#include "exponential.h"

DF_FN df_real df_real_sqrt(df_real x)
{
#ifdef DF_REAL_IS_DOUBLE
    return sqrt(x);
#else
    return sqrtf(x);
#endif
}

/* The sample row whose saved values cotangent row `row` reads. owner I32, NULL: the same row. */
DF_FN int64_t df_owner_row(const void *owner, int64_t row)
{
    return owner != NULL ? ((const int32_t *)owner)[row] : row;
}

/* fill   y [rows, cols] = p.value */
DF_FN void df_fill_at(const struct df_io *io, int64_t row, int64_t col)
{
    ((df_real *)io->out[0])[row * io->cols + col] = (df_real)io->p.value;
}

/* relu_fwd   y = x > 0 ? x : 0; all [rows, cols]. A NaN gives 0. */
DF_FN void df_relu_fwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const df_real x = ((const df_real *)io->in[0])[row * io->cols + col];
    ((df_real *)io->out[0])[row * io->cols + col] = x > 0 ? x : 0;
}

/* relu_bwd   dx [rows, cols] = y[owner[row]] > 0 ? dy : 0
 *   dy [rows, cols]; y [samples, cols] the saved output (or input: the sign is the same); owner I32 [rows] or NULL
 * The derivative at 0 is 0. */
DF_FN void df_relu_bwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const df_real *y = (const df_real *)io->in[1] + df_owner_row(io->in[2], row) * io->cols;
    const df_real dy = ((const df_real *)io->in[0])[row * io->cols + col];
    ((df_real *)io->out[0])[row * io->cols + col] = y[col] > 0 ? dy : 0;
}

/* The saved value that cell (row, col) of a *_bwd reads: in[1] [samples, cols], its row through owner in[2]. */
DF_FN df_real df_saved_at(const struct df_io *io, int64_t row, int64_t col)
{
    return ((const df_real *)io->in[1])[df_owner_row(io->in[2], row) * io->cols + col];
}

/* min(max(x, low), high); a NaN stays a NaN. */
DF_FN df_real df_clipped(df_real x, df_real low, df_real high)
{
    const df_real raised = x < low ? low : x;
    return raised > high ? high : raised;
}

/* leaky_relu_fwd   y = x > 0 ? x : alpha x; all [rows, cols]; alpha = p.slope.alpha */
DF_FN void df_leaky_relu_fwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const df_real x = ((const df_real *)io->in[0])[row * io->cols + col], alpha = (df_real)io->p.slope.alpha;
    const df_real scaled = alpha * x;
    ((df_real *)io->out[0])[row * io->cols + col] = x > 0 ? x : scaled;
}

/* leaky_relu_bwd   dx [rows, cols] = x[owner[row]] > 0 ? dy : alpha dy
 *   dy [rows, cols]; x [samples, cols] the saved input; owner I32 [rows] or NULL
 * The derivative at 0 is alpha. */
DF_FN void df_leaky_relu_bwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const df_real x = df_saved_at(io, row, col), alpha = (df_real)io->p.slope.alpha;
    const df_real dy = ((const df_real *)io->in[0])[row * io->cols + col], scaled = alpha * dy;
    ((df_real *)io->out[0])[row * io->cols + col] = x > 0 ? dy : scaled;
}

/* clip_fwd   y = min(max(x, low), high); all [rows, cols]; p.clip */
DF_FN void df_clip_fwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const df_real x = ((const df_real *)io->in[0])[row * io->cols + col];
    ((df_real *)io->out[0])[row * io->cols + col] =
        df_clipped(x, (df_real)io->p.clip.low, (df_real)io->p.clip.high);
}

/* clip_bwd   dx [rows, cols] = low < x[owner[row]] < high ? dy : 0
 *   dy [rows, cols]; x [samples, cols] the saved input; owner I32 [rows] or NULL
 * The derivative at both ends is 0, as relu_bwd's at 0: ReLU6 is the one that networks have, and PyTorch's relu6 and
 * hardtanh take 0 there as well (its clamp takes 1). */
DF_FN void df_clip_bwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const df_real x = df_saved_at(io, row, col);
    const df_real dy = ((const df_real *)io->in[0])[row * io->cols + col];
    ((df_real *)io->out[0])[row * io->cols + col] =
        x > (df_real)io->p.clip.low && x < (df_real)io->p.clip.high ? dy : 0;
}

/* sigmoid_fwd   y = 1 / (1 + exp(-x)); all [rows, cols]
 * With e = exp(-|x|): 1 / (1 + e) for x >= 0, e / (1 + e) below: nothing overflows. Within 2.5 ulp. */
DF_FN void df_sigmoid_fwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const df_real x = ((const df_real *)io->in[0])[row * io->cols + col];
    const df_real e = df_real_exp_negative(x < 0 ? x : -x), top = x < 0 ? e : 1;
    ((df_real *)io->out[0])[row * io->cols + col] = top / (1 + e);
}

/* sigmoid_bwd   dx [rows, cols] = dy (1 - y) y, y = y[owner[row]]
 *   dy [rows, cols]; y [samples, cols] the saved output; owner I32 [rows] or NULL */
DF_FN void df_sigmoid_bwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const df_real y = df_saved_at(io, row, col);
    const df_real dy = ((const df_real *)io->in[0])[row * io->cols + col];
    ((df_real *)io->out[0])[row * io->cols + col] = dy * ((1 - y) * y);
}

/* hard_sigmoid_fwd   y = min(max(alpha x + beta, 0), 1) (rounded twice); all [rows, cols]; p.slope */
DF_FN void df_hard_sigmoid_fwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const df_real x = ((const df_real *)io->in[0])[row * io->cols + col];
    const df_real line = (df_real)io->p.slope.alpha * x + (df_real)io->p.slope.beta;
    ((df_real *)io->out[0])[row * io->cols + col] = df_clipped(line, 0, 1);
}

/* hard_sigmoid_bwd   dx [rows, cols] = 0 < alpha x + beta < 1 ? alpha dy : 0, x = x[owner[row]]
 *   dy [rows, cols]; x [samples, cols] the saved input; owner I32 [rows] or NULL
 * The derivative at both bends is 0. */
DF_FN void df_hard_sigmoid_bwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const df_real alpha = (df_real)io->p.slope.alpha;
    const df_real line = alpha * df_saved_at(io, row, col) + (df_real)io->p.slope.beta;
    const df_real scaled = alpha * ((const df_real *)io->in[0])[row * io->cols + col];
    ((df_real *)io->out[0])[row * io->cols + col] = line > 0 && line < 1 ? scaled : 0;
}

/* hard_swish_fwd   y = x min(max(x / 6 + 1/2, 0), 1); all [rows, cols] */
DF_FN void df_hard_swish_fwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const df_real x = ((const df_real *)io->in[0])[row * io->cols + col];
    ((df_real *)io->out[0])[row * io->cols + col] = x * df_clipped(x / 6 + (df_real)0.5, 0, 1);
}

/* hard_swish_bwd   dx [rows, cols] = dy times 0 for x <= -3, 1 for x >= 3, else x / 3 + 1/2; x = x[owner[row]]
 *   dy [rows, cols]; x [samples, cols] the saved input; owner I32 [rows] or NULL
 * At the bends, where the one-sided derivatives differ (-1/2 and 0; 3/2 and 1), the outer one is taken. */
DF_FN void df_hard_swish_bwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const df_real x = df_saved_at(io, row, col);
    const df_real dy = ((const df_real *)io->in[0])[row * io->cols + col];
    const df_real inner = x / 3 + (df_real)0.5, below = x <= -3 ? 0 : inner;
    ((df_real *)io->out[0])[row * io->cols + col] = dy * (x >= 3 ? 1 : below);
}

/* add_fwd   y = a + b; all [rows, cols] */
DF_FN void df_add_fwd_at(const struct df_io *io, int64_t row, int64_t col)
{
    const int64_t i = row * io->cols + col;
    ((df_real *)io->out[0])[i] = ((const df_real *)io->in[0])[i] + ((const df_real *)io->in[1])[i];
}

/* accumulate   y += x; both [rows, cols] */
DF_FN void df_accumulate_at(const struct df_io *io, int64_t row, int64_t col)
{
    const int64_t i = row * io->cols + col;
    ((df_real *)io->out[0])[i] += ((const df_real *)io->in[0])[i];
}

/* copy_cols   y[row * y_stride + y_begin + col] = x[row * x_stride + x_begin + col]
 * A block of columns: concatenation forwards, cutting backwards. The two blocks must not overlap. */
DF_FN void df_copy_cols_at(const struct df_io *io, int64_t row, int64_t col)
{
    df_real *y = (df_real *)io->out[0] + row * io->p.cols.y_stride + io->p.cols.y_begin;
    const df_real *x = (const df_real *)io->in[0] + row * io->p.cols.x_stride + io->p.cols.x_begin;
    y[col] = x[col];
}

/* sgd_step   v = momentum v + g; w -= rate v; all [rows, cols]; outs w, v ("momentum"); in g */
DF_FN void df_sgd_step_at(const struct df_io *io, int64_t row, int64_t col)
{
    const int64_t i = row * io->cols + col;
    const df_real rate = (df_real)io->p.sgd.rate, momentum = (df_real)io->p.sgd.momentum;
    df_real *w = (df_real *)io->out[0], *velocity = (df_real *)io->out[1];
    const df_real v = momentum * velocity[i] + ((const df_real *)io->in[0])[i];
    velocity[i] = v;
    w[i] -= rate * v;
}

/* adam_step   m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g g; w -= (rate m) / (sqrt(v) + epsilon); all [rows, cols]
 * Keras' form: rate F64 [1] = lr sqrt(1 - b2^t) / (1 - b1^t) comes corrected from the caller, epsilon is added to the
 * uncorrected root.
 * Source   Kingma, Ba 2015 (arXiv:1412.6980), section 2, last paragraph. */
DF_FN void df_adam_step_at(const struct df_io *io, int64_t row, int64_t col)
{
    const int64_t i = row * io->cols + col;
    const double *corrected = (const double *)io->in[1];
    const df_real rate = (df_real)corrected[0], epsilon = (df_real)io->p.adam.epsilon;
    const df_real b1 = (df_real)io->p.adam.beta1, c1 = (df_real)(1 - io->p.adam.beta1);
    const df_real b2 = (df_real)io->p.adam.beta2, c2 = (df_real)(1 - io->p.adam.beta2);
    df_real *w = (df_real *)io->out[0], *first = (df_real *)io->out[1], *second = (df_real *)io->out[2];
    const df_real g = ((const df_real *)io->in[0])[i];
    const df_real m = b1 * first[i] + c1 * g, v = b2 * second[i] + c2 * (g * g);
    first[i] = m;
    second[i] = v;
    w[i] -= (rate * m) / (df_real_sqrt(v) + epsilon);
}

#endif
