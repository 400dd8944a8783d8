/* SPDX-License-Identifier: Apache-2.0 */
/* Batch normalisation in training: df_<op>_at(io, c) computes channel c over all samples. A channel is long,
 * so a GPU's team is a whole block (team.h). */
#ifndef DF_KERNELS_NORM_H
#define DF_KERNELS_NORM_H

#include <math.h>

#include "call.h"
#include "team.h"

/* bn_train_fwd   BLOCK = channel c, io->rows = C, io->cols = samples; x, y [samples, C, plane]
 *   mean, var over the n = samples * plane values, in double, two passes, ascending index (a GPU: a sum a
 *   thread of the block, then df_team_sum: an order that depends on samples and plane alone)
 *   rstd = 1 / sqrt(var + epsilon)
 *   y = (x - mean) * (rstd * weight) + bias, with mean and rstd [C] as stored
 *   running = (1 - momentum) running + momentum new; running_var takes var n / (n - 1), as PyTorch does;
 *   n = 1: both stay, as one value has no variance
 * weight, bias [C] may be NULL (1, 0); running_* may be NULL. */
DF_FN void df_bn_train_fwd_at(const struct df_io *io, int64_t c)
{
    const int64_t samples = io->cols, plane = io->p.bn.plane, stride = io->p.bn.channels * plane;
    df_real *y = (df_real *)io->out[0] + c * plane;
    const df_real *x = (const df_real *)io->in[0] + c * plane;
    const double n = (double)(samples * plane);
    double sum = 0, squares = 0;
    DF_EACH_CELL(s, j, samples, plane)
        sum += (double)x[s * stride + j];
    const double mean = df_team_sum(sum) / n;
    DF_EACH_CELL(s, j, samples, plane) {
        const double d = (double)x[s * stride + j] - mean;
        squares += d * d;
    }
    squares = df_team_sum(squares);
    const double variance = squares / n;
    const df_real mean_out = (df_real)mean, rstd = (df_real)(1 / sqrt(variance + io->p.bn.epsilon));
    if (DF_ONE) {
        ((df_real *)io->out[1])[c] = mean_out;
        ((df_real *)io->out[2])[c] = rstd;
    }
    const double momentum = io->p.bn.momentum;
    const bool learns = DF_ONE && n > 1; /* one value tells nothing of a variance */
    if (learns && io->out[3] != NULL) {
        df_real *running = (df_real *)io->out[3] + c;
        *running = (df_real)((1 - momentum) * (double)*running + momentum * mean);
    }
    if (learns && io->out[4] != NULL) {
        df_real *running = (df_real *)io->out[4] + c;
        *running = (df_real)((1 - momentum) * (double)*running + momentum * (squares / (n - 1)));
    }
    const df_real scale = io->in[1] != NULL ? rstd * ((const df_real *)io->in[1])[c] : rstd;
    const df_real bias = io->in[2] != NULL ? ((const df_real *)io->in[2])[c] : 0;
    DF_EACH_CELL(s, j, samples, plane)
        y[s * stride + j] = (x[s * stride + j] - mean_out) * scale + bias;
}

/* bn_train_bwd   BLOCK = channel, shapes as bn_train_fwd; with xhat = (x - mean) rstd and n values a channel
 *   dbias = sum dy; dweight = sum dy xhat (double, ordered as bn_train_fwd)
 *   dx = weight rstd (dy - dbias / n - xhat dweight / n)
 * dx may be NULL, and so may dweight, dbias [C]; weight may be NULL (1). Source: Ioffe, Szegedy 2015
 * (arXiv:1502.03167). */
DF_FN void df_bn_train_bwd_at(const struct df_io *io, int64_t c)
{
    const int64_t samples = io->cols, plane = io->p.bn.plane, stride = io->p.bn.channels * plane;
    df_real *dx = io->out[0] != NULL ? (df_real *)io->out[0] + c * plane : NULL;
    const df_real *dy = (const df_real *)io->in[0] + c * plane;
    const df_real *x = (const df_real *)io->in[1] + c * plane;
    const double mean = (double)((const df_real *)io->in[2])[c],
                 rstd = (double)((const df_real *)io->in[3])[c];
    const double weight = io->in[4] != NULL ? (double)((const df_real *)io->in[4])[c] : 1;
    const double n = (double)(samples * plane);
    double dbias = 0, dweight = 0;
    DF_EACH_CELL(s, j, samples, plane) {
        const double d = (double)dy[s * stride + j];
        dbias += d;
        dweight += d * (((double)x[s * stride + j] - mean) * rstd);
    }
    dbias = df_team_sum(dbias);
    dweight = df_team_sum(dweight);
    if (DF_ONE && io->out[1] != NULL)
        ((df_real *)io->out[1])[c] = (df_real)dweight;
    if (DF_ONE && io->out[2] != NULL)
        ((df_real *)io->out[2])[c] = (df_real)dbias;
    if (dx == NULL)
        return;
    const double shift = dbias / n, slope = dweight / n, scale = weight * rstd;
    DF_EACH_CELL(s, j, samples, plane) {
        const double xhat = ((double)x[s * stride + j] - mean) * rstd;
        dx[s * stride + j] = (df_real)(scale * ((double)dy[s * stride + j] - shift - xhat * slope));
    }
}

#endif
