/* SPDX-License-Identifier: Apache-2.0 */
/* PRelu: y = x > 0 ? x : slope x, with one slope (p.prelu.slopes 1) or one a channel. The derivative at 0 is
 * the slope.
 *
 * Shapes   x, y, dx, dy [rows, C, plane], C = p.prelu.channels; slope [slopes]
 * Order    dslope: in double, ascending index (a GPU: a sum a thread of the block, then df_team_sum)
 * Alias    y and dx may be the memory of x and dy.
 * Traps    a NaN stays one. */
#ifndef DF_KERNELS_PRELU_H
#define DF_KERNELS_PRELU_H

#include "call.h"
#include "team.h"

/* The slope of plane i. */
DF_FN df_real df_prelu_slope(const void *slope, const struct df_io *io, int64_t i)
{
    return ((const df_real *)slope)[io->p.prelu.slopes > 1 ? i % io->p.prelu.channels : 0];
}

/* prelu_fwd   ITEM = plane, io->cols = plane */
DF_FN void df_prelu_fwd_at(const struct df_io *io, int64_t i)
{
    df_real *y = (df_real *)io->out[0] + i * io->cols;
    const df_real *x = (const df_real *)io->in[0] + i * io->cols, slope = df_prelu_slope(io->in[1], io, i);
    DF_EACH(j, io->cols) {
        const df_real scaled = slope * x[j];
        y[j] = x[j] > 0 ? x[j] : scaled;
    }
}

/* prelu_bwd   dx = x > 0 ? dy : slope dy; ITEM = plane; x [samples, C, plane] through owner I32 [rows] or
 * NULL */
DF_FN void df_prelu_bwd_at(const struct df_io *io, int64_t i)
{
    const int64_t channels = io->p.prelu.channels;
    const int64_t source = df_owner_row(io->in[3], i / channels) * channels + i % channels;
    df_real *dx = (df_real *)io->out[0] + i * io->cols;
    const df_real *dy = (const df_real *)io->in[0] + i * io->cols;
    const df_real *x = (const df_real *)io->in[1] + source * io->cols;
    const df_real slope = df_prelu_slope(io->in[2], io, i);
    DF_EACH(j, io->cols) {
        const df_real scaled = slope * dy[j];
        dx[j] = x[j] > 0 ? dy[j] : scaled;
    }
}

/* prelu_wgrad   dslope = sum of dy x where not x > 0; BLOCK = slope, io->rows = slopes, io->cols = samples */
DF_FN void df_prelu_wgrad_at(const struct df_io *io, int64_t s)
{
    const int64_t stride = io->p.prelu.channels * io->p.prelu.plane, width = stride / io->p.prelu.slopes;
    const df_real *dy = (const df_real *)io->in[0] + s * width, *x = (const df_real *)io->in[1] + s * width;
    double sum = 0;
    DF_EACH_CELL(row, j, io->cols, width) {
        const double value = (double)x[row * stride + j];
        sum += value > 0 ? 0 : value * (double)dy[row * stride + j];
    }
    sum = df_team_sum(sum);
    if (DF_ONE)
        ((df_real *)io->out[0])[s] = (df_real)sum;
}

#endif
