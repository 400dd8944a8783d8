/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise ops, but for activations (activations.h): df_<op>_at(io, row, col) computes cell (row, col) of
 * io->rows x io->cols.
 *
 * Shapes   [rows, cols] means element row * cols + col. Types are df_real unless I32 or U8 is written.
 * Order    none: every cell stands alone, so any driver gives the same bits (class E).
 * Alias    an output may be the same memory as an input of the same shape, unless the text says otherwise. */
#ifndef DF_KERNELS_POINTWISE_H
#define DF_KERNELS_POINTWISE_H

#include <math.h>

#include "call.h"

DF_FN df_real df_real_sqrt(df_real x)
{
#ifdef DF_REAL_IS_DOUBLE
    return sqrt(x);
#else
    return sqrtf(x);
#endif
}

/* fill   y [rows, cols] = p.value */
DF_FN void df_fill_at(const struct df_io *io, int64_t row, int64_t col)
{
    ((df_real *)io->out[0])[row * io->cols + col] = (df_real)io->p.value;
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

/* adam_step   m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g g; w -= (rate m) / (sqrt(v) + epsilon); all [rows,
 * cols] Keras' form: rate F64 [1] = lr sqrt(1 - b2^t) / (1 - b1^t) comes corrected from the caller, epsilon
 * is added to the uncorrected root.
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
